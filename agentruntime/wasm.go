package agentruntime

import (
	"github.com/dop251/goja"
)

// WebAssembly (https://webassembly.github.io/spec/js-api/) runs in wazero, which compiles to machine code where the process
// may make memory executable, and interprets where it may not.

// The classes of the namespace are no globals: they are declared under these names and taken out of the table.
var wasmClasses = []string{"Module", "Instance", "Memory", "Table", "Global"}

// wasmErrors makes the error classes of the namespace.
var wasmErrors = goja.MustCompile(internalPrefix+"wasm", `(function(){
	const made = {};
	for (const name of ["CompileError", "LinkError", "RuntimeError"]) {
		const f = function(message, options) {
			const e = message === undefined ? new Error() : new Error(message);
			if (options !== undefined && options !== null && "cause" in Object(options)) Object.defineProperty(e, "cause", {value: options.cause, writable: true, configurable: true});
			Object.setPrototypeOf(e, new.target === undefined ? f.prototype : new.target.prototype);
			return e;
		};
		Object.setPrototypeOf(f, Error);
		Object.defineProperty(f, "prototype", {writable: false, value: Object.create(Error.prototype, {
			constructor: {value: f, writable: true, configurable: true},
			name: {value: name, writable: true, configurable: true},
			message: {value: "", writable: true, configurable: true},
		})});
		Object.defineProperty(f, "name", {value: name, configurable: true});
		Object.defineProperty(f, "length", {value: 1, configurable: true});
		made[name] = f;
	}
	return made;
})`, true)

func init() {
	globals["WebAssembly"] = func(r *realm) goja.Value { return r.wasmNamespace() }
	// What the import of a .wasm file becomes, see bundle_wasm.go.
	globals[wasmImport] = func(r *realm) goja.Value {
		return r.function(wasmImport, 2, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.importedWasm(call.Argument(0).String(), call.Argument(1))
		})
	}
}

func (r *realm) wasmNamespace() goja.Value {
	o := r.rt.NewObject()
	_ = o.DefineDataPropertySymbol(goja.SymToStringTag, r.rt.ToValue("WebAssembly"), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	hide := func(name string, v goja.Value) {
		_ = o.DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	function := func(name string, f nativeFunc) { _ = o.Set(name, r.function(name, 1, f)) }
	for _, name := range wasmClasses {
		class := r.makeClass(webClasses[name]).(*goja.Object)
		_ = r.classPrototype(name).DefineDataPropertySymbol(goja.SymToStringTag, r.rt.ToValue("WebAssembly."+name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
		r.settleMembers(r.classPrototype(name))
		r.settleMembers(class)
		hide(name, class)
	}
	w := r.wasmState()
	for _, name := range []string{"CompileError", "LinkError", "RuntimeError"} {
		hide(name, w.errors.Get(name))
	}
	function("validate", func(r *realm, call goja.FunctionCall) goja.Value {
		_, err := r.wasmEngine().compile(r.wasmBytes(call.Argument(0)), false)
		return r.rt.ToValue(err == nil)
	})
	function("compile", promised(func(r *realm, call goja.FunctionCall) goja.Value {
		return r.resolved(r.instance("Module", r.compileWasm(r.wasmBytes(call.Argument(0)), "WebAssembly.compile()")))
	}))
	function("instantiate", promised(func(r *realm, call goja.FunctionCall) goja.Value {
		r.importObject(call.Argument(1))
		if m, ok := nativeOf[*wasmModule](r, call.Argument(0)); ok {
			return r.resolved(r.instance("Instance", r.instantiateWasm(m, call.Argument(1))))
		}
		m := r.compileWasm(r.wasmBytes(call.Argument(0)), "WebAssembly.instantiate()")
		inst := r.instantiateWasm(m, call.Argument(1))
		result := r.rt.NewObject()
		_ = result.Set("module", r.instance("Module", m))
		_ = result.Set("instance", r.instance("Instance", inst))
		return r.resolved(result)
	}))
	return o
}

// settleMembers makes all the members of a class's prototype, or of its constructor, so that code that looks for them finds them there.
func (r *realm) settleMembers(proto *goja.Object) {
	if l, ok := proto.Prototype().Export().(*lazyMembers); ok {
		for i := range l.list {
			l.touch(l.list[i].name)
			l.touch(l.list[i].name)
		}
	}
}

// newOnly refuses a call of a constructor without new, which would make an instance of the namespace.
func (r *realm) newOnly(call goja.ConstructorCall, class string) {
	for o := call.This; o != nil; o = o.Prototype() {
		if o == r.classPrototype(class) {
			return
		}
	}
	panic(r.typeError("WebAssembly." + class + " must be invoked with 'new'"))
}

// wasmBytes copies the bytes of a module.
func (r *realm) wasmBytes(v goja.Value) []byte {
	return r.buffer(v, "The first argument of WebAssembly")
}

// wasmError makes one of the namespace's errors.
func (r *realm) wasmError(class, message string) *goja.Object {
	made, err := r.rt.New(r.wasmState().errors.Get(class), r.rt.ToValue(message))
	if err != nil {
		return r.newError(class, message)
	}
	return made
}

// importObject checks the second argument of instantiate.
func (r *realm) importObject(v goja.Value) {
	if _, ok := v.(*goja.Object); given(v) && !ok {
		panic(r.typeError("WebAssembly.Instance(): the imports must be an object"))
	}
}
