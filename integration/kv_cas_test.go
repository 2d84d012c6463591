package integration

import (
	"testing"
)

// TestKVCompareAndSet has many requests count with a key's version, in a cell of its own.
func TestKVCompareAndSet(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent cas {\n\tmain ./cas.ts\n\tkv KV numbers\n\tlimits {\n\t\tsubrequests 1000\n\t}\n}", "agent cas"),
		"cas.ts": `export default { async fetch(request, env) {
			switch (new URL(request.url).pathname) {
			case "/count":
				for (let tries = 1; ; tries++) {
					const { value, version } = await env.KV.getWithMetadata("n", "json");
					try { await env.KV.put("n", JSON.stringify((value ?? 0) + 1), { ifVersion: version }); return new Response("counted") }
					catch (e) { if (!e.message.includes("412") || tries > 200) throw e }
				}
			case "/value": return new Response(await env.KV.get("n"));
			}
			const says = async f => { try { return JSON.stringify(await f()) ?? "undefined" } catch (e) { return e.name + ": " + e.message } };
			const made = await env.KV.put("a", "1", { ifVersion: null });
			return Response.json([
				typeof made.version, made.version === (await env.KV.getWithMetadata("a")).version,
				await says(() => env.KV.put("a", "2", { ifVersion: null })),
				await says(() => env.KV.put("a", "2", { ifVersion: "00" })),
				await says(() => env.KV.put("a", "2", { ifVersion: "" })),
				await says(() => env.KV.put("a", "2")),
				await says(() => env.KV.delete("a", { ifVersion: made.version })),
				await says(async () => env.KV.delete("a", { ifVersion: (await env.KV.getWithMetadata("a")).version })),
				(await env.KV.getWithMetadata("a")).version,
			]);
		} }`,
	})
	want(t, "one by one", s.get("/", 200), `["string",true,"Error: KV PUT failed: 412 The key does not have the version that was expected.",`+
		`"Error: KV PUT failed: 412 The key does not have the version that was expected.",`+
		`"TypeError: ifVersion is a version that getWithMetadata() gave, or null for a key that must not be there.","undefined",`+
		`"Error: KV DELETE failed: 412 The key does not have the version that was expected.","undefined",null]`)
	together(8, func(int) {
		for range 5 {
			s.get("/count", 200)
		}
	})
	want(t, "counted", s.get("/value", 200), "40")
}
