package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	badger "github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"github.com/gatehouse-edge/gatehouse/durable"
)

var space = durable.NewNamespace("test")

func openIn(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, durable.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// hold acquires an actor and returns its fence.
func hold(t *testing.T, s *Store, name string) durable.Fence {
	t.Helper()
	f, _, err := s.Acquire(t.Context(), space.Key(space.IDFromName(name)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put hands a write over and returns where its outcome arrives.
func put(s *Store, f durable.Fence, key, value string) <-chan error {
	done := make(chan error, 1)
	s.Commit(durable.Batch{Fence: f, Ops: []durable.Op{{Key: key, Value: []byte(value)}}}, func(err error) { done <- err })
	return done
}

func read(t *testing.T, s *Store, f durable.Fence, key string) ([]byte, error) {
	t.Helper()
	values, err := s.Get(t.Context(), f, []string{key})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnsyncedIsNeverAcknowledged holds a group back before its sync: until then nothing is acknowledged or
// visible, and what arrives meanwhile becomes one group.
func TestUnsyncedIsNeverAcknowledged(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	entered, proceed := make(chan struct{}), make(chan struct{})
	var groups atomic.Int32
	real := s.commitAt
	s.commitAt = func(txn *badger.Txn, ts uint64) error { // no group is under way yet
		groups.Add(1)
		entered <- struct{}{}
		<-proceed
		return real(txn, ts)
	}
	first := put(s, f, "k", "1")
	<-entered
	var later []<-chan error
	for i := range 100 {
		later = append(later, put(s, f, fmt.Sprint(i), "2"))
	}
	select {
	case err := <-first:
		t.Fatalf("acknowledged (%v) before the sync", err)
	default:
	}
	if value, err := read(t, s, f, "k"); value != nil || err != nil {
		t.Fatalf("visible before the sync: %q, %v", value, err)
	}
	proceed <- struct{}{}
	check(t, <-first)
	if value, err := read(t, s, f, "k"); string(value) != "1" || err != nil {
		t.Fatalf("after the sync: %q, %v", value, err)
	}
	<-entered
	proceed <- struct{}{}
	for _, done := range later {
		check(t, <-done)
	}
	if n := groups.Load(); n != 2 {
		t.Errorf("%d groups instead of 2", n)
	}
}

// TestFailStop makes a group fail: it and everything after it is refused, and so is what was read before.
func TestFailStop(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	f := hold(t, s, "a")
	check(t, <-put(s, f, "k", "1"))
	cause := errors.New("no space left on device")
	entered, proceed := make(chan struct{}), make(chan struct{})
	s.commitAt = func(*badger.Txn, uint64) error {
		close(entered)
		<-proceed
		return cause
	}
	failing := put(s, f, "k", "2")
	<-entered
	waiting := put(s, f, "k", "3")
	acquired := make(chan error)
	go func() {
		_, _, err := s.Acquire(t.Context(), f.Actor)
		acquired <- err
	}()
	close(proceed)
	_, getErr := read(t, s, f, "k")
	errs := []error{<-failing, <-waiting, <-acquired, <-put(s, f, "k", "4"), s.Failed()}
	for i, err := range errs {
		if !errors.Is(err, durable.ErrFailed) || !errors.Is(err, cause) {
			t.Errorf("error %d: %v", i, err)
		}
	}
	if _, getErr = read(t, s, f, "k"); !errors.Is(getErr, durable.ErrFailed) {
		t.Errorf("read after the failure: %v", getErr)
	}
	check(t, s.Close())
	s = openIn(t, dir)
	if value, err := read(t, s, hold(t, s, "a"), "k"); string(value) != "1" || err != nil {
		t.Errorf("after reopening: %q, %v", value, err)
	}
}

func TestDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nested", "store")
	openIn(t, dir)
	info, err := os.Stat(dir)
	check(t, err)
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("mode is %o", mode)
	}
}

// TestOptions checks what no test on a running machine can: that commits are synced.
func TestOptions(t *testing.T) {
	opts := openIn(t, t.TempDir()).db.Opts()
	if !opts.SyncWrites || opts.DetectConflicts || opts.NumVersionsToKeep != 1 {
		t.Errorf("sync %t, conflicts %t, versions %d", opts.SyncWrites, opts.DetectConflicts, opts.NumVersionsToKeep)
	}
	if opts.ValueThreshold <= chunkBytes+envelopeBytes {
		t.Errorf("chunks of %d bytes would enter the value log from %d bytes on", chunkBytes, opts.ValueThreshold)
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	held := t.TempDir()
	openIn(t, held)
	tests := []struct{ name, dir, want string }{
		{"no directory", "", "no directory given"},
		{"a file", file, file},
		{"held by this process", held, fmt.Sprintf("%s is in use by this process (pid %d)", held, os.Getpid())},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Open(Config{Dir: test.dir}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v instead of %q", err, test.want)
			}
		})
	}
}

func TestBatchLimit(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	batch := func(n, size int) error {
		b := durable.Batch{Fence: f}
		for i := range n {
			b.Ops = append(b.Ops, durable.Op{Key: fmt.Sprint(i), Value: make([]byte, size)})
		}
		done := make(chan error, 1)
		s.Commit(b, func(err error) { done <- err })
		return <-done
	}
	err := batch(3, durable.MaxValueBytes)
	var limit *durable.LimitError
	if !errors.As(err, &limit) || limit.What != "batch" || limit.Size < 3*durable.MaxValueBytes || limit.Limit != 4<<20 {
		t.Fatalf("batch of three largest values: %v", err)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("batch of %d bytes exceeds the limit of 4194304 bytes", limit.Size)) {
		t.Errorf("message: %v", err)
	}
	check(t, batch(10_000, 100)) // the most that many small writes come to
	check(t, batch(10_000, 0))   // all of them replaced
	check(t, batch(1, durable.MaxValueBytes))
	check(t, batch(13, 300_000)) // chunked, replacing small ones and a chunked one
	check(t, batch(13, 300_000))
	_, state, err := s.Acquire(t.Context(), f.Actor)
	check(t, err)
	if state.Keys != 10_000 {
		t.Errorf("%d keys", state.Keys)
	}
}

// raw returns the database keys with a prefix.
func raw(t *testing.T, s *Store, prefix ...byte) []string {
	t.Helper()
	s.mu.Lock()
	txn, end := s.beginRead()
	s.mu.Unlock()
	defer end()
	var keys []string
	for _, key := range firstUnder(txn, prefix, 1<<20) {
		keys = append(keys, string(key))
	}
	return keys
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	f := hold(t, s, "a")
	for i := range 3 * sweepKeys {
		put(s, f, fmt.Sprint(i), "v")
	}
	large := strings.Repeat("x", 1_000_000)
	check(t, <-put(s, f, "large", large))
	check(t, <-put(s, f, "large", large)) // leaves four chunks behind
	done := make(chan error, 1)
	s.Commit(durable.Batch{Fence: f, DeleteAll: true}, func(err error) { done <- err })
	check(t, <-done)
	check(t, <-put(s, f, "new", "v"))
	check(t, s.Close())

	s = openIn(t, dir) // whatever is left is swept now
	f = hold(t, s, "a")
	for n := 0; len(raw(t, s, garbageTag)) > 0; n++ {
		check(t, <-put(s, f, "new", fmt.Sprint(n))) // waits for a group
		if n > 1000 {
			t.Fatalf("%d records are never swept", len(raw(t, s, garbageTag)))
		}
	}
	if n := len(raw(t, s, dataTag)) + len(raw(t, s, chunkTag)); n != 1 {
		t.Errorf("%d records are stored instead of 1", n)
	}
}

func TestOldVersionsAreDropped(t *testing.T) {
	s := openIn(t, t.TempDir())
	f := hold(t, s, "a")
	check(t, <-put(s, f, "k", "1"))
	s.mu.Lock()
	txn, end := s.beginRead()
	first := s.durableTS
	s.mu.Unlock()
	_ = txn
	for range 5 {
		check(t, <-put(s, f, "k", "2"))
		s.discardVersions()
	}
	s.mu.Lock()
	if s.generation != 1 || s.discardTS <= first {
		t.Errorf("generation %d, discard timestamp %d: a reader at %d is there", s.generation, s.discardTS, first)
	}
	s.mu.Unlock()
	end()
	s.discardVersions()
	s.mu.Lock()
	if s.generation != 2 || s.discardTS != s.durableTS {
		t.Errorf("generation %d, discard timestamp %d of %d after the reader", s.generation, s.discardTS, s.durableTS)
	}
	s.mu.Unlock()
}

// tamper changes what is stored under a database key.
func tamper(t *testing.T, s *Store, key string, change func(e *badger.Entry)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	txn := s.db.NewTransactionAt(s.durableTS, true)
	defer txn.Discard()
	item, err := txn.Get([]byte(key))
	check(t, err)
	value, err := item.ValueCopy(nil)
	check(t, err)
	e := badger.NewEntry([]byte(key), value).WithMeta(item.UserMeta())
	change(e)
	check(t, txn.SetEntry(e))
	s.durableTS++
	check(t, txn.CommitAt(s.durableTS, nil))
}

func TestCorruptionIsLoud(t *testing.T) {
	tests := []struct {
		name   string
		tag    byte
		change func(e *badger.Entry)
	}{
		{"flipped bit", dataTag, func(e *badger.Entry) { e.Value[envelopeBytes+1] ^= 4 }},
		{"flipped checksum", dataTag, func(e *badger.Entry) { e.Value[0] ^= 1 }},
		{"cut short", dataTag, func(e *badger.Entry) { e.Value = e.Value[:len(e.Value)-1] }},
		{"cut to nothing", dataTag, func(e *badger.Entry) { e.Value = e.Value[:2] }},
		{"another kind", dataTag, func(e *badger.Entry) { e.UserMeta = kindHead }},
		{"an unknown kind", dataTag, func(e *badger.Entry) { e.UserMeta = 200 }},
		{"flipped bit in a chunk", chunkTag, func(e *badger.Entry) { e.Value[1000] ^= 1 }},
		{"flipped bit in the meta", metaTag, func(e *badger.Entry) { e.Value[20] ^= 1 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := openIn(t, t.TempDir())
			f := hold(t, s, "a")
			value := "value"
			if test.tag == chunkTag {
				value = strings.Repeat("v", 300_000)
			}
			check(t, <-put(s, f, "k", value))
			tamper(t, s, raw(t, s, test.tag)[0], test.change)
			s.Release(f)
			f, _, err := s.Acquire(t.Context(), f.Actor)
			if err == nil {
				_, err = read(t, s, f, "k")
			}
			if !errors.Is(err, durable.ErrCorrupt) {
				t.Errorf("error is %v", err)
			}
			if test.tag != metaTag && f.Epoch != 0 { // it was activated
				if _, err := s.Scan(t.Context(), f, durable.Range{}); !errors.Is(err, durable.ErrCorrupt) {
					t.Errorf("scan: %v", err)
				}
			}
		})
	}
	t.Run("another key's value", func(t *testing.T) {
		s := openIn(t, t.TempDir())
		a, b := hold(t, s, "a"), hold(t, s, "b")
		check(t, <-put(s, a, "k", "right"))
		check(t, <-put(s, b, "k", "wrong"))
		keys := raw(t, s, dataTag)
		var other []byte
		tamper(t, s, keys[1], func(e *badger.Entry) { other = slices.Clone(e.Value) })
		tamper(t, s, keys[0], func(e *badger.Entry) { e.Value = other })
		if _, err := read(t, s, a, "k"); !errors.Is(err, durable.ErrCorrupt) {
			t.Errorf("error is %v", err)
		}
	})
}

// TestStorageOverBadger drives a whole actor: buffered turns, the gate, and the state after a reopening.
func TestStorageOverBadger(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		s := openIn(t, dir)
		d := durable.NewDirectory(durable.Config{Store: s})
		d.Register("test", durable.NewNativeClass(durable.NativeConfig{}))
		h, err := d.Acquire(t.Context(), space.Key(space.IDFromName("a")), "a")
		check(t, err)
		n := h.Instance().(*durable.Native)
		check(t, n.Do(t.Context(), func(st *durable.Storage) error {
			entries, err := st.List(t.Context(), durable.Range{})
			if len(entries) != round {
				t.Errorf("round %d: %d entries", round, len(entries))
			}
			return errors.Join(err, st.Put(fmt.Sprint(round), nil))
		}))
		h.Release()
		check(t, d.Close(t.Context()))
		check(t, s.Close())
	}
}

func TestNoGoroutineStays(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := openIn(t, t.TempDir())
	check(t, <-put(s, hold(t, s, "a"), "k", "v"))
	check(t, s.Close())
	goleak.VerifyNone(t, before)
}

// nothingClass makes instances that hold nothing, so that what remains is the directory's and the store's.
type nothingClass struct{ instance nothing }

type nothing struct{}

func (c *nothingClass) Activate(context.Context, durable.Activation) (durable.Instance, error) {
	return &c.instance, nil
}

func (*nothing) Alarm(context.Context) error { return nil }
func (*nothing) Broken() error               { return nil }
func (*nothing) Close(error)                 {}

func TestIdleActorIsSmall(t *testing.T) {
	const actors = 10_000
	s := openIn(t, t.TempDir())
	d := durable.NewDirectory(durable.Config{Store: s})
	d.Register("test", &nothingClass{})
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for i := range actors {
		h, err := d.Acquire(t.Context(), space.Key(space.IDFromName(fmt.Sprint(i))), "")
		check(t, err)
		h.Release()
	}
	each := (heap() - before) / actors
	t.Logf("%d bytes each", each)
	if each > 1000 {
		t.Errorf("an idle actor costs %d bytes", each)
	}
	check(t, d.Close(t.Context()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.actors) != 0 {
		t.Errorf("the store still knows %d actors", len(s.actors))
	}
}
