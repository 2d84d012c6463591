package agentruntime

import (
	"strings"
	"testing"
	"time"
)

func TestGuards(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"a long repeat", `"x".repeat(1e9)`, "RangeError: Invalid string length"},
		{"a longer repeat", `"xx".repeat(2 ** 53)`, "RangeError: Invalid string length"},
		{"a negative repeat is the native's", `"x".repeat(-1)`, "RangeError: Invalid count value"},
		{"repeat", `"ab".repeat(2)`, "abab"},
		{"repeat of a number", `String.prototype.repeat.call(12, 2)`, "1212"},
		{"a long padEnd", `"x".padEnd(2e9)`, "RangeError: Invalid string length"},
		{"a long padStart", `"x".padStart(2e9, "ab")`, "RangeError: Invalid string length"},
		{"padEnd", `"x".padEnd(3, "ab")`, "xab"},
		{"padEnd of nothing", `"x".padEnd()`, "x"},
		{"fill of a long array", `Array(1e9).fill(0)`, "RangeError: Invalid array length"},
		{"fill", `Array(3).fill(1).join()`, "1,1,1"},
		{"from a long array-like object", `Array.from({length: 1e8})`, "RangeError: Invalid array length"},
		{"from an array-like object", `Array.from({length: 2}, (_, i) => i).join()`, "0,1"},
		{"from in a subclass", `class A extends Array {}; A.from([1]) instanceof A && Array.from({length: 1}).length`, "1"},
		{"flat of a deep array", `let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity)`, "RangeError: The array is nested too deeply"},
		{"flat", `[1, [2, [3, [4]]]].flat(Infinity).join() + [1, [2, [3]]].flat().length`, "1,2,3,43"},
		{"eval of deep code", `eval("[".repeat(1e6))`, "RangeError: The code is nested too deeply"},
		{"indirect eval of deep code", `(0, eval)("[".repeat(1e6))`, "RangeError: The code is nested too deeply"},
		{"eval", `eval("1 + 1")`, "2"},
		{"eval of a value", `eval(7)`, "7"},
		{"new Function of deep code", `new Function("return " + "(".repeat(1e6))`, "RangeError: The code is nested too deeply"},
		{"new Function", `new Function("a", "b", "return a + b")(1, 2) + Function("return 3")()`, "6"},
		{"Function is what functions are", `(() => 1) instanceof Function && Function.prototype === Object.getPrototypeOf(() => 1) && (() => 1).constructor === Function && Function("") instanceof Function`, "true"},
		{"the constructor of a function", `Function(""); (() => 1).constructor("[".repeat(1e6))`, "RangeError: The code is nested too deeply"},
		{"deep JSON", `JSON.parse("[".repeat(1e6))`, "SyntaxError: The JSON text is nested too deeply"},
		{"JSON without its name", `globalThis["JS" + "ON"].parse("[".repeat(1e6))`, "SyntaxError: The JSON text is nested too deeply"},
		{"JSON through self", `self["JS" + "ON"].parse("[".repeat(1e6))`, "SyntaxError: The JSON text is nested too deeply"},
		{"code is strict, so that nothing else names the global object", `(function () { return this })() === undefined`, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			statements, last := "", c.src
			if i := strings.LastIndex(c.src, "; "); i >= 0 {
				statements, last = c.src[:i+2], c.src[i+2:]
			}
			a := newAgent(t, `export default { fetch() { try { `+statements+`return new Response(String(`+last+`)) } catch (e) { return new Response(String(e)) } } }`,
				Config{Limits: Limits{CPU: 10 * time.Second}})
			if got, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{}, get("/"))); err != nil || got != c.want {
				t.Errorf("got %.200q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestGuardsAreForWhoNeedsThem(t *testing.T) {
	a := newAgent(t, `export default { fetch() { return new Response("hello") } }`, Config{})
	if n := a.script.guards; n != 0 {
		t.Errorf("an agent that names nothing has %d guards", n)
	}
}
