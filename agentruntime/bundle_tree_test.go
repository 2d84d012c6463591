package agentruntime

import (
	"strings"
	"testing"
)

// said runs the agent's fetch handler and returns its answer.
func said(t *testing.T, src string) string {
	t.Helper()
	host := &testHost{}
	body, _, err, _ := answer(t, newAgent(t, src, Config{}).Fetch(t.Context(), host, get("/path")))
	if err != nil {
		t.Fatalf("%v\n%+v", err, host.exceptions())
	}
	return body
}

// TestSharedArguments holds that an arrow function sees the arguments of the function it is in.
func TestSharedArguments(t *testing.T) {
	for _, c := range []struct{ name, js, want string }{
		{"a function", `function f() { return (() => arguments.length)() } return f(1, 2)`, "2"},
		{"strict, with a directive", `function f() { "use strict"; return (() => arguments[1])() } return f(1, 2)`, "2"},
		{"parameters", `function f(a, b) { return [0].map(() => arguments[0] + b)[0] } return f(1, 2)`, "3"},
		{"arrows in arrows", `function f() { return (() => (() => arguments.length)())() } return f(1, 2)`, "2"},
		{"a method", `class A { m() { return (() => arguments.length)() } } return new A().m(1, 2)`, "2"},
		{"a shorthand property", `function f() { return (() => ({ arguments }))().arguments.length } return f(1, 2)`, "2"},
		{"a promise's executor", `function f() { let n; new Promise(() => { n = arguments.length }); return n } return f(1, 2, 3)`, "3"},
		{"a function in between", `function f() { return (() => (function () { return arguments.length })(1))() } return f(1, 2)`, "1"},
		{"an async function", `let n; async function f() { await (async () => { n = arguments.length })() } f(1, 2); return n`, "2"},
		{"a constructor", `class A { constructor() { this.n = (() => arguments.length)() } } return new A(1, 2).n`, "2"},
		{"a generator", `function* f() { yield (() => arguments.length)() } return f(1, 2).next().value`, "2"},
		{"a parameter's default", `function f(a, b = () => arguments.length) { return b() } return f(1)`, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, "function run() { "+c.js+" }\nexport default { fetch() { return new Response(String(run())) } }"); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestStacksThatCodeReads holds that code finds its own files in a stack, in the form that V8 gives it.
func TestStacksThatCodeReads(t *testing.T) {
	const in = "Error: x\n    at boom (agent.ts:1:25)\n    at run (agent.ts:"
	for _, c := range []struct{ name, js, want string }{
		{"a thrown error", `try { boom() } catch (e) { return e.stack }`, in},
		{"a new error", `return new RangeError("y").stack`, "RangeError: y\n    at run (agent.ts:"},
		{"an error of the engine", `try { null.x } catch (e: any) { return e.stack }`, "TypeError: Cannot read property 'x' of undefined\n    at run (agent.ts:"},
		{"by a computed name", `try { boom() } catch (e) { return e["stack"] }`, in},
		{"in a chain", `try { boom() } catch (e) { return e?.stack }`, in},
		{"through a chain", `try { boom() } catch (e) { const o = { e }; return o?.e.stack.slice(0) }`, in},
		{"through a longer chain", `try { boom() } catch (e) { const o = { e }; return o?.e?.stack?.slice(0) }`, in},
		{"a chain that ends", `const o: any = undefined; return String(o?.stack) + o?.a.stack + o?.a?.stack?.x`, "undefinedundefinedundefined"},
		{"a pattern", `try { boom() } catch (e) { const { message, stack } = e; return stack }`, in},
		{"a pattern with another name", `try { boom() } catch (e) { let s; ({ stack: s } = e); return s }`, in},
		{"a rejection", `const { reason } = (await Promise.allSettled([(async () => boom())()]))[0]; return reason.stack`, in[:strings.LastIndex(in, "\n")]},
		{"what was assigned", `const e = new Error("x"); e.stack = "mine"; return e.stack`, "mine"},
		{"what was added to", `const e = new Error("x"); e.stack += "more"; return String(e.stack.endsWith("more"))`, "true"},
		{"a stack of another kind", `const o = { stack: [1] }; o.stack.push(2); return o.stack.join()`, "1,2"},
		{"a method", `return new (class { n = 1; stack() { return String(this.n) } })().stack()`, "1"},
		{"its own", `class A { stack = [3]; get() { return this.stack.pop() } } return String(new A().get())`, "3"},
		{"code that code made", `try { new Function("throw new Error('x')")() } catch (e) { return e.stack }`, "Error: x\n    at "},
		{"a DOMException", `return new DOMException("m").stack`, "Error: m\n    at run (agent.ts:"},
		{"a clone", `try { boom() } catch (e) { return structuredClone(e).stack }`, in},
		{"captureStackTrace", `const o: any = {}; Error.captureStackTrace(o); return o.stack`, "Error\n    at run (agent.ts:"},
		{"captureStackTrace up to", `function f() { const o: any = { name: "E", message: "m" }; Error.captureStackTrace(o, f); return o.stack } return f()`, "E: m\n    at run (agent.ts:"},
		{"prepareStackTrace", `Error.prepareStackTrace = (e, sites) => sites.map((s) => [s.getFunctionName(), s.getFileName(), s.getLineNumber() > 0, s.getColumnNumber() > 0, s.isNative()].join()).join("|");
			try { boom() } catch (e) { return e.stack }`, "boom,agent.ts,true,true,false|run,agent.ts,true,true,false|"},
		{"prepareStackTrace of a captured stack", `Error.prepareStackTrace = (e, sites) => sites; const o = {}; Error.captureStackTrace(o); return o.stack[0].getFunctionName() + o.stack[0]`, "runrun (agent.ts:"},
		{"stackTraceLimit", `Error.stackTraceLimit = 0; const n = Error.stackTraceLimit; return n + new Error("x").stack`, "0Error: x"},
		{"a long stack", `function f(n) { if (n) return 1 * f(n - 1); throw new Error("x") } try { f(100) } catch (e) { return String(e.stack.split("\n    at f (").length - 1) }`, "10"},
		{"a longer one", `Error.stackTraceLimit = 40; function f(n) { if (n) return 1 * f(n - 1); throw new Error("x") } try { f(100) } catch (e) { return String(e.stack.split("\n    at f (").length - 1) }`, "40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(t, "function boom() { throw new Error('x') }\nasync function run() { "+c.js+" }\nexport default { async fetch() { return new Response(String(await run())) } }"); !strings.HasPrefix(got, c.want) {
				t.Fatalf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
