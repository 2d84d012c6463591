package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// dial opens a WebSocket to the server, as a browser would.
func (s *server) dial(path string, protocols ...string) (*websocket.Conn, *http.Response) {
	s.t.Helper()
	conn, resp, err := websocket.Dial(s.t.Context(), "ws"+strings.TrimPrefix(s.url(path), "http"), &websocket.DialOptions{
		Subprotocols: protocols, HTTPClient: &http.Client{Transport: browser{&http.Transport{}}},
	})
	if err != nil {
		s.t.Fatalf("open a WebSocket to %s: %v\n%s", path, err, s.logged())
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn, resp
}

func say(t *testing.T, conn *websocket.Conn, text string) string {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	_, data, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newSocketServer(t *testing.T) *server {
	outside := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			_ = conn.Write(r.Context(), kind, []byte(strings.ToUpper(string(data))))
		}
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				data, _ := io.ReadAll(c)
				_, _ = io.WriteString(c, strings.ToUpper(string(data)))
				_ = c.Close()
			}()
		}
	}()
	return startServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`egress out {
	allow %[1]s
	allow %[2]s
	allow_ip 127.0.0.1/32
}
agent sockets {
	main ./sockets.ts
	durable ROOM Room
	var OUTSIDE http://%[1]s/
	var TCP %[2]s
	egress out
}`, outside.host(), tcp.Addr()), "bot_score\nwaf {\n\tcrs\n}\nagent sockets"),
		"sockets.ts": agentFile(t, "sockets.ts"),
	})
}

func TestWebSockets(t *testing.T) {
	t.Parallel()
	s := newSocketServer(t)

	conn, resp := s.dial("/echo", "other", "chat")
	want(t, "the subprotocol", conn.Subprotocol(), "chat")
	want(t, "a header of the answer", resp.Header.Get("X-Own"), "kept")
	want(t, "an echo", say(t, conn, "hello"), "hello")
	want(t, "a large echo", len(say(t, conn, strings.Repeat("x", 30_000))), 30_000)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("close")); err != nil {
		t.Fatal(err)
	}
	_, _, err := conn.Read(t.Context())
	want(t, "the code's close", websocket.CloseStatus(err), 4002)

	// The client's close reaches the code, and the record is written when the socket has ended.
	conn, _ = s.dial("/echo?second")
	want(t, "an echo", say(t, conn, "again"), "again")
	if err := conn.Close(4003, "mine"); err != nil {
		t.Fatal(err)
	}
	rec := s.waitFull("the socket's record", func(r fullRecord) bool {
		return r.Status == 101 && len(r.Logs) > 0 && strings.Contains(r.Logs[0].Message, "4003")
	})
	want(t, "the log", rec.Logs[0].Message, "closed 4003 mine")
	want(t, "the outcome", rec.Outcome, "ok")

	room, _ := s.dial("/room")
	want(t, "a durable count", say(t, room, "a"), "1: a")
	second, _ := s.dial("/room")
	want(t, "another socket of the actor", say(t, second, "b"), "2: b")
	want(t, "the first again", say(t, room, "c"), "3: c")

	through, _ := s.dial("/through")
	want(t, "an outside server's socket", say(t, through, "loud"), "LOUD")
	want(t, "the constructor", s.get("/client", 200), "FROM CODE")
	want(t, "a host that is not allowed", s.get("/client?url=wss%3A%2F%2Fexample.com%2F", 200), "EGRESS_DENIED")

	// A request that asks for no socket gets none.
	s.get("/echo", http.StatusUpgradeRequired)

	// A message's handler over its CPU limit breaks the socket off, and nothing else.
	looping, _ := s.dial("/echo")
	if err := looping.Write(t.Context(), websocket.MessageText, []byte("loop")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := looping.Read(t.Context()); err == nil {
		t.Error("the socket of an endless handler answers")
	}
	want(t, "the room afterwards", say(t, room, "d"), "4: d")
}

func TestTCPConnections(t *testing.T) {
	t.Parallel()
	s := newSocketServer(t)
	want(t, "an allowed connection", s.get("/tcp", 200), "OVER TCP")
	rec := s.waitFull("the call's record", func(r fullRecord) bool { return len(r.Calls) == 1 && r.Calls[0].Method == "CONNECT" })
	want(t, "bytes out", rec.Calls[0].BytesOut, 8)
	want(t, "a refused connection", s.get("/tcp?to=127.0.0.1:1", 200), "EGRESS_DENIED")
	want(t, "a refused name", s.get("/tcp?to=example.com:443", 200), "EGRESS_DENIED")
}
