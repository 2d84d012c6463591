package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// ErrClosed is why exchanges end when the connection was closed by this side.
var ErrClosed = errors.New("wire: closed")

// Opener takes the exchanges that the other side begins, and what belongs to no exchange. Its methods run on the reading
// goroutine: they must not wait, and the payload is theirs until they return. An error ends the connection.
type Opener interface {
	Opened(x *Exchange, op byte, payload []byte) error
	Noted(note byte, payload []byte) error
}

// Conn is one end of the socket. Its methods are safe for concurrent use; sending never waits.
type Conn struct {
	file *os.File // of a descriptor that does not wait
	raw  syscall.RawConn

	// sendMu guards the queue. Whoever finds it idle writes what is there, without waiting; what the socket does not take at
	// once, and what is in no hurry, is the writer's, so that nobody is held up by the other side.
	sendMu  sync.Mutex
	queue   []byte
	rest    []byte // the writer's: what is left of what was tried
	spare   []byte
	writing bool
	dead    bool
	wake    chan struct{}
	drained *sync.Cond // the queue has become shorter

	trying []byte // what try writes, and how it went; for the one who writes
	tried  int
	tryErr error
	tryFn  func(uintptr) bool

	into       []byte // what receive reads into, and how it went
	received   int
	receiveErr error
	receiveFn  func(uintptr) bool

	// mu guards the exchanges.
	mu        sync.Mutex
	opener    Opener
	exchanges map[uint64]*Exchange
	next      uint64 // the number of the next exchange of this side
	seen      uint64 // the highest number that the other side has used
	err       error
	done      chan struct{}
	objects   objects
	work      sync.WaitGroup
}

// Side tells the ends of a connection apart: each numbers its exchanges in its own way.
type Side uint8

const (
	Gateway Side = 1
	Cell    Side = 2
)

// New returns a connection over a stream socket, which it closes at its end. Run begins to read.
func New(socket *os.File, side Side) (*Conn, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	c := &Conn{
		file: socket, raw: raw, wake: make(chan struct{}, 1), exchanges: map[uint64]*Exchange{}, next: uint64(side),
		done: make(chan struct{}),
	}
	c.objects.held = map[uint64]io.Closer{}
	c.drained = sync.NewCond(&c.sendMu)
	c.tryFn, c.receiveFn = c.tryWrite, c.tryReceive
	c.work.Go(c.write)
	return c, nil
}

// Run reads until the connection ends and returns why.
func (c *Conn) Run(o Opener) error {
	c.opener = o
	c.fail(c.read())
	c.work.Wait()
	return c.Err()
}

// Close ends the connection: the other side finds the socket closed.
func (c *Conn) Close() { c.fail(ErrClosed) }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil, or why the connection has ended.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail ends the connection and every exchange. The first reason counts.
func (c *Conn) fail(err error) {
	if err == nil {
		err = io.EOF
	}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	lost := c.exchanges
	c.exchanges = nil
	c.mu.Unlock()
	c.sendMu.Lock()
	c.dead = true
	c.queue = nil
	c.drained.Broadcast()
	c.sendMu.Unlock()
	close(c.done)
	_ = c.file.Close()
	c.closeObjects()
	for _, x := range lost {
		x.lose(err)
	}
}

// Note sends something that belongs to no exchange: a message made by NewMessage.
func (c *Conn) Note(e *Encoder) { c.send(kindNote, 0, e, false) }

// send queues a frame. lazily leaves it to the writer, which gathers what comes meanwhile.
func (c *Conn) send(k kind, id uint64, e *Encoder, lazily bool) {
	putHeader(e.b, k, id)
	c.sendMu.Lock()
	defer e.free()
	if c.dead {
		c.sendMu.Unlock()
		return
	}
	c.queue = append(c.queue, e.b...)
	if c.writing {
		c.sendMu.Unlock()
		return
	}
	c.writing = true
	if lazily {
		c.sendMu.Unlock()
		c.wake <- struct{}{}
		return
	}
	// What others queue while this one writes is written too, as long as it does not go on for ever.
	for range 4 {
		b := c.take()
		c.sendMu.Unlock()
		n, err := c.try(b)
		if err != nil {
			go c.fail(fmt.Errorf("wire: write: %w", err)) // who sends may hold a stream's lock
			return
		}
		c.sendMu.Lock()
		if n < len(b) {
			c.rest, c.spare = b[n:], nil
			break
		}
		c.keep(b)
		if len(c.queue) == 0 {
			c.writing = false
			c.drained.Broadcast()
			c.sendMu.Unlock()
			return
		}
	}
	c.sendMu.Unlock()
	c.wake <- struct{}{}
}

// take takes what is queued. Called under sendMu by the one who writes.
func (c *Conn) take() []byte {
	b := c.queue
	c.queue, c.spare = c.spare[:0], nil
	return b
}

// keep keeps a buffer for later unless it is large. Called under sendMu.
func (c *Conn) keep(b []byte) {
	if cap(b) <= 256<<10 {
		c.spare = b[:0]
	}
}

// try writes what the socket takes at once.
func (c *Conn) try(b []byte) (int, error) {
	c.trying, c.tried, c.tryErr = b, 0, nil
	err := c.raw.Write(c.tryFn)
	c.trying = nil
	if err != nil {
		return 0, err
	}
	return c.tried, c.tryErr
}

func (c *Conn) tryWrite(fd uintptr) bool {
	for c.tried < len(c.trying) {
		n, err := sendNow(fd, c.trying[c.tried:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			c.tryErr = err
			return true
		}
		c.tried += n
	}
	return true
}

// write is the writer: it waits for the socket where nobody else may.
func (c *Conn) write() {
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		for {
			c.sendMu.Lock()
			b := c.rest
			c.rest = nil
			if b == nil {
				b = c.take()
			}
			if len(b) == 0 || c.dead {
				c.keep(b)
				c.writing = false
				c.drained.Broadcast()
				c.sendMu.Unlock()
				break
			}
			c.sendMu.Unlock()
			if _, err := c.file.Write(b); err != nil {
				c.fail(fmt.Errorf("wire: write: %w", err))
				return
			}
			c.sendMu.Lock()
			c.keep(b)
			c.drained.Broadcast()
			c.sendMu.Unlock()
		}
	}
}

// Room waits until less than limit bytes are queued, or the connection has ended. It is for those who send much of what the other
// side has no window for.
func (c *Conn) Room(limit int) {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	for len(c.queue)+len(c.rest) >= limit && !c.dead {
		c.drained.Wait()
	}
}

// Flush waits until everything that was sent has left, or the connection has ended.
func (c *Conn) Flush() { c.sendMu.Lock(); c.flush(); c.sendMu.Unlock() }

func (c *Conn) flush() {
	for (c.writing || len(c.queue) > 0) && !c.dead {
		c.drained.Wait()
	}
}

// readBuffer is how much is read at once.
const readBuffer = 64 << 10

// read reads frames and hands them out until the socket ends or something malformed comes.
func (c *Conn) read() error {
	buf := make([]byte, readBuffer)
	r, w := 0, 0
	for {
		for w-r >= headerSize {
			h, err := parseHeader(buf[r : r+headerSize])
			if err != nil {
				return err
			}
			if headerSize+h.size > len(buf) {
				large, err := c.readLarge(buf[r+headerSize:w], h.size)
				if err != nil {
					return err
				}
				if err := c.dispatch(h, large); err != nil {
					return err
				}
				r, w = 0, 0
				continue
			}
			if w-r < headerSize+h.size {
				break
			}
			if err := c.dispatch(h, buf[r+headerSize:r+headerSize+h.size]); err != nil {
				return err
			}
			r += headerSize + h.size
		}
		if r > 0 {
			w = copy(buf, buf[r:w])
			r = 0
		}
		n, err := c.receive(buf[w:])
		if err != nil {
			return err
		}
		w += n
	}
}

// receive waits for something to read and reads it.
func (c *Conn) receive(b []byte) (n int, err error) {
	c.into = b
	if err := c.raw.Read(c.receiveFn); err != nil {
		return 0, err
	}
	return c.received, c.receiveErr
}

func (c *Conn) tryReceive(fd uintptr) bool {
	for {
		n, err := receiveNow(fd, c.into)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return false
		case err == nil && n == 0:
			err = io.EOF
		}
		c.received, c.receiveErr = n, err
		return true
	}
}

// readLarge reads the payload of a frame that does not fit the buffer, begun with what is there of it. Memory is taken as
// the bytes come: a header alone does not make anybody allocate.
func (c *Conn) readLarge(begun []byte, size int) ([]byte, error) {
	b := append(make([]byte, 0, min(size, 1<<20)), begun[:min(len(begun), size)]...)
	for len(b) < size {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := c.file.Read(b[len(b):min(cap(b), size)])
		if err != nil {
			return nil, err
		}
		b = b[:len(b)+n]
	}
	return b, nil
}
