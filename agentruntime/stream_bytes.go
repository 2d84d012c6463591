package agentruntime

import (
	"math"

	"github.com/dop251/goja"
)

// byteController is the controller of a byte stream (https://streams.spec.whatwg.org/#rbs-controller-class). Its queue
// holds plain bytes: what code enqueues is taken out of its buffer, which is detached, as the standard's transfer does.
type byteController struct {
	s              *readable
	queue          [][]byte
	total          int
	mark           float64
	started        bool
	closeRequested bool
	pulling        bool
	pullAgain      bool
	pull, stop     algorithm
	asking         repeater
	autoAllocate   int
	pulls          []*pullInto
	request        *byobRequest
	obj            *goja.Object
}

// pullInto is a buffer that waits to be filled: the view of a BYOB read, or one allocated for a default read.
type pullInto struct {
	buf      []byte // the whole buffer
	offset   int
	length   int
	filled   int
	minimum  int
	element  int
	ctor     goja.Value // makes the result's view; nil for a Uint8Array
	dataView bool
	// into is the waiting BYOB read; nil for a default read that was given a buffer, or a reader that let go.
	into     *intoRequest
	detached bool // its reader let go: bytes go to the queue
	auto     bool // made for a default read
}

// intoRequest is one pending BYOB read. Exactly one of its functions is called, once.
type intoRequest struct {
	chunk func(view goja.Value)
	close func(view goja.Value)
	fail  func(err goja.Value)
}

// byobRequest is the state of a ReadableStreamBYOBRequest.
type byobRequest struct {
	c    *byteController
	view goja.Value
	obj  *goja.Object
}

func (c *byteController) value() *goja.Object {
	if c.obj == nil {
		c.obj = c.s.r.instance("ReadableByteStreamController", c)
	}
	return c.obj
}

// newByteStream makes a byte stream around native algorithms, started.
func (r *realm) newByteStream(mark float64, pull, stop algorithm) (*readable, *byteController) {
	s := newReadable(r)
	c := &byteController{s: s, mark: mark, pull: pull, stop: stop, started: true}
	s.ctrl = c
	return s, c
}

// constructBytes is the constructor's work for a source of type bytes.
func (r *realm) constructBytes(s *readable, source, strategyArg goja.Value) {
	st := r.strategyOf(strategyArg, 0)
	if st.size != nil {
		panic(r.newError("RangeError", "The strategy of a byte stream can't have a size function"))
	}
	c := &byteController{s: s, mark: st.mark}
	if v := optional(source, "autoAllocateChunkSize"); v != nil {
		n := v.ToFloat()
		if math.IsNaN(n) || n < 1 || n > bodyLimit {
			panic(r.typeError("Invalid autoAllocateChunkSize"))
		}
		c.autoAllocate = int(n)
	}
	s.ctrl = c
	onlyController := func(goja.Value) []goja.Value { return []goja.Value{c.value()} }
	c.pull = r.algorithmOf(source, "pull", onlyController)
	c.stop = r.algorithmOf(source, "cancel", func(reason goja.Value) []goja.Value { return []goja.Value{reason} })
	r.startSource(source, c.value(), func() {
		c.started = true
		c.pullIfNeeded()
	}, c.fail)
}

func (c *byteController) open() bool { return !c.closeRequested && c.s.state == streamReadable }

func (c *byteController) desired() (room float64, known bool) {
	switch c.s.state {
	case streamErrored:
		return 0, false
	case streamClosed:
		return 0, true
	}
	return c.mark - float64(c.total), true
}

func (c *byteController) wantsPull() bool {
	if !c.open() || !c.started {
		return false
	}
	if c.s.waiting() > 0 || c.s.reader != nil && c.s.reader.byob && c.waitingInto() {
		return true
	}
	room, _ := c.desired()
	return room > 0
}

func (c *byteController) waitingInto() bool {
	for _, p := range c.pulls {
		if p.into != nil {
			return true
		}
	}
	return false
}

func (c *byteController) pullIfNeeded() { c.asking.run(c.pullOnce) }

func (c *byteController) pullOnce() {
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

// enqueue takes data over: the caller must not touch it again.
func (c *byteController) enqueue(data []byte) {
	if !c.open() {
		return
	}
	c.invalidate()
	switch {
	case c.s.waiting() > 0 && len(c.queue) == 0:
		if len(c.pulls) > 0 && c.pulls[0].auto {
			c.pulls = c.pulls[1:]
		}
		c.s.fulfil(c.s.r.uint8Array(data))
	default:
		c.push(data)
		c.serve()
	}
	c.pullIfNeeded()
}

func (c *byteController) push(data []byte) {
	if len(data) == 0 {
		return
	}
	c.queue = append(c.queue, data)
	c.total += len(data)
}

// serve gives what is queued to those who wait.
func (c *byteController) serve() {
	for c.s.waiting() > 0 && c.total > 0 {
		if len(c.pulls) > 0 && c.pulls[0].auto {
			c.pulls = c.pulls[1:]
		}
		c.s.fulfil(c.s.r.uint8Array(c.take()))
	}
	if len(c.pulls) > 0 && c.pulls[0].detached && c.pulls[0].filled == 0 && c.total > 0 {
		c.pulls = c.pulls[1:]
	}
	var ready []*pullInto
	for len(c.pulls) > 0 && c.total > 0 && c.pulls[0].into != nil {
		if !c.fill(c.pulls[0]) {
			break
		}
		ready = append(ready, c.pulls[0])
		c.pulls = c.pulls[1:]
	}
	for _, p := range ready {
		c.commit(p)
	}
}

// take removes the first run of bytes of the queue.
func (c *byteController) take() []byte {
	data := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.total -= len(data)
	return data
}

// fill moves bytes of the queue into p and reports whether p has enough to be handed over.
func (c *byteController) fill(p *pullInto) bool {
	room := min(c.total, p.length-p.filled)
	ready := false
	if aligned := (p.filled + room) - (p.filled+room)%p.element; aligned >= p.minimum {
		room, ready = aligned-p.filled, true
	}
	for room > 0 {
		head := c.queue[0]
		n := copy(p.buf[p.offset+p.filled:p.offset+p.filled+room], head)
		if n == len(head) {
			c.queue[0] = nil
			c.queue = c.queue[1:]
		} else {
			c.queue[0] = head[n:]
		}
		c.total -= n
		p.filled += n
		room -= n
	}
	return ready
}

// view makes the result of a read into p.
func (c *byteController) view(p *pullInto) goja.Value {
	r := c.s.r
	if p.ctor == nil {
		return r.uint8Array(p.buf[p.offset : p.offset+p.filled])
	}
	construct, ok := goja.AssertConstructor(p.ctor)
	if !ok {
		return r.uint8Array(p.buf[p.offset : p.offset+p.filled])
	}
	v, err := construct(nil, r.arrayBuffer(p.buf), r.rt.ToValue(p.offset), r.rt.ToValue(p.filled/p.element))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	return v
}

// commit hands p over to its read.
func (c *byteController) commit(p *pullInto) {
	if p.into == nil {
		if c.s.waiting() > 0 {
			c.s.fulfil(c.view(p))
		}
		return
	}
	if c.s.state == streamClosed {
		p.into.close(c.view(p))
		return
	}
	p.into.chunk(c.view(p))
}

func (c *byteController) close() {
	if !c.open() {
		return
	}
	if c.total > 0 {
		c.closeRequested = true
		return
	}
	if len(c.pulls) > 0 && c.pulls[0].filled%c.pulls[0].element != 0 {
		err := c.s.r.typeError("Insufficient bytes to fill elements in the given buffer")
		c.fail(err)
		panic(err)
	}
	c.closeRequested = true
	c.clear()
	c.s.finish()
	if c.s.reader == nil || !c.s.reader.byob {
		c.pulls = nil
	}
}

func (c *byteController) fail(err goja.Value) {
	if c.s.state != streamReadable {
		return
	}
	c.invalidate()
	c.queue, c.total = nil, 0
	c.clear()
	c.s.abort(err)
	c.pulls = nil
}

// failPulls fails the BYOB reads that wait.
func (c *byteController) failPulls(err goja.Value) {
	pulls := c.pulls
	c.pulls = nil
	for _, p := range pulls {
		if p.into != nil {
			p.into.fail(err)
		}
	}
}

// closePulls ends the BYOB reads that wait, when the stream is cancelled.
func (c *byteController) closePulls() {
	pulls := c.pulls
	c.pulls = nil
	for _, p := range pulls {
		if p.into != nil {
			p.into.close(goja.Undefined())
		}
	}
}

// endPulls answers the BYOB reads that wait when the stream has been closed: with what they have.
func (c *byteController) endPulls() {
	pulls := c.pulls
	c.pulls = nil
	for _, p := range pulls {
		if p.into != nil {
			c.commit(p)
		}
	}
}

func (c *byteController) clear() { c.pull, c.stop = nil, nil }

// invalidate takes the current byobRequest away from code.
func (c *byteController) invalidate() {
	if c.request != nil {
		c.request.c, c.request.view = nil, goja.Null()
		c.request = nil
	}
}

func (c *byteController) pullSteps(req *readRequest) {
	if c.total > 0 {
		data := c.take()
		c.drained()
		req.chunk(c.s.r.uint8Array(data))
		return
	}
	if c.autoAllocate > 0 {
		c.pulls = append(c.pulls, &pullInto{
			buf: make([]byte, c.autoAllocate), length: c.autoAllocate, minimum: 1, element: 1, auto: true,
		})
	}
	c.s.reader.requests = append(c.s.reader.requests, req)
	c.pullIfNeeded()
}

// drained closes the stream when that was asked for and the queue is empty, and asks for more otherwise.
func (c *byteController) drained() {
	if c.total == 0 && c.closeRequested {
		c.clear()
		c.s.finish()
		return
	}
	c.pullIfNeeded()
}

func (c *byteController) cancelSteps(reason goja.Value, done func(goja.Value)) {
	c.invalidate()
	c.pulls, c.queue, c.total = nil, nil, 0
	stop := c.stop
	c.clear()
	if stop == nil {
		done(nil)
		return
	}
	stop(reason, done)
}

func (c *byteController) releaseSteps() {
	pulls := c.pulls
	if len(pulls) == 0 {
		return
	}
	c.pulls = pulls[:1]
	c.pulls[0].detached, c.pulls[0].auto = true, false
	err := c.s.r.typeError("This ReadableStream reader has been released.")
	for _, p := range pulls {
		if into := p.into; into != nil {
			p.into = nil
			into.fail(err)
		}
	}
}

// readInto is a BYOB read: p.buf was taken from the view that code gave.
func (c *byteController) readInto(p *pullInto) {
	s := c.s
	s.disturbed = true
	if s.state == streamErrored {
		p.into.fail(s.storedError)
		return
	}
	if len(c.pulls) > 0 {
		c.pulls = append(c.pulls, p)
		return
	}
	if s.state == streamClosed {
		p.into.close(c.view(p))
		return
	}
	if c.total > 0 {
		if c.fill(p) {
			c.drained()
			p.into.chunk(c.view(p))
			return
		}
		if c.closeRequested {
			err := s.r.typeError("Insufficient bytes to fill elements in the given buffer")
			c.fail(err)
			p.into.fail(err)
			return
		}
	}
	c.pulls = append(c.pulls, p)
	c.pullIfNeeded()
}

// respond takes n bytes that code has written into the current request's buffer.
func (c *byteController) respond(n int) {
	r := c.s.r
	p := c.pulls[0]
	if c.s.state == streamClosed {
		if n != 0 {
			panic(r.typeError("The stream is closed: 0 bytes are all that can be responded"))
		}
		c.invalidate()
		c.endPulls()
		return
	}
	if n == 0 {
		panic(r.typeError("0 bytes can't be responded while the stream is open"))
	}
	if p.filled+n > p.length {
		panic(r.newError("RangeError", "More bytes than the buffer holds"))
	}
	c.invalidate()
	p.filled += n
	switch {
	case p.detached:
		c.pulls = c.pulls[1:]
		c.push(append([]byte(nil), p.buf[p.offset:p.offset+p.filled]...))
		c.serve()
	case p.filled < p.minimum:
	default:
		c.pulls = c.pulls[1:]
		if rest := p.filled % p.element; rest > 0 {
			end := p.offset + p.filled
			p.filled -= rest
			c.push(append([]byte(nil), p.buf[end-rest:end]...))
		}
		c.commit(p)
		c.serve()
	}
	c.pullIfNeeded()
}
