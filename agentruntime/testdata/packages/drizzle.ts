import { DurableObject } from "cloudflare:workers";
import { count, desc, eq, relations, sql } from "drizzle-orm";
import { drizzle, type DrizzleSqliteDODatabase } from "drizzle-orm/durable-sqlite";
import { migrate } from "drizzle-orm/durable-sqlite/migrator";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import migrations from "./drizzle/migrations.js";

const houses = sqliteTable("houses", {
	id: integer().primaryKey({ autoIncrement: true }),
	name: text().notNull().unique(),
	open: integer({ mode: "boolean" }).notNull().default(true),
	towers: integer().notNull().default(1),
});
const guests = sqliteTable("guests", {
	id: integer().primaryKey({ autoIncrement: true }),
	house: integer().notNull().references(() => houses.id, { onDelete: "cascade" }),
	about: text({ mode: "json" }).$type<{ name: string; tags: string[] }>().notNull(),
	at: integer({ mode: "timestamp_ms" }).notNull(),
});
const housesRelations = relations(houses, ({ many }) => ({ guests: many(guests) }));
const guestsRelations = relations(guests, ({ one }) => ({ of: one(houses, { fields: [guests.house], references: [houses.id] }) }));
const schema = { houses, guests, housesRelations, guestsRelations };

export class Village extends DurableObject {
	db: DrizzleSqliteDODatabase<typeof schema>;

	constructor(ctx: DurableObjectState, env: unknown) {
		super(ctx, env as never);
		this.db = drizzle(ctx.storage, { schema, logger: false });
		ctx.blockConcurrencyWhile(() => migrate(this.db, migrations));
	}

	migrated() {
		return this.db.values(sql`SELECT created_at FROM __drizzle_migrations ORDER BY 1`).map(([at]) => Number(at));
	}

	async fill() {
		const [gate] = await this.db.insert(houses).values([{ name: "gate", towers: 2 }, { name: "barn", open: false }]).returning();
		await this.db.insert(guests).values([
			{ house: gate.id, about: { name: "Ada", tags: ["early"] }, at: new Date(1000) },
			{ house: gate.id, about: { name: "Bob", tags: [] }, at: new Date(2000) },
		]);
		return gate;
	}

	async ask() {
		const whole = await this.db.query.houses.findMany({ with: { guests: { orderBy: desc(guests.at) } }, orderBy: houses.name });
		const counted = await this.db.select({ name: houses.name, n: count(guests.id) }).from(houses).leftJoin(guests, eq(guests.house, houses.id)).groupBy(houses.id).orderBy(houses.id);
		const prepared = this.db.select().from(houses).where(eq(houses.name, sql.placeholder("name"))).prepare();
		return { whole, counted, barn: prepared.get({ name: "barn" }), none: prepared.get({ name: "none" }) };
	}

	async fail() {
		const errors: string[] = [];
		const message = (err: unknown) => errors.push(String((err as Error).cause ?? err));
		try {
			this.db.transaction((tx) => {
				tx.delete(guests).run();
				tx.transaction((inner) => inner.update(houses).set({ towers: 9 }).run());
				tx.insert(houses).values({ name: "gate" }).run();
			});
		} catch (err) {
			message(err);
		}
		try {
			this.db.transaction((tx) => {
				tx.delete(houses).run();
				tx.rollback();
			});
		} catch (err) {
			errors.push((err as Error).name);
		}
		return { errors, guests: await this.db.$count(guests), towers: this.db.select({ n: houses.towers }).from(houses).where(eq(houses.name, "gate")).get() };
	}

	async clear() {
		await this.db.delete(houses).where(eq(houses.name, "gate"));
		return this.db.$count(guests);
	}
}

export default {
	async fetch(request: Request, env: { VILLAGE: DurableObjectNamespace<Village> }): Promise<Response> {
		const village = env.VILLAGE.getByName("one") as any;
		return Response.json(await village[new URL(request.url).pathname.slice(1)]());
	},
};
