interface Env {
	NOTES: KVNamespace;
	STEP: string;
}

const hex = (data: ArrayBuffer): string => [...new Uint8Array(data)].map((b) => b.toString(16).padStart(2, "0")).join("");

const checks: Record<string, (env: Env) => Promise<unknown>> = {
	async kv({ NOTES }) {
		await NOTES.put("a/1", "one", { expirationTtl: 3600, metadata: { kind: "first" } });
		await NOTES.put("a/2", new TextEncoder().encode("two"));
		await NOTES.put("b/1", JSON.stringify({ n: 3 }));
		const page = await NOTES.list<{ kind: string }>({ prefix: "a/" });
		const limited = await NOTES.list({ limit: 2 });
		const rest = await NOTES.list({ limit: 2, cursor: limited.list_complete ? "" : limited.cursor });
		const found = await NOTES.getWithMetadata<{ kind: string }>("a/1");
		const seconds = page.keys[0].expiration! - Date.now() / 1000;
		await NOTES.delete("a/2");
		return {
			names: page.keys.map((key) => key.name),
			kind: page.keys[0].metadata?.kind,
			expires: seconds > 3500 && seconds < 3700,
			second: [limited.list_complete, rest.keys.map((key) => key.name), rest.list_complete],
			value: found.value,
			found: found.metadata,
			json: await NOTES.get("b/1", "json"),
			gone: await NOTES.get("a/2"),
			missing: await NOTES.get("never"),
			short: await NOTES.put("x", "y", { expirationTtl: 10 }).then(() => "put", (error) => error.message),
		};
	},
	async digest() {
		return hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode("gatehouse")));
	},
	async clone() {
		const original = { date: new Date(0), map: new Map([["k", new Set([1, 2])]]), bytes: new Uint8Array([1, 2, 3]), self: null as unknown };
		original.self = original;
		const copy = structuredClone(original);
		copy.bytes[0] = 9;
		return [copy.date.getTime(), [...copy.map.get("k")!], [...original.bytes], copy.self === copy, copy !== original];
	},
	async timers() {
		const order: string[] = [];
		const started = Date.now();
		await new Promise<void>((resolve) => {
			setTimeout(() => {
				order.push("late");
				resolve();
			}, 50);
			setTimeout(() => order.push("early"), 1);
			const never = setTimeout(() => order.push("never"), 2);
			clearTimeout(never);
			queueMicrotask(() => order.push("microtask"));
		});
		return [order, Date.now() - started >= 49];
	},
	async abort({ STEP }) {
		const controller = new AbortController();
		setTimeout(() => controller.abort(), 20);
		const aborted = await fetch(STEP + "/hangs", { signal: controller.signal }).then(() => "answered", (error) => error.name);
		const timedOut = await fetch(STEP + "/hangs", { signal: AbortSignal.timeout(20) }).then(() => "answered", (error) => error.name);
		return [aborted, timedOut];
	},
	async random() {
		const bytes = crypto.getRandomValues(new Uint8Array(32));
		const pattern = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
		return [bytes.some((b) => b !== 0), pattern.test(crypto.randomUUID()), crypto.randomUUID() !== crypto.randomUUID()];
	},
	async text() {
		return [btoa("gate"), atob("aG91c2U="), new TextDecoder().decode(new TextEncoder().encode("høne ☂")), new URL("../b?c=1#d", "https://x.example/a/e/").href];
	},
	async fresh() {
		const global = globalThis as unknown as { kept?: number };
		global.kept = (global.kept ?? 0) + 1;
		return global.kept;
	},
};

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		return Response.json(await checks[new URL(request.url).pathname.slice(1)](env));
	},
};
