package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Open returns a store. Called again within a test, after Close, it returns one with the same contents.
type Open func(t *testing.T) durable.Store

// Config says what to test.
type Config struct {
	// New prepares an empty place for one test and returns how to open it.
	New func(t *testing.T) Open
	// Volatile says that contents do not survive Close, so that the tests of reopening are left out.
	Volatile bool
}

// Run runs the suite.
func Run(t *testing.T, cfg Config) {
	tests := []struct {
		name    string
		reopens bool
		run     func(t *testing.T, open Open)
	}{
		{"values", false, testValues},
		{"ranges", false, testRanges},
		{"limits", false, testLimits},
		{"fencing", false, testFencing},
		{"order", false, testOrder},
		{"acquire waits", false, testAcquireWaits},
		{"isolation", false, testIsolation},
		{"delete all", false, testDeleteAll},
		{"state", false, testState},
		{"alarms", false, testAlarms},
		{"alarm pages", false, testAlarmPages},
		{"list", false, testList},
		{"unsequenced", false, testUnsequenced},
		{"concurrency", false, testConcurrency},
		{"closed", false, testClosed},
		{"reopen", true, testReopen},
		{"reopen after delete all", true, testReopenDeleteAll},
	}
	for _, test := range tests {
		if test.reopens && cfg.Volatile {
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, cfg.New(t)) })
	}
}

var space = durable.NewNamespace("storetest")

func key(name string) durable.Key { return space.Key(space.IDFromName(name)) }

// user is an actor as the suite drives it.
type user struct {
	t     *testing.T
	store durable.Store
	fence durable.Fence
	state durable.State
	seq   uint64
}

func acquire(t *testing.T, s durable.Store, k durable.Key) *user {
	t.Helper()
	f, state, err := s.Acquire(t.Context(), k)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	if f.Actor != k {
		t.Fatalf("fence of %v instead of %v", f.Actor, k)
	}
	return &user{t: t, store: s, fence: f, state: state, seq: state.Seq}
}

// send hands a batch over and returns where its outcome arrives.
func (u *user) send(b durable.Batch) <-chan error {
	u.seq++
	b.Fence, b.Seq = u.fence, u.seq
	done := make(chan error, 1)
	u.store.Commit(b, func(err error) { done <- err })
	return done
}

func (u *user) commit(b durable.Batch) {
	u.t.Helper()
	if err := <-u.send(b); err != nil {
		u.t.Fatalf("commit: %v", err)
	}
}

func (u *user) put(pairs ...string) {
	u.t.Helper()
	var b durable.Batch
	for i := 0; i < len(pairs); i += 2 {
		b.Ops = append(b.Ops, durable.Op{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	u.commit(b)
}

func (u *user) get(keys ...string) [][]byte {
	u.t.Helper()
	values, err := u.store.Get(u.t.Context(), u.fence, keys)
	if err != nil {
		u.t.Fatalf("get %q: %v", keys, err)
	}
	if len(values) != len(keys) {
		u.t.Fatalf("get %d keys: %d values", len(keys), len(values))
	}
	return values
}

func (u *user) want(key, value string) {
	u.t.Helper()
	got := u.get(key)[0]
	if got == nil || string(got) != value {
		u.t.Fatalf("value of %q is %.40q (nil: %t) instead of %.40q", key, got, got == nil, value)
	}
}

func (u *user) wantAbsent(key string) {
	u.t.Helper()
	if got := u.get(key)[0]; got != nil {
		u.t.Fatalf("value of %q is %.40q instead of absent", key, got)
	}
}

func (u *user) keys(r durable.Range) []string {
	u.t.Helper()
	entries, err := u.store.Scan(u.t.Context(), u.fence, r)
	if err != nil {
		u.t.Fatalf("scan: %v", err)
	}
	keys := []string{}
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func open(t *testing.T, open Open) durable.Store {
	t.Helper()
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, durable.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func testValues(t *testing.T, o Open) {
	u := acquire(t, open(t, o), key("a"))
	u.wantAbsent("k")
	sizes := []int{0, 1, 100, 256 << 10, 256<<10 + 1, 700_000, durable.MaxValueBytes}
	for _, from := range sizes {
		for _, to := range sizes {
			u.put("k", strings.Repeat("a", from))
			u.put("k", strings.Repeat("b", to))
			u.want("k", strings.Repeat("b", to))
			u.commit(durable.Batch{Ops: []durable.Op{{Key: "k", Delete: true}}})
			u.wantAbsent("k")
		}
	}
	u.put("", "empty key", "\x00", "zero", "\xff\xff", "high", "schlüssel", "utf-8")
	got := u.get("schlüssel", "absent", "", "\xff\xff", "\x00")
	want := []string{"utf-8", "", "empty key", "high", "zero"}
	for i := range want {
		if string(got[i]) != want[i] || (got[i] == nil) != (i == 1) {
			t.Errorf("value %d is %q instead of %q", i, got[i], want[i])
		}
	}
	u.commit(durable.Batch{Ops: []durable.Op{{Key: "never there", Delete: true}, {Key: "\x00", Delete: true}}})
	u.wantAbsent("\x00")
}

func testRanges(t *testing.T, o Open) {
	u := acquire(t, open(t, o), key("m"))
	all := []string{"", "a", "a\x00", "a\xff", "a\xff\xff", "aa", "b", "ba", "bb", "c", "z", "\xff", "\xff\xff", "é"}
	slices.Sort(all)
	var b durable.Batch
	for _, k := range all {
		b.Ops = append(b.Ops, durable.Op{Key: k, Value: []byte("v" + k)})
	}
	u.commit(b)
	// Neighbours whose keys must never appear.
	for _, name := range []string{"l", "n", "o", "p"} {
		acquire(t, u.store, key(name)).put("", "x", "b", "x", "\xff\xff\xff", "x")
	}
	bounds := []string{"", "a", "a\x00", "a\xff", "ab", "b", "bz", "c", "\xff", "\xff\xff\xff"}
	for _, start := range bounds {
		for _, end := range bounds {
			for _, prefix := range []string{"", "a", "a\xff", "b", "x", "\xff"} {
				for _, after := range []bool{false, true} {
					for _, reverse := range []bool{false, true} {
						for _, limit := range []int{0, 1, 3} {
							r := durable.Range{End: end, Prefix: prefix, Reverse: reverse, Limit: limit}
							if after {
								r.StartAfter = start
							} else {
								r.Start = start
							}
							if got, want := u.keys(r), expect(all, r); !slices.Equal(got, want) {
								t.Fatalf("scan %+v: %q instead of %q", r, got, want)
							}
						}
					}
				}
			}
		}
	}
	entries, err := u.store.Scan(t.Context(), u.fence, durable.Range{Prefix: "b"})
	if err != nil || len(entries) != 3 || string(entries[1].Value) != "vba" {
		t.Errorf("scan of b: %q, %v", entries, err)
	}
	if _, err := u.store.Scan(t.Context(), u.fence, durable.Range{Start: "a", StartAfter: "b"}); !errors.Is(err, durable.ErrRange) {
		t.Errorf("scan with start and startAfter: %v", err)
	}
}

// expect selects from sorted keys what a range should give.
func expect(sorted []string, r durable.Range) []string {
	out := []string{}
	for _, k := range sorted {
		if k >= r.Start && (r.StartAfter == "" || k > r.StartAfter) && (r.End == "" || k < r.End) && strings.HasPrefix(k, r.Prefix) {
			out = append(out, k)
		}
	}
	if r.Reverse {
		slices.Reverse(out)
	}
	if r.Limit > 0 && len(out) > r.Limit {
		out = out[:r.Limit]
	}
	return out
}

func testLimits(t *testing.T, o Open) {
	s := open(t, o)
	tests := []struct {
		name string
		op   durable.Op
		want string
	}{
		{"key", durable.Op{Key: strings.Repeat("k", durable.MaxKeyBytes+1)}, "key of 2049 bytes exceeds the limit of 2048 bytes"},
		{"value", durable.Op{Key: "k", Value: make([]byte, durable.MaxValueBytes+1)}, "value of 2097153 bytes exceeds the limit of 2097152 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := acquire(t, s, key(test.name))
			u.put("before", "v")
			refused := u.send(durable.Batch{Ops: []durable.Op{{Key: "with", Value: []byte("v")}, test.op}})
			later := u.send(durable.Batch{Ops: []durable.Op{{Key: "after", Value: []byte("v")}}})
			err := <-refused
			if !errors.Is(err, durable.ErrTooLarge) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("refusal is %v instead of %q", err, test.want)
			}
			if err := <-later; !errors.Is(err, durable.ErrFenced) {
				t.Errorf("batch after a refused one: %v", err)
			}
			if got := u.keys(durable.Range{}); !slices.Equal(got, []string{"before"}) {
				t.Errorf("keys after a refusal: %q", got)
			}
		})
	}
	u := acquire(t, s, key("largest"))
	large := strings.Repeat("k", durable.MaxKeyBytes)
	u.put(large, strings.Repeat("v", durable.MaxValueBytes))
	u.want(large, strings.Repeat("v", durable.MaxValueBytes))
	if got := u.keys(durable.Range{Reverse: true}); len(got) != 1 {
		t.Errorf("%d keys instead of the longest one", len(got))
	}
}

func testFencing(t *testing.T, o Open) {
	s := open(t, o)
	old := acquire(t, s, key("a"))
	old.put("k", "old")
	current := acquire(t, s, key("a"))
	if current.fence.Epoch <= old.fence.Epoch {
		t.Fatalf("epoch %d after %d", current.fence.Epoch, old.fence.Epoch)
	}
	if err := <-old.send(durable.Batch{Ops: []durable.Op{{Key: "k", Value: []byte("stale")}}}); !errors.Is(err, durable.ErrFenced) {
		t.Errorf("commit with an old fence: %v", err)
	}
	if _, err := s.Get(t.Context(), old.fence, []string{"k"}); !errors.Is(err, durable.ErrFenced) {
		t.Errorf("get with an old fence: %v", err)
	}
	if _, err := s.Scan(t.Context(), old.fence, durable.Range{}); !errors.Is(err, durable.ErrFenced) {
		t.Errorf("scan with an old fence: %v", err)
	}
	current.want("k", "old")
	s.Release(old.fence) // must not take the newer one's right away
	current.put("k", "new")
	current.want("k", "new")
	s.Release(current.fence)
	if err := <-current.send(durable.Batch{}); !errors.Is(err, durable.ErrFenced) {
		t.Errorf("commit with a released fence: %v", err)
	}
	for _, f := range []durable.Fence{{Actor: key("a")}, {Actor: key("b")}, {Actor: key("a"), Epoch: current.fence.Epoch + 1}} {
		if _, err := s.Get(t.Context(), f, []string{"k"}); !errors.Is(err, durable.ErrFenced) {
			t.Errorf("get with the made-up fence %v: %v", f, err)
		}
	}
	acquire(t, s, key("a")).want("k", "new")
}

func testOrder(t *testing.T, o Open) {
	s := open(t, o)
	u := acquire(t, s, key("a"))
	var order []int
	done := make(chan error, 100)
	for i := range 100 {
		u.seq++
		u.store.Commit(durable.Batch{Fence: u.fence, Seq: u.seq, Ops: []durable.Op{
			{Key: "last", Value: fmt.Append(nil, i)}, {Key: fmt.Sprint(i), Value: []byte{}},
		}}, func(err error) {
			order = append(order, i)
			done <- err
		})
	}
	for range 100 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if len(order) != 100 || !slices.IsSorted(order) {
		t.Errorf("acknowledged in the order %v", order)
	}
	u.want("last", "99")
	for _, seq := range []uint64{u.seq, u.seq + 2, 1} {
		result := make(chan error, 1)
		s.Commit(durable.Batch{Fence: u.fence, Seq: seq}, func(err error) { result <- err })
		if err := <-result; !errors.Is(err, durable.ErrFenced) {
			t.Errorf("batch %d after %d: %v", seq, u.seq, err)
		}
	}
	u.put("last", "done")
	u.want("last", "done")
}

func testAcquireWaits(t *testing.T, o Open) {
	s := open(t, o)
	for i := range 20 {
		u := acquire(t, s, key("a"))
		var results []<-chan error
		for range 5 {
			results = append(results, u.send(durable.Batch{Ops: []durable.Op{{Key: "k", Value: fmt.Append(nil, i)}}}))
		}
		if i%2 == 0 {
			s.Release(u.fence)
		}
		next := acquire(t, s, key("a"))
		if next.state.Seq != u.seq {
			t.Fatalf("acquired at batch %d instead of %d", next.state.Seq, u.seq)
		}
		next.want("k", fmt.Sprint(i))
		for _, r := range results {
			if err := <-r; err != nil {
				t.Fatalf("batch handed over before the next fence: %v", err)
			}
		}
	}
}

func testIsolation(t *testing.T, o Open) {
	s := open(t, o)
	other := durable.NewNamespace("other")
	users := []*user{acquire(t, s, key("a")), acquire(t, s, key("b")), acquire(t, s, other.Key(key("a").ID)), acquire(t, s, durable.Key{Namespace: "kv/x"})}
	for i, u := range users {
		u.put("k", fmt.Sprint(i))
	}
	users[1].commit(durable.Batch{DeleteAll: true})
	for i, u := range users {
		if i == 1 {
			u.wantAbsent("k")
			continue
		}
		u.want("k", fmt.Sprint(i))
	}
}

func testDeleteAll(t *testing.T, o Open) {
	s := open(t, o)
	u := acquire(t, s, key("a"))
	at := time.UnixMilli(2_000)
	u.commit(durable.Batch{Alarm: &durable.Alarm{At: at, Scheduled: at}, Ops: []durable.Op{
		{Key: "a", Value: []byte("1")}, {Key: "big", Value: make([]byte, 600_000)},
	}})
	u.commit(durable.Batch{DeleteAll: true, Ops: []durable.Op{{Key: "b", Value: []byte("2")}}})
	if got := u.keys(durable.Range{}); !slices.Equal(got, []string{"b"}) {
		t.Errorf("keys after delete all with a put: %q", got)
	}
	u.wantAbsent("a")
	if again := acquire(t, s, key("a")); !again.state.Alarm.At.Equal(at) {
		t.Errorf("the alarm after delete all is %v", again.state.Alarm)
	}
	u = acquire(t, s, key("a"))
	first := u.send(durable.Batch{Ops: []durable.Op{{Key: "c", Value: []byte("3")}}})
	second := u.send(durable.Batch{DeleteAll: true})
	third := u.send(durable.Batch{Ops: []durable.Op{{Key: "d", Value: []byte("4")}}})
	if err := errors.Join(<-first, <-second, <-third); err != nil {
		t.Fatal(err)
	}
	if got := u.keys(durable.Range{}); !slices.Equal(got, []string{"d"}) {
		t.Errorf("keys after put, delete all, put: %q", got)
	}
}

func testState(t *testing.T, o Open) {
	s := open(t, o)
	u := acquire(t, s, key("a"))
	if !isZero(u.state) {
		t.Errorf("state of a new actor: %+v", u.state)
	}
	at := time.UnixMilli(1_700_000_000_123)
	u.commit(durable.Batch{Name: "Ada", Alarm: &durable.Alarm{At: at.Add(time.Second), Scheduled: at, Retries: 3}, Ops: []durable.Op{
		{Key: "abc", Value: []byte("12345")}, {Key: "big", Value: make([]byte, 300_000)}, {Key: "gone", Value: []byte("x")},
	}})
	u.commit(durable.Batch{Ops: []durable.Op{{Key: "abc", Value: []byte("1")}, {Key: "gone", Delete: true}, {Key: "never", Delete: true}}})
	got := acquire(t, s, key("a")).state
	if got.Name != "Ada" || got.Seq != 2 || got.Keys != 2 || got.Bytes != int64(3+1+3+300_000) {
		t.Errorf("state: %+v", got)
	}
	if !got.Alarm.At.Equal(at.Add(time.Second)) || !got.Alarm.Scheduled.Equal(at) || got.Alarm.Retries != 3 {
		t.Errorf("alarm: %+v", got.Alarm)
	}
}

func isZero(s durable.State) bool {
	return s.Name == "" && s.Seq == 0 && s.Alarm.IsZero() && s.Keys == 0 && s.Bytes == 0
}

func testList(t *testing.T, o Open) {
	s := open(t, o)
	if ids, err := s.List(t.Context(), "nothing", nil, 10); err != nil || len(ids) != 0 {
		t.Errorf("list of an unknown namespace: %v, %v", ids, err)
	}
	var want []durable.ID
	for i := range 7 {
		u := acquire(t, s, key(fmt.Sprint(i)))
		u.put("k", "v")
		want = append(want, u.fence.Actor.ID)
	}
	acquire(t, s, durable.Key{Namespace: "other", ID: durable.ID{1}}).put("k", "v")
	emptied := acquire(t, s, key("emptied"))
	emptied.put("k", "v")
	emptied.commit(durable.Batch{DeleteAll: true})
	acquire(t, s, key("untouched"))
	slices.SortFunc(want, func(a, b durable.ID) int { return bytes.Compare(a[:], b[:]) })
	var got []durable.ID
	var after *durable.ID
	for {
		ids, err := s.List(t.Context(), space.Name(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		got = append(got, ids...)
		after = &ids[len(ids)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("list: %v instead of %v", got, want)
	}
}

func testClosed(t *testing.T, o Open) {
	s := o(t)
	u := acquire(t, s, key("a"))
	handed := u.send(durable.Batch{Ops: []durable.Op{{Key: "k", Value: []byte("v")}}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-handed; err != nil {
		t.Errorf("batch handed over before close: %v", err)
	}
	if err := <-u.send(durable.Batch{}); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
	ctx := context.Background()
	if _, err := s.Get(ctx, u.fence, []string{"k"}); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
	if _, _, err := s.Acquire(ctx, key("a")); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("acquire after close: %v", err)
	}
	if _, _, err := s.Due(ctx, time.UnixMilli(0), nil, 1); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("due after close: %v", err)
	}
}
