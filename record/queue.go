package record

import (
	"sync"
	"sync/atomic"
	"time"
)

// Queue stands before sinks that may be slow, such as a log: it takes entries at once, and one goroutine hands them on. What
// comes while it is full is dropped and counted. Safe for concurrent use; Close ends it.
type Queue struct {
	items   chan queued
	dropped atomic.Int64
	done    sync.WaitGroup
	close   sync.Once
	closed  chan struct{}
}

type queued struct {
	entry *Entry
	sink  Sink
	ack   chan struct{} // of a flush
}

// NewQueue makes a queue for so many entries, 16,384 for 0.
func NewQueue(size int) *Queue {
	if size == 0 {
		size = 16384
	}
	q := &Queue{items: make(chan queued, size), closed: make(chan struct{})}
	q.done.Go(q.run)
	return q
}

func (q *Queue) run() {
	for {
		select {
		case it := <-q.items:
			q.hand(it)
		case <-q.closed:
			for {
				select {
				case it := <-q.items:
					q.hand(it)
				default:
					return
				}
			}
		}
	}
}

func (q *Queue) hand(it queued) {
	if it.ack != nil {
		close(it.ack)
		return
	}
	it.sink.Emit(it.entry)
}

// To is a sink whose entries reach s through the queue, in order.
func (q *Queue) To(s Sink) Sink { return queueSink{q, s} }

type queueSink struct {
	q *Queue
	s Sink
}

func (s queueSink) Emit(e *Entry) {
	select {
	case s.q.items <- queued{entry: e, sink: s.s}:
	default:
		s.q.dropped.Add(1)
	}
}

// Dropped says how many entries were dropped since the start.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Flush waits until what came before has been handed on, or the time is over.
func (q *Queue) Flush(most time.Duration) {
	ack, late := make(chan struct{}), time.NewTimer(most)
	defer late.Stop()
	select {
	case q.items <- queued{ack: ack}:
	case <-late.C:
		return
	case <-q.closed:
		q.done.Wait()
		return
	}
	select {
	case <-ack:
	case <-late.C:
	case <-q.closed:
		q.done.Wait()
	}
}

// Close hands on what is left and ends the queue. What comes later is dropped.
func (q *Queue) Close() {
	q.close.Do(func() { close(q.closed) })
	q.done.Wait()
}
