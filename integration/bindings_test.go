package integration

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// bound is an agent that shows what its bindings do.
const bound = `export default {
	async fetch(request: Request, env: any): Promise<Response> {
		const url = new URL(request.url);
		switch (url.pathname) {
			case "/limit":
				return Response.json(await env.LIMITER.limit({ key: url.searchParams.get("key") }));
			case "/asset":
				return env.ASSETS.fetch(new Request(new URL(url.searchParams.get("path")!, url), { headers: request.headers, redirect: "manual" }));
			case "/put":
				await caches.default.put(url.searchParams.get("of")!, new Response("kept " + (await request.text()), { headers: { "Cache-Control": "max-age=60", ETag: '"1"' } }));
				return new Response("put");
			case "/get": {
				const found = await caches.default.match(new Request(url.searchParams.get("of")!, { headers: request.headers }));
				return found ?? new Response("nothing", { status: 404 });
			}
			case "/delete":
				return Response.json(await caches.default.delete(url.searchParams.get("of")!));
		}
		return new Response("code " + url.pathname);
	},
};
`

func TestAssetsCacheAndRates(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent a {\n\tmain ./bound.ts\n\tratelimit LIMITER 3/d\n\tassets ./public ASSETS {\n\t\tnot_found_handling single-page-application\n\t\trun_worker_first /api/*\n\t}\n}\nagent b {\n\tmain ./bound.ts\n\tratelimit LIMITER 3/d\n}\n",
			"handle_path /b/* {\n\tagent b\n}\nhandle {\n\tagent a\n}"),
		"bound.ts": bound, "public/index.html": "home", "public/about.html": "about", "public/app.js": "js", "public/api/data.json": "{}",
	})
	t.Run("files before code", func(t *testing.T) {
		want(t, "a file", s.get("/app.js", 200), "js")
		want(t, "no file", s.get("/nowhere", 200), "code /nowhere")
		want(t, "the code first", s.get("/api/data.json", 200), "code /api/data.json")
		want(t, "a page", s.get("/about", 200), "about")
		resp, body := s.do("POST", "/app.js", "x")
		want(t, "another method", body, "code /app.js")
		want(t, "its status", resp.StatusCode, 200)
		_, body = s.do("GET", "/some/route", "", "Sec-Fetch-Mode", "navigate")
		want(t, "a navigation", body, "home")
		resp, _ = s.do("GET", "/app.js", "")
		etag := resp.Header.Get("ETag")
		resp, _ = s.do("GET", "/app.js", "", "If-None-Match", etag)
		want(t, "with its ETag", resp.StatusCode, http.StatusNotModified)
		r := s.waitFull("the record", ofPath("/app.js"))
		want(t, "whether code ran", r.Ran, false)
		want(t, "agent", r.Agent, "a")
	})
	t.Run("files from code", func(t *testing.T) {
		want(t, "a file", s.get("/asset?path=/api/data.json", 200), "{}")
		want(t, "no file", s.get("/asset?path=/nowhere", 200), "home")
		want(t, "a path that leads out", s.get("/asset?path=/..%2f..%2fbound.ts", 200), "home")
		resp, _ := s.do("GET", "/asset?path=/about.html", "")
		want(t, "another name", resp.Request.URL.Path, "/about")
		r := s.waitFull("the record", ofPath("/asset"))
		if len(r.Calls) != 1 || r.Calls[0].Kind != "assets" || r.Calls[0].Status != 200 {
			t.Errorf("its calls: %+v", r.Calls)
		}
	})
	t.Run("the cache", func(t *testing.T) {
		want(t, "before", s.get("/get?of=https://x.example/1", 404), "nothing")
		_, body := s.do("POST", "/put?of=https://x.example/1", "this")
		want(t, "put", body, "put")
		want(t, "after", s.get("/get?of=https://x.example/1", 200), "kept this")
		want(t, "of another agent", s.get("/b/get?of=https://x.example/1", 404), "nothing")
		resp, body := s.do("GET", "/get?of=https://x.example/1", "", "Range", "bytes=0-3")
		want(t, "a range", body, "kept")
		want(t, "its status", resp.StatusCode, http.StatusPartialContent)
		resp, _ = s.do("GET", "/get?of=https://x.example/1", "", "If-None-Match", `"1"`)
		want(t, "with its ETag", resp.StatusCode, http.StatusNotModified)
		want(t, "delete", strings.TrimSpace(s.get("/delete?of=https://x.example/1", 200)), "true")
		want(t, "after that", s.get("/get?of=https://x.example/1", 404), "nothing")
	})
	t.Run("rates", func(t *testing.T) {
		for i := range 4 {
			want(t, "a", strings.TrimSpace(s.get("/limit?key=k", 200)), map[bool]string{true: `{"success":true}`, false: `{"success":false}`}[i < 3])
		}
		want(t, "another key", strings.TrimSpace(s.get("/limit?key=other", 200)), `{"success":true}`)
		want(t, "another agent", strings.TrimSpace(s.get("/b/limit?key=k", 200)), `{"success":true}`)
	})
}

// TestWranglerBindings reads services, assets, rate limits and tail consumers from wrangler files, and wants a service
// that a changed file binds to be refused by the agent that does not admit the caller.
func TestWranglerBindings(t *testing.T) {
	t.Parallel()
	const file = `{ "main": "../caller.ts", "services": [{ "binding": "NEXT", "service": "%", "props": { "by": "file" } }],
	"assets": { "directory": "../public" }, "ratelimits": [{ "name": "LIMITER", "namespace_id": "7", "simple": { "limit": 1, "period": 60 } }],
	"tail_consumers": [{ "service": "watcher" }], "limits": { "cpu_ms": 200 }, "vars": { "WHO": "top" },
	"env": { "staging": { "vars": { "WHO": "staging" } } } }`
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent caller {\n\twrangler ./config/wrangler.jsonc\n}\nagent staging {\n\twrangler ./config/wrangler.jsonc staging\n}\nagent open {\n\tmain ./callee.ts\n}\nagent closed {\n\tmain ./callee.ts\n\tcallers open\n}\nagent watcher {\n\tmain ./watcher.ts\n}\n",
			"handle_path /staging/* {\n\tagent staging\n}\nhandle {\n\tagent caller\n}"),
		"config/wrangler.jsonc": strings.Replace(file, "%", "open", 1),
		"public/file.txt":       "a file",
		"caller.ts": `export default { async fetch(request: Request, env: any) {
	if (!env.NEXT) return new Response(env.WHO + " " + Object.keys(env));
	try { return Response.json([env.WHO, await env.NEXT.props(), (await env.LIMITER.limit({ key: "k" })).success]) } catch (e: any) { return new Response(e.message) }
} };`,
		"callee.ts":  `import { WorkerEntrypoint } from "cloudflare:workers"; export default class extends WorkerEntrypoint { props() { return (this.ctx as any).props } fetch() { return new Response("") } }`,
		"watcher.ts": `export default { tail(events: any[]) { console.log("told of " + events[0].scriptName) } };`,
	})
	want(t, "a service", strings.TrimSpace(s.get("/", 200)), `["top",{"by":"file"},true]`)
	want(t, "a rate that is used up", strings.TrimSpace(s.get("/", 200)), `["top",{"by":"file"},false]`)
	want(t, "assets", s.get("/file.txt", 200), "a file")
	want(t, "an environment", s.get("/staging/", 200), "staging ORIGIN,WHO")
	s.waitRecord("the tail consumer's record", func(r loggedRecord) bool {
		return r.Agent == "watcher" && len(r.Logs) > 0 && r.Logs[0].Message == "told of caller"
	})
	s.write(filepath.Join("config", "wrangler.jsonc"), strings.Replace(file, "%", "closed", 1))
	s.wait("the changed file is in charge", func() bool { return strings.Contains(s.get("/", 200), "takes no calls") })
	want(t, "a service that does not admit it", s.get("/", 200), "agent closed takes no calls of agent caller: it is not among its callers")
	r := s.waitFull("the record of the refusal", func(r fullRecord) bool {
		return r.Agent == "caller" && len(r.Calls) == 1 && r.Calls[0].Rule == "callers"
	})
	want(t, "decision", r.Calls[0].Decision, "refuse")
	want(t, "host", r.Calls[0].Host, "closed")
}
