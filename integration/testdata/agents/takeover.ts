// Code that has broken out of the engine: what the test build lets it do, any process can that has a cell's rights.

declare const __takeover: (order: string) => string;

export default {
	async fetch(request: Request, env: { MINE: string }): Promise<Response> {
		if (request.method === "GET") return new Response("fine");
		const orders = await request.json<unknown[]>();
		return Response.json(orders.map((order) => JSON.parse(__takeover(JSON.stringify(order)))));
	},
};
