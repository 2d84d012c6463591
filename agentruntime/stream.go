package agentruntime

import (
	"math"

	"github.com/dop251/goja"
)

// streamState is where a ReadableStream is in its life (https://streams.spec.whatwg.org/#rs-model).
type streamState uint8

const (
	streamReadable streamState = iota
	streamClosed
	streamErrored
)

// readable is the state of a ReadableStream. The algorithms are those of the Streams Standard; where that has a
// promise that nobody can see, there is a Go function here.
type readable struct {
	r           *realm
	state       streamState
	storedError goja.Value
	disturbed   bool
	reader      *streamReader
	ctrl        streamController
	obj         *goja.Object
	// length is the number of bytes that will come, -1 when it isn't known.
	length int64
	// source is where the bytes of a stream made by Go come from. It can be taken back while nothing was read.
	source *goSource
}

// streamController is the part of a stream that differs between plain and byte streams.
type streamController interface {
	// pullSteps answers req from the queue or has it wait.
	pullSteps(req *readRequest)
	// cancelSteps drops the queue and tells the source; done gets what the source threw, nil for nothing.
	cancelSteps(reason goja.Value, done func(thrown goja.Value))
	// releaseSteps is called when the reader lets go.
	releaseSteps()
	fail(err goja.Value)
	value() *goja.Object
}

// readRequest is one pending read. Exactly one of its functions is called, once.
type readRequest struct {
	chunk func(v goja.Value)
	close func()
	fail  func(err goja.Value)
}

// streamReader is the state of a reader of either kind; s is nil once it has let go.
type streamReader struct {
	s        *readable
	byob     bool
	requests []*readRequest
	closed   lazyPromise
}

func newReadable(r *realm) *readable { return &readable{r: r, length: -1} }

// readableValue returns the one ReadableStream object of s.
func (r *realm) readableValue(s *readable) *goja.Object {
	if s.obj == nil {
		s.obj = r.instance("ReadableStream", s)
	}
	return s.obj
}

// acquire locks the stream to a new reader.
func (s *readable) acquire(byob bool) *streamReader {
	if s.reader != nil {
		panic(s.r.typeError("This ReadableStream is currently locked to a reader."))
	}
	rd := &streamReader{s: s, byob: byob, closed: lazyPromise{r: s.r}}
	s.reader = rd
	switch s.state {
	case streamClosed:
		rd.closed.fulfil(goja.Undefined())
	case streamErrored:
		rd.closed.reject(s.storedError)
	}
	return rd
}

// read asks for one chunk.
func (rd *streamReader) read(req *readRequest) {
	s := rd.s
	if s == nil {
		req.fail(rd.closed.r.typeError("This ReadableStream reader has been released."))
		return
	}
	s.disturbed = true
	switch s.state {
	case streamClosed:
		req.close()
	case streamErrored:
		req.fail(s.storedError)
	default:
		s.ctrl.pullSteps(req)
	}
}

// release lets go of the stream; reads that wait fail.
func (rd *streamReader) release() {
	s := rd.s
	if s == nil {
		return
	}
	err := s.r.typeError("This ReadableStream reader has been released.")
	if s.state == streamReadable {
		rd.closed.reject(err)
	} else {
		rd.closed = lazyPromise{r: s.r}
		rd.closed.reject(err)
	}
	s.ctrl.releaseSteps()
	s.reader, rd.s = nil, nil
	requests := rd.requests
	rd.requests = nil
	for _, req := range requests {
		req.fail(err)
	}
}

// waiting reports how many reads of the default kind wait.
func (s *readable) waiting() int {
	if s.reader == nil || s.reader.byob {
		return 0
	}
	return len(s.reader.requests)
}

// fulfil hands chunk to the first read that waits.
func (s *readable) fulfil(chunk goja.Value) {
	req := s.reader.requests[0]
	s.reader.requests[0] = nil
	s.reader.requests = s.reader.requests[1:]
	req.chunk(chunk)
}

// finish closes the stream.
func (s *readable) finish() {
	if s.state != streamReadable {
		return
	}
	s.state = streamClosed
	rd := s.reader
	if rd == nil {
		return
	}
	rd.closed.fulfil(goja.Undefined())
	if !rd.byob {
		requests := rd.requests
		rd.requests = nil
		for _, req := range requests {
			req.close()
		}
	}
}

// abort puts the stream into its error state.
func (s *readable) abort(err goja.Value) {
	if s.state != streamReadable {
		return
	}
	s.state, s.storedError = streamErrored, err
	rd := s.reader
	if rd == nil {
		return
	}
	rd.closed.reject(err)
	requests := rd.requests
	rd.requests = nil
	for _, req := range requests {
		req.fail(err)
	}
	if b, ok := s.ctrl.(*byteController); ok {
		b.failPulls(err)
	}
}

// cancel ends the stream from the reading side; done gets what the source threw, nil for nothing.
func (s *readable) cancel(reason goja.Value, done func(thrown goja.Value)) {
	s.disturbed = true
	switch s.state {
	case streamClosed:
		done(nil)
		return
	case streamErrored:
		done(s.storedError)
		return
	}
	s.finish()
	if b, ok := s.ctrl.(*byteController); ok && s.reader != nil && s.reader.byob {
		b.closePulls()
	}
	s.ctrl.cancelSteps(reason, done)
}

// cancelPromise is cancel for code: a promise.
func (s *readable) cancelPromise(reason goja.Value) goja.Value {
	return s.r.promiseOf(func(done func(goja.Value)) { s.cancel(reason, done) })
}

// promiseOf makes a promise of an operation that ends with what it threw, nil for nothing.
func (r *realm) promiseOf(op func(done func(thrown goja.Value))) goja.Value {
	p, resolve, reject := r.newPromise()
	op(func(thrown goja.Value) {
		if thrown != nil {
			reject(thrown)
			return
		}
		resolve(goja.Undefined())
	})
	return p
}

// lazyPromise is a promise that is made only when code looks at it. It counts as handled.
type lazyPromise struct {
	r       *realm
	state   goja.PromiseState
	result  goja.Value
	promise goja.Value
	resolve func(goja.Value)
	refuse  func(goja.Value)
	// watchers are called when it settles.
	watchers []func()
}

// watch calls fn when the promise settles, at once if it has.
func (l *lazyPromise) watch(fn func()) {
	if l.state != goja.PromiseStatePending {
		fn()
		return
	}
	l.watchers = append(l.watchers, fn)
}

func (l *lazyPromise) tell() {
	watchers := l.watchers
	l.watchers = nil
	for _, fn := range watchers {
		fn()
	}
}

func (l *lazyPromise) fulfil(v goja.Value) {
	if l.state != goja.PromiseStatePending {
		return
	}
	l.state, l.result = goja.PromiseStateFulfilled, v
	if l.promise != nil {
		l.resolve(v)
	}
	l.tell()
}

func (l *lazyPromise) reject(err goja.Value) {
	if l.state != goja.PromiseStatePending {
		return
	}
	l.state, l.result = goja.PromiseStateRejected, err
	if l.promise != nil {
		l.refuse(err)
	}
	l.tell()
}

func (l *lazyPromise) value() goja.Value {
	if l.promise == nil {
		l.promise, l.resolve, l.refuse = l.r.newPromise()
		l.r.upon(l.promise, nil, nil)
		switch l.state {
		case goja.PromiseStateFulfilled:
			l.resolve(l.result)
		case goja.PromiseStateRejected:
			l.refuse(l.result)
		}
	}
	return l.promise
}

// strategy is a queuing strategy: the high-water mark and the size function, nil when every chunk counts as 1.
type strategy struct {
	mark float64
	size *callback
}

// strategyOf reads a queuing strategy.
func (r *realm) strategyOf(v goja.Value, mark float64) strategy {
	r.dictionary(v, "the queuing strategy")
	st := strategy{mark: mark}
	if m := optional(v, "highWaterMark"); m != nil {
		st.mark = m.ToFloat()
	}
	if f := optional(v, "size"); f != nil {
		st.size = r.callable(f, nil, "The size of a queuing strategy")
	}
	if math.IsNaN(st.mark) || st.mark < 0 {
		panic(r.newError("RangeError", "Invalid highWaterMark"))
	}
	return st
}

// measure returns the size of chunk, or what the size function threw; without a function every chunk counts as 1.
func measure(r *realm, size *callback, chunk goja.Value) (n float64, thrown goja.Value) {
	if size == nil {
		return 1, nil
	}
	v, thrown := size.invoke(chunk)
	if thrown != nil {
		return 0, thrown
	}
	n = v.ToFloat()
	if math.IsNaN(n) || n < 0 || math.IsInf(n, 1) {
		return 0, r.newError("RangeError", "The size of a chunk must be a finite, non-negative number")
	}
	return n, nil
}

// algorithm is a step of an underlying source or sink. It calls done once, with what was thrown, nil for nothing.
type algorithm func(arg goja.Value, done func(thrown goja.Value))

// algorithmOf makes an algorithm of a method of an underlying source, sink or transformer; nil when there is none. args
// makes the method's arguments of the algorithm's own. A method that returns no object has ended when it
// returns: where code can tell that the standard waits one more microtask, the caller waits (delayed).
func (r *realm) algorithmOf(obj goja.Value, name string, args func(arg goja.Value) []goja.Value) algorithm {
	f := optional(obj, name)
	if f == nil {
		return nil
	}
	cb := r.callable(f, obj, "The "+name+" member")
	return func(arg goja.Value, done func(goja.Value)) {
		v, thrown := cb.invoke(args(arg)...)
		if thrown != nil {
			v = r.rejected(thrown)
		}
		if _, ok := v.(*goja.Object); !ok {
			done(nil)
			return
		}
		r.upon(v, func(goja.Value) { done(nil) }, done)
	}
}

// delayed makes an algorithm end one microtask after it has returned at the earliest.
func (r *realm) delayed(run algorithm) algorithm {
	if run == nil {
		return nil
	}
	return func(arg goja.Value, done func(goja.Value)) {
		returned := false
		run(arg, func(thrown goja.Value) {
			if returned {
				done(thrown)
				return
			}
			r.soon(func() { done(thrown) })
		})
		returned = true
	}
}

// repeater runs a step again when it was asked for while it ran: native ends call back at once, and what would be
// recursion, one level for each chunk, becomes a loop.
type repeater struct{ busy, again bool }

func (p *repeater) run(step func()) {
	if p.busy {
		p.again = true
		return
	}
	p.busy = true
	defer func() { p.busy = false }()
	for p.again = true; p.again; {
		p.again = false
		step()
	}
}

// queued is one chunk in a queue with sizes.
type queued struct {
	value goja.Value
	size  float64
}

// chunkQueue is a queue with a total size (https://streams.spec.whatwg.org/#queue-with-sizes).
type chunkQueue struct {
	items []queued
	total float64
}

func (q *chunkQueue) push(v goja.Value, size float64) {
	q.items = append(q.items, queued{v, size})
	q.total += size
}

func (q *chunkQueue) pop() goja.Value {
	it := q.items[0]
	q.items[0] = queued{}
	q.items = q.items[1:]
	if q.total -= it.size; q.total < 0 {
		q.total = 0 // rounding
	}
	return it.value
}

func (q *chunkQueue) reset() { q.items, q.total = nil, 0 }
