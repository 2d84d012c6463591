import { DurableObject } from "cloudflare:workers";

interface Env {
	COUNTER: DurableObjectNamespace<Counter>;
	NOTES: KVNamespace;
	GREETING: string;
	SETTINGS: { deep: number[] };
	FROM_CADDY: string;
}

export class Counter extends DurableObject<Env> {
	async add(n: number): Promise<number> {
		const value = ((await this.ctx.storage.get<number>("value")) ?? 0) + n;
		await this.ctx.storage.put("value", value);
		return value;
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const counter = env.COUNTER.get(env.COUNTER.idFromName("one"));
		return Response.json({
			count: await counter.add(2),
			greeting: env.GREETING,
			deep: env.SETTINGS.deep[1],
			caddy: env.FROM_CADDY,
			crons: (await env.NOTES.list({ prefix: "cron/" })).keys.map((key) => key.name),
		});
	},
	async scheduled(controller: ScheduledController, env: Env): Promise<void> {
		await fetch("http://169.254.169.254/").catch((error) => console.log(error.code));
		await env.NOTES.put(`cron/${controller.cron}/${controller.scheduledTime}`, "ran");
	},
};
