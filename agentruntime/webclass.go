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
	// iterates says that the prototype inherits from that of the engine's iterators, with nothing between them.
	iterates bool
}

// madeClass is a webClass with its members by name.
type madeClass struct {
	*webClass
	proto, static map[string]*member
}

// webClasses is the table of the classes, by name. It is read-only once the program runs.
var webClasses = map[string]*madeClass{}

// declare puts the class into the tables. Use it in init functions.
func (c *webClass) declare() {
	m := &madeClass{webClass: c, proto: tableOf(c.members), static: tableOf(c.statics)}
	webClasses[c.name] = m
	globals[c.name] = func(r *realm) goja.Value { return r.makeClass(m) }
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

// instance makes an object of the named class around state, without running the class's constructor: unless code asks
// for it there is none, only a prototype.
func (r *realm) instance(class string, state any) *goja.Object {
	obj := r.rt.CreateObject(r.classPrototype(class))
	r.attach(obj, state)
	return obj
}

// classPrototype returns the prototype object of the named class, made at first use.
func (r *realm) classPrototype(class string) *goja.Object {
	web := r.web()
	proto := web.prototypes[class]
	if proto != nil {
		return proto
	}
	c := webClasses[class]
	var above *goja.Object
	switch {
	case c.parent != "":
		above = r.classPrototype(c.parent)
	case c.wrapsError:
		above = r.rt.Get("Error").(*goja.Object).Get("prototype").(*goja.Object)
	case c.iterates:
		above = r.iteratorPrototype()
	default:
		above = r.rt.GlobalObject().Prototype().Prototype()
	}
	l := r.lazyMembersOf(above, c.proto, c.members)
	proto = r.rt.CreateObject(l.self)
	if l.owner = proto; !c.iterates {
		l.class = class
	}
	r.noteOwner(proto, l)
	if web.prototypes == nil {
		web.prototypes = make(map[string]*goja.Object, 4)
	}
	web.prototypes[class] = proto
	if c.iterates {
		l.reveal() // its one member is used at once, and code that knows the engine's iterators looks for their prototype next
	}
	_ = proto.DefineDataPropertySymbol(goja.SymToStringTag, r.rt.ToValue(c.name), goja.FLAG_FALSE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	if c.iterator != "" {
		_ = proto.DefineDataPropertySymbol(goja.SymIterator, proto.Get(c.iterator), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	if c.asyncIterator != "" {
		_ = proto.DefineDataPropertySymbol(r.asyncIteratorSymbol(), proto.Get(c.asyncIterator), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return proto
}

// makeClass makes the constructor.
func (r *realm) makeClass(c *madeClass) goja.Value {
	ctor := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		if call.NewTarget == nil && r.calledPlainly(c.name) {
			panic(r.typeError("Class constructor " + c.name + " cannot be invoked without 'new'"))
		}
		if c.construct == nil {
			panic(r.typeError("Illegal constructor"))
		}
		return c.construct(r, call)
	}).(*goja.Object)
	r.nameFunction(ctor, r.rt.ToValue(c.name), c.length)
	proto := r.classPrototype(c.name)
	_ = ctor.DefineDataProperty("prototype", proto, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = proto.DefineDataProperty("constructor", ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	r.noteOwner(ctor, r.web().owners[proto]...) // who looks at a constructor looks at its prototype next
	above := ctor.Prototype()
	if c.parent != "" {
		above = r.global(c.parent).(*goja.Object)
	}
	if len(c.statics) > 0 {
		l := r.lazyMembersOf(above, c.static, c.statics)
		l.owner, above = ctor, l.self
		r.noteOwner(ctor, l)
	}
	if above != ctor.Prototype() {
		_ = ctor.SetPrototype(above)
	}
	return ctor
}

// calledPlainly reports whether the constructor of the named class that runs was called without new. The engine does not say so,
// but a call has a frame of its own on the stack, and a construction has none. X.call(this) goes through, for code that was
// compiled to inherit the old way.
func (r *realm) calledPlainly(class string) bool {
	web := r.web()
	web.frames = r.rt.CaptureCallStack(1, web.frames[:0])
	return len(web.frames) == 1 && web.frames[0].SrcName() == "<native>" && web.frames[0].FuncName() == class
}

// noteOwner lets reflection on obj find what it has to make, where code uses any.
func (r *realm) noteOwner(obj *goja.Object, list ...*lazyMembers) {
	if owners := r.web().owners; owners != nil {
		owners[obj] = append(owners[obj], list...)
	}
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

// lazyMembersOf makes the object that a prototype, or a constructor, inherits from so that each member of table is made
// when it is first looked for. above is what it would inherit from otherwise; the chain is
//
//	owner -> lazyMembers -> (shadow ->) above
//
// A look-up that comes to the lazy object gets a method or a constant at once. An accessor must run with the right
// receiver, which the lazy object is not told: it is made on a second object, shadow, that goes in at the first
// accessor, and the lazy object says that it knows nothing, so that the look-up goes on and finds it there. What is
// looked for twice is worth a property of owner, where later look-ups end.
func (r *realm) lazyMembersOf(above *goja.Object, table map[string]*member, list []member) *lazyMembers {
	l := &lazyMembers{r: r, above: above, table: table, list: list}
	l.self = r.rt.NewDynamicObject(l)
	_ = l.self.SetPrototype(above)
	return l
}

// lazyMembers is the object that makes the members of a class, see lazyMembersOf.
type lazyMembers struct {
	r                   *realm
	self, owner, shadow *goja.Object
	above               *goja.Object
	class               string // the class of a prototype, whose constructor is made at first touch too
	table               map[string]*member
	list                []member
	made                map[string]*madeMember
	revealed            bool
}

// madeMember is a member that was touched: value, or the functions of an accessor.
type madeMember struct {
	value, getter, setter goja.Value
	settled               bool // it is on owner
}

// touch makes a member, and returns its value: nil for an accessor and for what isn't there.
func (l *lazyMembers) touch(key string) goja.Value {
	if m := l.made[key]; m != nil {
		l.settle(key, m)
		return m.value
	}
	def, ok := l.table[key]
	if !ok {
		if key == "constructor" && l.class != "" && globals[l.class] != nil {
			return l.r.global(l.class)
		}
		return nil
	}
	m := &madeMember{}
	switch {
	case def.get != nil:
		m.getter = l.r.function("get "+def.name, 0, def.get)
		if def.set != nil {
			m.setter = l.r.function("set "+def.name, 1, def.set)
		}
		if l.shadow == nil {
			l.shadow = l.r.rt.CreateObject(l.above)
			_ = l.self.SetPrototype(l.shadow)
		}
		_ = l.shadow.DefineAccessorProperty(key, m.getter, m.setter, goja.FLAG_TRUE, goja.FLAG_TRUE)
	case def.call != nil:
		m.value = l.r.function(def.name, def.length, def.call)
	default:
		m.value = l.r.rt.ToValue(def.value)
	}
	if l.made == nil {
		l.made = make(map[string]*madeMember, 4)
	}
	l.made[key] = m
	if def.call == nil && def.get == nil {
		l.settle(key, m) // a constant is read-only, which only a property of owner can say
	}
	return m.value
}

// settle makes a member a property of owner.
func (l *lazyMembers) settle(key string, m *madeMember) {
	if m.settled {
		return
	}
	m.settled = true
	switch def := l.table[key]; {
	case m.getter != nil:
		_ = l.owner.DefineAccessorProperty(key, m.getter, m.setter, goja.FLAG_TRUE, goja.FLAG_TRUE)
	case def.call != nil:
		_ = l.owner.DefineDataProperty(key, m.value, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	default:
		_ = l.owner.DefineDataProperty(key, m.value, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE)
	}
}

func (l *lazyMembers) Get(key string) goja.Value { return l.touch(key) }
func (l *lazyMembers) Has(key string) bool       { return l.touch(key) != nil }

// Keys lists the methods; accessors are listed by shadow.
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
