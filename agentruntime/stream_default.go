package agentruntime

import (
	"github.com/dop251/goja"
)

// defaultController is the controller of a stream of any values (https://streams.spec.whatwg.org/#rs-default-controller-class).
type defaultController struct {
	s              *readable
	queue          chunkQueue
	strategy       strategy
	started        bool
	closeRequested bool
	pulling        bool
	pullAgain      bool
	pull, stop     algorithm
	asking         repeater
	obj            *goja.Object
}

func (c *defaultController) value() *goja.Object {
	if c.obj == nil {
		c.obj = c.s.r.instance("ReadableStreamDefaultController", c)
	}
	return c.obj
}

// newDefaultStream makes a stream around native algorithms, started.
func (r *realm) newDefaultStream(st strategy, pull, stop algorithm) (*readable, *defaultController) {
	s := newReadable(r)
	c := &defaultController{s: s, strategy: st, pull: pull, stop: stop, started: true}
	s.ctrl = c
	return s, c
}

// desired returns the room in the queue; known is false for an errored stream, which has none.
func (c *defaultController) desired() (room float64, known bool) {
	switch c.s.state {
	case streamErrored:
		return 0, false
	case streamClosed:
		return 0, true
	}
	return c.strategy.mark - c.queue.total, true
}

func (c *defaultController) open() bool { return !c.closeRequested && c.s.state == streamReadable }

func (c *defaultController) enqueue(chunk goja.Value) {
	if !c.open() {
		return
	}
	if c.s.waiting() > 0 {
		c.s.fulfil(chunk)
	} else {
		size, thrown := c.strategy.measure(c.s.r, chunk)
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
	c.pull, c.stop, c.strategy.size = nil, nil, nil
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

func (c *defaultController) pullIfNeeded() { c.asking.run(c.pullOnce) }

func (c *defaultController) pullOnce() {
	if !c.wantsPull() {
		return
	}
	if c.pulling {
		c.pullAgain = true
		return
	}
	if c.pull == nil {
		return
	}
	c.pulling = true
	c.pull(nil, func(thrown goja.Value) {
		if thrown != nil {
			c.fail(thrown)
			return
		}
		c.pulling = false
		if c.pullAgain {
			c.pullAgain = false
			c.pullIfNeeded()
		}
	})
}

func (c *defaultController) pullSteps(req *readRequest) {
	if len(c.queue.items) == 0 {
		c.s.reader.requests = append(c.s.reader.requests, req)
		c.pullIfNeeded()
		return
	}
	chunk := c.queue.pop()
	if c.closeRequested && len(c.queue.items) == 0 {
		c.clear()
		c.s.finish()
	} else {
		c.pullIfNeeded()
	}
	req.chunk(chunk)
}

func (c *defaultController) cancelSteps(reason goja.Value, done func(goja.Value)) {
	c.queue.reset()
	stop := c.stop
	c.clear()
	if stop == nil {
		done(nil)
		return
	}
	stop(reason, done)
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

// newReadableFrom makes a stream of an underlying source and a strategy, as the constructor does.
func (r *realm) constructReadable(s *readable, source, strategyArg goja.Value) {
	r.dictionary(source, "the underlying source")
	kind := optional(source, "type")
	if kind != nil && r.str(kind) != "bytes" {
		panic(r.typeError("Invalid type of the underlying source: " + r.str(kind)))
	}
	if kind != nil {
		r.constructBytes(s, source, strategyArg)
		return
	}
	c := &defaultController{s: s, strategy: r.strategyOf(strategyArg, 1)}
	s.ctrl = c
	onlyController := func(goja.Value) []goja.Value { return []goja.Value{c.value()} }
	c.pull = r.algorithmOf(source, "pull", onlyController)
	c.stop = r.algorithmOf(source, "cancel", func(reason goja.Value) []goja.Value { return []goja.Value{reason} })
	r.startSource(source, c.value(), func() {
		c.started = true
		c.pullIfNeeded()
	}, c.fail)
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
