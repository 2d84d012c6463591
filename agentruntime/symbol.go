package agentruntime

import "github.com/dop251/goja"

// wellKnown are the symbols that goja lacks. A bundle names each as the lazy global beside it, so that a runtime whose
// code uses none pays for none; their values are the registered symbols that esbuild's lowered code uses as well.
var wellKnown = map[string]string{
	"asyncIterator": "__symbolAsyncIterator",
	"asyncDispose":  "__symbolAsyncDispose",
	"dispose":       "__symbolDispose",
}

func init() {
	for name, global := range wellKnown {
		globals[global] = func(r *realm) goja.Value { return r.registered("Symbol." + name) }
	}
}

// registered is Symbol.for.
func (r *realm) registered(key string) goja.Value {
	symbols := r.rt.Get("Symbol").(*goja.Object)
	registered, _ := goja.AssertFunction(symbols.Get("for"))
	sym, err := registered(symbols, r.rt.ToValue(key))
	if err != nil {
		panic(err)
	}
	return sym
}

// defines are the expressions that esbuild replaces in every bundle.
func defines() map[string]string {
	d := map[string]string{"import.meta.url": `"file:///agent.js"`, "process.env.NODE_ENV": `"production"`}
	for name, global := range wellKnown {
		d["Symbol."+name] = global
	}
	return d
}
