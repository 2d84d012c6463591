package agentruntime

import (
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// Members of classes, and globals, are made when they are first looked for (webclass.go, realm.go), which only reflection can
// tell from having been there all along. Where a bundle names a function that lists or describes properties, these are
// replaced by ones that first make what they are asked about.

func init() {
	guards = append(guards, guard{reflects, (*realm).revealMembers})
}

// reflecting are the functions that see which properties an object has, by the object they are members of.
var reflecting = map[string][]string{
	"Object":  {"getOwnPropertyDescriptor", "getOwnPropertyDescriptors", "getOwnPropertyNames"},
	"Reflect": {"getOwnPropertyDescriptor", "ownKeys"},
}

// reflects reports whether code names one of them; esbuild's own helpers for CommonJS modules don't count.
func reflects(code string) bool {
	for _, helper := range []string{"__getOwnPropDesc = Object.getOwnPropertyDescriptor;", "__getOwnPropNames = Object.getOwnPropertyNames;"} {
		code = strings.Replace(code, helper, "", 1)
	}
	return strings.Contains(code, "getOwnPropertyDescriptor") || strings.Contains(code, "getOwnPropertyNames") || strings.Contains(code, "ownKeys")
}

// revealMembers puts the replacements in place.
func (r *realm) revealMembers() {
	r.web().owners = map[*goja.Object][]*lazyMembers{}
	for owner, methods := range reflecting {
		for _, method := range methods {
			length := 1
			if method == "getOwnPropertyDescriptor" {
				length = 2
			}
			r.guardMethod(r.rt.Get(owner).(*goja.Object), method, length, func(r *realm, call goja.FunctionCall, native goja.Callable) goja.Value {
				if obj, ok := call.Argument(0).(*goja.Object); ok {
					r.reveal(obj, call.Argument(1))
				}
				return r.callNative(native, call.This, call.Arguments...)
			})
		}
	}
}

// reveal makes what obj would have if nothing were made late; of the global object only the property named key, if one is.
func (r *realm) reveal(obj *goja.Object, key goja.Value) {
	if obj.ExportType() == typeProxy {
		return // it holds nothing itself, and would see the look at it
	}
	if obj == r.rt.GlobalObject() {
		if given(key) {
			if ctor, ok := r.global(key.String()).(*goja.Object); ok && webClasses[key.String()] != nil {
				r.reveal(ctor, nil)
			}
			return
		}
		for name := range globals {
			r.global(name)
		}
		return
	}
	for _, l := range r.web().owners[obj] {
		l.reveal()
	}
	if ev, ok := nativeOf[*event](r, obj); ok && !ev.revealed {
		// The one member that the standard puts on each event itself.
		ev.revealed = true
		lazy := r.web().owners[r.classPrototype("Event")][0]
		lazy.touch("isTrusted")
		_ = obj.DefineAccessorProperty("isTrusted", lazy.made["isTrusted"].getter, nil, goja.FLAG_FALSE, goja.FLAG_TRUE)
	}
}

// reveal makes all members, and takes itself out of the chain.
func (l *lazyMembers) reveal() {
	if l.revealed {
		return
	}
	l.revealed = true
	own := l.owner.GetOwnPropertyNames()
	for i := range l.list {
		name := l.list[i].name
		if !slices.Contains(own, name) { // code may have put something else in its place
			l.touch(name)
			l.settle(name, l.made[name])
		}
	}
	if l.class != "" && globals[l.class] != nil {
		l.r.global(l.class)
	}
	if l.owner.Prototype() == l.self {
		_ = l.owner.SetPrototype(l.above)
	}
}
