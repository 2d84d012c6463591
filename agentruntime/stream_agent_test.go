package agentruntime

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Bundled code, whose asynchronous generators and loops were lowered, streams both ways.
func TestBundledStreams(t *testing.T) {
	a := newAgent(t, `
		async function* events(body: ReadableStream<Uint8Array>) {
			const decoder = new TextDecoder();
			for await (const chunk of body) yield "data: " + decoder.decode(chunk, {stream: true}) + "\n\n";
		}
		export default {
			async fetch(request: Request): Promise<Response> {
				const out = ReadableStream.from(events(request.body!)).pipeThrough(new TextEncoderStream());
				return new Response(out, {headers: {"content-type": "text/event-stream", "x-kind": request.constructor.name + (request.headers.constructor === Headers)}});
			},
		};`, Config{})
	pr, pw := io.Pipe()
	inv := a.Fetch(context.Background(), &testHost{}, &Request{
		Method: "POST", URL: "https://a.example/", Header: http.Header{}, Body: pr, ContentLength: -1,
	})
	res, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("X-Kind"); got != "Requesttrue" {
		t.Errorf("x-kind is %q", got)
	}
	var all strings.Builder
	buf := make([]byte, 64)
	for _, word := range []string{"one", "two"} {
		go func() { _, _ = pw.Write([]byte(word)) }()
		n, err := res.Body.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(buf[:n])
	}
	_ = pw.Close()
	rest, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := all.String() + string(rest); got != "data: one\n\ndata: two\n\n" {
		t.Errorf("body %q", got)
	}
	if report := inv.Wait(); report.Outcome != OutcomeOK {
		t.Errorf("outcome %s", report.Outcome)
	}
}

// An answer that passes through untouched is read to its end, although no code runs for it any more.
func TestPassedThroughAnswer(t *testing.T) {
	a := newAgent(t, `export default { fetch() { return fetch("https://upstream.example/") } }`, Config{})
	upstream := make(chan context.Context, 1)
	pr, pw := io.Pipe()
	inv := a.Fetch(context.Background(), &testHost{fetch: func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
		upstream <- ctx
		context.AfterFunc(ctx, func() { _ = pw.CloseWithError(context.Cause(ctx)) })
		return &Response{Status: 200, Header: http.Header{}, Body: pr}, nil
	}}, get("/"))
	res, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	ctx := <-upstream
	for _, word := range []string{"one", "two"} {
		go func() { _, _ = pw.Write([]byte(word)) }()
		buf := make([]byte, 8)
		n, err := res.Body.Read(buf)
		if err != nil || string(buf[:n]) != word {
			t.Fatalf("read %q, %v; the request: %v", buf[:n], err, context.Cause(ctx))
		}
	}
	_ = res.Body.Close()
	if report := inv.Wait(); report.Outcome != OutcomeOK {
		t.Errorf("outcome %s", report.Outcome)
	}
	<-ctx.Done()
}
