package agentruntime

import (
	"github.com/dop251/goja"
)

// pipeOptions are the options of pipeTo and pipeThrough.
type pipeOptions struct {
	preventClose, preventAbort, preventCancel bool
	signal                                    *abortSignal
}

func (r *realm) pipeOptionsOf(v goja.Value) pipeOptions {
	r.dictionary(v, "the options of a pipe")
	flag := func(name string) bool {
		f := optional(v, name)
		return f != nil && f.ToBoolean()
	}
	var o pipeOptions
	o.preventAbort, o.preventCancel, o.preventClose = flag("preventAbort"), flag("preventCancel"), flag("preventClose")
	if s := optional(v, "signal"); s != nil {
		sig, ok := nativeOf[*abortSignal](r, s)
		if !ok {
			panic(r.typeError("The signal of a pipe is not an AbortSignal"))
		}
		o.signal = sig
	}
	return o
}

// pipe is the state of one pipeTo (https://streams.spec.whatwg.org/#readable-stream-pipe-to).
type pipe struct {
	r        *realm
	src      *readable
	dst      *writable
	reader   *streamReader
	writer   *streamWriter
	opts     pipeOptions
	reading  bool
	writes   int
	stopping bool
	idle     func() // called when the last write has ended
	pumping  repeater
	resolve  func(goja.Value)
	reject   func(goja.Value)
	unwatch  func()
}

// pipe moves all chunks of src to dst and returns the promise of its end.
func (r *realm) pipe(src *readable, dst *writable, opts pipeOptions) goja.Value {
	if src.reader != nil || dst.writer != nil {
		return r.rejected(r.typeError("A stream that is locked can't be piped."))
	}
	r.startSourceNow(src)
	p := &pipe{r: r, src: src, dst: dst, opts: opts, reader: src.acquire(false), writer: dst.acquireWriter(), unwatch: func() {}}
	src.disturbed = true
	var promise goja.Value
	promise, p.resolve, p.reject = r.newPromise()
	if opts.signal != nil {
		if opts.signal.aborted {
			p.aborted()
			return promise
		}
		p.unwatch = opts.signal.onAbort(p.aborted)
	}
	p.reader.closed.watch(p.pump)
	p.writer.closed.watch(p.pump)
	p.pump()
	return promise
}

// aborted is what the end of the signal does.
func (p *pipe) aborted() {
	reason := p.opts.signal.reason
	p.shutdown(func(done func(goja.Value)) {
		left, failed := 1, goja.Value(nil)
		one := func(thrown goja.Value) {
			if thrown != nil && failed == nil {
				failed = thrown
			}
			if left--; left == 0 {
				done(failed)
			}
		}
		if !p.opts.preventAbort && p.dst.state == writeOpen {
			left++
			p.dst.abort(reason, one)
		}
		if !p.opts.preventCancel && p.src.state == streamReadable {
			left++
			p.src.cancel(reason, one)
		}
		one(nil)
	}, reason)
}

// pump reads and writes while there is something to read and room to write.
func (p *pipe) pump() { p.pumping.run(p.step) }

func (p *pipe) step() {
	if p.stopping {
		return
	}
	src, dst := p.src, p.dst
	switch {
	case src.state == streamErrored:
		err := src.storedError
		if p.opts.preventAbort {
			p.shutdown(nil, err)
			return
		}
		p.shutdown(func(done func(goja.Value)) { dst.abort(err, done) }, err)
		return
	case dst.state == writeErrored || dst.state == writeErroring:
		err := dst.storedError
		if p.opts.preventCancel {
			p.shutdown(nil, err)
			return
		}
		p.shutdown(func(done func(goja.Value)) { src.cancel(err, done) }, err)
		return
	case src.state == streamClosed && !p.reading:
		if p.opts.preventClose {
			p.shutdown(nil, nil)
			return
		}
		p.shutdown(func(done func(goja.Value)) {
			switch {
			case dst.closeAsked() || dst.state == writeClosed:
				done(nil)
			case dst.state == writeErrored:
				done(dst.storedError)
			default:
				dst.end(done)
			}
		}, nil)
		return
	case dst.closeAsked() || dst.state == writeClosed:
		err := p.r.typeError("The destination of a pipe has been closed.")
		if p.opts.preventCancel {
			p.shutdown(nil, err)
			return
		}
		p.shutdown(func(done func(goja.Value)) { src.cancel(err, done) }, err)
		return
	}
	if p.reading {
		return
	}
	if dst.desired() <= 0 {
		p.writer.ready.watch(p.pump)
		return
	}
	p.reading = true
	p.reader.read(&readRequest{
		chunk: func(v goja.Value) {
			p.reading = false
			p.writes++
			p.dst.put(v, nil, func(thrown goja.Value) {
				if thrown != nil {
					p.r.soon(p.written) // once the stream is in its error state
					return
				}
				p.written()
			})
			p.pump()
		},
		close: func() {
			p.reading = false
			p.pump()
		},
		fail: func(goja.Value) {
			p.reading = false
			p.pump()
		},
	})
}

// written is called when a chunk has arrived, or has failed to.
func (p *pipe) written() {
	if p.writes--; p.writes == 0 && p.idle != nil {
		idle := p.idle
		p.idle = nil
		idle()
		return
	}
	p.pump()
}

// shutdown ends the pipe once what was written has arrived, with action first; err is nil for a good end.
func (p *pipe) shutdown(action func(done func(thrown goja.Value)), err goja.Value) {
	if p.stopping {
		return
	}
	p.stopping = true
	finish := func(thrown goja.Value) {
		if thrown != nil {
			err = thrown
		}
		p.unwatch()
		p.writer.release()
		p.reader.release()
		if err != nil {
			p.reject(err)
			return
		}
		p.resolve(goja.Undefined())
	}
	act := func() {
		if action == nil {
			finish(nil)
			return
		}
		action(finish)
	}
	if p.writes > 0 && p.dst.state == writeOpen && !p.dst.closeAsked() {
		p.idle = act
		return
	}
	act()
}
