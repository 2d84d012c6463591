package agentruntime

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// benchBody makes the Response of src and reads its body to the end, b.N times.
func benchBody(b *testing.B, src string, bytes int64) {
	b.ReportAllocs()
	b.SetBytes(bytes)
	p := mustCompile(b, src)
	for b.Loop() {
		w := newWebRealm(b, nil)
		var res *Response
		w.on(func() {
			v, err := w.rt.RunProgram(p)
			if err == nil {
				res, err = w.responseFrom(v)
			}
			if err != nil {
				b.Error(err)
			}
		})
		n, err := io.Copy(io.Discard, res.Body)
		if err != nil || n != bytes {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
}

func BenchmarkStreamedBody(b *testing.B) {
	b.Run("pull 100 events", func(b *testing.B) {
		benchBody(b, `var n = 0, e = new TextEncoder(); new Response(new ReadableStream({pull(c){ if (n++ == 100) c.close(); else c.enqueue(e.encode("data: 0123456789\n\n")) }}))`, 1800)
	})
	b.Run("write 100 events", func(b *testing.B) {
		benchBody(b, `(function(){ const t = new TransformStream(), w = t.writable.getWriter(), e = new TextEncoder(); (async () => { for (let i = 0; i < 100; i++) await w.write(e.encode("data: 0123456789\n\n")); await w.close() })(); return new Response(t.readable) })()`, 1800)
	})
	b.Run("pipe 100 events through", func(b *testing.B) {
		benchBody(b, `(function(){ let n = 0; const s = new ReadableStream({pull(c){ if (n++ == 100) c.close(); else c.enqueue("data: 0123456789\n\n") }}); return new Response(s.pipeThrough(new TransformStream({transform(x, c){ c.enqueue(x) }})).pipeThrough(new TextEncoderStream())) })()`, 1800)
	})
}

func BenchmarkRequestText(b *testing.B) {
	b.ReportAllocs()
	p := mustCompile(b, `req.method + req.url + req.headers.get("content-type")`)
	for b.Loop() {
		r := newRealm(&loop{})
		_ = r.rt.Set("req", r.requestValue(&Request{
			Method: "GET", URL: "https://a.example/", Header: http.Header{"Content-Type": {"a/b"}}, Body: io.NopCloser(strings.NewReader("")),
		}))
		if _, err := r.rt.RunProgram(p); err != nil {
			b.Fatal(err)
		}
	}
}
