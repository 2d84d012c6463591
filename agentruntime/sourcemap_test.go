package agentruntime

import (
	"strings"
	"testing"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

func TestMapStack(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{
		"src/agent.ts": `import { fail } from "../lib/fail";

interface Unused { a: string }

export class Thing {
	get = 1; run(n: number): void { [n].map((x) => fail(x)) }
}
export function start(): void {
	new Thing().run(1);
}
export async function later(): Promise<void> {
	await null;
	fail(2);
}
`,
		"package.json": "{}",
		"lib/fail.ts": `type A = number;
/** Fails. */
export function fail(n: A): never {
	throw new TypeError("no " + n);
}
`,
	})
	s, err := Build(t.Context(), BuildOptions{Main: "src/agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rt, _ := evaluate(t, s)
	for _, c := range []struct{ name, js, want string }{
		{"through functions, methods and natives", `try { __entry.start() } catch (e) { e.stack }`, `TypeError: no 1
    at fail (lib/fail.ts:4:8)
    at src/agent.ts:6:49
    at run (src/agent.ts:6:38)
    at start (src/agent.ts:9:14)
    at outside.js:1:20`},
		{"an async function", `__entry.later().catch((e) => { globalThis.late = e.stack }); ""`, ``},
		{"its stack", `late`, `TypeError: no 2
    at fail (lib/fail.ts:4:8)
    at later (src/agent.ts:13:2)`},
		{"a message with lines of its own", `new Error("a\n  at the door").stack`, "Error: a\n  at the door\n    at outside.js:1:1"},
		{"no stack at all", `"plain text"`, `plain text`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := rt.RunScript("outside.js", c.js)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.MapStack(v.String()); got != c.want {
				t.Fatalf("%s\ngot:\n%s\nwant:\n%s", v, got, c.want)
			}
		})
	}

	t.Run("an exception's one-line form", func(t *testing.T) {
		start, _ := goja.AssertFunction(rt.Get("__entry").ToObject(rt).Get("start"))
		_, err := start(goja.Undefined())
		if err == nil {
			t.Fatal("start did not throw")
		}
		if got, want := s.MapStack(err.Error()), "TypeError: no 1 at fail (lib/fail.ts:4:8)"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestMapStackLines(t *testing.T) {
	m := &sourceMap{raw: []byte(`{"version":3,"sources":["a.ts","gatehouse:entry"],"names":[],"mappings":"AAAA;ACAA"}`)}
	for _, c := range []struct{ name, in, want string }{
		{"a mapped frame", "E: x\n\tat f (gatehouse:bundle:1:1(9))", "E: x\n    at f (a.ts:1:1)"},
		{"a frame of the entry is left out", "E: x\n\tat gatehouse:bundle:2:1(9)", "E: x"},
		{"a frame past the map's end is left out", "E: x\n\tat gatehouse:bundle:0:0(9)", "E: x"},
		{"a native frame is left out", "E: x\n\tat map (native)", "E: x"},
		{"a frame of the runtime is left out", "E: x\n\tat pump (gatehouse:streams:1:2(3))", "E: x"},
		{"a frame of eval stays", "E: x\n\tat g (<eval>:1:2(3))", "E: x\n    at g (<eval>:1:2)"},
		{"a number too large", "\tat gatehouse:bundle:99999999999999999999:1(1)", ""},
		{"a place in a message", "E: gatehouse:bundle:1:1: bad", "E: a.ts:1:1: bad"},
		{"a place without source in a message", "E: gatehouse:bundle:2:1", "E: gatehouse:bundle:2:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := m.mapStack(c.in, stackFrames); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
	broken := &sourceMap{raw: []byte("{")}
	if got := broken.mapStack("E\n\tat f (gatehouse:bundle:1:1(1))", stackFrames); got != "E" {
		t.Fatalf("with a broken map: got %q", got)
	}
}

func FuzzMapStack(f *testing.F) {
	m := &sourceMap{raw: []byte(`{"version":3,"sources":["a.ts"],"names":[],"mappings":"AAAA"}`)}
	f.Add("TypeError: x\n\tat f (gatehouse:bundle:1:1(3))\n\tat map (native)\n")
	f.Add("\tat gatehouse:bundle:18446744073709551616:0(1))")
	f.Add("E: gatehouse:bundle:1:1\n\tat (\n\tat <eval>:1:1(1)")
	f.Fuzz(func(t *testing.T, stack string) {
		got := m.mapStack(stack, stackFrames)
		if strings.Count(got, "\n") > strings.Count(stack, "\n") {
			t.Fatalf("%q grew to %q", stack, got)
		}
	})
}
