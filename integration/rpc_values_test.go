package integration

import (
	"fmt"
	"testing"
)

const valuesCallee = `import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
	async fill(out: WritableStream): Promise<string> {
		const writer = out.getWriter();
		for (const part of ["a", "b", "c"]) await writer.write(new TextEncoder().encode(part));
		await writer.close();
		return "filled";
	}
	async waits(signal: AbortSignal): Promise<string> {
		return await new Promise((resolve) => { signal.onabort = () => resolve(signal.reason.message); });
	}
	async uses(counter: any): Promise<string> {
		return [await counter.up(), await counter.up(), await (await counter.fetch("http://counter/")).text()].join();
	}
	headers(h: Headers): Headers {
		h.set("x", "2");
		return h;
	}
	sink(): { out: WritableStream; got(): string } {
		const parts: string[] = [];
		return { out: new WritableStream({ write(part) { parts.push(part); } }), got: () => parts.join("|") };
	}
}
`

const valuesCaller = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {
	async up(): Promise<number> {
		const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
		await this.ctx.storage.put("n", n);
		return n;
	}
	async fetch(): Promise<Response> { return new Response("at " + (await this.ctx.storage.get("n"))); }
}
export default {
	async fetch(request: Request, env: any): Promise<Response> {
		const said: unknown[] = [];
		const { readable, writable } = new IdentityTransformStream();
		const text = new Response(readable).text();
		said.push(await env.B.fill(writable), await text);
		const controller = new AbortController();
		const waiting = env.B.waits(controller.signal);
		await scheduler.wait(5);
		controller.abort(new Error("enough"));
		said.push(await waiting);
		said.push(await env.B.uses(env.COUNTER.getByName("one")));
		said.push((await env.B.headers(new Headers({ x: "1" }))).get("x"));
		{
			using sink = await env.B.sink();
			const writer = sink.out.getWriter();
			await writer.write("x");
			await writer.write("y");
			await writer.close();
			said.push(await sink.got());
		}
		return Response.json(said);
	},
};
`

// TestValuesThatPassByReference sends streams, signals and stubs between two agents.
func TestValuesThatPassByReference(t *testing.T) {
	twins(t, func(t *testing.T, isolation string) {
		s := startServer(t, map[string]string{
			"Caddyfile": site(fmt.Sprintf("agent callee {\n\tmain ./callee.ts\n\tisolation %[1]s\n}\nagent caller {\n\tmain ./caller.ts\n\tservice B callee\n\tdurable COUNTER Counter\n\tisolation %[1]s\n}", isolation), "agent caller"),
			"callee.ts": valuesCallee, "caller.ts": valuesCaller,
		})
		want(t, "what came of them", s.get("/", 200), `["filled","abc","enough","1,2,at 2","2","x|y"]`)
	})
}
