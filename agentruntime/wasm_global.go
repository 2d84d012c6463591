package agentruntime

import (
	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmGlobal is the state of a WebAssembly.Global.
type wasmGlobal struct {
	w      *wasmState
	typ    wasmbinary.Type
	global api.Global
	owner  api.Module // exports the global as name
	name   string
	other  api.Module // see linkable
}

func (g *wasmGlobal) linkable() api.Module {
	if g.other == nil {
		g.other = g.w.alias(g.owner, g.name, g.typ)
	}
	return g.other
}

func (g *wasmGlobal) value() goja.Value { return g.w.fromWasm(g.global.Get(), g.typ.Value) }

// newGlobal makes a global with a value of the given bits.
func (w *wasmState) newGlobal(t wasmbinary.Type, bits uint64) *wasmGlobal {
	g := &wasmGlobal{w: w, typ: t, name: wasmbinary.ImportName}
	if t.Mutable || t.Value == wasmbinary.ExternRef {
		g.owner = w.small(wasmbinary.Define(t), nil)
	} else {
		g.owner = w.small(wasmbinary.Constant(t.Value, bits), nil)
	}
	g.global = g.owner.ExportedGlobal(g.name)
	if m, ok := g.global.(api.MutableGlobal); ok {
		m.Set(bits)
	}
	return g
}

// importedGlobal returns a module that exports the value of an import as wasmbinary.ImportName.
func (w *wasmState) importedGlobal(v goja.Value, t wasmbinary.Type, refuse func(why string)) api.Module {
	if g, ok := nativeOf[*wasmGlobal](w.r, v); ok {
		if g.typ.Value != t.Value || g.typ.Mutable != t.Mutable {
			refuse("imported global does not match the expected type")
		}
		return g.linkable()
	}
	if t.Mutable {
		refuse("imported mutable global must be a WebAssembly.Global object")
	}
	switch {
	case t.Value == wasmbinary.ExternRef:
		refuse("a constant of the type externref must be null or a WebAssembly.Global object")
	case v == nil, t.Value == wasmbinary.I64 && !isBigInt(v):
		refuse("global import must be a BigInt or a WebAssembly.Global object")
	case t.Value != wasmbinary.I64 && t.Value != wasmbinary.FuncRef && !isNumber(v):
		refuse("global import must be a number, valid Wasm reference, or WebAssembly.Global object")
	}
	return w.newGlobal(t, w.toWasm(v, t.Value)).owner
}

func isNumber(v goja.Value) bool {
	if _, ok := v.(*goja.Object); ok {
		return false
	}
	switch v.Export().(type) {
	case int64, float64:
		return true
	}
	return false
}

func init() {
	value := getter(func(_ *realm, g *wasmGlobal) goja.Value { return g.value() })
	(&webClass{
		name: "Global", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.newOnly(call, "Global")
			descriptor, ok := call.Argument(0).(*goja.Object)
			if !ok {
				panic(r.typeError("WebAssembly.Global(): the descriptor is not an object"))
			}
			t := wasmbinary.Type{Kind: wasmbinary.Global}
			if v := optional(descriptor, "mutable"); v != nil {
				t.Mutable = v.ToBoolean()
			}
			if t.Value, ok = wasmTypeNames[r.str(descriptor.Get("value"))]; !ok {
				panic(r.typeError("WebAssembly.Global(): 'value' is not the type of a value"))
			}
			if t.Value == wasmbinary.V128 {
				panic(r.typeError("WebAssembly.Global(): a global of the type v128 cannot be made by JavaScript"))
			}
			w, bits := r.wasmState(), uint64(0)
			if v := call.Argument(1); given(v) || t.Value == wasmbinary.ExternRef && len(call.Arguments) > 1 {
				bits = w.toWasm(v, t.Value)
			}
			r.attach(call.This, w.newGlobal(t, bits))
			return nil
		},
		members: []member{
			{name: "value", get: value, set: method(func(r *realm, g *wasmGlobal, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'set value' on 'WebAssembly.Global'")
				m, ok := g.global.(api.MutableGlobal)
				if !ok || !g.typ.Mutable {
					panic(r.typeError("set WebAssembly.Global.value: Can't set the value of an immutable global."))
				}
				m.Set(g.w.toWasm(call.Argument(0), g.typ.Value))
				return goja.Undefined()
			})},
			{name: "valueOf", call: value},
		},
	}).declare()
	delete(globals, "Global")
}
