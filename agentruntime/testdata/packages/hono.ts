import { Hono } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import { jwt, sign } from "hono/jwt";
import { logger } from "hono/logger";
import { streamSSE } from "hono/streaming";

const secret = "a secret of this test";
const app = new Hono();
app.use(logger(), cors({ origin: "https://app.example" }));
app.get("/", (c) => c.json({ path: c.req.path, query: c.req.query() }));
app.post("/echo/:name", async (c) => c.json({ name: c.req.param("name"), body: await c.req.json() }, 201));
app.get("/token", async (c) => c.text(await sign({ sub: "me", exp: Math.floor(Date.now() / 1000) + 60 }, secret, "HS256")));
app.use("/me", jwt({ secret, alg: "HS256" }));
app.get("/me", (c) => c.json({ sub: c.get("jwtPayload").sub }));
app.get("/events", (c) => streamSSE(c, async (stream) => {
	for (let i = 0; i < 3; i++) {
		await stream.writeSSE({ event: "tick", id: String(i), data: `n ${i}` });
		await stream.sleep(1);
	}
}));
app.get("/fails", () => { throw new Error("as it should"); });
app.onError((err, c) => err instanceof HTTPException ? err.getResponse() : c.text(`caught: ${err.message}`, 500));
app.notFound((c) => c.text("nothing here", 404));

export default app;
