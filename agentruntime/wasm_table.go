package agentruntime

import (
	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental/table"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmTable is the state of a WebAssembly.Table. The engine keeps tables to itself, so that they are used through
// functions of a small module that imports the table.
type wasmTable struct {
	w     *wasmState
	typ   wasmbinary.Type
	owner api.Module // exports the table as name
	name  string
	other api.Module // see linkable
	// access has the functions.
	access api.Module
	// known are the function objects that were read or written, by their element.
	known map[uint32]*goja.Object
}

// wasmTableLimit is the most elements that a table may be grown to.
const wasmTableLimit = 10_000_000

func (t *wasmTable) linkable() api.Module {
	if t.other == nil {
		t.other = t.w.alias(t.owner, t.name, t.typ)
	}
	return t.other
}

// do calls one of the functions.
func (t *wasmTable) do(name string, args ...uint64) uint64 {
	if t.access == nil {
		typ := t.typ
		typ.Limits = wasmbinary.Limits{}
		t.access = t.w.small(wasmbinary.TableAccess(typ), map[string]api.Module{wasmbinary.ImportModule(0): t.linkable()})
	}
	stack := make([]uint64, max(len(args), 1))
	copy(stack, args)
	t.w.call(t.access.ExportedFunction(name), stack)
	return stack[0]
}

func (t *wasmTable) size() uint32 { return uint32(t.do("size")) }

func (t *wasmTable) index(r *realm, v goja.Value, what string) uint32 {
	i := uint32(r.enforceRange(v, 1<<32-1, "index"))
	if i >= t.size() {
		panic(r.newError("RangeError", "WebAssembly.Table."+what+"(): invalid address "+itoa(int(i))))
	}
	return i
}

func (t *wasmTable) get(i uint32) goja.Value {
	w := t.w
	if t.typ.Value == wasmbinary.ExternRef {
		return w.fromWasm(t.do("get", uint64(i)), wasmbinary.ExternRef)
	}
	if uint32(t.do("isnull", uint64(i))) != 0 {
		return goja.Null()
	}
	// The engine hands a function out only to who knows its type.
	for _, typ := range w.types {
		again := func() (fn api.Function) {
			defer func() { _ = recover() }()
			return table.LookupFunction(t.access, 0, i, typ.Params, typ.Results)
		}
		fn := again()
		if fn == nil {
			continue
		}
		if known := t.known[i]; known != nil {
			if f, _ := nativeOf[*wasmFunc](w.r, known); f.typ.Equal(typ) && sameFunction(f.fn, fn) {
				return known
			}
		}
		f := &wasmFunc{w: w, typ: typ, fn: fn, again: again}
		return t.remember(i, f.function(itoa(int(fn.Definition().Index()))))
	}
	panic(w.r.typeError("WebAssembly.Table.get(): the type of the function is not known here"))
}

// sameFunction compares what can be seen of two functions.
func sameFunction(a, b api.Function) bool {
	return a.Definition().DebugName() == b.Definition().DebugName() && a.Definition().Index() == b.Definition().Index()
}

func (t *wasmTable) remember(i uint32, f *goja.Object) goja.Value {
	if t.known == nil {
		t.known = map[uint32]*goja.Object{}
	}
	t.known[i] = f
	return f
}

func (t *wasmTable) set(i uint32, v goja.Value) {
	r := t.w.r
	if t.typ.Value == wasmbinary.ExternRef {
		t.do("set", uint64(i), t.w.extern(v))
		return
	}
	if !some(v) {
		t.do("clear", uint64(i))
		delete(t.known, i)
		return
	}
	f, ok := nativeOf[*wasmFunc](r, v)
	if !ok {
		panic(r.typeError("WebAssembly.Table.set(): the value is not null or an exported function of WebAssembly"))
	}
	if f.owner == nil {
		panic(r.typeError("WebAssembly.Table.set(): a function that came out of a table and has no export cannot be put into another"))
	}
	typ := t.typ
	typ.Limits = wasmbinary.Limits{}
	t.w.small(wasmbinary.TableSet(typ, f.typ, i), map[string]api.Module{
		wasmbinary.ImportModule(0): t.linkable(),
		wasmbinary.ImportModule(1): t.w.alias(f.owner, f.name, wasmbinary.Type{Kind: wasmbinary.Func, Func: f.typ}),
	})
	t.remember(i, v.(*goja.Object))
}

func init() {
	(&webClass{
		name: "Table", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			w := r.wasmState()
			limits := r.wasmLimits(call.Argument(0), "WebAssembly.Table()", 1<<32-1)
			element := r.str(call.Argument(0).(*goja.Object).Get("element"))
			typ, ok := wasmTypeNames[element]
			if !ok || typ != wasmbinary.FuncRef && typ != wasmbinary.ExternRef {
				panic(r.typeError("WebAssembly.Table(): 'element' is not a reference type"))
			}
			if limits.Min > wasmTableLimit {
				panic(r.newError("RangeError", "WebAssembly.Table(): 'initial' is above the limit"))
			}
			t := &wasmTable{w: w, typ: wasmbinary.Type{Kind: wasmbinary.Table, Value: typ, Limits: limits}, name: wasmbinary.ImportName}
			t.owner = w.small(wasmbinary.Define(t.typ), nil)
			r.attach(call.This, t)
			if fill := call.Argument(1); some(fill) || typ == wasmbinary.ExternRef && len(call.Arguments) > 1 {
				for i := range limits.Min {
					t.set(i, fill)
				}
			}
			return nil
		},
		members: []member{
			{name: "length", get: getter(func(r *realm, t *wasmTable) goja.Value { return r.rt.ToValue(t.size()) })},
			{name: "get", length: 1, call: method(func(r *realm, t *wasmTable, call goja.FunctionCall) goja.Value {
				return t.get(t.index(r, call.Argument(0), "get"))
			})},
			{name: "set", length: 1, call: method(func(r *realm, t *wasmTable, call goja.FunctionCall) goja.Value {
				t.set(t.index(r, call.Argument(0), "set"), call.Argument(1))
				return goja.Undefined()
			})},
			{name: "grow", length: 1, call: method(func(r *realm, t *wasmTable, call goja.FunctionCall) goja.Value {
				delta := uint32(r.enforceRange(call.Argument(0), 1<<32-1, "delta"))
				before := t.size()
				if uint64(before)+uint64(delta) > wasmTableLimit || int32(t.do("grow", uint64(delta))) < 0 {
					panic(r.newError("RangeError", "WebAssembly.Table.grow(): failed to grow table by "+itoa(int(delta))))
				}
				if fill := call.Argument(1); len(call.Arguments) > 1 && (some(fill) || t.typ.Value == wasmbinary.ExternRef) {
					for i := range delta {
						t.set(before+i, fill)
					}
				}
				return r.rt.ToValue(before)
			})},
		},
	}).declare()
	delete(globals, "Table")
}
