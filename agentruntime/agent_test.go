package agentruntime

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// testHost records what code emits and answers from its functions.
type testHost struct {
	mu     sync.Mutex
	events []Event
	fetch  func(ctx context.Context, target Target, req *Request) (*Response, error)
	call   func(ctx context.Context, target Target, call Call) (Value, error)
	actors func(binding, after string, limit int) ([]string, error)
	kv     func(ctx context.Context, op KVOp) (KVResult, error)
	secret func(binding string) (string, error)
	limit  func(binding, key string) (bool, error)
}

func (h *testHost) Fetch(ctx context.Context, target Target, req *Request) (*Response, error) {
	if h.fetch == nil {
		return nil, errors.New("no network in this test")
	}
	return h.fetch(ctx, target, req)
}

func (h *testHost) Call(ctx context.Context, target Target, call Call) (Value, error) {
	return h.call(ctx, target, call)
}

func (h *testHost) KV(ctx context.Context, op KVOp) (KVResult, error) { return h.kv(ctx, op) }

func (h *testHost) Connect(context.Context, string, ConnectOptions) (Conn, error) {
	return nil, errors.New("no network in this test")
}

func (h *testHost) Limit(_ context.Context, binding, key string) (bool, error) {
	return h.limit(binding, key)
}

func (h *testHost) Actors(_ context.Context, binding, after string, limit int) ([]string, error) {
	return h.actors(binding, after, limit)
}

func (h *testHost) Secret(_ context.Context, binding string) (string, error) {
	return h.secret(binding)
}

func (h *testHost) Emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// logs returns the messages logged so far.
func (h *testHost) logs() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Log != nil {
			out = append(out, e.Log.Level+": "+e.Log.Message)
		}
	}
	return out
}

func (h *testHost) exceptions() (out []*Exception) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Exception != nil {
			out = append(out, e.Exception)
		}
	}
	return out
}

// buildScript bundles a module given as text.
func buildScript(t testing.TB, source string) *Script {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.ts"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Build(context.Background(), BuildOptions{Main: "agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newAgent(t testing.TB, source string, cfg Config) *Agent {
	t.Helper()
	cfg.Name, cfg.Script = "test", buildScript(t, source)
	if cfg.Limits.CPU == 0 {
		cfg.Limits.CPU = 5 * time.Second // the race detector makes the collector's share of a turn large
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func get(path string) *Request {
	return &Request{Method: "GET", URL: "https://agent.example" + path, Header: http.Header{}, ContentLength: 0}
}

// answer runs one fetch to its end and returns the body, the head's error and the report.
func answer(t testing.TB, inv *Invocation) (body string, status int, err error, report Report) {
	t.Helper()
	resp, err := inv.Response()
	if resp != nil {
		status = resp.Status
		if resp.Body != nil {
			data, readErr := io.ReadAll(resp.Body)
			if readErr != nil {
				err = readErr
			}
			body = string(data)
			_ = resp.Body.Close()
		}
	}
	return body, status, err, inv.Wait()
}

func TestFetch(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a string", `export default { fetch() { return new Response("hello") } }`, "hello"},
		{"async", `export default { async fetch() { await null; return new Response("hello") } }`, "hello"},
		{"the request's url", `export default { fetch(req: Request) { return new Response(new URL(req.url).pathname) } }`, "/path"},
		{"a timer", `export default { async fetch() { await new Promise(r => setTimeout(r, 5)); return new Response("later") } }`, "later"},
		{"scheduler.wait", `export default { async fetch() { await scheduler.wait(1); return new Response("later") } }`, "later"},
		{"a var", `export default { fetch(req, env) { return new Response(env.MODEL + env.CONF.a) } }`, "small1"},
		{"env's members", `export default { fetch(req, env) { return new Response(Object.keys(env).join()) } }`, "CONF,MODEL,ORIGIN"},
		{"env of cloudflare:workers", `import {env} from "cloudflare:workers"; export default { fetch() { return new Response(env.MODEL) } }`, "small"},
		{"a class as entrypoint", `import {WorkerEntrypoint} from "cloudflare:workers";
			export default class extends WorkerEntrypoint { fetch(req) { return new Response(this.env.MODEL) } }`, "small"},
		{"top-level await", `const v = await Promise.resolve("tla"); export default { fetch() { return new Response(v) } }`, "tla"},
		{"a stream", `export default { fetch() { return new Response(new ReadableStream({ async start(c) {
			const e = new TextEncoder(); for (const p of ["a","b","c"]) { await scheduler.wait(1); c.enqueue(e.encode(p)) } c.close() } })) } }`, "abc"},
		{"state does not leak", `let n = 0; export default { fetch() { return new Response(String(++n)) } }`, "1"},
		{"structuredClone", `export default { fetch() { const o = {a: new Map([[1, {b: 2n}]])}; o.self = o; const c = structuredClone(o);
			return new Response(String(c.self === c && c !== o && c.a.get(1).b === 2n)) } }`, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, c.src, Config{Bindings: []Binding{{Name: "MODEL", Value: "small"}, {Name: "CONF", Kind: BindingJSON, Value: `{"a":1}`}}})
			for range 2 {
				host := &testHost{}
				body, status, err, report := answer(t, a.Fetch(t.Context(), host, get("/path")))
				if err != nil || body != c.want || status != 200 {
					t.Fatalf("got %q, %d, %v; want %q; %v", body, status, err, c.want, host.exceptions())
				}
				if report.Outcome != OutcomeOK || report.CPU <= 0 {
					t.Fatalf("report %+v", report)
				}
			}
		})
	}
}
