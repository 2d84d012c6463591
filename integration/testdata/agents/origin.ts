interface Env {
	ORIGIN: Fetcher;
}

/** Lets requests through to what lies behind it, changed or as they are. */
export default {
	async fetch(request: Request, env: Env): Promise<Response | undefined> {
		const path = new URL(request.url).pathname;
		if (path.startsWith("/untouched")) {
			return undefined;
		}
		if (path.startsWith("/changed")) {
			const headers = new Headers(request.headers);
			headers.set("X-From-Agent", "yes");
			headers.delete("X-Private");
			const url = new URL(request.url);
			url.pathname = "/elsewhere";
			const answer = await env.ORIGIN.fetch(new Request(url, { method: request.method, headers, body: request.body }));
			const reply = new Response(answer.body, answer);
			reply.headers.set("X-Seen", String(answer.status));
			return reply;
		}
		return env.ORIGIN.fetch(request);
	},
};
