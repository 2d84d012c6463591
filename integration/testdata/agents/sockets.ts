import { DurableObject } from "cloudflare:workers";
import { connect } from "cloudflare:sockets";

interface Env {
	ROOM: DurableObjectNamespace<Room>;
	OUTSIDE: string;
	TCP: string;
}

/** A room numbers each message, durably, before it is answered. */
export class Room extends DurableObject<Env> {
	fetch(): Response {
		const [client, server] = Object.values(new WebSocketPair());
		server.accept();
		server.addEventListener("message", async (event) => {
			const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
			await this.ctx.storage.put("n", n);
			server.send(`${n}: ${event.data}`);
		});
		return new Response(null, { status: 101, webSocket: client });
	}
}

function echo(protocol: string | null): Response {
	const [client, server] = Object.values(new WebSocketPair());
	server.accept();
	server.addEventListener("message", (event) => {
		if (event.data === "close") server.close(4002, "as asked");
		else if (event.data === "loop") for (;;);
		else server.send(event.data);
	});
	server.addEventListener("close", (event) => console.log(`closed ${event.code} ${event.reason}`));
	const headers: HeadersInit = { "X-Own": "kept" };
	if (protocol) headers["Sec-WebSocket-Protocol"] = "chat";
	return new Response(null, { status: 101, webSocket: client, headers });
}

async function message(socket: WebSocket): Promise<string> {
	return new Promise((resolve) => socket.addEventListener("message", (event) => resolve(event.data), { once: true }));
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const url = new URL(request.url);
		switch (url.pathname) {
			case "/echo":
				return echo(request.headers.get("Sec-WebSocket-Protocol"));
			case "/room":
				return env.ROOM.getByName("room").fetch(request);
			case "/through":
				return fetch(env.OUTSIDE, request);
			case "/client": {
				const socket = new WebSocket(url.searchParams.get("url") ?? env.OUTSIDE);
				const opened = await new Promise<string>((resolve) => {
					socket.onopen = () => resolve("open");
					socket.onerror = (event) => resolve(`${(event as ErrorEvent).error?.code}`);
				});
				if (opened !== "open") return new Response(opened);
				socket.send("from code");
				const answered = await message(socket);
				socket.close(1000, "done");
				return new Response(answered);
			}
			case "/tcp": {
				try {
					const socket = connect(url.searchParams.get("to") ?? env.TCP);
					const writer = socket.writable.getWriter();
					await writer.write(new TextEncoder().encode("over tcp"));
					await writer.close();
					return new Response(await new Response(socket.readable).text());
				} catch (error) {
					return new Response(`${(error as { code?: string }).code}`);
				}
			}
		}
		return new Response("not a socket");
	},
};
