package agentruntime

import (
	"strconv"

	"github.com/dop251/goja"
)

// pairSource is what a class with pairs (Headers, URLSearchParams, FormData) iterates over. It is live: a pair added
// during the iteration is met.
type pairSource interface {
	pair(i int) (name, value goja.Value, ok bool)
}

// pairIterator is the state of such an iteration.
type pairIterator struct {
	src  pairSource
	next int
	kind byte // k, v or e
}

// pairMethods are entries, keys, values and forEach of a class with pairs.
func pairMethods[T any](class string, source func(r *realm, t T) pairSource) []member {
	iterate := func(kind byte) nativeFunc {
		return method(func(r *realm, t T, _ goja.FunctionCall) goja.Value {
			return r.instance(pairIteratorClass, &pairIterator{src: source(r, t), kind: kind})
		})
	}
	return []member{
		{name: "entries", call: iterate('e')},
		{name: "keys", call: iterate('k')},
		{name: "values", call: iterate('v')},
		{name: "forEach", length: 1, call: method(func(r *realm, t T, call goja.FunctionCall) goja.Value {
			fn := r.callable(call.Argument(0), call.Argument(1), "Failed to execute 'forEach' on '"+class+"': parameter 1")
			self, src := call.This, source(r, t)
			for i := 0; ; i++ {
				name, value, ok := src.pair(i)
				if !ok {
					return goja.Undefined()
				}
				if _, thrown := fn.invoke(value, name, self); thrown != nil {
					panic(thrown)
				}
			}
		})},
	}
}

// pairIteratorClass is not a name that code can write, so the class is out of its reach but through an iterator.
const pairIteratorClass = "Pair Iterator"

func init() {
	(&webClass{
		name:     pairIteratorClass,
		iterates: true,
		members: []member{
			{name: "next", call: method(func(r *realm, it *pairIterator, _ goja.FunctionCall) goja.Value {
				name, value, ok := it.src.pair(it.next)
				if !ok {
					return r.iterResult(goja.Undefined(), true)
				}
				it.next++
				switch it.kind {
				case 'k':
					value = name
				case 'e':
					value = r.rt.NewArray(name, value)
				}
				return r.iterResult(value, false)
			})},
		},
	}).declare()
}

// iterResult makes what an iterator's next returns.
func (r *realm) iterResult(value goja.Value, done bool) goja.Value {
	res := r.rt.NewObject()
	_ = res.Set("value", value)
	_ = res.Set("done", done)
	return res
}

func itoa(i int) string { return strconv.Itoa(i) }
