package wire

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// What is passed by reference is an object: it stays with the side that has it, under a number, and the other side uses it
// by that number until it gives it up. Either side can have objects, and the connection itself answers for them.

// Operations on objects.
const (
	opCall       byte = 128 + iota // a Remote: a Call; answered with a Value
	opStream                       // a stream: its bytes are the stream of the answering side
	opSocket                       // a Socket: messages both ways
	opRead                         // a Conn: how many bytes at most; answered with some
	opWrite                        // a Conn: bytes
	opCloseWrite                   // a Conn
	opStartTLS                     // a Conn
)

// noteRelease gives an object up.
const noteRelease byte = 128

// maxObjects is how many objects one side may be asked to serve at once, and how many it may have given out.
const maxObjects = 20_000

// ErrNoObject is what the use of an object comes to that was given up.
var ErrNoObject = errors.New("wire: there is no such object any more")

// objects are those of this side that the other side holds.
type objects struct {
	mu   sync.Mutex
	next uint64
	held map[uint64]io.Closer // nil once the connection has ended
	busy int
}

// export gives the other side a reference to v, and returns its number.
func (c *Conn) export(v io.Closer) uint64 {
	o := &c.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil || len(o.held) >= maxObjects {
		go v.Close()
		return 0
	}
	o.next++
	o.held[o.next] = v
	return o.next
}

// object is the object of a number; with drop it is given up.
func (c *Conn) object(n uint64, drop bool) io.Closer {
	o := &c.objects
	o.mu.Lock()
	defer o.mu.Unlock()
	v := o.held[n]
	if drop {
		delete(o.held, n)
	}
	return v
}

// released gives up an object that the other side has given up.
func (c *Conn) released(payload []byte) error {
	d := NewDecoder(payload)
	if v := c.object(d.Uint(), true); v != nil {
		go v.Close()
	}
	return d.End()
}

// closeObjects gives every object up, at the connection's end.
func (c *Conn) closeObjects() {
	o := &c.objects
	o.mu.Lock()
	held := o.held
	o.held = nil
	o.mu.Unlock()
	for _, v := range held {
		go v.Close()
	}
}

// serveObject takes a request for one of this side's objects.
func (c *Conn) serveObject(x *Exchange, op byte, payload []byte) error {
	d := NewDecoder(payload)
	v := c.object(d.Uint(), false)
	s := &served{}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	x.Accept(s)
	var run func()
	switch op {
	case opCall:
		call := d.Call(c)
		run = func() {
			remote, ok := v.(agentruntime.Remote)
			if !ok {
				call.Args.Close()
				s.reply(x, ErrNoObject, nil)
				return
			}
			value, err := remote.Call(ctx, call)
			s.reply(x, err, func(e *Encoder) { e.Value(c, value) })
		}
	case opStream:
		out := x.Send(0)
		run = func() {
			if src, ok := v.(*exportedStream); ok {
				out.Copy(src.ReadCloser)
			} else {
				out.Finish(ErrNoObject)
			}
		}
	case opSocket:
		in, out := x.Receive(Window), x.Send(Window)
		run = func() {
			if socket, ok := v.(*exportedSocket); ok {
				carrySocket(ctx, in, out, socket.Socket)
			} else {
				out.Finish(ErrNoObject)
			}
		}
	case opRead, opWrite, opCloseWrite, opStartTLS:
		n, data := 0, []byte(nil)
		switch op {
		case opRead:
			n = int(min(d.Uint(), chunk))
		case opWrite:
			data = d.Bytes()
		}
		run = func() { s.conn(ctx, x, v, op, n, data) }
	default:
		cancel()
		return Malformed("operation %d on an object", op)
	}
	if err := d.End(); err != nil {
		cancel()
		return err
	}
	o := &c.objects
	o.mu.Lock()
	o.busy++
	over := o.busy > maxObjects
	o.mu.Unlock()
	if over {
		cancel()
		return Malformed("more than %d uses of objects at once", maxObjects)
	}
	go func() {
		run()
		cancel()
		x.End()
		o.mu.Lock()
		o.busy--
		o.mu.Unlock()
	}()
	return nil
}

// served is one use of an object by the other side.
type served struct {
	Unexpected
	cancel context.CancelFunc
}

func (s *served) Canceled([]byte) error {
	s.cancel()
	return nil
}

func (s *served) Lost(error) { s.cancel() }

func (s *served) reply(x *Exchange, err error, write func(*Encoder)) {
	e := NewEncoder()
	if e.Bool(err != nil); err != nil {
		e.Error(err)
	} else if write != nil {
		write(e)
	}
	x.Answer(e)
}

// conn does one thing with a TCP connection.
func (s *served) conn(ctx context.Context, x *Exchange, v io.Closer, op byte, n int, data []byte) {
	conn, ok := v.(agentruntime.Conn)
	if !ok {
		s.reply(x, ErrNoObject, nil)
		return
	}
	switch op {
	case opRead:
		buf := buffers.Get().(*[chunk]byte)
		defer buffers.Put(buf)
		n, err := conn.Read(buf[:n])
		end := err == io.EOF
		if n > 0 || end {
			err = nil
		}
		s.reply(x, err, func(e *Encoder) {
			e.Bool(end && n == 0)
			e.Bytes(buf[:n])
		})
	case opWrite:
		_, err := conn.Write(data)
		s.reply(x, err, nil)
	case opCloseWrite:
		s.reply(x, conn.CloseWrite(), nil)
	case opStartTLS:
		s.reply(x, conn.StartTLS(ctx), nil)
	}
}

// reference is an object of the other side.
type reference struct {
	c    *Conn
	n    uint64
	once sync.Once
}

func (r *reference) message(op byte) *Encoder {
	e := NewMessage(op)
	e.Uint(r.n)
	return e
}

// Close gives the object up.
func (r *reference) Close() error {
	r.once.Do(func() { r.c.Note(r.message(noteRelease)) })
	return nil
}

// ask uses the object and reads the answer with read, if it is no error.
func (r *reference) ask(ctx context.Context, e *Encoder, read func(*Decoder)) error {
	b, err := r.c.Ask(ctx, e)
	if err != nil {
		return err
	}
	d := NewDecoder(b)
	if d.Bool() {
		err = d.Error()
	} else if read != nil {
		read(&d)
	}
	return errors.Join(d.End(), err)
}

// remote is a Remote of the other side.
type remote struct{ reference }

// Call implements agentruntime.Remote.
func (r *remote) Call(ctx context.Context, call agentruntime.Call) (agentruntime.Value, error) {
	e := r.message(opCall)
	e.Call(r.c, call)
	return r.c.AskValue(ctx, e)
}

// AskValue is Ask where the answer is an error or a value. What the value of an answer holds that nobody waits for any more
// is given up.
func (c *Conn) AskValue(ctx context.Context, e *Encoder) (agentruntime.Value, error) {
	q := &valueCall{c: c, done: make(chan struct{})}
	x, err := c.Begin(e, q, func(x *Exchange) { q.x = x })
	if err != nil {
		return agentruntime.Value{}, err
	}
	select {
	case <-q.done:
		return q.value, q.err
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = true
	select {
	case <-q.done:
		return q.value, q.err
	default:
	}
	x.Cancel(nil)
	return agentruntime.Value{}, context.Cause(ctx)
}

// valueCall is a call whose answer is a value.
type valueCall struct {
	Unexpected
	c *Conn
	x *Exchange

	mu    sync.Mutex
	left  bool // nobody waits any more
	value agentruntime.Value
	err   error
	done  chan struct{}
}

func (q *valueCall) Answered(payload []byte) error {
	d := NewDecoder(payload)
	q.mu.Lock()
	defer q.mu.Unlock()
	if d.Bool() {
		q.err = d.Error()
	} else {
		q.value = d.Value(q.c)
	}
	if err := d.End(); err != nil {
		return err
	}
	if q.left {
		q.value.Close()
	}
	close(q.done)
	q.x.End()
	return nil
}

func (q *valueCall) Lost(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	close(q.done)
}

// stream is a stream of the other side. It is asked for when it is first read.
type stream struct {
	reference
	Unexpected
	mu     sync.Mutex
	x      *Exchange
	in     *Inbound
	closed bool
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	if s.in == nil {
		_, err := s.c.Begin(s.message(opStream), s, func(x *Exchange) { s.x, s.in = x, x.Receive(0) })
		if err != nil {
			s.mu.Unlock()
			return 0, err
		}
	}
	in := s.in
	s.mu.Unlock()
	n, err := in.Read(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// Close gives the stream up.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.in != nil {
		_ = s.in.Close()
		s.x.End()
	}
	return s.reference.Close()
}

// exportedStream and exportedSocket are objects of this side whose own type says too little, or whose Close takes more.
type exportedStream struct{ io.ReadCloser }

type exportedSocket struct{ agentruntime.Socket }

func (s *exportedSocket) Close() error { return s.Socket.Close(1006, "") }

// tcp is a TCP connection of the other side.
type tcp struct{ reference }

func (t *tcp) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	e := t.message(opRead)
	e.Uint(uint64(len(p)))
	end := false
	err = t.ask(context.Background(), e, func(d *Decoder) {
		end = d.Bool()
		n = copy(p, d.View())
	})
	if err == nil && end {
		err = io.EOF
	}
	return n, err
}

func (t *tcp) Write(p []byte) (int, error) {
	for sent := 0; ; {
		n := min(len(p)-sent, 1<<20)
		e := t.message(opWrite)
		e.Bytes(p[sent : sent+n])
		if err := t.ask(context.Background(), e, nil); err != nil {
			return sent, err
		}
		if sent += n; sent == len(p) {
			return sent, nil
		}
	}
}

func (t *tcp) CloseWrite() error { return t.ask(context.Background(), t.message(opCloseWrite), nil) }

func (t *tcp) StartTLS(ctx context.Context) error { return t.ask(ctx, t.message(opStartTLS), nil) }

// Conn writes a reference to a TCP connection of this side.
func (e *Encoder) Conn(c *Conn, conn agentruntime.Conn) { e.Uint(c.export(conn)) }

// Conn reads a reference to one of the other side's.
func (d *Decoder) Conn(c *Conn) agentruntime.Conn {
	return &tcp{reference{c: c, n: d.Uint()}}
}

// Value writes a value; what it passes by reference becomes objects of this side.
func (e *Encoder) Value(c *Conn, v agentruntime.Value) {
	e.Bytes(v.Data)
	e.Uint(uint64(len(v.Remotes)))
	for _, r := range v.Remotes {
		e.Uint(c.export(r))
	}
	e.Uint(uint64(len(v.Streams)))
	for _, s := range v.Streams {
		e.Uint(c.export(&exportedStream{s}))
	}
}

// Value reads a value; what it passes by reference stays the other side's.
func (d *Decoder) Value(c *Conn) (v agentruntime.Value) {
	v.Data = d.Bytes()
	for range d.count(maxList) {
		v.Remotes = append(v.Remotes, &remote{reference{c: c, n: d.Uint()}})
	}
	for range d.count(maxList) {
		v.Streams = append(v.Streams, &stream{reference: reference{c: c, n: d.Uint()}})
	}
	return v
}

func (e *Encoder) Call(c *Conn, call agentruntime.Call) {
	e.Strings(call.Path)
	e.Value(c, call.Args)
}

func (d *Decoder) Call(c *Conn) agentruntime.Call {
	return agentruntime.Call{Path: d.Strings(), Args: d.Value(c)}
}

func (e *Encoder) Entry(x agentruntime.Entry) {
	e.String(x.Name)
	e.Bytes(x.Props)
	e.Bytes(x.Access)
}

func (d *Decoder) Entry() agentruntime.Entry {
	return agentruntime.Entry{Name: d.String(), Props: d.Bytes(), Access: d.Bytes()}
}
