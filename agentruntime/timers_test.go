package agentruntime

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dop251/goja"
)

func TestTimers(t *testing.T) {
	for _, c := range []struct{ name, code, logs string }{
		{"order", `setTimeout(() => console.log("t0")); queueMicrotask(() => console.log("micro")); Promise.resolve().then(() => console.log("then")); console.log("sync"); await scheduler.wait(5)`, "sync|micro|then|t0"},
		{"arguments", `setTimeout((a, b) => console.log(a, b), 1, "x", 2); await scheduler.wait(5)`, "x 2"},
		{"interval", `let n = 0; const id = setInterval(() => { console.log(++n); if (n === 3) clearInterval(id) }, 10); await scheduler.wait(100)`, "1|2|3"},
		{"cleared before it fires", `const id = setTimeout(() => console.log("no"), 10); clearTimeout(id); clearTimeout(undefined); await scheduler.wait(50)`, ""},
		{"cleared by another at the same time", `const a = setTimeout(() => { console.log("a"); clearTimeout(b) }, 10); const b = setTimeout(() => { console.log("b"); clearTimeout(a) }, 10); await scheduler.wait(50)`, "one"},
		{"strange delays", `for (const d of [NaN, -5, "3", null, undefined]) setTimeout(() => console.log("x"), d); await scheduler.wait(50)`, "x|x|x|x|x"},
		{"an exception does not stop the others", `setTimeout(() => { throw new Error("bad") }, 1); setTimeout(() => console.log("still"), 2); await scheduler.wait(50)`, "still"},
		{"performance", `const a = performance.now(); await scheduler.wait(25); console.log(Math.round(performance.now() - a), typeof performance.timeOrigin)`, "25 number"},
		{"setImmediate", `setImmediate(() => console.log("now")); await scheduler.wait(1)`, "now"},
		{"no function", `try { setTimeout("code") } catch (e) { console.log(e.name) }`, "TypeError"},
		{"navigator", `console.log(navigator.userAgent)`, "Cloudflare-Workers"},
		{"self", `console.log(self === globalThis)`, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, "export default { async fetch() { "+c.code+"; return new Response() } }", Config{})
			synctest.Test(t, func(t *testing.T) {
				host := &testHost{}
				if _, _, err, _ := answer(t, a.Fetch(t.Context(), host, get("/"))); err != nil {
					t.Fatal(err)
				}
				got := strings.ReplaceAll(strings.Join(host.logs(), "|"), "log: ", "")
				if c.logs == "one" {
					if got != "a" && got != "b" {
						t.Fatal(got)
					}
					return
				}
				if got != c.logs {
					t.Fatalf("got %s, want %s", got, c.logs)
				}
			})
		})
	}
}

// TestMicrotasks holds that microtasks run in the order in which they were asked for, and not within each other.
func TestMicrotasks(t *testing.T) {
	for _, c := range []struct{ name, js, want string }{
		{"those of a microtask come after those that wait", `const l = []; queueMicrotask(() => { l.push("a"); Promise.resolve().then(() => l.push("c")) }); queueMicrotask(() => l.push("b"));
			await scheduler.wait(0); return l.join("")`, "abc"},
		{"those of a promise that an API waits for", `const l = []; let resolve; const body = new ReadableStream({ pull: (c) => new Promise((r) => { resolve = r }) }); body.getReader().read();
			await 0; resolve(); Promise.resolve().then(() => { l.push("a"); queueMicrotask(() => l.push("c")) }); queueMicrotask(() => l.push("b")); await scheduler.wait(0); return l.join("")`, "abc"},
		{"a long chain", `let n = 0; return await new Promise((done) => { const again = () => { if (++n === 200000) done(n); else queueMicrotask(again) }; again() })`, "200000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &testHost{}
			a := newAgent(t, "export default { async fetch() { return new Response(String(await (async () => {"+c.js+"})())) } }", Config{Limits: Limits{CPU: time.Minute}}) // the race detector makes it slow
			if got, _, err, _ := answer(t, a.Fetch(t.Context(), host, get("/"))); got != c.want {
				t.Errorf("got %q, want %q; %v %+v", got, c.want, err, host.exceptions())
			}
		})
	}
}

func init() {
	globals["__late"] = func(r *realm) goja.Value {
		return r.function("__late", 1, func(r *realm, call goja.FunctionCall) goja.Value {
			id := r.setTimer("__late", call, 1, false).ToInteger()
			r.timers[id].clock.Reset(time.Hour)
			return goja.Undefined()
		})
	}
}

// A timer whose clock is late runs in the place of one that is due after it, whose own turn must come all the same.
func TestLateClock(t *testing.T) {
	for want, late := range map[string]string{
		"late,next":       `__late(() => got.push("late"));`,
		"late,later,next": `__late(() => got.push("late")); __late(() => got.push("later"));`,
	} {
		a := newAgent(t, `export default { async fetch() {
			const got = [];
			`+late+`
			await new Promise(done => setTimeout(() => { got.push("next"); done() }, 5));
			return new Response(got.join());
		} }`, Config{Limits: Limits{Wall: 2 * time.Second}})
		if body, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{}, get("/"))); err != nil || body != want {
			t.Errorf("%q, %v; want %q", body, err, want)
		}
	}
}
