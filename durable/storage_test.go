package durable

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// manualBackend makes batches durable when the test says so.
type manualBackend struct {
	data    map[string][]byte
	batches []Batch
	dones   []func(error)
	gets    int
	getErr  error
}

func (m *manualBackend) Get(_ context.Context, keys []string) ([][]byte, error) {
	m.gets++
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = m.data[key]
	}
	return values, m.getErr
}

func (m *manualBackend) Scan(_ context.Context, r Range) ([]Entry, error) {
	var entries []Entry
	for _, key := range slices.Sorted(maps.Keys(m.data)) {
		if r.Contains(key) && (r.Limit == 0 || len(entries) < r.Limit) {
			entries = append(entries, Entry{Key: key, Value: m.data[key]})
		}
	}
	return entries, nil
}

func (m *manualBackend) Commit(b Batch, done func(error)) {
	m.batches, m.dones = append(m.batches, b), append(m.dones, done)
}

// end ends the oldest batch.
func (m *manualBackend) end(err error) {
	b, done := m.batches[0], m.dones[0]
	m.batches, m.dones = m.batches[1:], m.dones[1:]
	if err == nil {
		if b.DeleteAll {
			clear(m.data)
		}
		for _, op := range b.Ops {
			delete(m.data, op.Key)
			if !op.Delete {
				m.data[op.Key] = op.Value
			}
		}
	}
	done(err)
}

func newManual(cfg StorageConfig) (*manualBackend, *Storage) {
	m := &manualBackend{data: make(map[string][]byte)}
	cfg.Backend = m
	return m, NewStorage(cfg)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s *Storage, key, want string) {
	t.Helper()
	value, ok, err := s.Get(t.Context(), key)
	check(t, err)
	if !ok || string(value) != want {
		t.Fatalf("%q is %q (%t) instead of %q", key, value, ok, want)
	}
}

func TestTurnIsOneBatch(t *testing.T) {
	m, s := newManual(StorageConfig{Fence: Fence{Epoch: 7}, State: State{Seq: 41}, Name: "Ada"})
	s.Flush()
	if len(m.batches) != 0 {
		t.Fatal("a turn without writes made a batch")
	}
	check(t, s.Put("a", []byte("1")))
	check(t, s.Put("b", []byte("2")))
	check(t, s.Put("a", []byte("3")))
	check(t, s.SetAlarm(time.UnixMilli(5)))
	s.Flush()
	check(t, s.Put("c", nil))
	s.Flush()
	s.Flush()
	if len(m.batches) != 2 {
		t.Fatalf("%d batches instead of 2", len(m.batches))
	}
	first, second := m.batches[0], m.batches[1]
	if first.Seq != 42 || second.Seq != 43 || first.Fence.Epoch != 7 || first.Name != "Ada" || second.Name != "" {
		t.Errorf("batches %+v and %+v", first, second)
	}
	if got := fmt.Sprint(first.Ops); got != fmt.Sprint([]Op{{Key: "a", Value: []byte("3")}, {Key: "b", Value: []byte("2")}}) {
		t.Errorf("first batch's writes: %s", got)
	}
	if first.Alarm == nil || first.Alarm.At.UnixMilli() != 5 || second.Alarm != nil {
		t.Errorf("alarms: %v, %v", first.Alarm, second.Alarm)
	}
	if second.Ops[0].Value == nil {
		t.Error("a nil value was passed on as an absent one")
	}
}

func TestOutputGate(t *testing.T) {
	m, s := newManual(StorageConfig{})
	var events []string
	gate := func(name string) {
		s.Gate(func(err error) { events = append(events, fmt.Sprint(name, " ", err)) })
	}
	gate("nothing written")
	check(t, s.Put("a", []byte("1")))
	gate("not flushed")
	s.Flush()
	gate("first")
	check(t, s.Put("a", []byte("2")))
	s.Flush()
	gate("second")
	if want := []string{"nothing written <nil>", "not flushed <nil>"}; !slices.Equal(events, want) {
		t.Fatalf("before durability: %q", events)
	}
	if !s.Pending() {
		t.Error("nothing is pending with two batches in flight")
	}
	m.end(nil)
	if len(events) != 3 || events[2] != "first <nil>" {
		t.Fatalf("after the first batch: %q", events)
	}
	m.end(nil)
	gate("third")
	if want := []string{"second <nil>", "third <nil>"}; !slices.Equal(events[3:], want) {
		t.Fatalf("after the second batch: %q", events)
	}
	if s.Pending() {
		t.Error("something is pending")
	}
}

func TestFailedCommitBreaks(t *testing.T) {
	cause := errors.New("disk is on fire")
	m, s := newManual(StorageConfig{})
	var gates []error
	for range 2 {
		check(t, s.Put("a", []byte("1")))
		s.Flush()
		s.Gate(func(err error) { gates = append(gates, err) })
	}
	check(t, s.Put("a", []byte("buffered")))
	m.end(cause)
	s.Gate(func(err error) { gates = append(gates, err) })
	m.end(nil) // must not resurrect anything
	if len(gates) != 3 {
		t.Fatalf("%d gates opened instead of 3", len(gates))
	}
	_, _, getErr := s.Get(t.Context(), "a")
	_, listErr := s.List(t.Context(), Range{})
	_, deleteErr := s.Delete(t.Context(), "a")
	errs := append(gates, s.Broken(), getErr, listErr, deleteErr, s.Put("a", nil), s.DeleteAll(), s.SetAlarm(time.Now()),
		s.DeleteAlarm(), s.Begin(), s.Commit(), s.Rollback(), s.Sync(t.Context()))
	for i, err := range errs {
		if !errors.Is(err, ErrReset) || !errors.Is(err, cause) {
			t.Errorf("error %d is %v", i, err)
		}
	}
	s.Flush()
	if len(m.batches) != 0 {
		t.Error("a broken storage handed a batch over")
	}
}

// TestGatesOpenInOrder waits at a gate while those before it are being called: it must not be called before them.
func TestGatesOpenInOrder(t *testing.T) {
	m, s := newManual(StorageConfig{})
	var order []string
	check(t, s.Put("k", []byte("v")))
	s.Flush()
	s.Gate(func(error) {
		s.Gate(func(error) { order = append(order, "third") }) // nothing is in flight any more
		order = append(order, "first")
	})
	s.Gate(func(error) { order = append(order, "second") })
	m.end(nil)
	if got := fmt.Sprint(order); got != "[first second third]" {
		t.Fatal(got)
	}
}

func TestBreakOpensGates(t *testing.T) {
	m, s := newManual(StorageConfig{})
	check(t, s.Put("a", []byte("1")))
	s.Flush()
	var got error
	s.Gate(func(err error) { got = err })
	s.Break(ErrIdle)
	s.Break(ErrRetired)
	if !errors.Is(got, ErrReset) || !errors.Is(got, ErrIdle) || errors.Is(s.Broken(), ErrRetired) {
		t.Errorf("gate got %v, storage is broken with %v", got, s.Broken())
	}
	m.end(nil)
}

func TestReadsSeeWritesInFlight(t *testing.T) {
	m, s := newManual(StorageConfig{CacheBytes: 1})
	m.data["a"], m.data["b"] = []byte("old"), []byte("old")
	check(t, s.Put("a", []byte("1")))
	s.Flush()
	check(t, s.Put("a", []byte("2")))
	s.Flush()
	m.end(nil) // the second write is still in flight, and the backend has the first
	wantValue(t, s, "a", "2")
	entries, err := s.List(t.Context(), Range{})
	check(t, err)
	if len(entries) != 2 || string(entries[0].Value) != "2" || string(entries[1].Value) != "old" {
		t.Errorf("list: %q", entries)
	}
	check(t, s.Put("a", []byte("3")))
	m.end(nil) // the third write is buffered
	wantValue(t, s, "a", "3")
	if entries, err = s.List(t.Context(), Range{Limit: 1}); err != nil || string(entries[0].Value) != "3" {
		t.Errorf("list: %q, %v", entries, err)
	}
	if n, err := s.Delete(t.Context(), "a", "b", "c", "a"); n != 2 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if entries, err = s.List(t.Context(), Range{Limit: 1}); err != nil || len(entries) != 0 {
		t.Errorf("list after delete: %q, %v", entries, err)
	}
}

func TestCache(t *testing.T) {
	m, s := newManual(StorageConfig{CacheBytes: 3 * (entryOverhead + 2)})
	for _, key := range []string{"a", "b", "c", "d"} {
		m.data[key] = []byte(key)
	}
	read := func(keys ...string) {
		for _, key := range keys {
			_, _, err := s.Get(t.Context(), key)
			check(t, err)
		}
	}
	read("a", "b", "c", "a", "b", "c")
	if m.gets != 3 {
		t.Errorf("%d reads of the backend instead of 3", m.gets)
	}
	read("a", "d") // drops b, the longest unused
	read("a", "c", "d")
	if m.gets != 4 {
		t.Errorf("%d reads of the backend instead of 4", m.gets)
	}
	read("b")
	if m.gets != 5 {
		t.Errorf("%d reads of the backend instead of 5", m.gets)
	}
	s.GetMany(t.Context(), []string{"x", "b", "x"})
	read("x", "x")
	if m.gets != 6 {
		t.Errorf("%d reads of the backend instead of 6: an absent key is remembered too", m.gets)
	}
	if s.cache.clean.cost > s.cache.limit {
		t.Errorf("cache costs %d of %d", s.cache.clean.cost, s.cache.limit)
	}
}

func TestReadErrorLeavesStorageUsable(t *testing.T) {
	m, s := newManual(StorageConfig{})
	m.data["a"] = []byte("1")
	m.getErr = context.DeadlineExceeded
	if _, _, err := s.Get(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Delete(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("delete: %v", err)
	}
	m.getErr = nil
	wantValue(t, s, "a", "1")
}

func TestDeleteAllInFlight(t *testing.T) {
	m, s := newManual(StorageConfig{State: State{Alarm: Alarm{At: time.UnixMilli(9)}}})
	m.data["a"], m.data["b"] = []byte("old"), []byte("old")
	wantValue(t, s, "a", "old")
	check(t, s.DeleteAll())
	if _, set := s.Alarm(); set {
		t.Error("the alarm outlived DeleteAll")
	}
	check(t, s.Put("c", []byte("new")))
	for _, phase := range []string{"buffered", "in flight", "durable"} {
		for _, key := range []string{"a", "b"} {
			if value, ok, err := s.Get(t.Context(), key); ok || err != nil {
				t.Errorf("%s: %q is %q, %v", phase, key, value, err)
			}
		}
		entries, err := s.List(t.Context(), Range{})
		check(t, err)
		if len(entries) != 1 || entries[0].Key != "c" {
			t.Errorf("%s: list is %q", phase, entries)
		}
		switch phase {
		case "buffered":
			s.Flush()
			if b := m.batches[0]; !b.DeleteAll || b.Alarm == nil || !b.Alarm.IsZero() || len(b.Ops) != 1 {
				t.Errorf("batch: %+v", b)
			}
		case "in flight":
			m.end(nil)
		}
	}
}

func TestTransaction(t *testing.T) {
	m, s := newManual(StorageConfig{})
	m.data["a"] = []byte("old")
	check(t, s.Put("before", []byte("1")))
	check(t, s.Begin())
	check(t, s.Put("a", []byte("new")))
	check(t, s.SetAlarm(time.UnixMilli(1)))
	wantValue(t, s, "a", "new")
	s.Flush()
	if ops := m.batches[0].Ops; len(ops) != 1 || ops[0].Key != "before" || m.batches[0].Alarm != nil {
		t.Errorf("an open transaction leaked into the batch: %+v", m.batches[0])
	}
	check(t, s.Begin())
	check(t, s.Put("a", []byte("newer")))
	wantValue(t, s, "a", "newer")
	check(t, s.Rollback())
	wantValue(t, s, "a", "new")
	check(t, s.Begin())
	check(t, s.Put("a", []byte("newest")))
	check(t, s.Put("c", []byte("1")))
	check(t, s.Commit())
	wantValue(t, s, "a", "newest")
	if entries, err := s.List(t.Context(), Range{}); err != nil || len(entries) != 3 {
		t.Errorf("list within: %q, %v", entries, err)
	}
	if n := s.Depth(); n != 1 {
		t.Errorf("depth %d", n)
	}
	check(t, s.Rollback())
	wantValue(t, s, "a", "old")
	if _, set := s.Alarm(); set {
		t.Error("the alarm outlived the rollback")
	}
	check(t, s.Begin())
	check(t, s.DeleteAll())
	check(t, s.Put("z", []byte("1")))
	if entries, err := s.List(t.Context(), Range{}); err != nil || len(entries) != 1 {
		t.Errorf("list within: %q, %v", entries, err)
	}
	check(t, s.Commit())
	for _, err := range []error{s.Commit(), s.Rollback()} {
		if !errors.Is(err, ErrTransaction) {
			t.Errorf("end without begin: %v", err)
		}
	}
	s.Flush()
	if b := m.batches[1]; !b.DeleteAll || len(b.Ops) != 1 || b.Ops[0].Key != "z" {
		t.Errorf("batch: %+v", b)
	}
}

func TestLimits(t *testing.T) {
	_, s := newManual(StorageConfig{})
	long := strings.Repeat("k", MaxKeyBytes+1)
	_, _, getErr := s.Get(t.Context(), long)
	_, deleteErr := s.Delete(t.Context(), "a", long)
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"put key", s.Put(long, nil), "key of 2049 bytes exceeds the limit of 2048 bytes"},
		{"get key", getErr, "key of 2049 bytes exceeds the limit of 2048 bytes"},
		{"delete key", deleteErr, "key of 2049 bytes exceeds the limit of 2048 bytes"},
		{"put value", s.Put("k", make([]byte, MaxValueBytes+1)), "value of 2097153 bytes exceeds the limit of 2097152 bytes"},
		{"put many", s.PutMany([]Entry{{Key: "first"}, {Key: long}}), "key of 2049 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if !errors.Is(test.err, ErrTooLarge) || !strings.Contains(test.err.Error(), test.want) {
				t.Errorf("error is %v", test.err)
			}
		})
	}
	if s.Pending() {
		t.Error("a refused put left something behind")
	}
}

func TestAlarmHandler(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	due := Alarm{At: now, Scheduled: now}
	tests := []struct {
		name    string
		alarm   Alarm
		handler func(s *Storage) error
		fails   bool
		want    Alarm // what the batch carries
		retries bool
	}{
		{name: "success", alarm: due},
		{name: "success after a retry", alarm: Alarm{At: now, Scheduled: now.Add(-time.Hour), Retries: 3}},
		{name: "set again", alarm: due, handler: func(s *Storage) error { return s.SetAlarm(now.Add(time.Minute)) },
			want: Alarm{At: now.Add(time.Minute), Scheduled: now.Add(time.Minute)}},
		{name: "deleted", alarm: due, handler: (*Storage).DeleteAlarm},
		{name: "first failure", alarm: due, fails: true, retries: true,
			want: Alarm{At: now.Add(2500 * time.Millisecond), Scheduled: now, Retries: 1}},
		{name: "fourth failure", alarm: Alarm{At: now, Scheduled: now.Add(-time.Minute), Retries: 3}, fails: true, retries: true,
			want: Alarm{At: now.Add(20 * time.Second), Scheduled: now.Add(-time.Minute), Retries: 4}},
		{name: "last retry", alarm: Alarm{At: now, Scheduled: now, Retries: 5}, fails: true, retries: true,
			want: Alarm{At: now.Add(80 * time.Second), Scheduled: now, Retries: 6}},
		{name: "given up", alarm: Alarm{At: now, Scheduled: now, Retries: 6}, fails: true},
		{name: "set again, then failed", alarm: due, fails: true, retries: true,
			handler: func(s *Storage) error { return s.SetAlarm(now.Add(time.Minute)) },
			want:    Alarm{At: now.Add(time.Minute), Scheduled: now.Add(time.Minute)}},
		{name: "deleted, then failed", alarm: due, fails: true, handler: (*Storage).DeleteAlarm},
		{name: "all deleted", alarm: due, handler: (*Storage).DeleteAll},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, s := newManual(StorageConfig{State: State{Alarm: test.alarm}, Now: func() time.Time { return now }, Rand: func() float64 { return 1 }})
			info, ok := s.AlarmStarted()
			if !ok || !info.Scheduled.Equal(test.alarm.Scheduled) || info.RetryCount != test.alarm.Retries || info.IsRetry != (test.alarm.Retries > 0) {
				t.Fatalf("started: %+v, %t", info, ok)
			}
			if _, again := s.AlarmStarted(); again {
				t.Error("started twice")
			}
			if at, set := s.Alarm(); set {
				t.Errorf("alarm while the handler runs: %v", at)
			}
			if test.handler != nil {
				check(t, test.handler(s))
			}
			if test.fails {
				if retries := s.AlarmFailed(); retries != test.retries {
					t.Errorf("will retry: %t", retries)
				}
			} else {
				s.AlarmSucceeded()
			}
			s.Flush()
			if len(m.batches) != 1 || m.batches[0].Alarm == nil {
				t.Fatalf("batches: %+v", m.batches)
			}
			got := *m.batches[0].Alarm
			if !got.At.Equal(test.want.At) || !got.Scheduled.Equal(test.want.Scheduled) || got.Retries != test.want.Retries {
				t.Errorf("alarm is %+v instead of %+v", got, test.want)
			}
		})
	}
	t.Run("not due", func(t *testing.T) {
		_, s := newManual(StorageConfig{State: State{Alarm: Alarm{At: now.Add(time.Millisecond)}}, Now: func() time.Time { return now }})
		if info, ok := s.AlarmStarted(); ok {
			t.Errorf("started %+v", info)
		}
		s.AlarmSucceeded()
		if s.AlarmFailed() || s.Pending() {
			t.Error("ending a run that never started changed something")
		}
	})
}

func TestFlushWaitsWhenTooMuchIsInFlight(t *testing.T) {
	m, s := newManual(StorageConfig{})
	value := make([]byte, MaxValueBytes)
	flushed := make(chan int, 100)
	go func() {
		for i := range 12 {
			if err := s.Put(fmt.Sprint(i), value); err != nil {
				break
			}
			s.Flush()
			flushed <- i
		}
		close(flushed)
	}()
	for range maxInFlightBytes/MaxValueBytes - 1 {
		<-flushed
	}
	// The rest needs earlier batches to land first; batches are ended only after their hand-over was seen.
	for {
		s.mu.Lock()
		full := s.inFlight > maxInFlightBytes
		s.mu.Unlock()
		if full {
			break
		}
		select {
		case <-flushed:
		default:
		}
	}
	s.Break(ErrIdle) // frees the waiting flush
	for range flushed {
	}
	if len(m.batches) >= 12 {
		t.Errorf("%d batches were handed over though none landed", len(m.batches))
	}
}
