package otlp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/gatehouse-edge/gatehouse/record"
)

// far is an exporter that waits, counts or fails.
type far struct {
	mu    sync.Mutex
	spans []sdktrace.ReadOnlySpan
	wait  chan struct{}
	err   error
}

func (f *far) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	if f.wait != nil {
		<-f.wait
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.spans = append(f.spans, spans...)
	return nil
}

func (*far) Shutdown(context.Context) error { return nil }

func emit(x *Exporter, n int) {
	for range n {
		x.Emit(&record.Entry{ID: record.NewID(), Kind: record.KindFetch, Time: time.Now(), Agent: "a"})
	}
}

func TestExactCounts(t *testing.T) {
	f := &far{wait: make(chan struct{})}
	x := New(Config{Traces: f, Queue: 100, Every: time.Millisecond})
	emit(x, 1)
	time.Sleep(20 * time.Millisecond) // it waits for the collector
	emit(x, 1000)
	close(f.wait)
	x.Close(context.Background())
	if got := len(f.spans) + int(x.Dropped()); got != 1001 || x.Dropped() < 899 {
		t.Errorf("%d spans and %d dropped of 1001", len(f.spans), x.Dropped())
	}
}

func TestACollectorThatFails(t *testing.T) {
	said := make(chan error, 10)
	x := New(Config{Traces: &far{err: errors.New("gone")}, Every: time.Hour, Report: func(err error) { said <- err }})
	emit(x, 7)
	x.Close(context.Background())
	if x.Dropped() != 7 || len(said) != 1 {
		t.Errorf("%d dropped, %d said", x.Dropped(), len(said))
	}
}

func TestUnsampledIsNotSent(t *testing.T) {
	f := &far{}
	x := New(Config{Traces: f})
	x.Emit(&record.Entry{ID: record.NewID(), Time: time.Now(), Unsampled: true})
	x.Close(context.Background())
	if len(f.spans) != 0 || x.Dropped() != 0 {
		t.Errorf("%d spans, %d dropped", len(f.spans), x.Dropped())
	}
}
