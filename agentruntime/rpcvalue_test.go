package agentruntime

import (
	"strings"
	"testing"
)

const valueCallee = `import {WorkerEntrypoint, RpcTarget} from "cloudflare:workers";
let disposals = [];
class Session extends RpcTarget {
	name = "s";
	hello() { return "hello" }
	[Symbol.dispose]() { disposals.push("session") }
}
class Plain { x = 1 }
export default class extends WorkerEntrypoint {
	async fill(out) { const w = out.getWriter(); for (const x of ["a", "b", "c"]) await w.write(new TextEncoder().encode(x)); await w.close(); return "filled" }
	async later(out) { const w = out.getWriter(); this.ctx.waitUntil((async () => { await scheduler.wait(2); await w.write(new TextEncoder().encode("late")); await w.close() })()); return "soon" }
	leave(out) { return "left" }
	breakOff(out) { return out.abort(new RangeError("no more")) }
	sink() { const parts = []; return { out: new WritableStream({ write(c) { parts.push(typeof c === "string" ? c : new TextDecoder().decode(c)) } }), got: () => parts.join("|") } }
	failing() { return new WritableStream({ write() { throw new TypeError("full") } }) }
	async pipe(input, out) { await input.pipeTo(out); return "piped" }
	async waits(signal) { if (signal.aborted) return "aborted already: " + signal.reason.message; return await new Promise(r => { signal.onabort = () => r(signal.reason.name + ": " + signal.reason.message) }) }
	signal() { return AbortSignal.abort("given up") }
	ticking() { return AbortSignal.timeout(3) }
	headers(h) { h.append("x", "3"); return h }
	async use(stub) { return await stub.name() + " " + await (await stub.fetch("https://x/there")).text() }
	async useOther(stub) { return [await stub.who(), await (await stub.fetch(new Request("https://x", {method: "POST", body: "hi"}))).text()].join() }
	async keep(stub) { const mine = stub.dup(); return { call: () => mine.who() } }
	pass(x) { return x }
	session() { return new Session() }
	nested() { return { session: new Session(), n: 1 } }
	disposals() { return disposals }
	plain() { return new Plain() }
	plainObject() { return Object.assign(Object.create(null), {a: 1}) }
	big(n) { return new Uint8Array(n) }
	size(b) { return b.byteLength }
	dom() { return new DOMException("m", "DataError") }
}
export class Named extends WorkerEntrypoint { name() { return "named" } fetch(req) { return new Response("fetched " + new URL(req.url).pathname) } }
`

func TestRPCValues(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"a WritableStream as argument", `async b => { const {readable, writable} = new IdentityTransformStream(); const text = new Response(readable).text(); return [await b.fill(writable), await text] }`, `["filled","abc"]`},
		{"it is written to after the call", `async b => { const {readable, writable} = new IdentityTransformStream(); const text = new Response(readable).text(); return [await b.later(writable), await text] }`, `["soon","late"]`},
		{"nobody takes it up", `async b => { const {readable, writable} = new IdentityTransformStream(); const text = caught(new Response(readable).text()); return [await b.leave(writable), await text] }`,
			`["left","Error: The other side of the WritableStream went away without closing it."]`},
		{"it is aborted", `async b => { let why; const s = new WritableStream({ abort(e) { why = e } }); await b.breakOff(s); return [why instanceof RangeError, why.message] }`, `[true,"no more"]`},
		{"a WritableStream in a result", `async b => { const s = await b.sink(); const w = s.out.getWriter(); await w.write("x"); await w.write(new Uint8Array([121])); await w.close(); return s.got() }`, `x|y`},
		{"its sink throws", `async b => { const w = (await b.failing()).getWriter(); return [await caught(w.write("x")), await caught(w.closed)] }`, `["TypeError: full","TypeError: full"]`},
		{"both kinds of streams", `async b => { const {readable, writable} = new IdentityTransformStream(); const text = new Response(readable).text(); return [await b.pipe(new Response("through").body, writable), await text] }`, `["piped","through"]`},
		{"a locked one", `async b => { const s = new WritableStream(); s.getWriter(); return caught(b.fill(s)) }`, `TypeError: The WritableStream has been locked to a writer, and cannot be sent.`},
		{"an AbortSignal", `async b => { const c = new AbortController(); const p = b.waits(c.signal); await scheduler.wait(2); c.abort(new RangeError("enough")); return await p }`, `RangeError: enough`},
		{"with the reason it makes itself", `async b => { const c = new AbortController(); const p = b.waits(c.signal); c.abort(); return await p }`, `AbortError: The operation was aborted`},
		{"one that is aborted", `b => b.waits(AbortSignal.abort(new Error("before")))`, `aborted already: before`},
		{"one in a result", `async b => { const s = await b.signal(); return [s.aborted, s.reason] }`, `[true,"given up"]`},
		{"one that is aborted later", `async b => { const s = await b.ticking(); return await new Promise(r => { s.onabort = () => r(s.reason.name) }) }`, `TimeoutError`},
		{"Headers", `async b => { const h = await b.headers(new Headers([["x", "1"], ["set-cookie", "a"], ["set-cookie", "b"]])); return [h instanceof Headers, h.get("x"), h.getSetCookie()] }`, `[true,"1, 3",["a","b"]]`},
		{"the binding of an agent", `(b, env) => b.use(env.NAMED)`, `named fetched /there`},
		{"an entrypoint of one's own", `(b, env, ctx) => b.useOther(ctx.exports.Other)`, `caller,other hi{}`},
		{"one with props", `(b, env, ctx) => b.useOther(ctx.exports.Other({props: {a: 1}}))`, `caller,other hi{"a":1}`},
		{"one that is kept", `async (b, env, ctx) => { const k = await b.keep(ctx.exports.Other); return await k.call() }`, `caller`},
		{"one that comes back", `async (b, env, ctx) => { const o = await b.pass(ctx.exports.Other); return [await o.who(), await (await o.fetch("https://x")).text()] }`, `["caller","other {}"]`},
		{"a result is disposed of as a whole", `async b => { const r = await b.nested(); const {session} = r; const before = await session.hello(); r[Symbol.dispose](); return [before, await caught(session.hello())] }`,
			`["hello","Error: The RPC stub was disposed and cannot be used any more."]`},
		{"any object can be disposed of", `async b => { using h = await b.plainObject(); return h.a }`, `1`},
		{"the instance of a class", `b => caught(b.plain())`, `DataCloneError: An instance of the class Plain cannot be sent: let the class extend RpcTarget to send it by reference, or send a plain object.`},
		{"a DOMException", `async b => { const e = await b.dom(); return [e instanceof DOMException, e.name, e.message] }`, `[true,"DataError","m"]`},
		{"as much as may be", `b => b.size(new Uint8Array(32 * 1024 * 1024 - 100))`, `33554332`},
		{"more than may be", `b => caught(b.size(new Uint8Array(32 * 1024 * 1024)))`, `Error: the message: 33554449 bytes, the limit is 33554432`},
		{"more than may be in a result", `async b => (await caught(b.big(32 * 1024 * 1024))).replace(/\d+ bytes/, "N bytes")`, `Error: the message: N bytes, the limit is 33554432`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(t, valueCallee, strings.Replace(rpcCaller, "CODE", c.code, 1))
			body, _, err, report := answer(t, p.caller.Fetch(t.Context(), p.host(), get("/")))
			if err != nil || body != c.want || report.Outcome != OutcomeOK {
				t.Fatalf("got %s, %v, %+v; want %s", body, err, report, c.want)
			}
			p.work.Wait()
		})
	}
}

// TestRPCTargetIsDisposedOf runs in an actor, whose isolate lasts: the target hears that its last reference was given up.
func TestRPCTargetIsDisposedOf(t *testing.T) {
	s := newStage(t, `import {DurableObject, RpcTarget} from "cloudflare:workers";
		export class A extends DurableObject {
			gone = 0;
			open() { const a = this; return new class extends RpcTarget { hello() { return "hello" } [Symbol.dispose]() { a.gone++ } } }
			count() { return this.gone }
			asks(signal) { return typeof signal }
		}`).activate()
	v, err := s.actor.Call(t.Context(), s.host, calling("open", args(t, ""))).Result()
	if err != nil || len(v.Remotes) != 1 {
		t.Fatal(v, err)
	}
	if got := s.call("count", ""); got != "0" {
		t.Fatal(got)
	}
	v.Close()
	if got := s.call("count", ""); got != "1" {
		t.Fatal(got)
	}
}
