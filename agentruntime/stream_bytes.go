package agentruntime

import (
	"bytes"
	"math"

	"github.com/dop251/goja"
)

// byteController is the controller of a byte stream (https://streams.spec.whatwg.org/#rbs-controller-class). Its queue
// holds plain bytes: what code enqueues is taken out of its buffer, which is detached, as the standard's transfer does.
type byteController struct {
	sourceController
	queue        [][]byte
	total        int
	autoAllocate int
	pulls        []*pullInto
	request      *byobRequest
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
}

// intoRequest is one pending BYOB read. Exactly one of its functions is called, once: with what was read, p's bytes from its
// offset as far as it is filled, or with nil when the stream was cancelled.
type intoRequest struct {
	chunk func(p *pullInto)
	close func(p *pullInto)
	fail  func(err goja.Value)
}

// byobRequest is the state of a ReadableStreamBYOBRequest.
type byobRequest struct {
	c    *byteController
	view goja.Value
	obj  *goja.Object
}

func newByteController(s *readable, mark float64) *byteController {
	c := &byteController{}
	c.s, c.mark, c.kind = s, mark, c
	s.ctrl = c
	return c
}

func (c *byteController) value() *goja.Object { return c.instance("ReadableByteStreamController") }

// newByteStream makes a byte stream around native algorithms, started.
func (r *realm) newByteStream(mark float64, pull, stop algorithm) (*readable, *byteController) {
	s := newReadable(r)
	c := newByteController(s, mark)
	c.pull, c.stop, c.started = pull, stop, true
	return s, c
}

// constructBytes is the constructor's work for a source of type bytes.
func (r *realm) constructBytes(s *readable, source, strategyArg goja.Value) {
	st := r.strategyOf(strategyArg, 0)
	if st.size != nil {
		panic(r.newError("RangeError", "The strategy of a byte stream can't have a size function"))
	}
	c := newByteController(s, st.mark)
	if v := optional(source, "autoAllocateChunkSize"); v != nil {
		n := v.ToFloat()
		if math.IsNaN(n) || n < 1 || n > bodyLimit {
			panic(r.typeError("Invalid autoAllocateChunkSize"))
		}
		c.autoAllocate = int(n)
	}
	c.source(source)
}

func (c *byteController) desired() (room float64, known bool) { return c.room(float64(c.total)) }

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

// enqueue takes data over: the caller must not touch it again.
func (c *byteController) enqueue(data []byte) {
	if !c.open() {
		return
	}
	if len(c.pulls) > 0 {
		c.invalidate()
		if p := c.pulls[0]; p.detached {
			c.pulls = c.pulls[1:]
			c.push(bytes.Clone(p.bytes()))
		}
	}
	switch {
	case c.s.reader != nil && !c.s.reader.byob:
		c.serveReads()
		if c.s.waiting() == 0 {
			c.push(data)
			break
		}
		if len(c.pulls) > 0 {
			c.pulls = c.pulls[1:]
		}
		c.s.fulfil(c.s.r.uint8Array(data))
	case c.s.reader != nil:
		c.push(data)
		c.serve()
	default:
		c.push(data)
	}
	c.pullIfNeeded()
}

// bytes is what p was filled with.
func (p *pullInto) bytes() []byte { return p.buf[p.offset : p.offset+p.filled] }

// serveReads answers the default reads that wait out of the queue.
func (c *byteController) serveReads() {
	for c.s.waiting() > 0 && c.total > 0 {
		c.s.fulfil(c.s.r.uint8Array(c.take()))
	}
}

func (c *byteController) push(data []byte) {
	if len(data) == 0 {
		return
	}
	c.queue = append(c.queue, data)
	c.total += len(data)
}

// serve gives what is queued to the reads that wait with a buffer.
func (c *byteController) serve() {
	for _, p := range c.filled() {
		c.commit(p)
	}
}

// filled takes the buffers that the queue fills out of those that wait.
func (c *byteController) filled() (ready []*pullInto) {
	for len(c.pulls) > 0 && c.total > 0 && c.fill(c.pulls[0]) {
		ready = append(ready, c.pulls[0])
		c.pulls = c.pulls[1:]
	}
	return ready
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
func (r *realm) filledView(p *pullInto) goja.Value {
	ctor := p.ctor
	if ctor == nil {
		ctor = r.rt.Get("Uint8Array")
	}
	construct, ok := goja.AssertConstructor(ctor)
	if !ok {
		panic(r.typeError("The class of the view is no constructor any more"))
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
			c.s.fulfil(c.s.r.filledView(p))
		}
		return
	}
	if c.s.state == streamClosed {
		p.into.close(p)
		return
	}
	p.into.chunk(p)
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
			p.into.close(nil)
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

// invalidate takes the current byobRequest away from code, and the buffer that it showed.
func (c *byteController) invalidate() {
	if c.request != nil {
		detachView(c.request.view)
		c.request.c, c.request.view = nil, goja.Null()
		c.request = nil
	}
}

func (c *byteController) pullSteps(req *readRequest) {
	if c.total > 0 {
		data := c.take()
		c.drained(c.total == 0)
		req.chunk(c.s.r.uint8Array(data))
		return
	}
	if c.autoAllocate > 0 {
		c.pulls = append(c.pulls, &pullInto{buf: make([]byte, c.autoAllocate), length: c.autoAllocate, minimum: 1, element: 1})
	}
	c.s.reader.requests = append(c.s.reader.requests, req)
	c.pullIfNeeded()
}

func (c *byteController) cancelSteps(reason goja.Value, done func(goja.Value)) {
	c.invalidate()
	c.pulls, c.queue, c.total = nil, nil, 0
	c.stopSource(reason, done)
}

func (c *byteController) releaseSteps() {
	pulls := c.pulls
	if len(pulls) == 0 {
		return
	}
	c.pulls = pulls[:1]
	c.pulls[0].detached = true
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
		p.into.close(p)
		return
	}
	if c.total > 0 {
		if c.fill(p) {
			c.drained(c.total == 0)
			p.into.chunk(p)
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
		c.push(bytes.Clone(p.bytes()))
		c.serve()
	case p.filled < p.minimum:
	default:
		c.pulls = c.pulls[1:]
		if rest := p.filled % p.element; rest > 0 {
			all := p.bytes()
			p.filled -= rest
			c.push(bytes.Clone(all[len(all)-rest:]))
		}
		ready := c.filled()
		c.commit(p)
		for _, p := range ready {
			c.commit(p)
		}
	}
	c.pullIfNeeded()
}
