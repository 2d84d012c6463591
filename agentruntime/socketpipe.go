package agentruntime

import (
	"context"
	"errors"
	"sync"
)

// NewSocketPair makes two sockets that are each other's other side, in memory: what is sent on one is received on the
// other. Both ends are closed by their owners.
func NewSocketPair() (a, b Socket) {
	x, y := newSocketEnd(), newSocketEnd()
	x.peer, y.peer = y, x
	return x, y
}

// socketBacklog is how many bytes of messages may wait for their receiver before Send waits.
const socketBacklog = 1 << 20

var errSocketClosed = errors.New("the socket is closed")

// socketEnd is one side of a pair: its inbox and what its owner has closed.
type socketEnd struct {
	peer *socketEnd

	mu     sync.Mutex
	inbox  []Message
	bytes  int
	closed *CloseError   // how the other side closed; comes after what is in the inbox
	shut   bool          // the owner has closed: nothing is sent any more
	filled chan struct{} // has an element when the inbox or closed may have changed
	room   chan struct{} // has an element when the inbox may have room
}

func newSocketEnd() *socketEnd {
	return &socketEnd{filled: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive implements Socket.
func (s *socketEnd) Receive(ctx context.Context) (Message, error) {
	for {
		s.mu.Lock()
		if len(s.inbox) > 0 {
			m := s.inbox[0]
			s.inbox[0] = Message{}
			s.inbox = s.inbox[1:]
			s.bytes -= len(m.Data)
			s.mu.Unlock()
			wake(s.room)
			return m, nil
		}
		closed := s.closed
		s.mu.Unlock()
		if closed != nil {
			return Message{}, closed
		}
		select {
		case <-s.filled:
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		}
	}
}

// Send implements Socket.
func (s *socketEnd) Send(ctx context.Context, m Message) error {
	for {
		s.mu.Lock()
		shut := s.shut
		s.mu.Unlock()
		if shut {
			return errSocketClosed
		}
		to := s.peer
		to.mu.Lock()
		if to.bytes < socketBacklog {
			to.inbox = append(to.inbox, m)
			to.bytes += len(m.Data)
			to.mu.Unlock()
			wake(to.filled)
			return nil
		}
		to.mu.Unlock()
		select {
		case <-to.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close implements Socket.
func (s *socketEnd) Close(code int, reason string) error {
	s.mu.Lock()
	shut := s.shut
	s.shut = true
	s.mu.Unlock()
	if shut {
		return nil
	}
	wake(s.peer.room) // nobody waits for room on this side any more
	wake(s.room)
	s.peer.mu.Lock()
	s.peer.closed = &CloseError{Code: code, Reason: reason}
	s.peer.mu.Unlock()
	wake(s.peer.filled)
	return nil
}

// watchedSocket tells once when the socket has come to its end, from either side.
type watchedSocket struct {
	Socket
	once  sync.Once
	ended func()
}

func (s *watchedSocket) Receive(ctx context.Context) (Message, error) {
	m, err := s.Socket.Receive(ctx)
	if err != nil {
		s.once.Do(s.ended)
	}
	return m, err
}

func (s *watchedSocket) Close(code int, reason string) error {
	err := s.Socket.Close(code, reason)
	s.once.Do(s.ended)
	return err
}
