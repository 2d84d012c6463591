package agentruntime

import (
	"strings"

	"github.com/dop251/goja"
)

// The conversions of Web IDL from a value of code's to a list or a record (https://webidl.spec.whatwg.org/#js-sequence
// and #js-record). What the value's own iterator, getters and proxies may see is what the standard lets them see.

// sequence walks an iterable and reports whether v is one. Unlike a for-of loop it asks for the iterator once, and does not
// close it when fn throws.
func (r *realm) sequence(v goja.Value, fn func(item goja.Value)) bool {
	obj, ok := v.(*goja.Object)
	if !ok {
		return false
	}
	method := obj.GetSymbol(goja.SymIterator)
	if !some(method) {
		return false
	}
	it, thrown := r.callable(method, obj, "The iterator").invoke()
	if thrown != nil {
		panic(thrown)
	}
	iterator, ok := it.(*goja.Object)
	if !ok {
		panic(r.typeError("The iterator is not an object"))
	}
	next := r.callable(iterator.Get("next"), iterator, "The iterator's next member")
	for {
		v, thrown := next.invoke()
		if thrown != nil {
			panic(thrown)
		}
		step, ok := v.(*goja.Object)
		if !ok {
			panic(r.typeError("The iterator's result is not an object"))
		}
		if done := step.Get("done"); done != nil && done.ToBoolean() {
			return true
		}
		fn(orUndefined(step.Get("value")))
	}
}

// eachPair walks an init value that is an iterable of pairs or a record. convert makes names of keys, before the value of
// the key is looked for, and text what is kept of that, before the next; what names the class.
func (r *realm) eachPair(init goja.Value, what string, convert, text func(goja.Value) string, fn func(name, value string)) {
	obj, ok := init.(*goja.Object)
	if !ok {
		panic(r.typeError("Failed to construct '" + what + "': the init value must be an object or an iterable of pairs"))
	}
	var pairs [][2]goja.Value
	iterable := r.sequence(obj, func(pair goja.Value) {
		var items [2]goja.Value
		n := 0
		list := r.sequence(pair, func(v goja.Value) {
			if n < 2 {
				items[n] = v
			}
			n++
		})
		if !list || n != 2 {
			panic(r.typeError("Failed to construct '" + what + "': each pair must have two items"))
		}
		pairs = append(pairs, items)
	})
	if iterable {
		for _, p := range pairs {
			fn(convert(p[0]), text(p[1]))
		}
		return
	}
	r.record(obj, convert, text, fn)
}

// iteratesAs reports whether obj, of the named class, has the class's own iterator: what it holds can be taken from its state.
func (r *realm) iteratesAs(obj *goja.Object, class string) bool {
	own, proto := obj.GetSymbol(goja.SymIterator), r.classPrototype(class).GetSymbol(goja.SymIterator)
	return own != nil && proto != nil && own.SameAs(proto)
}

// recordProgram walks a record as the standard does. Only what can tell the difference gets it: proxies, and objects with
// keys that Go strings cannot hold.
var recordProgram = goja.MustCompile("record.js", `(function(o,key,value){
	for (const k of Reflect.ownKeys(o)) {
		const d = Reflect.getOwnPropertyDescriptor(o, k);
		if (d !== undefined && d.enumerable) { key(k); value(o[k]); }
	}
})`, true)

// record walks the enumerable properties of obj.
func (r *realm) record(obj *goja.Object, convert, text func(goja.Value) string, fn func(name, value string)) {
	slow := obj.ExportType() == typeProxy || len(obj.Symbols()) > 0
	var keys []string
	if !slow {
		for _, key := range obj.Keys() {
			slow = slow || strings.Contains(key, "\ufffd")
			keys = append(keys, key)
		}
	}
	if !slow {
		for _, key := range keys {
			name := convert(r.rt.ToValue(key))
			// A getter may have removed it meanwhile.
			if v := obj.Get(key); v != nil {
				fn(name, text(v))
			}
		}
		return
	}
	// Keys that are the same once they are converted are one entry, with the last value.
	var names []string
	values := map[string]string{}
	_, err := r.program(recordProgram)(goja.Undefined(), obj, r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		names = append(names, convert(call.Argument(0)))
		return goja.Undefined()
	}), r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		name := names[len(names)-1]
		if _, twice := values[name]; twice {
			names = names[:len(names)-1]
		}
		values[name] = text(call.Argument(0))
		return goja.Undefined()
	}))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	for _, name := range names {
		fn(name, values[name])
	}
}
