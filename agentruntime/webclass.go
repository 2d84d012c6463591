package agentruntime

import (
	"github.com/dop251/goja"
)

// nativeFunc is the body of a native method or accessor.
type nativeFunc func(r *realm, call goja.FunctionCall) goja.Value

// member is one property of a class: a method (call), an accessor (get, with set if it can be assigned) or a
// constant (value).
type member struct {
	name   string
	length int
	call   nativeFunc
	get    nativeFunc
	set    nativeFunc
	value  any
}

// webClass declares one class of the Web APIs. The table is shared by every realm; what a realm makes of it is made at
// the first touch of each member, so that a class costs a fresh realm its constructor and the members that are used.
type webClass struct {
	name   string
	length int
	parent string
	// construct is the constructor's body; what it attaches to call.This makes it an instance. nil makes a class that
	// code can't construct.
	construct func(r *realm, call goja.ConstructorCall) *goja.Object
	members   []member
	statics   []member
	// iterator and asyncIterator name the methods that [Symbol.iterator] and [Symbol.asyncIterator] are too.
	iterator, asyncIterator string
	// wrapsError says that the prototype inherits from Error.prototype, as DOMException's does.
	wrapsError bool
}

// declare puts the class into the table of globals. Use it in init functions.
func (c *webClass) declare() {
	protoTable, staticTable := tableOf(c.members), tableOf(c.statics)
	globals[c.name] = func(r *realm) goja.Value { return r.makeClass(c, protoTable, staticTable) }
}

func tableOf(list []member) map[string]*member {
	if len(list) == 0 {
		return nil
	}
	t := make(map[string]*member, len(list))
	for i := range list {
		t[list[i].name] = &list[i]
	}
	return t
}

func (r *realm) makeClass(c *webClass, protoTable, staticTable map[string]*member) goja.Value {
	ctor := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		if c.construct == nil {
			panic(r.typeError("Illegal constructor"))
		}
		return c.construct(r, call)
	}).(*goja.Object)
	name := r.rt.ToValue(c.name)
	r.nameFunction(ctor, name, c.length)
	proto := ctor.Get("prototype").(*goja.Object)
	_ = proto.DefineDataPropertySymbol(goja.SymToStringTag, name, goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	above, aboveStatic := proto.Prototype(), ctor.Prototype()
	switch {
	case c.parent != "":
		base := r.global(c.parent).(*goja.Object)
		above, aboveStatic = base.Get("prototype").(*goja.Object), base
	case c.wrapsError:
		above = r.rt.Get("Error").(*goja.Object).Get("prototype").(*goja.Object)
	}
	r.deferMembers(proto, above, protoTable, c.members)
	if staticTable != nil || aboveStatic != ctor.Prototype() {
		r.deferMembers(ctor, aboveStatic, staticTable, c.statics)
	}
	if c.iterator != "" {
		_ = proto.DefineDataPropertySymbol(goja.SymIterator, proto.Get(c.iterator), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	if c.asyncIterator != "" {
		_ = proto.DefineDataPropertySymbol(r.asyncIteratorSymbol(), proto.Get(c.asyncIterator), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return ctor
}

// asyncIteratorSymbol is the symbol that stands for Symbol.asyncIterator, which the engine lacks.
func (r *realm) asyncIteratorSymbol() *goja.Symbol {
	web := r.web()
	if web.asyncIterator == nil {
		web.asyncIterator = r.registered("Symbol.asyncIterator").(*goja.Symbol)
		_ = r.rt.Get("Symbol").(*goja.Object).DefineDataProperty("asyncIterator", web.asyncIterator, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	}
	return web.asyncIterator
}

// deferMembers arranges that owner gets each member of table when it is first looked for. above is what owner inherits
// from. The chain becomes owner -> lazyMembers -> above. The lazy object makes a member on owner, where later look-ups
// find it. The look-up that is under way gets a method or a constant at once; an accessor must run with the right
// receiver, which the lazy object is not told, so it is made on a second object, shadow, that goes in between lazy
// object and above at the first accessor, and the look-up finds it there.
func (r *realm) deferMembers(owner, above *goja.Object, table map[string]*member, list []member) {
	if len(list) == 0 {
		_ = owner.SetPrototype(above)
		return
	}
	l := &lazyMembers{r: r, owner: owner, above: above, table: table, list: list}
	l.self = r.rt.NewDynamicObject(l)
	_ = l.self.SetPrototype(above)
	_ = owner.SetPrototype(l.self)
}

// lazyMembers is the object that makes the members of a class, see deferMembers.
type lazyMembers struct {
	r                   *realm
	self, owner, shadow *goja.Object
	above               *goja.Object
	table               map[string]*member
	list                []member
	made                map[string]goja.Value // nil for an accessor
}

// touch makes a member. The value is nil for an accessor and for what isn't there.
func (l *lazyMembers) touch(key string) goja.Value {
	if v, ok := l.made[key]; ok {
		return v
	}
	m, ok := l.table[key]
	if !ok {
		return nil
	}
	if l.made == nil {
		l.made = make(map[string]goja.Value, 4)
	}
	if m.get != nil && l.shadow == nil {
		l.shadow = l.r.rt.CreateObject(l.above)
		_ = l.self.SetPrototype(l.shadow)
	}
	v := l.r.defineMember(m, l.owner, l.shadow)
	l.made[key] = v
	return v
}

func (l *lazyMembers) Get(key string) goja.Value { return l.touch(key) }
func (l *lazyMembers) Has(key string) bool       { return l.touch(key) != nil }

func (l *lazyMembers) Keys() []string {
	var names []string
	for i := range l.list {
		if l.touch(l.list[i].name) != nil {
			names = append(names, l.list[i].name)
		}
	}
	return names
}

func (l *lazyMembers) Set(string, goja.Value) bool { return false }
func (l *lazyMembers) Delete(string) bool          { return true }

// defineMember makes m on owner, an accessor on shadow too. It returns the value of what is no accessor.
func (r *realm) defineMember(m *member, owner, shadow *goja.Object) goja.Value {
	switch {
	case m.get != nil:
		var setter goja.Value
		getter := r.function("get "+m.name, 0, m.get)
		if m.set != nil {
			setter = r.function("set "+m.name, 1, m.set)
		}
		_ = owner.DefineAccessorProperty(m.name, getter, setter, goja.FLAG_TRUE, goja.FLAG_TRUE)
		_ = shadow.DefineAccessorProperty(m.name, getter, setter, goja.FLAG_TRUE, goja.FLAG_TRUE)
		return nil
	case m.call != nil:
		fn := r.function(m.name, m.length, m.call)
		_ = owner.DefineDataProperty(m.name, fn, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
		return fn
	}
	v := r.rt.ToValue(m.value)
	_ = owner.DefineDataProperty(m.name, v, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE)
	return v
}

// function makes a native function object.
func (r *realm) function(name string, length int, f nativeFunc) *goja.Object {
	fn := r.rt.ToValue(func(call goja.FunctionCall) goja.Value { return f(r, call) }).(*goja.Object)
	r.nameFunction(fn, r.rt.ToValue(name), length)
	return fn
}

// nameFunction gives fn its name and length: the engine names a native function after its Go symbol.
func (r *realm) nameFunction(fn *goja.Object, name goja.Value, length int) {
	_ = fn.DefineDataProperty("name", name, goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	if length != 0 {
		_ = fn.DefineDataProperty("length", r.rt.ToValue(length), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
}

// declareFunction puts a native function into the table of globals. Use it in init functions.
func declareFunction(name string, length int, f nativeFunc) {
	globals[name] = func(r *realm) goja.Value { return r.function(name, length, f) }
}

// self returns the native state of a method's receiver, and throws when the receiver is something else.
func self[T any](r *realm, this goja.Value) T {
	t, ok := nativeOf[T](r, this)
	if !ok {
		panic(r.typeError("Illegal invocation"))
	}
	return t
}

// getter adapts a function of the native state to an accessor's body.
func getter[T any](f func(r *realm, t T) goja.Value) nativeFunc {
	return func(r *realm, call goja.FunctionCall) goja.Value { return f(r, self[T](r, call.This)) }
}

// method adapts a function of the native state and the arguments to a method's body.
func method[T any](f func(r *realm, t T, call goja.FunctionCall) goja.Value) nativeFunc {
	return func(r *realm, call goja.FunctionCall) goja.Value { return f(r, self[T](r, call.This), call) }
}

// stored adapts a function of the object and its native state, for accessors that keep the object they made.
func stored[T any](f func(r *realm, obj *goja.Object, t T) goja.Value) nativeFunc {
	return func(r *realm, call goja.FunctionCall) goja.Value {
		t := self[T](r, call.This)
		return f(r, call.This.(*goja.Object), t)
	}
}

// promised adapts a method that answers with a promise: what it throws rejects the promise.
func promised(f nativeFunc) nativeFunc {
	return func(r *realm, call goja.FunctionCall) (result goja.Value) {
		if ex := r.rt.Try(func() { result = f(r, call) }); ex != nil {
			return r.rejected(ex.Value())
		}
		return result
	}
}
