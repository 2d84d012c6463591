import { DurableObject } from "cloudflare:workers";

// Hostile SQL: queries that do not end, that no interrupt reaches for long, or that want all the memory.
const forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
const thousand = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)";

const attacks: Record<string, (sql: SqlStorage, ctx: DurableObjectState) => unknown> = {
	fine: (sql) => sql.exec("SELECT count(*) AS n FROM t").one().n,
	endless: (sql) => sql.exec(`${forever} SELECT count(*) FROM n`).one(),
	endlessRows: (sql) => sql.exec(`${forever} SELECT i FROM n`).toArray().length,
	endlessWrites: (sql) => sql.exec(`${forever} INSERT INTO t SELECT i FROM n`),
	caught: (sql) => {
		for (;;) try { sql.exec(`${forever} SELECT count(*) FROM n`); } catch {}
	},
	product: (sql) => sql.exec(`${thousand} SELECT count(*) FROM n a, n b, n c, n d`).one(),
	instr: (sql) => sql.exec("SELECT instr(hex(zeroblob(1000000)), hex(zeroblob(500000)) || '1')").one(),
	replace: (sql) => sql.exec("SELECT length(replace(hex(zeroblob(1000000)), hex(zeroblob(400000)) || '1', 'x'))").one(),
	glob: (sql) => sql.exec("SELECT hex(zeroblob(1000000)) GLOB '*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*1'").one(),
	like: (sql) => sql.exec("SELECT hex(zeroblob(1000000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%1'").one(),
	sort: (sql) => sql.exec(`${thousand} SELECT hex(randomblob(900000)) AS h FROM n ORDER BY h`).toArray().length,
	json: (sql) => sql.exec(`SELECT json(?)`, "[".repeat(900_000)).toArray(),
	group: (sql) => sql.exec(`${forever} SELECT group_concat(hex(zeroblob(1000))) FROM n`).one(),
	format: (sql) => sql.exec("SELECT length(format('%2000000d', 1)), printf('%.*c', 2000000000, 'x')").toArray().length,
	depth: (sql) => sql.exec(`SELECT ${"(SELECT ".repeat(3000)}1${")".repeat(3000)}`).one(),
	views: (sql) => {
		for (let i = 1; i < 60; i++) sql.exec(`CREATE VIEW IF NOT EXISTS v${i} AS SELECT * FROM ${i === 1 ? "t" : "v" + (i - 1)} UNION ALL SELECT * FROM ${i === 1 ? "t" : "v" + (i - 1)}`);
		return sql.exec("SELECT count(*) FROM v59").one();
	},
	triggers: (sql) => {
		sql.exec("PRAGMA recursive_triggers = on; CREATE TRIGGER IF NOT EXISTS again AFTER INSERT ON u BEGIN INSERT INTO u SELECT a FROM u; END");
		return sql.exec("INSERT INTO u VALUES (1)");
	},
	cursors: (sql) => {
		const all = [];
		for (;;) all.push(sql.exec("SELECT * FROM sqlite_schema"));
	},
	statements: (sql) => {
		for (let i = 0; ; i++) sql.exec(`SELECT ${i}, '${"x".repeat(5000)}'`);
	},
	tables: (sql) => {
		for (let i = 0; ; i++) sql.exec(`CREATE TABLE w${i}(${Array.from({ length: 90 }, (_, c) => "c" + c).join()})`);
	},
	fts: (sql) => {
		sql.exec("CREATE VIRTUAL TABLE IF NOT EXISTS f USING fts5(x, prefix = '1 2 3')");
		for (;;) sql.exec("INSERT INTO f SELECT hex(randomblob(400000))");
	},
	transactions: (_, ctx) => {
		const nest = (): unknown => ctx.storage.transactionSync(nest);
		return nest();
	},
};

export class Attacked extends DurableObject {
	constructor(ctx: DurableObjectState, env: unknown) {
		super(ctx, env as never);
		ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t(a); CREATE TABLE IF NOT EXISTS u(a); DELETE FROM t; INSERT INTO t VALUES (1), (2)");
	}

	attack(name: string) {
		return String(attacks[name](this.ctx.storage.sql, this.ctx));
	}
}

export default {
	async fetch(request: Request, env: { ATTACKED: DurableObjectNamespace<Attacked> }): Promise<Response> {
		const name = new URL(request.url).pathname.split("/").pop()!;
		const answer = await (env.ATTACKED.getByName(name === "fine" ? "a" : name) as any).attack(name);
		return new Response(name === "fine" ? "fine" : answer);
	},
};
