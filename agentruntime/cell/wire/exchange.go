package wire

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
)

// Receiver takes what the other side sends within an exchange. Its methods run on the reading goroutine: they must not
// wait, and the payload is theirs until they return. An error ends the connection.
type Receiver interface {
	// Answered is called at most once, in an exchange of this side.
	Answered(payload []byte) error
	Noted(note byte, payload []byte) error
	// Canceled is called at most once, in an exchange of the other side.
	Canceled(reason []byte) error
	// Lost is called at most once, from any goroutine, when the connection ends before the exchange.
	Lost(err error)
}

// Exchange is one request and what belongs to it. Who began it, or took it in Opener.Opened, ends it with End once both
// the answer and the streams that are of interest are through. Its methods are safe for concurrent use.
type Exchange struct {
	conn *Conn
	id   uint64
	mine bool
	to   Receiver

	mu       sync.Mutex
	ended    bool
	lost     error
	answered bool
	canceled bool
	in       *Inbound
	out      *Outbound
}

// Begin begins an exchange with a message made by NewMessage. The receiver's methods may be called before it returns.
// setup, if not nil, is called with the exchange before anything is sent, for streams to be attached.
func (c *Conn) Begin(e *Encoder, to Receiver, setup func(*Exchange)) (*Exchange, error) {
	x := &Exchange{conn: c, mine: true, to: to}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		e.free()
		return nil, c.err
	}
	x.id = c.next
	c.next += 2
	c.exchanges[x.id] = x
	c.mu.Unlock()
	if setup != nil {
		setup(x)
	}
	c.send(kindOpen, x.id, e, false)
	return x, nil
}

// ID is the exchange's number, by which messages of the same connection refer to it.
func (x *Exchange) ID() uint64 { return x.id }

// Conn is the connection.
func (x *Exchange) Conn() *Conn { return x.conn }

// Accept says who takes what comes. Only from Opener.Opened.
func (x *Exchange) Accept(to Receiver) {
	x.mu.Lock()
	x.to = to
	lost := x.lost
	x.mu.Unlock()
	if lost != nil {
		to.Lost(lost)
	}
}

// Answer sends the answer, once.
func (x *Exchange) Answer(e *Encoder) { x.conn.send(kindAnswer, x.id, e, false) }

// Note sends a message in between. With lazily it may wait for company.
func (x *Exchange) Note(e *Encoder, lazily bool) { x.conn.send(kindNote, x.id, e, lazily) }

// Cancel tells the other side that the answer is not wanted any more.
func (x *Exchange) Cancel(reason *Encoder) {
	if reason == nil {
		reason = NewEncoder()
	}
	x.conn.send(kindCancel, x.id, reason, false)
}

// End forgets the exchange: what still comes for it is dropped. What its streams have received stays readable.
func (x *Exchange) End() {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.ended = true
	in, out := x.in, x.out
	x.mu.Unlock()
	x.conn.mu.Lock()
	delete(x.conn.exchanges, x.id)
	x.conn.mu.Unlock()
	if in != nil {
		in.detach(io.ErrUnexpectedEOF)
	}
	if out != nil {
		out.stop(errStopped)
	}
}

// lose ends the exchange with its connection.
func (x *Exchange) lose(err error) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.ended, x.lost = true, err
	in, out, to := x.in, x.out, x.to
	x.mu.Unlock()
	if in != nil {
		in.detach(err)
	}
	if out != nil {
		out.stop(err)
	}
	if to != nil {
		to.Lost(err)
	}
}

// Receive attaches the stream that the other side sends. Before the other side has learnt of it: within Opener.Opened or
// Receiver.Answered, or in the setup of Begin. window is how much may come before the first read.
func (x *Exchange) Receive(window int) *Inbound {
	in := newInbound(x, window)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.in = in
	if x.ended {
		in.err = x.lost
		if in.err == nil {
			in.err = io.ErrUnexpectedEOF
		}
	}
	return in
}

// Send attaches the stream that this side sends. window is how much may leave before the other side asks for it: what it
// passes to Receive.
func (x *Exchange) Send(window int) *Outbound {
	out := newOutbound(x, window)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out = out
	if x.ended {
		out.err = errStopped
	}
	return out
}

// Began reports whether this side has begun an exchange of that number, be it over or not.
func (c *Conn) Began(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return id%2 == c.next%2 && id < c.next
}

// dispatch hands one frame to who it is for.
func (c *Conn) dispatch(h header, payload []byte) error {
	if h.id == 0 {
		if h.kind != kindNote || len(payload) == 0 {
			return Malformed("a frame of kind %d for no exchange", h.kind)
		}
		if payload[0] == noteRelease {
			return c.released(payload[1:])
		}
		return c.opener.Noted(payload[0], payload[1:])
	}
	if h.kind == kindOpen {
		return c.opened(h.id, payload)
	}
	c.mu.Lock()
	x := c.exchanges[h.id]
	known := h.id <= c.seen || h.id%2 == c.next%2 && h.id < c.next
	c.mu.Unlock()
	if x == nil {
		if !known {
			return Malformed("a frame for exchange %d, which is not there", h.id)
		}
		return nil
	}
	return x.take(h.kind, payload)
}

// opened begins an exchange of the other side. Its numbers come nearly in order: who begins two at once may send the second
// first.
func (c *Conn) opened(id uint64, payload []byte) error {
	x := &Exchange{conn: c, id: id}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	if id%2 == c.next%2 || c.exchanges[id] != nil || len(payload) == 0 {
		c.mu.Unlock()
		return Malformed("exchange %d begins", id)
	}
	c.seen = max(c.seen, id)
	c.exchanges[id] = x
	c.mu.Unlock()
	if payload[0] >= opCall {
		return c.serveObject(x, payload[0], payload[1:])
	}
	if err := c.opener.Opened(x, payload[0], payload[1:]); err != nil {
		return err
	}
	if x.to == nil {
		return Malformed("operation %d is not known", payload[0])
	}
	return nil
}

// take takes one frame of the exchange.
func (x *Exchange) take(k kind, payload []byte) error {
	x.mu.Lock()
	in, out, again := x.in, x.out, false
	switch k {
	case kindAnswer:
		again, x.answered = x.answered, true
	case kindCancel:
		again, x.canceled = x.canceled, true
	}
	x.mu.Unlock()
	switch {
	case k == kindAnswer && (again || !x.mine), k == kindCancel && (again || x.mine):
		return Malformed("a second answer or end of exchange %d, or one from the wrong side", x.id)
	case k == kindNote && len(payload) == 0:
		return Malformed("an empty note")
	}
	switch k {
	case kindAnswer:
		return x.to.Answered(payload)
	case kindNote:
		return x.to.Noted(payload[0], payload[1:])
	case kindCancel:
		return x.to.Canceled(payload)
	case kindData, kindEnd:
		if in == nil {
			return Malformed("bytes of a stream that exchange %d does not have", x.id)
		}
		if k == kindData {
			return in.add(payload)
		}
		return in.finish(payload)
	}
	if out == nil {
		return Malformed("a window of a stream that exchange %d does not have", x.id)
	}
	if k == kindStop {
		out.stop(errStopped)
		return nil
	}
	if len(payload) != 4 {
		return Malformed("a window of %d bytes", len(payload))
	}
	return out.grow(int(binary.LittleEndian.Uint32(payload)))
}

// Unexpected is a Receiver that takes nothing. Others embed it for what they do not expect.
type Unexpected struct{}

func (Unexpected) Answered([]byte) error        { return Malformed("an answer that nobody expects") }
func (Unexpected) Noted(n byte, _ []byte) error { return Malformed("note %d, which nobody expects", n) }
func (Unexpected) Canceled([]byte) error        { return nil }
func (Unexpected) Lost(error)                   {}

// Call is an exchange of this side that is an answer and nothing else.
type Call struct {
	Unexpected
	x      *Exchange
	answer []byte
	err    error
	done   chan struct{}
}

// Ask sends a message and waits for the answer. When ctx ends first, the other side is told.
func (c *Conn) Ask(ctx context.Context, e *Encoder) ([]byte, error) {
	call := &Call{done: make(chan struct{})}
	x, err := c.Begin(e, call, nil)
	if err != nil {
		return nil, err
	}
	defer x.End()
	select {
	case <-call.done:
		return call.answer, call.err
	case <-ctx.Done():
		x.Cancel(nil)
		return nil, context.Cause(ctx)
	}
}

func (c *Call) Answered(payload []byte) error {
	c.answer = append(make([]byte, 0, len(payload)), payload...)
	close(c.done)
	return nil
}

func (c *Call) Lost(err error) {
	c.err = err
	close(c.done)
}
