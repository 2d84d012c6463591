package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// rawClient is a client that has done its handshake and nothing else.
type rawClient struct{ net.Conn }

func dialRaw(t testing.TB, addr string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var answer []byte
	for one := make([]byte, 1); !bytes.HasSuffix(answer, []byte("\r\n\r\n")); answer = append(answer, one[0]) {
		if _, err := conn.Read(one); err != nil {
			t.Fatal(err)
		}
	}
	return &rawClient{conn}
}

// wired is a connection that brings some bytes and then ends.
type wired struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (w *wired) Read(p []byte) (int, error)       { return w.in.Read(p) }
func (w *wired) Write(p []byte) (int, error)      { return w.out.Write(p) }
func (w *wired) SetWriteDeadline(time.Time) error { return nil }

func TestViolations(t *testing.T) {
	mask := "\x00\x00\x00\x00"
	for _, c := range []struct {
		name, in string
		code     int
	}{
		{"without a mask", "\x81\x05hello", closeProtocol},
		{"an extension", "\xc1\x80" + mask, closeProtocol},
		{"an unknown kind", "\x83\x80" + mask, closeProtocol},
		{"an unknown control frame", "\x8b\x80" + mask, closeProtocol},
		{"a continuation of nothing", "\x80\x80" + mask, closeProtocol},
		{"a message within a message", "\x01\x81" + mask + "a\x81\x81" + mask + "b", closeProtocol},
		{"a ping in pieces", "\x09\x80" + mask, closeProtocol},
		{"a long ping", "\x89\xfe\x00\x7e" + mask, closeProtocol},
		{"a text that is none", "\x81\x81" + mask + "\xff", closeNotUTF8},
		{"a huge message", "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00" + mask, closeTooLarge},
		{"a length beyond all", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + mask, closeTooLarge},
		{"half a code", "\x88\x81" + mask + "\x03", closeProtocol},
		{"a code that is never sent", "\x88\x82" + mask + "\x03\xee", closeProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newConn(&wired{in: bytes.NewReader([]byte(c.in))}, nil).Receive(t.Context())
			if v, ok := errors.AsType[*violation](err); !ok || v.code != c.code {
				t.Errorf("%v, want the code %d", err, c.code)
			}
		})
	}
}

func TestEarlyBytesComeFirst(t *testing.T) {
	c := newConn(&wired{in: bytes.NewReader([]byte("\x00\x00\x00llo"))}, []byte("\x81\x85\x00he"[:3]))
	c.conn.(*wired).in = bytes.NewReader([]byte("\x00\x00\x00hello"))
	if m, err := c.Receive(t.Context()); err != nil || string(m.Data) != "hello" {
		t.Fatalf("%q, %v", m.Data, err)
	}
}

// FuzzReceive holds a connection to whatever a client may send: messages, an end or a violation, and never more memory than came.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x81\x85\x01\x02\x03\x04igolo"))
	f.Add([]byte("\x01\x81\x00\x00\x00\x00a\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b"))
	f.Add([]byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))
	f.Add([]byte("\x82\xff\x00\x00\x00\x00\x01\xff\xff\xff\x00\x00\x00\x00abc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := newConn(&wired{in: bytes.NewReader(in)}, nil)
		for total := 0; ; {
			m, err := c.Receive(t.Context())
			if err != nil {
				_, closed := errors.AsType[*agentruntime.CloseError](err)
				_, wrong := errors.AsType[*violation](err)
				if !closed && !wrong && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				return
			}
			if total += len(m.Data); total > len(in) {
				t.Fatal("more came out than went in")
			}
		}
	})
}
