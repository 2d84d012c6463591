package agentruntime

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// nodeCase is an expression and what it must be as JSON; it may await. An exception is shown as its code and message.
type nodeCase struct{ name, code, want string }

// runNodeCases evaluates each case in an agent of its own file: imports come first.
func runNodeCases(t *testing.T, imports string, cases []nodeCase) {
	t.Helper()
	var b strings.Builder
	b.WriteString(imports)
	b.WriteString("\nconst cases: Record<string, () => unknown> = {\n")
	for _, c := range cases {
		b.WriteString("\t" + quote(c.name) + ": async () => { " + c.code + " },\n")
	}
	b.WriteString(`};
export default { async fetch(request: Request): Promise<Response> {
	try {
		const value = await cases[decodeURIComponent(new URL(request.url).pathname.slice(1))]();
		return new Response(value === undefined ? "undefined" : JSON.stringify(value));
	} catch (err: any) {
		return new Response("throws " + (err.code ?? err.name) + ": " + err.message);
	}
} };`)
	a := newAgent(t, b.String(), Config{})
	host := &testHost{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body, _, err, report := answer(t, a.Fetch(context.Background(), host, get("/"+strings.ReplaceAll(c.name, " ", "%20"))))
			if err != nil || report.Outcome != OutcomeOK {
				t.Fatalf("%s: %v %v", body, err, report)
			}
			if body != c.want {
				t.Errorf("got  %s\nwant %s", body, c.want)
			}
		})
	}
}

func TestNodeAsyncHooks(t *testing.T) {
	runNodeCases(t, `import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
const als = new AsyncLocalStorage<any>(); const other = new AsyncLocalStorage<any>();`, []nodeCase{
		{"nothing", `return als.getStore() === undefined`, "true"},
		{"run", `return als.run(1, (a, b) => [als.getStore(), a, b], 2, 3)`, "[1,2,3]"},
		{"run gives back", `als.run(1, () => {}); return als.getStore() === undefined`, "true"},
		{"run throws", `try { als.run(1, () => { throw 1 }) } catch {} return als.getStore() === undefined`, "true"},
		{"await", `return als.run(1, async () => { await null; await new Promise(r => setTimeout(r, 1)); return als.getStore() })`, "1"},
		{"then", `const p = als.run(1, () => Promise.resolve()); return als.run(2, () => p.then(() => als.getStore()))`, "2"},
		{"side by side", `return Promise.all([1, 2, 3].map(i => als.run(i, async () => { await scheduler.wait(4 - i); return als.getStore() })))`, "[1,2,3]"},
		{"timer", `return als.run("t", () => new Promise(r => setTimeout(() => r(als.getStore()), 1)))`, `"t"`},
		{"queueMicrotask", `return als.run("m", () => new Promise(r => queueMicrotask(() => r(als.getStore()))))`, `"m"`},
		{"nested", `return als.run(1, () => other.run(2, () => als.run(3, () => [als.getStore(), other.getStore()])))`, "[3,2]"},
		{"exit", `return als.run(1, () => [als.exit(() => als.getStore() === undefined), als.getStore()])`, "[true,1]"},
		{"enterWith", `als.enterWith(5); await null; return als.getStore()`, "5"},
		{"enterWith stays in its event", `return als.getStore() === undefined`, "true"},
		{"bind", `const f = als.run(1, () => AsyncLocalStorage.bind(() => als.getStore())); return als.run(2, f)`, "1"},
		{"snapshot", `const s = als.run(1, () => AsyncLocalStorage.snapshot()); return als.run(2, () => s((x) => [als.getStore(), x], "x"))`, `[1,"x"]`},
		{"resource", `const r = als.run(1, () => new AsyncResource("T")); return als.run(2, () => r.runInAsyncScope(function (this: any, x) { return [als.getStore(), this.y, x] }, {y: 3}, 4))`, "[1,3,4]"},
		{"resource bind", `const f = als.run(1, () => AsyncResource.bind((a: any, b: any) => als.getStore())); return [f(), f.length]`, "[1,2]"},
		{"default", `return new AsyncLocalStorage({ defaultValue: 7, name: "n" }).getStore()`, "7"},
		{"stream", `return als.run("s", () => new Response(new ReadableStream({ pull(c) { c.enqueue(new TextEncoder().encode(String(als.getStore()))); c.close() } })).text())`, `"s"`},
	})
	runNodeCases(t, `import { createHook } from "node:async_hooks";`, []nodeCase{
		{"absent", `return createHook({})`, "throws ERR_METHOD_NOT_IMPLEMENTED: node:async_hooks.createHook is not supported by this runtime"},
	})
}

// TestNodeModulesLoad makes every module: each that is there has every name that Node.js documents, or says so when it is
// used.
func TestNodeModulesLoad(t *testing.T) {
	for name, m := range nodeModules {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t, `export default { fetch() { return new Response("") } }`, Config{})
			r := a.newRealm()
			inv := r.newInvocation(context.Background(), &testHost{}, &a.limits, a.limits.Wall)
			r.home, r.at = &inv.home, &inv.home
			if ex := r.rt.Try(func() {
				r.node(name)
				for _, e := range m.exports {
					r.nodeExport(name, e.name)
				}
			}); ex != nil {
				t.Fatal(ex)
			}
		})
	}
}

// TestNodeCases runs the cases in testdata/node and compares them with what Node.js itself answered, which record.mjs
// there has written down.
func TestNodeCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "node", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.ReadFile(filepath.Join("testdata", "node", "run.js"))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "package" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			cases, err := os.ReadFile(strings.TrimSuffix(file, "on"))
			if err != nil {
				t.Fatal(err)
			}
			recorded, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := writeFiles(t, map[string]string{"cases.js": string(cases), "run.js": string(run), "agent.ts": `
import { cases } from "./cases.js"; import { run } from "./run.js";
export default { async fetch(request) { return new Response(await run(cases[decodeURIComponent(new URL(request.url).search.slice(1))])) } };`})
			script, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			a, err := New(Config{Name: name, Script: script, Limits: Limits{CPU: 5 * time.Second}})
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]string
			if err := json.Unmarshal(recorded, &want); err != nil {
				t.Fatal(err)
			}
			for _, name := range slices.Sorted(maps.Keys(want)) {
				count++
				host := &testHost{}
				body, _, err, report := answer(t, a.Fetch(context.Background(), host, get("/?"+url.PathEscape(name))))
				if err != nil || body != want[name] {
					t.Errorf("%s\ngot  %s%v %v\nwant %s", name, body, err, report, want[name])
					for _, e := range host.exceptions() {
						t.Errorf("%s: %s\n%s", e.Name, e.Message, e.Stack)
					}
				}
			}
		})
	}
	if count < 200 {
		t.Errorf("only %d cases ran", count)
	}
}
