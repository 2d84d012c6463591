package agentruntime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// keeper is the gateway's side of an actor's sockets, which writes down what it is asked for.
type keeper struct {
	mu    sync.Mutex
	next  uint64
	infos []SocketInfo
	did   []string
	auto  *AutoResponse
}

func (k *keeper) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.did = append(k.did, fmt.Sprintf(format, args...))
}

func (k *keeper) noted() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.did, "|")
}

func (k *keeper) Accept(_ context.Context, tags []string, attachment []byte) (uint64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next++
	k.infos = append(k.infos, SocketInfo{ID: k.next, Tags: tags, Attachment: attachment})
	return k.next, nil
}

func (k *keeper) List(_ context.Context, tag *string) (list []SocketInfo, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.infos {
		if tag == nil || slices.Contains(s.Tags, *tag) {
			list = append(list, SocketInfo{ID: s.ID, Partial: true})
		}
	}
	return list, nil
}

func (k *keeper) Look(_ context.Context, id uint64) (SocketInfo, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.infos {
		if s.ID == id {
			return s, nil
		}
	}
	return SocketInfo{ID: id, Closing: true}, nil
}

func (k *keeper) AutoResponse(context.Context) (*AutoResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.auto, nil
}

func (k *keeper) Send(id uint64, m Message)              { k.note("send %d %s", id, m.Data) }
func (k *keeper) End(id uint64, code int, reason string) { k.note("end %d %d %s", id, code, reason) }
func (k *keeper) Attach(id uint64, data []byte)          { k.note("attach %d", id) }
func (k *keeper) SetAutoResponse(p *AutoResponse)        { k.note("auto %v", p) }
func (s *stage) socket(ev SocketEvent) (Report, error) {
	s.t.Helper()
	inv := s.actor.Socket(s.t.Context(), s.host, ev)
	_, err := inv.Response()
	return inv.Wait(), err
}

func message(id uint64, text string) SocketEvent {
	return SocketEvent{Socket: SocketInfo{ID: id, Partial: true}, Message: &Message{Text: true, Data: []byte(text)}}
}

const keptSource = `export class A {
	constructor(ctx) { this.ctx = ctx }
	fetch() {
		const [client, server] = Object.values(new WebSocketPair());
		server.serializeAttachment({n: 1});
		this.ctx.acceptWebSocket(server, ["a", "b", "a"]);
		server.send("first");
		return new Response(null, {status: 101, webSocket: client});
	}
	async webSocketMessage(ws, m) {
		if (m === "put") { this.ctx.storage.put("k", 1); ws.send("durable"); ws.serializeAttachment(2); return }
		if (m === "same") return ws.send(String(this.ctx.getWebSockets().includes(ws) && this.ctx.getWebSockets("a")[0] === ws && this.ctx.getWebSockets("c").length === 0));
		if (m === "bye") { ws.close(4000, "x"); return ws.send("late") }
		ws.send(m + " " + this.ctx.getTags(ws) + " " + JSON.stringify(ws.deserializeAttachment()) + ws.readyState);
	}
	webSocketClose(ws, code, reason, clean) { console.log(code, reason, clean, ws.readyState, JSON.stringify(ws.deserializeAttachment())) }
	run(code) { return new Function("ctx", code)(this.ctx) }
}
export default { fetch() {} }`

func TestKeptSocket(t *testing.T) {
	s := newStage(t, keptSource)
	k := &keeper{}
	s.sockets = k
	s.activate()
	inv := s.actor.Fetch(t.Context(), s.host, get("/"))
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	kept, ok := resp.Socket.(*Kept)
	if !ok || kept.ID != 1 {
		t.Fatalf("answered with the socket %v", resp.Socket)
	}
	if rep := inv.Wait(); rep.Outcome != OutcomeOK {
		t.Fatal("the event lasts as its socket does", rep)
	}
	if s.actor.Busy() {
		t.Fatal("an actor that only has sockets is busy")
	}
	for _, step := range []struct {
		ev   SocketEvent
		want string
	}{
		{message(1, "who"), `send 1 first|send 1 who a,b {"n":1}1`},
		{message(1, "same"), `send 1 true`},
	} {
		if _, err := s.socket(step.ev); err != nil || k.noted() != step.want {
			t.Fatalf("%q, %v; want %q", k.noted(), err, step.want)
		}
		k.did = nil
	}

	// What the gateway is to do waits for what was written before, in its order.
	s.backend.mu.Lock()
	s.backend.hold = true
	s.backend.mu.Unlock()
	waiting := s.actor.Socket(t.Context(), s.host, message(1, "put"))
	if got := k.noted(); got != "" {
		t.Errorf("%q left before what was written is durable", got)
	}
	s.backend.release()
	if _, err := waiting.Response(); err != nil || k.noted() != "send 1 durable|attach 1" {
		t.Fatalf("%q, %v", k.noted(), err)
	}
	k.did = nil
	if rep, err := s.socket(message(1, "bye")); err == nil || k.noted() != "end 1 4000 x" || rep.Outcome != OutcomeException {
		t.Fatalf("%q, %v, %v", k.noted(), err, rep)
	}

	// A new instance knows nothing of it but what the event brings.
	s.actor.Close(nil)
	s.activate()
	k.did = nil
	s.host.events = nil
	if _, err := s.socket(message(1, "again")); err != nil || k.noted() != `send 1 again a,b {"n":1}1` {
		t.Fatalf("%q, %v", k.noted(), err)
	}
	end := message(1, "")
	end.Message, end.Close = nil, &CloseError{Code: 1001, Reason: "away"}
	if _, err := s.socket(end); err != nil || !slices.Equal(s.host.logs(), []string{`log: 1001 away true 3 {"n":1}`}) {
		t.Fatalf("%q, %v", s.host.logs(), err)
	}
}

func TestKeptSocketMisuse(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"11 tags", `ctx.acceptWebSocket(server, Array.from({length: 11}, (_, i) => "t" + i))`, "Error: acceptWebSocket(): a WebSocket may have at most 10 tags, and 11 were given"},
		{"a long tag", `ctx.acceptWebSocket(server, ["é".repeat(257)])`, "Error: acceptWebSocket(): a tag of a WebSocket may have at most 256 characters, and one has 257"},
		{"a tag of 256 characters", `ctx.acceptWebSocket(server, ["é".repeat(256)]); throw new Error(ctx.getTags(server)[0].length)`, "Error: 256"},
		{"a large attachment", `server.serializeAttachment("x".repeat(20000))`, "Error: a WebSocket's attachment may have at most 16384 bytes, and this one has 20006"},
		{"accepted before", `server.accept(); ctx.acceptWebSocket(server)`, "Error: acceptWebSocket(): the WebSocket was accepted with accept() already"},
		{"accepted twice", `ctx.acceptWebSocket(server); ctx.acceptWebSocket(server)`, "Error: acceptWebSocket(): the WebSocket was accepted by it already"},
		{"accept afterwards", `ctx.acceptWebSocket(server); server.accept()`, "TypeError: Can't accept() a WebSocket that was accepted with acceptWebSocket() already."},
		{"the other end", `ctx.acceptWebSocket(server); client.accept()`, "TypeError: Can't accept() the other end of a WebSocket that was accepted with acceptWebSocket(): answer with it."},
		{"tags of another", `ctx.getTags(server)`, "Error: getTags(): the WebSocket was not accepted with acceptWebSocket()"},
		{"a long request", `ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("x".repeat(2049), ""))`, "Error: setWebSocketAutoResponse(): the request of an automatic answer may have at most 2048 characters, and this one has 2049"},
		{"no pair", `ctx.setWebSocketAutoResponse({request: "a", response: "b"})`, "TypeError: setWebSocketAutoResponse(): the argument is not a WebSocketRequestResponsePair"},
		{"a timeout", `ctx.setHibernatableWebSocketEventTimeout(604800001)`, "Error: setHibernatableWebSocketEventTimeout(): 604800001 is not from 0 to 604800000 ms"},
		{"what is set is there", `ctx.setHibernatableWebSocketEventTimeout(5); ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("a", "b")); const p = ctx.getWebSocketAutoResponse();
			ctx.setWebSocketAutoResponse(); throw new Error([ctx.getHibernatableWebSocketEventTimeout(), p.request, p.response, ctx.getWebSocketAutoResponse()])`, "Error: 5,a,b,"},
		{"nothing attached", `throw new Error(server.deserializeAttachment())`, "Error: null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, keptSource)
			s.sockets = &keeper{}
			s.activate()
			code := "const [client, server] = Object.values(new WebSocketPair()); try { " + c.code + " } catch (e) { return e.name + ': ' + e.message }"
			if got := s.call("run", "`"+code+"`"); !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
