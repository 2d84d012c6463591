import { Agent, getAgentByName, routeAgentRequest } from "agents";

interface Env { Counter: DurableObjectNamespace<Counter> }

export class Counter extends Agent<Env, { count: number }> {
	initialState = { count: 0 };

	async onRequest(): Promise<Response> {
		this.setState({ count: this.state.count + 1 });
		return Response.json(this.state);
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		try {
			if (new URL(request.url).pathname === "/named") {
				return await (await getAgentByName(env.Counter, "one")).fetch(request);
			}
			return (await routeAgentRequest(request, env)) ?? new Response("no agent", { status: 404 });
		} catch (err) {
			return new Response((err as Error).message, { status: 501 });
		}
	},
};
