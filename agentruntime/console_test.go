package agentruntime

import (
	"strings"
	"testing"
)

func TestConsole(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"values", `console.log("a", 1, -0, 1.5, true, null, undefined, 10n, Symbol("s"))`, "log: a 1 -0 1.5 true null undefined 10n Symbol(s)"},
		{"levels", `console.debug(1); console.info(2); console.warn(3); console.error(4)`, "debug: 1|info: 2|warn: 3|error: 4"},
		{"an object", `console.log({a: 1, b: "x", "c-d": [1, "y"], f() {}, g: class K {}})`, "log: { a: 1, b: 'x', 'c-d': [ 1, 'y' ], f: [Function: f], g: [class K] }"},
		{"nesting", `console.log({a: {b: {c: {d: 1}}}})`, "log: { a: { b: { c: [Object] } } }"},
		{"a cycle", `const o = {}; o.o = o; console.log(o)`, "log: { o: [Circular *1] }"},
		{"a class instance", `class P { x = 1 }; console.log(new P, Object.create(null))`, "log: P { x: 1 } [Object: null prototype] {}"},
		{"a Map and a Set", `console.log(new Map([["a", {b: 1}]]), new Set([1, "x"]))`, "log: Map(1) { 'a' => { b: 1 } } Set(2) { 1, 'x' }"},
		{"holes", `console.log([1, , , 4], [])`, "log: [ 1, <2 empty items>, 4 ] []"},
		{"typed arrays", `console.log(new Uint8Array([1, 2]), new Uint8Array([255]).buffer)`, "log: Uint8Array(2) [ 1, 2 ] ArrayBuffer { [Uint8Contents]: <ff>, byteLength: 1 }"},
		{"dates and expressions", `console.log(new Date(0), /a+/g, new Date(NaN))`, "log: 1970-01-01T00:00:00.000Z /a+/g Invalid Date"},
		{"promises", `console.log(Promise.resolve(1), new Promise(() => {}))`, "log: Promise { 1 } Promise { <pending> }"},
		{"boxed", `console.log(Object(1), Object("s"), Object(false))`, "log: [Number: 1] [String: 's'] [Boolean: false]"},
		{"a getter is not run", `console.log({get a() { throw 1 }})`, "log: { a: [Getter] }"},
		{"format", `console.log("%s is %d years, %i, %f, %o %% %x", "Bob", 42, 4.9, 1.5, {a: 1}, "rest")`, "log: Bob is 42 years, 4, 1.5, { a: 1 } % %x rest"},
		{"quotes", `console.log(["it's", "a\nb"])`, "log: [ \"it's\", 'a\\nb' ]"},
		{"long lists", `console.log(Array.from({length: 120}, () => 0).map(String).length, new Array(101).fill(1))`, "log: 101 1"},
		{"count and group", `console.count(); console.count("x"); console.count(); console.group("g"); console.log("in"); console.groupEnd(); console.log("out")`,
			"log: default: 1|log: x: 1|log: default: 2|log: g|log:   in|log: out"},
		{"assert", `console.assert(true, "no"); console.assert(false, "yes", 1)`, "error: Assertion failed: yes 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := &testHost{}
			a := newAgent(t, "export default { fetch() { "+c.code+"; return new Response() } }", Config{})
			if _, _, err, _ := answer(t, a.Fetch(t.Context(), host, get("/"))); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(host.logs(), "|")
			if c.name == "long lists" {
				if !strings.Contains(got, "... 1 more item") {
					t.Fatal(got)
				}
				return
			}
			if got != c.want {
				t.Fatalf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestConsoleShowsErrors(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, "\nexport default { fetch() { console.log(new TypeError('bad', {cause: new Error('why')})); return new Response() } }", Config{})
	_, _, _, _ = answer(t, a.Fetch(t.Context(), host, get("/")))
	got := strings.Join(host.logs(), "")
	for _, want := range []string{"log: TypeError: bad\n    at", "agent.ts:2:", "[cause]: Error: why"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %s", want, got)
		}
	}
}

func TestLogVolume(t *testing.T) {
	host := &testHost{}
	a := newAgent(t, `export default { fetch() { for (let i = 0; i < 10; i++) console.log("x".repeat(100)); return new Response() } }`, Config{Limits: Limits{Logs: 350}})
	_, _, _, report := answer(t, a.Fetch(t.Context(), host, get("/")))
	if n := len(host.logs()); n != 3 || report.LogsDropped != 7 {
		t.Fatal(n, report)
	}
}
