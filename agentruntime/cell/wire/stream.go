package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

const (
	// Window is how many bytes of a stream may be on their way or waiting to be read.
	Window = 64 << 10
	// chunk is the most bytes of a stream in one frame.
	chunk = 32 << 10
)

// errStopped is what a sender gets whose stream is not wanted any more.
var errStopped = errors.New("wire: the receiver does not want the rest of the stream")

// Inbound is the stream that the other side sends in an exchange, as a reader. One goroutine reads; Close is safe from any.
type Inbound struct {
	x *Exchange

	mu      sync.Mutex
	ready   sync.Cond
	data    []byte // received and not read
	at      int    // how much of data has been read
	allowed int    // how much the other side may still send
	err     error  // the stream's end, once data is read
	closed  bool
	// loose says that this side has ended the stream: nothing is told to the other side, and what it had sent by then, bytes or
	// the end, is dropped.
	loose bool
}

func newInbound(x *Exchange, window int) *Inbound {
	in := &Inbound{x: x, allowed: window}
	in.ready.L = &in.mu
	return in
}

// Read waits for bytes, asking for more where little is allowed. The end is io.EOF, or the error that the sender gave.
func (in *Inbound) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	in.mu.Lock()
	for len(in.data) == in.at && in.err == nil && !in.closed {
		in.ask()
		in.ready.Wait()
	}
	if in.closed {
		in.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	if len(in.data) == in.at {
		defer in.mu.Unlock()
		return 0, in.err
	}
	n := copy(p, in.data[in.at:])
	if in.at += n; in.at == len(in.data) {
		in.data, in.at = in.data[:0], 0
	}
	if len(in.data)-in.at+in.allowed <= Window/2 {
		in.ask()
	}
	in.mu.Unlock()
	return n, nil
}

// ask allows the other side to fill the window. Called under mu.
func (in *Inbound) ask() {
	more := Window - (len(in.data) - in.at) - in.allowed
	if more <= 0 || in.err != nil || in.loose {
		return
	}
	in.allowed += more
	e := NewEncoder()
	e.b = binary.LittleEndian.AppendUint32(e.b, uint32(more))
	in.x.conn.send(kindWindow, in.x.id, e, false)
}

// Close says that the rest is not wanted.
func (in *Inbound) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	in.ready.Broadcast()
	in.data = nil
	if in.err == nil && !in.loose {
		in.x.conn.send(kindStop, in.x.id, NewEncoder(), false)
	}
	return nil
}

// Fail ends the stream on this side, now: what has not been read is dropped.
func (in *Inbound) Fail(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.loose, in.data, in.at = true, nil, 0
	if in.err == nil || in.err == io.EOF {
		in.err = err
	}
	in.ready.Broadcast()
}

// add takes bytes from the reading goroutine.
func (in *Inbound) add(b []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.loose {
		return nil
	}
	if in.err != nil || len(b) > in.allowed || len(b) == 0 {
		return Malformed("%d bytes of a stream that may get %d", len(b), in.allowed)
	}
	in.allowed -= len(b)
	if in.closed {
		return nil
	}
	if in.at > 0 && len(in.data)+len(b) > cap(in.data) {
		in.data = in.data[:copy(in.data, in.data[in.at:])]
		in.at = 0
	}
	in.data = append(in.data, b...)
	in.ready.Signal()
	return nil
}

// finish takes the stream's end.
func (in *Inbound) finish(payload []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.loose {
		return nil
	}
	if in.err != nil {
		return Malformed("a stream that ends twice")
	}
	in.err = io.EOF
	if len(payload) > 0 {
		d := NewDecoder(payload)
		err := d.Error()
		if d.End() != nil || err == nil {
			return Malformed("the end of a stream")
		}
		in.err = err
	}
	in.ready.Signal()
	return nil
}

// detach ends the stream because the exchange is over. What is there can still be read.
func (in *Inbound) detach(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.loose = true
	if in.err == nil {
		in.err = err
	}
	in.ready.Broadcast()
}

// Outbound is the stream that this side sends in an exchange.
type Outbound struct {
	x *Exchange

	mu      sync.Mutex
	room    sync.Cond
	allowed int
	err     error     // nothing more can be sent
	src     io.Closer // what Copy reads
}

func newOutbound(x *Exchange, window int) *Outbound {
	out := &Outbound{x: x, allowed: window}
	out.room.L = &out.mu
	return out
}

// Wait waits until something may be sent.
func (out *Outbound) Wait() error {
	out.mu.Lock()
	defer out.mu.Unlock()
	for out.allowed == 0 && out.err == nil {
		out.room.Wait()
	}
	return out.err
}

// Write sends p, waiting where the window is used up.
func (out *Outbound) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		if err := out.Wait(); err != nil {
			return sent, err
		}
		out.mu.Lock()
		n := min(len(p)-sent, out.allowed, chunk)
		out.allowed -= n
		out.mu.Unlock()
		e := NewEncoder()
		e.b = append(e.b, p[sent:sent+n]...)
		out.x.conn.send(kindData, out.x.id, e, false)
		sent += n
	}
	return sent, nil
}

// Finish ends the stream, with nil well. Nothing may be written after it.
func (out *Outbound) Finish(err error) {
	out.mu.Lock()
	over := out.err != nil
	if !over {
		out.err = errStopped
	}
	out.mu.Unlock()
	if over {
		return
	}
	e := NewEncoder()
	if err != nil {
		e.Error(err)
	}
	out.x.conn.send(kindEnd, out.x.id, e, false)
}

// Copy sends what src gives until its end, finishes and closes src. It reads only what may be sent. Once the stream is not
// wanted any more src is closed, from another goroutine if need be, so that a Read that waits returns.
func (out *Outbound) Copy(src io.ReadCloser) {
	out.mu.Lock()
	out.src = src
	out.mu.Unlock()
	buf := buffers.Get().(*[chunk]byte)
	defer buffers.Put(buf)
	err := out.copy(src, buf[:])
	out.mu.Lock()
	again := out.src == nil // stop closes it
	out.src = nil
	out.mu.Unlock()
	out.Finish(err)
	if !again {
		_ = src.Close()
	}
}

func (out *Outbound) copy(src io.Reader, buf []byte) error {
	for {
		if err := out.Wait(); err != nil {
			return err
		}
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := out.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// grow takes the receiver's permission for more.
func (out *Outbound) grow(n int) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if n > Window || out.allowed+n > Window {
		return Malformed("a window of %d bytes and %d more", out.allowed, n)
	}
	out.allowed += n
	out.room.Broadcast()
	return nil
}

// stop ends the stream from the other side.
func (out *Outbound) stop(err error) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.err == nil {
		out.err = err
	}
	if src := out.src; src != nil {
		out.src = nil
		go src.Close()
	}
	out.room.Broadcast()
}
