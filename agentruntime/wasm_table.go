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
	known map[uint32]knownFunc
}

// knownFunc is the object that stands for a function in a table, until WebAssembly code has run and the element looks
// different.
type knownFunc struct {
	obj  *goja.Object
	seen api.FunctionDefinition
	runs int
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
		from := map[string]api.Module{wasmbinary.ImportModule(0): t.linkable()}
		if typ.Value == wasmbinary.FuncRef {
			if t.w.keep == nil {
				t.w.keep = t.w.newTable(wasmbinary.Type{Kind: wasmbinary.Table, Value: wasmbinary.FuncRef})
			}
			from[wasmbinary.ImportModule(1)] = t.w.keep.owner
		}
		t.access = t.w.small(wasmbinary.TableAccess(typ), from)
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
	// The engine tells the type of a function to who guesses it. What it hands out is right for functions of the module
	// itself only, so that the call goes through a table.
	for _, typ := range w.types {
		seen := t.lookup(i, typ)
		if seen == nil {
			continue
		}
		if k, ok := t.known[i]; ok && (k.runs == w.runs || seen.Index() > 0 && seen == k.seen) {
			return k.obj
		}
		if w.keep.size() <= w.kept && int32(w.keep.do("grow", uint64(w.kept+8))) < 0 {
			panic(w.r.newError("RangeError", "WebAssembly.Table.get(): too many functions"))
		}
		f := &wasmFunc{w: w, typ: typ, kept: w.kept}
		w.kept++
		t.do("keep", uint64(i), uint64(f.kept))
		caller := w.callers[typ]
		if caller == nil {
			caller = w.small(wasmbinary.TableCall(typ), map[string]api.Module{wasmbinary.ImportModule(0): w.keep.owner})
			if w.callers == nil {
				w.callers = map[*wasmbinary.FuncType]api.Module{}
			}
			w.callers[typ] = caller
		}
		f.again = func() api.Function { return caller.ExportedFunction(wasmbinary.ImportName) }
		f.fn = f.again()
		return t.remember(i, f.function(itoa(int(seen.Index()))), seen)
	}
	panic(w.r.typeError("WebAssembly.Table.get(): the type of the function is not known here"))
}

// lookup describes the function in an element if it has the type, and is nil otherwise.
func (t *wasmTable) lookup(i uint32, typ *wasmbinary.FuncType) (d api.FunctionDefinition) {
	defer func() { _ = recover() }()
	return table.LookupFunction(t.access, 0, i, typ.Params, typ.Results).Definition()
}

func (t *wasmTable) remember(i uint32, f *goja.Object, seen api.FunctionDefinition) goja.Value {
	if t.known == nil {
		t.known = map[uint32]knownFunc{}
	}
	t.known[i] = knownFunc{f, seen, t.w.runs}
	return f
}

// newTable makes a table of nulls.
func (w *wasmState) newTable(typ wasmbinary.Type) *wasmTable {
	return &wasmTable{w: w, typ: typ, owner: w.small(wasmbinary.Define(typ), nil), name: wasmbinary.ImportName}
}

func (t *wasmTable) set(i uint32, v goja.Value) {
	r := t.w.r
	if t.typ.Value == wasmbinary.ExternRef {
		t.do("set", uint64(i), t.w.extern(v))
		return
	}
	if goja.IsNull(v) {
		t.do("clear", uint64(i))
		delete(t.known, i)
		return
	}
	f, ok := nativeOf[*wasmFunc](r, v)
	if !ok {
		panic(r.typeError("WebAssembly.Table.set(): the value is not null or an exported function of WebAssembly"))
	}
	if f.owner == nil {
		t.do("put", uint64(i), uint64(f.kept))
		t.remember(i, v.(*goja.Object), t.lookup(i, f.typ))
		return
	}
	typ := t.typ
	typ.Limits = wasmbinary.Limits{}
	t.size() // makes access
	t.w.small(wasmbinary.TableSet(typ, f.typ, i), map[string]api.Module{
		wasmbinary.ImportModule(0): t.linkable(),
		wasmbinary.ImportModule(1): t.w.alias(f.owner, f.name, wasmbinary.Type{Kind: wasmbinary.Func, Func: f.typ}),
	})
	t.remember(i, v.(*goja.Object), t.lookup(i, f.typ))
}

func init() {
	(&webClass{
		name: "Table", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.newOnly(call, "Table")
			w := r.wasmState()
			descriptor, ok := call.Argument(0).(*goja.Object)
			if !ok {
				panic(r.typeError("WebAssembly.Table(): the descriptor is not an object"))
			}
			typ, ok := wasmTypeNames[r.str(descriptor.Get("element"))]
			limits := r.wasmLimits(descriptor, "WebAssembly.Table()", 1<<32-1)
			if !ok || typ != wasmbinary.FuncRef && typ != wasmbinary.ExternRef {
				panic(r.typeError("WebAssembly.Table(): 'element' is not a reference type"))
			}
			if limits.Min > wasmTableLimit {
				panic(r.newError("RangeError", "WebAssembly.Table(): 'initial' is above the limit"))
			}
			t := w.newTable(wasmbinary.Type{Kind: wasmbinary.Table, Value: typ, Limits: limits})
			r.attach(call.This, t)
			if fill := call.Argument(1); given(fill) || typ == wasmbinary.ExternRef && len(call.Arguments) > 1 {
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
				i, v := t.index(r, call.Argument(0), "set"), call.Argument(1)
				if len(call.Arguments) < 2 && t.typ.Value == wasmbinary.FuncRef {
					v = goja.Null()
				}
				t.set(i, v)
				return goja.Undefined()
			})},
			{name: "grow", length: 1, call: method(func(r *realm, t *wasmTable, call goja.FunctionCall) goja.Value {
				delta := uint32(r.enforceRange(call.Argument(0), 1<<32-1, "delta"))
				before := t.size()
				if uint64(before)+uint64(delta) > wasmTableLimit || int32(t.do("grow", uint64(delta))) < 0 {
					panic(r.newError("RangeError", "WebAssembly.Table.grow(): failed to grow table by "+itoa(int(delta))))
				}
				if fill := call.Argument(1); len(call.Arguments) > 1 && (given(fill) || t.typ.Value == wasmbinary.ExternRef) {
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
