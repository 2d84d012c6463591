package agentruntime

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// pair is two agents, of which caller reaches callee through the binding B, and itself through ctx.exports.
type pair struct {
	callee, caller *Agent
	work           sync.WaitGroup
	mu             sync.Mutex
	reports        []Report // of the callee's invocations that have ended
}

func newPair(t *testing.T, callee, caller string) *pair {
	return &pair{
		callee: newAgent(t, callee, Config{Bindings: []Binding{{Name: "WHO", Value: "callee"}}}),
		caller: newAgent(t, caller, Config{Bindings: []Binding{{Name: "WHO", Value: "caller"}, {Name: "B", Kind: BindingService}, {Name: "NAMED", Kind: BindingService}}}),
	}
}

func (p *pair) target(target Target) (*Agent, Entry) {
	switch target.Binding {
	case "":
		return p.caller, target.Entry
	case "NAMED":
		return p.callee, Entry{Name: "Named"}
	}
	return p.callee, Entry{}
}

func (p *pair) ended(inv *Invocation) {
	p.work.Go(func() {
		rep := inv.Wait()
		p.mu.Lock()
		p.reports = append(p.reports, rep)
		p.mu.Unlock()
	})
}

func (p *pair) host() *testHost {
	h := &testHost{}
	h.call = func(_ context.Context, target Target, call Call) (Value, error) {
		a, entry := p.target(target)
		inv := a.Call(context.Background(), p.host(), entry, call)
		defer p.ended(inv)
		return inv.Result()
	}
	h.fetch = func(_ context.Context, target Target, req *Request) (*Response, error) {
		a, entry := p.target(target)
		inv := a.FetchAt(context.Background(), p.host(), entry, req)
		defer p.ended(inv)
		return inv.Response()
	}
	return h
}

const rpcCallee = `import {WorkerEntrypoint, RpcTarget} from "cloudflare:workers";
class Counter extends RpcTarget {
	#n; secret = 1;
	constructor(n) { super(); this.#n = n }
	increment(by = 1) { return this.#n += by }
	get value() { return this.#n }
	self() { return this }
	fail() { throw new RangeError("no further") }
}
const later = [];
export default class extends WorkerEntrypoint {
	own = 1;
	add(a, b) { return a + b }
	async who() { await null; return this.env.WHO }
	get greeting() { return "hello" }
	get nested() { return {deep: {n: 7, f: x => x * 2}} }
	counter(n) { return new Counter(n) }
	two() { return {a: new Counter(1), f: (x) => x + 1, plain: [1, 2]} }
	adder(n) { return async m => n + m }
	async each(list, fn) { const out = []; for (const x of list) out.push(await fn(x)); return out }
	async use(target) { return await target.increment(5) }
	async keep(fn) { const mine = fn.dup(); return { later: x => mine(x), gone: async () => { try { return await fn(1) } catch (e) { return e.message } } } }
	boom() { const e = new TypeError("broken"); e.retryable = true; throw e }
	stream() { return new ReadableStream({ type: "bytes", start(c) { c.enqueue(new TextEncoder().encode("streamed")); c.close() } }) }
	async drink(s) { return await new Response(s).text() }
	async echo(req) { return new Response(req.method + " " + req.url + " " + await req.text(), {status: 201, headers: {x: "y"}}) }
	pass(x) { return x }
	ignore(s) { return "ignored" }
	map() { return new Map([["a", new Date(0)]]) }
	symbol() { return Symbol("s") }
	after() { this.ctx.waitUntil(scheduler.wait(5)); return "now" }
	props() { return this.ctx.props }
	async fetch(req) { return new Response(this.env.WHO + " " + new URL(req.url).pathname + " " + JSON.stringify(this.ctx.props)) }
}
export class Named extends WorkerEntrypoint { name() { return "named" } fetch() { return new Response("named fetch") } }
`

const rpcCaller = `import {WorkerEntrypoint, RpcTarget, RpcStub, exports, waitUntil} from "cloudflare:workers";
class Mine extends RpcTarget { n = 10; increment(by) { return this.n += by } }
export class Other extends WorkerEntrypoint {
	props() { return this.ctx.props }
	who() { return this.env.WHO }
	async fetch(req) { return new Response("other " + await req.text() + JSON.stringify(this.ctx.props)) }
}
export const plain = { fetch(req, env, ctx) { return new Response("plain " + typeof ctx.exports.plain.fetch) } };
export default { async fetch(req, env, ctx) {
	const caught = async p => { try { return await p } catch (e) { return e.name + ": " + e.message } };
	const v = await (CODE)(env.B, env, ctx);
	return v instanceof Response ? v : new Response(typeof v === "string" ? v : JSON.stringify(v));
} }`

func TestRPC(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"a method", `b => b.add(1, 2)`, `3`},
		{"its env is its own", `b => b.who()`, `callee`},
		{"a named entrypoint", `(b, env) => env.NAMED.name()`, `named`},
		{"a property", `async b => await b.greeting`, `hello`},
		{"a nested property", `async b => await b.nested.deep.n`, `7`},
		{"a nested function", `async b => await b.nested.deep.f(4)`, `8`},
		{"fetch", `b => b.fetch("https://b/path")`, `callee /path {}`},
		{"fetch of a named entrypoint", `(b, env) => env.NAMED.fetch("https://b/path")`, `named fetch`},
		{"an exception", `async b => { try { await b.boom() } catch (e) { return [e instanceof TypeError, e.message, e.remote, e.retryable] } }`, `[true,"broken",true,true]`},
		{"no such method", `b => caught(b.nothere())`, `TypeError: The RPC receiver does not implement the method "nothere".`},
		{"an instance's own property", `async b => caught(b.own)`, `TypeError: The RPC receiver does not implement the method "own".`},
		{"its env", `async b => [typeof b.env, typeof b.ctx, typeof b.scheduled]`, `["undefined","undefined","undefined"]`},
		{"structured clones", `async b => (await b.map()).get("a").getTime()`, `0`},
		{"what can't be cloned", `b => caught(b.symbol())`, `DataCloneError: Symbol(s) could not be cloned.`},
		{"an argument that can't be cloned", `b => caught(b.add(Symbol("a")))`, `DataCloneError: Symbol(a) could not be cloned.`},
		{"an RpcTarget", `async b => { const c = await b.counter(3); return [await c.increment(), await c.increment(2), await c.value] }`, `[4,6,6]`},
		{"its instance's fields", `async b => { const c = await b.counter(3); return caught(c.secret) }`, `TypeError: The RPC receiver does not implement the method "secret".`},
		{"its exception", `async b => caught((await b.counter(3)).fail())`, `RangeError: no further`},
		{"pipelining", `async b => [await b.counter(3).increment(), await b.counter(5).self().increment(1), await b.counter(9).value]`, `[4,6,9]`},
		{"pipelining into a failure", `async b => [await caught(b.boom().increment()), await caught(b.add(1, 2).increment())]`, `["TypeError: broken","TypeError: The RPC receiver does not implement the method \"increment\"."]`},
		{"a function in a result", `async b => { const add = await b.adder(2); return [await add(3), typeof add] }`, `[5,"function"]`},
		{"an object with references", `async b => { const o = await b.two(); return [await o.a.increment(), await o.f(1), o.plain] }`, `[2,2,[1,2]]`},
		{"a callback", `b => b.each([1, 2, 3], x => x * 10)`, `[10,20,30]`},
		{"a callback that throws", `async b => caught(b.each([1], x => { throw new RangeError("mine " + x) }))`, `RangeError: mine 1`},
		{"a target as argument", `async b => { const m = new Mine(); const r = await b.use(m); return [r, m.n] }`, `[15,15]`},
		{"an argument is given up after the call", `async b => { const k = await b.keep(x => x + 1); return [await k.later(1), await k.gone()] }`, `[2,"The RPC stub was disposed and cannot be used any more."]`},
		{"a stub passed on", `async b => { const c = await b.counter(1); return [await b.use(c), await c.value] }`, `[6,6]`},
		{"a stub given back", `async b => { const f = await b.pass(x => x + 1); return f(1) }`, `2`},
		{"a disposed stub", `async b => { const c = await b.counter(1); const d = c.dup(); c[Symbol.dispose](); return [await caught(c.increment()), await d.increment()] }`,
			`["Error: The RPC stub was disposed and cannot be used any more.",2]`},
		{"a stream in a result", `async b => new Response(await b.stream())`, `streamed`},
		{"a stream as argument", `async b => b.drink(new Response("drunk").body)`, `drunk`},
		{"a stream of one's own making", `async b => b.drink(new ReadableStream({ async start(c) { for (const x of ["a", "b"]) { await scheduler.wait(1); c.enqueue(new TextEncoder().encode(x)) } c.close() } }))`, `ab`},
		{"a stream that nobody reads", `async b => b.ignore(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(10)) } }))`, `ignored`},
		{"a stream through the callee", `async b => new Response(await b.pass(new Response("through").body))`, `through`},
		{"a request and a response", `async b => { const r = await b.echo(new Request("https://x/y", {method: "POST", body: "text"})); return [r.status, r.headers.get("x"), await r.text()] }`,
			`[201,"y","POST https://x/y text"]`},
		{"a locked stream", `async b => { const s = new Response("x").body; s.getReader(); return caught(b.drink(s)) }`, `TypeError: The ReadableStream has been locked to a reader, and cannot be sent.`},
		{"Promise.all", `b => Promise.all([b.add(1, 1), b.add(2, 2), b.greeting])`, `[2,4,"hello"]`},
		{"a promise of a call is a Promise", `async b => { const p = b.add(1, 2); return [p instanceof Promise, typeof p.then, await p.then(x => x + 1), await p.finally(() => 0)] }`, `[true,"function",4,3]`},
		{"waitUntil in the callee", `b => b.after()`, `now`},
		{"a binding is no thenable", `async b => [typeof b.then, typeof (await b).add]`, `["undefined","function"]`},
		{"ctx.exports", `(b, env, ctx) => ctx.exports.Other.who()`, `caller`},
		{"exports of cloudflare:workers", `() => exports.Other.who()`, `caller`},
		{"its names", `(b, env, ctx) => Object.keys(ctx.exports)`, `["Other","default","plain"]`},
		{"with props", `async (b, env, ctx) => [await ctx.exports.Other({props: {a: [1]}}).props(), await ctx.exports.Other.props()]`, `[{"a":[1]},{}]`},
		{"its fetch", `(b, env, ctx) => ctx.exports.Other({props: {a: 1}}).fetch("https://x", {method: "POST", body: "hi"})`, `other hi{"a":1}`},
		{"an object's fetch", `(b, env, ctx) => ctx.exports.plain.fetch("https://x")`, `plain function`},
		{"an object has no methods", `(b, env, ctx) => caught(ctx.exports.plain.anything())`,
			`TypeError: The entrypoint plain has no methods to be called: let it be a class that extends WorkerEntrypoint.`},
		{"RpcStub", `async b => { const s = new RpcStub(new Mine()); return [await s.increment(1), await b.use(s)] }`, `[11,16]`},
		{"structuredClone refuses a stub", `async b => { const c = await b.counter(1); try { structuredClone(c) } catch (e) { return e.name } }`, `DataCloneError`},
		{"connect", `b => { try { b.connect("x:1") } catch (e) { return e.message } }`, `connect() of a service binding is not built: use fetch(), or a method`},
		{"waitUntil of cloudflare:workers", `() => { waitUntil(Promise.resolve()); return "fine" }`, `fine`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, rpcCallee, strings.Replace(rpcCaller, "CODE", c.code, 1))
			body, _, err, report := answer(t, p.caller.Fetch(t.Context(), p.host(), get("/")))
			if err != nil || body != c.want || report.Outcome != OutcomeOK {
				t.Fatalf("got %s, %v, %+v; want %s", body, err, report, c.want)
			}
			p.work.Wait() // everything that the callee was kept from ending for is given up
		})
	}
}
