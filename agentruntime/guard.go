package agentruntime

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/text/unicode/norm"
)

// A native function that runs does not see an interrupt, and some would take more memory or more of Go's stack than the
// process has. What holds such code is the cell it runs in; but a cell that ends takes the other invocations in it along.
// The guards of this file let the commonest of those calls throw a RangeError instead, with V8's messages. They are put in
// place where a bundle names the method, because a runtime that does not need one must not pay for it: so they are a
// courtesy to the neighbours, and nothing that safety rests on.
//
// Regular expressions have none. The engine's library could give up after a time, but the engine takes that for "no match",
// which would be a wrong answer wherever the time was up before the CPU limit was. JSON.stringify has none either: to find out
// how deep a value is takes as long as writing it.

const (
	// maxString is the most UTF-16 units that one call may make a string of. V8 has 2^29-24, which no cell has room for.
	maxString = 1 << 26
	// maxElements is the most elements that one call may fill an array with.
	maxElements = 1 << 24
	// maxFlat is how deep arrays may be nested that flat is to flatten.
	maxFlat = 2000
	// maxNesting is how deep the brackets of text may be nested that is made into code.
	maxNesting = 2000
)

// guard is one replacement of a native, and what a bundle has in it that can reach it.
type guard struct {
	named   func(code string) bool
	install func(*realm)
}

var guards = []guard{
	{reachesJSON, (*realm).replaceJSON},
	{naming("repeat"), guarding("String", "repeat", 1, func(r *realm, call goja.FunctionCall) {
		r.checkString(float64(lengthOf(call.This)) * call.Argument(0).ToFloat())
	})},
	{naming("padStart"), guarding("String", "padStart", 1, checkPad)},
	{naming("padEnd"), guarding("String", "padEnd", 1, checkPad)},
	{naming(".fill"), guarding("Array", "fill", 1, func(r *realm, call goja.FunctionCall) { r.checkElements(call.This) })},
	{naming("Array.from({"), guardArrayFrom},
	{naming(".flat("), guardFlat},
	{naming(".normalize("), guardNormalize},
	{naming(".replaceAll("), guarding("String", "replaceAll", 2, checkReplaceAll)},
	{func(code string) bool { return strings.Contains(code, ".join(") && strings.Contains(code, "Array(") }, guarding("Array", "join", 1, checkJoin)},
	{naming("eval(", "eval)"), guardEval},
	{naming("Function("), guardFunction},
}

// naming is for code that has any of parts in it.
func naming(parts ...string) func(code string) bool {
	return func(code string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(code, part) })
	}
}

// reachesJSON reports whether code can come to the JSON object: by its name, or by a global object that it names. The bundle's
// own wrapper names globalThis too, followed by a name that begins with two underscores.
func reachesJSON(code string) bool {
	return strings.Contains(code, "JSON") || strings.Contains(code, "self") ||
		strings.Count(code, "globalThis") > strings.Count(code, "globalThis.__")
}

// guardSet is a set of guards: bit i stands for guards[i].
type guardSet uint64

// guardsOf returns what a runtime for code needs.
func guardsOf(code string) (needed guardSet) {
	for i, g := range guards {
		if g.named(code) {
			needed |= 1 << i
		}
	}
	return needed
}

// install puts the guards in place.
func (s guardSet) install(r *realm) {
	for ; s != 0; s &= s - 1 {
		guards[bits.TrailingZeros64(uint64(s))].install(r)
	}
}

// guarding makes check run before a method of a built-in class. check throws to refuse the call.
func guarding(class, method string, length int, check func(*realm, goja.FunctionCall)) func(*realm) {
	return func(r *realm) {
		proto := r.rt.Get(class).(*goja.Object).Get("prototype").(*goja.Object)
		r.guardMethod(proto, method, length, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
			check(r, call)
			return r.callNative(native, call.This, call.Arguments...)
		})
	}
}

// guardMethod replaces a method of owner by body, which is given the native.
func (r *realm) guardMethod(owner *goja.Object, method string, length int, body func(*realm, goja.FunctionCall, goja.Callable) goja.Value) {
	native, ok := goja.AssertFunction(owner.Get(method))
	if !ok {
		return
	}
	fn := r.function(method, length, func(r *realm, call goja.FunctionCall) goja.Value { return body(r, call, native) })
	_ = owner.DefineDataProperty(method, fn, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

func (r *realm) callNative(native goja.Callable, this goja.Value, args ...goja.Value) goja.Value {
	v, err := native(this, args...)
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	return v
}

// lengthOf is the length of a string, and 0 of what is none: the native converts it, and one conversion must be enough.
func lengthOf(v goja.Value) int {
	if s, ok := v.(goja.String); ok {
		return s.Length()
	}
	return 0
}

func (r *realm) checkString(length float64) {
	if length > maxString {
		panic(r.newError("RangeError", "Invalid string length"))
	}
}

func checkPad(r *realm, call goja.FunctionCall) { r.checkString(call.Argument(0).ToFloat()) }

// checkElements refuses an array-like object that is too long to be filled.
func (r *realm) checkElements(v goja.Value) {
	if obj, ok := v.(*goja.Object); ok && orUndefined(obj.Get("length")).ToFloat() > maxElements {
		panic(r.newError("RangeError", "Invalid array length"))
	}
}

// guardArrayFrom looks at the length of what is not iterable.
func guardArrayFrom(r *realm) {
	r.guardMethod(r.rt.Get("Array").(*goja.Object), "from", 1, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
		if obj, ok := call.Argument(0).(*goja.Object); ok && !given(obj.GetSymbol(goja.SymIterator)) {
			r.checkElements(obj)
		}
		return r.callNative(native, call.This, call.Arguments...)
	})
}

// checkJoin looks at what the separators of a long array come to.
func checkJoin(r *realm, call goja.FunctionCall) {
	array, ok := call.This.(*goja.Object)
	if !ok || array.ClassName() != "Array" {
		return
	}
	between := 1
	if given(call.Argument(0)) {
		between = lengthOf(call.Argument(0))
	}
	r.checkString(array.Get("length").ToFloat() * float64(between))
}

// checkReplaceAll looks at what replacing a string by another comes to.
func checkReplaceAll(r *realm, call goja.FunctionCall) {
	text, ok1 := call.This.(goja.String)
	old, ok2 := call.Argument(0).(goja.String)
	by, ok3 := call.Argument(1).(goja.String)
	if !ok1 || !ok2 || !ok3 {
		return
	}
	length, put := float64(text.Length()), float64(by.Length())
	if (length+1)*(put+1) <= maxString && !strings.Contains(by.String(), "$") {
		return
	}
	// What is before or after a match, and the match, can be put in as well.
	pattern := by.String()
	put += float64(strings.Count(pattern, "$`")+strings.Count(pattern, "$'"))*length/2 + float64(strings.Count(pattern, "$&")*old.Length())
	r.checkString(length + float64(strings.Count(text.String(), old.String()))*put)
}

// normalForms are the forms of String.prototype.normalize.
var normalForms = map[string]norm.Form{"undefined": norm.NFC, "NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}

// shortText is how many UTF-16 units the native may normalize, which it does in a few milliseconds.
const shortText = 1 << 16

// guardNormalize normalizes long texts bit by bit, so that an interrupt ends it.
func guardNormalize(r *realm) {
	proto := r.rt.Get("String").(*goja.Object).Get("prototype").(*goja.Object)
	r.guardMethod(proto, "normalize", 0, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
		text, ok := call.This.(goja.String)
		if !ok || text.Length() <= shortText {
			return r.callNative(native, call.This, call.Arguments...)
		}
		form, ok := normalForms[r.str(call.Argument(0))]
		if !ok {
			return r.callNative(native, call.This, call.Arguments...)
		}
		var out strings.Builder
		var parts norm.Iter
		parts.InitString(form, text.String())
		for n := 1; !parts.Done(); n++ {
			out.Write(parts.Next())
			if n%4096 == 0 {
				if r.meter.interrupts() {
					return goja.Undefined() // which nobody sees
				}
				r.checkString(float64(out.Len()) / 3) // a unit takes three bytes at most
			}
		}
		return r.rt.ToValue(out.String())
	})
}

// nestedPattern says whether the groups and classes of a regular expression are nested deeper than maxNesting. It counts
// brackets wherever they stand, but for those after a backslash.
func nestedPattern(pattern string) bool {
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '(', '[':
			if depth++; depth > maxNesting {
				return true
			}
		case ')', ']':
			depth = max(0, depth-1)
		}
	}
	return false
}

// guardFlat bounds the depth of flat, whose native recurses.
func guardFlat(r *realm) {
	proto := r.rt.Get("Array").(*goja.Object).Get("prototype").(*goja.Object)
	r.guardMethod(proto, "flat", 0, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
		if call.Argument(0).ToFloat() <= maxFlat || !given(call.Argument(0)) {
			return r.callNative(native, call.This, call.Arguments...)
		}
		flat := r.callNative(native, call.This, r.rt.ToValue(maxFlat)).(*goja.Object)
		r.rt.ForOf(flat, func(item goja.Value) bool {
			if obj, ok := item.(*goja.Object); ok && obj.ClassName() == "Array" {
				panic(r.newError("RangeError", "The array is nested too deeply"))
			}
			return true
		})
		return flat
	})
}

// checkSource refuses text that is nested deeper than maxNesting before the parser, which recurses, sees it. It counts brackets
// wherever they stand, so it may count too many.
func (r *realm) checkSource(text string) {
	depth := 0
	for _, c := range []byte(text) {
		switch c {
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				panic(r.newError("RangeError", "The code is nested too deeply"))
			}
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
}

// guardEval puts a function in the place of eval. Code that it evaluates sees the global scope only, as that of every eval
// that is not called by its own name.
func guardEval(r *realm) {
	r.guardMethod(r.rt.GlobalObject(), "eval", 1, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
		if text, ok := call.Argument(0).(goja.String); ok {
			r.checkSource(text.String())
			r.supplyFor(text.String())
		}
		return r.callNative(native, goja.Undefined(), call.Arguments...)
	})
}

// guardFunction puts a constructor in the place of Function.
func guardFunction(r *realm) {
	native := r.rt.Get("Function").(*goja.Object)
	proto := native.Get("prototype").(*goja.Object)
	ctor := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		args := make([]goja.Value, len(call.Arguments))
		for i, arg := range call.Arguments {
			text := r.str(arg)
			r.checkSource(text)
			r.supplyFor(text)
			args[i] = r.rt.ToValue(text)
		}
		fn, err := r.rt.New(native, args...)
		if thrown := thrownBy(err); thrown != nil {
			panic(thrown)
		}
		return fn
	}).(*goja.Object)
	r.nameFunction(ctor, r.rt.ToValue("Function"), 1)
	_ = ctor.DefineDataProperty("prototype", proto, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = proto.DefineDataProperty("constructor", ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	_ = r.rt.GlobalObject().DefineDataProperty("Function", ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}
