package agentruntime

import (
	"strings"
	"testing"

	"github.com/dop251/goja"
)

// cloneRealm is an isolate for the tests of structured clones alone.
func cloneRealm() *realm {
	r := newRealm(&loop{})
	r.agent = &Agent{script: &Script{stacks: &sourceMap{}}}
	return r
}

func TestStructuredClone(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"primitives", `c([undefined, null, true, false, 0, -0, 1, -1, 2**40, 1.5, NaN, Infinity, "", "é€😀", 123456789012345678901234567890n, -5n])`,
			"[\n  undefined,\n  null,\n  true,\n  false,\n  0,\n  -0,\n  1,\n  -1,\n  1099511627776,\n  1.5,\n  NaN,\n  Infinity,\n  '',\n  'é€😀',\n  123456789012345678901234567890n,\n  -5n\n]"},
		{"lone surrogates", `c("\ud800x").charCodeAt(0)`, "55296"},
		{"dates", `c(new Date(5)).getTime() + (c(new Date(NaN)).getTime() + "")`, "'5NaN'"},
		{"regular expressions", `c(/a\/b/gi)`, `/a\/b/gi`},
		{"a Map of Maps", `c(new Map([[{a: 1}, new Map([[1, new Set(["x"])]])]]))`, "Map(1) { { a: 1 } => Map(1) { 1 => Set(1) { 'x' } } }"},
		{"holes", `c([1, , 3])`, "[ 1, <1 empty item>, 3 ]"},
		{"a sparse array", `const a = []; a[1e6] = 1; const b = c(a); [b.length, b[1e6], Object.keys(b).length]`, "[ 1000001, 1, 1 ]"},
		{"an array's properties", `const a = [1]; a.x = 2; c(a).x`, "2"},
		{"a cycle", `const a = {}; a.a = a; const b = c(a); b.a === b && b !== a`, "true"},
		{"a shared reference", `const s = {}; const b = c([s, s]); b[0] === b[1]`, "true"},
		{"a shared buffer", `const b = new ArrayBuffer(8); const x = c([new Uint8Array(b, 2, 3), new Uint16Array(b)]); x[1][1] = 0x0101; [x[0].byteOffset, x[0].length, x[0][0], x[0].buffer === x[1].buffer]`, "[ 2, 3, 1, true ]"},
		{"every view", `[DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array].every(K => { const v = c(new K(new ArrayBuffer(16), 8)); return v instanceof K && v.byteOffset === 8 && v.byteLength === 8 })`, "true"},
		{"errors", `const e = c(new RangeError("m", {cause: {a: 1}})); [e instanceof RangeError, e.message, e.cause.a, e.name]`, "[ true, 'm', 1, 'RangeError' ]"},
		{"a named error becomes a plain one", `const x = new Error("m"); x.name = "Mine"; c(x).name`, "'Error'"},
		{"boxed primitives", `[c(Object(1)), c(Object("s")), c(Object(true)), c(Object(1n))].map(x => typeof x + " " + x).join()`, "'object 1,object s,object true,object 1'"},
		{"class instances become plain", `class P { x = 1; get y() { return 2 } }; const p = c(new P); [p.constructor === Object, p.x, p.y]`, "[ true, 1, undefined ]"},
		{"getters are read", `c({get a() { return 7 }}).a`, "7"},
		{"__proto__ is a name", `const o = JSON.parse('{"__proto__": {"a": 1}}'); const d = c(o); [Object.keys(d)[0], Object.getPrototypeOf(d) === Object.prototype, d.a]`, "[ '__proto__', true, undefined ]"},
		{"a function", `fails(() => {})`, "'DataCloneError'"},
		{"a symbol", `fails({a: Symbol("x")})`, "'DataCloneError'"},
		{"a promise", `fails(Promise.resolve())`, "'DataCloneError'"},
		{"a WeakMap", `fails(new WeakMap)`, "'DataCloneError'"},
		{"a generator", `fails((function*(){})())`, "'DataCloneError'"},
		{"a Web API object", `fails(new Headers())`, "'DataCloneError'"},
		{"a detached buffer", `const b = new ArrayBuffer(4); structuredClone(b, {transfer: [b]}); [b.byteLength, fails(b)]`, "[ 0, 'DataCloneError' ]"},
		{"a getter that throws", `try { c({get a() { throw new Error("g") }}) } catch (e) { e.message }`, "'g'"},
		{"4,000 levels", `let o = null; for (let i = 0; i < 4000; i++) o = {o}; let d = c(o), n = 0; while (d) { d = d.o; n++ }; n`, "4000"},
		{"10,000 levels", `let p = null; for (let i = 0; i < 10000; i++) p = [p]; fails(p)`, "'DataCloneError'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := cloneRealm()
			v, err := r.rt.RunString(`const c = structuredClone; const fails = v => { try { structuredClone(v); return "no error" } catch (e) { return e.name } };` + c.code)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.inspect(v); got != c.want {
				t.Fatalf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

// goldenClone is a value as version 1 wrote it: stored values must stay readable.
const goldenClone = "\xc7\x01\x0f\x03\x01a\x0d\x03\x04\x02\x04\x03\x06\x02hi\x00\x01m\x0b\x01\x06\x01k\x0c\x01\x02\x04self\x14\x00"

func TestCloneFormatStays(t *testing.T) {
	r := cloneRealm()
	v, err := r.deserialize([]byte(goldenClone))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.inspect(v); got != "{\n  a: [ 1, -2, 'hi' ],\n  m: Map(1) { 'k' => Set(1) { true } },\n  self: [Circular *1]\n}" {
		t.Fatal(got)
	}
	made, err := r.rt.RunString(`const o = {a: [1, -2, "hi"], m: new Map([["k", new Set([true])]])}; o.self = o; o`)
	if err != nil {
		t.Fatal(err)
	}
	data, err := r.serialize(made)
	if err != nil || string(data) != goldenClone {
		t.Fatalf("%q, %v", data, err)
	}
}

func TestDeserializeRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"empty":               "",
		"another format":      "\x00\x01\x00",
		"a newer version":     "\xc7\x02\x00",
		"cut short":           "\xc7\x01\x06\x05ab",
		"a huge length":       "\xc7\x01\x06\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"a huge array":        "\xc7\x01\x0d\xff\xff\xff\xff\x0f",
		"bytes after the end": "\xc7\x01\x00\x00",
		"an unknown tag":      "\xc7\x01\x63",
		"a dangling ref":      "\xc7\x01\x14\x07",
		"not UTF-8":           "\xc7\x01\x06\x01\xff",
		"a view of nothing":   "\xc7\x01\x12\x01\x00\x05\x11\x00",
		"a bad expression":    "\xc7\x01\x0a\x01(\x00",
		"nested too deep":     "\xc7\x01" + strings.Repeat("\x0d\x01", 100000),
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := cloneRealm().deserialize([]byte(data)); err == nil {
				t.Fatalf("accepted as %v", v)
			}
		})
	}
}

func FuzzDeserialize(f *testing.F) {
	f.Add([]byte(goldenClone))
	r := cloneRealm()
	for _, src := range []string{`[1,,"x"]`, `new Uint8Array(4)`, `new Error("x")`, `/a/g`, `Object(1n)`, `new Date(1)`, `(()=>{const a=[];a[1e5]=1;return a})()`, `"\ud800"`} {
		v, err := r.rt.RunString(src)
		if err != nil {
			f.Fatal(err)
		}
		data, err := r.serialize(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := cloneRealm()
		v, err := r.deserialize(data)
		if err != nil {
			return
		}
		again, err := r.serialize(v)
		if err != nil {
			return // a bad expression or date may have become something else
		}
		if _, err := r.deserialize(again); err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
	})
}

func BenchmarkClone(b *testing.B) {
	r := cloneRealm()
	v, err := r.rt.RunString(`({id: 1, name: "some text", tags: ["a", "b", "c"], nested: {ok: true, at: new Date(0)}})`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := r.serialize(v)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.deserialize(data); err != nil {
			b.Fatal(err)
		}
	}
	_ = goja.Undefined()
}
