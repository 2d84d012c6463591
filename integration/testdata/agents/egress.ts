import { connect } from "cloudflare:sockets";
import { DurableObject } from "cloudflare:workers";

interface Env {
	CALLER: DurableObjectNamespace<Caller>;
	RESULTS: KVNamespace;
}

interface Tried {
	status?: number;
	text?: string;
	url?: string;
	redirected?: boolean;
	name?: string;
	code?: string;
	rule?: string;
	message?: string;
}

/** Fetches and tells what came of it. */
async function attempt(url: string, init?: RequestInit): Promise<Tried> {
	try {
		const response = await fetch(url, init);
		return { status: response.status, text: await response.text(), url: response.url, redirected: response.redirected };
	} catch (error) {
		const { name, code, rule, message } = error as Error & { code?: string; rule?: string };
		return { name, code, rule, message };
	}
}

export class Caller extends DurableObject<Env> {
	async call(url: string): Promise<Tried> {
		return attempt(url);
	}

	async fetch(request: Request): Promise<Response> {
		return Response.json(await attempt(new URL(request.url).searchParams.get("url")!));
	}

	async later(url: string): Promise<void> {
		await this.ctx.storage.put("url", url);
		await this.ctx.storage.setAlarm(Date.now());
	}

	async alarm(): Promise<void> {
		const url = await this.ctx.storage.get<string>("url");
		await this.env.RESULTS.put("alarm", JSON.stringify(await attempt(url!)));
	}
}

const names = ["connect", "XMLHttpRequest", "Deno", "Bun", "importScripts", "SharedWorker", "Worker"];

/** The APIs beside fetch that open connections. Each tells how it was refused. */
const ways: Record<string, (url: string) => Promise<string>> = {
	WebSocket: (url) =>
		new Promise((resolve) => {
			const socket = new WebSocket(url);
			socket.onopen = () => resolve("open");
			socket.onerror = (event) => resolve(`${(event as ErrorEvent).error?.code}`);
		}),
	EventSource: (url) =>
		new Promise((resolve) => {
			const source = new EventSource(url);
			source.onopen = () => resolve("open");
			source.onerror = (event) => {
				source.close();
				resolve(`${(event as ErrorEvent).error?.code ?? "EGRESS_DENIED"}`);
			};
		}),
	upgrade: async (url) => (await attempt(url, { headers: { Upgrade: "websocket" } })).code ?? "open",
	connect: async (url) => {
		try {
			await connect(new URL(url).host).opened;
			return "open";
		} catch (error) {
			return `${(error as { code?: string }).code}`;
		}
	},
};

export default {
	async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
		const asked = new URL(request.url);
		const url = asked.searchParams.get("url") ?? "";
		const caller = env.CALLER?.get(env.CALLER.idFromName("caller"));
		switch (asked.pathname) {
			case "/actor":
				return Response.json(await caller.call(url));
			case "/actor-fetch":
				return caller.fetch(request);
			case "/alarm":
				await caller.later(url);
				return new Response("set");
			case "/background":
				ctx.waitUntil(attempt(url).then((tried) => env.RESULTS.put("background", JSON.stringify(tried))));
				return new Response("begun");
			case "/result":
				return new Response((await env.RESULTS.get(url)) ?? "");
			case "/manual":
				return Response.json(await attempt(url, { redirect: "manual" }));
			case "/host-header":
				return Response.json(await attempt(url, { headers: { Host: "forbidden.example", "X-Own": "1" } }));
			case "/forgotten":
				void fetch(url, { method: "POST", body: "sent away" });
				await new Promise((resolve) => setTimeout(resolve, Number(asked.searchParams.get("ms"))));
				return new Response("forgotten");
			case "/unread":
				return new Response(`status ${(await fetch(url)).status}`);
			case "/stream":
				return fetch(url);
			case "/globals": {
				const found: Record<string, string> = {};
				for (const name of names) {
					let value: unknown = globalThis;
					for (const part of name.split(".")) {
						value = (value as Record<string, unknown> | undefined)?.[part];
					}
					found[name] = typeof value;
				}
				return Response.json(found);
			}
			case "/ways": {
				const refused: Record<string, string> = {};
				for (const [name, way] of Object.entries(ways)) refused[name] = await way(url);
				return Response.json(refused);
			}
		}
		return Response.json(await attempt(url));
	},
};
