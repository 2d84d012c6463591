package agentruntime

import (
	"github.com/dop251/goja"
)

// sourceController is what the controllers of plain and of byte streams have in common: when the source is asked for more,
// and how it is told that nobody wants any (https://streams.spec.whatwg.org/#readable-stream-default-controller-call-pull-if-needed).
type sourceController struct {
	s              *readable
	mark           float64
	started        bool
	closeRequested bool
	pulling        bool
	pullAgain      bool
	// A pull of code's that has returned without a promise ends one microtask later. Most of the time nobody asks before
	// that, so the microtask is made only for who does: returned says that it is due, and turn in which turn it began.
	returned   bool
	turn       uint64
	pull, stop algorithm
	coded      bool // pull is a function of code's
	asking     repeater
	obj        *goja.Object
	// kind is the controller that this is a part of.
	kind interface {
		streamController
		wantsPull() bool
	}
}

// source makes the algorithms of an underlying source and starts it.
func (c *sourceController) source(source goja.Value) {
	r, object := c.s.r, c.kind.value()
	c.pull = r.algorithmOf(source, "pull", func(goja.Value) []goja.Value { return []goja.Value{object} })
	c.stop = r.delayed(r.algorithmOf(source, "cancel", func(reason goja.Value) []goja.Value { return []goja.Value{reason} }))
	c.coded = true
	r.startSource(source, object, func() {
		c.started = true
		c.pullIfNeeded()
	}, c.kind.fail)
}

// instance returns the controller's object.
func (c *sourceController) instance(class string) *goja.Object {
	if c.obj == nil {
		c.obj = c.s.r.instance(class, c.kind)
	}
	return c.obj
}

func (c *sourceController) open() bool { return !c.closeRequested && c.s.state == streamReadable }

// room returns what the strategy leaves beside queued; known is false for an errored stream, which has none.
func (c *sourceController) room(queued float64) (room float64, known bool) {
	switch c.s.state {
	case streamErrored:
		return 0, false
	case streamClosed:
		return 0, true
	}
	return c.mark - queued, true
}

func (c *sourceController) pullIfNeeded() { c.asking.run(c.pullOnce) }

func (c *sourceController) pullOnce() {
	if !c.open() || !c.started || !c.kind.wantsPull() {
		return
	}
	if c.pulling && c.returned && c.turn != c.s.r.turns {
		c.pulling, c.returned = false, false
	}
	if c.pulling {
		if c.returned && !c.pullAgain {
			c.s.r.soon(c.pulled)
		}
		c.pullAgain = true
		return
	}
	if c.pull == nil {
		return
	}
	c.pulling = true
	inside := c.coded
	c.pull(nil, func(thrown goja.Value) {
		switch {
		case thrown != nil:
			c.kind.fail(thrown)
		case inside:
			c.returned, c.turn = true, c.s.r.turns
			if c.pullAgain {
				c.s.r.soon(c.pulled)
			}
		default:
			c.pulled()
		}
	})
	inside = false
}

// pulled is the end of a pull.
func (c *sourceController) pulled() {
	c.pulling, c.returned = false, false
	if c.pullAgain {
		c.pullAgain = false
		c.pullIfNeeded()
	}
}

// drained closes the stream when that was asked for and the queue is empty, and asks for more otherwise.
func (c *sourceController) drained(empty bool) {
	if empty && c.closeRequested {
		c.clear()
		c.s.finish()
		return
	}
	c.pullIfNeeded()
}

// stopSource tells the source that the stream was cancelled; done gets what it threw, nil for nothing.
func (c *sourceController) stopSource(reason goja.Value, done func(thrown goja.Value)) {
	stop := c.stop
	c.clear()
	if stop == nil {
		done(nil)
		return
	}
	stop(reason, done)
}

func (c *sourceController) clear() { c.pull, c.stop = nil, nil }
