interface Env {
	RAN: KVNamespace;
}

/** Writes down each request that reaches it, so that a test sees which did. */
export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		if (new URL(request.url).pathname === "/ran") {
			const { keys } = await env.RAN.list();
			return Response.json(keys.map((key) => key.name));
		}
		await env.RAN.put(request.headers.get("x-case") ?? "none", "1");
		const body = await request.text();
		return new Response(`ran with ${body.length} characters from ${request.headers.get("cf-connecting-ip")}`);
	},
};
