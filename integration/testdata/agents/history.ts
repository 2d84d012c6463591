import { DurableObject } from "cloudflare:workers";

interface Env {
	REGISTERS: DurableObjectNamespace<Registers>;
}

/** A few registers, with the operations whose history is checked. */
export class Registers extends DurableObject<Env> {
	async put(key: string, value: string) {
		await this.ctx.storage.put(key, value);
	}

	async get(key: string) {
		return (await this.ctx.storage.get<string>(key)) ?? "";
	}

	async list() {
		const all = await this.ctx.storage.list<string>();
		return ["0", "1", "2"].map((key) => all.get(key) ?? "").join(",");
	}

	/** Puts value if old is there; returns what was there. No lock: the input gate is one. */
	async compareAndSet(key: string, old: string, value: string) {
		const before = (await this.ctx.storage.get<string>(key)) ?? "";
		if (before === old) await this.ctx.storage.put(key, value);
		return before;
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const [, name, method] = new URL(request.url).pathname.split("/");
		const stub = env.REGISTERS.getByName(name) as unknown as Record<string, (...args: string[]) => Promise<unknown>>;
		try {
			return Response.json((await stub[method](...((await request.json()) as string[]))) ?? null);
		} catch (e) {
			return new Response(String(e), { status: 503 });
		}
	},
};
