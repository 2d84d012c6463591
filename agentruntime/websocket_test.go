package agentruntime

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// converse sends messages to the socket of an answer, closes it and returns what came until its end.
func converse(t *testing.T, inv *Invocation, send ...string) (got []string, closed *CloseError, rep Report) {
	t.Helper()
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 101 || resp.Socket == nil {
		t.Fatalf("answered %d, socket %v", resp.Status, resp.Socket)
	}
	ctx := t.Context()
	for _, m := range send {
		if err := resp.Socket.Send(ctx, Message{Text: true, Data: []byte(m)}); err != nil {
			t.Fatal(err)
		}
		answered, err := resp.Socket.Receive(ctx)
		if err != nil {
			if !errors.As(err, &closed) {
				t.Fatal(err)
			}
			_ = resp.Socket.Close(closed.Code, closed.Reason)
			return got, closed, inv.Wait()
		}
		got = append(got, string(answered.Data))
	}
	_ = resp.Socket.Close(1000, "bye")
	for {
		m, err := resp.Socket.Receive(ctx)
		if err != nil {
			if !errors.As(err, &closed) {
				t.Fatal(err)
			}
			return got, closed, inv.Wait()
		}
		got = append(got, string(m.Data))
	}
}

const echoSource = `export default { fetch(req) {
	const [client, server] = Object.values(new WebSocketPair());
	server.accept();
	server.addEventListener("message", async e => {
		if (e.data === "late") await scheduler.wait(1);
		if (e.data === "end") return server.close(4000, "as asked");
		server.send("echo " + e.data);
	});
	server.addEventListener("close", e => console.log("closed", e.code, e.reason, e.wasClean, server.readyState));
	return new Response(null, { status: 101, webSocket: client });
} }`

func TestWebSocketPairAnswers(t *testing.T) {
	a := newAgent(t, echoSource, Config{})
	host := &testHost{}
	got, closed, rep := converse(t, a.Fetch(t.Context(), host, get("/")), "a", "late", "b")
	if want := []string{"echo a", "echo late", "echo b"}; !slices.Equal(got, want) {
		t.Errorf("received %q, want %q", got, want)
	}
	if closed.Code != 1000 || closed.Reason != "bye" {
		t.Errorf("closed with %v, want the echo of 1000 bye", closed)
	}
	if rep.Outcome != OutcomeOK {
		t.Errorf("outcome %s", rep.Outcome)
	}
	if logs := host.logs(); !slices.Equal(logs, []string{"log: closed 1000 bye true 3"}) {
		t.Errorf("logged %q", logs)
	}
}

func TestWebSocketClosedByCode(t *testing.T) {
	a := newAgent(t, echoSource, Config{})
	host := &testHost{}
	_, closed, rep := converse(t, a.Fetch(t.Context(), host, get("/")), "a", "end")
	if closed.Code != 4000 || closed.Reason != "as asked" || rep.Outcome != OutcomeOK {
		t.Errorf("closed with %v, outcome %s", closed, rep.Outcome)
	}
	if logs := host.logs(); !slices.Equal(logs, []string{"log: closed 4000 as asked true 3"}) {
		t.Errorf("logged %q", logs)
	}
}

func TestWebSocketBreaksOff(t *testing.T) {
	a := newAgent(t, echoSource, Config{})
	host := &testHost{}
	inv := a.Fetch(t.Context(), host, get("/"))
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Socket.Close(1006, "")
	if rep := inv.Wait(); rep.Outcome != OutcomeOK {
		t.Errorf("outcome %s", rep.Outcome)
	}
	if logs := host.logs(); !slices.Equal(logs, []string{"log: closed 1006  false 3"}) {
		t.Errorf("logged %q", logs)
	}
}

func TestWebSocketEndsWithItsInvocation(t *testing.T) {
	a := newAgent(t, strings.Replace(echoSource, `server.send("echo " + e.data);`, `for (;;);`, 1), Config{Limits: Limits{CPU: 100 * time.Millisecond}})
	inv := a.Fetch(t.Context(), &testHost{}, get("/"))
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Socket.Send(t.Context(), Message{Text: true, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	var closed *CloseError
	if _, err := resp.Socket.Receive(t.Context()); !errors.As(err, &closed) || closed.Code != 1006 {
		t.Errorf("received %v, want a socket that broke off", err)
	}
	if rep := inv.Wait(); rep.Outcome != OutcomeExceededCPU {
		t.Errorf("outcome %s", rep.Outcome)
	}
}

func TestWebSocketMisuse(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"send before accept", `new WebSocketPair()[0].send("x")`, "TypeError: You must call accept() on this WebSocket before sending messages."},
		{"a status without a socket", `new Response(null, {status: 101})`, "RangeError: Responses with a WebSocket must have status code 101, and those with status code 101 a WebSocket."},
		{"a close code", `{ const s = new WebSocketPair()[0]; s.accept(); s.close(1006) }`, "TypeError: Invalid WebSocket close code: 1006."},
		{"a reason without a code", `{ const s = new WebSocketPair()[0]; s.accept(); s.close(undefined, "why") }`, "TypeError: If you specify a WebSocket close reason, you must also specify a code."},
		{"a scheme", `new WebSocket("ftp://example.com")`, "SyntaxError: Failed to construct 'WebSocket': the URL's scheme must be ws, wss, http or https."},
		{"a fragment", `new WebSocket("wss://example.com/#x")`, "SyntaxError: Failed to construct 'WebSocket': the URL must not have a fragment."},
		{"protocols twice", `new WebSocket("wss://example.com/", ["a", "a"])`, `SyntaxError: Failed to construct 'WebSocket': the subprotocol "a" is invalid or duplicated.`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { fetch() { try { `+c.src+`; return new Response("nothing") } catch (e) { return new Response(e.name + ": " + e.message) } } }`, Config{})
			body, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{}, get("/")))
			if err != nil || body != c.want {
				t.Errorf("%q, %v; want %q", body, err, c.want)
			}
		})
	}
}

// socketServer is a host that answers a handshake with a socket that sends everything back in upper case.
func socketServer(t *testing.T, want string) *testHost {
	return &testHost{fetch: func(_ context.Context, _ Target, req *Request) (*Response, error) {
		if req.Header.Get("Upgrade") != "websocket" || req.URL != want {
			return &Response{Status: 404, Header: map[string][]string{}}, nil
		}
		ours, theirs := NewSocketPair()
		go func() {
			for {
				m, err := ours.Receive(t.Context())
				if err != nil {
					if closed, ok := errors.AsType[*CloseError](err); ok {
						_ = ours.Close(closed.Code, closed.Reason)
					}
					return
				}
				_ = ours.Send(t.Context(), Message{Text: m.Text, Data: []byte(strings.ToUpper(string(m.Data)))})
			}
		}()
		return &Response{Status: 101, Header: map[string][]string{"Sec-Websocket-Protocol": {"b"}}, Socket: theirs}, nil
	}}
}

func TestWebSocketClient(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"the constructor", `const ws = new WebSocket("wss://there.example/x", ["a", "b"]); const first = ws.readyState;
			await new Promise(r => ws.onopen = r);
			const got = new Promise(r => ws.onmessage = e => r(e.data)); ws.send("hello");
			const text = await got; const gone = new Promise(r => ws.onclose = r); ws.close(4001, "ok"); const e = await gone;
			return new Response([first, ws.protocol, ws.url, text, e.code, e.reason, e.wasClean, ws.readyState].join())`,
			"0,b,wss://there.example/x,HELLO,4001,ok,true,3"},
		{"fetch with Upgrade", `const res = await fetch("https://there.example/x", {headers: {Upgrade: "websocket"}}); const ws = res.webSocket;
			ws.accept(); const got = new Promise(r => ws.addEventListener("message", e => r(new Uint8Array(e.data)))); ws.send(new Uint8Array([104, 105]));
			const data = await got; ws.close(); return new Response([res.status, new TextDecoder().decode(data)].join())`, "101,HI"},
		{"a server that will not", `const ws = new WebSocket("wss://there.example/other"); const events = [];
			ws.onerror = e => events.push(e.type + " " + (e.message !== "")); const e = await new Promise(r => ws.onclose = r);
			return new Response(events.join() + "," + e.code + e.wasClean)`, "error true,1006false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t, `export default { async fetch() { `+c.src+` } }`, Config{})
			body, _, err, rep := answer(t, a.Fetch(t.Context(), socketServer(t, "https://there.example/x"), get("/")))
			if err != nil || body != c.want || rep.Outcome != OutcomeOK {
				t.Errorf("%q, %v, %s; want %q", body, err, rep.Outcome, c.want)
			}
		})
	}
}

func TestWebSocketPassesThrough(t *testing.T) {
	a := newAgent(t, `export default { fetch: req => fetch("https://there.example/x", req) }`, Config{})
	req := get("/")
	req.Header.Set("Upgrade", "websocket")
	got, closed, rep := converse(t, a.Fetch(t.Context(), socketServer(t, "https://there.example/x"), req), "a", "b")
	if !slices.Equal(got, []string{"A", "B"}) || closed.Code != 1000 || rep.Outcome != OutcomeOK {
		t.Errorf("received %q, closed with %v, outcome %s", got, closed, rep.Outcome)
	}
}

func TestWebSocketOfAnActorSendsWhatIsDurable(t *testing.T) {
	s := newStage(t, `export class A { constructor(state) { this.state = state }
		fetch() {
			const [client, server] = Object.values(new WebSocketPair()); server.accept();
			server.onmessage = async e => { const n = (await this.state.storage.get("n") ?? 0) + 1; await this.state.storage.put("n", n); server.send(e.data + n) };
			return new Response(null, {status: 101, webSocket: client});
		} }
		export default { fetch() {} }`).activate()
	resp, err := s.actor.Fetch(t.Context(), &testHost{}, get("/")).Response()
	if err != nil {
		t.Fatal(err)
	}
	s.backend.mu.Lock()
	s.backend.hold = true
	s.backend.mu.Unlock()
	if err := resp.Socket.Send(t.Context(), Message{Text: true, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	got := make(chan Message, 1)
	go func() {
		if m, err := resp.Socket.Receive(t.Context()); err == nil {
			got <- m
		}
	}()
	for s.backend.commits() == 0 {
		runtime.Gosched()
	}
	select {
	case m := <-got:
		t.Errorf("%q left before what was written is durable", m.Data)
	default:
	}
	s.backend.release()
	if m := <-got; string(m.Data) != "x1" {
		t.Errorf("received %q", m.Data)
	}
	_ = resp.Socket.Close(1000, "")
}
