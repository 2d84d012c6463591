import { DurableObject } from "cloudflare:workers";

interface Env {
	THING: DurableObjectNamespace<Thing>;
}

/** A thing counts: durably, in memory, and how often it came to memory. */
export class Thing extends DurableObject<Env> {
	calls = 0;
	timer?: ReturnType<typeof setInterval>;

	async add(): Promise<{ stored: number; calls: number }> {
		const stored = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
		await this.ctx.storage.put("n", stored);
		return { stored, calls: ++this.calls };
	}

	/** An actor with a timer stays in memory. */
	stay(): Promise<{ stored: number; calls: number }> {
		this.timer ??= setInterval(() => {}, 3_600_000);
		return this.add();
	}

	fetch(): Response {
		const [client, server] = Object.values(new WebSocketPair());
		this.ctx.acceptWebSocket(server);
		return new Response(null, { status: 101, webSocket: client });
	}

	async webSocketMessage(socket: WebSocket, message: string): Promise<void> {
		socket.send(`${message} ${JSON.stringify(await this.add())}`);
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const [, verb, name] = new URL(request.url).pathname.split("/");
		const thing = env.THING.getByName(name);
		switch (verb) {
			case "add":
				return Response.json(await thing.add());
			case "stay":
				return Response.json(await thing.stay());
			default:
				return thing.fetch(request);
		}
	},
};
