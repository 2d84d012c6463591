package agentruntime

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// cacheHost is a cache that keeps everything but what says no-store.
func cacheHost(t *testing.T) *testHost {
	stored := map[string]*Request{}
	return &testHost{fetch: func(_ context.Context, target Target, req *Request) (*Response, error) {
		if target.Kind != TargetCache {
			t.Errorf("a request to %+v", target)
		}
		key := target.Binding + " " + req.URL
		old := stored[key]
		switch req.Method {
		case "PUT":
			if req.Header.Get("Cache-Control") == "no-store" {
				return &Response{Status: 413, StatusText: "it says so"}, nil
			}
			b, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			req.URL = string(b)
			stored[key] = req
			return &Response{Status: 204}, nil
		case "PURGE":
			delete(stored, key)
			if old == nil {
				return &Response{Status: 404}, nil
			}
			return &Response{Status: 200}, nil
		}
		if old == nil {
			return &Response{Status: 504}, nil
		}
		header := http.Header{"X-Status": old.Header[CacheStatus], "X-Language": old.Header[CacheRequest+"Accept-Language"], "X-Own": old.Header["X-Own"]}
		return &Response{Status: 200, Header: header, Body: io.NopCloser(strings.NewReader(old.URL))}, nil
	}}
}

func TestCache(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"nothing", `async c => [await c.match("https://a/x")]`, `[null]`},
		{"put and match", `async c => { await c.put("https://a/x", new Response("kept")); return (await c.match(new Request("https://a/x#part"))).text() }`, `kept`},
		{"what is sent along", `async c => { await c.put(new Request("https://a/x", {headers: {"accept-language": "de"}}), new Response("b", {status: 404, headers: {"x-own": "y"}}));
			const h = (await c.match("https://a/x")).headers; return [h.get("x-status"), h.get("x-language"), h.get("x-own")] }`, `["404","de","y"]`},
		{"a stream", `async c => { await c.put("https://a/x", new Response(new ReadableStream({ async start(c) { await scheduler.wait(1); c.enqueue(new TextEncoder().encode("st")); c.close() } })));
			return (await c.match("https://a/x")).text() }`, `st`},
		{"a clone", `async c => { const r = new Response("both"); await c.put("https://a/x", r.clone()); return [await r.text(), await (await c.match("https://a/x")).text()] }`, `["both","both"]`},
		{"another method", `async c => { await c.put("https://a/x", new Response("k")); const p = new Request("https://a/x", {method: "POST"});
			return [await c.match(p), await c.delete(p), (await c.match(p, {ignoreMethod: true})).status] }`, `[null,false,200]`},
		{"delete", `async c => { await c.put("https://a/x", new Response("k")); return [await c.delete("https://a/x"), await c.delete("https://a/x"), await c.match("https://a/x")] }`, `[true,false,null]`},
		{"a cache of a name", `async c => { const o = await caches.open("other"); await o.put("https://a/x", new Response("k")); return [o !== c, o instanceof Cache, await c.match("https://a/x")] }`, `[true,true,null]`},
		{"the default cache", `async c => [c === caches.default, caches instanceof CacheStorage, c instanceof Cache]`, `[true,true,true]`},
		{"a POST can't be put", `c => caught(c.put(new Request("https://a/x", {method: "POST"}), new Response("k")))`, `TypeError: Cannot cache response to non-GET request.`},
		{"206", `c => caught(c.put("https://a/x", new Response("k", {status: 206})))`, `TypeError: Cannot cache response to a range request (206 Partial Content).`},
		{"Vary: *", `c => caught(c.put("https://a/x", new Response("k", {headers: {vary: "accept, *"}})))`, `TypeError: Cannot cache response with 'Vary: *' header.`},
		{"no Response", `c => caught(c.put("https://a/x", "text"))`, `TypeError: Failed to execute 'put' on 'Cache': parameter 2 is not of type 'Response'.`},
		{"a used body", `async c => { const r = new Response("k"); await r.text(); return (await caught(c.put("https://a/x", r))).includes("already been used") }`, `true`},
		{"another scheme", `c => caught(c.match("ftp://a/x"))`, `TypeError: The key of a cache is a Request, or the address of one, with http or https; this is ftp://a/x`},
		{"what may not be kept", `async c => [await c.put("https://a/x", new Response("k", {headers: {"cache-control": "no-store"}})), await c.match("https://a/x")]`, `[null,null]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { async fetch() { const caught = async p => { try { return await p } catch (e) { return e.name + ": " + e.message } };
				const v = await (`+c.code+`)(caches.default); return new Response(typeof v === "string" ? v : JSON.stringify(v)) } }`, Config{})
			h := cacheHost(t)
			body, _, err, _ := answer(t, a.Fetch(t.Context(), h, get("/")))
			if err != nil || body != c.want {
				t.Fatalf("got %s, %v; want %s", body, err, c.want)
			}
			if logs := h.logs(); c.name == "what may not be kept" && (len(logs) != 1 || logs[0] != "warn: cache.put: the response to https://a/x is not kept: it says so") {
				t.Errorf("logged: %q", logs)
			}
		})
	}
}

func TestRateLimitBinding(t *testing.T) {
	a := newAgent(t, `export default { async fetch(req, env) {
		const out = [await env.LIMITER.limit({key: "a"}), await env.LIMITER.limit({key: "b"})];
		try { await env.LIMITER.limit({}) } catch (e) { out.push(e.name) }
		return Response.json(out) } }`, Config{Bindings: []Binding{{Name: "LIMITER", Kind: BindingRateLimit}}})
	h := &testHost{limit: func(binding, key string) (bool, error) { return binding == "LIMITER" && key == "a", nil }}
	body, _, err, _ := answer(t, a.Fetch(t.Context(), h, get("/")))
	if err != nil || body != `[{"success":true},{"success":false},"TypeError"]` {
		t.Fatal(body, err)
	}
}
