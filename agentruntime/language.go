package agentruntime

import (
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"
)

// This file supplies what the engine's built-in objects lack of the language. Global names are made at first touch like the
// Web APIs (realm.go). A member of a built-in object cannot be: it is put in place in a fresh runtime, but only where the
// bundle's text holds its name, so that a runtime pays for nothing that its code does not use. The text that eval or Function is given
// is looked through in the same way. What remains unseen is a name that code puts together, as in [][a + b].

// supply is a member that built-in objects lack.
type supply struct {
	text string                 // what the bundle must hold
	fits func(code string) bool // in place of text, where it takes more to tell
	put  func(r *realm)
}

// supplies is filled by the files that own the members, in their init functions, and is read-only once the program runs.
var supplies []*supply

// suppliesFor chooses what a runtime that runs code needs.
func suppliesFor(code string) []*supply {
	var chosen []*supply
	for _, s := range supplies {
		if s.fits != nil && s.fits(code) || s.fits == nil && strings.Contains(code, s.text) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// supplyFor puts in place what text names, which is made into code, and the bundle does not.
func (r *realm) supplyFor(text string) {
	if r.agent == nil {
		return
	}
	for _, s := range suppliesFor(text) {
		if !slices.Contains(r.agent.script.supplies, s) && !slices.Contains(r.supplied, s) {
			r.supplied = append(r.supplied, s)
			s.put(r)
		}
	}
}

// supplyMember declares a native member of the object that the expression path, such as String.prototype, names. A name
// that begins with a dot, which is left off, is only looked for behind one: it is a common word.
func supplyMember(path, name string, length int, f nativeFunc) {
	text, name := name, strings.TrimPrefix(name, ".")
	supplies = append(supplies, &supply{text: text, put: func(r *realm) { r.putMember(path, name, r.function(name, length, f)) }})
}

// supplyScript declares members, each by its name, that are written in JavaScript. source is an expression whose value is an
// object that holds them as methods; it is compiled at first use.
func supplyScript(path, source string, names ...string) {
	program := sync.OnceValue(func() *goja.Program { return goja.MustCompile(internalPrefix+"language", "("+source+")", true) })
	for _, text := range names {
		name := strings.TrimPrefix(text, ".")
		supplies = append(supplies, &supply{text: text, put: func(r *realm) {
			members, err := r.rt.RunProgram(program())
			if err != nil {
				panic(err)
			}
			r.putMember(path, name, members.(*goja.Object).Get(name))
		}})
	}
}

// supplyAccessor declares a native accessor.
func supplyAccessor(path, name string, get nativeFunc) {
	supplies = append(supplies, &supply{text: name, put: func(r *realm) {
		_ = r.builtin(path).DefineAccessorProperty(name, r.function("get "+name, 0, get), nil, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}})
}

// putMember defines a method as the language's own are: writable, configurable and not enumerable.
func (r *realm) putMember(path, name string, v goja.Value) {
	_ = r.builtin(path).DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// builtin returns a built-in object, such as "Object" or "String.prototype".
func (r *realm) builtin(path string) *goja.Object {
	class, member, nested := strings.Cut(path, ".")
	obj := r.rt.GlobalObject().Get(class).(*goja.Object)
	if nested {
		obj = obj.Get(member).(*goja.Object)
	}
	return obj
}

// scripted makes a lazy global out of a class or a function that is written in JavaScript.
func scripted(name, source string) {
	program := sync.OnceValue(func() *goja.Program { return goja.MustCompile(internalPrefix+"language", "("+source+")", true) })
	globals[name] = func(r *realm) goja.Value {
		v, err := r.rt.RunProgram(program())
		if err != nil {
			panic(err)
		}
		return v
	}
}
