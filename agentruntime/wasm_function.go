package agentruntime

import (
	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// wasmFunc is the state of a function of WebAssembly as JavaScript sees it.
type wasmFunc struct {
	w     *wasmState
	typ   *wasmbinary.FuncType
	fn    api.Function
	again func() api.Function // another handle on the function: one is good for one call at a time
	busy  bool
	// owner exports the function as name; nil for one that came out of a table, which is the element kept of wasmState.keep.
	owner api.Module
	name  string
	kept  uint32
}

// function makes the function object.
func (f *wasmFunc) function(name string) *goja.Object {
	size := max(len(f.typ.Params)+1, len(f.typ.Results))
	obj := f.w.r.function(name, len(f.typ.Params), func(_ *realm, call goja.FunctionCall) goja.Value {
		stack := make([]uint64, size)
		for i, t := range f.typ.Params {
			stack[i] = f.w.toWasm(call.Argument(i), t)
		}
		f.invoke(stack)
		return f.w.results(stack, f.typ.Results)
	})
	f.w.r.attach(obj, f)
	return obj
}

// invoke calls the function with its parameters on the stack, where the results are afterwards.
func (f *wasmFunc) invoke(stack []uint64) {
	f.w.runs++
	if f.owner == nil {
		n := len(f.typ.Params)
		if len(stack) <= n || len(stack) < len(f.typ.Results) {
			longer := make([]uint64, max(n+1, len(f.typ.Results)))
			copy(longer, stack)
			defer copy(stack, longer)
			stack = longer
		}
		stack[n] = uint64(f.kept)
	}
	if f.busy {
		f.w.call(f.again(), stack)
		return
	}
	f.busy = true
	defer func() { f.busy = false }()
	f.w.call(f.fn, stack)
}

// callImport runs the imported function with the number i among the module's imports, for the instance that calls it.
func (w *wasmState) callImport(caller api.Module, parsed *wasmbinary.Module, i int, stack []uint64) {
	inst := w.instances[caller]
	if inst == nil || inst.code.module != parsed {
		inst = nil
		if w.linking != nil && w.linking.code.module == parsed {
			inst = w.linking
		}
		// A function that was handed on through a table is called by another module's code.
		for _, other := range w.instances {
			if inst == nil && other.code.module == parsed {
				inst = other
			}
		}
	}
	t := parsed.Imports[i].Type.Func
	target := inst.functions[i]
	w.renew()
	defer func() {
		if x := recover(); x != nil {
			if v, ok := x.(goja.Value); ok {
				w.thrown = v
			} else {
				w.fatal = x
			}
			panic(errUnwind)
		}
	}()
	if target.wasm != nil {
		target.wasm.invoke(stack)
		return
	}
	args := make([]goja.Value, len(t.Params))
	for n, p := range t.Params {
		args[n] = w.fromWasm(stack[n], p)
	}
	v, err := target.js(goja.Undefined(), args...)
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	switch len(t.Results) {
	case 0:
	case 1:
		stack[0] = w.toWasm(v, t.Results[0])
	default:
		n := 0
		var list []goja.Value
		w.r.rt.ForOf(v, func(item goja.Value) bool {
			list = append(list, item)
			n++
			return n <= len(t.Results)
		})
		if n != len(t.Results) {
			panic(w.r.typeError("An imported function returned another number of values than its type has."))
		}
		for n, item := range list {
			stack[n] = w.toWasm(item, t.Results[n])
		}
	}
}
