package wasmbinary

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// loops has (func (export "sum") (param i32) (result i32)) that adds up in a loop inside of a block.
var loops = append(bytes.Clone(header),
	1, 6, 1, 0x60, 1, I32, 1, I32,
	3, 2, 1, 0,
	7, 7, 1, 3, 's', 'u', 'm', 0, 0,
	10, 35, 1, 33, 1, 1, I32,
	0x02, 0x40, // block
	0x20, 0, 0x45, 0x0d, 0, // br_if 0 when the parameter is 0
	0x03, 0x40, // loop
	0x20, 1, 0x20, 0, 0x6a, 0x21, 1, // sum += n
	0x20, 0, 0x41, 1, 0x6b, 0x22, 0, // n--
	0x0d, 0, 0x0b, 0x0b, // br_if 0
	0x20, 1, 0x0b)

func rewritten(t testing.TB, data []byte) []byte {
	m, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Rewrite()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStop(t *testing.T) {
	for name, config := range map[string]wazero.RuntimeConfig{"compiled": wazero.NewRuntimeConfig(), "interpreted": wazero.NewRuntimeConfigInterpreter()} {
		ctx := context.Background()
		rt := wazero.NewRuntimeWithConfig(ctx, config)
		m, err := rt.Instantiate(ctx, rewritten(t, loops))
		if err != nil {
			t.Fatal(name, err)
		}
		sum := m.ExportedFunction("sum")
		if got, err := sum.Call(ctx, 100); err != nil || got[0] != 5050 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		m.ExportedGlobal(StopExport).(api.MutableGlobal).Set(1)
		if _, err := sum.Call(ctx, 100); err == nil {
			t.Errorf("%s: the function runs after the stop", name)
		}
		_ = rt.Close(ctx)
	}
}

func TestSmallModulesAreValid(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	f := &FuncType{Params: []ValueType{I32, F64}, Results: []ValueType{I64}}
	table := Type{Kind: Table, Value: FuncRef}
	for name, data := range map[string][]byte{
		"memory":     Define(Type{Kind: Memory, Limits: Limits{Min: 1, Max: 300, HasMax: true}}),
		"table":      Define(Type{Kind: Table, Value: ExternRef, Limits: Limits{Min: 200}}),
		"global":     Define(Type{Kind: Global, Value: F64, Mutable: true}),
		"constant":   Constant(I64, 1<<63+5),
		"i32":        Constant(I32, 1<<31),
		"float":      Constant(F32, 0x3fc00000),
		"alias":      Alias("a name", Type{Kind: Func, Func: f}),
		"access":     TableAccess(table),
		"externs":    TableAccess(Type{Kind: Table, Value: ExternRef}),
		"call":       TableCall(f),
		"table.set":  TableSet(table, f, 1000),
		"a rewrite":  rewritten(t, loops),
		"nothing":    rewritten(t, header),
		"two times":  rewritten(t, rewritten(t, Define(Type{Kind: Memory}))[:8]),
		"an element": TableSet(table, f, 1<<31+5),
	} {
		if _, err := rt.CompileModule(ctx, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConstant(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	for _, c := range []struct {
		typ  ValueType
		bits uint64
	}{{I32, 0xffffffff}, {I32, 63}, {I32, 64}, {I64, 1<<64 - 64}, {I64, 1 << 40}, {F64, 0x7ff8000000000001}} {
		m, err := rt.InstantiateWithConfig(ctx, Constant(c.typ, c.bits), wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.ExportedGlobal(ImportName).Get(); got != c.bits && uint32(got) != uint32(c.bits) {
			t.Errorf("%x became %x", c.bits, got)
		}
	}
}

// FuzzRewrite looks for modules that the engine takes and does not take any more once they are rewritten.
func FuzzRewrite(f *testing.F) {
	f.Add(loops)
	f.Add(Define(Type{Kind: Memory}))
	f.Add(TableAccess(Type{Kind: Table, Value: ExternRef}))
	f.Add(Alias("a", Type{Kind: Global, Value: I32}))
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(16))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		out, err := m.Rewrite()
		if err != nil {
			return
		}
		if c, err := rt.CompileModule(ctx, data); err == nil {
			_ = c.Close(ctx)
			if _, err := rt.CompileModule(ctx, out); err != nil {
				t.Errorf("%x is valid, and %x is not: %v", data, out, err)
			}
		}
	})
}
