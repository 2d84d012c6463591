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
		f.prototype = Object.create(Error.prototype, {
			constructor: {value: f, writable: true, configurable: true},
			name: {value: name, writable: true, configurable: true},
			message: {value: "", writable: true, configurable: true},
		});
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
	for _, name := range wasmClasses {
		class := r.makeClass(webClasses[name]).(*goja.Object)
		_ = r.classPrototype(name).DefineDataPropertySymbol(goja.SymToStringTag, r.rt.ToValue("WebAssembly."+name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
		hide(name, class)
	}
	w := r.wasmState()
	for _, name := range []string{"CompileError", "LinkError", "RuntimeError"} {
		hide(name, w.errors.Get(name))
	}
	hide("validate", r.function("validate", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		_, err := r.wasmEngine().compile(r.wasmBytes(call.Argument(0)), false)
		return r.rt.ToValue(err == nil)
	}))
	hide("compile", r.function("compile", 1, promised(func(r *realm, call goja.FunctionCall) goja.Value {
		return r.resolved(r.instance("Module", r.compileWasm(r.wasmBytes(call.Argument(0)), "WebAssembly.compile()")))
	})))
	hide("instantiate", r.function("instantiate", 1, promised(func(r *realm, call goja.FunctionCall) goja.Value {
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
	})))
	return o
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
