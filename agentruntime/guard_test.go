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
		{"a power of BigInts", `const n = BigInt(1e8); 3n ** n`, "RangeError: Maximum BigInt size exceeded"},
		{"a power of literals", `String(3n**100000000n)`, "RangeError: Maximum BigInt size exceeded"},
		{"powers", `const a = 2n, b = 3, c = 2; [a ** 10n, (-1n) ** 100000000001n, 1n ** (10n ** 20n), b ** c, c ** -1, a ** a ** a, "3" ** b].join()`, "1024,-1,1,9,0.5,16,27"},
		{"a power of both kinds", `const a = 2n, b = 3; a ** b`, "TypeError: Cannot mix BigInt and other types, use explicit conversions"},
		{"a negative power", `const a = 2n, b = -3n; a ** b`, "RangeError: exponent must be positive"},
		{"a long shift", `BigInt(1) << BigInt(3e10)`, "RangeError: Maximum BigInt size exceeded"},
		{"a long shift of variables", `const a = 1n, b = 30000000000n; a << b`, "RangeError: Maximum BigInt size exceeded"},
		{"shifts", `const a = 1n, b = 70n, c = 1, d = 33; [a << b, a << -1n, 0n << 99999999999n, c << d, c << 3, "1" << c].join()`, "1180591620717411303424,0,0,2,8,2"},
		{"the order of operands", `const l = []; const f = (x) => { l.push(x); return x }; f(2n) ** f(3n) + (f(1n) << f(2n)) + " " + l.join()`, "12 2,3,1,2"},
		{"a long typed array", `new Uint8Array(2 ** 36)`, "RangeError: Array buffer allocation failed"},
		{"a long array of numbers", `const n = 1e8; new Float64Array(n)`, "RangeError: Array buffer allocation failed"},
		{"a long buffer", `new ArrayBuffer(1e12).byteLength`, "RangeError: Array buffer allocation failed"},
		{"typed arrays", `const n = 3; [new Uint8Array(n).length, new Uint16Array([1, 2]).length, new Int32Array(new ArrayBuffer(8), 4, 1).length, new Uint8Array().length, new Float32Array("2").length].join()`, "3,2,1,0,2"},
		{"a typed array of a negative length", `new Uint8Array(-1)`, "RangeError: Invalid index -1"},
		{"a long join", `Array(1e9).join("x")`, "RangeError: Invalid string length"},
		{"join", `Array(3).join("-") + [1, [2, 3]].join() + Array(2).join("")`, "--1,2,3"},
		{"a large replaceAll", `"a".repeat(1e5).replaceAll("a", "b".repeat(1e5))`, "RangeError: Invalid string length"},
		{"a replaceAll with what is before", "'a'.repeat(1e5).replaceAll('a', '$`')", "RangeError: Invalid string length"},
		{"replaceAll", `"aXbX".replaceAll("X", "[$&]") + "ab".replaceAll(/./g, (c) => c + c) + "ab".replaceAll("", "-")`, "a[X]b[X]aabb-a-b-"},
		{"replaceAll of much", `const s = "ab".repeat(5e5).replaceAll("b", "$&" + "c".repeat(40)); s.length`, "21000000"},
		{"normalize", `const s = "\u0041\u030a".repeat(1e5); s.normalize().length + " " + s.normalize("NFC").normalize("NFD").length + "\ufb01".normalize("NFKC") + (s + "\ud800").normalize().length`, "100000 200000fi100001"},
		{"normalize in another form", `"\u00c5".repeat(1e5).normalize("X")`, "RangeError: The normalization form should be one of NFC, NFD, NFKC, NFKD"},
		{"a deep regular expression", `new RegExp("(".repeat(1e6) + ")".repeat(1e6))`, "SyntaxError: Invalid regular expression: the pattern is nested too deeply"},
		{"a regular expression with many brackets", `new RegExp("\\(".repeat(3000) + "(a)".repeat(50)).test("x")`, "false"},
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
