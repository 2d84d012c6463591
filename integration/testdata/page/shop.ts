import { DurableObject, WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";

export class Basket extends DurableObject {
	add(what: string) {
		const n = (this.ctx.storage.kv.get<number>(what) ?? 0) + 1;
		this.ctx.storage.kv.put(what, n);
		return n;
	}
}

export class Order extends WorkflowEntrypoint<any, { what: string }> {
	async run(event: WorkflowEvent<{ what: string }>, step: WorkflowStep) {
		const price = await step.do("find the price", async () => 12);
		await step.waitForEvent("somebody's yes", { type: "answer", timeout: "1 hour" });
		return step.do("pay", async () => price);
	}
}

export default {
	async fetch(request: Request, env: any, ctx: any) {
		const url = new URL(request.url);
		switch (url.pathname) {
			case "/basket":
				return Response.json(await env.BASKETS.getByName(url.searchParams.get("who") ?? "ada").add("tea"));
			case "/order":
				return new Response((await env.ORDERS.create({ params: { what: "tea" } })).id);
			case "/ask": {
				const ask = (body: unknown) => fetch(env.MODEL, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
				const messages: any[] = [{ role: "user", content: "Is there tea?" }];
				const first: any = await (await ask({ model: "small-1", messages })).json();
				messages.push(first.choices[0].message);
				for (const call of first.choices[0].message.tool_calls) {
					const found = await ctx.tool("stock", JSON.parse(call.function.arguments), async () => ({ left: 3 }));
					messages.push({ role: "tool", tool_call_id: call.id, content: JSON.stringify(found) });
				}
				const second: any = await (await ask({ model: "small-1", messages })).json();
				return new Response(second.choices[0].message.content);
			}
			case "/held":
				try {
					await fetch(env.ELSEWHERE);
				} catch (e: any) {
					return new Response(e.code);
				}
				return new Response("called");
			case "/fail":
				console.warn("about to fail");
				throw new RangeError("there is no tea");
		}
		return new Response("hello");
	},
};
