package agentruntime

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// The modules of the tests, in hexadecimal, section by section.
const (
	// (func (export "fib") (param i32) (result i32) ...), by calling itself.
	wasmFib = "0061736d01000000" + "01060160017f017f" + "03020100" + "0707010366696200 00" + "0a1e011c00200041024804 7f2000052000410 16b100020004102 6b10006a0b0b"
	// (import "m" "f" (func (param i32 i64) (result f64))) (export "run" (func (param i32 i64) (result f64) calls it)) and exports "f" too.
	wasmCalls = "0061736d01000000" + "010 70160027f7e017c" + "02070 1016d0166 0000" + "03020100" + "070b020372756e00010166 0000" + "0a0a010800200020011000 0b"
	// (memory (export "mem") 1 3), (func (export "grow") (param i32) (result i32)), (func (export "load") (param i32) (result i32)).
	wasmMem = "0061736d01000000" + "01060160017f017f" + "0303020000" + "0504010101 03" + "0715 03036d656d0200 0467726f770000 046c6f61640001" + "0a100206002000 40000b 07002000280200 0b"
	// (func (export "spin") (loop br 0)), (func (export "trap") unreachable).
	wasmSpin = "0061736d01000000" + "010401600000" + "0303020000" + "070f02047370696e000004747261700001" + "0a0d0207000340 0c000b0b 0300000b"
	// (table (export "t") 2 funcref) with elements (i32)->i32 doubling and ()->(), (global (export "g") (mut i64) 5).
	wasmTab = "0061736d01000000" + "01090260017f017f600000" + "0303020001" + "040401700002" + "060601 7e014205 0b" + "070902 01740100 01670300" + "090801 0041000b020001" + "0a0c0207 0020002000 6a0b 02000b"
)

func wasmHex(s string) []byte {
	data, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return data
}

func wasmHelpers() string {
	var b strings.Builder
	b.WriteString("const W = WebAssembly, unhex = h => new Uint8Array(h.match(/../g).map(x => parseInt(x, 16))), err = f => { try { f(); return 'none' } catch (e) { return e.name + ': ' + e.message } };\n")
	for name, src := range map[string]string{"fib": wasmFib, "calls": wasmCalls, "mem": wasmMem, "spin": wasmSpin, "tab": wasmTab} {
		b.WriteString("const " + name + " = unhex('" + hex.EncodeToString(wasmHex(src)) + "');\n")
	}
	return b.String()
}

func TestWebAssembly(t *testing.T) {
	cases := []webCase{
		{"instantiate bytes", `const {module, instance} = await W.instantiate(fib); return [module instanceof W.Module, instance.exports.fib(20), instance.exports.fib.length, Object.isFrozen(instance.exports), Object.keys(instance.exports)]`, "true,6765,1,true,fib"},
		{"instantiate a module", `const m = new W.Module(fib); return [(await W.instantiate(m)).exports.fib(10), new W.Instance(m).exports.fib(10), (await W.compile(fib)) instanceof W.Module]`, "55,55,true"},
		{"validate", `return [W.validate(fib), W.validate(fib.slice(0, -1)), W.validate(new Uint8Array(8)), err(() => W.validate('x')).slice(0, 9)]`, "true,false,false,TypeError"},
		{"imports", `const got = []; const {instance} = await W.instantiate(calls, {m: {f: (a, b) => { got.push(a, typeof b, b); return 2.5 }}}); const r = instance.exports.run(-1, 9007199254740993n); return [r, ...got, instance.exports.f(7, -1n), got.slice(3)]`, "2.5,-1,bigint,9007199254740993,2.5,7,bigint,-1"},
		{"an import throws", `const {instance} = await W.instantiate(calls, {m: {f(){ throw new RangeError('mine') }}}); return [err(() => instance.exports.run(1, 1n)), err(() => instance.exports.run(1, 1))]`, "RangeError: mine,TypeError: Cannot convert 1 to a BigInt"},
		{"an import calls back", `let n = 0; const {instance} = await W.instantiate(calls, {m: {f(a, b){ return a > 0 ? instance.exports.run(a - 1, b) + 1 : 0 }}}); return instance.exports.run(20, 0n)`, "20"},
		{"one instance's function is another's import", `const a = await W.instantiate(calls, {m: {f: (a, b) => a + Number(b)}}); const b = await W.instantiate(calls, {m: {f: a.instance.exports.run}}); return [b.instance.exports.run(2, 3n), b.instance.exports.f === a.instance.exports.run, err(() => new W.Instance(new W.Module(calls), {m: {f: new W.Instance(new W.Module(fib)).exports.fib}}))]`, `5,true,LinkError: WebAssembly.Instance(): Import #0 "m" "f": imported function does not match the expected type`},
		{"link errors", `const m = new W.Module(calls); return [err(() => new W.Instance(m)), err(() => new W.Instance(m, {})), err(() => new W.Instance(m, {m: {}})), err(() => new W.Instance(m, 5)), err(() => W.Instance(m))].map(s => s.split(':')[0]).join()`, "TypeError,TypeError,LinkError,TypeError,TypeError"},
		{"memory", `const {instance} = await W.instantiate(mem); const m = instance.exports.mem; const b = m.buffer; new Uint32Array(b)[1] = 99; const before = [b.byteLength, m.buffer === b, instance.exports.load(4), m instanceof W.Memory]; const g = instance.exports.grow(1); return [...before, g, b.byteLength, m.buffer.byteLength, new Uint32Array(m.buffer)[1], m.grow(1), err(() => m.grow(1)), instance.exports.grow(5)]`, "65536,true,99,true,1,0,131072,99,2,RangeError: WebAssembly.Memory.grow(): Unable to grow instance memory,-1"},
		{"traps", `const {instance} = await W.instantiate(mem); const s = await W.instantiate(spin); return [err(() => instance.exports.load(65536)), err(() => s.instance.exports.trap()), (() => { try { s.instance.exports.trap() } catch (e) { return e instanceof W.RuntimeError && e instanceof Error } })()]`, "RuntimeError: out of bounds memory access,RuntimeError: unreachable,true"},
		{"new Memory", `const m = new W.Memory({initial: 1, maximum: 2}); const b = m.buffer; return [b.byteLength, m.grow(1), b.byteLength, m.buffer.byteLength, err(() => new W.Memory({initial: 70000})), err(() => new W.Memory({initial: 3000})), err(() => new W.Memory({})), err(() => new W.Memory({initial: 2, maximum: 1}))].map(s => String(s).split(':')[0]).join()`, "65536,1,0,131072,TypeError,RangeError,TypeError,RangeError"},
		{"table", `const {instance} = await W.instantiate(tab); const t = instance.exports.t; const f = t.get(0); const u = new W.Table({element: 'anyfunc', initial: 3}); return [t.length, f === t.get(0), f(21), t.get(1)(), u.get(0), t.grow(2), t.length, err(() => t.get(9)), err(() => t.set(0, () => 1)), (t.set(0, null), t.get(0))]`, "2,true,42,,,2,4,RangeError: WebAssembly.Table.get(): invalid address 9,TypeError: WebAssembly.Table.set(): the value is not null or an exported function of WebAssembly,"},
		{"a function put into a table", `const {instance} = await W.instantiate(fib); const t = new W.Table({element: 'anyfunc', initial: 2}); t.set(1, instance.exports.fib); return [t.get(1) === instance.exports.fib, t.get(1)(12), t.get(0)]`, "true,144,"},
		{"functions in tables are the right ones", `const two = unhex('0061736d01000000' + '0108026001' + '7c00600000' + '0303020001' + '070c0202666e000003666e320001' + '0a070202000b02000b'); const {fn, fn2} = new W.Instance(new W.Module(two)).exports; const t = new W.Table({element: 'anyfunc', initial: 5}); t.set(0, fn); t.set(2, fn2); t.set(4, fn); const same = [t.get(0) === fn, t.get(2) === fn2, t.get(4) === fn]; const u = new W.Instance(new W.Module(tab)).exports.t; const f = u.get(0); u.set(1, f); return [...same, u.get(1) === f, u.get(1)(4), f(5)]`, "true,true,true,true,8,10"},
		{"externref table", `const t = new W.Table({element: 'externref', initial: 2}, 'x'); const o = {}; t.set(1, o); return [t.get(0), t.get(1) === o, t.grow(1, 7), t.get(2)]`, "x,true,2,7"},
		{"globals", `const {instance} = await W.instantiate(tab); const g = instance.exports.g; g.value = -7n; const h = new W.Global({value: 'f32', mutable: true}, 1.5), c = new W.Global({value: 'i32'}, 2 ** 31); return [g.value, typeof g.value, h.value, (h.value = 0.1, h.value === Math.fround(0.1)), c.valueOf(), err(() => { c.value = 1 }).slice(0, 9), err(() => { g.value = 1 }).slice(0, 9)]`, "-7,bigint,1.5,true,-2147483648,TypeError,TypeError"},
		{"descriptions", `const m = new W.Module(calls); return JSON.stringify([W.Module.exports(m), W.Module.imports(m), W.Module.customSections(m, 'x')])`, `[[{"name":"run","kind":"function"},{"name":"f","kind":"function"}],[{"module":"m","name":"f","kind":"function"}],[]]`},
		{"compile errors", `return [err(() => new W.Module(fib.slice(0, 30))).split(':')[0], err(() => new W.Module(new Uint8Array(3))), await W.compile(new Uint8Array(1)).catch(e => e.name + (e instanceof W.CompileError))]`, "CompileError,CompileError: WebAssembly.Module(): expected magic word 00 61 73 6d, found something else @+0,CompileErrortrue"},
		{"names", `return [String(W), Object.prototype.toString.call(new W.Module(fib)), W.Memory.name, typeof Module, new W.CompileError('a') instanceof Error, W.LinkError.name, W.RuntimeError('x').message]`, "[object WebAssembly],[object WebAssembly.Module],Memory,undefined,true,LinkError,x"},
		{"recursion without an end", `const b = unhex('0061736d0100000001040160000003020100070501017200000a0601040010000b'); const {instance} = await W.instantiate(b); return err(() => instance.exports.r())`, "RangeError: Maximum call stack size exceeded"},
	}
	for i := range cases {
		cases[i].src = wasmHelpers() + cases[i].src
	}
	runWebCases(t, cases)
}

// Code of WebAssembly that does not end is stopped at the limit of CPU time, loops and calls alike.
func TestWebAssemblyIsStopped(t *testing.T) {
	for _, call := range []string{"new W.Instance(new W.Module(spin)).exports.spin()", "new W.Instance(new W.Module(fib)).exports.fib(60)"} {
		a := newAgent(t, "export default { fetch() { "+wasmHelpers()+call+"; return new Response('done') } }", Config{Limits: Limits{CPU: 20 * time.Millisecond}})
		_, _, err, report := answer(t, a.Fetch(t.Context(), &testHost{}, get("/")))
		if err == nil || report.Outcome != OutcomeExceededCPU {
			t.Errorf("%s: %v, %s", call, err, report.Outcome)
		}
	}
}

func TestWebAssemblyImport(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"fib.wasm": wasmHex(wasmFib),
		"agent.ts": []byte(`import fib from "./fib.wasm"; export default { async fetch() { const i = await WebAssembly.instantiate(fib); return new Response(String(fib instanceof WebAssembly.Module) + i.exports.fib(15)) } }`),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script, err := Build(t.Context(), BuildOptions{Main: "agent.ts", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Script: script})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if body, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{}, get("/"))); err != nil || body != "true610" {
			t.Fatal(body, err)
		}
	}
	if n := len(a.wasm.codes); n != 2 { // by its hash, and by its name
		t.Errorf("%d modules are compiled", n)
	}
}

// The interpreter runs where machine code is forbidden.
func TestRewriteKeepsMeaning(t *testing.T) {
	for name, src := range map[string]string{"fib": wasmFib, "calls": wasmCalls, "mem": wasmMem, "spin": wasmSpin, "tab": wasmTab} {
		m, err := wasmbinary.Parse(wasmHex(src))
		if err != nil {
			t.Fatal(name, err)
		}
		out, err := m.Rewrite()
		if err != nil {
			t.Fatal(name, err)
		}
		again, err := wasmbinary.Parse(out)
		if err != nil {
			t.Fatal(name, err)
		}
		if len(again.Exports) != len(m.Exports)+1 || len(again.Imports) != len(m.Imports) {
			t.Errorf("%s: %d exports of %d, %d imports of %d", name, len(again.Exports), len(m.Exports), len(again.Imports), len(m.Imports))
		}
	}
}

func BenchmarkWasmFib(b *testing.B) {
	r := newWebRealm(b, nil)
	r.run(b, wasmHelpers()+"globalThis.f = new W.Instance(new W.Module(fib)).exports.fib")
	b.ResetTimer()
	for b.Loop() {
		if got := r.run(b, "return f(30)"); got != "832040" {
			b.Fatal(got)
		}
	}
}

func BenchmarkWasmInstantiate(b *testing.B) {
	r := newWebRealm(b, nil)
	r.run(b, wasmHelpers()+"globalThis.m = new W.Module(calls)")
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		r.run(b, "new WebAssembly.Instance(m, {m: {f: () => 1}})")
	}
}
