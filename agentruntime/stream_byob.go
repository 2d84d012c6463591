package agentruntime

import (
	"strings"

	"github.com/dop251/goja"
)

// measureView returns where a view lies in its buffer, and the buffer's size. It throws when v is no view, or a view of a
// detached buffer.
func (r *realm) measureView(v goja.Value, what string) (offset, length, size int) {
	obj, ok := v.(*goja.Object)
	if !ok || !isView(obj) {
		panic(r.typeError(what + " must be an ArrayBufferView"))
	}
	r.refusePinned(obj, what)
	b := obj.Get("buffer").Export().(goja.ArrayBuffer)
	if b.Detached() {
		panic(r.typeError(what + " has a detached buffer"))
	}
	offset, length, size = int(obj.Get("byteOffset").ToInteger()), int(obj.Get("byteLength").ToInteger()), len(b.Bytes())
	if offset < 0 || length < 0 || offset+length > size {
		panic(r.typeError(what + " is out of the bounds of its buffer"))
	}
	return offset, length, size
}

// takeBuffer takes the bytes of a view out of its buffer, which is detached. It throws as measureView does.
func (r *realm) takeBuffer(v goja.Value, what string) (buf []byte, offset, length int) {
	offset, length, _ = r.measureView(v, what)
	b := v.(*goja.Object).Get("buffer").Export().(goja.ArrayBuffer)
	buf = b.Bytes()
	b.Detach()
	return buf, offset, length
}

func (r *realm) byobRead(rd *streamReader, call goja.FunctionCall) goja.Value {
	view, ok := call.Argument(0).(*goja.Object)
	if !ok || !isView(view) {
		panic(r.typeError("Failed to execute 'read' on 'ReadableStreamBYOBReader': parameter 1 is not of type 'ArrayBufferView'."))
	}
	if rd.s == nil {
		panic(r.typeError("This ReadableStream reader has been released."))
	}
	p := &pullInto{element: 1}
	if n := view.Get("BYTES_PER_ELEMENT"); some(n) {
		p.element = max(1, int(n.ToInteger()))
	}
	if name := view.GetSymbol(goja.SymToStringTag); name != nil && !strings.HasPrefix(name.String(), "Uint8Array") {
		p.ctor = r.rt.Get(name.String())
	}
	least := 1
	if v := optional(call.Argument(1), "min"); v != nil {
		if least = int(v.ToInteger()); least < 1 {
			panic(r.typeError("The min option must be at least 1"))
		}
	}
	if view.Get("byteLength").ToInteger() == 0 {
		panic(r.typeError("The view given to read() is empty"))
	}
	p.minimum = least * p.element
	if p.minimum > int(view.Get("byteLength").ToInteger()) {
		panic(r.newError("RangeError", "The min option is more than the view holds"))
	}
	p.buf, p.offset, p.length = r.takeBuffer(view, "The view")
	promise, resolve, reject := r.newPromise()
	p.into = &intoRequest{
		chunk: func(p *pullInto) { resolve(r.iterResult(r.filledView(p), false)) },
		close: func(p *pullInto) {
			if p == nil {
				resolve(r.iterResult(goja.Undefined(), true))
				return
			}
			resolve(r.iterResult(r.filledView(p), true))
		},
		fail: reject,
	}
	rd.s.ctrl.(*byteController).readInto(p)
	return promise
}

// currentRequest returns what controller.byobRequest is.
func (c *byteController) currentRequest() goja.Value {
	r := c.s.r
	if c.request == nil && len(c.pulls) > 0 {
		p := c.pulls[0]
		construct, _ := goja.AssertConstructor(r.rt.Get("Uint8Array"))
		view, err := construct(nil, r.arrayBuffer(p.buf), r.rt.ToValue(p.offset+p.filled), r.rt.ToValue(p.length-p.filled))
		if thrown := thrownBy(err); thrown != nil {
			panic(thrown)
		}
		c.request = &byobRequest{c: c, view: view}
		c.request.obj = r.instance("ReadableStreamBYOBRequest", c.request)
	}
	if c.request == nil {
		return goja.Null()
	}
	return c.request.obj
}

// attached throws when code has detached the buffer of a request's view.
func (r *realm) attached(view goja.Value) {
	obj, ok := view.(*goja.Object)
	if !ok {
		return
	}
	if b, ok := obj.Get("buffer").Export().(goja.ArrayBuffer); ok && b.Detached() {
		panic(r.typeError("The buffer of the BYOB request has been detached"))
	}
}

// detachView makes the buffer behind the current request's view useless to code, before its bytes are handed on.
func detachView(v goja.Value) {
	if obj, ok := v.(*goja.Object); ok {
		if b, ok := obj.Get("buffer").Export().(goja.ArrayBuffer); ok {
			b.Detach()
		}
	}
}

func init() {
	(&webClass{
		name: "ReadableByteStreamController",
		members: []member{
			{name: "desiredSize", get: getter(func(r *realm, c *byteController) goja.Value {
				room, known := c.desired()
				return roomValue(r, room, known)
			})},
			{name: "byobRequest", get: getter(func(_ *realm, c *byteController) goja.Value { return c.currentRequest() })},
			{name: "enqueue", length: 1, call: method(func(r *realm, c *byteController, call goja.FunctionCall) goja.Value {
				if obj, ok := call.Argument(0).(*goja.Object); !ok || !isView(obj) {
					panic(r.typeError("Failed to execute 'enqueue' on 'ReadableByteStreamController': parameter 1 is not of type 'ArrayBufferView'."))
				}
				if !c.open() {
					panic(r.typeError("Unable to enqueue: the stream is closed or errored."))
				}
				if c.request != nil {
					r.attached(c.request.view)
				}
				buf, offset, length := r.takeBuffer(call.Argument(0), "The chunk")
				if length == 0 {
					panic(r.typeError("The chunk is empty"))
				}
				c.enqueue(buf[offset : offset+length : offset+length])
				return goja.Undefined()
			})},
			{name: "close", call: method(func(r *realm, c *byteController, _ goja.FunctionCall) goja.Value {
				if !c.open() {
					panic(r.typeError("Unable to close: the stream is closed or errored."))
				}
				c.close()
				return goja.Undefined()
			})},
			{name: "error", call: method(func(_ *realm, c *byteController, call goja.FunctionCall) goja.Value {
				c.fail(call.Argument(0))
				return goja.Undefined()
			})},
		},
	}).declare()
	(&webClass{
		name: "ReadableStreamBYOBRequest",
		members: []member{
			{name: "view", get: getter(func(_ *realm, q *byobRequest) goja.Value { return q.view })},
			{name: "respond", length: 1, call: method(func(r *realm, q *byobRequest, call goja.FunctionCall) goja.Value {
				if q.c == nil || len(q.c.pulls) == 0 {
					panic(r.typeError("This BYOB request has been invalidated."))
				}
				n := int(call.Argument(0).ToInteger())
				if n < 0 {
					panic(r.typeError("A negative number of bytes can't be responded"))
				}
				r.attached(q.view)
				q.c.respond(n)
				return goja.Undefined()
			})},
			{name: "respondWithNewView", length: 1, call: method(func(r *realm, q *byobRequest, call goja.FunctionCall) goja.Value {
				if q.c == nil || len(q.c.pulls) == 0 {
					panic(r.typeError("This BYOB request has been invalidated."))
				}
				c := q.c
				offset, length, size := r.measureView(call.Argument(0), "The view")
				p := c.pulls[0]
				switch {
				case length == 0 && c.s.state == streamReadable:
					panic(r.typeError("The new view is empty while the stream is open"))
				case length > 0 && c.s.state != streamReadable:
					panic(r.typeError("The new view is not empty though the stream is closed"))
				case offset != p.offset+p.filled || length > p.length-p.filled || size != len(p.buf):
					panic(r.newError("RangeError", "The new view does not fit the request"))
				}
				p.buf, _, _ = r.takeBuffer(call.Argument(0), "The view")
				c.respond(length)
				return goja.Undefined()
			})},
		},
	}).declare()
}
