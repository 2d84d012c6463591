interface Env {
	SEEN: KVNamespace;
}

/** A tail agent that keeps what it is told of, for the test to ask. */
export default {
	async tail(events: TraceItem[], env: Env): Promise<void> {
		for (const event of events) {
			await env.SEEN.put(`${event.eventTimestamp}/${crypto.randomUUID()}`, JSON.stringify(event));
		}
		console.log(`told of ${events.length}`);
	},
	async fetch(request: Request, env: Env): Promise<Response> {
		if (!request.url.endsWith("/seen")) {
			return new Response("listening");
		}
		const { keys } = await env.SEEN.list();
		const items: unknown[] = [];
		for (const key of keys) {
			items.push(await env.SEEN.get(key.name, "json"));
		}
		return Response.json(items);
	},
};
