import { DurableObject } from "cloudflare:workers";

interface Env {
	CELL: DurableObjectNamespace<Cell>;
	OTHER: DurableObjectNamespace<Other>;
	LABEL?: string;
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A cell of storage, with a method for each thing that the tests look at. */
export class Cell extends DurableObject<Env> {
	readonly instance = crypto.randomUUID();
	private ready = false;
	private calls = 0;
	private inside = 0;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.blockConcurrencyWhile(async () => {
			const starts = ((await ctx.storage.get<number>("starts")) ?? 0) + 1;
			await pause(30);
			await ctx.storage.put("starts", starts);
			this.ready = true;
		});
	}

	/** What is in memory: the first call must find that the constructor's work is done. */
	async memory() {
		this.calls++;
		return { ready: this.ready, instance: this.instance, calls: this.calls, label: this.env.LABEL ?? null, name: this.ctx.id.name ?? null };
	}

	/** Counts in storage and in memory. */
	async increment() {
		const value = ((await this.ctx.storage.get<number>("value")) ?? 0) + 1;
		await this.ctx.storage.put("value", value);
		this.calls++;
		return value;
	}

	/** Counts with several waits for the storage between the read and the write. */
	async slowIncrement() {
		const value = (await this.ctx.storage.get<number>("value")) ?? 0;
		await this.ctx.storage.get("no such key");
		await this.ctx.storage.list({ prefix: "none/" });
		await this.ctx.storage.put("value", value + 1);
		return value + 1;
	}

	/** Counts with a timer between the read and the write, inside a critical section. */
	async blockedIncrement() {
		return this.ctx.blockConcurrencyWhile(async () => {
			const value = (await this.ctx.storage.get<number>("value")) ?? 0;
			await pause(1);
			await this.ctx.storage.put("value", value + 1);
			return value + 1;
		});
	}

	/** How many events are in the method at once: a timer lets others in. */
	async overlap() {
		this.inside++;
		const seen = this.inside;
		await pause(20);
		this.inside--;
		return seen;
	}

	async value() {
		return (await this.ctx.storage.get<number>("value")) ?? 0;
	}

	/** A key and a row in one turn. */
	async putPair(key: string, value: string) {
		this.ctx.storage.put("left/" + key, value);
		this.rows.exec("INSERT OR REPLACE INTO pairs VALUES (?, ?)", key, value);
	}

	async deletePair(key: string) {
		this.ctx.storage.delete("left/" + key);
		this.rows.exec("DELETE FROM pairs WHERE key = ?", key);
	}

	private get rows() {
		this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS pairs(key TEXT PRIMARY KEY, value TEXT); CREATE INDEX IF NOT EXISTS lengths ON pairs(length(value))");
		return this.ctx.storage.sql;
	}

	/** Every pair, by key: the length and the stamp of each half, null for one that is missing. A value is its stamp,
	 * repeated: one that is put together from two writes is torn. */
	async pairs() {
		const all: Record<string, (string | null)[]> = {};
		const note = (half: number, key: string, v: string) => {
			const stamp = v.slice(0, v.indexOf("|") + 1);
			if (v !== stamp.repeat(v.length / stamp.length)) throw new Error("torn: " + key + " begins with " + stamp);
			(all[key] ??= [null, null])[half] = v.length + ":" + stamp.slice(0, -1);
		};
		for (const [k, v] of await this.ctx.storage.list<string>({ prefix: "left/" })) note(0, k.slice(5), v);
		for (const { key, value } of this.rows.exec<{ key: string; value: string }>("SELECT key, value FROM pairs")) note(1, key, value);
		const sound = this.rows.exec<{ quick_check: string }>("PRAGMA quick_check").one().quick_check;
		if (sound !== "ok") throw new Error("the database is damaged: " + sound);
		return all;
	}

	async put(entries: Record<string, unknown>) {
		await this.ctx.storage.put(entries);
	}

	async get(key: string) {
		return (await this.ctx.storage.get(key)) ?? null;
	}

	async list(options: DurableObjectListOptions) {
		return [...(await this.ctx.storage.list(options)).keys()];
	}

	async remove(keys: string | string[]) {
		return this.ctx.storage.delete(keys as string[]);
	}

	async clear() {
		await this.ctx.storage.deleteAll();
		return { keys: [...(await this.ctx.storage.list()).keys()], alarm: await this.ctx.storage.getAlarm() };
	}

	/** A transaction that ends in the way asked for: commit, rollback or throw. */
	async transfer(end: string) {
		try {
			await this.ctx.storage.transaction(async (txn) => {
				await txn.put("from", 1);
				await txn.put("to", 2);
				const seen = [await txn.get("from"), await txn.get("to")];
				if (seen.join() !== "1,2") throw new Error("a transaction must see its own writes, saw " + seen);
				if (end === "rollback") txn.rollback();
				if (end === "throw") throw new RangeError("thrown in the transaction");
			});
		} catch (e) {
			return `${(e as Error).name}: ${(e as Error).message}`;
		}
		return "done";
	}

	/** What structured cloning must carry there and back. */
	async echo(...values: unknown[]) {
		const seen = values.map((v) => Object.prototype.toString.call(v));
		return { seen, values };
	}

	fail(message: string): never {
		throw new TypeError(message);
	}

	async failAfterPut(key: string) {
		await this.ctx.storage.put(key, "written before the exception");
		throw new Error("after the put");
	}

	async setAlarm(at: number) {
		await this.ctx.storage.setAlarm(at);
		return this.ctx.storage.getAlarm();
	}

	async getAlarm() {
		return this.ctx.storage.getAlarm();
	}

	/** Fails as often as the key "failures" says, and keeps each attempt in storage. */
	async alarm(info?: AlarmInvocationInfo) {
		console.log(JSON.stringify({ isRetry: info?.isRetry, retryCount: info?.retryCount, pending: await this.ctx.storage.getAlarm() }));
		const failures = (await this.ctx.storage.get<number>("failures")) ?? 0;
		if (failures > 0) {
			await this.ctx.storage.put("failures", failures - 1);
			throw new Error("the alarm fails on purpose");
		}
		await this.ctx.storage.put("fired", ((await this.ctx.storage.get<number>("fired")) ?? 0) + 1);
	}

	async fetch(request: Request) {
		return Response.json({ method: request.method, path: new URL(request.url).pathname, body: await request.text(), id: this.ctx.id.toString() });
	}
}

/** A second namespace. */
export class Other extends DurableObject<Env> {}

/** Checks that are about the caller's side. Each returns what it saw. */
const callers: Record<string, (env: Env) => Promise<unknown>> = {
	async ids(env) {
		const named = env.CELL.idFromName("a");
		const unique = env.CELL.newUniqueId();
		const refusal = (make: () => unknown) => {
			try {
				make();
				return "accepted";
			} catch (e) {
				return (e as Error).name;
			}
		};
		return {
			stable: named.equals(env.CELL.idFromName("a")) && named.toString() === env.CELL.idFromName("a").toString(),
			distinct: !named.equals(env.CELL.idFromName("b")),
			uniqueDiffers: !unique.equals(env.CELL.newUniqueId()),
			hex: /^[0-9a-f]{64}$/.test(named.toString()) && /^[0-9a-f]{64}$/.test(unique.toString()),
			roundTrip: env.CELL.idFromString(unique.toString()).equals(unique) && env.CELL.idFromString(named.toString()).equals(named),
			name: named.name ?? null,
			uniqueName: unique.name ?? null,
			foreign: refusal(() => env.CELL.idFromString(env.OTHER.idFromName("a").toString())),
			garbage: refusal(() => env.CELL.idFromString("0123")),
			foreignGet: refusal(() => env.CELL.get(env.OTHER.idFromName("a") as never)),
			otherNamespace: env.OTHER.idFromName("a").toString() !== named.toString(),
			byName: env.CELL.getByName("a").id.equals(named),
		};
	},

	async unique(env) {
		const id = env.CELL.newUniqueId();
		await env.CELL.get(id).put({ k: "kept under a unique id" });
		return env.CELL.get(env.CELL.idFromString(id.toString())).get("k");
	},

	async clones(env) {
		const cell = env.CELL.get(env.CELL.idFromName("clones"));
		const cycle: Record<string, unknown> = { self: null };
		cycle.self = cycle;
		const sent = [new Map<unknown, unknown>([["k", new Set([1, 2])]]), new Date(86400000), 2n ** 70n, new Uint8Array([1, 2, 3]), new RangeError("r"), cycle, undefined];
		const { seen, values } = (await cell.echo(...sent)) as { seen: string[]; values: any[] };
		const [map, date, big, bytes, error, back, nothing] = values;
		return {
			seen,
			map: map instanceof Map && map.get("k") instanceof Set && map.get("k").has(2),
			date: date instanceof Date && date.getTime(),
			big: typeof big === "bigint" && big.toString(),
			bytes: bytes instanceof Uint8Array && [...bytes],
			error: error instanceof RangeError && error.message,
			cycle: back !== cycle && back.self === back,
			nothing: nothing === undefined && values.length === 7,
		};
	},

	async exception(env) {
		const cell = env.CELL.get(env.CELL.idFromName("exception"));
		const caught: unknown[] = [];
		for (const call of [() => cell.fail("said the method"), () => (cell as any).noSuchMethod(), () => (cell as any).alarm()]) {
			try {
				caught.push({ value: await call() });
			} catch (e) {
				caught.push({ error: e instanceof Error, name: (e as Error).name, message: (e as Error).message });
			}
		}
		return caught;
	},

	async fetch(env) {
		const id = env.CELL.idFromName("fetch");
		const response = await env.CELL.get(id).fetch("http://cell/some/path", { method: "POST", body: "the body" });
		const seen = (await response.json()) as { id: string };
		return { ...seen, id: seen.id === id.toString() };
	},
};

/** Calls a method of the cell of that name, /cell/NAME/METHOD with the arguments as a JSON array, or /caller/CHECK. */
export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const [, kind, name, method] = new URL(request.url).pathname.split("/");
		try {
			if (kind === "caller") return Response.json(await callers[name](env));
			const args = request.method === "POST" ? await request.json() : [];
			const cell = env.CELL.get(env.CELL.idFromName(name)) as any;
			return Response.json((await cell[method](...(args as unknown[]))) ?? null);
		} catch (e) {
			return Response.json({ name: (e as Error).name, message: (e as Error).message }, { status: 500 });
		}
	},
};
