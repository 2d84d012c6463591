import { DurableObject } from "cloudflare:workers";

interface Env {
	COUNTER: DurableObjectNamespace<Counter>;
}

/** Counts. There is one instance for each name, and its value outlives crashes and restarts. */
export class Counter extends DurableObject<Env> {
	async increment(): Promise<number> {
		// No other event reaches the actor between the read and the write, so no count is lost.
		const value = ((await this.ctx.storage.get<number>("value")) ?? 0) + 1;
		await this.ctx.storage.put("value", value);
		return value;
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		if (request.method !== "GET") {
			return new Response("This counter answers GET.\n", { status: 405, headers: { Allow: "GET" } });
		}
		const name = new URL(request.url).searchParams.get("name") ?? "default";
		const value = await env.COUNTER.get(env.COUNTER.idFromName(name)).increment();
		return new Response(`${value}\n`);
	},
};
