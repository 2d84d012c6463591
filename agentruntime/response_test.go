package agentruntime

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestResponse(t *testing.T) {
	runWebCases(t, []webCase{
		{"text", `return new Response("héllo").text()`, "héllo"},
		{"defaults", `const r = new Response(); return [r.status, r.ok, r.statusText, r.type, r.body, r.bodyUsed, r.url, r.redirected].join()`, "200,true,,default,,false,,false"},
		{"content type of text", `return new Response("x").headers.get('content-type')`, "text/plain;charset=UTF-8"},
		{"own content type", `return new Response("x", {headers: {'content-type': 'a/b'}}).headers.get('Content-Type')`, "a/b"},
		{"json", `const r = Response.json({a: [1, 2]}, {status: 201}); return [r.status, r.headers.get('content-type'), await r.text()].join('|')`, `201|application/json|{"a":[1,2]}`},
		{"json of undefined", `try { Response.json(undefined) } catch (e) { return e.name }`, "TypeError"},
		{"redirect", `const r = Response.redirect('https://a.example/x y', 307); return r.status + r.headers.get('location')`, "307https://a.example/x%20y"},
		{"redirect status", `try { Response.redirect('https://a.example', 200) } catch (e) { return e.name }`, "RangeError"},
		{"error", `const r = Response.error(); return r.type + r.status`, "error0"},
		{"status out of range", `try { new Response('', {status: 99}) } catch (e) { return e.name }`, "RangeError"},
		{"null body status", `try { new Response('a', {status: 204}) } catch (e) { return e.name }`, "TypeError"},
		{"used twice", `const r = new Response('a'); await r.text(); try { await r.text() } catch (e) { return e.name + r.bodyUsed }`, "TypeErrortrue"},
		{"clone", `const r = new Response('a', {status: 201, headers: {x: 'y'}}); const c = r.clone(); return [await r.text(), await c.text(), c.status, c.headers.get('x')]`, "a,a,201,y"},
		{"clone of a used one", `const r = new Response('a'); await r.text(); try { r.clone() } catch (e) { return e.name }`, "TypeError"},
		{"bytes", `return new Response(new Uint8Array([104, 105]).subarray(1)).text()`, "i"},
		{"arrayBuffer", `const b = await new Response('abc').arrayBuffer(); return b instanceof ArrayBuffer && b.byteLength`, "3"},
		{"bytes()", `const b = await new Response('abc').bytes(); return b instanceof Uint8Array && b.join()`, "97,98,99"},
		{"blob()", `const b = await new Response('abc').blob(); return b.size + b.type`, "3text/plain;charset=utf-8"},
		{"json()", `return (await new Response('{"a":{"b":7}}').json()).a.b`, "7"},
		{"bad json()", `try { await new Response('{a').json() } catch (e) { return e.name }`, "SyntaxError"},
		{"byte order mark", `return (await new Response('\ufeffa').text()).length`, "1"},
		{"no body", `return (await new Response(null).text()).length`, "0"},
		{"search params", `const r = new Response(new URLSearchParams({a: 'b c'})); return r.headers.get('content-type') + await r.text()`, "application/x-www-form-urlencoded;charset=UTF-8a=b+c"},
		{"body as a stream", `const r = new Response('abc'); let s = ''; const rd = r.body.getReader(); for (;;) { const {done, value} = await rd.read(); if (done) break; s += value.join() } return s + r.bodyUsed`, "97,98,99true"},
		{"stream as a body", `const r = new Response(new ReadableStream({start(c){ c.enqueue(new TextEncoder().encode('ab')); c.enqueue(new TextEncoder().encode('c')); c.close() }})); return r.text()`, "abc"},
		{"stream of strings", `const r = new Response(new ReadableStream({start(c){ c.enqueue('ab'); c.close() }})); try { return await r.text() } catch (e) { return e.message }`, "This ReadableStream did not return bytes."},
		{"clone of a stream", `const r = new Response(new ReadableStream({start(c){ c.enqueue(new TextEncoder().encode('ab')); c.close() }})); const c = r.clone(); return [await r.text(), await c.text()]`, "ab,ab"},
		{"form", `const f = new FormData(); f.append('a', '1'); f.append('b', new File(['xyz'], 'n.txt', {type: 'text/css'})); const g = await new Response(f).formData(); return [g.get('a'), g.get('b').name, g.get('b').type, await g.get('b').text()]`, "1,n.txt,text/css,xyz"},
		{"copy of the headers", `const h = new Headers({a: 'b'}); const r = new Response('', {headers: h}); h.set('a', 'c'); return r.headers.get('a')`, "b"},
		{"init from a response", `return new Response('x', new Response('', {status: 404, headers: {y: 'z'}})).headers.get('y')`, "z"},
	})
}

func TestResponseFrom(t *testing.T) {
	for _, c := range []struct{ name, src, body, err string }{
		{"text", `new Response("hello", {status: 202, headers: {a: "b"}})`, "hello", ""},
		{"bytes", `new Response(new Uint8Array([65,66]), {status: 202, headers: {a: "b"}})`, "AB", ""},
		{"stream", `new Response(new ReadableStream({n: 0, pull(c){ if (this.n++ == 3) c.close(); else c.enqueue(new Uint8Array([64+this.n])) }}), {status: 202, headers: {a: "b"}})`, "ABC", ""},
		{"transform", `(function(){ const {readable, writable} = new TransformStream(); const w = writable.getWriter(); (async () => { for (const s of ['x','y']) await w.write(new TextEncoder().encode(s)); await w.close() })(); return new Response(readable, {status: 202, headers: {a: "b"}}) })()`, "xy", ""},
		{"failing stream", `new Response(new ReadableStream({pull(c){ throw new Error('broken') }}), {status: 202, headers: {a: "b"}})`, "", "broken"},
		{"not a response", `({})`, "", "TypeError: the handler's result is not a Response: an object of class Object"},
		{"undefined", `undefined`, "", "TypeError: the handler's result is not a Response: undefined"},
		{"used", `(function(){ const r = new Response("a"); r.text(); return r })()`, "", "already been used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWebRealm(t, nil)
			var res *Response
			var err error
			w.on(func() {
				v, runErr := w.rt.RunString(c.src)
				if runErr != nil {
					t.Error(runErr)
					return
				}
				res, err = w.responseFrom(v)
			})
			var body []byte
			if err == nil && res != nil {
				body, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.Status != 202 || res.Header.Get("A") != "b" {
					t.Fatalf("status %d, header %v", res.Status, res.Header)
				}
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if string(body) != c.body {
				t.Fatalf("body %q, want %q", body, c.body)
			}
		})
	}
}

// A chunk is there for the reader as soon as it was written, long before the stream ends.
func TestStreamedResponse(t *testing.T) {
	w := newWebRealm(t, nil)
	var res *Response
	w.on(func() {
		v, err := w.rt.RunString(`var ctl, cancelled = 'no';
			new Response(new ReadableStream({start(c){ ctl = c }, cancel(r){ cancelled = 'yes' }}), {headers: {'content-type': 'text/event-stream'}})`)
		if err != nil {
			t.Error(err)
			return
		}
		if res, err = w.responseFrom(v); err != nil {
			t.Error(err)
		}
	})
	buf := make([]byte, 100)
	for _, event := range []string{"data: 1\n\n", "data: 2\n\n"} {
		w.on(func() {
			if _, err := w.rt.RunString("ctl.enqueue(new TextEncoder().encode(" + strings.ReplaceAll(`"`+event+`"`, "\n", `\n`) + "))"); err != nil {
				t.Error(err)
			}
		})
		n, err := res.Body.Read(buf)
		if err != nil || string(buf[:n]) != event {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	w.on(func() {
		if v := w.rt.Get("cancelled").String(); v != "yes" {
			t.Errorf("the source was not told: %s", v)
		}
	})
	if _, err := res.Body.Read(buf); err == nil {
		t.Fatal("a closed body can be read")
	}
}

// What came from Go and was not touched leaves as it came.
func TestPassThrough(t *testing.T) {
	w := newWebRealm(t, nil)
	src := io.NopCloser(strings.NewReader("payload"))
	w.on(func() {
		_ = w.rt.Set("res", w.responseValue(&Response{Status: 200, Header: http.Header{"X": {"1"}}, Body: src}))
		v, err := w.rt.RunString(`var r = new Response(res.body, res); r.headers.set('y', '2'); r`)
		if err != nil {
			t.Error(err)
			return
		}
		got, err := w.responseFrom(v)
		if err != nil {
			t.Error(err)
			return
		}
		if got.Body != src || got.Header.Get("X") != "1" || got.Header.Get("Y") != "2" {
			t.Errorf("got %T, %v", got.Body, got.Header)
		}
	})
}

func BenchmarkResponseFreshRealm(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r := newRealm(&loop{})
		_ = r.global("Response")
	}
}

func BenchmarkResponse(b *testing.B) {
	src := mustCompile(b, `new Response("hello")`)
	b.Run("fresh realm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := newRealm(&loop{})
			if _, err := r.rt.RunProgram(src); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("empty realm", func(b *testing.B) {
		b.ReportAllocs()
		empty := mustCompile(b, `0`)
		for b.Loop() {
			r := newRealm(&loop{})
			if _, err := r.rt.RunProgram(empty); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		r := newRealm(&loop{})
		for b.Loop() {
			if _, err := r.rt.RunProgram(src); err != nil {
				b.Fatal(err)
			}
		}
	})
}
