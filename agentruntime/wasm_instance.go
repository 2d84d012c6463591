package agentruntime

import (
	"fmt"
	"strings"

	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmInstance is the state of a WebAssembly.Instance.
type wasmInstance struct {
	w         *wasmState
	code      *wasmCode
	module    api.Module
	exports   *goja.Object
	functions map[int]wasmTarget // the imported functions, by their number among the imports
	values    map[int]*goja.Object
}

// wasmTarget is what an imported function is: one of JavaScript's, or one of WebAssembly's.
type wasmTarget struct {
	js   goja.Callable
	wasm *wasmFunc
}

// instantiateWasm links a module to the imports and runs its start function
// (https://webassembly.github.io/spec/js-api/#instantiate-the-core-of-a-webassembly-module).
func (r *realm) instantiateWasm(m *wasmModule, imports goja.Value) *wasmInstance {
	w := r.wasmState()
	inst := &wasmInstance{w: w, code: m.code, functions: map[int]wasmTarget{}, values: map[int]*goja.Object{}}
	parsed := m.code.module
	r.importObject(imports)
	if len(parsed.Imports) > 0 && !given(imports) {
		panic(r.typeError("WebAssembly.Instance(): the module has imports, and there is no object of imports"))
	}
	from := map[string]api.Module{}
	for i, imp := range parsed.Imports {
		inst.link(i, imp, imports.(*goja.Object), from)
	}
	if m.code.host != nil {
		from[wasmbinary.FuncModule] = m.code.host
	}
	if need := int64(parsed.MemoryPages()) * wasmPage; need > wasmMemoryLimit-w.used {
		panic(r.newError("RangeError", "WebAssembly.Instance(): Out of memory: Cannot allocate Wasm memory for new instance"))
	}
	w.note(parsed.Types...)
	w.runs++
	before := w.linking
	w.linking = inst
	module, err := w.instantiate(m.code.compiled, from)
	w.linking = before
	w.renew()
	if err != nil {
		if !isTrap(err) && w.thrown == nil && w.fatal == nil {
			panic(r.wasmError("LinkError", "WebAssembly.Instance(): "+err.Error()))
		}
		w.raise(err)
		return inst // it was stopped, and what comes next is the interrupt
	}
	inst.module = module
	w.instances[module] = inst
	inst.export()
	return inst
}

// link finds the value for one import.
func (inst *wasmInstance) link(i int, imp wasmbinary.Import, imports *goja.Object, from map[string]api.Module) {
	w, r := inst.w, inst.w.r
	place := fmt.Sprintf("WebAssembly.Instance(): Import #%d \"%s\"", i, imp.Module)
	space, ok := imports.Get(imp.Module).(*goja.Object)
	if !ok {
		panic(r.typeError(place + ": module is not an object or function"))
	}
	v := space.Get(imp.Name)
	inst.values[i], _ = v.(*goja.Object)
	refuse := func(why string) {
		panic(r.wasmError("LinkError", place+" \""+imp.Name+"\": "+why))
	}
	module := wasmbinary.ImportModule(i)
	switch imp.Type.Kind {
	case wasmbinary.Func:
		fn, ok := goja.AssertFunction(v)
		if !ok {
			refuse("function import requires a callable")
		}
		target := wasmTarget{js: fn}
		if f, ok := nativeOf[*wasmFunc](r, v); ok {
			if !f.typ.Equal(imp.Type.Func) {
				refuse("imported function does not match the expected type")
			}
			target.wasm = f
		}
		inst.functions[i] = target
	case wasmbinary.Memory:
		mem, ok := nativeOf[*wasmMemory](r, v)
		if !ok {
			refuse("memory import must be a WebAssembly.Memory object")
		}
		if mem.shared {
			refuse("memory import is shared, and the module's is not")
		}
		from[module] = mem.linkable()
	case wasmbinary.Table:
		table, ok := nativeOf[*wasmTable](r, v)
		if !ok {
			refuse("table import requires a WebAssembly.Table")
		}
		from[module] = table.linkable()
	case wasmbinary.Global:
		from[module] = w.importedGlobal(v, imp.Type, refuse)
	}
}

// export makes the object of exports.
func (inst *wasmInstance) export() {
	r := inst.w.r
	exports := r.rt.CreateObject(nil)
	made := map[[2]uint32]*goja.Object{}
	for _, e := range inst.code.module.Exports {
		key := [2]uint32{uint32(e.Type.Kind), e.Index}
		obj := made[key]
		if obj == nil {
			obj = inst.exported(e)
			made[key] = obj
		}
		if obj != nil {
			_ = exports.DefineDataProperty(e.Name, obj, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE)
		}
	}
	freeze, _ := goja.AssertFunction(r.rt.Get("Object").(*goja.Object).Get("freeze"))
	if _, err := freeze(goja.Undefined(), exports); err != nil {
		panic(err)
	}
	inst.exports = exports
}

func (inst *wasmInstance) exported(e wasmbinary.Export) *goja.Object {
	w, r := inst.w, inst.w.r
	// What passes through stays the object that it is, but for functions of JavaScript and numbers.
	if i, ok := inst.reexported(e.Type.Kind, e.Index); ok && inst.values[i] != nil && (e.Type.Kind != wasmbinary.Func || inst.functions[i].wasm != nil) {
		return inst.values[i]
	}
	switch e.Type.Kind {
	case wasmbinary.Func:
		again := func() api.Function { return inst.module.ExportedFunction(e.Name) }
		f := &wasmFunc{w: w, typ: e.Type.Func, fn: again(), again: again, owner: inst.module, name: e.Name}
		return f.function(itoa(int(e.Index)))
	case wasmbinary.Memory:
		m := &wasmMemory{w: w, memory: inst.module.ExportedMemory(e.Name), owner: inst.module, name: e.Name}
		return r.instance("Memory", m)
	case wasmbinary.Table:
		return r.instance("Table", &wasmTable{w: w, typ: e.Type, owner: inst.module, name: e.Name})
	case wasmbinary.Global:
		return r.instance("Global", &wasmGlobal{w: w, typ: e.Type, global: inst.module.ExportedGlobal(e.Name), owner: inst.module, name: e.Name})
	}
	return nil
}

// reexported returns the number of the import that something is, by its kind and index.
func (inst *wasmInstance) reexported(kind wasmbinary.Kind, index uint32) (int, bool) {
	n := uint32(0)
	for i, imp := range inst.code.module.Imports {
		if imp.Type.Kind != kind {
			continue
		}
		if n == index {
			return i, true
		}
		n++
	}
	return 0, false
}

// isTrap tells what WebAssembly code does from what is wrong with how a module is linked.
func isTrap(err error) bool {
	return strings.Contains(err.Error(), "wasm error: ") || strings.Contains(err.Error(), "out of bounds")
}

func init() {
	(&webClass{
		name: "Instance", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.newOnly(call, "Instance")
			m, ok := nativeOf[*wasmModule](r, call.Argument(0))
			if !ok {
				panic(r.typeError("WebAssembly.Instance(): parameter 1 is not a WebAssembly.Module"))
			}
			r.attach(call.This, r.instantiateWasm(m, call.Argument(1)))
			return nil
		},
		members: []member{
			{name: "exports", get: getter(func(_ *realm, inst *wasmInstance) goja.Value { return inst.exports })},
		},
	}).declare()
	delete(globals, "Instance")
}
