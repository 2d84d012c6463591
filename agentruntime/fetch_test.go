package agentruntime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// echo answers with what it was sent.
func echo(_ context.Context, target Target, req *Request) (*Response, error) {
	body := ""
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	return &Response{
		Status: 200, Header: http.Header{"X-Method": {req.Method}, "X-Type": req.Header["Content-Type"]}, URL: req.URL,
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

func TestFetchAPI(t *testing.T) {
	hang := func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	// drip answers at once and then sends nothing until the request ends.
	drip := func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
		pr, pw := io.Pipe()
		go func() {
			_, _ = pw.Write([]byte("first"))
			<-ctx.Done()
			_ = pw.CloseWithError(ctx.Err())
		}()
		return &Response{Status: 200, Header: http.Header{}, Body: pr}, nil
	}
	refuse := func(context.Context, Target, *Request) (*Response, error) {
		return nil, &RefusedError{Code: "EGRESS_DENIED", Rule: "no-one", Message: "the policy says no"}
	}
	fail := func(context.Context, Target, *Request) (*Response, error) { return nil, errors.New("broken line") }
	for _, c := range []struct {
		name  string
		fetch func(context.Context, Target, *Request) (*Response, error)
		src   string
		want  string
	}{
		{"get", echo, `const r = await fetch('http://a.example/x'); return [r.status, r.headers.get('x-method'), r.url, await r.text()]`, "200,GET,http://a.example/x,"},
		{"post", echo, `const r = await fetch('http://a', {method: 'post', body: JSON.stringify({a: 1})}); return r.headers.get('x-type') + (await r.json()).a`, "text/plain;charset=UTF-81"},
		{"request object", echo, `const r = await fetch(new Request('http://a', {method: 'PUT', body: 'xyz'})); return r.headers.get('x-method') + await r.text()`, "PUTxyz"},
		{"streamed body", echo, `const {readable, writable} = new TransformStream(); const w = writable.getWriter(); const p = fetch('http://a', {method: 'POST', body: readable}); await w.write(new TextEncoder().encode('ab')); await w.write(new TextEncoder().encode('c')); await w.close(); return (await p).text()`, "abc"},
		{"answer into answer", echo, `const r = await fetch('http://a', {method: 'POST', body: 'x'}); return new Response(r.body.pipeThrough(new TextDecoderStream()).pipeThrough(new TransformStream({transform(c, k){ k.enqueue(c.toUpperCase()) }})).pipeThrough(new TextEncoderStream())).text()`, "X"},
		{"refused", refuse, `try { await fetch('http://a') } catch (e) { return [e.code, e.rule, e.message] }`, "EGRESS_DENIED,no-one,the policy says no"},
		{"failed", fail, `try { await fetch('http://a') } catch (e) { return e.message }`, "broken line"},
		{"bad address", echo, `try { await fetch('nowhere') } catch (e) { return e.name }`, "TypeError"},
		{"aborted before", echo, `try { await fetch('http://a', {signal: AbortSignal.abort()}) } catch (e) { return e.name }`, "AbortError"},
		{"aborted while it waits", hang, `const c = new AbortController(); const p = fetch('http://a', {signal: c.signal}); c.abort(new Error('stop')); try { await p } catch (e) { return e.message }`, "stop"},
		{"timed out", hang, `try { await fetch('http://a', {signal: AbortSignal.timeout(5)}) } catch (e) { return e.name + e.code }`, "TimeoutError23"},
		{"aborted body", drip, `const c = new AbortController(); const r = await fetch('http://a', {signal: c.signal}); const rd = r.body.getReader(); const first = await rd.read(); c.abort(); try { await rd.read() } catch (e) { return new TextDecoder().decode(first.value) + e.name }`, "firstAbortError"},
		{"too many", echo, `try { for (let i = 0; i < 60; i++) await fetch('http://a') } catch (e) { return e.message.length > 0 }`, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWebRealm(t, &testHost{fetch: c.fetch})
			if got := w.run(t, c.src); got != c.want {
				t.Fatalf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A fetch whose answer nobody reads is ended by cancelling its body.
func TestFetchCancelled(t *testing.T) {
	ended := make(chan struct{})
	host := &testHost{fetch: func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
		context.AfterFunc(ctx, func() { close(ended) })
		pr, _ := io.Pipe()
		return &Response{Status: 200, Header: http.Header{}, Body: pr}, nil
	}}
	w := newWebRealm(t, host)
	if got := w.run(t, `const r = await fetch('http://a'); await r.body.cancel(); return 'ok'`); got != "ok" {
		t.Fatal(got)
	}
	<-ended
}
