package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// testUnsequenced has many goroutines share one fence without numbering their batches, as the KV namespaces do.
func testUnsequenced(t *testing.T, o Open) {
	s := open(t, o)
	u := acquire(t, s, durable.Key{Namespace: "kv/shared"})
	const writers, writes = 16, 20
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range writes {
				done := make(chan error, 1)
				s.Commit(durable.Batch{Fence: u.fence, Ops: []durable.Op{
					{Key: fmt.Sprintf("%d/%d", w, i), Value: []byte("v")}, {Key: "shared", Value: fmt.Append(nil, w)},
				}}, func(err error) { done <- err })
				if err := <-done; err != nil {
					t.Error(err)
					return
				}
				if values, err := s.Get(t.Context(), u.fence, []string{fmt.Sprintf("%d/%d", w, i)}); err != nil || values[0] == nil {
					t.Errorf("own write: %q, %v", values, err)
					return
				}
			}
		})
	}
	work.Wait()
	if n := len(u.keys(durable.Range{})); n != writers*writes+1 {
		t.Errorf("%d keys instead of %d", n, writers*writes+1)
	}
	if state := acquire(t, s, u.fence.Actor).state; state.Seq != writers*writes || state.Keys != writers*writes+1 {
		t.Errorf("state: %+v", state)
	}
}

// testConcurrency moves amounts between two keys of each of many actors while readers check that the sum holds
// in every scan.
func testConcurrency(t *testing.T, o Open) {
	s := open(t, o)
	const actors, turns = 8, 50
	var work sync.WaitGroup
	for i := range actors {
		u := acquire(t, s, key(fmt.Sprint(i)))
		u.put("left", amount(1000), "right", amount(0))
		stop := make(chan struct{})
		work.Go(func() {
			defer close(stop)
			for n := 1; n <= turns; n++ {
				err := <-u.send(durable.Batch{Ops: []durable.Op{
					{Key: "left", Value: []byte(amount(1000 - n))}, {Key: "right", Value: []byte(amount(n))},
				}})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		work.Go(func() {
			for {
				entries, err := s.Scan(t.Context(), u.fence, durable.Range{})
				if err != nil || len(entries) != 2 {
					t.Errorf("scan: %d entries, %v", len(entries), err)
					return
				}
				if sum := number(entries[0].Value) + number(entries[1].Value); sum != 1000 {
					t.Errorf("sum is %d", sum)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	work.Wait()
}

func amount(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func number(b []byte) int { return int(binary.BigEndian.Uint64(b)) }

func testReopen(t *testing.T, o Open) {
	s := o(t)
	u := acquire(t, s, key("a"))
	large := strings.Repeat("large", 200_000)
	at := time.UnixMilli(1_700_000_000_000)
	u.commit(durable.Batch{Name: "Ada", Alarm: &durable.Alarm{At: at, Scheduled: at, Retries: 1}, Ops: []durable.Op{
		{Key: "k", Value: []byte("v")}, {Key: "large", Value: []byte(large)}, {Key: "empty", Value: nil},
	}})
	var last uint64
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = o(t)
		again := acquire(t, s, key("a"))
		if again.fence.Epoch <= max(last, u.fence.Epoch) {
			t.Errorf("epoch %d after %d and %d", again.fence.Epoch, u.fence.Epoch, last)
		}
		last = again.fence.Epoch
		got := again.state
		if got.Name != "Ada" || got.Seq != again.seq || got.Keys != 3 || !got.Alarm.At.Equal(at) || got.Alarm.Retries != 1 {
			t.Errorf("state: %+v", got)
		}
		again.want("k", "v")
		again.want("large", large)
		again.want("empty", "")
		due, _, err := s.Due(t.Context(), at, nil, 10)
		if err != nil || len(due) != 1 || due[0].Key != key("a") {
			t.Errorf("due: %v, %v", due, err)
		}
		again.commit(durable.Batch{Ops: []durable.Op{{Key: "k", Value: []byte("v")}}})
		if ids, err := s.List(t.Context(), space.Name(), nil, 10); err != nil || len(ids) != 1 {
			t.Errorf("list: %v, %v", ids, err)
		}
	}
	old := &user{t: t, store: s, fence: u.fence, seq: last}
	if err := <-old.send(durable.Batch{}); err == nil {
		t.Error("a fence from before the reopening was honoured")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testReopenDeleteAll(t *testing.T, o Open) {
	s := o(t)
	u := acquire(t, s, key("a"))
	for i := range 1200 {
		u.seq++
		s.Commit(durable.Batch{Fence: u.fence, Seq: u.seq, Ops: []durable.Op{{Key: fmt.Sprint(i), Value: bytes.Repeat([]byte("x"), 100)}}}, func(error) {})
	}
	u.put("large", strings.Repeat("y", 1_000_000))
	u.commit(durable.Batch{DeleteAll: true})
	u.put("new", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = o(t)
	again := acquire(t, s, key("a"))
	if got := again.keys(durable.Range{}); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%d keys after delete all and a put", len(got))
	}
	if again.state.Keys != 1 || again.state.Bytes != 4 {
		t.Errorf("state: %+v", again.state)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
