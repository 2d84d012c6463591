package cell

import (
	"context"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/socket"
)

// TestKeptSockets lets the cell end while a socket of its actor is open: the socket stays, and the next instance has it.
func TestKeptSockets(t *testing.T) {
	a := newAgent(t, newPool(t), `export class A {
		constructor(ctx) { this.ctx = ctx }
		fetch() {
			const [client, server] = Object.values(new WebSocketPair());
			server.serializeAttachment({mine: 1});
			this.ctx.acceptWebSocket(server, ["t"]);
			return new Response(null, {status: 101, webSocket: client});
		}
		webSocketMessage(ws, m) { ws.send([m, this.ctx.getWebSockets("t").length, this.ctx.getTags(ws), ws.deserializeAttachment().mine].join()) }
	}
	export default { fetch() {} }`)
	store := durable.NewMemory()
	defer store.Close()
	key := durable.Key{Namespace: "A", ID: durable.NewNamespace("A").IDFromName("one")}
	var actor *Actor
	hub := socket.New(socket.Config{Deliver: func(ctx context.Context, _ durable.Key, ev agentruntime.SocketEvent) error {
		_, _ = actor.Socket(ctx, nobody{}, ev).Response() // whatever it came to, it was delivered
		return nil
	}})
	defer hub.Close()
	activate := func() *socket.Actor {
		t.Helper()
		fence, state, err := store.Acquire(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		sockets := hub.Actor(key)
		actor, err = a.Activate(t.Context(), "A", durable.Activation{Key: key, Fence: fence, Name: "one", State: state, Backend: durable.NewBackend(store, fence)}, nobody{}, sockets)
		if err != nil {
			t.Fatal(err)
		}
		return sockets
	}
	sockets := activate()
	inv := actor.Fetch(t.Context(), nobody{}, get("/"))
	resp, err := inv.Response()
	if err != nil {
		t.Fatal(err)
	}
	kept, ok := resp.Socket.(*agentruntime.Kept)
	if !ok {
		t.Fatalf("answered with %v", resp.Socket)
	}
	if rep := inv.Wait(); rep.Outcome != agentruntime.OutcomeOK {
		t.Fatal(rep)
	}
	outer, err := hub.Take(key, kept.ID)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(text string) string {
		t.Helper()
		if err := outer.Send(t.Context(), agentruntime.Message{Text: true, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
		m, err := outer.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(m.Data)
	}
	if got := ask("x"); got != "x,1,t,1" {
		t.Fatal(got)
	}
	_ = actor.cell.cmd.Process.Kill()
	<-actor.cell.gone
	sockets.Close()
	defer activate().Close()
	if got := ask("y"); got != "y,1,t,1" {
		t.Fatal(got)
	}
	actor.Close(nil)
	_ = outer.Close(1006, "")
}
