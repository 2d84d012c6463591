package agentruntime

import (
	"reflect"

	"github.com/dop251/goja"
)

// webState is what the Web APIs keep for a realm, made at first use.
type webState struct {
	prototypes    map[string]*goja.Object         // of the classes touched so far
	owners        map[*goja.Object][]*lazyMembers // of those, and of their constructors; nil where code can't ask
	asyncIterator *goja.Symbol
	frames        []goja.StackFrame // room for calledPlainly
	uint8         goja.Constructor
	view          [3]goja.Callable // buffer, byteOffset and byteLength of a typed array

	// frame calls runner, which runs task, in a JavaScript frame.
	frame  goja.Callable
	runner goja.Value
	task   func()

	// settle awaits a promise and then calls settled, which finds the reactions by their number.
	settle    goja.Callable
	settled   goja.Value
	reactions map[int64]reactions
	later     []later          // run in the next microtask
	shares    bool             // there has been a SharedArrayBuffer
	spare     []later          // room for the next list of them
	wake      func(goja.Value) // asks for that microtask
	last      int64

	// computing has room for the one slow computation that may run.
	computing chan struct{}
	wasm      *wasmState // made at first use
}

// reactions are what waits for a promise; nil functions do nothing.
type reactions struct{ ok, no func(goja.Value) }

// web returns the realm's state of the Web APIs.
func (r *realm) web() *webState {
	if r.webAPI == nil {
		r.webAPI = &webState{}
	}
	return r.webAPI
}

// frameProgram makes the function that runs native code inside a JavaScript frame. The engine runs promise jobs when
// the outermost frame returns, and a native function called from Go has none: without a frame the first promise that it
// settles would run other code in its midst.
var frameProgram = goja.MustCompile("frame.js", "(function(f){return f()})", true)

// settleProgram makes the function that waits for a promise and then tells native code, in a frame of its own.
var settleProgram = goja.MustCompile("settle.js",
	"(async function(settled,p,id){let v;try{v=await p}catch(e){settled(id,false,e);return}settled(id,true,v)})", true)

// framed runs fn as if called by JavaScript, so that promise jobs wait for its end. What fn throws is returned.
func (r *realm) framed(fn func()) error {
	web := r.web()
	if web.frame == nil {
		web.frame = r.program(frameProgram)
		web.runner = r.rt.ToValue(func(goja.FunctionCall) goja.Value {
			web.task()
			return goja.Undefined()
		})
	}
	web.task = fn
	_, err := web.frame(goja.Undefined(), web.runner)
	return err
}

// inLoop runs fn as an event of its own, framed. An error no JavaScript can catch is noted.
func (r *realm) inLoop(fn func()) {
	if err := r.framed(fn); err != nil {
		r.fault(err)
	}
}

func (r *realm) program(p *goja.Program) goja.Callable {
	v, err := r.rt.RunProgram(p)
	if err != nil {
		panic(err)
	}
	fn, _ := goja.AssertFunction(v)
	return fn
}

// callback is a JavaScript function given to a Web API.
type callback struct {
	fn   goja.Callable
	this goja.Value
}

// invoke calls the function. What it throws comes back as a value; what no JavaScript can catch goes on upwards.
func (c *callback) invoke(args ...goja.Value) (result goja.Value, thrown goja.Value) {
	v, err := c.fn(c.this, args...)
	return v, thrownBy(err)
}

// thrownBy returns the exception in err, nil for none, and lets what no JavaScript can catch go on upwards.
func thrownBy(err error) goja.Value {
	if err == nil {
		return nil
	}
	if ex, ok := err.(*goja.Exception); ok {
		return ex.Value()
	}
	panic(err)
}

// upon calls ok or no, in a JavaScript frame, when v settles; a v that is no promise counts as fulfilled.
func (r *realm) upon(v goja.Value, ok, no func(goja.Value)) {
	web := r.web()
	if web.settle == nil {
		web.settle = r.program(settleProgram)
		web.reactions = map[int64]reactions{}
		web.settled = r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
			id := call.Argument(0).ToInteger()
			then := web.reactions[id]
			delete(web.reactions, id)
			fn := then.no
			if call.Argument(1).ToBoolean() {
				fn = then.ok
			}
			if fn != nil {
				fn(call.Argument(2))
			}
			return goja.Undefined()
		})
	}
	web.last++
	web.reactions[web.last] = reactions{ok, no}
	if _, err := web.settle(goja.Undefined(), web.settled, v, r.rt.ToValue(web.last)); err != nil {
		panic(err)
	}
}

// laterProgram is the loop behind soon: it awaits the promises that run returns, which costs less than a function for each.
var laterProgram = goja.MustCompile("later.js", "(async function(run){for(;;)await run()})", true)

// later is something to do in the next microtask, and the scope it belongs to.
type later struct {
	scope *scope
	fn    func()
}

// soon calls fn in a microtask of its own, or in one with others that were asked for meanwhile.
func (r *realm) soon(fn func()) {
	web := r.web()
	web.later = append(web.later, later{r.at, fn})
	if len(web.later) > 1 {
		return
	}
	if web.wake == nil {
		waiting := web.later
		web.later = nil
		loop := r.program(laterProgram)
		if _, err := loop(goja.Undefined(), r.rt.ToValue(func(goja.FunctionCall) goja.Value { return r.runLater() })); err != nil {
			panic(err)
		}
		web.later = waiting
	}
	web.wake(goja.Undefined())
}

// runLater does what was asked for, and returns the promise of the next time.
func (r *realm) runLater() goja.Value {
	web := r.web()
	list := web.later
	web.later = web.spare[:0]
	for i, l := range list {
		list[i] = later{}
		prev := r.enter(l.scope)
		if ex := r.rt.Try(l.fn); ex != nil {
			r.rejected(ex.Value())
		}
		r.leave(prev)
	}
	web.spare = list[:0]
	promise, resolve, _ := r.newPromise()
	web.wake = resolve
	if len(web.later) > 0 {
		resolve(goja.Undefined())
	}
	return promise
}

// object checks that v, an argument that may be left out, is an object otherwise.
func (r *realm) object(v goja.Value, what string) {
	if _, ok := v.(*goja.Object); !ok && given(v) {
		panic(r.typeError("Failed to read " + what + ": the value is not an object"))
	}
}

// given reports whether an argument or a dictionary's member is there: neither missing nor undefined.
func given(v goja.Value) bool { return v != nil && !goja.IsUndefined(v) }

// some reports whether v is there and not null either.
func some(v goja.Value) bool { return given(v) && !goja.IsNull(v) }

// str converts v to a string as a USVString: lone surrogates become U+FFFD.
func (r *realm) str(v goja.Value) string {
	switch v := v.(type) {
	case nil:
		return "undefined"
	case *goja.Symbol:
		panic(r.typeError("Cannot convert a Symbol value to a string"))
	default:
		return v.String()
	}
}

// optional returns a dictionary's member, nil when dict is no object or has none.
func optional(dict goja.Value, name string) goja.Value {
	obj, ok := dict.(*goja.Object)
	if !ok {
		return nil
	}
	if v := obj.Get(name); given(v) {
		return v
	}
	return nil
}

// dictionary checks that v can be a dictionary: an object, undefined or null.
func (r *realm) dictionary(v goja.Value, what string) {
	if _, ok := v.(*goja.Object); !ok && some(v) {
		panic(r.typeError("Failed to read " + what + ": the value is not an object"))
	}
}

// need throws when a call has fewer arguments than n.
func (r *realm) need(call goja.FunctionCall, n int, what string) {
	if len(call.Arguments) < n {
		panic(r.typeError("Failed to execute " + what + ": " + plural(n, "argument") + " required, but only " + plural(len(call.Arguments), "") + " present"))
	}
}

func plural(n int, noun string) string {
	s := []string{"0", "1", "2", "3", "4", "5"}[min(n, 5)]
	if noun == "" {
		return s
	}
	if n != 1 {
		noun += "s"
	}
	return s + " " + noun
}

// callable takes a function out of a value that must be one.
func (r *realm) callable(v goja.Value, this goja.Value, what string) *callback {
	fn, ok := goja.AssertFunction(v)
	if !ok {
		panic(r.typeError(what + " is not a function"))
	}
	if this == nil {
		this = goja.Undefined()
	}
	return &callback{fn: fn, this: this}
}

var typeArrayBuffer = reflect.TypeFor[goja.ArrayBuffer]()

// bytesOf returns the bytes that a BufferSource holds, not copied, and whether v is one. A detached one has none. It
// never exports a typed array: the engine then slices memory that a detached buffer no longer has.
func bytesOf(v goja.Value) ([]byte, bool) {
	obj, ok := v.(*goja.Object)
	if !ok {
		return nil, false
	}
	if obj.ExportType() == typeArrayBuffer {
		return obj.Export().(goja.ArrayBuffer).Bytes(), true
	}
	if !isView(obj) {
		return nil, false
	}
	return part(obj.Get("buffer"), obj.Get("byteOffset"), obj.Get("byteLength"))
}

// part returns the bytes of buffer that a view covers.
func part(buffer, offset, length goja.Value) ([]byte, bool) {
	obj, ok := buffer.(*goja.Object)
	if !ok || obj.ExportType() != typeArrayBuffer {
		return nil, false
	}
	data := obj.Export().(goja.ArrayBuffer).Bytes()
	off, n := int(offset.ToInteger()), int(length.ToInteger())
	if off < 0 || n < 0 || off > len(data) || n > len(data)-off {
		return nil, true
	}
	return data[off : off+n : off+n], true
}

// viewProgram makes the list of the accessors of a typed array. Called as functions they are much faster than the
// look-up of a property, which the engine first tries to read as a number.
var viewProgram = goja.MustCompile("view.js", `(function(){
	const proto = Object.getPrototypeOf(Uint8Array.prototype);
	return ["buffer", "byteOffset", "byteLength"].map(k => Object.getOwnPropertyDescriptor(proto, k).get);
})`, true)

// bytesOrShared is bytesOf with a short way for typed arrays.
func (r *realm) bytesOrShared(v goja.Value) ([]byte, bool) {
	obj, ok := v.(*goja.Object)
	if !ok {
		return nil, false
	}
	if t := obj.ExportType(); t == nil || t.Kind() != reflect.Slice || !isView(obj) {
		return bytesOf(v)
	}
	web := r.web()
	if web.view[0] == nil {
		list, err := r.program(viewProgram)(goja.Undefined())
		if err != nil {
			panic(err)
		}
		for i := range web.view {
			web.view[i], _ = goja.AssertFunction(list.(*goja.Object).Get(itoa(i)))
		}
	}
	var parts [3]goja.Value
	for i, get := range web.view {
		value, err := get(obj)
		if err != nil {
			return nil, false
		}
		parts[i] = value
	}
	return part(parts[0], parts[1], parts[2])
}

// isView reports whether obj is a typed array or a DataView.
func isView(obj *goja.Object) bool {
	if t := obj.ExportType(); t != nil && t.Kind() == reflect.Slice {
		switch t.Elem().Kind() {
		case reflect.Int8, reflect.Uint8, reflect.Int16, reflect.Uint16, reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Uint64,
			reflect.Float32, reflect.Float64:
			return true
		}
		return false
	}
	tag, ok := obj.GetSymbol(goja.SymToStringTag).(goja.String)
	if !ok || tag.String() != "DataView" {
		return false
	}
	buf, ok := obj.Get("buffer").(*goja.Object)
	return ok && buf.ExportType() == typeArrayBuffer
}

// isUint8Array reports whether v, a BufferSource, is a Uint8Array and not another kind of view.
func isUint8Array(v goja.Value) bool {
	obj, ok := v.(*goja.Object)
	if !ok {
		return false
	}
	tag, ok := obj.GetSymbol(goja.SymToStringTag).(goja.String)
	return ok && tag.String() == "Uint8Array"
}

// arrayBuffer makes an ArrayBuffer around data, which it owns from now on.
func (r *realm) arrayBuffer(data []byte) goja.Value {
	if data == nil {
		data = []byte{}
	}
	return r.rt.ToValue(r.rt.NewArrayBuffer(data))
}

// uint8Array makes a Uint8Array around data, which it owns from now on.
func (r *realm) uint8Array(data []byte) goja.Value {
	web := r.web()
	if web.uint8 == nil {
		web.uint8, _ = goja.AssertConstructor(r.rt.Get("Uint8Array"))
	}
	v, err := web.uint8(nil, r.arrayBuffer(data))
	if err != nil {
		panic(err)
	}
	return v
}
