import { type Connection, getServerByName, routePartykitRequest, Server } from "partyserver";

export class Room extends Server {
	async onStart() {
		await this.ctx.storage.put("starts", ((await this.ctx.storage.get<number>("starts")) ?? 0) + 1);
	}

	async onRequest(request: Request): Promise<Response> {
		return Response.json({ room: this.name, path: new URL(request.url).pathname, starts: await this.ctx.storage.get("starts") });
	}

	onConnect(connection: Connection) {
		connection.send(`welcome to ${this.name}`);
	}

	onMessage(connection: Connection, message: string) {
		this.broadcast(`${[...this.getConnections()].length} here: ${message}`);
	}

	greet(who: string): string {
		return `${this.name} greets ${who}`;
	}
}

/** A room whose sockets stay open while it is not in memory. */
export class Sleeper extends Room {
	static options = { hibernate: true };
}

interface Env { Room: DurableObjectNamespace<Room>; Sleeper: DurableObjectNamespace<Sleeper> }

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		if (new URL(request.url).pathname === "/greet") {
			return new Response(await (await getServerByName(env.Room, "hall")).greet("Ada"));
		}
		return (await routePartykitRequest(request, env)) ?? new Response("no party", { status: 404 });
	},
};
