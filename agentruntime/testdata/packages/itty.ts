import { AutoRouter, cors, error, json } from "itty-router";

const { preflight, corsify } = cors();
const router = AutoRouter({ before: [preflight], finally: [corsify] });
router
	.get("/hello/:name", ({ params }) => `Hello, ${params.name}!`)
	.post("/sum", async (request: Request) => {
		const numbers = await request.json<number[]>();
		return json({ sum: numbers.reduce((a, b) => a + b, 0) });
	})
	.get("/fails", () => error(418, "short and stout"));

export default { ...router };
