package agentruntime

import (
	"github.com/dop251/goja"
)

// asyncIter is the state of a stream's asynchronous iterator: reads go one after the other.
type asyncIter struct {
	rd      *streamReader
	keep    bool // preventCancel
	done    bool
	ongoing goja.Value
}

// readPromise is read for code: a promise of {value, done}.
func (rd *streamReader) readPromise(r *realm) goja.Value {
	p, resolve, reject := r.newPromise()
	rd.read(&readRequest{
		chunk: func(v goja.Value) { resolve(r.iterResult(v, false)) },
		close: func() { resolve(r.iterResult(goja.Undefined(), true)) },
		fail:  reject,
	})
	return p
}

func (r *realm) readerValue(rd *streamReader) goja.Value {
	if rd.byob {
		return r.instance("ReadableStreamBYOBReader", rd)
	}
	return r.instance("ReadableStreamDefaultReader", rd)
}

// acquireBYOB is acquire for a BYOB reader, which only a byte stream has.
func (s *readable) acquireBYOB() *streamReader {
	if _, ok := s.ctrl.(*byteController); !ok {
		panic(s.r.typeError("This ReadableStream does not support BYOB reads."))
	}
	s.r.startSourceNow(s)
	return s.acquire(true)
}

// startSourceNow is the place where a stream made by Go stops being just a reader.
func (r *realm) startSourceNow(s *readable) { s.source.touch() }

func (it *asyncIter) next(r *realm) goja.Value {
	step := func() goja.Value {
		if it.done {
			return r.resolved(r.iterResult(goja.Undefined(), true))
		}
		p, resolve, reject := r.newPromise()
		it.rd.read(&readRequest{
			chunk: func(v goja.Value) { resolve(r.iterResult(v, false)) },
			close: func() {
				it.done = true
				it.rd.release()
				resolve(r.iterResult(goja.Undefined(), true))
			},
			fail: func(err goja.Value) {
				it.done = true
				it.rd.release()
				reject(err)
			},
		})
		return p
	}
	return it.after(r, step)
}

// after runs step once the step before it has settled.
func (it *asyncIter) after(r *realm, step func() goja.Value) goja.Value {
	if it.ongoing == nil || settled(it.ongoing) {
		it.ongoing = step()
		return it.ongoing
	}
	p, resolve, _ := r.newPromise()
	run := func(goja.Value) { resolve(step()) }
	r.upon(it.ongoing, run, run)
	it.ongoing = p
	return p
}

func settled(p goja.Value) bool {
	promise, ok := p.Export().(*goja.Promise)
	return ok && promise.State() != goja.PromiseStatePending
}

func (it *asyncIter) finish(r *realm, value goja.Value) goja.Value {
	return it.after(r, func() goja.Value {
		if it.done {
			return r.resolved(r.iterResult(value, true))
		}
		it.done = true
		s := it.rd.s
		if it.keep || s == nil {
			it.rd.release()
			return r.resolved(r.iterResult(value, true))
		}
		p, resolve, reject := r.newPromise()
		s.cancel(value, func(thrown goja.Value) {
			if thrown != nil {
				reject(thrown)
				return
			}
			resolve(r.iterResult(value, true))
		})
		it.rd.release()
		return p
	})
}

// streamFrom makes a stream of anything that can be iterated over, synchronously or not.
func (r *realm) streamFrom(iterable goja.Value) *readable {
	obj, ok := iterable.(*goja.Object)
	if !ok {
		if !goja.IsString(iterable) {
			panic(r.typeError("ReadableStream.from needs something that can be iterated over"))
		}
		obj = iterable.ToObject(r.rt)
	}
	method := obj.GetSymbol(r.asyncIteratorSymbol())
	if !some(method) {
		method = obj.GetSymbol(goja.SymIterator)
	}
	it, thrown := r.callable(method, obj, "The iterator").invoke()
	if thrown != nil {
		panic(thrown)
	}
	iterator, ok := it.(*goja.Object)
	if !ok {
		panic(r.typeError("The iterator is not an object"))
	}
	next := r.callable(iterator.Get("next"), iterator, "The iterator's next member")
	var c *defaultController
	s, c := r.newDefaultStream(strategy{}, func(_ goja.Value, done func(goja.Value)) {
		v, thrown := next.invoke()
		if thrown != nil {
			done(thrown)
			return
		}
		r.upon(v, func(v goja.Value) {
			res, ok := v.(*goja.Object)
			if !ok {
				done(r.typeError("The iterator's result is not an object"))
				return
			}
			if d := res.Get("done"); d != nil && d.ToBoolean() {
				c.close()
				done(nil)
				return
			}
			r.upon(orUndefined(res.Get("value")), func(v goja.Value) {
				c.enqueue(v)
				done(nil)
			}, done)
		}, done)
	}, func(reason goja.Value, done func(goja.Value)) {
		ret := iterator.Get("return")
		if !some(ret) {
			done(nil)
			return
		}
		v, thrown := r.callable(ret, iterator, "The iterator's return member").invoke(reason)
		if thrown != nil {
			done(thrown)
			return
		}
		r.upon(v, func(v goja.Value) {
			if _, ok := v.(*goja.Object); !ok {
				done(r.typeError("The iterator's result is not an object"))
				return
			}
			done(nil)
		}, done)
	})
	return s
}

func orUndefined(v goja.Value) goja.Value {
	if v == nil {
		return goja.Undefined()
	}
	return v
}

func init() {
	(&webClass{
		name: "ReadableStream",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			s := newReadable(r)
			s.obj = call.This
			r.constructReadable(s, call.Argument(0), call.Argument(1))
			r.attach(call.This, s)
			return nil
		},
		asyncIterator: "values",
		members: []member{
			{name: "locked", get: getter(func(r *realm, s *readable) goja.Value { return r.rt.ToValue(s.reader != nil) })},
			{name: "cancel", call: promised(method(func(r *realm, s *readable, call goja.FunctionCall) goja.Value {
				if s.reader != nil {
					panic(r.typeError("This ReadableStream is currently locked to a reader."))
				}
				r.startSourceNow(s)
				return s.cancelPromise(call.Argument(0))
			}))},
			{name: "getReader", call: method(func(r *realm, s *readable, call goja.FunctionCall) goja.Value {
				r.dictionary(call.Argument(0), "the options of getReader")
				if mode := optional(call.Argument(0), "mode"); mode != nil {
					if r.str(mode) != "byob" {
						panic(r.typeError("Invalid mode of a reader: " + r.str(mode)))
					}
					return r.readerValue(s.acquireBYOB())
				}
				r.startSourceNow(s)
				return r.readerValue(s.acquire(false))
			})},
			{name: "tee", call: method(func(r *realm, s *readable, _ goja.FunctionCall) goja.Value {
				one, two := r.tee(s)
				return r.rt.NewArray(r.readableValue(one), r.readableValue(two))
			})},
			{name: "pipeTo", length: 1, call: promised(method(func(r *realm, s *readable, call goja.FunctionCall) goja.Value {
				w, ok := nativeOf[*writable](r, call.Argument(0))
				if !ok {
					panic(r.typeError("Failed to execute 'pipeTo' on 'ReadableStream': parameter 1 is not of type 'WritableStream'."))
				}
				return r.pipe(s, w, r.pipeOptionsOf(call.Argument(1)))
			}))},
			{name: "pipeThrough", length: 1, call: method(func(r *realm, s *readable, call goja.FunctionCall) goja.Value {
				pair := call.Argument(0)
				out := optional(pair, "readable")
				if _, ok := nativeOf[*readable](r, out); !ok {
					panic(r.typeError("Failed to execute 'pipeThrough' on 'ReadableStream': member readable is not of type 'ReadableStream'."))
				}
				w, ok := nativeOf[*writable](r, optional(pair, "writable"))
				if !ok {
					panic(r.typeError("Failed to execute 'pipeThrough' on 'ReadableStream': member writable is not of type 'WritableStream'."))
				}
				options := r.pipeOptionsOf(call.Argument(1))
				if s.reader != nil || w.writer != nil {
					panic(r.typeError("A stream that is locked can't be piped."))
				}
				r.upon(r.pipe(s, w, options), nil, nil)
				return out
			})},
			{name: "values", call: method(func(r *realm, s *readable, call goja.FunctionCall) goja.Value {
				keep := optional(call.Argument(0), "preventCancel")
				r.startSourceNow(s)
				it := &asyncIter{rd: s.acquire(false), keep: keep != nil && keep.ToBoolean()}
				return r.instance(asyncIterClass, it)
			})},
		},
		statics: []member{
			{name: "from", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				return r.readableValue(r.streamFrom(call.Argument(0)))
			}},
		},
	}).declare()

	readerMembers := []member{
		{name: "closed", get: promised(getter(func(_ *realm, rd *streamReader) goja.Value { return rd.closed.value() }))},
		{name: "cancel", call: promised(method(func(r *realm, rd *streamReader, call goja.FunctionCall) goja.Value {
			if rd.s == nil {
				panic(r.typeError("This ReadableStream reader has been released."))
			}
			return rd.s.cancelPromise(call.Argument(0))
		}))},
		{name: "releaseLock", call: method(func(_ *realm, rd *streamReader, _ goja.FunctionCall) goja.Value {
			rd.release()
			return goja.Undefined()
		})},
	}
	construct := func(byob bool) func(r *realm, call goja.ConstructorCall) *goja.Object {
		return func(r *realm, call goja.ConstructorCall) *goja.Object {
			s, ok := nativeOf[*readable](r, call.Argument(0))
			if !ok {
				panic(r.typeError("A reader needs a ReadableStream"))
			}
			if byob {
				r.attach(call.This, s.acquireBYOB())
				return nil
			}
			r.startSourceNow(s)
			r.attach(call.This, s.acquire(false))
			return nil
		}
	}
	(&webClass{
		name: "ReadableStreamDefaultReader", length: 1,
		construct: construct(false),
		members: append([]member{
			{name: "read", call: promised(method(func(r *realm, rd *streamReader, _ goja.FunctionCall) goja.Value {
				return rd.readPromise(r)
			}))},
		}, readerMembers...),
	}).declare()
	(&webClass{
		name: "ReadableStreamBYOBReader", length: 1,
		construct: construct(true),
		members: append([]member{
			{name: "read", length: 1, call: promised(method(func(r *realm, rd *streamReader, call goja.FunctionCall) goja.Value {
				return r.byobRead(rd, call)
			}))},
			{name: "readAtLeast", length: 2, call: promised(method(func(r *realm, rd *streamReader, call goja.FunctionCall) goja.Value {
				opts := r.rt.NewObject()
				_ = opts.Set("min", call.Argument(0))
				return r.byobRead(rd, goja.FunctionCall{This: call.This, Arguments: []goja.Value{call.Argument(1), opts}})
			}))},
		}, readerMembers...),
	}).declare()
	(&webClass{
		name:          asyncIterClass,
		asyncIterator: "self",
		members: []member{
			{name: "next", call: promised(method(func(r *realm, it *asyncIter, _ goja.FunctionCall) goja.Value { return it.next(r) }))},
			{name: "return", length: 1, call: promised(method(func(r *realm, it *asyncIter, call goja.FunctionCall) goja.Value {
				return it.finish(r, call.Argument(0))
			}))},
			{name: "self", call: func(_ *realm, call goja.FunctionCall) goja.Value { return call.This }},
		},
	}).declare()
	(&webClass{name: "ByteLengthQueuingStrategy", length: 1, construct: constructStrategy, members: strategyMembers("byteLength")}).declare()
	(&webClass{name: "CountQueuingStrategy", length: 1, construct: constructStrategy, members: strategyMembers("")}).declare()
}

// asyncIterClass is not a name that code can write.
const asyncIterClass = "ReadableStream AsyncIterator"

// markOf is the state of the two queuing strategies.
type markOf struct{ mark goja.Value }

func constructStrategy(r *realm, call goja.ConstructorCall) *goja.Object {
	mark := optional(call.Argument(0), "highWaterMark")
	if mark == nil {
		panic(r.typeError("A queuing strategy needs a highWaterMark"))
	}
	r.attach(call.This, &markOf{r.rt.ToValue(mark.ToFloat())})
	return nil
}

// strategyMembers are the members of a queuing strategy that sizes a chunk by one of its properties; empty counts it. The
// size function is the same for all of a class.
func strategyMembers(property string) []member {
	length := 0
	if property != "" {
		length = 1
	}
	return []member{
		{name: "highWaterMark", get: getter(func(_ *realm, m *markOf) goja.Value { return m.mark })},
		{name: "size", get: getter(func(r *realm, _ *markOf) goja.Value {
			key := " size " + property
			if r.made[key] == nil {
				r.made[key] = r.function("size", length, func(r *realm, call goja.FunctionCall) goja.Value {
					if property == "" {
						return r.rt.ToValue(1)
					}
					return orUndefined(call.Argument(0).ToObject(r.rt).Get(property))
				})
			}
			return r.made[key]
		})},
	}
}
