import * as z from "zod";

const order = z.object({
	id: z.uuid(),
	email: z.email(),
	lines: z.array(z.object({ sku: z.string().min(2), count: z.number().int().positive() })).nonempty(),
	kind: z.discriminatedUnion("type", [z.object({ type: z.literal("mail"), to: z.string() }), z.object({ type: z.literal("pick-up") })]),
	at: z.coerce.date(),
	note: z.string().optional().default("none"),
});

export default {
	async fetch(request: Request): Promise<Response> {
		const result = order.safeParse(await request.json());
		return Response.json(result.success
			? { ...result.data, total: result.data.lines.reduce((n, line) => n + line.count, 0), schema: Object.keys(z.toJSONSchema(order, { unrepresentable: "any" }).properties!) }
			: { issues: result.error.issues.map(({ path, code }) => `${path.join(".")}: ${code}`) });
	},
};
