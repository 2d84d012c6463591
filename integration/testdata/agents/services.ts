// Agents that call each other: each is the same code, told by NAME who it is.
import { DurableObject, RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

interface Env {
	NAME: string;
	NEXT: any;
	NAMED: any;
	COUNTER: any;
	STEP: string;
}

class Session extends RpcTarget {
	#seen: string[] = [];
	constructor(private owner: string) {
		super();
	}
	say(what: string): string[] {
		this.#seen.push(`${this.owner}: ${what}`);
		return this.#seen;
	}
}

export class Counter extends DurableObject<Env> {
	async add(by: number): Promise<number> {
		const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + by;
		await this.ctx.storage.put("n", n);
		return n;
	}
	session(): Session {
		return new Session("actor");
	}
	async through(fn: (x: number) => Promise<number>): Promise<number> {
		return await fn(20);
	}
	// What an actor's code was given lasts from event to event.
	#kept: any;
	async keep(): Promise<string> {
		this.#kept = await this.env.NEXT.session();
		return "kept";
	}
	async use(what: string): Promise<string[]> {
		return await this.#kept.say(what);
	}
	// A function of a caller that has gone.
	#callback: any;
	remember(fn: any): string {
		this.#callback = fn.dup();
		return "remembered";
	}
	async recall(): Promise<string> {
		try {
			return await this.#callback();
		} catch (e: any) {
			return e.message;
		}
	}
}

export class Named extends WorkerEntrypoint<Env> {
	props(): unknown {
		return (this.ctx as any).props;
	}
	async fetch(request: Request): Promise<Response> {
		return new Response(`${this.env.NAME} named ${request.headers.get("X-From")}`);
	}
}

export default class extends WorkerEntrypoint<Env> {
	add(a: number, b: number): number {
		return a + b;
	}
	whoami(): string {
		return this.env.NAME;
	}
	session(): Session {
		return new Session(this.env.NAME);
	}
	async circle(): Promise<number> {
		return await this.env.NEXT.circle();
	}
	async outward(): Promise<string> {
		return await (await fetch(this.env.STEP)).text();
	}
	later(): string {
		this.ctx.waitUntil(
			(async () => {
				await scheduler.wait(1);
				console.log("after the answer");
			})(),
		);
		return "now";
	}
	boom(): never {
		throw new RangeError("no further");
	}
	spin(): never {
		for (;;);
	}
	eat(): number {
		const all = [];
		for (;;) all.push("x".repeat(1 << 20) + all.length);
	}
	async fetch(request: Request): Promise<Response> {
		const url = new URL(request.url);
		if (request.headers.get("Upgrade") === "websocket") {
			if (url.pathname === "/socket") return this.env.NEXT.fetch(new Request("https://inner/end", request));
			const [client, server] = Object.values(new WebSocketPair());
			server.accept();
			server.addEventListener("message", (e: any) => server.send(`${this.env.NAME} heard ${e.data}`));
			return new Response(null, { status: 101, webSocket: client });
		}
		if (url.pathname === "/proxy") return this.env.NEXT.fetch("https://inner/stream");
		if (url.pathname === "/stream") {
			const parts = new ReadableStream({
				async start(c) {
					for (let i = 0; i < 5; i++) {
						await scheduler.wait(20);
						c.enqueue(new TextEncoder().encode(`part ${i}\n`));
					}
					c.close();
				},
			});
			return new Response(parts);
		}
		if (url.hostname === "inner") {
			return new Response(`${this.env.NAME} ${url.pathname} ${await request.text()}`, { status: 202, headers: { "X-By": this.env.NAME } });
		}
		const run: Record<string, () => unknown> = {
			"/fetch": async () => {
				const r = await this.env.NEXT.fetch("https://inner/path?secret=1", { method: "POST", body: "body" });
				return [r.status, r.headers.get("X-By"), await r.text()];
			},
			"/call": () => this.env.NEXT.add(1, 2),
			"/who": () => this.env.NEXT.whoami(),
			"/session": async () => {
				const s = await this.env.NEXT.session();
				await s.say("one");
				return s.say("two");
			},
			"/pipelined": () => this.env.NEXT.session().say("hello"),
			"/named": () => this.env.NAMED.props(),
			"/namedfetch": async () => (await this.env.NAMED.fetch("https://inner/", { headers: { "X-From": this.env.NAME } })).text(),
			"/circle": () => this.env.NEXT.circle(),
			"/outward": () => this.env.NEXT.outward(),
			"/later": () => this.env.NEXT.later(),
			"/boom": () => this.env.NEXT.boom(),
			"/spin": () => this.env.NEXT.spin(),
			"/exports": () => (this.ctx as any).exports.Named({ props: { by: this.env.NAME } }).props(),
			"/actor": async () => {
				const actor = (this.ctx as any).exports.Counter.getByName("one");
				return [await actor.add(2), await actor.session().say("hi"), await actor.through((x: number) => x + 1)];
			},
			"/ignored": async () => {
				const answer = await this.env.NEXT.fetch(new Request("https://inner/unheard", { headers: { Upgrade: "websocket" } }));
				const stream = await this.env.NEXT.fetch("https://inner/stream?ignored");
				return [answer.status, stream.status];
			},
			"/eat": () => this.env.NEXT.eat(),
			"/keep": () => (this.ctx as any).exports.Counter.getByName("two").keep(),
			"/use": () => (this.ctx as any).exports.Counter.getByName("two").use("later"),
			"/remember": () => (this.ctx as any).exports.Counter.getByName("two").remember(() => "called back"),
			"/recall": () => (this.ctx as any).exports.Counter.getByName("two").recall(),
			"/foreign": () => this.env.COUNTER.getByName("one").add(1),
		};
		try {
			return Response.json(await run[url.pathname]());
		} catch (e: any) {
			return Response.json(`${e.name}: ${e.message}`);
		}
	}
}
