package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// A socket's messages travel on a stream each way: what it is (1 byte), the length (4 bytes, little endian), and the bytes.
// The last one says how the sender closed: its code (2 bytes) and the reason.
const (
	socketBinary byte = iota
	socketText
	socketClosed
)

// maxMessage is the largest message of a socket in bytes.
const maxMessage = 32 << 20

// A socket in a message is one of these.
const (
	socketNone     byte = iota
	socketObject        // an object of the sender's
	socketKept          // the number of one that is kept for the actor that answers
	socketDetached      // an object of the sender's that lasts by itself
	socketReturned      // an object of the receiver's, given back unused
)

// Socket writes a reference to a socket of this side, or gives one of the other side's back.
func (e *Encoder) Socket(c *Conn, s agentruntime.Socket) {
	switch s := s.(type) {
	case nil:
		e.Byte(socketNone)
	case *agentruntime.Kept:
		e.Byte(socketKept)
		e.Uint(s.ID)
	case *detached:
		if s.c == c && s.giveBack() {
			e.Byte(socketReturned)
			e.Uint(s.n)
			return
		}
		e.Byte(socketDetached)
		e.Uint(c.export(&exportedSocket{s}))
	case agentruntime.Detached:
		e.Byte(socketDetached)
		e.Uint(c.export(&exportedSocket{s}))
	default:
		e.Byte(socketObject)
		e.Uint(c.export(&exportedSocket{s}))
	}
}

// Socket reads what Encoder.Socket wrote; nil if there is none.
func (d *Decoder) Socket(c *Conn) agentruntime.Socket {
	switch k := d.Byte(); k {
	case socketNone:
	case socketKept:
		return &agentruntime.Kept{ID: d.Uint()}
	case socketObject, socketDetached:
		n := d.Uint()
		if d.err != nil {
			return nil
		}
		s := &detached{reference: reference{c: c, n: n}}
		if k == socketObject {
			return s.use()
		}
		return s
	case socketReturned:
		n := d.Uint()
		if d.err != nil {
			return nil
		}
		s, ok := c.object(n, true).(*exportedSocket)
		if !ok {
			d.fail("a socket that is not there")
			return nil
		}
		return s.Socket
	default:
		d.fail("a socket of kind %d", k)
	}
	return nil
}

// detached is a socket of the other side's that lasts by itself. It is connected at its first use; until then it can be given back.
type detached struct {
	reference
	mu    sync.Mutex
	given bool                // back
	end   agentruntime.Socket // once it is used
}

// Detached implements agentruntime.Detached.
func (*detached) Detached() {}

// giveBack reports whether the socket is unused, and makes it unusable.
func (s *detached) giveBack() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given || s.end != nil {
		return false
	}
	s.given = true
	return true
}

// use connects the socket to one here.
func (s *detached) use() agentruntime.Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return s.end
	}
	ours, theirs := agentruntime.NewSocketPair()
	s.end = theirs
	if s.given {
		_ = ours.Close(1006, "")
		return theirs
	}
	h := &heldSocket{}
	x, err := s.c.Begin(s.message(opSocket), h, func(x *Exchange) { h.in, h.out = x.Receive(Window), x.Send(Window) })
	if err != nil {
		_ = ours.Close(1006, "")
		return theirs
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		carrySocket(ctx, h.in, h.out, ours)
		cancel()
		x.End()
		_ = s.reference.Close()
	}()
	return theirs
}

func (s *detached) Receive(ctx context.Context) (agentruntime.Message, error) {
	return s.use().Receive(ctx)
}

func (s *detached) Send(ctx context.Context, m agentruntime.Message) error {
	return s.use().Send(ctx, m)
}

// Close closes the socket; one that was given back is another's to close.
func (s *detached) Close(code int, reason string) error {
	s.mu.Lock()
	given := s.given
	s.mu.Unlock()
	if given {
		return nil
	}
	return s.use().Close(code, reason)
}

// heldSocket is the use of a socket of the other side's.
type heldSocket struct {
	Unexpected
	in  *Inbound
	out *Outbound
}

// carrySocket moves messages between a socket of this side and its streams until both directions have come to their end.
func carrySocket(ctx context.Context, in *Inbound, out *Outbound, socket agentruntime.Socket) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	received := make(chan struct{})
	go func() {
		defer close(received)
		if err := receiveMessages(ctx, in, socket); err != nil {
			_ = socket.Close(1006, "")
			cancel() // the other side is not there any more
		}
	}()
	sendMessages(ctx, out, socket)
	<-received
}

// sendMessages sends what the socket receives until it is closed.
func sendMessages(ctx context.Context, out *Outbound, socket agentruntime.Socket) {
	for {
		m, err := socket.Receive(ctx)
		kind, data := socketBinary, m.Data
		if m.Text {
			kind = socketText
		}
		if err != nil {
			var closed *agentruntime.CloseError
			if !errors.As(err, &closed) {
				closed = &agentruntime.CloseError{Code: 1006}
			}
			kind, data = socketClosed, append(binary.LittleEndian.AppendUint16(nil, uint16(closed.Code)), closed.Reason...)
		}
		frame := make([]byte, 0, 5+len(data))
		frame = append(frame, kind)
		frame = binary.LittleEndian.AppendUint32(frame, uint32(len(data)))
		if _, werr := out.Write(append(frame, data...)); werr != nil || err != nil {
			out.Finish(nil)
			return
		}
	}
}

// receiveMessages hands the socket what comes, at last how the other side closed.
func receiveMessages(ctx context.Context, in *Inbound, socket agentruntime.Socket) error {
	defer in.Close()
	r := bufio.NewReaderSize(in, 4<<10)
	var head [5]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size := binary.LittleEndian.Uint32(head[1:])
		if size > maxMessage {
			return Malformed("a message of %d bytes", size)
		}
		data, err := readMessage(r, int(size))
		if err != nil {
			return err
		}
		if head[0] == socketClosed {
			if len(data) < 2 {
				return Malformed("a close without a code")
			}
			return socket.Close(int(binary.LittleEndian.Uint16(data)), string(data[2:]))
		}
		if err := socket.Send(ctx, agentruntime.Message{Text: head[0] == socketText, Data: data}); err != nil {
			return err
		}
	}
}

// readMessage takes memory as the bytes come.
func readMessage(r io.Reader, size int) ([]byte, error) {
	data := make([]byte, min(size, 64<<10))
	for at := 0; ; {
		n, err := io.ReadFull(r, data[at:])
		if at += n; err != nil {
			return nil, err
		}
		if at == size {
			return data, nil
		}
		data = append(data, make([]byte, min(size-at, len(data)))...)
	}
}
