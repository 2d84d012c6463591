package socket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a hub whose one actor sends every message back, and a server that connects each client to it.
type world struct {
	*Hub
	t      testing.TB
	actor  *Actor
	key    durable.Key
	server *httptest.Server
	tags   []string

	mu     sync.Mutex
	events []string
	fails  error
	heard  chan string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, key: durable.Key{Namespace: "a/Room"}, heard: make(chan string, 1<<16)}
	w.Hub = New(Config{Deliver: w.deliver})
	w.actor = w.Hub.Actor(w.key)
	w.server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(func() {
		w.server.Close()
		w.actor.Close()
		w.Hub.Close()
	})
	return w
}

func (w *world) deliver(_ context.Context, key durable.Key, ev agentruntime.SocketEvent) error {
	if w.fails != nil {
		return w.fails
	}
	switch {
	case ev.Message != nil && string(ev.Message.Data) == "bye":
		w.actor.End(ev.Socket.ID, 4000, "as asked")
	case ev.Message != nil:
		w.actor.Send(ev.Socket.ID, *ev.Message)
	case ev.Close != nil:
		w.heard <- fmt.Sprintf("closed %d %s", ev.Close.Code, ev.Close.Reason)
	default:
		w.heard <- "error " + ev.Error
	}
	return nil
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	id, err := w.actor.Accept(r.Context(), w.tags, nil)
	if err != nil {
		http.Error(rw, err.Error(), 500)
		return
	}
	outer, err := w.Take(w.key, id)
	if err != nil {
		http.Error(rw, err.Error(), 500)
		return
	}
	conn, err := Upgrade(rw, r, http.Header{"X-Own": {"1"}, "Sec-Websocket-Protocol": {"chat"}})
	if err != nil {
		_ = outer.Close(1006, "")
		if refused, ok := errors.AsType[*HandshakeError](err); ok {
			http.Error(rw, refused.Text, refused.Status)
		}
		return
	}
	_ = outer.Connect(conn)
}

func (w *world) dial() *websocket.Conn {
	w.t.Helper()
	conn, resp, err := websocket.Dial(w.t.Context(), w.server.URL, &websocket.DialOptions{Subprotocols: []string{"other", "chat"}})
	if err != nil {
		w.t.Fatal(err)
	}
	if conn.Subprotocol() != "chat" || resp.Header.Get("X-Own") != "1" {
		w.t.Fatal("the answer's header", resp.Header)
	}
	conn.SetReadLimit(MaxMessage)
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func echo(t testing.TB, conn *websocket.Conn, kind websocket.MessageType, data []byte) {
	t.Helper()
	if err := conn.Write(t.Context(), kind, data); err != nil {
		t.Fatal(err)
	}
	k, got, err := conn.Read(t.Context())
	if err != nil || k != kind || !bytes.Equal(got, data) {
		t.Fatalf("%d bytes of kind %v came back, %v; %d of kind %v were sent", len(got), k, err, len(data), kind)
	}
}

func TestMessages(t *testing.T) {
	w := newWorld(t)
	conn := w.dial()
	for _, size := range []int{0, 1, 125, 126, 127, 65_535, 65_536, 70_001, 5 << 20} {
		echo(t, conn, websocket.MessageBinary, bytes.Repeat([]byte{7, 200, 3}, size)[:size])
	}
	echo(t, conn, websocket.MessageText, []byte("h\u00e9llo"))
	// A message in pieces, with a ping that is answered.
	out, err := conn.Writer(t.Context(), websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := out.Write([]byte(strings.Repeat("x", 5000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); err != nil || len(got) != 15_000 {
		t.Fatal(len(got), err)
	}
	read := conn.CloseRead(t.Context())
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = read
}

func TestCloses(t *testing.T) {
	w := newWorld(t)
	conn := w.dial()
	if err := conn.Close(4001, "mine"); err != nil { // waits for the answer
		t.Fatal(err)
	}
	if got := <-w.heard; got != "closed 4001 mine" {
		t.Fatal(got)
	}
	conn = w.dial()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	_, _, err := conn.Read(t.Context())
	if closed, ok := errors.AsType[websocket.CloseError](err); !ok || closed.Code != 4000 || closed.Reason != "as asked" {
		t.Fatal(err)
	}
	if got := <-w.heard; got != "closed 4000 as asked" {
		t.Fatal(got)
	}
	conn = w.dial()
	_ = conn.CloseNow()
	if got := <-w.heard; got != "closed 1006 "+brokenOff {
		t.Fatal(got)
	}
	if n := w.Open(); n != 0 {
		t.Fatal(n, "sockets are left")
	}
	conn = w.dial()
	w.fails = errors.New("no actor")
	_ = conn.Write(t.Context(), websocket.MessageText, []byte("x"))
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != closeUnexpected {
		t.Fatal(err)
	}
}

func TestAutoResponse(t *testing.T) {
	w := newWorld(t)
	w.actor.SetAutoResponse(&agentruntime.AutoResponse{Request: "ping", Response: "pong"})
	conn := w.dial()
	w.fails = errors.New("it was woken")
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := conn.Read(t.Context()); err != nil || string(got) != "pong" {
		t.Fatal(string(got), err)
	}
	list, err := w.actor.List(t.Context(), nil)
	if err != nil || len(list) != 1 || list[0].Replied == 0 {
		t.Fatal(list, err)
	}
	w.fails = nil
	w.actor.SetAutoResponse(nil)
	echo(t, conn, websocket.MessageText, []byte("ping"))
}

// nowhere is the other side of a socket that does nothing.
type nowhere struct{ gone chan struct{} }

func (n nowhere) Receive(context.Context) (agentruntime.Message, error) {
	<-n.gone
	return agentruntime.Message{}, io.EOF
}
func (n nowhere) Send(context.Context, agentruntime.Message) error { return nil }
func (n nowhere) Close(int, string) error                          { return nil }
func (n nowhere) Until(time.Time)                                  {}
func (n nowhere) Drop() {
	select {
	case <-n.gone:
	default:
		close(n.gone)
	}
}

func TestLimitsOfSockets(t *testing.T) {
	h := New(Config{Deliver: func(context.Context, durable.Key, agentruntime.SocketEvent) error { return nil }})
	defer h.Close()
	key := durable.Key{Namespace: "n"}
	a := h.Actor(key)
	ctx := t.Context()
	for i := range agentruntime.MaxSockets {
		id, err := a.Accept(ctx, []string{fmt.Sprint("tag", i%4)}, make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		outer, err := h.Take(key, id)
		if err != nil {
			t.Fatal(err)
		}
		outer.s.connect(nowhere{make(chan struct{})})
	}
	if _, err := a.Accept(ctx, nil, nil); err == nil || !strings.Contains(err.Error(), "32768") {
		t.Fatal(err)
	}
	tag := "tag1"
	list, err := a.List(ctx, &tag)
	if err != nil || len(list) != agentruntime.MaxSockets/4 || list[0].Partial || list[0].ID > list[1].ID {
		t.Fatal(len(list), err)
	}
	all, _ := a.List(ctx, nil)
	if last := all[len(all)-1]; !last.Partial {
		t.Fatal("all of it came in one list")
	} else if info, err := a.Look(ctx, last.ID); err != nil || info.Partial || len(info.Attachment) != 64 || info.Tags[0] != "tag3" {
		t.Fatal(info, err)
	}
	for _, bad := range []error{
		agentruntime.CheckTags(make([]string, 11)), agentruntime.CheckTags([]string{strings.Repeat("x", 257)}), agentruntime.CheckAttachment(make([]byte, 16<<10+1)),
	} {
		if bad == nil {
			t.Error("too much was accepted")
		}
	}
}

// TestSocketsThatWait holds what code does with sockets that nobody is connected to within bounds.
func TestSocketsThatWait(t *testing.T) {
	h := New(Config{})
	defer h.Close()
	key := durable.Key{Namespace: "n"}
	a := h.Actor(key)
	var last uint64
	for range maxWaiting {
		id, err := a.Accept(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		last = id
	}
	if _, err := a.Accept(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "1000") {
		t.Fatal(err)
	}
	other := h.Actor(durable.Key{Namespace: "m"})
	defer other.Close()
	if _, err := other.Accept(t.Context(), nil, nil); err != nil {
		t.Fatal("one class's are another's", err)
	}
	of := h.accounts["n"]
	a.Send(last, agentruntime.Message{Data: make([]byte, maxEarly-10)})
	if n := of.queued.Load(); n != maxEarly-10 {
		t.Fatal(n, "bytes wait")
	}
	a.Send(last, agentruntime.Message{Data: make([]byte, 11)})
	if n := of.queued.Load(); n != 0 {
		t.Fatal(n, "bytes wait for a socket that was cut off")
	}
	// Nobody was ever connected: the instance's end is theirs.
	a.Close()
	if n, w := len(h.owners), of.waiting.Load(); n != 1 || w != 0 {
		t.Fatal(n, w, "sockets are left")
	}
}

func TestUsedByCode(t *testing.T) {
	w := newWorld(t)
	id, err := w.actor.Accept(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := w.Take(w.key, id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Take(w.key, id); err == nil {
		t.Fatal("the other side was given out twice")
	}
	if err := outer.Send(t.Context(), agentruntime.Message{Text: true, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if m, err := outer.Receive(t.Context()); err != nil || string(m.Data) != "x" {
		t.Fatal(m, err)
	}
	_ = outer.Close(1000, "done")
	if got := <-w.heard; got != "closed 1000 done" {
		t.Fatal(got)
	}
}

func TestServerGoesAway(t *testing.T) {
	w := newWorld(t)
	conn, other := w.dial(), w.dial()
	w.DropNamespace("a/Other")
	echo(t, conn, websocket.MessageText, []byte("still here"))
	w.DropNamespace("a/Room")
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != closeGoingAway {
		t.Fatal(err)
	}
	w.Hub.Close()
	if _, _, err := other.Read(t.Context()); websocket.CloseStatus(err) != closeGoingAway {
		t.Fatal(err)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*http.Request)
	}{
		{"no upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }},
		{"no connection", func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }},
		{"another version", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }},
		{"a short key", func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "AAAA") }},
		{"a POST", func(r *http.Request) { r.Method = "POST" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			for k, v := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
				r.Header.Set(k, v)
			}
			if _, err := checkHandshake(r); err != nil {
				t.Fatal(err)
			}
			c.change(r)
			_, err := Upgrade(httptest.NewRecorder(), r, nil)
			if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != http.StatusUpgradeRequired {
				t.Fatal(err)
			}
		})
	}
}

// BenchmarkSleepingSocket says what a connection costs at rest, of which the client's half is left out: those are
// raw connections that wait for nothing.
func BenchmarkSleepingSocket(b *testing.B) {
	w := newWorld(b)
	w.tags = []string{"all"}
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	const count = 2000
	for b.Loop() {
		raw := make([]*rawClient, count)
		before := measure()
		for i := range raw {
			raw[i] = dialRaw(b, w.server.Listener.Addr().String())
		}
		b.ReportMetric(float64(measure()-before)/count, "B/socket")
		for _, c := range raw {
			_ = c.Close()
		}
		for range raw {
			<-w.heard
		}
	}
}
