import { DurableObject } from "cloudflare:workers";

interface Env {
	ROOM: DurableObjectNamespace<Room>;
}

/** A room keeps its sockets with the gateway, and counts each time that it came to memory. */
export class Room extends DurableObject<Env> {
	lives: number;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		this.lives = (ctx.storage.kv.get<number>("lives") ?? 0) + 1;
		ctx.storage.kv.put("lives", this.lives);
		ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
	}

	fetch(request: Request): Response {
		const name = new URL(request.url).searchParams.get("name") ?? "nobody";
		const [client, server] = Object.values(new WebSocketPair());
		server.serializeAttachment({ name });
		this.ctx.acceptWebSocket(server, ["all", name]);
		server.send(`welcome ${name}`);
		return new Response(null, { status: 101, webSocket: client, headers: { "X-Own": "kept" } });
	}

	async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
		if (typeof message !== "string") return socket.send(new Uint8Array(message).reverse());
		const { name } = socket.deserializeAttachment();
		const [verb, rest] = message.split(" ");
		switch (verb) {
			case "who":
				return socket.send(`${name} of ${this.ctx.getWebSockets().length}, ${this.ctx.getTags(socket).join("+")}, life ${this.lives}`);
			case "all":
				for (const other of this.ctx.getWebSockets("all")) other.send(`${name}: ${rest}`);
				return;
			case "to":
				for (const other of this.ctx.getWebSockets(rest)) other.send(`${name} to ${rest}`);
				return;
			case "be":
				socket.serializeAttachment({ name: rest });
				return socket.send(`now ${rest}`);
			case "count": {
				const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
				await this.ctx.storage.put("n", n);
				return socket.send(`${n}`);
			}
			case "auto":
				return socket.send(`${this.ctx.getWebSocketAutoResponse()?.request} ${this.ctx.getWebSocketAutoResponseTimestamp(socket) instanceof Date}`);
			case "abort":
				return this.ctx.abort("as asked");
			case "spin":
				for (;;);
			case "hold":
				await scheduler.wait(Number(rest));
				return socket.send(`held in life ${this.lives}`);
			case "wake":
				await this.ctx.storage.setAlarm(Date.now() + Number(rest));
				return socket.send("set");
			case "woken":
				return socket.send(`alarm ${(await this.ctx.storage.getAlarm()) !== null}, rang ${(await this.ctx.storage.get("rang")) ?? 0}`);
			case "bye":
				return socket.close(4001, "as asked");
		}
		throw new Error(`unknown: ${message}`);
	}

	async webSocketClose(socket: WebSocket, code: number, reason: string, clean: boolean): Promise<void> {
		const { name } = socket.deserializeAttachment();
		socket.close(1000, "ignored: it is closed already");
		console.log(`${name} closed ${code} ${reason} ${clean} ${socket.readyState}`);
		for (const other of this.ctx.getWebSockets()) other.send(`${name} left: ${code} ${reason}`);
	}

	webSocketError(_socket: WebSocket, error: Error): void {
		console.log(`error ${error.message}`);
	}

	async alarm(): Promise<void> {
		await this.ctx.storage.put("rang", ((await this.ctx.storage.get<number>("rang")) ?? 0) + 1);
		for (const socket of this.ctx.getWebSockets()) socket.send(`ding in life ${this.lives}`);
	}

	quit(): void {
		this.ctx.abort("as asked");
	}

	how(): { lives: number; sockets: number } {
		return { lives: this.lives, sockets: this.ctx.getWebSockets().length };
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		const room = env.ROOM.getByName(url.searchParams.get("room") ?? "room");
		if (url.pathname === "/how") return Response.json(await room.how());
		if (url.pathname === "/quit") {
			return Response.json(await room.quit().catch((e: any) => [e.message, e.durableObjectReset, e.retryable ?? false, e.overloaded ?? false, e.remote]));
		}
		if (url.pathname === "/list") {
			const found: string[] = [];
			let cursor: string | undefined;
			for (let complete = false; !complete; ) {
				const page = await (env.ROOM as any).list({ limit: 2, cursor });
				for (const id of page.ids) found.push(id.toString());
				({ complete, cursor } = page);
			}
			const named = ["a", "b", "c", "d", "room"].map((name) => env.ROOM.idFromName(name).toString());
			return Response.json({ found: found.length, known: named.every((id) => found.includes(id)), sorted: found.join() === [...found].sort().join() });
		}
		if (url.pathname === "/used") {
			// The code itself is the client.
			const response = await room.fetch("http://room/?name=code", { headers: { Upgrade: "websocket" } });
			const socket = response.webSocket!;
			const heard = new Promise<string>((resolve) => {
				const all: string[] = [];
				socket.addEventListener("message", (event) => {
					if (all.push(event.data) === 2) resolve(all.join("|"));
				});
			});
			socket.accept();
			socket.send("who");
			const text = await heard;
			socket.close(1000, "done");
			return new Response(text);
		}
		const response = await room.fetch(request);
		return new Response(null, { status: 101, webSocket: response.webSocket, headers: response.headers });
	},
};
