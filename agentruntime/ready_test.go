package agentruntime

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counting is a module with state, which shows whether a runtime has served before.
const counting = `
let served = 0;
console.log("evaluated");
export default {
  async fetch(request, env, ctx) {
    const path = new URL(request.url).pathname;
    const seen = [served++, typeof globalThis.left, [].left, env.left, typeof Symbol.for("left").left].join();
    globalThis.left = Array.prototype.left = env.left = 1;
    if (path === "/throws") throw new Error("x");
    if (path === "/timer") setTimeout(() => {}, 1e6);
    if (path === "/loop") for (;;);
    if (path === "/call") env.ORIGIN.fetch("https://x/").catch(() => {});
    if (path === "/late") ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1)));
    return new Response(seen);
  },
}`

const (
	untouched = "0,undefined,,,undefined"
	touched   = ",number,1,1,undefined"
)

func (a *Agent) countReady() int {
	a.ready.mu.Lock()
	defer a.ready.mu.Unlock()
	return len(a.ready.list)
}

// visit has a answer one request, and returns the body.
func visit(t testing.TB, a *Agent, host Host, path string) string {
	t.Helper()
	body, _, _, _ := answer(t, a.Fetch(context.Background(), host, get(path)))
	return body
}

// A runtime serves one request and no more, unless the agent says otherwise.
func TestFreshForEach(t *testing.T) {
	a := newAgent(t, counting, Config{})
	for i := range 20 {
		if got := visit(t, a, &testHost{}, "/"); got != untouched {
			t.Fatalf("request %d saw %s", i, got)
		}
	}
}

func TestReuse(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       string // what the request after path sees
	}{
		{"a runtime serves again", "/", "1" + touched},
		{"not after an exception", "/throws", untouched},
		{"not after its time was up", "/loop", untouched},
		{"not while a timer waits", "/timer", untouched},
		{"not while a request is under way", "/call", untouched},
		{"once waitUntil is over", "/late", "1" + touched},
	} {
		t.Run(c.name, func(t *testing.T) {
			limits := Limits{CPU: 20 * time.Millisecond}
			if c.path != "/loop" {
				limits.CPU = 5 * time.Second
			}
			a := newAgent(t, counting, Config{Reuse: 3, Limits: limits})
			release := make(chan struct{})
			defer close(release)
			host := &testHost{fetch: func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
				<-release
				return nil, ctx.Err()
			}}
			visit(t, a, host, c.path)
			for c.path == "/late" && a.countReady() == 0 {
				runtime.Gosched() // the end of the work after the answer is known before the runtime is back
			}
			if got := visit(t, a, host, "/"); got != c.want {
				t.Errorf("the next request saw %s, want %s", got, c.want)
			}
		})
	}
}

func TestReuseLimit(t *testing.T) {
	a := newAgent(t, counting, Config{Reuse: 3})
	var got []string
	for range 7 {
		seen, _, _ := strings.Cut(visit(t, a, &testHost{}, "/"), ",")
		got = append(got, seen)
	}
	if want := "0 1 2 0 1 2 0"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// A runtime serves one request at a time: one that waits keeps its own.
func TestReuseOneAtATime(t *testing.T) {
	a := newAgent(t, `let inside = 0;
export default { async fetch(request, env) {
  inside++;
  await env.ORIGIN.fetch("https://x/");
  return new Response(String(inside--));
} }`, Config{Reuse: 1000})
	host := &testHost{fetch: func(context.Context, Target, *Request) (*Response, error) {
		return &Response{Status: 200}, nil
	}}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got := visit(t, a, host, "/"); got != "1" {
					t.Errorf("%s requests were inside at once", got)
				}
			}
		})
	}
	all.Wait()
}

func TestSpares(t *testing.T) {
	a := newAgent(t, counting, Config{Spares: 2})
	synctest.Test(t, func(t *testing.T) {
		for i := range 3 {
			host := &testHost{}
			if got := visit(t, a, host, "/"); got != untouched {
				t.Fatalf("request %d saw %s", i, got)
			}
			if n := strings.Count(fmt.Sprint(host.logs()), "evaluated"); n != 1 {
				t.Errorf("request %d has the module's line %d times in its log", i, n)
			}
			// Turns of tests that run beside this one count as work: idle time may take a few tries to come.
			for range 1000 {
				time.Sleep(quiet)
				synctest.Wait()
			}
			if n := a.countReady(); n != 2 {
				t.Errorf("%d spares after request %d, want 2", n, i)
			}
		}
	})
}

// What can't be evaluated ahead of its request is not.
func TestNoSpares(t *testing.T) {
	for _, c := range []struct{ name, source string }{
		{"a timer", `setTimeout(() => {}, 1)`},
		{"a top-level await that waits", `await new Promise((resolve) => setTimeout(resolve, 1))`},
		{"much memory", `globalThis.kept = new Uint8Array(20 << 20)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, c.source+`; export default { fetch() { return new Response("ok") } }`, Config{Spares: 2})
			synctest.Test(t, func(t *testing.T) {
				for range 2 {
					if got := visit(t, a, &testHost{}, "/"); got != "ok" {
						t.Fatalf("got %q", got)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					if n := a.countReady(); n != 0 {
						t.Errorf("%d are ready", n)
					}
				}
			})
		})
	}
}
