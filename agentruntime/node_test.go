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

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
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
			dir := testkit.Folder(t, map[string]string{"cases.js": string(cases), "run.js": string(run), "agent.ts": `
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

// TestNodeBounded asks the native functions for what would take a runtime's memory or hold it up: each refuses.
func TestNodeBounded(t *testing.T) {
	runNodeCases(t, `import crypto from "node:crypto"; import util from "node:util";`, []nodeCase{
		{"a large buffer", `Buffer.alloc(2 ** 40)`, `throws ERR_OUT_OF_RANGE: The value of "size" is out of range. It must be >= 0 && <= 134217728. Received 1099511627776`},
		{"a long list", `Buffer.from({ length: 1e8 })`, `throws ERR_OUT_OF_RANGE: The value of "length" is out of range. It must be <= 16777216. Received 100000000`},
		{"a long array", `return util.inspect(Array(4e9), { maxArrayLength: Infinity }).length < 100`, "true"},
		{"a value of many parts", `let v: any = {}; for (let i = 0; i < 60; i++) v = { a: v, b: v }; return util.inspect(v, { depth: Infinity }).length < 1e6`, "true"},
		{"many iterations", `crypto.pbkdf2Sync("p", "s", 1e9, 32, "sha256")`, "throws ERR_OUT_OF_RANGE: pbkdf2 with more than 100000 iterations is not supported by this runtime"},
		{"many bytes", `crypto.pbkdf2Sync("p", "s", 1000, 1e8, "sha256")`, "throws ERR_OUT_OF_RANGE: pbkdf2 of so many bytes with so many iterations is not supported by this runtime"},
		{"a costly scrypt", `crypto.scryptSync("p", "s", 32, { N: 1024, r: 8, p: 1e5 })`, "throws ERR_OUT_OF_RANGE: scrypt with a cost over N*r*p = 262144 is not supported by this runtime"},
		{"a large key", `crypto.generateKeyPairSync("rsa", { modulusLength: 16384 })`, "throws ERR_OUT_OF_RANGE: an RSA key of other than 1024 to 2048 bits takes too long to make here: call crypto.subtle.generateKey"},
		{"a long key", `crypto.createPublicKey({ key: { kty: "RSA", e: "AQAB", n: "_".repeat(4000) }, format: "jwk" })`,
			"throws ERR_OSSL_UNSUPPORTED: error:1E08010C:DECODER routines::unsupported: the key has another format, or an algorithm that is not supported"},
		{"much randomness", `crypto.randomBytes(2 ** 31 - 1)`, "throws ERR_OUT_OF_RANGE: more random bytes than there is memory for"},
		{"a file", `const fs = await import("node:fs"); fs.readFileSync("/etc/passwd")`,
			"throws ERR_METHOD_NOT_IMPLEMENTED: node:fs.readFileSync is not supported by this runtime; agents have no file system: import the file, as text or bytes, or keep it in KV"},
		{"an exit", `process.exit(1)`, "throws ERR_METHOD_NOT_IMPLEMENTED: node:process.exit is not supported by this runtime"},
		{"a class of what is absent", `const { Agent } = await import("node:http"); class Mine extends Agent {} new Mine()`,
			"throws ERR_METHOD_NOT_IMPLEMENTED: node:http.Agent is not supported by this runtime"},
	})
}

// TestNodeLeftOut holds that an agent without the modules of Node.js has their globals neither.
func TestNodeLeftOut(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"agent.js": `export default { fetch() {
		return Response.json([typeof process, typeof Buffer, typeof global, "process" in globalThis, typeof setImmediate]) } }`})
	script, err := Build(t.Context(), BuildOptions{Main: "agent.js", Dir: dir, WithoutNode: true})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Name: "test", Script: script})
	if err != nil {
		t.Fatal(err)
	}
	if body, _, err, _ := answer(t, a.Fetch(context.Background(), &testHost{}, get("/"))); err != nil || body != `["undefined","undefined","undefined",false,"function"]` {
		t.Fatal(body, err)
	}
}

// TestProcessEnv holds that process.env has vars and secrets as text, and nothing else of env.
func TestProcessEnv(t *testing.T) {
	a := newAgent(t, `export default { fetch() {
		process.env.OWN = 5;
		return Response.json([process.env.PLAIN, process.env.LIST, process.env.KEY, process.env.STORE, Object.keys(process.env), process.env.OWN, { ...process.env }.PLAIN]) } }`,
		Config{Bindings: []Binding{{Name: "PLAIN", Kind: BindingVar, Value: "text"}, {Name: "LIST", Kind: BindingJSON, Value: "[1,2]"},
			{Name: "KEY", Kind: BindingSecret}, {Name: "STORE", Kind: BindingKV}}})
	host := &testHost{secret: func(string) (string, error) { return "opened", nil }}
	const want = `["text","[1,2]","opened",null,["KEY","LIST","PLAIN","OWN"],"5","text"]`
	if body, _, err, _ := answer(t, a.Fetch(context.Background(), host, get("/"))); err != nil || body != want {
		t.Fatal(body, err)
	}
}

// TestProcessOutput holds that what is written to process.stdout and to a Console comes to the console, line by line.
func TestProcessOutput(t *testing.T) {
	a := newAgent(t, `import { Console } from "node:console";
export default { async fetch() {
	process.stdout.write("one\ntw"); process.stdout.write("o\n"); process.stderr.write("bad\n"); process.stdout.write("rest");
	new Console(process.stdout).log("%s!", "three", { a: 1 });
	process.emitWarning("careful", "Custom", "C1");
	await null;
	return new Response() } }`, Config{})
	host := &testHost{}
	if _, _, err, _ := answer(t, a.Fetch(context.Background(), host, get("/"))); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(host.logs(), "|"), "log: one|log: two|error: bad|log: restthree! { a: 1 }|warn: [C1] Custom: careful"; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

// TestNodeResolution holds who gets which module: imports and requires, with and without node:, of an agent and of packages.
func TestNodeResolution(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{
		"agent.js": `
import Emitter, { once } from "node:events";
import * as events from "events";
import buffer from "buffer";
import old from "old";
import mixed from "mixed";
export default { async fetch() {
	const later = await import("node:path");
	return Response.json([
		Emitter === events.EventEmitter, once === events.once, events.default === Emitter, buffer.Buffer === Buffer, later.join("a", "b"), later.default.sep,
		old.emits(), old.same(Emitter), old.hasFs(), old.dynamic(), mixed,
	]);
} }`,
		"node_modules/events/package.json": `{"name":"events","main":"i.js"}`,
		"node_modules/events/i.js":         `throw new Error("the package must not be taken")`,
		"node_modules/old/package.json":    `{"name":"old","main":"i.js","browser":{"fs":false}}`,
		"node_modules/old/i.js": `
const EventEmitter = require("events"), util = require("util"), fs = require("fs");
function Old() { EventEmitter.call(this); }
util.inherits(Old, EventEmitter);
exports.emits = function() { const o = new Old(); let got; o.on("x", v => { got = v; }); o.emit("x", 7); return got; };
exports.same = e => e === EventEmitter && e === require("node:events").EventEmitter;
exports.hasFs = () => Object.keys(fs).length;
exports.dynamic = function() { const name = "./nothing"; try { return require(name); } catch (err) { return err.message.includes("nothing"); } };`,
		"node_modules/mixed/package.json": `{"name":"mixed","main":"i.js","module":"i.mjs"}`,
		"node_modules/mixed/i.mjs":        `import { createRequire } from "module"; const require = createRequire(import.meta.url); export default require("util").format("%d", 5);`,
	})
	script, err := Build(t.Context(), BuildOptions{Main: "agent.js", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Name: "test", Script: script})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[true,true,true,true,"a/b","/",7,true,0,true,"5"]`
	if body, _, err, _ := answer(t, a.Fetch(context.Background(), &testHost{}, get("/"))); err != nil || body != want {
		t.Fatal(body, err)
	}
}

// TestNodeJunk calls every function of every module with values it does not expect: it may throw, and nothing else.
func TestNodeJunk(t *testing.T) {
	a := newAgent(t, `
import module from "node:module";
const junk = [undefined, null, 5, -1, NaN, 1e21, "x", "", true, 7n, Symbol("s"), {}, [], () => {}, new Uint8Array(3), new Map(), Object.create(null), new Proxy({}, {})];
const skip = new Set(["setInterval"]); // they would go on
let calls = 0;
const quiet = (fn: () => unknown) => {
	calls++;
	try {
		const v: any = fn();
		if (typeof v?.then === "function") v.then(() => {}, () => {});
		if (typeof v?.on === "function") v.on("error", () => {});
	} catch {}
};
function each(object: any, depth: number) {
	for (const key of Reflect.ownKeys(object)) {
		let value: any;
		quiet(() => { value = object[key]; });
		if (skip.has(String(key)) || (typeof value !== "function" && typeof value !== "object") || value === null) continue;
		if (typeof value === "object") {
			if (depth < 1 && key !== "env") each(value, depth + 1);
			continue;
		}
		for (const j of junk) {
			quiet(() => value(j, j, j, j, j));
			quiet(() => Reflect.apply(value, j, [j, junk[(calls + 7) % junk.length], j]));
			quiet(() => new value(j, j, j));
		}
		if (value.prototype && depth < 1) {
			for (const name of Object.getOwnPropertyNames(value.prototype)) {
				if (name === "constructor") continue;
				for (const j of junk) {
					quiet(() => Reflect.get(value.prototype, name, j));
					quiet(() => Reflect.apply(value.prototype[name], j, [j, j, j]));
				}
			}
		}
	}
}
export default { async fetch(request: Request) {
	const name = new URL(request.url).search.slice(1);
	const value: any = name === "Buffer" ? Buffer : process.getBuiltinModule(name);
	each(value, 0);
	if (name === "Buffer") {
		for (const method of METHODS) for (const j of junk) {
			quiet(() => (Buffer.alloc(4) as any)[method](j, j, j, j));
			quiet(() => Reflect.apply((Buffer.prototype as any)[method], j, [j, 1, j]));
			quiet(() => (Buffer as any)[method](j, j, j));
		}
	}
	return new Response(String(calls > 0));
} };
const METHODS: string[] = `+bufferNames()+`;
`, Config{Limits: Limits{CPU: time.Minute}})
	for _, name := range append(slices.Sorted(maps.Keys(nodeModules)), "Buffer") {
		if m := nodeModules[name]; m != nil && (m.internal || !m.present() || name == "process" || name == "console") {
			continue // the console would be long, and process has a title of its own to lose
		}
		t.Run(name, func(t *testing.T) {
			host := &testHost{}
			body, _, err, report := answer(t, a.Fetch(context.Background(), host, get("/?"+name)))
			if err != nil || body != "true" {
				t.Fatal(body, err, report)
			}
			for _, e := range host.exceptions() {
				if strings.Contains(e.Message, "internal error") {
					t.Error(e.Message, e.Stack)
				}
			}
		})
	}
}

// bufferNames lists the methods of Buffer as JSON.
func bufferNames() string {
	var names []string
	for _, m := range append(slices.Clone(bufferMembers), bufferStatics...) {
		names = append(names, m.name)
	}
	text, _ := json.Marshal(names)
	return string(text)
}
