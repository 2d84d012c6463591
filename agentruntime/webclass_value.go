package agentruntime

import (
	"reflect"
	"strings"

	"github.com/dop251/goja"
)

// webState is what the Web APIs keep for a realm, made at first use.
type webState struct {
	asyncIterator *goja.Symbol
	then          goja.Value
	resolve       goja.Callable
	promises      *goja.Object
	frame         goja.Callable
	bridge        goja.Callable
	uint8         goja.Constructor
}

// web returns the realm's state of the Web APIs.
func (r *realm) web() *webState {
	const key = " web"
	if v, ok := r.made[key].(*goja.Object); ok {
		return v.Export().(*native).state.(*webState)
	}
	web := &webState{}
	r.made[key] = r.rt.NewDynamicObject(&native{web})
	return web
}

// frameProgram makes the function that runs native code inside a JavaScript frame. The engine runs promise jobs when
// the outermost frame returns, and a native function called from Go has none: without a frame the first promise that it
// settles would run other code in its midst.
var frameProgram = goja.MustCompile("frame.js", "(function(f){return f()})", true)

// bridgeProgram makes the function that attaches native reactions to a promise, each in a frame of its own.
var bridgeProgram = goja.MustCompile("bridge.js",
	"(function(then,p,ok,no){then.call(p,function(v){ok(v)},function(e){no(e)})})", true)

// framed runs fn as if called by JavaScript, so that promise jobs wait for its end. What fn throws is returned.
func (r *realm) framed(fn func()) error {
	web := r.web()
	if web.frame == nil {
		web.frame = r.program(frameProgram)
	}
	_, err := web.frame(goja.Undefined(), r.rt.ToValue(func(goja.FunctionCall) goja.Value {
		fn()
		return goja.Undefined()
	}))
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
	if web.bridge == nil {
		web.bridge = r.program(bridgeProgram)
		web.promises = r.rt.Get("Promise").(*goja.Object)
		web.resolve, _ = goja.AssertFunction(web.promises.Get("resolve"))
		web.then = web.promises.Get("prototype").(*goja.Object).Get("then")
	}
	p, err := web.resolve(web.promises, v)
	if thrown := thrownBy(err); thrown != nil {
		p = r.rejected(thrown)
	}
	_, err = web.bridge(goja.Undefined(), web.then, p, r.reaction(ok), r.reaction(no))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
}

func (r *realm) reaction(f func(goja.Value)) goja.Value {
	return r.rt.ToValue(func(call goja.FunctionCall) goja.Value {
		if f != nil {
			f(call.Argument(0))
		}
		return goja.Undefined()
	})
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

// bytesOf returns the bytes that a BufferSource holds, not copied, and whether v is one.
func bytesOf(v goja.Value) ([]byte, bool) {
	obj, ok := v.(*goja.Object)
	if !ok {
		return nil, false
	}
	t := obj.ExportType()
	switch {
	case t == nil:
		return nil, false
	case t == typeArrayBuffer:
		b := obj.Export().(goja.ArrayBuffer)
		return b.Bytes(), true
	case !isView(obj):
		return nil, false
	}
	buf, ok := obj.Get("buffer").Export().(goja.ArrayBuffer)
	if !ok {
		return nil, false
	}
	data := buf.Bytes()
	off, n := int(obj.Get("byteOffset").ToInteger()), int(obj.Get("byteLength").ToInteger())
	if off < 0 || n < 0 || off+n > len(data) {
		return nil, true
	}
	return data[off : off+n : off+n], true
}

// isView reports whether obj is a typed array or a DataView.
func isView(obj *goja.Object) bool {
	tag, ok := obj.GetSymbol(goja.SymToStringTag).(goja.String)
	if !ok {
		return false
	}
	name := tag.String()
	if name != "DataView" && !strings.HasSuffix(name, "Array") {
		return false
	}
	buf, ok := obj.Get("buffer").(*goja.Object)
	return ok && buf.ExportType() == typeArrayBuffer
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
