package agentruntime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// evaluate runs a script's program in a bare runtime that has what the bundles of these tests touch.
func evaluate(t *testing.T, s *Script) (*goja.Runtime, goja.Value) {
	t.Helper()
	rt := goja.New()
	if _, err := rt.RunString(`
		Symbol.asyncIterator ??= Symbol.for("Symbol.asyncIterator");
		Object.defineProperty(Symbol, "asyncIterator", {value: Symbol.for("Symbol.asyncIterator")});
		globalThis.__modules = {"cloudflare:workers": {DurableObject: class DurableObject {}, WorkerEntrypoint: class {}, RpcTarget: class {}, env: {A: 1}}};
	`); err != nil {
		t.Fatal(err)
	}
	v, err := rt.RunProgram(s.Program())
	if err != nil {
		t.Fatal(err)
	}
	return rt, v
}

func TestBuildEvaluates(t *testing.T) {
	for _, c := range []struct {
		name  string
		main  string
		files map[string]string
		js    string // evaluated with m as the module's namespace
		want  string
	}{
		{"default export", "agent.ts", map[string]string{"agent.ts": `export default { n: 41 + (1 as number) }`}, "m.default.n", "42"},
		{"a relative import", "src/agent.ts", map[string]string{"src/agent.ts": `import { x } from "../lib/x"; export const y: number = x + 1`, "lib/x.ts": `export const x = 1`, "package.json": "{}"}, "m.y", "2"},
		{"JSON, text and bytes", "agent.js", map[string]string{"agent.js": `import j from "./a.json"; import t from "./a.txt"; export default j.k + t`, "a.json": `{"k":"v"}`, "a.txt": "text"}, "m.default", "vtext"},
		{"a CommonJS package", "agent.mjs", map[string]string{"agent.mjs": `import p from "p"; export default p.f()`, "node_modules/p/package.json": `{"name":"p","main":"i.js"}`, "node_modules/p/i.js": `exports.f = () => "cjs"`}, "m.default", "cjs"},
		{"the workerd condition of a package", "agent.ts", map[string]string{"agent.ts": `export { default } from "p"`, "node_modules/p/package.json": `{"name":"p","exports":{"workerd":"./w.js","default":"./d.js"}}`, "node_modules/p/w.js": `export default "w"`, "node_modules/p/d.js": `export default "d"`}, "m.default", "w"},
		{"cloudflare:workers", "agent.ts", map[string]string{"agent.ts": `import { DurableObject, env, type ExecutionContext } from "cloudflare:workers"; export class A extends DurableObject {} export const a = env.A`}, "m.A.name + m.a", "A1"},
		{"a package that replaces a Node.js module", "agent.ts", map[string]string{"agent.ts": `export { default } from "p"`, "node_modules/p/package.json": `{"name":"p","main":"i.js","browser":{"node:fs":"./fs.js"}}`, "node_modules/p/i.js": `import fs from "node:fs"; export default fs`, "node_modules/p/fs.js": `export default "none"`}, "m.default", "none"},
		{"class fields named get, set and async", "agent.ts", map[string]string{"agent.ts": `export class A { get = 1; set = () => 2; async = async () => 3; static get = 4; "get2" = 5 }`}, "new m.A().get + new m.A().set() + m.A.get", "7"},
		{"import.meta.url and NODE_ENV", "agent.ts", map[string]string{"agent.ts": `export default import.meta.url + process.env.NODE_ENV`}, "m.default", "file:///agent.jsproduction"},
		{"strict mode", "agent.js", map[string]string{"agent.js": `export default (function() { return this === undefined })()`}, "m.default", "true"},
		{"decorators", "agent.ts", map[string]string{"agent.ts": `function d(f: any) { return function() { return "d" + f() } } export class A { @d static f() { return 1 } }`}, "m.A.f()", "d1"},
		{"a dynamic import", "agent.js", map[string]string{"agent.js": `export const p = import("./b.js"); export const s = typeof p.then`, "b.js": `export const b = 1`}, "m.s", "function"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Build(t.Context(), BuildOptions{Main: c.main, Dir: testkit.Folder(t, c.files)})
			if err != nil {
				t.Fatal(err)
			}
			rt, v := evaluate(t, s)
			if !goja.IsUndefined(v) {
				t.Fatalf("the program's value is %v, want undefined", v)
			}
			got, err := rt.RunString("(m => " + c.js + ")(__entry)")
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	messages := newGolden(t, "build.txt")
	agent := func(text string) map[string]string { return map[string]string{"agent.ts": text} }
	for _, c := range []struct {
		name  string
		main  string
		files map[string]string
		limit int64
	}{
		{"a syntax error", "agent.ts", agent("let a = 1\nlet b x = 2\n"), 0},
		{"a syntax error in an imported file", "agent.ts", map[string]string{"agent.ts": `import "./lib/x"`, "lib/x.ts": "export const x = {\n"}, 0},
		{"a name that an imported file does not export", "agent.ts", map[string]string{"agent.ts": `import { y } from "./x"; export default y`, "x.ts": "export const x = 1"}, 0},
		{"a name of cloudflare:workers not built", "agent.ts", agent("import { ContainerEntrypoint } from 'cloudflare:workers'\nexport class W extends ContainerEntrypoint {}"), 0},
		{"the same through a namespace", "agent.ts", agent("import * as c from 'cloudflare:workers'\nexport class W extends c.ContainerEntrypoint {}"), 0},
		{"another module of cloudflare", "agent.ts", agent("import { connect } from 'cloudflare:pipelines'\nconnect()"), 0},
		{"a module that Node.js has not", "agent.ts", agent("\n\timport fs from 'node:filesystem'\nexport default fs"), 0},
		{"a name that a module of Node.js has not", "agent.ts", agent("import { readFil } from 'fs'\nexport default readFil"), 0},
		{"a module of Node.js where there are none", "without/node.ts", map[string]string{"without/node.ts": "import path from 'path'\nexport default path"}, 0},
		{"a missing file", "agent.ts", agent("import e from './e'\nexport default e"), 0},
		{"a missing package", "agent.ts", agent("import e from '@scope/name/part'\nexport default e"), 0},
		{"two problems", "agent.ts", agent("import './one'\nimport './two'"), 0},
		{"a file of another kind", "agent.ts", map[string]string{"agent.ts": "import w from './w.png'\nexport default w", "w.png": "x"}, 0},
		{"no WebAssembly", "agent.ts", map[string]string{"agent.ts": "import w from './w.wasm'\nexport default w", "w.wasm": "x"}, 0},
		{"a regular expression that goja lacks", "agent.ts", agent("let a;\n\tlet x = 1, y = /(?i:a)/;\nexport { y }"), 0},
		{"over the size", "agent.ts", map[string]string{"agent.ts": `import { big } from "./big"; export default big`, "big.ts": "export const big = '" + strings.Repeat("x", 2000) + "'"}, 1000},
		{"a missing module", "gone.ts", nil, 0},
		{"a directory", "dir.ts", map[string]string{"dir.ts/x": ""}, 0},
		{"an unknown extension", "agent.py", agent(""), 0},
		{"no module", "", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testkit.Folder(t, c.files)
			_, err := Build(t.Context(), BuildOptions{Main: c.main, Dir: dir, MaxSize: c.limit, WithoutNode: strings.HasPrefix(c.main, "without/")})
			messages.check(t, c.name, dir, err)
			var refused *BuildError
			if !errors.As(err, &refused) || len(refused.Problems) == 0 || len(refused.Inputs) == 0 {
				t.Errorf("got %#v, want a *BuildError with problems and inputs", err)
			}
		})
	}
}

func TestBuildWarns(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"agent.ts": `import { y } from "./y";
export const x = { a: 1, a: 2 };
export default [/a\p{L}/u, /\P{Lu}/u, /\d/, y];
`, "y.ts": `export const y = new RegExp("\\p{L}", "u");`})
	var got []string
	_, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir, Log: func(w string) { got = append(got, strings.SplitN(w, "\n", 2)[0]) }})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{
		`agent.ts:2:26: Duplicate key "a" in object literal`,
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// TestBuildNotesMissing holds that a refused build names the file whose making would mend it.
func TestBuildNotesMissing(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"src/agent.ts": `import "../lib/x"`})
	_, err := Build(t.Context(), BuildOptions{Main: "src/agent.ts", Dir: dir})
	var refused *BuildError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a *BuildError", err)
	}
	for _, want := range []string{"src/agent.ts", "lib/x.ts"} {
		if !slices.Contains(refused.Inputs, filepath.Join(dir, filepath.FromSlash(want))) {
			t.Errorf("%s is not among %q", want, refused.Inputs)
		}
	}
}

func TestBuildCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Build(ctx, BuildOptions{Main: "agent.ts", Dir: testkit.Folder(t, map[string]string{"agent.ts": ""})})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
}

func TestBuildInputs(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{
		"src/agent.ts": `import { x } from "./x"; import p from "p"; export default x + p`, "src/x.ts": `export const x = 1`,
		"package.json": `{}`, "tsconfig.json": `{}`, "src/unused.ts": ``,
		"node_modules/p/package.json": `{"name":"p","main":"i.js"}`, "node_modules/p/i.js": `export default 1`,
	})
	first, err := Build(t.Context(), BuildOptions{Main: "src/agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, path := range first.Inputs() {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, filepath.ToSlash(rel))
	}
	want := "node_modules/p/i.js node_modules/p/package.json package.json src/agent.ts src/x.ts tsconfig.json"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	again, err := Build(t.Context(), BuildOptions{Main: "src/agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if first.Version() != again.Version() || len(first.Version()) != 12 {
		t.Errorf("versions %s and %s of the same files", first.Version(), again.Version())
	}
	if err := os.WriteFile(filepath.Join(dir, "src", "x.ts"), []byte("export const x = 2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err = Build(t.Context(), BuildOptions{Main: "src/agent.ts", Dir: dir}); err != nil || first.Version() == again.Version() {
		t.Errorf("error %v; version %s after a change", err, again.Version())
	}
}

// TestBuildNamesNoMap holds that a comment in an agent's file cannot make goja read a file as a source map.
func TestBuildNamesNoMap(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"agent.js": "export default `\n//# sourceMappingURL=/dev/null\n`\n//# sourceMappingURL=missing.map\n"})
	if _, err := Build(t.Context(), BuildOptions{Main: "agent.js", Dir: dir}); err != nil {
		t.Fatal(err)
	}
}

func TestBuildTopLevelAwait(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"agent.ts": `import { x } from "./x"; export default x`, "x.ts": `export const x = await Promise.resolve("late")`})
	s, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rt, v := evaluate(t, s)
	p, ok := v.Export().(*goja.Promise)
	if !ok || p.State() != goja.PromiseStateFulfilled {
		t.Fatalf("the program's value is %v, want a promise that fulfilled", v)
	}
	if got := rt.Get("__entry").ToObject(rt).Get("default").String(); got != "late" {
		t.Fatalf("got %s", got)
	}
}

// TestBuildPackages bundles packages from npm, unmodified, and runs a piece of each.
func TestBuildPackages(t *testing.T) {
	packages, err := filepath.Abs(filepath.Join("testdata", "packages", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(packages); err != nil {
		t.Fatalf("the npm packages of this test are not installed; run: make deps (%v)", err)
	}
	for _, c := range []struct{ name, agent, want string }{
		{"hono", `import { Hono } from "hono"; const app = new Hono(); app.get("/a/:id", c => c.text("x")); export default app.router.match("GET", "/a/7")[0].length`, "1"},
		{"itty-router", `import { AutoRouter } from "itty-router"; const r = AutoRouter(); r.get("/x", () => 1); export default r.routes.length`, "1"},
		{"zod", `import { z } from "zod"; const s = z.object({ mail: z.string().email(), n: z.number().int() }); export default s.safeParse({ mail: "a@example.com", n: 1 }).success + " " + s.safeParse({ mail: "a", n: 1.5 }).error?.issues.length`, "true 2"},
		{"zod/mini", `import * as z from "zod/mini"; export default z.safeParse(z.string(), 1).success`, "false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testkit.Folder(t, map[string]string{"agent.ts": c.agent})
			if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			s, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir, Log: func(w string) { t.Log(w) }})
			if err != nil {
				t.Fatal(err)
			}
			rt, _ := evaluate(t, s)
			if got := rt.Get("__entry").ToObject(rt).Get("default").String(); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
		})
	}
}
