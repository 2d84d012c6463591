package agentruntime

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name, src string
		outcome   Outcome
		err       error  // the head's error
		message   string // of the exception that is reported, empty for none
	}{
		{"an exception", `export default { fetch() { throw new TypeError("bad") } }`, OutcomeException, nil, "bad"},
		{"a rejection", `export default { async fetch() { await null; throw new TypeError("bad") } }`, OutcomeException, nil, "bad"},
		{"not an Error", `export default { fetch() { throw "bad" } }`, OutcomeException, nil, "bad"},
		{"not a Response", `export default { fetch() { return 7 } }`, OutcomeException, nil, "is not a Response"},
		{"a promise that can't settle", `export default { fetch() { return new Promise(() => {}) } }`, OutcomeException, nil, "will never generate a response"},
		{"endless recursion", `export default { fetch() { const f = () => f() + 1; f() } }`, OutcomeException, nil, "Maximum call stack size exceeded"},
		{"an endless loop", `export default { fetch() { for (;;) {} } }`, OutcomeExceededCPU, ErrExceededCPU, "CPU time limit"},
		{"an endless loop after an await", `export default { async fetch() { await scheduler.wait(1); for (;;) {} } }`, OutcomeExceededCPU, ErrExceededCPU, "CPU time limit"},
		{"an endless chain of jobs", `export default { async fetch() { for (;;) await null } }`, OutcomeExceededCPU, ErrExceededCPU, "CPU time limit"},
		{"an endless loop in finally", `export default { fetch() { try { for (;;) {} } finally { for (;;) {} } } }`, OutcomeExceededCPU, ErrExceededCPU, "CPU time limit"},
		{"no such handler", `export default { scheduled() {} }`, OutcomeException, nil, "has no fetch handler"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &testHost{}
			a := newAgent(t, c.src, Config{Limits: Limits{CPU: 20 * time.Millisecond}})
			_, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
			if report.Outcome != c.outcome {
				t.Fatalf("outcome %s, want %s (%v)", report.Outcome, c.outcome, err)
			}
			if err == nil || c.err != nil && !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			ex := host.exceptions()
			if len(ex) != 1 || !strings.Contains(ex[0].Message, c.message) {
				t.Fatalf("exceptions %+v, want one with %q", ex, c.message)
			}
			if n := strings.Count(ex[0].Stack, "    at "); n > 10 || c.name == "endless recursion" && n != 10 {
				t.Fatalf("a stack of %d frames, want 10 at most:\n%s", n, ex[0].Stack)
			}
		})
	}
}

func TestExceptionStackNamesTheSource(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, "interface X { a: number }\nfunction boom(): never {\n  throw new RangeError('x')\n}\nexport default { fetch() { boom() } }", Config{})
	_, _, _, _ = answer(t, a.Fetch(t.Context(), host, get("/")))
	ex := host.exceptions()
	if len(ex) != 1 || ex[0].Name != "RangeError" || !strings.Contains(ex[0].Stack, "agent.ts:3:") {
		t.Fatalf("%+v", ex[0])
	}
}

func TestReturningNothingLeavesTheAnswerToTheOrigin(t *testing.T) {
	for _, c := range []struct {
		name, src string
		outcome   Outcome
	}{
		{"undefined", `export default { fetch() {} }`, OutcomeOK},
		{"passThroughOnException", `export default { fetch(r, e, ctx) { ctx.passThroughOnException(); throw new Error("x") } }`, OutcomeException},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := newAgent(t, c.src, Config{}).Fetch(t.Context(), &testHost{}, get("/"))
			resp, err := inv.Response()
			if resp != nil || err != nil {
				t.Fatal(resp, err)
			}
			if r := inv.Wait(); r.Outcome != c.outcome {
				t.Fatal(r)
			}
		})
	}
}

func TestWaiting(t *testing.T) {
	for _, c := range []struct {
		name, src string
		outcome   Outcome
		wall      time.Duration
		logs      string
	}{
		{"waitUntil", `export default { fetch(r, e, ctx) { ctx.waitUntil(scheduler.wait(3000).then(() => console.log("done"))); return new Response("x") } }`,
			OutcomeOK, 3 * time.Second, "log: done"},
		{"waitUntil that rejects", `export default { fetch(r, e, ctx) { ctx.waitUntil(Promise.reject(new Error("x"))); return new Response("x") } }`,
			OutcomeException, 0, ""},
		{"waitUntil for too long", `export default { fetch(r, e, ctx) { ctx.waitUntil(scheduler.wait(60000)); return new Response("x") } }`,
			OutcomeOK, 30 * time.Second, "warn: waitUntil() tasks did not complete within 30 seconds of the answer and were cancelled"},
		{"waitUntil for ever", `export default { fetch(r, e, ctx) { ctx.waitUntil(new Promise(() => {})); return new Response("x") } }`, OutcomeOK, 0, ""},
		{"a timer nobody waits for", `export default { fetch() { setTimeout(() => console.log("late"), 1000); return new Response("x") } }`, OutcomeOK, 0, ""},
		{"no answer in time", `export default { async fetch() { await scheduler.wait(60000); return new Response("x") } }`,
			OutcomeExceededWallTime, 10 * time.Second, ""},
		{"an interval keeps code waiting", `export default { fetch() { setInterval(() => {}, 1000); return new Promise(() => {}) } }`,
			OutcomeExceededWallTime, 10 * time.Second, ""},
		{"clearTimeout", `export default { fetch() { const id = setTimeout(() => {}, 5000); clearTimeout(id); return new Promise(() => {}) } }`,
			OutcomeException, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, c.src, Config{Limits: Limits{Wall: 10 * time.Second, CPU: time.Second}})
			synctest.Test(t, func(t *testing.T) {
				host := &testHost{}
				_, _, _, report := answer(t, a.Fetch(t.Context(), host, get("/")))
				if report.Outcome != c.outcome || report.Wall.Round(100*time.Millisecond) != c.wall {
					t.Fatalf("%+v", report)
				}
				if got := strings.Join(host.logs(), "|"); got != c.logs {
					t.Fatal(got)
				}
			})
		})
	}
}

func TestCallerGoes(t *testing.T) {
	a := newAgent(t, `export default { async fetch() { await fetch("https://x.example/"); return new Response("x") } }`, Config{})
	started, ended := make(chan struct{}), make(chan struct{})
	host := &testHost{fetch: func(ctx context.Context, _ Target, _ *Request) (*Response, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	inv := a.Fetch(ctx, host, get("/"))
	<-started
	cancel()
	if _, err := inv.Response(); !errors.Is(err, ErrCanceled) {
		t.Fatal(err)
	}
	if r := inv.Wait(); r.Outcome != OutcomeCanceled {
		t.Fatal(r)
	}
	<-ended
}

func TestSubrequestLimit(t *testing.T) {
	a := newAgent(t, `export default { async fetch() { try { for (let i = 0; ; i++) await fetch("https://x.example/") } catch (e) { return new Response(e.message) } } }`,
		Config{Limits: Limits{Subrequests: 3}})
	calls := 0
	host := &testHost{fetch: func(context.Context, Target, *Request) (*Response, error) {
		calls++
		return &Response{Status: 200}, nil
	}}
	body, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
	if err != nil || calls != 3 || report.Subrequests != 3 || !strings.Contains(body, "too many subrequests") {
		t.Fatal(body, err, calls, report)
	}
}

func TestRequestBodyLimit(t *testing.T) {
	a := newAgent(t, `export default { async fetch(req) { try { return new Response(String((await req.text()).length)) } catch (e) { return new Response(e.message) } } }`,
		Config{Limits: Limits{RequestBody: 10}})
	for body, want := range map[string]string{"0123456789": "10", "0123456789a": "larger than the limit of 10 bytes"} {
		req := get("/")
		req.Method, req.Body, req.ContentLength = "POST", io.NopCloser(strings.NewReader(body)), -1
		got, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{}, req))
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}

func TestUnhandledRejectionIsReported(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, `export default { async fetch() { Promise.reject(new Error("nobody listens")); const p = Promise.reject(1); p.catch(() => {}); return new Response("x") } }`, Config{})
	body, _, err, report := answer(t, a.Fetch(t.Context(), host, get("/")))
	ex := host.exceptions()
	if err != nil || body != "x" || report.Outcome != OutcomeOK || len(ex) != 1 || ex[0].Message != "nobody listens" {
		t.Fatal(body, err, report, ex)
	}
}

func TestSecretIsOpenedOncePerInvocation(t *testing.T) {
	a := newAgent(t, `export default { fetch(r, env) { return new Response(env.KEY + env.KEY) } }`,
		Config{Bindings: []Binding{{Name: "KEY", Kind: BindingSecret}}})
	opened := 0
	host := &testHost{secret: func(string) (string, error) { opened++; return "s3", nil }}
	for want := 1; want <= 2; want++ {
		if body, _, err, _ := answer(t, a.Fetch(t.Context(), host, get("/"))); body != "s3s3" || err != nil || opened != want {
			t.Fatal(body, err, opened)
		}
	}
}

func TestScheduledAndTail(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, `export default { async scheduled(c, env, ctx) { await null; console.log(c.cron, c.scheduledTime) }, tail(events) { console.log(events.length, events[0].outcome) } }`, Config{})
	if r := a.Scheduled(t.Context(), host, "* * * * *", time.UnixMilli(5)).Wait(); r.Outcome != OutcomeOK {
		t.Fatal(r)
	}
	if r := a.Tail(t.Context(), host, []byte(`[{"outcome":"ok"}]`)).Wait(); r.Outcome != OutcomeOK {
		t.Fatal(r)
	}
	if got := strings.Join(host.logs(), "|"); got != "log: * * * * * 5|log: 1 ok" {
		t.Fatal(got)
	}
}

func TestLoadRefuses(t *testing.T) {
	durable := Config{Bindings: []Binding{{Name: "NS", Kind: BindingDurable, Class: "Room"}}}
	for _, c := range []struct {
		name, src string
		cfg       Config
		want      string
	}{
		{"nothing is exported", `const x = 1`, Config{}, "neither a handler nor a class"},
		{"a handler that is not delivered", `export default { queue() {}, fetch() {} }`, Config{}, "queue handler"},
		{"a class is missing", `export class Other {}; export default { fetch() {} }`, durable, `the durable binding NS names the class "Room", which the module does not export; it exports Other`},
		{"evaluation throws", "\nthrow new Error('at the top')\nexport default { fetch() {} }", Config{}, "Error: at the top (at agent.ts:2:"},
		{"evaluation takes too long", `for (;;) {}; export default { fetch() {} }`, Config{Limits: Limits{Startup: 20 * time.Millisecond}}, "longer than 20ms"},
		{"a secret at the top level", `import {env} from "cloudflare:workers"; const k = env.KEY; export default { fetch() { return new Response(k) } }`,
			Config{Bindings: []Binding{{Name: "KEY", Kind: BindingSecret}}}, "only while an event is handled"},
		{"a variable that is not JSON", `export default { fetch() {} }`, Config{Bindings: []Binding{{Name: "X", Kind: BindingJSON, Value: "{"}}}, "not valid JSON"},
		{"two bindings of one name", `export default { fetch() {} }`, Config{Bindings: []Binding{{Name: "X"}, {Name: "X"}}}, "two bindings are called X"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Name, c.cfg.Script = "test", buildScript(t, c.src)
			if _, err := New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSlowModuleHasItsOwnBudget(t *testing.T) {
	a := newAgent(t, `let n = 0; const end = Date.now() + 40; while (Date.now() < end) n++; export default { fetch() { return new Response("x") } }`,
		Config{Limits: Limits{CPU: 15 * time.Millisecond, Startup: 5 * time.Second}})
	body, _, err, report := answer(t, a.Fetch(t.Context(), &testHost{}, get("/")))
	if err != nil || body != "x" || report.CPU > 15*time.Millisecond {
		t.Fatal(body, err, report)
	}
}

func TestBodyStreamsPastTheWallLimit(t *testing.T) {
	a := newAgent(t, `export default { fetch() { return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(5000); this.n = (this.n ?? 0) + 1; c.enqueue(new TextEncoder().encode("x")); if (this.n === 4) c.close() } })) } }`,
		Config{Limits: Limits{Wall: time.Second, CPU: time.Second}})
	synctest.Test(t, func(t *testing.T) {
		body, _, err, report := answer(t, a.Fetch(t.Context(), &testHost{}, get("/")))
		if body != "xxxx" || err != nil || report.Outcome != OutcomeOK || report.Wall < 20*time.Second {
			t.Fatal(body, err, report)
		}
	})
}
