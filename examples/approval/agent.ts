import { WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";

interface Env {
	EXPENSE: Workflow<Params>;
}
type Params = { what: string; amount: number };

/** Pays an expense: small ones at once, others when somebody has said yes within three days. */
export class Expense extends WorkflowEntrypoint<Env, Params> {
	async run(event: WorkflowEvent<Params>, step: WorkflowStep) {
		const { what, amount } = event.payload;
		if (amount > 100) {
			const answer = await step.waitForEvent<{ yes: boolean }>("a person's answer", { type: "answer", timeout: "3 days" });
			if (!answer.payload.yes) return `${what}: refused`;
		}
		const receipt = await step.do("pay", { retries: { limit: 5, delay: "10 seconds", backoff: "exponential" } }, async () => {
			return crypto.randomUUID(); // the call of a bank, with the instance's id as the payment's
		});
		await step.sleep("let it settle", "1 second");
		return step.do("book", async () => `${what}: paid, receipt ${receipt}`);
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const id = new URL(request.url).pathname.slice(1);
		if (request.method === "POST" && id === "") {
			const instance = await env.EXPENSE.create({ params: await request.json() });
			return new Response(`${instance.id}\n`);
		}
		const instance = await env.EXPENSE.get(id);
		if (request.method === "POST") {
			await instance.sendEvent({ type: "answer", payload: await request.json() });
		}
		return Response.json(await instance.status());
	},
};
