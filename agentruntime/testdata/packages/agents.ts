import { Agent, callable, getAgentByName, routeAgentRequest } from "agents";

interface Env { Counter: DurableObjectNamespace<Counter> }
interface State { count: number; by: string }

export class Counter extends Agent<Env, State> {
	initialState: State = { count: 0, by: "nobody" };

	async onRequest(request: Request): Promise<Response> {
		const { pathname } = new URL(request.url);
		if (pathname.endsWith("/remind")) {
			const task = await this.schedule(Number(new URL(request.url).searchParams.get("in")), "remind", { text: "shut the gate" });
			return Response.json({ type: task.type, callback: task.callback, pending: (await this.listSchedules()).length });
		}
		if (pathname.endsWith("/reminders")) {
			return Response.json({ reminders: this.reminders(), pending: (await this.listSchedules()).length });
		}
		this.setState({ count: this.state.count + 1, by: "a request" });
		return Response.json(this.state);
	}

	@callable()
	add(n: number): number {
		this.setState({ count: this.state.count + n, by: "a call" });
		return this.state.count;
	}

	@callable()
	reminders(): string[] {
		this.sql`CREATE TABLE IF NOT EXISTS reminders(id INTEGER PRIMARY KEY, text TEXT)`;
		return this.sql<{ text: string }>`SELECT text FROM reminders ORDER BY id`.map((row) => row.text);
	}

	hidden(): string {
		return "hidden";
	}

	remind({ text }: { text: string }): void {
		this.reminders();
		this.sql`INSERT INTO reminders(text) VALUES (${text})`;
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		if (new URL(request.url).pathname === "/named") {
			return (await getAgentByName(env.Counter, "one")).fetch(request);
		}
		return (await routeAgentRequest(request, env)) ?? new Response("no agent", { status: 404 });
	},
};
