package agentruntime

import (
	"bytes"
	"encoding/base64"

	"github.com/dop251/goja"
)

// wasmModule is the state of a WebAssembly.Module.
type wasmModule struct{ code *wasmCode }

func (r *realm) compileWasm(data []byte, what string) *wasmModule {
	code, err := r.wasmEngine().compile(data, false)
	if err != nil {
		panic(r.wasmError("CompileError", what+": "+err.Error()))
	}
	return &wasmModule{code}
}

// importedWasm returns the module of a .wasm file that the agent's code imports: name is its hash and data its bytes in
// base64, which only the first runtime decodes and compiles. That is a part of the agent's deployment and not of the
// invocation that happens to be the first, so it is done beside the thread whose CPU time is measured.
func (r *realm) importedWasm(name string, data goja.Value) goja.Value {
	type result struct {
		code *wasmCode
		err  error
	}
	engine, text := r.wasmEngine(), func() ([]byte, error) { return base64.StdEncoding.DecodeString(data.String()) }
	compiled := make(chan result, 1)
	go func() {
		code, err := engine.kept(name, text)
		compiled <- result{code, err}
	}()
	got := <-compiled
	if got.err != nil {
		panic(r.wasmError("CompileError", "WebAssembly.Module(): "+got.err.Error()))
	}
	r.wasmNamespace()
	return r.instance("Module", &wasmModule{got.code})
}

func init() {
	described := func(name string, list func(r *realm, m *wasmModule) []any) member {
		return member{name: name, length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
			m, ok := nativeOf[*wasmModule](r, call.Argument(0))
			if !ok {
				panic(r.typeError("WebAssembly.Module." + name + "(): parameter 1 is not a WebAssembly.Module"))
			}
			return r.rt.NewArray(list(r, m)...)
		}}
	}
	(&webClass{
		name: "Module", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.newOnly(call, "Module")
			r.attach(call.This, r.compileWasm(r.wasmBytes(call.Argument(0)), "WebAssembly.Module()"))
			return nil
		},
		statics: []member{
			described("exports", func(r *realm, m *wasmModule) (list []any) {
				for _, e := range m.code.module.Exports {
					o := r.rt.NewObject()
					_ = o.Set("name", e.Name)
					_ = o.Set("kind", e.Type.Kind.String())
					list = append(list, o)
				}
				return list
			}),
			described("imports", func(r *realm, m *wasmModule) (list []any) {
				for _, i := range m.code.module.Imports {
					o := r.rt.NewObject()
					_ = o.Set("module", i.Module)
					_ = o.Set("name", i.Name)
					_ = o.Set("kind", i.Type.Kind.String())
					list = append(list, o)
				}
				return list
			}),
			{name: "customSections", length: 2, call: func(r *realm, call goja.FunctionCall) goja.Value {
				m, ok := nativeOf[*wasmModule](r, call.Argument(0))
				if !ok || !given(call.Argument(1)) {
					panic(r.typeError("WebAssembly.Module.customSections(): needs a WebAssembly.Module and a name"))
				}
				var list []any
				name := r.str(call.Argument(1))
				for _, s := range m.code.module.Custom {
					if s.Name == name {
						list = append(list, r.arrayBuffer(bytes.Clone(s.Data)))
					}
				}
				return r.rt.NewArray(list...)
			}},
		},
	}).declare()
	delete(globals, "Module")
}
