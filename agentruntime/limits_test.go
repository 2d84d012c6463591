package agentruntime

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnections holds that no more than six requests wait for the head of their answer, and that those past it begin when
// an earlier one has it.
func TestConnections(t *testing.T) {
	for _, c := range []struct {
		name, ask string
		limit     int
		most      int
	}{
		{"fetch", "fetch('https://x.example/')", 0, 6},
		{"KV", "env.NS.get('k')", 0, 6},
		{"KV puts", "env.NS.put('k', 'v')", 0, 6},
		{"one at a time", "fetch('https://x.example/')", 1, 1},
		{"the origin does not count", "env.ORIGIN.fetch('https://x.example/')", 1, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { async fetch(r, env) {
				const all = await Promise.all(Array.from({ length: 20 }, () => `+c.ask+`));
				return new Response(String(all.length));
			} }`, Config{Bindings: []Binding{{Name: "NS", Kind: BindingKV}}, Limits: Limits{Connections: c.limit}})
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				waiting, most := 0, 0
				wait := func() {
					mu.Lock()
					waiting++
					most = max(most, waiting)
					mu.Unlock()
					time.Sleep(time.Second) // of the bubble's clock
					mu.Lock()
					waiting--
					mu.Unlock()
				}
				host := &testHost{
					fetch: func(context.Context, Target, *Request) (*Response, error) {
						wait()
						// A body that nobody reads does not count any more.
						return &Response{Status: 200, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(strings.NewReader("x")))}, nil
					},
					kv: func(context.Context, KVOp) (KVResult, error) {
						wait()
						return KVResult{}, nil
					},
				}
				body, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
				if err != nil || body != "20" || report.Outcome != OutcomeOK {
					t.Fatal(body, err, report, host.exceptions())
				}
				if most != c.most {
					t.Fatalf("%d waited at once, want %d", most, c.most)
				}
			})
		})
	}
}

func TestResponseBodyLimit(t *testing.T) {
	stream := func() io.ReadCloser { return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 5000)))) }
	for _, c := range []struct {
		name, src string
		head      bool // the head is sent all the same
		outcome   Outcome
	}{
		{"within the limit", `export default { fetch() { return new Response("x".repeat(1000)) } }`, true, OutcomeOK},
		{"text", `export default { fetch() { return new Response("x".repeat(1001)) } }`, false, OutcomeException},
		{"a stream within the limit", `export default { fetch() { return new Response(new Blob(["x".repeat(1000)]).stream()) } }`, true, OutcomeOK},
		{"a stream", `export default { fetch() { let n = 0; return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(100)); if (++n > 20) c.close() } })) } }`, true, OutcomeException},
		{"a stream without an end", `export default { fetch() { return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(100)) } })) } }`, true, OutcomeException},
		{"a fetched body", `export default { fetch() { return fetch("https://x.example/") } }`, true, OutcomeException},
		{"a fetched body of known length", `export default { async fetch() { const r = await fetch("https://x.example/"); return new Response(r.body, { headers: { "Content-Length": "5000" } }) } }`, false, OutcomeException},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &testHost{fetch: func(context.Context, Target, *Request) (*Response, error) {
				return &Response{Status: 200, Header: http.Header{}, Body: stream()}, nil
			}}
			a := newAgent(t, c.src, Config{Limits: Limits{ResponseBody: 1000}})
			body, status, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
			if report.Outcome != c.outcome || c.head != (status == 200) {
				t.Fatalf("status %d, %v, %+v, %v", status, err, report, host.exceptions())
			}
			if len(body) > 1000 || c.head && len(body) != 1000 {
				t.Errorf("%d bytes got out", len(body))
			}
			if c.outcome == OutcomeOK {
				return
			}
			if ex := host.exceptions(); len(ex) != 1 || !strings.Contains(ex[0].Message, "larger than the limit of 1000 bytes") || err == nil {
				t.Errorf("error %v, exceptions %v", err, ex)
			}
		})
	}
}

func TestLogLimit(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, `export default { fetch() { for (let i = 0; i < 100; i++) console.log("x".repeat(9)); return new Response("x") } }`, Config{Limits: Limits{Logs: 90}})
	_, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
	if logs := host.logs(); err != nil || report.Outcome != OutcomeOK || len(logs) != 10 || report.LogsDropped != 90 {
		t.Fatal(err, report, len(logs))
	}
}

func TestStartupLimit(t *testing.T) {
	_, err := New(Config{Name: "test", Script: buildScript(t, `for (;;) {} export default { fetch() {} }`), Limits: Limits{Startup: 20 * time.Millisecond}})
	if err == nil || !strings.Contains(err.Error(), "takes longer than 20ms") {
		t.Fatal(err)
	}
}

func TestLimitDefaults(t *testing.T) {
	got := Limits{}.WithDefaults()
	want := Limits{
		CPU: 50 * time.Millisecond, Wall: 30 * time.Second, Memory: 128 << 20, Subrequests: 50, Connections: 6,
		RequestBody: 10 << 20, Logs: 256 << 10, Startup: time.Second,
	}
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}
