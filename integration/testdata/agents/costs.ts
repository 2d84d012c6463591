interface Env {
	ORIGIN: { fetch(request: Request): Promise<Response> };
}

/** Answers at a cost: what the query says, in the header, or a stream of as many events, the last of which reports usage. */
export default {
	async fetch(request: Request, env: Env): Promise<Response | undefined> {
		const url = new URL(request.url);
		const n = Number(url.searchParams.get("n") ?? "0");
		switch (url.pathname) {
			case "/cost":
				return new Response("done", { headers: { "Gatehouse-Cost": url.searchParams.get("n")! } });
			case "/throws":
				throw new Error("it broke");
			case "/bytes":
				return new Response(
					new ReadableStream({
						start(c) {
							for (let i = 0; i < n; i += 1000) c.enqueue(new Uint8Array(1000).fill(120));
							c.close();
						},
					}),
				);
			case "/events": {
				let i = 0;
				const text = new TextEncoder();
				return new Response(
					new ReadableStream({
						pull(c) {
							if (i++ < n) return c.enqueue(text.encode(`data: {"i": ${i}}\n\n`));
							const usage = url.searchParams.get("usage");
							if (usage) c.enqueue(text.encode(`data: {"usage": {"total_tokens": ${usage}}}\n\n`));
							c.close();
						},
					}),
					{ headers: { "Content-Type": "text/event-stream" } },
				);
			}
			case "/json":
				return Response.json({ usage: { total_tokens: n } });
			case "/echo": {
				const [client, server] = Object.values(new WebSocketPair());
				server.accept();
				server.addEventListener("message", (event) => server.send(event.data));
				return new Response(null, { status: 101, webSocket: client });
			}
			case "/read":
				return new Response(`read ${(await request.text()).length}`);
			case "/held":
				return env.ORIGIN.fetch(request);
		}
	},
};
