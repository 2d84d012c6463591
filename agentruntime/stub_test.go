package agentruntime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/durable"
)

const stubSource = `import {DurableObject} from "cloudflare:workers";
export class A extends DurableObject {
	async echo(...args) { return args }
	async boom() { const e = new RangeError("bad"); e.retryable = true; throw e }
	async fetch(req) { return new Response(req.method + " " + new URL(req.url).pathname + " " + await req.text(), {status: 201, headers: {"x-a": "b"}}) }
	async up() { const n = (await this.ctx.storage.get("n")) ?? 0; await this.ctx.storage.put("n", n + 1); return n + 1 }
}
export default { async fetch(req, env, ctx) {
	const stub = env.NS.get(env.NS.idFromName("one"));
	const say = v => new Response(typeof v === "string" ? v : JSON.stringify(v));
	return say(await (CODE)(env.NS, stub, env));
} }`

// dispatch connects the agent's stubs to the stage's actor.
func TestListOfActors(t *testing.T) {
	s := newStage(t, `export class A {} export default { async fetch(req, env) {
		const all = []; let page, pages = 0;
		do { page = await env.NS.list({limit: 2, cursor: page?.cursor}); all.push(...page.ids); pages++ } while (!page.complete);
		const bad = async f => { try { await f() } catch (e) { return e.name + ": " + e.message } };
		return new Response(JSON.stringify([all.length, pages, all.every(id => env.NS.get(id).id.equals(id)), page.cursor ?? null,
			await bad(() => env.NS.list({limit: 1001})), await bad(() => env.NS.list({cursor: "x"}))]));
	} }`)
	ns := durable.NewNamespace("A")
	var ids []string
	for i := range 5 {
		ids = append(ids, ns.IDFromName(fmt.Sprint(i)).String())
	}
	slices.Sort(ids)
	host := &testHost{actors: func(binding, after string, limit int) ([]string, error) {
		from, _ := slices.BinarySearch(ids, after+"0")
		if after == "" {
			from = 0
		}
		return ids[from:min(from+limit, len(ids))], nil
	}}
	body, _, err, _ := answer(t, s.agent.Fetch(t.Context(), host, get("/")))
	want := `[5,3,true,null,"RangeError: list(): the limit is 1001, and must be from 1 to 1000","TypeError: list(): the cursor is none that list() of this namespace has given"]`
	if err != nil || body != want {
		t.Fatal(body, err)
	}
}

func (s *stage) dispatch() {
	s.host.call = func(ctx context.Context, target Target, call Call) (Value, error) {
		return s.actor.Call(ctx, s.host, call).Result()
	}
	s.host.fetch = func(ctx context.Context, target Target, req *Request) (*Response, error) {
		if target.Kind == TargetOrigin {
			return &Response{Status: 200, StatusText: "from the origin"}, nil
		}
		inv := s.actor.Fetch(ctx, s.host, req)
		return inv.Response()
	}
}

func TestStub(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"a method", `async (ns, s) => await s.echo(1, "x", {a: new Date(0)})`, `[1,"x",{"a":"1970-01-01T00:00:00.000Z"}]`},
		{"state", `async (ns, s) => [await s.up(), await s.up()]`, `[1,2]`},
		{"an exception", `async (ns, s) => { try { await s.boom() } catch (e) { return [e instanceof RangeError, e.name, e.message, e.remote, e.retryable] } }`, `[true,"RangeError","bad",true,true]`},
		{"no such method", `async (ns, s) => { try { await s.nothere() } catch (e) { return e.name + ": " + e.message } }`, `TypeError: The RPC receiver does not implement the method "nothere".`},
		{"a function as argument", `async (ns, s) => { const [f] = await s.echo(() => 5); return f() }`, `5`},
		{"a stub is no thenable", `async (ns, s) => [typeof s.then, typeof (await s).echo]`, `["undefined","function"]`},
		{"fetch", `async (ns, s) => { const r = await s.fetch("https://do/path", {method: "POST", body: "hi"}); return [r.status, r.headers.get("x-a"), await r.text()] }`, `[201,"b","POST /path hi"]`},
		{"its id and name", `(ns, s) => [s.id.equals(ns.idFromName("one")), s.name, s.id.name, String(s.id).length]`, `[true,"one","one",64]`},
		{"getByName", `async (ns) => { const s = ns.getByName("one"); return s.name + await s.up() }`, `one1`},
		{"a unique id", `(ns) => [String(ns.newUniqueId()) !== String(ns.newUniqueId()), ns.newUniqueId().name === undefined, ns.idFromString(String(ns.newUniqueId())).name === undefined]`, `[true,true,true]`},
		{"a foreign id", `(ns, s, env) => { try { env.OTHER.idFromString(String(s.id)) } catch (e) { return e.name + ": " + e.message } }`, `TypeError: Durable Object ID is not valid for this namespace; use an id of OTHER`},
		{"an id that is none", `(ns) => { try { ns.idFromString("xyz") } catch (e) { return e.name } }`, `TypeError`},
		{"get with another namespace's id", `(ns, s, env) => { try { env.OTHER.get(s.id) } catch (e) { return e.name } }`, `TypeError`},
		{"jurisdictions", `(ns) => { try { ns.newUniqueId({jurisdiction: "eu"}) } catch (e) { return e.message.includes("not offered") } }`, `true`},
		{"the origin", `async (ns, s, env) => { const r = await env.ORIGIN.fetch("https://x.example/"); return r.statusText }`, `from the origin`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, strings.Replace(stubSource, "CODE", c.code, 1)).activate()
			s.dispatch()
			body, _, err, report := answer(t, s.agent.Fetch(t.Context(), s.host, get("/")))
			if err != nil || body != c.want || report.Outcome != OutcomeOK {
				t.Fatalf("got %s, %v, %+v; want %s", body, err, report, c.want)
			}
		})
	}
}

func TestStubOfAResetActor(t *testing.T) {
	s := newStage(t, strings.Replace(stubSource, "CODE", `async (ns, s) => { try { await s.up() } catch (e) { return [e.durableObjectReset, e.remote] } }`, 1)).activate()
	s.dispatch()
	s.backend.fail = context.DeadlineExceeded
	body, _, err, _ := answer(t, s.agent.Fetch(t.Context(), s.host, get("/")))
	if err != nil || body != "[true,true]" {
		t.Fatal(body, err)
	}
}

func TestKVAndAnalytics(t *testing.T) {
	type entry struct{ value, metadata string }
	for _, c := range []struct{ name, code, want string }{
		{"missing", `await kv.get("x")`, "null"},
		{"text", `(await kv.put("x", "v"), await kv.get("x"))`, `"v"`},
		{"json", `(await kv.put("x", JSON.stringify({a: 1})), await kv.get("x", "json"))`, `{"a":1}`},
		{"json by options", `(await kv.put("x", "[1]"), await kv.get("x", {type: "json", cacheTtl: 60}))`, `[1]`},
		{"bytes", `(await kv.put("x", new Uint8Array([104, 105])), new TextDecoder().decode(await kv.get("x", "arrayBuffer")))`, `"hi"`},
		{"a stream", `(await kv.put("x", new Response("streamed").body), await new Response(await kv.get("x", "stream")).text())`, `"streamed"`},
		{"metadata", `(await kv.put("x", "v", {metadata: {m: 1}}), await kv.getWithMetadata("x"))`, `{"value":"v","metadata":{"m":1},"cacheStatus":null,"version":"7"}`},
		{"several keys", `(await kv.put("x", "v"), [...await kv.get(["x", "y"])])`, `[["x","v"],["y",null]]`},
		{"delete", `(await kv.put("x", "v"), await kv.delete("x"), await kv.get("x"))`, `null`},
		{"list", `(await kv.put("a1", "v", {metadata: 2}), await kv.put("b", "v"), await kv.list({prefix: "a"}))`, `{"keys":[{"name":"a1","metadata":2}],"list_complete":true,"cacheStatus":null}`},
		{"an empty key", `await kv.put("", "v").catch(e => e.message)`, `"Key name cannot be empty."`},
		{"a short ttl", `await kv.put("x", "v", {expirationTtl: 5}).catch(e => e.name)`, `"TypeError"`},
		{"a data point", `(env.TOOLS.writeDataPoint({indexes: ["i"], blobs: ["b", null], doubles: [1, 2.5]}), 1)`, `1`},
		{"too many blobs", `(() => { try { env.TOOLS.writeDataPoint({blobs: Array(21).fill("x")}) } catch (e) { return e.name } })()`, `"TypeError"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { async fetch(req, env) { const kv = env.KV; return new Response(JSON.stringify(`+c.code+`)) } }`,
				Config{Bindings: []Binding{{Name: "KV", Kind: BindingKV}, {Name: "TOOLS", Kind: BindingAnalytics}}})
			data := map[string]entry{}
			host := &testHost{kv: func(_ context.Context, op KVOp) (KVResult, error) {
				e, ok := data[op.Key]
				switch op.Verb {
				case KVPut:
					data[op.Key] = entry{string(op.Value), string(op.Metadata)}
				case KVDelete:
					delete(data, op.Key)
				case KVList:
					res := KVResult{Complete: true}
					for k, e := range data {
						if strings.HasPrefix(k, op.Prefix) {
							res.Keys = append(res.Keys, KVKey{Name: k, Metadata: []byte(e.metadata)})
						}
					}
					return res, nil
				}
				return KVResult{Found: ok, Value: []byte(e.value), Metadata: []byte(e.metadata), Version: "7"}, nil
			}}
			body, _, err, _ := answer(t, a.Fetch(t.Context(), host, get("/")))
			if err != nil || body != c.want {
				t.Fatalf("got %s, %v; want %s", body, err, c.want)
			}
			if c.name == "a data point" {
				p := host.events[0].Point
				if p == nil || p.Binding != "TOOLS" || len(p.Blobs) != 2 || p.Doubles[1] != 2.5 || p.Indexes[0] != "i" {
					t.Fatalf("%+v", p)
				}
			}
		})
	}
}
