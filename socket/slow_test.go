package socket

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// TestSlowClientIsCutOff sends to a client that reads nothing until more has gathered than may.
func TestSlowClientIsCutOff(t *testing.T) {
	w := newWorld(t)
	dialRaw(t, w.server.Listener.Addr().String())
	list, err := w.actor.List(t.Context(), nil)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	part := agentruntime.Message{Data: make([]byte, 1<<20)}
	for w.Open() > 0 {
		w.actor.Send(list[0].ID, part)
	}
	select {
	case got := <-w.heard:
		if got != "closed 1006 "+brokenOff {
			t.Fatal(got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	if n := w.accounts[w.key.Namespace].queued.Load(); n != 0 {
		t.Fatal(n, "bytes wait for nobody")
	}
}

// TestAllClientsTogether cuts off who is slow once all that waits is too much, and lets who is not go on.
func TestAllClientsTogether(t *testing.T) {
	w := newWorld(t)
	quick := w.dial()
	dialRaw(t, w.server.Listener.Addr().String())
	list, err := w.actor.List(t.Context(), nil)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	of := w.accounts[w.key.Namespace]
	of.queued.Add(maxQueues) // as if others had so much
	slow := list[1].ID
	w.actor.Send(slow, agentruntime.Message{Data: make([]byte, 30<<20)}) // more than the system takes for a client that reads nothing
	w.actor.Send(slow, agentruntime.Message{Data: make([]byte, 1)})
	if got := <-w.heard; got != "closed 1006 "+brokenOff {
		t.Fatal(got)
	}
	echo(t, quick, websocket.MessageText, []byte("still here"))
	of.queued.Add(-maxQueues)
}

// TestCloseDoesNotWaitForClients closes the hub while a client takes nothing of what is being written to it.
func TestCloseDoesNotWaitForClients(t *testing.T) {
	w := newWorld(t)
	dialRaw(t, w.server.Listener.Addr().String())
	list, _ := w.actor.List(t.Context(), nil)
	w.actor.Send(list[0].ID, agentruntime.Message{Data: make([]byte, 30<<20)})
	closed, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	go func() {
		w.Hub.Close()
		cancel()
	}()
	<-closed.Done()
	if closed.Err() == context.DeadlineExceeded {
		t.Fatal("closing takes longer than a client may")
	}
}
