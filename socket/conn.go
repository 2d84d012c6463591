package socket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// MaxMessage is the largest message in bytes, as in Workers.
const MaxMessage = 32 << 20

// writeWithin is how long a client may take to make room for a frame.
const writeWithin = 30 * time.Second

// Kinds of frames (RFC 6455, section 5.2).
const (
	frameContinuation byte = 0
	frameText         byte = 1
	frameBinary       byte = 2
	frameClose        byte = 8
	framePing         byte = 9
	framePong         byte = 10
)

// Codes of a close (RFC 6455, section 7.4).
const (
	closeGoingAway  = 1001
	closeProtocol   = 1002
	closeNone       = 1005 // a close frame without a code
	closeAbnormal   = 1006 // no close frame at all
	closeNotUTF8    = 1007
	closeTooLarge   = 1009
	closeUnexpected = 1011
)

// violation is what a client must not send. Code is what it is told.
type violation struct {
	code int
	text string
}

func (v *violation) Error() string { return v.text }

// Conn is the server's end of a connection after the handshake (RFC 6455). One goroutine receives; the other methods are safe
// for concurrent use. Pings are answered while somebody receives.
type Conn struct {
	conn  net.Conn
	early []byte   // what had been read before the connection was taken over
	head  [14]byte // of the frame being read

	until atomic.Int64 // when the connection ends, in nanoseconds since 1970; zero: not yet known

	mu     sync.Mutex // held while a frame is written
	closed bool       // a close frame was written
}

// newConn takes a connection over; early is what of it was read already.
func newConn(conn net.Conn, early []byte) *Conn {
	if len(early) == 0 {
		early = nil
	}
	return &Conn{conn: conn, early: early}
}

// Receive waits for the next message. After the client's close it returns an *agentruntime.CloseError; any other error says that
// the connection broke, or what the client did wrong. It ends with Drop.
func (c *Conn) Receive(context.Context) (agentruntime.Message, error) {
	var data []byte
	kind := frameContinuation
	for {
		op, final, size, mask, err := c.header()
		if err != nil {
			return agentruntime.Message{}, err
		}
		if op >= frameClose {
			payload, err := c.payload(nil, size, mask)
			if err != nil {
				return agentruntime.Message{}, err
			}
			if err := c.control(op, payload); err != nil {
				return agentruntime.Message{}, err
			}
			continue
		}
		switch {
		case op == frameContinuation && kind == frameContinuation:
			return agentruntime.Message{}, &violation{closeProtocol, "a continuation of no message"}
		case op != frameContinuation && kind != frameContinuation:
			return agentruntime.Message{}, &violation{closeProtocol, "a message within a message"}
		case op != frameContinuation:
			kind = op
		}
		if size > uint64(MaxMessage-len(data)) {
			return agentruntime.Message{}, &violation{closeTooLarge, fmt.Sprintf("a message of more than %d bytes", MaxMessage)}
		}
		if data, err = c.payload(data, size, mask); err != nil {
			return agentruntime.Message{}, err
		}
		if !final {
			continue
		}
		if kind == frameText && !utf8.Valid(data) {
			return agentruntime.Message{}, &violation{closeNotUTF8, "a text that is not UTF-8"}
		}
		return agentruntime.Message{Text: kind == frameText, Data: data}, nil
	}
}

// read fills p.
func (c *Conn) read(p []byte) error {
	if c.early != nil {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
	}
	_, err := io.ReadFull(c.conn, p)
	return err
}

// header reads the head of a frame. Every frame of a client has a mask, so six bytes are there in any case.
func (c *Conn) header() (op byte, final bool, size uint64, mask [4]byte, err error) {
	if err := c.read(c.head[:6]); err != nil {
		return 0, false, 0, mask, err
	}
	h := c.head[:]
	op, final, size = h[0]&15, h[0]&128 != 0, uint64(h[1]&127)
	more := 0
	switch size {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if more > 0 {
		if err := c.read(h[6 : 6+more]); err != nil {
			return 0, false, 0, mask, err
		}
		if more == 2 {
			size = uint64(binary.BigEndian.Uint16(h[2:]))
		} else {
			size = binary.BigEndian.Uint64(h[2:])
		}
	}
	copy(mask[:], h[2+more:])
	switch {
	case h[0]&0x70 != 0:
		err = &violation{closeProtocol, "a frame of an extension"}
	case h[1]&128 == 0:
		err = &violation{closeProtocol, "a frame without a mask"}
	case op > framePong || op > frameBinary && op < frameClose:
		err = &violation{closeProtocol, fmt.Sprintf("a frame of kind %d", op)}
	case op >= frameClose && (!final || size > 125):
		err = &violation{closeProtocol, "a control frame that is long or in pieces"}
	}
	return op, final, size, mask, err
}

// payload reads so many bytes after data. Memory is taken as they come.
func (c *Conn) payload(data []byte, size uint64, mask [4]byte) ([]byte, error) {
	key := binary.LittleEndian.Uint32(mask[:])
	wide := uint64(key)<<32 | uint64(key)
	for at := uint64(0); at < size; {
		n := int(min(size-at, 64<<10))
		from := len(data)
		data = append(data, make([]byte, n)...)
		part := data[from:]
		if err := c.read(part); err != nil {
			return nil, err
		}
		i := 0 // 64 KiB is a multiple of the mask's length
		for ; i+8 <= n; i += 8 {
			binary.LittleEndian.PutUint64(part[i:], binary.LittleEndian.Uint64(part[i:])^wide)
		}
		for ; i < n; i++ {
			part[i] ^= mask[i&3]
		}
		at += uint64(n)
	}
	return data, nil
}

// control takes a control frame.
func (c *Conn) control(op byte, payload []byte) error {
	switch op {
	case framePing:
		return c.write(framePong, payload)
	case framePong:
		return nil
	}
	if len(payload) == 0 {
		return &agentruntime.CloseError{Code: closeNone}
	}
	if len(payload) == 1 {
		return &violation{closeProtocol, "a close with half a code"}
	}
	code, reason := int(binary.BigEndian.Uint16(payload)), payload[2:]
	if code < 1000 || code >= 1004 && code < 1007 || code >= 1015 && code < 3000 || code >= 5000 {
		return &violation{closeProtocol, fmt.Sprintf("a close with the code %d", code)}
	}
	if !utf8.Valid(reason) {
		return &violation{closeNotUTF8, "a close whose reason is not UTF-8"}
	}
	return &agentruntime.CloseError{Code: code, Reason: string(reason)}
}

// errClosed is what comes of a message after a close.
var errClosed = errors.New("socket: closed")

// write writes a frame.
func (c *Conn) write(op byte, payload []byte) error {
	head := make([]byte, 0, 10)
	head = append(head, 128|op)
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.closed = op == frameClose
	late := time.Now().Add(writeWithin)
	if until := c.until.Load(); until != 0 && until < late.UnixNano() {
		late = time.Unix(0, until)
	}
	if err := c.conn.SetWriteDeadline(late); err != nil {
		return err
	}
	frame := net.Buffers{head, payload}
	_, err := frame.WriteTo(c.conn)
	return err
}

// Send writes a message.
func (c *Conn) Send(_ context.Context, m agentruntime.Message) error {
	op := frameBinary
	if m.Text {
		op = frameText
	}
	return c.write(op, m.Data)
}

// Close writes a close frame. The connection ends with Drop.
func (c *Conn) Close(code int, reason string) error {
	var payload []byte
	if code != closeNone && code != closeAbnormal {
		payload = append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason[:min(len(reason), 123)]...)
	}
	return c.write(frameClose, payload)
}

// Until ends the connection at a time, unless it is dropped before: also a write that is under way.
func (c *Conn) Until(t time.Time) {
	c.until.Store(t.UnixNano())
	_ = c.conn.SetDeadline(t)
}

// Drop ends the connection now.
func (c *Conn) Drop() { _ = c.conn.Close() }
