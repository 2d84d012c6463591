import { DurableObject } from "cloudflare:workers";

/** Counts, in storage. */
export class Counter extends DurableObject {
	async add(): Promise<number> {
		const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
		await this.ctx.storage.put("n", n);
		return n;
	}
}

export default {
	async fetch(_request: Request, env: { COUNTER: DurableObjectNamespace<Counter> }): Promise<Response> {
		return new Response(String(await env.COUNTER.getByName("one").add()));
	},
};
