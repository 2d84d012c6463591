import { DurableObject, WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";

// Long takes 20 steps. What it does, and what it sees that it has done, it tells a server of the test's.
export class Long extends WorkflowEntrypoint {
	async run(event: WorkflowEvent<{ tell: string }>, step: WorkflowStep) {
		const { tell } = event.payload;
		const marks: string[] = [];
		for (let n = 1; n <= 20; n++) {
			const mark = await step.do("mark", { retries: { limit: Infinity, delay: 50, backoff: "constant" } }, async () => {
				const mark = crypto.randomUUID();
				const res = await fetch(`${tell}/do/${n}/${mark}`);
				if (!res.ok) throw new Error("not yet");
				return mark;
			});
			await fetch(`${tell}/saw/${n}/${mark}`);
			marks.push(mark);
			await step.sleep("rest", 20);
		}
		return marks;
	}
}

export class Short extends WorkflowEntrypoint {
	async run(event: WorkflowEvent<string>, step: WorkflowStep) {
		switch (event.payload) {
			case "retries":
				return step.do("thrice", { retries: { limit: 5, delay: 100, backoff: "exponential" } }, async ({ attempt }: any) => {
					if (attempt < 3) throw new Error("not yet");
					return attempt;
				});
			case "never":
				return step.do("never", async () => { throw new NonRetryableError("no use"); });
			case "event":
				return (await step.waitForEvent<string>("an answer", { type: "answer", timeout: "1 hour" })).payload;
			case "sleep": {
				const first = await step.do("first", async () => crypto.randomUUID());
				await step.waitForEvent("the end", { type: "end" });
				return first;
			}
		}
	}
}

// Stepper asks a server of the test's what each of its steps gives.
export class Stepper extends DurableObject {
	async begin(tell: string) {
		await this.ctx.storage.put("tell", tell);
		await this.ctx.storage.setAlarm(Date.now());
	}
	async alarm() {
		const tell = await this.ctx.storage.get<string>("tell");
		const all = [];
		for (let n = 1; n <= 4; n++) all.push(await (this.ctx as any).step(`step ${n}`, async () => (await fetch(`${tell}/${n}`)).text()));
		await this.ctx.storage.put("all", all);
	}
	async status() {
		return { status: (await this.ctx.storage.getAlarm()) ? "waiting" : "running", output: await this.ctx.storage.get("all") };
	}
}

export default {
	async fetch(request: Request, env: any) {
		const [, verb, id, binding = "SHORT"] = new URL(request.url).pathname.split("/");
		const text = await request.text();
		const body = text === "" ? undefined : JSON.parse(text);
		if (binding === "STEPPER") return Response.json((await env.STEPPER.getByName(id)[verb](body)) ?? null);
		try {
			if (verb === "create") return Response.json((await env[binding].create({ id, params: body })).id);
			const instance = await env[binding].get(id);
			return Response.json((await instance[verb](body)) ?? null);
		} catch (e: any) {
			return Response.json(`${e.name}: ${e.message}`, { status: 400 });
		}
	},
};
