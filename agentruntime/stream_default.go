package agentruntime

import (
	"github.com/dop251/goja"
)

// defaultController is the controller of a stream of any values (https://streams.spec.whatwg.org/#rs-default-controller-class).
type defaultController struct {
	sourceController
	queue chunkQueue
	size  *callback // nil when every chunk counts as 1
}

func newDefaultController(s *readable, st strategy) *defaultController {
	c := &defaultController{size: st.size}
	c.s, c.mark, c.kind = s, st.mark, c
	s.ctrl = c
	return c
}

func (c *defaultController) value() *goja.Object {
	return c.instance("ReadableStreamDefaultController")
}

// newDefaultStream makes a stream around native algorithms, started.
func (r *realm) newDefaultStream(st strategy, pull, stop algorithm) (*readable, *defaultController) {
	s := newReadable(r)
	c := newDefaultController(s, st)
	c.pull, c.stop, c.started = pull, stop, true
	return s, c
}

func (c *defaultController) desired() (room float64, known bool) { return c.room(c.queue.total) }

func (c *defaultController) enqueue(chunk goja.Value) {
	if !c.open() {
		return
	}
	if c.s.waiting() > 0 {
		c.s.fulfil(chunk)
	} else {
		size, thrown := measure(c.s.r, c.size, chunk)
		if thrown != nil {
			c.fail(thrown)
			panic(thrown)
		}
		c.queue.push(chunk, size)
	}
	c.pullIfNeeded()
}

func (c *defaultController) close() {
	if !c.open() {
		return
	}
	c.closeRequested = true
	if len(c.queue.items) == 0 {
		c.clear()
		c.s.finish()
	}
}

func (c *defaultController) fail(err goja.Value) {
	if c.s.state != streamReadable {
		return
	}
	c.queue.reset()
	c.clear()
	c.s.abort(err)
}

func (c *defaultController) clear() {
	c.sourceController.clear()
	c.size = nil
}

func (c *defaultController) wantsPull() bool {
	if !c.open() || !c.started {
		return false
	}
	if c.s.waiting() > 0 {
		return true
	}
	room, _ := c.desired()
	return room > 0
}

func (c *defaultController) pullSteps(req *readRequest) {
	if len(c.queue.items) == 0 {
		c.s.reader.requests = append(c.s.reader.requests, req)
		c.pullIfNeeded()
		return
	}
	chunk := c.queue.pop()
	c.drained(len(c.queue.items) == 0)
	req.chunk(chunk)
}

func (c *defaultController) cancelSteps(reason goja.Value, done func(goja.Value)) {
	c.queue.reset()
	c.stopSource(reason, done)
}

func (c *defaultController) releaseSteps() {}

// startSource runs the start method of an underlying source and lets the controller pull once it has settled.
func (r *realm) startSource(source goja.Value, controller *goja.Object, started func(), fail func(goja.Value)) {
	var result goja.Value = goja.Undefined()
	if f := optional(source, "start"); f != nil {
		v, thrown := r.callable(f, source, "The start member").invoke(controller)
		if thrown != nil {
			panic(thrown)
		}
		result = v
	}
	r.upon(result, func(goja.Value) { started() }, fail)
}

// constructReadable makes a stream of an underlying source and a strategy, as the constructor does.
func (r *realm) constructReadable(s *readable, source, strategyArg goja.Value) {
	r.object(source, "the underlying source")
	kind := optional(source, "type")
	if kind != nil && r.str(kind) != "bytes" {
		panic(r.typeError("Invalid type of the underlying source: " + r.str(kind)))
	}
	if kind != nil {
		r.constructBytes(s, source, strategyArg)
		return
	}
	newDefaultController(s, r.strategyOf(strategyArg, 1)).source(source)
}

func roomValue(r *realm, room float64, known bool) goja.Value {
	if !known {
		return goja.Null()
	}
	return r.rt.ToValue(room)
}

func init() {
	(&webClass{
		name: "ReadableStreamDefaultController",
		members: []member{
			{name: "desiredSize", get: getter(func(r *realm, c *defaultController) goja.Value {
				room, known := c.desired()
				return roomValue(r, room, known)
			})},
			{name: "enqueue", call: method(func(r *realm, c *defaultController, call goja.FunctionCall) goja.Value {
				if !c.open() {
					panic(r.typeError("Unable to enqueue: the stream is closed or errored."))
				}
				c.enqueue(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "close", call: method(func(r *realm, c *defaultController, _ goja.FunctionCall) goja.Value {
				if !c.open() {
					panic(r.typeError("Unable to close: the stream is closed or errored."))
				}
				c.close()
				return goja.Undefined()
			})},
			{name: "error", call: method(func(_ *realm, c *defaultController, call goja.FunctionCall) goja.Value {
				c.fail(call.Argument(0))
				return goja.Undefined()
			})},
		},
	}).declare()
}
