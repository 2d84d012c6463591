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
)

// setAlarm sets an actor's alarm through its instance.
func setAlarm(t *testing.T, d *Directory, key Key, at time.Time) {
	t.Helper()
	h := mustAcquire(t, d, key)
	defer h.Release()
	s := h.Instance().(*fakeInstance).storage
	check(t, s.SetAlarm(at))
	check(t, s.Sync(t.Context()))
}

func TestAlarmsFireOnTime(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		d.Register("Test", c)
		began := time.Now()
		seconds := map[string]int{"far": 7200, "b": 30, "a": 5, "past": -5, "c": 31}
		for name, s := range seconds {
			setAlarm(t, d, testKey(name), began.Add(time.Duration(s)*time.Second))
		}
		elapse(3 * time.Hour)
		fired := make(map[Key]time.Duration)
		for _, i := range c.instances {
			for _, at := range i.runs {
				if _, twice := fired[i.Key]; twice {
					t.Errorf("%s fired twice", i.Key)
				}
				fired[i.Key] = at.Sub(began)
			}
		}
		for name, s := range seconds {
			got, ok := fired[testKey(name)]
			if late := got - time.Duration(max(s, 0))*time.Second; !ok || late < 0 || late > 10*time.Millisecond {
				t.Errorf("%s fired (%t) %v after its time", name, ok, late)
			}
		}
	})
}

func TestAlarmsOutliveTheDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		c := &fakeClass{}
		d := NewDirectory(Config{Store: store})
		d.Start()
		d.Register("Test", c)
		setAlarm(t, d, testKey("a"), time.Now().Add(time.Minute))
		check(t, d.Close(t.Context()))
		elapse(time.Hour)
		began := time.Now()
		d = NewDirectory(Config{Store: store})
		d.Start()
		elapse(time.Hour) // no class yet
		d.Register("Test", c)
		synctest.Wait()
		if runs := c.last().runs; len(runs) != 1 || runs[0].Sub(began) != time.Hour {
			t.Errorf("runs: %v", runs)
		}
		check(t, d.Close(t.Context()))
		check(t, store.Close())
	})
}

// countingStore counts how often the alarms are asked for.
type countingStore struct {
	Store
	due atomic.Int32
}

func (s *countingStore) Due(ctx context.Context, now time.Time, after *DueAlarm, limit int) ([]DueAlarm, time.Time, error) {
	s.due.Add(1)
	return s.Store.Due(ctx, now, after, limit)
}

func TestAlarmLoopIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &countingStore{Store: NewMemory()}
		d := NewDirectory(Config{Store: store})
		d.Start()
		d.Register("Test", &fakeClass{})
		synctest.Wait()
		before := store.due.Load()
		for i := range 100 {
			setAlarm(t, d, testKey(fmt.Sprint(i)), time.Now().Add(2*time.Hour+time.Duration(i)*time.Second))
		}
		elapse(time.Hour)
		// One look for the first alarm, which was earlier than none, and the safety look each hour.
		if looks := store.due.Load() - before; looks > 3 {
			t.Errorf("%d looks at the store in an hour without a due alarm", looks)
		}
		check(t, d.Close(t.Context()))
		check(t, store.Close())
	})
}

func TestFailingHandlerIsRetried(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		var infos []AlarmInfo
		var runs []time.Time
		c.alarm = func(i *fakeInstance) error {
			info, ok := i.storage.AlarmStarted()
			if !ok {
				return errors.New("not due")
			}
			infos, runs = append(infos, info), append(runs, time.Now())
			i.storage.AlarmFailed()
			return i.storage.Sync(context.Background())
		}
		d.Register("Test", c)
		began := time.Now()
		setAlarm(t, d, testKey("a"), began)
		elapse(time.Hour)
		if len(infos) != 7 {
			t.Fatalf("%d runs instead of 7", len(infos))
		}
		for n, info := range infos {
			if info.RetryCount != n || info.IsRetry != (n > 0) || info.Scheduled.UnixMilli() != began.UnixMilli() {
				t.Errorf("run %d: %+v", n, info)
			}
			if n == 0 {
				continue
			}
			delay, least := runs[n].Sub(runs[n-1]), 2*time.Second<<(n-1)
			if delay < least-time.Millisecond || delay > least+least/4+50*time.Millisecond {
				t.Errorf("retry %d came after %v instead of %v and up to a quarter more", n, delay, least)
			}
		}
	})
}

func TestAlarmThatCannotRunBacksOff(t *testing.T) {
	tests := []struct {
		name string
		fail func(c *fakeClass, failing bool)
	}{
		{"activation fails", func(c *fakeClass, failing bool) {
			c.err = nil
			if failing {
				c.err = errors.New("syntax error")
			}
		}},
		{"instance refuses", func(c *fakeClass, failing bool) {
			c.alarm = nil
			if failing {
				c.alarm = func(*fakeInstance) error { return errors.New("overloaded") }
			}
		}},
		{"instance ignores it", func(c *fakeClass, failing bool) {
			c.alarm = nil
			if failing {
				c.alarm = func(*fakeInstance) error { return nil }
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			withDirectory(t, Config{IdleAfter: time.Millisecond}, func(t *testing.T, d *Directory) {
				good, bad := &fakeClass{}, &fakeClass{}
				d.Register("Test", good)
				setAlarm(t, d, testKey("a"), time.Now().Add(time.Second))
				test.fail(bad, true) // nobody uses it yet
				d.Register("Test", bad)
				elapse(time.Hour)
				// 2+4+...+256 s, then each 300 s.
				if n := bad.activations.Load(); n < 8 || n > 25 {
					t.Errorf("%d tries in an hour", n)
				}
				bad.mu.Lock()
				test.fail(bad, false)
				bad.mu.Unlock()
				elapse(6 * time.Minute)
				h := mustAcquire(t, d, testKey("a"))
				defer h.Release()
				if at, set := bad.last().storage.Alarm(); set {
					t.Errorf("the alarm is still set to %v", at)
				}
			})
		})
	}
}

func TestAlarmsAreBounded(t *testing.T) {
	withDirectory(t, Config{MaxConcurrentAlarms: 3, AlarmsPerSecond: 10}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		d.Register("Test", c)
		const actors = 150 // more than a page
		at := time.Now().Add(time.Minute)
		for i := range actors {
			setAlarm(t, d, testKey(fmt.Sprint(i)), at)
		}
		var mu sync.Mutex
		running, most, ended := 0, 0, time.Time{}
		fired := make(map[Key]int)
		c.mu.Lock()
		c.alarm = func(i *fakeInstance) error {
			mu.Lock()
			running++
			most = max(most, running)
			fired[i.Key]++
			mu.Unlock()
			time.Sleep(250 * time.Millisecond)
			mu.Lock()
			running--
			ended = time.Now()
			mu.Unlock()
			if _, ok := i.storage.AlarmStarted(); ok {
				i.storage.AlarmSucceeded()
			}
			return i.storage.Sync(context.Background())
		}
		c.mu.Unlock()
		elapse(time.Hour)
		if most != 3 {
			t.Errorf("%d handlers at once instead of 3", most)
		}
		if len(fired) != actors {
			t.Errorf("%d of %d alarms fired", len(fired), actors)
		}
		for key, n := range fired {
			if n != 1 {
				t.Errorf("%s fired %d times", key, n)
			}
		}
		if took := ended.Sub(at); took < 14*time.Second || took > 17*time.Second {
			t.Errorf("%d alarms at 10 a second took %v", actors, took)
		}
	})
}

// TestAlarmSetsItself has handlers set the next alarm, so that the loop meets changes while it looks.
func TestAlarmSetsItself(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		var runs atomic.Int32
		c.alarm = func(i *fakeInstance) error {
			if _, ok := i.storage.AlarmStarted(); !ok {
				return errors.New("fired though not due")
			}
			runs.Add(1)
			err := i.storage.SetAlarm(time.Now().Add(100 * time.Millisecond))
			i.storage.AlarmSucceeded()
			return errors.Join(err, i.storage.Sync(context.Background()))
		}
		d.Register("Test", c)
		for i := range 20 {
			setAlarm(t, d, testKey(fmt.Sprint(i)), time.Now().Add(time.Duration(i)*time.Millisecond))
		}
		runs.Store(0)
		elapse(10 * time.Second)
		if n := runs.Load(); n < 20*95 || n > 20*101 {
			t.Errorf("%d runs in 10 s of 20 actors that wake each 100 ms", n)
		}
	})
}

// TestAlarmMovedWhileItWaits moves an alarm that the loop has read already but not started.
func TestAlarmMovedWhileItWaits(t *testing.T) {
	withDirectory(t, Config{MaxConcurrentAlarms: 1}, func(t *testing.T, d *Directory) {
		proceed := make(chan struct{})
		c := &fakeClass{}
		c.alarm = func(i *fakeInstance) error {
			<-proceed
			if _, ok := i.storage.AlarmStarted(); !ok {
				return errors.New("fired though not due")
			}
			i.storage.AlarmSucceeded()
			return i.storage.Sync(context.Background())
		}
		d.Register("Test", c)
		first, second := mustAcquire(t, d, testKey("first")), mustAcquire(t, d, testKey("second"))
		began := time.Now()
		setAlarm(t, d, testKey("first"), began.Add(time.Second))
		setAlarm(t, d, testKey("second"), began.Add(time.Second+time.Millisecond))
		// Both are due when the loop looks, the second one waits for the first one's slot.
		elapse(time.Second - time.Millisecond)
		elapse(2 * time.Second)
		setAlarm(t, d, testKey("second"), began.Add(time.Minute))
		close(proceed)
		elapse(time.Hour)
		runs := second.Instance().(*fakeInstance).runs
		if len(runs) != 1 || runs[0].Sub(began).Round(time.Millisecond) != time.Minute {
			t.Errorf("the moved alarm ran at %v, set at %v", runs, began)
		}
		first.Release()
		second.Release()
	})
}

func TestSettingAnAlarmEndsItsBackoff(t *testing.T) {
	withDirectory(t, Config{}, func(t *testing.T, d *Directory) {
		c := &fakeClass{}
		c.alarm = func(*fakeInstance) error { return errors.New("overloaded") }
		d.Register("Test", c)
		h := mustAcquire(t, d, testKey("a"))
		defer h.Release()
		i := h.Instance().(*fakeInstance)
		setAlarm(t, d, testKey("a"), time.Now())
		elapse(time.Hour)
		at := time.Now().Add(time.Second)
		setAlarm(t, d, testKey("a"), at)
		elapse(2 * time.Second)
		if last := i.runs[len(i.runs)-1]; last.Before(at.Truncate(time.Millisecond)) {
			t.Errorf("last run at %v, the alarm was set for %v", last, at)
		}
	})
}

// TestClockIsSet sets the clock back by an hour, and forth by two, while an alarm waits: it fires when the clock says so,
// once, and at most clockCheck late.
func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		store := NewMemory()
		d := NewDirectory(Config{Store: store, Now: now})
		fired := make(chan time.Time, 10)
		d.Register("Test", NewNativeClass(NativeConfig{Alarm: func(context.Context, *Native, AlarmInfo) error {
			fired <- now()
			return nil
		}}))
		d.Start()
		due := now().Add(10 * time.Minute)
		h, err := d.Acquire(t.Context(), testKey("a"), "")
		check(t, err)
		n := h.Instance().(*Native)
		n.storage.now = now
		check(t, n.Do(t.Context(), func(s *Storage) error { return s.SetAlarm(due) }))
		h.Release()

		offset.Store(int64(-time.Hour))
		elapse(30 * time.Minute)
		if len(fired) > 0 {
			t.Fatalf("fired at %v, due at %v", <-fired, due)
		}
		offset.Store(int64(time.Hour))
		elapse(clockCheck + time.Second)
		select {
		case at := <-fired:
			if at.Before(due) {
				t.Errorf("fired at %v, due at %v", at, due)
			}
		default:
			t.Error("not fired")
		}
		elapse(time.Hour)
		if len(fired) > 0 {
			t.Error("fired again")
		}
		check(t, d.Close(t.Context()))
		check(t, store.Close())
	})
}

// TestAlarmDueWhileItsHandlerRuns has a handler set its next alarm for now, and go on after that is durable and was looked
// at: it must fire as soon as the handler has ended.
func TestAlarmDueWhileItsHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := NewMemory()
		d := NewDirectory(Config{Store: store})
		var fired []time.Time
		d.Register("Test", NewNativeClass(NativeConfig{Alarm: func(ctx context.Context, n *Native, _ AlarmInfo) error {
			fired = append(fired, time.Now())
			if len(fired) == 5 {
				return nil
			}
			err := n.Do(ctx, func(s *Storage) error { return s.SetAlarm(time.Now()) })
			<-time.After(time.Second)
			return err
		}}))
		d.Start()
		h, err := d.Acquire(t.Context(), testKey("a"), "")
		check(t, err)
		begun := time.Now()
		check(t, h.Instance().(*Native).Do(t.Context(), func(s *Storage) error { return s.SetAlarm(begun) }))
		h.Release()
		elapse(time.Minute)
		if len(fired) != 5 || fired[4].Sub(begun) > 5*time.Second {
			t.Errorf("fired %v after %v", fired, begun)
		}
		check(t, d.Close(t.Context()))
		check(t, store.Close())
	})
}
