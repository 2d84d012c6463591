// Looks for what an earlier invocation left, and then leaves as much as it can.

const state = { count: 0, list: [] as number[] };
let variable = 0;
const expression = /a/g;
const tag = (parts: TemplateStringsArray) => parts;
class Own {
	static seen = false;
}

/** What each of these gives in a fresh runtime must be undefined, false or 0. */
const traces: Record<string, () => unknown> = {
	"a global": () => (globalThis as any).leak,
	"an undeclared name": () => typeof (globalThis as any).leaked !== "undefined",
	"a changed global": () => (globalThis as any).Map.leak,
	"a replaced global": () => (globalThis as any).fetch.leak,
	"module state": () => state.count + state.list.length + variable,
	"a static member": () => Own.seen,
	"the place of an expression": () => expression.lastIndex,
	"a template": () => (tag`x` as any) === (globalThis as any).template,
	"Object.prototype": () => (({}) as any).leak,
	"Array.prototype": () => ([] as any).leak || [1].map.length !== 1,
	"Function.prototype": () => ((() => 1) as any).leak,
	"Promise.prototype": () => (Promise.resolve() as any).leak,
	"Symbol.prototype": () => (Symbol.iterator as any).leak,
	"the symbols' registry": () => (globalThis as any)[Symbol.for("leak")],
	"Response": () => (Response as any).leak || (Response.prototype as any).leak,
	"Headers": () => new Headers().has("leak"),
	"URL": () => (URL.prototype as any).leak,
	"JSON": () => JSON.parse("1") !== 1 || (JSON as any).leak,
	"Math": () => (Math as any).leak || Math.random() === 4,
	"Date": () => Date.now() === 4,
	"console": () => (console as any).leak,
	"crypto": () => (crypto as any).leak || (crypto.subtle as any).leak,
	"an error's class": () => (Error as any).leak || (new Error() as any).leak,
	"a typed array": () => new Uint8Array(1024).some((byte) => byte !== 0),
	"an iterator": () => [...[1, 2]].length !== 2,
	"a frozen object": () => Object.isFrozen(Array.prototype),
};

function pollute(env: any, ctx: any): void {
	const g = globalThis as any;
	g.leak = g.leaked = 1;
	g.template = tag`x`;
	g[Symbol.for("leak")] = 1;
	state.count++;
	state.list.push(1);
	variable++;
	Own.seen = true;
	expression.test("a");
	for (const o of [Object.prototype, Array.prototype, Function.prototype, Promise.prototype, Symbol.prototype, Map, Response,
		Response.prototype, URL.prototype, Error, Error.prototype, JSON, Math, console, crypto, crypto.subtle, env, ctx] as any[]) {
		try { o.leak = 1; } catch {}
	}
	g.fetch = Object.assign(() => 1, { leak: 1 });
	Math.random = () => 4;
	Date.now = () => 4;
	JSON.parse = () => "parsed";
	Array.prototype.map = (() => []) as any;
	Array.prototype[Symbol.iterator] = function* () {} as any;
	Object.freeze(Array.prototype);
	const kept = new Uint8Array(1024).fill(255);
	setTimeout(() => console.log("a timer of an invocation that has ended", kept), 50);
	setInterval(() => console.log("an interval of an invocation that has ended", kept), 50);
	queueMicrotask(() => { g.later = 1; });
	Promise.resolve().then(() => { g.later = 2; });
}

export default {
	fetch(request: Request, env: any, ctx: any): Response {
		const found: string[] = [];
		const own = request.url.endsWith("/own"); // to see that what is left would be found
		if (own) pollute(env, ctx);
		const names = Object.keys(traces);
		for (let i = 0; i < names.length; i++) if (traces[names[i]]()) found[found.length] = names[i];
		if (env.leak || ctx.leak) found[found.length] = "env or ctx";
		if (env.SETTINGS.changed) found[found.length] = "a binding's value";
		env.SETTINGS.changed = true;
		const answer = new Response(found.join());
		if (!own) pollute(env, ctx);
		return answer;
	},
};
