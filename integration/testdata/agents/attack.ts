// Code that means harm. Each attack is a path; /fine is what the agent does when it behaves.

type Attack = (request: Request, ctx: ExecutionContext) => unknown;

const deep = (open: string, close = "") => open.repeat(1e6) + close.repeat(1e6);

const attacks: Record<string, Attack> = {
	// Nesting, which a parser or a native that recurses meets with Go's stack.
	json: () => JSON.parse(deep("[", "]")),
	jsonObject: () => JSON.parse(deep('{"a":')),
	eval: () => (0, eval)(deep("[", "]")),
	function: () => new Function("return " + deep("(", ")")),
	regexp: () => new RegExp(deep("(", ")")),
	regexpClass: () => new RegExp(deep("(?:a|", ")")),
	match: () => "x".match(deep("(?=")),
	flat: () => nested(1e6).flat(Infinity),
	clone: () => structuredClone(nested(1e6)),
	log: () => console.log(nested(1e6)),
	stringify: () => JSON.stringify(nested(1e6)),

	// Recursion through natives, where the engine's limit on calls does not count each level.
	map: () => [1].map(function again(): unknown { return [1].map(again); }),
	sort: () => { const again = (): number => { [2, 1].sort(again); return 0; }; return again(); },
	replace: () => { const again = (): string => "a".replace(/a/, again); return again(); },
	getter: () => { const o: any = { get again() { return o.again; } }; return o.again; },
	proxy: () => { const p: any = new Proxy({}, { get: (_, key) => p[key] }); return p.x; },
	toPrimitive: () => { const o: any = { [Symbol.toPrimitive]: () => `${o}` }; return `${o}`; },
	toJSON: () => { const o: any = { toJSON: () => JSON.stringify(o) }; return JSON.stringify(o); },
	reviver: () => { const again = (): unknown => JSON.parse("[1]", again); return again(); },
	join: () => String(nested(1e6)),
	bind: () => { let f: any = () => 1; for (let i = 0; i < 1e6; i++) f = f.bind(null); return f(); },
	proxies: () => { let p: any = {}; for (let i = 0; i < 1e6; i++) p = new Proxy(p, {}); return p.x; },
	prototypes: () => { let o: any = {}; for (let i = 0; i < 1e6; i++) o = Object.create(o); return o.x; },
	reflect: () => { const again = (): unknown => Reflect.apply(again, null, []); return again(); },
	construct: () => { class A { constructor() { Reflect.construct(A, []); } } return new A(); },

	// Memory.
	repeat: () => "x".repeat(1e9),
	padEnd: () => "x".padEnd(2e9),
	padStart: () => "x".padStart(2e9, "ab"),
	fill: () => Array(1e9).fill(0),
	from: () => Array.from({ length: 1e8 }),
	sparse: () => Array(1e9).join("x"),
	typed: () => { const kept = []; for (;;) kept.push(new Uint8Array(1 << 20).fill(1)); },
	buffer: () => new Uint8Array(2 ** 36).fill(1),
	doubling: () => { let s = "x"; for (;;) s += s; },
	growth: () => { const m = new Map(); for (let i = 0; ; i++) m.set(i, { i }); },
	objects: () => { const kept: unknown[] = []; for (;;) kept.push({ a: [1, 2, 3] }); },
	spread: () => { let a: number[] = [1]; for (;;) a = [...a, ...a]; },
	concat: () => { let a: number[] = [1]; for (;;) a = a.concat(a); },
	dag: () => { let o: any = {}; for (let i = 0; i < 40; i++) o = { a: o, b: o }; return JSON.stringify(o); },
	normalize: () => { const s = "\uFDFA".repeat(1e7); return s.normalize("NFKD").normalize("NFKD").length; },
	replaceAll: () => "a".repeat(1e5).replaceAll("a", "b".repeat(1e5)),
	replaceMany: () => "a".repeat(1e5).replace(/a/g, "b".repeat(1e5)),
	split: () => "a".repeat(6e7).split("").length,

	// Time in natives.
	bigPower: () => BigInt(3) ** BigInt(1e8),
	bigShift: () => BigInt(1) << BigInt(3e10),
	bigProduct: () => { let n = 3n; for (;;) n *= n; },
	backreference: () => /^(a*)*\1b$/.test("a".repeat(50)),
	lookahead: () => /^(?=(a+)+b)a/.test("a".repeat(50)),
	indexOf: () => { const a = "a".repeat(1e7); for (;;) a.indexOf(a.slice(1) + "b"); },
	sortLong: () => Array.from({ length: 5e6 }, (_, i) => -i).sort((a, b) => a - b),

	// Floods.
	loop: () => { for (;;); },
	promises: () => { const two = (): unknown => { Promise.resolve().then(two); return Promise.resolve().then(two); }; return two(); },
	microtasks: () => { const again = () => queueMicrotask(again); again(); return new Promise(() => {}); },
	timers: () => { for (;;) setTimeout(() => {}, 1e6); },
	intervals: () => { for (let i = 0; i < 1e4; i++) setInterval(() => { for (let j = 0; j < 100; j++); }, 0); return new Promise(() => {}); },
	lines: () => { for (let i = 0; i < 1e6; i++) console.log("a line of the log", i); },
	rejections: () => { for (let i = 0; i < 1e6; i++) Promise.reject(new Error("nobody looks " + i)); },
	waiting: (_, ctx) => { for (;;) ctx.waitUntil(new Promise(() => {})); },
	headers: () => { const h = new Headers(); for (let i = 0; ; i++) h.append("x", "y".repeat(1000)); },

	// Streams.
	response: () => { const chunk = new Uint8Array(1 << 16); let left = 10 * 2 ** 30;
		return new Response(new ReadableStream({ pull(c) { c.enqueue(chunk); if ((left -= chunk.length) <= 0) c.close(); } })); },
	unread: () => new Response("the body was not read"),
	unclosed: () => new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode("the beginning")); } })),
	queue: () => new Response(new ReadableStream({ start(c) { for (;;) c.enqueue(new Uint8Array(1 << 20)); } })),
	tee: () => { let s = new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1 << 16)); } });
		for (let i = 0; i < 1e5; i++) s = s.tee()[0]; return new Response(s); },
};

function nested(depth: number): unknown[] {
	let a: unknown[] = [];
	for (let i = 0; i < depth; i++) a = [a];
	return a;
}

export default {
	async fetch(request: Request, _env: unknown, ctx: ExecutionContext): Promise<Response> {
		const name = new URL(request.url).pathname.split("/")[2];
		if (name === "fine") return new Response("fine");
		const made = await attacks[name](request, ctx);
		return made instanceof Response ? made : new Response(typeof made);
	},
};
