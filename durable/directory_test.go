package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClass makes instances that record what happens to them.
type fakeClass struct {
	activations atomic.Int32
	err         error         // fails activations
	hold        chan struct{} // activations wait for it, if it is not nil
	alarm       func(i *fakeInstance) error

	mu        sync.Mutex
	instances []*fakeInstance
}

type fakeInstance struct {
	Activation
	class   *fakeClass
	storage *Storage
	mu      sync.Mutex
	broken  error
	busy    bool
	closed  error
	runs    []time.Time
}

func (c *fakeClass) Activate(ctx context.Context, a Activation) (Instance, error) {
	c.activations.Add(1)
	if c.hold != nil {
		select {
		case <-c.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	i := &fakeInstance{Activation: a, class: c, storage: NewStorage(a.StorageConfig())}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instances = append(c.instances, i)
	return i, nil
}

func (c *fakeClass) last() *fakeInstance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.instances[len(c.instances)-1]
}

func (i *fakeInstance) Alarm(ctx context.Context) error {
	i.mu.Lock()
	i.runs = append(i.runs, time.Now())
	i.mu.Unlock()
	i.class.mu.Lock()
	handler := i.class.alarm
	i.class.mu.Unlock()
	if handler != nil {
		return handler(i)
	}
	if _, ok := i.storage.AlarmStarted(); ok {
		i.storage.AlarmSucceeded()
	}
	return i.storage.Sync(ctx)
}

func (i *fakeInstance) Broken() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.broken
}

func (i *fakeInstance) Busy() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.busy
}

func (i *fakeInstance) Close(reason error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = reason
}

func (i *fakeInstance) reason() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.closed
}

func (i *fakeInstance) set(change func(*fakeInstance)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

var testSpace = NewNamespace("Test")

func testKey(name string) Key { return testSpace.Key(testSpace.IDFromName(name)) }

// withDirectory runs a test in a bubble with a started directory over a memory store.
func withDirectory(t *testing.T, cfg Config, run func(t *testing.T, d *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		cfg.Store = store
		d := NewDirectory(cfg)
		d.Start()
		run(t, d)
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := d.Resident(); n != 0 {
			t.Errorf("%d residents after close", n)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

// elapse lets time pass in the bubble and whatever it causes happen.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestShed drops the longest idle of those that match, and none that is in use or busy.
func TestShed(t *testing.T) {
	c := &fakeClass{}
	store := NewMemory()
	defer store.Close()
	d := NewDirectory(Config{Store: store})
	defer d.Close(context.Background())
	ns := NewNamespace("n")
	d.Register("n", c)
	name := func(i Instance) string { return i.(*fakeInstance).Name }
	for _, n := range []string{"a", "b", "c", "d", "e", "other"} {
		h, err := d.Acquire(t.Context(), ns.Key(ns.IDFromName(n)), n)
		if err != nil {
			t.Fatal(err)
		}
		if n == "b" {
			h.Instance().(*fakeInstance).busy = true
		}
		if n == "c" {
			defer h.Release()
			continue
		}
		h.Release()
	}
	match := func(i Instance) bool { return name(i) != "other" }
	if n := d.Shed(match, 0.5); n != 2 { // of a, d and e
		t.Fatal(n, "actors were dropped")
	}
	if n := d.Shed(match, 0.01); n != 1 {
		t.Fatal(n, "actors were dropped, the last of them is e")
	}
	if n := d.Shed(match, 1); n != 0 {
		t.Fatal(n, "actors were dropped that are in use or busy")
	}
}

func mustAcquire(t *testing.T, d *Directory, key Key) *Handle {
	t.Helper()
	h, err := d.Acquire(t.Context(), key, "")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestOneInstance(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{hold: make(chan struct{})}
		d.Register("Test", c)
		var work sync.WaitGroup
		seen := make(chan Instance, 100)
		for range 100 {
			work.Go(func() {
				h, err := d.Acquire(t.Context(), testKey("a"), "a")
				if err != nil {
					t.Error(err)
					return
				}
				seen <- h.Instance()
				h.Release()
				h.Release() // counts once
			})
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Acquire(impatient, testKey("a"), "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("acquire that gave up: %v", err)
		}
		close(c.hold)
		work.Wait()
		close(seen)
		for i := range seen {
			if i != c.last() {
				t.Fatal("two instances")
			}
		}
		if n := c.activations.Load(); n != 1 {
			t.Errorf("%d activations", n)
		}
		if name := c.last().Name; name != "a" {
			t.Errorf("name is %q", name)
		}
	})
}

func TestIdle(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		d.Register("Test", c)
		held := mustAcquire(t, d, testKey("held"))
		mustAcquire(t, d, testKey("idle")).Release()
		elapse(5 * time.Second)
		mustAcquire(t, d, testKey("later")).Release()
		elapse(5*time.Second - time.Millisecond)
		if n := d.Resident(); n != 3 {
			t.Fatalf("%d residents before the time", n)
		}
		elapse(2 * time.Millisecond)
		synctest.Wait()
		if n := d.Resident(); n != 2 {
			t.Fatalf("%d residents after the first one's time", n)
		}
		c.last().set(func(i *fakeInstance) { i.busy = true })
		elapse(time.Minute)
		if n := d.Resident(); n != 2 {
			t.Fatalf("%d residents, one held and one busy", n)
		}
		c.last().set(func(i *fakeInstance) { i.busy = false })
		elapse(11 * time.Second)
		if n := d.Resident(); n != 1 || !errors.Is(c.last().reason(), ErrIdle) {
			t.Fatalf("%d residents; closed with %v", n, c.last().reason())
		}
		held.Release()
		elapse(11 * time.Second)
		if n := d.Resident(); n != 0 {
			t.Fatalf("%d residents at the end", n)
		}
		mustAcquire(t, d, testKey("idle")).Release()
		if n := c.activations.Load(); n != 4 {
			t.Errorf("%d activations", n)
		}
	})
}

func TestClassReplaced(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		older, newer := &fakeClass{}, &fakeClass{}
		if _, err := d.Acquire(t.Context(), testKey("a"), ""); !errors.Is(err, ErrNoClass) {
			t.Errorf("acquire without a class: %v", err)
		}
		d.Register("Test", older)
		mustAcquire(t, d, testKey("idle")).Release()
		first := mustAcquire(t, d, testKey("a"))
		d.Register("Test", older) // nothing changes
		second := mustAcquire(t, d, testKey("a"))
		if first.Instance() != second.Instance() {
			t.Error("registering the same class again made another instance")
		}
		d.Register("Test", newer)
		synctest.Wait()
		if n := d.Resident(); n != 1 {
			t.Errorf("%d residents: the idle one should be gone, the busy one not", n)
		}
		got := make(chan Instance)
		go func() {
			h := mustAcquire(t, d, testKey("a"))
			got <- h.Instance()
			h.Release()
		}()
		first.Release()
		synctest.Wait()
		if newer.activations.Load() != 0 || older.last().reason() != nil {
			t.Error("the older instance was retired with an event in flight")
		}
		second.Release()
		if i := <-got; i != newer.last() || !errors.Is(older.last().reason(), ErrRetired) {
			t.Errorf("new event reached %v; older closed with %v", i, older.last().reason())
		}
		d.Register("Test", nil)
		synctest.Wait()
		if _, err := d.Acquire(t.Context(), testKey("a"), ""); !errors.Is(err, ErrNoClass) {
			t.Errorf("acquire after the class was removed: %v", err)
		}
		if n := d.Resident(); n != 0 {
			t.Errorf("%d residents after the class was removed", n)
		}
	})
}

func TestRetireIsBounded(t *testing.T) {
	withDirectory(t, Config{RetireAfter: 3 * time.Second}, func(t *testing.T, d *Directory) {
		older, newer := &fakeClass{}, &fakeClass{}
		d.Register("Test", older)
		stream := mustAcquire(t, d, testKey("a"))
		d.Register("Test", newer)
		began := time.Now()
		h := mustAcquire(t, d, testKey("a"))
		if waited := time.Since(began); waited != 3*time.Second || h.Instance() != newer.last() {
			t.Errorf("waited %v", waited)
		}
		stream.Release()
		h.Release()
	})
}

func TestBrokenAndReset(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		d.Register("Test", c)
		cause := errors.New("out of memory")
		held := mustAcquire(t, d, testKey("a"))
		first := c.last()
		first.set(func(i *fakeInstance) { i.broken = cause })
		h := mustAcquire(t, d, testKey("a"))
		if h.Instance() == held.Instance() || first.reason() != cause {
			t.Errorf("a broken instance was used again, closed with %v", first.reason())
		}
		held.Release()
		second := c.last()
		d.Reset(testKey("a"), ErrReset)
		d.Reset(testKey("nobody"), ErrReset)
		synctest.Wait()
		if second.reason() != ErrReset || d.Resident() != 0 {
			t.Errorf("reset closed with %v", second.reason())
		}
		h.Release()
		h = mustAcquire(t, d, testKey("a"))
		third := c.last()
		third.set(func(i *fakeInstance) { i.broken = cause })
		h.Release()
		synctest.Wait()
		if d.Resident() != 0 || third.reason() != cause {
			t.Error("a broken instance stayed after its last event")
		}
	})
}

func TestActivationFails(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{err: errors.New("syntax error")}
		d.Register("Test", c)
		if _, err := d.Acquire(t.Context(), testKey("a"), ""); err != c.err {
			t.Errorf("acquire: %v", err)
		}
		if d.Resident() != 0 {
			t.Error("a failed activation stayed")
		}
		c.err = nil
		mustAcquire(t, d, testKey("a")).Release()
	})
}

func TestMaxResident(t *testing.T) {
	withDirectory(t, Config{MaxResident: 2}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		d.Register("Test", c)
		first := mustAcquire(t, d, testKey("1"))
		mustAcquire(t, d, testKey("2")).Release()
		second := c.last()
		h := mustAcquire(t, d, testKey("3"))
		synctest.Wait()
		if !errors.Is(second.reason(), ErrIdle) || d.Resident() != 2 {
			t.Errorf("the idle actor was closed with %v, %d residents", second.reason(), d.Resident())
		}
		if _, err := d.Acquire(t.Context(), testKey("4"), ""); !errors.Is(err, ErrOverloaded) {
			t.Errorf("acquire without room: %v", err)
		}
		first.Release()
		h.Release()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		d := NewDirectory(Config{Store: store})
		d.Start()
		d.Start()
		c := &fakeClass{}
		d.Register("Test", c)
		h := mustAcquire(t, d, testKey("a"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		closed := make(chan error)
		go func() { closed <- d.Close(ctx) }()
		synctest.Wait()
		if _, err := d.Acquire(t.Context(), testKey("b"), ""); !errors.Is(err, ErrClosed) {
			t.Errorf("acquire while closing: %v", err)
		}
		if c.last().reason() != nil {
			t.Error("closed with an event in flight")
		}
		h.Release()
		if err := <-closed; err != nil || !errors.Is(c.last().reason(), ErrClosed) {
			t.Errorf("close: %v; instance closed with %v", err, c.last().reason())
		}

		d = NewDirectory(Config{Store: store})
		d.Start()
		d.Register("Test", c)
		h = mustAcquire(t, d, testKey("a"))
		began := time.Now()
		if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute {
			t.Errorf("close with an event that does not end: %v after %v", err, time.Since(began))
		}
		h.Release()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestStoreFailureReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		d := NewDirectory(Config{Store: store})
		d.Register("Test", &fakeClass{})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Acquire(t.Context(), testKey("a"), ""); !errors.Is(err, ErrClosed) {
			t.Errorf("acquire: %v", err)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestManyActors(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		older := c
		d.Register("Test", c)
		var work sync.WaitGroup
		for w := range 8 {
			work.Go(func() {
				for n := range 200 {
					h, err := d.Acquire(t.Context(), testKey(fmt.Sprint(n%17)), "")
					if err != nil {
						t.Error(err)
						return
					}
					switch {
					case n%50 == 49:
						d.Reset(testKey(fmt.Sprint(n%17)), ErrReset)
					case w == 0 && n%60 == 30:
						d.Register("Test", &fakeClass{})
					case n%7 == 0:
						time.Sleep(time.Second)
					}
					h.Release()
				}
			})
		}
		work.Wait()
		d.Register("Test", older)
		elapse(time.Minute)
		if n := d.Resident(); n != 0 {
			t.Errorf("%d residents", n)
		}
	})
}
