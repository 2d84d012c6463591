package socket

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

const (
	// maxQueue is how many bytes may wait for a client, and maxEarly how many for one that is not connected yet. One that lets more
	// gather is cut off.
	maxQueue = 8 << 20
	maxEarly = 1 << 20
	// maxQueues is how many bytes may wait for all clients of a namespace. Beyond it those are cut off that something waits for already,
	// and from twice as much on all that something is sent to.
	maxQueues = 128 << 20
	// maxWaiting is how many sockets of a namespace may wait to be connected.
	maxWaiting = 1000
	// answerCloseWithin is how long a client may take to answer a close.
	answerCloseWithin = 10 * time.Second
)

// brokenOff is the reason of a close that was none.
const brokenOff = "WebSocket disconnected without sending Close frame."

// transport is the way to a socket's other side: a Conn, or code.
type transport interface {
	agentruntime.Socket
	// Until ends Receive at a time.
	Until(t time.Time)
	// Drop ends everything now.
	Drop()
}

// account is what the sockets of one namespace have in the server's memory for its code's sake.
type account struct {
	queued  atomic.Int64 // bytes that wait for clients
	waiting atomic.Int64 // sockets without a connection
}

// Socket is one WebSocket of an actor.
type Socket struct {
	hub   *Hub
	of    *account
	actor durable.Key
	id    uint64
	tags  []string
	taken atomic.Bool // the other side was given out, or the wait for that is over
	// waiting ends a socket that nobody is connected to.
	waiting *time.Timer

	mu         sync.Mutex // a leaf
	attachment []byte
	replied    int64 // when an automatic answer was given, in milliseconds since 1970
	to         transport
	queue      []outgoing
	queued     int // bytes
	writing    bool
	closing    bool // the actor has closed it, or the other side's close was answered
	over       bool // the other side has closed it, or is gone
	cut        bool // too much waited for it
}

// outgoing is a message, or the close if it is not nil.
type outgoing struct {
	message agentruntime.Message
	close   *agentruntime.CloseError
}

func (s *Socket) info() agentruntime.SocketInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return agentruntime.SocketInfo{ID: s.id, Tags: s.tags, Attachment: s.attachment, Closing: s.closing, Replied: s.replied}
}

// settled says that the socket waits for no connection any more. Once.
func (s *Socket) settled() {
	s.waiting.Stop()
	s.of.waiting.Add(-1)
}

// abandon gives up a socket that nobody will be connected to.
func (s *Socket) abandon() {
	s.settled()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.empty()
}

// connect begins to carry messages.
func (s *Socket) connect(to transport) {
	s.settled()
	s.mu.Lock()
	s.to = to
	s.pump()
	cut := s.cut
	s.mu.Unlock()
	if cut {
		to.Drop()
	}
	if !s.hub.spawn(s.read) {
		s.goAway()
	}
}

// read is the one goroutine that a socket has at rest. What needs a larger stack runs on others.
func (s *Socket) read() {
	for {
		m, err := s.to.Receive(s.hub.ctx)
		if err != nil {
			s.apart(func() { s.ended(err) })
			return
		}
		s.apart(func() { s.received(m) })
	}
}

// apart runs f on a goroutine of its own and waits for it: a stack that has grown stays large for a while.
func (s *Socket) apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// received answers a message by itself, or has the actor handle it.
func (s *Socket) received(m agentruntime.Message) {
	s.hub.mu.Lock()
	var auto *agentruntime.AutoResponse
	if o := s.hub.owners[s.actor]; o != nil {
		auto = o.auto
	}
	s.hub.mu.Unlock()
	if auto != nil && m.Text && string(m.Data) == auto.Request {
		s.mu.Lock()
		s.replied = time.Now().UnixMilli()
		s.mu.Unlock()
		s.send(agentruntime.Message{Text: true, Data: []byte(auto.Response)})
		return
	}
	s.deliver(agentruntime.SocketEvent{Message: &m})
}

// deliver hands an event to the actor. A client whose message cannot reach it is told so.
func (s *Socket) deliver(ev agentruntime.SocketEvent) {
	ev.Socket = s.info()
	if err := s.hub.cfg.Deliver(s.hub.ctx, s.actor, ev); err != nil {
		s.close(closeUnexpected, "the server could not take the message")
	}
}

// ended handles the other side's end.
func (s *Socket) ended(err error) {
	closed, clean := errors.AsType[*agentruntime.CloseError](err)
	wrong, violated := errors.AsType[*violation](err)
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	ev := agentruntime.SocketEvent{}
	switch {
	case clean && closed.Code != closeAbnormal:
		s.close(closed.Code, closed.Reason) // the answer, unless the actor was first
		ev.Close = closed
	case violated:
		s.close(wrong.code, wrong.text)
		ev.Error = wrong.text
	default:
		s.mu.Lock()
		s.closing = true
		s.empty()
		s.mu.Unlock()
		ev.Close = &agentruntime.CloseError{Code: closeAbnormal, Reason: brokenOff}
	}
	s.hub.forget(s)
	s.mu.Lock()
	s.pump()
	idle := !s.writing
	s.mu.Unlock()
	if idle {
		s.to.Drop()
	}
	if s.hub.ctx.Err() == nil {
		ev.Socket = s.info()
		_ = s.hub.cfg.Deliver(s.hub.ctx, s.actor, ev) // there is nobody left to tell
	}
}

// send queues a message for the other side.
func (s *Socket) send(m agentruntime.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	all := s.of.queued.Add(int64(len(m.Data)))
	if s.queued > maxQueue || s.to == nil && s.queued+len(m.Data) > maxEarly || all > maxQueues && s.queued > 0 || all > 2*maxQueues {
		s.of.queued.Add(-int64(len(m.Data)))
		s.closing, s.cut = true, true
		s.empty()
		if s.to != nil {
			s.to.Drop() // the reader finds that out, and tells the actor
		}
		return
	}
	s.queued += len(m.Data)
	s.queue = append(s.queue, outgoing{message: m})
	s.pump()
}

// empty drops what is queued. Called under mu.
func (s *Socket) empty() {
	for _, o := range s.queue {
		s.queued -= len(o.message.Data)
		s.of.queued.Add(-int64(len(o.message.Data)))
	}
	s.queue = nil
}

// close queues a close. Only the first counts.
func (s *Socket) close(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	s.closing = true
	s.queue = append(s.queue, outgoing{close: &agentruntime.CloseError{Code: code, Reason: reason}})
	s.pump()
}

// goAway closes at the server's end, without waiting for anything.
func (s *Socket) goAway() {
	s.waiting.Stop()
	s.mu.Lock()
	to := s.to
	s.closing = true
	s.empty()
	s.mu.Unlock()
	if to != nil {
		to.Until(time.Now().Add(time.Second))
		_ = to.Close(closeGoingAway, "the server is going away")
		to.Drop()
	}
}

// pump begins to write what is queued. Called under mu.
func (s *Socket) pump() {
	if s.to == nil || s.writing || len(s.queue) == 0 {
		return
	}
	s.writing = true
	go s.write()
}

// write writes what is queued, in order, until there is nothing.
func (s *Socket) write() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.writing, s.queue = false, nil
			finished := s.over && s.closing
			s.mu.Unlock()
			if finished {
				s.to.Drop()
			}
			return
		}
		next := s.queue[0]
		s.queue[0] = outgoing{}
		s.queue = s.queue[1:]
		s.mu.Unlock()
		var err error
		if next.close != nil {
			err = s.to.Close(next.close.Code, next.close.Reason)
			s.to.Until(time.Now().Add(answerCloseWithin))
		} else {
			err = s.to.Send(s.hub.ctx, next.message)
		}
		s.mu.Lock()
		s.queued -= len(next.message.Data)
		s.of.queued.Add(-int64(len(next.message.Data)))
		s.mu.Unlock()
		if err != nil {
			s.to.Drop()
		}
	}
}

// Outer is the other side of a socket of an actor, as the Response has it. Whoever is given it connects it, uses it, or closes it.
type Outer struct {
	s    *Socket
	mu   sync.Mutex
	used bool
	end  agentruntime.Socket // once code uses it
}

var errUsed = errors.New("socket: the other side is in use already")

// Detached implements agentruntime.Detached.
func (*Outer) Detached() {}

// Connect gives the socket to a client's connection.
func (o *Outer) Connect(c *Conn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.used {
		c.Drop()
		return errUsed
	}
	o.used = true
	o.s.connect(c)
	return nil
}

// use connects the socket to whoever calls the methods of Outer.
func (o *Outer) use() agentruntime.Socket {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end == nil {
		ours, theirs := agentruntime.NewSocketPair()
		o.end = theirs
		if o.used {
			_ = ours.Close(closeAbnormal, "")
			return theirs
		}
		o.used = true
		ctx, cancel := context.WithCancel(o.s.hub.ctx)
		o.s.connect(&pair{Socket: ours, ctx: ctx, cancel: cancel})
	}
	return o.end
}

// Receive implements agentruntime.Socket.
func (o *Outer) Receive(ctx context.Context) (agentruntime.Message, error) {
	return o.use().Receive(ctx)
}

// Send implements agentruntime.Socket.
func (o *Outer) Send(ctx context.Context, m agentruntime.Message) error { return o.use().Send(ctx, m) }

// Close implements agentruntime.Socket. Once it is connected to a client it does nothing: that one closes it.
func (o *Outer) Close(code int, reason string) error {
	o.mu.Lock()
	connected := o.used && o.end == nil
	o.mu.Unlock()
	if connected {
		return nil
	}
	return o.use().Close(code, reason)
}

// pair is the transport to code of this program.
type pair struct {
	agentruntime.Socket
	ctx    context.Context
	cancel context.CancelFunc
}

func (p *pair) Receive(context.Context) (agentruntime.Message, error) {
	m, err := p.Socket.Receive(p.ctx)
	if err != nil && p.ctx.Err() != nil {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

func (p *pair) Send(_ context.Context, m agentruntime.Message) error { return p.Socket.Send(p.ctx, m) }

func (p *pair) Until(t time.Time) { time.AfterFunc(time.Until(t), p.cancel) }

func (p *pair) Drop() {
	p.cancel()
	_ = p.Socket.Close(closeAbnormal, "")
}

var (
	_ transport             = (*Conn)(nil)
	_ transport             = (*pair)(nil)
	_ agentruntime.Detached = (*Outer)(nil)
)
