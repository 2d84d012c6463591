package agentruntime

import (
	"fmt"

	"github.com/dop251/goja"
)

// transformer is the state of a TransformStream together with its controller (https://streams.spec.whatwg.org/#ts-model).
type transformer struct {
	r            *realm
	in           *writable
	out          *readable
	sink         transformOut
	backpressure bool
	changed      []func() // wait for the next change of backpressure
	pullDone     func(thrown goja.Value)
	decoder      *textDecoder // of a TextDecoderStream
	step         algorithm
	flush        algorithm
	cancel       algorithm
	ctrlObj      *goja.Object
	// ending says that flush or cancel has begun: they run once.
	ending bool
	ended  []func(thrown goja.Value)
	over   bool
	result goja.Value
}

// transformOut is the readable side as a transform sees it: a plain or a byte controller.
type transformOut interface {
	put(v goja.Value)
	open() bool
	wantsPull() bool
	conclude()
	fail(err goja.Value)
	desired() (room float64, known bool)
}

func (c *defaultController) put(v goja.Value) { c.enqueue(v) }

// conclude closes the stream on behalf of native code.
func (c *defaultController) conclude() { c.close() }

// conclude closes the stream on behalf of native code, which answers the BYOB reads that wait as well.
func (c *byteController) conclude() {
	c.close()
	if c.s.state == streamClosed {
		c.endPulls()
	}
}

// put takes a chunk of bytes, which is copied.
func (c *byteController) put(v goja.Value) {
	data, ok := c.s.r.bytesOf(v)
	if !ok {
		panic(c.s.r.typeError("This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer/ArrayBufferView type on its writable side."))
	}
	if len(data) > 0 {
		c.enqueue(append([]byte(nil), data...))
	}
}

// newTransform makes the two sides around t. The algorithms of t are set by the caller, before or after.
func (r *realm) newTransform(t *transformer, in, out strategy, bytes bool) {
	t.r = r
	t.in = r.newWritable(in, t.sinkWrite, t.sinkClose, t.sinkAbort)
	if bytes {
		s, c := r.newByteStream(out.mark, t.sourcePull, t.sourceCancel)
		t.out, t.sink = s, c
	} else {
		s, c := r.newDefaultStream(out, t.sourcePull, t.sourceCancel)
		t.out, t.sink = s, c
	}
	t.backpressure = true
}

func (t *transformer) setBackpressure(on bool) {
	if t.backpressure == on {
		return
	}
	t.backpressure = on
	if done := t.pullDone; on && done != nil {
		t.pullDone = nil
		done(nil)
	}
	changed := t.changed
	t.changed = nil
	for _, fn := range changed {
		t.r.soon(fn) // whoever reads has the promise of its read before anything of this is seen
	}
}

func (t *transformer) enqueue(v goja.Value) {
	if !t.sink.open() {
		panic(t.r.typeError("Unable to enqueue: the readable side is closed or errored."))
	}
	if ex := t.r.rt.Try(func() { t.sink.put(v) }); ex != nil {
		t.failWritable(ex.Value())
		if t.out.state == streamErrored {
			panic(t.out.storedError)
		}
		panic(ex.Value())
	}
	if pressure := !t.sink.wantsPull(); pressure != t.backpressure {
		t.setBackpressure(pressure)
	}
}

func (t *transformer) fail(err goja.Value) {
	t.sink.fail(err)
	t.failWritable(err)
}

func (t *transformer) failWritable(err goja.Value) {
	t.clear()
	t.in.failIfOpen(err)
	t.setBackpressure(false)
}

func (t *transformer) clear() { t.step, t.flush, t.cancel = nil, nil, nil }

func (t *transformer) terminate() {
	t.sink.conclude()
	t.failWritable(t.r.typeError("The TransformStream has been terminated."))
}

func (t *transformer) sinkWrite(chunk goja.Value, done func(goja.Value)) {
	if t.backpressure {
		t.changed = append(t.changed, func() {
			if t.in.state == writeErroring || t.in.state == writeErrored {
				done(t.in.storedError)
				return
			}
			t.perform(chunk, done)
		})
		return
	}
	t.perform(chunk, done)
}

func (t *transformer) perform(chunk goja.Value, done func(goja.Value)) {
	if t.step == nil {
		if ex := t.r.rt.Try(func() { t.enqueue(chunk) }); ex != nil {
			done(ex.Value())
			return
		}
		done(nil)
		return
	}
	t.step(chunk, func(thrown goja.Value) {
		if thrown != nil {
			t.fail(thrown)
		}
		done(thrown)
	})
}

// finishOnce runs last, which flush or cancel is, and then after with what it threw. It is run for the first end of the
// transform; later ends wait for that one.
func (t *transformer) finishOnce(last algorithm, arg goja.Value, after func(thrown goja.Value) goja.Value, done func(goja.Value)) {
	t.ended = append(t.ended, done)
	if t.over {
		t.tellEnded()
		return
	}
	if t.ending {
		return
	}
	t.ending = true
	t.clear()
	conclude := func(thrown goja.Value) {
		t.result, t.over = after(thrown), true
		t.tellEnded()
	}
	if last == nil {
		t.r.upon(goja.Undefined(), func(goja.Value) { conclude(nil) }, conclude)
		return
	}
	last(arg, conclude)
}

func (t *transformer) tellEnded() {
	ended := t.ended
	t.ended = nil
	for _, done := range ended {
		done(t.result)
	}
}

func (t *transformer) sinkClose(_ goja.Value, done func(goja.Value)) {
	t.finishOnce(t.flush, nil, func(thrown goja.Value) goja.Value {
		switch {
		case thrown != nil:
			t.sink.fail(thrown)
		case t.out.state == streamErrored:
			return t.out.storedError
		default:
			t.sink.conclude()
		}
		return thrown
	}, done)
}

func (t *transformer) sinkAbort(reason goja.Value, done func(goja.Value)) {
	t.finishOnce(t.cancel, reason, func(thrown goja.Value) goja.Value {
		switch {
		case thrown != nil:
			t.sink.fail(thrown)
		case t.out.state == streamErrored:
			return t.out.storedError
		default:
			t.sink.fail(reason)
		}
		return thrown
	}, done)
}

// sourcePull lets writes through; it ends when there is enough again.
func (t *transformer) sourcePull(_ goja.Value, done func(goja.Value)) {
	t.pullDone = done
	t.setBackpressure(false)
}

func (t *transformer) sourceCancel(reason goja.Value, done func(goja.Value)) {
	t.finishOnce(t.cancel, reason, func(thrown goja.Value) goja.Value {
		switch {
		case thrown != nil:
			t.in.failIfOpen(thrown)
		case t.in.state == writeErrored:
			t.setBackpressure(false)
			return t.in.storedError
		default:
			t.in.failIfOpen(reason)
		}
		t.setBackpressure(false)
		return thrown
	}, done)
}

func (t *transformer) controller() *goja.Object {
	if t.ctrlObj == nil {
		t.ctrlObj = t.r.instance("TransformStreamDefaultController", &transformController{t})
	}
	return t.ctrlObj
}

// transformController is the state of a TransformStreamDefaultController.
type transformController struct{ t *transformer }

// constructTransform is the constructor's work.
func (r *realm) constructTransform(t *transformer, transformer, in, out goja.Value) {
	r.object(transformer, "the transformer")
	for _, name := range []string{"readableType", "writableType"} {
		if optional(transformer, name) != nil {
			panic(r.newError("RangeError", "Invalid "+name))
		}
	}
	r.newTransform(t, r.strategyOf(in, 1), r.strategyOf(out, 0), false)
	t.step = r.algorithmOf(transformer, "transform", func(chunk goja.Value) []goja.Value { return []goja.Value{chunk, t.controller()} })
	t.flush = r.algorithmOf(transformer, "flush", func(goja.Value) []goja.Value { return []goja.Value{t.controller()} })
	t.cancel = r.algorithmOf(transformer, "cancel", func(reason goja.Value) []goja.Value { return []goja.Value{reason} })
	if optional(transformer, "start") == nil {
		t.begin()
		return
	}
	t.in.started = false
	t.sink.(*defaultController).started = false
	r.startSource(transformer, t.controller(), func() {
		t.in.started = true
		t.sink.(*defaultController).started = true
		t.begin()
		t.in.advance()
	}, func(err goja.Value) {
		t.in.started = true
		t.sink.(*defaultController).started = true
		t.in.dealWithRejection(err)
		t.sink.fail(err)
	})
}

// begin lets the readable side ask for what its strategy has room for.
func (t *transformer) begin() {
	if c, ok := t.sink.(*defaultController); ok {
		c.pullIfNeeded()
	}
}

// nativeTransform makes the constructor's body of a transform with native steps, such as TextEncoderStream.
func nativeTransform(bytes bool, prepare func(r *realm, t *transformer, call goja.ConstructorCall)) func(*realm, goja.ConstructorCall) *goja.Object {
	return func(r *realm, call goja.ConstructorCall) *goja.Object {
		t := &transformer{}
		r.newTransform(t, strategy{mark: 1}, strategy{}, bytes)
		prepare(r, t, call)
		r.attach(call.This, t)
		return nil
	}
}

// stepOf makes an algorithm of a native step that may throw.
func (r *realm) stepOf(step func(arg goja.Value)) algorithm {
	return func(arg goja.Value, done func(goja.Value)) {
		if ex := r.rt.Try(func() { step(arg) }); ex != nil {
			done(ex.Value())
			return
		}
		done(nil)
	}
}

func init() {
	sides := []member{
		{name: "readable", get: getter(func(r *realm, t *transformer) goja.Value { return r.readableValue(t.out) })},
		{name: "writable", get: getter(func(r *realm, t *transformer) goja.Value { return r.writableValue(t.in) })},
	}
	(&webClass{
		name: "TransformStream",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			t := &transformer{}
			r.constructTransform(t, call.Argument(0), call.Argument(1), call.Argument(2))
			r.attach(call.This, t)
			return nil
		},
		members: sides,
	}).declare()
	(&webClass{
		name: "TransformStreamDefaultController",
		members: []member{
			{name: "desiredSize", get: getter(func(r *realm, c *transformController) goja.Value {
				room, known := c.t.sink.desired()
				return roomValue(r, room, known)
			})},
			{name: "enqueue", call: method(func(_ *realm, c *transformController, call goja.FunctionCall) goja.Value {
				c.t.enqueue(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "error", call: method(func(_ *realm, c *transformController, call goja.FunctionCall) goja.Value {
				c.t.fail(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "terminate", call: method(func(_ *realm, c *transformController, _ goja.FunctionCall) goja.Value {
				c.t.terminate()
				return goja.Undefined()
			})},
		},
	}).declare()
	(&webClass{
		name:      "IdentityTransformStream",
		construct: nativeTransform(true, func(*realm, *transformer, goja.ConstructorCall) {}),
		members:   sides,
	}).declare()
	(&webClass{
		name: "FixedLengthStream", length: 1,
		construct: nativeTransform(true, func(r *realm, t *transformer, call goja.ConstructorCall) {
			size := call.Argument(0).ToInteger()
			if size < 0 {
				panic(r.typeError("FixedLengthStream needs a length of at least 0"))
			}
			var sent int64
			t.out.length = size
			t.step = r.stepOf(func(chunk goja.Value) {
				data, _ := r.bytesOrShared(chunk)
				if sent += int64(len(data)); sent > size {
					panic(r.typeError("Attempt to write too many bytes through a FixedLengthStream."))
				}
				t.enqueue(chunk)
			})
			t.flush = r.stepOf(func(goja.Value) {
				if sent != size {
					panic(r.typeError(fmt.Sprintf("FixedLengthStream did not see all expected bytes before close(): %d of %d.", sent, size)))
				}
			})
		}),
		members: sides,
	}).declare()
	(&webClass{
		name: "TextEncoderStream",
		construct: nativeTransform(false, func(r *realm, t *transformer, _ goja.ConstructorCall) {
			var high uint16 // a high surrogate that ended the last chunk
			t.step = r.stepOf(func(chunk goja.Value) {
				var data []byte
				if data, high = encodeChunk(r, chunk, high); len(data) > 0 {
					t.enqueue(r.uint8Array(data))
				}
			})
			t.flush = r.stepOf(func(goja.Value) {
				if high != 0 {
					t.enqueue(r.uint8Array([]byte("\ufffd")))
				}
			})
		}),
		members: append([]member{
			{name: "encoding", get: getter(func(r *realm, _ *transformer) goja.Value { return r.rt.ToValue("utf-8") })},
		}, sides...),
	}).declare()
	(&webClass{
		name: "TextDecoderStream",
		construct: nativeTransform(false, func(r *realm, t *transformer, call goja.ConstructorCall) {
			d := r.makeDecoder(call.Argument(0), call.Argument(1))
			t.decoder = d
			t.step = r.stepOf(func(chunk goja.Value) {
				data, ok := r.bytesOrShared(chunk)
				if !ok {
					panic(r.typeError("TextDecoderStream needs chunks of bytes"))
				}
				if text := d.decode(r, data, true); text != "" {
					t.enqueue(r.rt.ToValue(text))
				}
			})
			t.flush = r.stepOf(func(goja.Value) {
				if text := d.decode(r, nil, false); text != "" {
					t.enqueue(r.rt.ToValue(text))
				}
			})
		}),
		members: append([]member{
			decoderMember("encoding", func(d *textDecoder) any { return d.label }),
			decoderMember("fatal", func(d *textDecoder) any { return d.fatal }),
			decoderMember("ignoreBOM", func(d *textDecoder) any { return d.ignoreBOM }),
		}, sides...),
	}).declare()
}

// decoderMember is an attribute of a TextDecoderStream, which other streams that transform do not have.
func decoderMember(name string, get func(d *textDecoder) any) member {
	return member{name: name, get: getter(func(r *realm, t *transformer) goja.Value {
		if t.decoder == nil {
			panic(r.typeError("Illegal invocation"))
		}
		return r.rt.ToValue(get(t.decoder))
	})}
}
