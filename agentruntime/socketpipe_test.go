package agentruntime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestSocketPairKeepsOrderAndCloses(t *testing.T) {
	a, b := NewSocketPair()
	ctx := t.Context()
	for _, text := range []string{"one", "two"} {
		if err := a.Send(ctx, Message{Text: true, Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	_ = a.Close(4001, "done")
	for _, want := range []string{"one", "two"} {
		m, err := b.Receive(ctx)
		if err != nil || string(m.Data) != want || !m.Text {
			t.Fatalf("received %q, %v; want %q", m.Data, err, want)
		}
	}
	_, err := b.Receive(ctx)
	var closed *CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "done" {
		t.Fatalf("received %v, want a close with 4001", err)
	}
	if err := a.Send(ctx, Message{}); err == nil {
		t.Error("a closed socket sends")
	}
	if err := b.Send(ctx, Message{Data: []byte("late")}); err != nil {
		t.Errorf("the other side may still send until it has closed too: %v", err)
	}
	if m, err := a.Receive(ctx); err != nil || string(m.Data) != "late" {
		t.Errorf("received %q, %v", m.Data, err)
	}
}

func TestSocketPairHoldsASenderBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewSocketPair()
		ctx := t.Context()
		if err := a.Send(ctx, Message{Data: make([]byte, socketBacklog)}); err != nil {
			t.Fatal(err)
		}
		sent := make(chan error, 1)
		go func() { sent <- a.Send(ctx, Message{Data: []byte("x")}) }()
		synctest.Wait()
		select {
		case err := <-sent:
			t.Fatalf("sent past the backlog: %v", err)
		default:
		}
		if _, err := b.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		given, cancel := context.WithCancel(ctx)
		cancel()
		_, _ = b.Receive(ctx)
		if _, err := b.Receive(given); !errors.Is(err, context.Canceled) {
			t.Errorf("received %v after its context had ended", err)
		}
	})
}
