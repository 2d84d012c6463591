package agentruntime

import (
	"github.com/dop251/goja"
)

// writeState is where a WritableStream is in its life (https://streams.spec.whatwg.org/#ws-model).
type writeState uint8

const (
	writeOpen writeState = iota
	writeErroring
	writeErrored
	writeClosed
)

// writable is the state of a WritableStream together with its controller. ended functions get what was thrown, nil
// for nothing.
type writable struct {
	r           *realm
	state       writeState
	storedError goja.Value
	writer      *streamWriter
	obj         *goja.Object

	queue          chunkQueue
	strategy       strategy
	started        bool
	closeQueued    bool // a close mark is at the queue's end
	pressure       bool
	write          algorithm
	finish, abort_ algorithm
	ctrl           *writeController
	advancing      repeater

	// waiting are the ends of the writes in the queue; writing is the one in flight.
	waiting []func(thrown goja.Value)
	writing func(thrown goja.Value)
	// closing is the end of the close that was asked for; inClose says that it is in flight.
	closing func(thrown goja.Value)
	inClose bool
	pending *pendingAbort
	digest  *digestStream // of a crypto.DigestStream
}

// pendingAbort is an abort that waits for what is in flight.
type pendingAbort struct {
	reason  goja.Value
	done    []func(thrown goja.Value)
	already bool // was erroring before: the sink's abort isn't called
	promise goja.Value
}

// writeController is the state of a WritableStreamDefaultController.
type writeController struct {
	w      *writable
	obj    *goja.Object
	signal controllerSignal
}

// controllerSignal is the AbortSignal of a controller, made at first touch.
type controllerSignal struct {
	s       *abortSignal
	aborted bool
	reason  goja.Value
}

func (c *writeController) abort(reason goja.Value) {
	if c.signal.aborted {
		return
	}
	c.signal.aborted, c.signal.reason = true, reason
	if c.signal.s != nil {
		c.w.r.abort(c.signal.s, reason)
	}
}

// streamWriter is the state of a writer; w is nil once it has let go.
type streamWriter struct {
	w             *writable
	ready, closed lazyPromise
}

func (r *realm) writableValue(w *writable) *goja.Object {
	if w.obj == nil {
		w.obj = r.instance("WritableStream", w)
	}
	return w.obj
}

// newWritable makes a stream around native algorithms, started.
func (r *realm) newWritable(st strategy, write, finish, abort algorithm) *writable {
	w := &writable{r: r, strategy: st, write: write, finish: finish, abort_: abort, started: true}
	w.ctrl = &writeController{w: w}
	w.pressure = w.desired() <= 0
	return w
}

func (c *writeController) value() *goja.Object {
	if c.obj == nil {
		c.obj = c.w.r.instance("WritableStreamDefaultController", c)
	}
	return c.obj
}

func (c *writeController) signalValue() *goja.Object {
	if c.signal.s == nil {
		c.signal.s, _ = c.w.r.newSignal()
		if c.signal.aborted {
			c.w.r.abort(c.signal.s, c.signal.reason)
		}
	}
	return c.signal.s.obj
}

func (r *realm) constructWritable(w *writable, sink, strategyArg goja.Value) {
	r.object(sink, "the underlying sink")
	if v := optional(sink, "type"); v != nil {
		panic(r.newError("RangeError", "Invalid type of the underlying sink"))
	}
	w.r = r
	w.ctrl = &writeController{w: w}
	w.strategy = r.strategyOf(strategyArg, 1)
	w.write = r.delayed(r.algorithmOf(sink, "write", func(chunk goja.Value) []goja.Value { return []goja.Value{chunk, w.ctrl.value()} }))
	w.finish = r.delayed(r.algorithmOf(sink, "close", func(goja.Value) []goja.Value { return nil }))
	w.abort_ = r.delayed(r.algorithmOf(sink, "abort", func(reason goja.Value) []goja.Value { return []goja.Value{reason} }))
	w.pressure = w.desired() <= 0
	r.startSource(sink, w.ctrl.value(), func() {
		w.started = true
		w.advance()
	}, func(err goja.Value) {
		w.started = true
		w.dealWithRejection(err)
	})
}

func (w *writable) desired() float64 { return w.strategy.mark - w.queue.total }

// closeAsked reports whether the stream is closing: the mark is queued or the close is in flight.
func (w *writable) closeAsked() bool { return w.closing != nil || w.inClose }

func (w *writable) updatePressure(pressure bool) {
	changed := pressure != w.pressure
	w.pressure = pressure // first: those who wait for ready write at once
	if !changed || w.writer == nil || w.closeAsked() {
		return
	}
	if pressure {
		w.writer.ready = lazyPromise{r: w.r}
	} else {
		w.writer.ready.fulfil(goja.Undefined())
	}
}

// put queues a chunk; done is called when it was written. by is the writer that code writes with, nil for none: it must still
// hold the stream once the chunk's size is known.
func (w *writable) put(chunk goja.Value, by *streamWriter, done func(thrown goja.Value)) {
	r := w.r
	var size float64
	if w.state == writeOpen {
		var thrown goja.Value
		if size, thrown = measure(r, w.strategy.size, chunk); thrown != nil {
			w.failIfOpen(thrown)
		}
	}
	switch {
	case by != nil && by.w != w:
		done(r.typeError("This WritableStream writer has been released."))
		return
	case w.state == writeErrored:
		done(w.storedError)
		return
	case w.closeAsked() || w.state == writeClosed:
		done(r.typeError("This WritableStream has been closed."))
		return
	case w.state == writeErroring:
		done(w.storedError)
		return
	}
	w.waiting = append(w.waiting, done)
	w.queue.push(chunk, size)
	w.updatePressure(w.desired() <= 0)
	w.advance()
}

// end closes the stream after what is queued.
func (w *writable) end(done func(thrown goja.Value)) {
	if w.state == writeClosed || w.state == writeErrored {
		done(w.r.typeError("This WritableStream has been closed."))
		return
	}
	if w.closeAsked() {
		done(w.r.typeError("This WritableStream is being closed."))
		return
	}
	w.closing = done
	if w.writer != nil && w.pressure && w.state == writeOpen {
		w.writer.ready.fulfil(goja.Undefined())
	}
	w.closeQueued = true
	w.advance()
}

// advance gives the sink what is next.
func (w *writable) advance() { w.advancing.run(w.advanceOnce) }

func (w *writable) advanceOnce() {
	if !w.started || w.writing != nil || w.inClose {
		return
	}
	if w.state == writeErroring {
		w.finishErroring()
		return
	}
	if w.state != writeOpen {
		return
	}
	if len(w.queue.items) == 0 {
		if w.closeQueued {
			w.runClose()
		}
		return
	}
	w.writing = w.waiting[0]
	w.waiting = w.waiting[1:]
	chunk := w.queue.items[0].value
	ended := func(thrown goja.Value) {
		done := w.writing
		w.writing = nil
		if len(w.queue.items) > 0 {
			w.queue.pop()
		}
		if thrown != nil {
			if w.state == writeOpen {
				w.clear()
			}
			done(thrown)
			w.dealWithRejection(thrown)
			return
		}
		done(nil)
		if !w.closeAsked() && w.state == writeOpen {
			w.updatePressure(w.desired() <= 0)
		}
		w.advance()
	}
	if w.write == nil {
		w.r.upon(goja.Undefined(), func(goja.Value) { ended(nil) }, ended)
		return
	}
	w.write(chunk, ended)
}

func (w *writable) runClose() {
	w.inClose, w.closeQueued = true, false
	ended := func(thrown goja.Value) {
		done := w.closing
		w.closing, w.inClose = nil, false
		if thrown != nil {
			done(thrown)
			if w.pending != nil {
				w.pending.end(thrown)
				w.pending = nil
			}
			w.dealWithRejection(thrown)
			return
		}
		done(nil)
		if w.state == writeErroring {
			w.storedError = nil
			if w.pending != nil {
				w.pending.end(nil)
				w.pending = nil
			}
		}
		w.state = writeClosed
		if w.writer != nil {
			w.writer.closed.fulfil(goja.Undefined())
		}
	}
	finish := w.finish
	w.clear()
	if finish == nil {
		w.r.upon(goja.Undefined(), func(goja.Value) { ended(nil) }, ended)
		return
	}
	finish(goja.Undefined(), ended)
}

func (w *writable) clear() { w.write, w.finish, w.abort_, w.strategy.size = nil, nil, nil, nil }

// abort ends the stream by force.
func (w *writable) abort(reason goja.Value, done func(thrown goja.Value)) {
	if w.state == writeClosed || w.state == writeErrored {
		done(nil)
		return
	}
	w.ctrl.abort(reason)
	if w.state == writeClosed || w.state == writeErrored {
		done(nil)
		return
	}
	if w.pending != nil {
		w.pending.done = append(w.pending.done, done)
		return
	}
	w.pending = &pendingAbort{reason: reason, done: []func(goja.Value){done}, already: w.state == writeErroring}
	if w.state != writeErroring {
		w.startErroring(reason)
	}
}

// abortPromise is abort for code: a promise, the same one for all that abort the stream before it has ended.
func (w *writable) abortPromise(reason goja.Value) goja.Value {
	if w.pending != nil && w.pending.promise != nil {
		return w.pending.promise
	}
	before := w.pending
	promise := w.r.promiseOf(func(done func(goja.Value)) { w.abort(reason, done) })
	if w.pending != nil && w.pending != before {
		w.pending.promise = promise
	}
	return promise
}

func (p *pendingAbort) end(thrown goja.Value) {
	for _, done := range p.done {
		done(thrown)
	}
}

func (w *writable) failIfOpen(err goja.Value) {
	if w.state == writeOpen {
		w.clear()
		w.startErroring(err)
	}
}

func (w *writable) dealWithRejection(err goja.Value) {
	if w.state == writeOpen {
		w.startErroring(err)
		return
	}
	if w.state == writeErroring {
		w.finishErroring()
	}
}

func (w *writable) startErroring(err goja.Value) {
	w.state, w.storedError = writeErroring, err
	if w.writer != nil {
		w.writer.failReady(err)
	}
	if w.writing == nil && !w.inClose && w.started {
		w.finishErroring()
	}
}

func (w *writable) finishErroring() {
	if w.writing != nil || w.inClose {
		return
	}
	abort := w.abort_
	w.state = writeErrored
	w.queue.reset()
	w.closeQueued = false
	w.clear()
	waiting := w.waiting
	w.waiting = nil
	for _, done := range waiting {
		done(w.storedError)
	}
	pending := w.pending
	w.pending = nil
	if pending == nil {
		w.rejectClosed()
		return
	}
	if pending.already || abort == nil {
		if pending.already {
			pending.end(w.storedError)
		} else {
			pending.end(nil)
		}
		w.rejectClosed()
		return
	}
	abort(pending.reason, func(thrown goja.Value) {
		pending.end(thrown)
		w.rejectClosed()
	})
}

func (w *writable) rejectClosed() {
	if w.closing != nil {
		done := w.closing
		w.closing = nil
		done(w.storedError)
	}
	if w.writer != nil {
		w.writer.closed.reject(w.storedError)
	}
}

// acquireWriter locks the stream to a new writer.
func (w *writable) acquireWriter() *streamWriter {
	if w.writer != nil {
		panic(w.r.typeError("This WritableStream is currently locked to a writer."))
	}
	wr := &streamWriter{w: w, ready: lazyPromise{r: w.r}, closed: lazyPromise{r: w.r}}
	w.writer = wr
	switch w.state {
	case writeOpen:
		if w.closeAsked() || !w.pressure {
			wr.ready.fulfil(goja.Undefined())
		}
	case writeErroring:
		wr.ready.reject(w.storedError)
	case writeClosed:
		wr.ready.fulfil(goja.Undefined())
		wr.closed.fulfil(goja.Undefined())
	case writeErrored:
		wr.ready.reject(w.storedError)
		wr.closed.reject(w.storedError)
	}
	return wr
}

func (wr *streamWriter) failReady(err goja.Value) {
	if wr.ready.state != goja.PromiseStatePending {
		wr.ready = lazyPromise{r: wr.ready.r}
	}
	wr.ready.reject(err)
}

func (wr *streamWriter) release() {
	w := wr.w
	if w == nil {
		return
	}
	err := w.r.typeError("This WritableStream writer has been released.")
	wr.failReady(err)
	if wr.closed.state != goja.PromiseStatePending {
		wr.closed = lazyPromise{r: w.r}
	}
	wr.closed.reject(err)
	w.writer, wr.w = nil, nil
}
