package agentruntime

import (
	"reflect"

	"github.com/dop251/goja"
	"github.com/dop251/goja/parser"
)

// realm is one runtime with the Web APIs in reach: what a Web API's implementation needs of the isolate it lives in.
// It belongs to its loop: everything here runs on the loop, except post and what settle says.
type realm struct {
	rt   *goja.Runtime
	loop *loop

	// slot is the symbol of the property that holds an object's native state, where states does not.
	slot *goja.Symbol
	// states holds the native state of the first objects of an isolate that serves events and goes.
	states map[*goja.Object]any
	webAPI *webState // made at first use
	// nothingToDispose is what disposes of the result of a call that came without stubs.
	nothingToDispose goja.Value
	// made holds the globals touched so far, by name.
	made map[string]goja.Value

	supplied []*supply // for code that code has made

	agent *Agent
	meter meter
	actor *Actor // nil in the isolate of one invocation
	home  *scope // what belongs to no event in particular

	// at is the scope of the code that runs, resumed what the jobs that run will give back.
	at      *scope
	resumed []*scope
	reactor goja.Callable // see reaction; nil until the first
	// pending counts operations and timers under way: while it is zero and the loop is empty nothing can come.
	pending int
	// faulted is the first error of the turn that no JavaScript can catch.
	faulted    error
	watching   []watched
	rejections []rejection
	due        []*Invocation // to be looked at when the turn ends
	over       bool          // the invocation is done, and the isolate with it unless it may serve again
	left       int           // events that may still be begun here
	first      *Invocation   // of a spare: what its module was evaluated for
	retired    bool
	timers     map[int64]*timer
	turns      uint64 // how many there were
	dueTimers  timerQueue
	lastTimer  int64
	envObject  *goja.Object
	// workers are the classes of cloudflare:workers, once one was touched.
	workers *goja.Object
	// workflows is the module cloudflare:workflows, once it was touched.
	workflows *goja.Object
	exposed   *goja.Object // ctx.exports
	// imports are the remote objects of an actor's code, which keeps them from event to event.
	imports imports
	nodeJS  *nodeState // nil: no module of Node.js was touched
}

// globalMaker makes one global at its first touch.
type globalMaker func(r *realm) goja.Value

// globals is the table of every lazy global, filled by the files that own the APIs, in their init functions. It is
// read-only once the program runs.
var globals = map[string]globalMaker{}

// newRealm makes a runtime whose global object's prototype makes each Web API at first touch, so that a fresh runtime
// costs what it uses and no more.
func newRealm(l *loop) *realm {
	rt := goja.New()
	r := &realm{rt: rt, loop: l, slot: goja.NewSymbol("gatehouse.native"), made: map[string]goja.Value{}}
	rt.SetMaxCallStackSize(2000)
	// Code that code makes, with eval or new Function, could otherwise name a source map, and goja would read that file.
	rt.SetParserOptions(parser.WithDisableSourceMaps)
	rt.SetAsyncContextTracker(tracker{r})
	_ = rt.GlobalObject().SetPrototype(rt.NewDynamicObject(&lazyGlobals{r: r, over: rt.GlobalObject().Prototype()}))
	return r
}

// global returns the named global, making it at first touch. It is nil for an unknown name.
func (r *realm) global(name string) goja.Value {
	if v, ok := r.made[name]; ok {
		return v
	}
	mk, ok := globals[name]
	if !ok || r.withoutNode(name) {
		return nil
	}
	v := mk(r)
	r.made[name] = v
	enumerable := goja.FLAG_TRUE
	if webClasses[name] != nil {
		enumerable = goja.FLAG_FALSE
	}
	_ = r.rt.GlobalObject().DefineDataProperty(name, v, goja.FLAG_TRUE, goja.FLAG_TRUE, enumerable)
	return v
}

// native is the holder of an object's Go state. Being a DynamicObject it is cheap to make and comes back by Export.
type native struct{ state any }

var nativeType = reflect.TypeFor[*native]()

func (*native) Get(string) goja.Value       { return nil }
func (*native) Set(string, goja.Value) bool { return false }
func (*native) Has(string) bool             { return false }
func (*native) Delete(string) bool          { return false }
func (*native) Keys() []string              { return nil }

// mostStates is how many objects' states a realm keeps alive for as long as it lives itself.
const mostStates = 32

// attach gives obj its Go state. obj is usually call.This of a constructor, so subclasses work. A symbol's property costs ten
// times what a place in a map does, but goes with its object.
func (r *realm) attach(obj *goja.Object, state any) {
	if r.actor == nil && len(r.states) < mostStates {
		if r.states == nil {
			r.states = make(map[*goja.Object]any, 8)
		}
		r.states[obj] = state
		return
	}
	_ = obj.DefineDataPropertySymbol(r.slot, r.rt.NewDynamicObject(&native{state}), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
}

// nativeOf returns the Go state of v if v is an object that holds a T.
func nativeOf[T any](r *realm, v goja.Value) (T, bool) {
	var zero T
	obj, ok := v.(*goja.Object)
	if !ok {
		return zero, false
	}
	t, ok := r.stateOf(obj).(T)
	return t, ok
}

// stateOf returns the Go state of an object, nil if it has none.
func (r *realm) stateOf(obj *goja.Object) any {
	if state, ok := r.states[obj]; ok {
		return state
	}
	h, ok := obj.GetSymbol(r.slot).(*goja.Object)
	if !ok || h.ExportType() != nativeType { // of code's own making, and not all objects survive an Export
		return nil
	}
	if n, ok := h.Export().(*native); ok {
		return n.state
	}
	return nil
}

// typeError makes a thrown TypeError; use as panic(r.typeError(...)) inside a native function.
func (r *realm) typeError(msg string) *goja.Object { return r.rt.NewTypeError(msg) }

// lazyGlobals is the prototype of the global object. What it does not know it leaves to Object.prototype.
type lazyGlobals struct {
	r    *realm
	over *goja.Object
}

func (g *lazyGlobals) Get(key string) goja.Value {
	if v := g.r.global(key); v != nil {
		return v
	}
	return g.over.Get(key)
}

func (g *lazyGlobals) Set(key string, v goja.Value) bool {
	_ = g.r.rt.GlobalObject().DefineDataProperty(key, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	return true
}

func (g *lazyGlobals) Has(key string) bool {
	_, ok := globals[key]
	return ok && !g.r.withoutNode(key)
}

func (g *lazyGlobals) Delete(string) bool { return true }
func (g *lazyGlobals) Keys() []string     { return nil }
