package integration

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func hear(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	_, data, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func roomSite(isolation string) string {
	return site("agent rooms {\n\tmain ./rooms.ts\n\tdurable ROOM Room\n\tisolation "+isolation+"\n\tlimits {\n\t\tcpu 200ms\n\t}\n}", "agent rooms")
}

// twins runs a test with code in the gateway's process and in one of its own.
func twins(t *testing.T, f func(t *testing.T, isolation string)) {
	t.Parallel()
	for _, isolation := range []string{"process", "inprocess"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			f(t, isolation)
		})
	}
}

func TestKeptSockets(t *testing.T) {
	twins(t, func(t *testing.T, isolation string) {
		s := startServer(t, map[string]string{"Caddyfile": roomSite(isolation), "rooms.ts": agentFile(t, "rooms.ts")})
		ann, resp := s.dial("/?name=ann")
		want(t, "a header of the answer", resp.Header.Get("X-Own"), "kept")
		want(t, "what was sent before the answer", hear(t, ann), "welcome ann")
		want(t, "tags and attachment", say(t, ann, "who"), "ann of 1, all+ann, life 1")
		s.waitFull("the record of the request, which is over", func(r fullRecord) bool { return r.Kind == "fetch" && r.Status == 101 && r.Outcome == "ok" })
		ben, _ := s.dial("/?name=ben")
		want(t, "the second", hear(t, ben), "welcome ben")
		want(t, "to all", say(t, ben, "all hello"), "ben: hello")
		want(t, "to all", hear(t, ann), "ben: hello")
		want(t, "to one by its tag", say(t, ann, "to ann"), "ann to ann")
		want(t, "a changed attachment", say(t, ann, "be ina"), "now ina")
		want(t, "the automatic answer", say(t, ben, "ping"), "pong")
		want(t, "its pair and time", say(t, ben, "auto"), "ping true")
		if err := ben.Write(t.Context(), websocket.MessageBinary, []byte{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		want(t, "bytes", hear(t, ben), "\x03\x02\x01")
		long := strings.Repeat("x", 200_000)
		want(t, "a long message", say(t, ben, "be "+long[:1000]), "now "+long[:1000])
		ben.SetReadLimit(1 << 20)
		ann.SetReadLimit(1 << 20)
		want(t, "a long message", say(t, ben, "all "+long), long[:1000]+": "+long)
		want(t, "a long message", len(hear(t, ann)), len(long)+1002)

		// The actor resets itself, its sockets stay.
		if err := ben.Write(t.Context(), websocket.MessageText, []byte("abort")); err != nil {
			t.Fatal(err)
		}
		s.wait("the next life", func() bool { // a call may still meet the reset
			_, body, err := s.try("GET", "/how", "")
			return err == nil && strings.Contains(body, `"lives":2`)
		})
		want(t, "after a reset", say(t, ann, "who"), "ina of 2, all+ann, life 2")

		// Its code passes a limit; in a cell that may be the cell's end. The sockets stay.
		if err := ben.Write(t.Context(), websocket.MessageText, []byte("spin")); err != nil {
			t.Fatal(err)
		}
		s.waitFull("the record of the endless handler", func(r fullRecord) bool { return r.Kind == "websocket" && r.Outcome == "exceededCpu" })
		want(t, "after the limit", say(t, ann, "who"), "ina of 2, all+ann, life 3")
		want(t, "durable before it is sent", say(t, ann, "count"), "1")

		// An exception leaves the socket open, and is in the record of the message.
		if err := ann.Write(t.Context(), websocket.MessageText, []byte("nonsense")); err != nil {
			t.Fatal(err)
		}
		rec := s.waitFull("the exception's record", func(r fullRecord) bool {
			return r.Kind == "websocket" && r.Outcome == "exception" && len(r.Exceptions) > 0 && strings.Contains(r.Exceptions[0].Message, "nonsense")
		})
		want(t, "the record's method", rec.Method, "message")
		want(t, "after the exception", say(t, ann, "count"), "2")

		// The client closes: the actor hears of it.
		if err := ben.Close(4003, "mine"); err != nil {
			t.Fatal(err)
		}
		want(t, "who left", hear(t, ann), long[:1000]+" left: 4003 mine")
		s.waitFull("the close's record", func(r fullRecord) bool {
			return r.Kind == "websocket" && r.Method == "close" && len(r.Logs) > 0 && strings.HasSuffix(r.Logs[0].Message, "closed 4003 mine true 3")
		})
		// One breaks off.
		eve, _ := s.dial("/?name=eve")
		want(t, "a third", hear(t, eve), "welcome eve")
		_ = eve.CloseNow()
		want(t, "who broke off", hear(t, ann), "eve left: 1006 WebSocket disconnected without sending Close frame.")
		// The actor closes.
		if err := ann.Write(t.Context(), websocket.MessageText, []byte("bye")); err != nil {
			t.Fatal(err)
		}
		_, _, err := ann.Read(t.Context())
		closed, ok := errors.AsType[websocket.CloseError](err)
		want(t, "the actor's close", ok && closed.Code == 4001 && closed.Reason == "as asked", true)
		s.wait("the room to be empty", func() bool { return strings.Contains(s.get("/how", 200), `"sockets":0`) })
		want(t, "code as the client", s.get("/used", 200), "welcome code|code of 1, all+code, life 3")
		s.get("/", 426)
		want(t, "what a caller of a reset actor is told", s.get("/quit?room=b", 200), `["as asked",true,false,false,true]`)
		for _, room := range []string{"a", "b", "c", "d"} {
			s.get("/how?room="+room, 200)
		}
		want(t, "the list of rooms", s.get("/list", 200), `{"found":5,"known":true,"sorted":true}`)
	})
}

// pinged keeps a socket answered by itself for a while, which must not keep its actor in memory.
func pinged(t *testing.T, s *server, conn *websocket.Conn, d time.Duration) {
	t.Helper()
	begun := time.Now()
	s.wait("the time to pass", func() bool {
		want(t, "the automatic answer", say(t, conn, "ping"), "pong")
		return time.Since(begun) > d
	})
}

func TestKeptSocketsOutlive(t *testing.T) {
	twins(t, func(t *testing.T, isolation string) {
		code := agentFile(t, "rooms.ts")
		files := map[string]string{"Caddyfile": roomSite(isolation), "rooms.ts": code}
		s := startServer(t, files)
		ann, _ := s.dial("/?name=ann")
		hear(t, ann)
		want(t, "awake", say(t, ann, "count"), "1")

		// New code: the actor is reset once, between events; its sockets stay, and its alarm.
		want(t, "an alarm", say(t, ann, "wake 5000"), "set")
		if err := ann.Write(t.Context(), websocket.MessageText, []byte("hold 1500")); err != nil {
			t.Fatal(err)
		}
		s.write("rooms.ts", strings.ReplaceAll(code, "life ${", "new life ${"))
		want(t, "the event under way", hear(t, ann), "held in life 1")
		s.wait("the new code", func() bool { return strings.HasSuffix(say(t, ann, "who"), "new life 2") })
		want(t, "the alarm is set still", say(t, ann, "woken"), "alarm true, rang 0")
		want(t, "it rings", hear(t, ann), "ding in new life 2")
		want(t, "once", say(t, ann, "woken"), "alarm false, rang 1")
		want(t, "what was stored", say(t, ann, "count"), "2")

		// A reload that changes nothing of the agent: not even the actor notices.
		s.write("Caddyfile", strings.Replace(roomSite(isolation), "agent rooms\n}", "header X-New 1\nagent rooms\n}", 1))
		if out, err := s.reload(); err != nil {
			t.Fatal(out, err)
		}
		ben, resp := s.dial("/?name=ben")
		want(t, "the new configuration", resp.Header.Get("X-New"), "1")
		hear(t, ben)
		want(t, "after the reload", say(t, ann, "who"), "ann of 2, all+ann, new life 2")

		// The actor leaves memory, and the next message wakes it.
		pinged(t, s, ann, 11*time.Second)
		want(t, "awake again", say(t, ann, "who"), "ann of 2, all+ann, new life 3")

		// Without the agent nobody is left to serve them.
		s.write("Caddyfile", site("", "respond nobody"))
		if out, err := s.reload(); err != nil {
			t.Fatal(out, err)
		}
		for {
			_, _, err := ben.Read(t.Context())
			if err == nil {
				continue
			}
			want(t, "the close", websocket.CloseStatus(err), websocket.StatusGoingAway)
			break
		}
	})
}
