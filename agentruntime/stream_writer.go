package agentruntime

import (
	"github.com/dop251/goja"
)

// writerOf returns the stream of a writer that still holds it.
func (r *realm) writerOf(wr *streamWriter) *writable {
	if wr.w == nil {
		panic(r.typeError("This WritableStream writer has been released."))
	}
	return wr.w
}

func init() {
	unlocked := func(r *realm, w *writable) *writable {
		if w.writer != nil {
			panic(r.typeError("This WritableStream is currently locked to a writer."))
		}
		return w
	}
	(&webClass{
		name: "WritableStream",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			w := &writable{obj: call.This}
			r.constructWritable(w, call.Argument(0), call.Argument(1))
			r.attach(call.This, w)
			return nil
		},
		members: []member{
			{name: "locked", get: getter(func(r *realm, w *writable) goja.Value { return r.rt.ToValue(w.writer != nil) })},
			{name: "abort", call: promised(method(func(r *realm, w *writable, call goja.FunctionCall) goja.Value {
				return unlocked(r, w).abortPromise(call.Argument(0))
			}))},
			{name: "close", call: promised(method(func(r *realm, w *writable, _ goja.FunctionCall) goja.Value {
				return r.promiseOf(func(done func(goja.Value)) { unlocked(r, w).end(done) })
			}))},
			{name: "getWriter", call: method(func(r *realm, w *writable, _ goja.FunctionCall) goja.Value {
				return r.instance("WritableStreamDefaultWriter", w.acquireWriter())
			})},
		},
	}).declare()
	(&webClass{
		name: "WritableStreamDefaultWriter", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			w, ok := nativeOf[*writable](r, call.Argument(0))
			if !ok {
				panic(r.typeError("A writer needs a WritableStream"))
			}
			r.attach(call.This, w.acquireWriter())
			return nil
		},
		members: []member{
			{name: "closed", get: promised(getter(func(_ *realm, wr *streamWriter) goja.Value { return wr.closed.value() }))},
			{name: "ready", get: promised(getter(func(_ *realm, wr *streamWriter) goja.Value { return wr.ready.value() }))},
			{name: "desiredSize", get: getter(func(r *realm, wr *streamWriter) goja.Value {
				switch w := r.writerOf(wr); w.state {
				case writeErrored, writeErroring:
					return goja.Null()
				case writeClosed:
					return r.rt.ToValue(0)
				default:
					return r.rt.ToValue(w.desired())
				}
			})},
			{name: "write", call: promised(method(func(r *realm, wr *streamWriter, call goja.FunctionCall) goja.Value {
				w, chunk := r.writerOf(wr), call.Argument(0)
				return r.promiseOf(func(done func(goja.Value)) { w.put(chunk, wr, done) })
			}))},
			{name: "close", call: promised(method(func(r *realm, wr *streamWriter, _ goja.FunctionCall) goja.Value {
				w := r.writerOf(wr)
				return r.promiseOf(func(done func(goja.Value)) { w.end(done) })
			}))},
			{name: "abort", call: promised(method(func(r *realm, wr *streamWriter, call goja.FunctionCall) goja.Value {
				return r.writerOf(wr).abortPromise(call.Argument(0))
			}))},
			{name: "releaseLock", call: method(func(_ *realm, wr *streamWriter, _ goja.FunctionCall) goja.Value {
				wr.release()
				return goja.Undefined()
			})},
		},
	}).declare()
	(&webClass{
		name: "WritableStreamDefaultController",
		members: []member{
			{name: "signal", get: getter(func(_ *realm, c *writeController) goja.Value { return c.signalValue() })},
			{name: "error", call: method(func(_ *realm, c *writeController, call goja.FunctionCall) goja.Value {
				c.w.failIfOpen(call.Argument(0))
				return goja.Undefined()
			})},
		},
	}).declare()
}
