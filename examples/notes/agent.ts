import { DurableObject } from "cloudflare:workers";

interface Env {
	NOTES: DurableObjectNamespace<Notes>;
}

/** One notebook: its notes are rows of its own SQLite database, with an index of their words. */
export class Notes extends DurableObject<Env> {
	private sql = this.ctx.storage.sql;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		this.sql.exec(`
			CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL);
			CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, content = 'notes', content_rowid = 'id', tokenize = 'porter');
		`);
	}

	add(text: string): number {
		// Both tables, or neither.
		return this.ctx.storage.transactionSync(() => {
			const { id } = this.sql.exec<{ id: number }>("INSERT INTO notes(at, text) VALUES (?, ?) RETURNING id", Date.now(), text).one();
			this.sql.exec("INSERT INTO words(rowid, text) VALUES (?, ?)", id, text);
			return id;
		});
	}

	find(query: string): string[] {
		const found = query
			// Each word as a text of its own, so that no character of it is an operator.
			? this.sql.exec<{ text: string }>("SELECT text FROM words WHERE words MATCH ? ORDER BY rank LIMIT 20", query.match(/[\p{L}\p{N}]+/gu)?.map((w) => `"${w}"`).join(" ") ?? '""')
			: this.sql.exec<{ text: string }>("SELECT text FROM notes ORDER BY id DESC LIMIT 20");
		return found.toArray().map((row) => row.text);
	}
}

export default {
	async fetch(request: Request, env: Env): Promise<Response> {
		const { searchParams } = new URL(request.url);
		const notes = env.NOTES.getByName(searchParams.get("book") ?? "default");
		switch (request.method) {
			case "POST":
				return new Response(`note ${await notes.add(await request.text())}\n`);
			case "GET":
				return new Response((await notes.find(searchParams.get("q") ?? "")).map((text) => text + "\n").join(""));
		}
		return new Response("Notes answer GET and POST.\n", { status: 405, headers: { Allow: "GET, POST" } });
	},
};
