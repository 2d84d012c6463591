package throttle

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a settable clock for concurrent readers.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time            { return time.Unix(0, 1_700_000_000_000_000_000+c.ns.Load()) }
func (c *clock) advance(d time.Duration)   { c.ns.Add(int64(d)) }
func rate(limit int, w time.Duration) Rate { return Rate{Limit: limit, Window: w} }
func mustZone(t testing.TB, c ZoneConfig) *Zone {
	t.Helper()
	z, err := NewZone(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	return z
}

func TestZoneBurstThenSteady(t *testing.T) {
	var c clock
	z := mustZone(t, ZoneConfig{Rate: rate(10, time.Minute), Now: c.now})
	for i := range 10 {
		d := z.Take("k")
		want := Decision{Allowed: true, Limit: 10, Window: time.Minute, Remaining: 9 - i, Reset: time.Duration(i+1) * 6 * time.Second}
		if d != want {
			t.Fatalf("take %d: %+v, want %+v", i, d, want)
		}
	}
	for range 3 { // refusals don't prolong the wait
		want := Decision{Limit: 10, Window: time.Minute, RetryAfter: 6 * time.Second, Reset: time.Minute}
		if d := z.Take("k"); d != want {
			t.Fatalf("over: %+v, want %+v", d, want)
		}
	}
	if !z.Take("other").Allowed {
		t.Error("another key is limited too")
	}
	c.advance(6*time.Second - 1)
	if d := z.Take("k"); d.Allowed || d.RetryAfter != 1 {
		t.Errorf("a nanosecond early: %+v", d)
	}
	c.advance(1)
	if d := z.Take("k"); !d.Allowed || d.Remaining != 0 {
		t.Errorf("at the time told: %+v", d)
	}
	if z.Take("k").Allowed {
		t.Error("a second one passed")
	}
	c.advance(time.Hour)
	if d := z.Take("k"); !d.Allowed || d.Remaining != 9 {
		t.Errorf("after idling: %+v", d)
	}
}

func TestZoneConcurrentTakesAreExact(t *testing.T) {
	var c clock
	z := mustZone(t, ZoneConfig{Rate: rate(10, time.Minute), Now: c.now})
	for round := range 5 {
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if z.Take("k").Allowed {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 10 {
			t.Fatalf("round %d: %d passed", round, passed.Load())
		}
		c.advance(time.Minute)
	}
}

// The sweep runs all the time here, and must not lose an admission.
func TestZoneSweepLosesNoAdmission(t *testing.T) {
	var c clock
	z := mustZone(t, ZoneConfig{Rate: rate(10, time.Minute), Now: c.now})
	stop := make(chan struct{})
	var sweeper sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				z.sweep()
			}
		}
	})
	for round := range 50 {
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 5 {
					if z.Take("k").Allowed {
						passed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if passed.Load() != 10 {
			t.Errorf("round %d: %d passed", round, passed.Load())
		}
		c.advance(time.Minute)
	}
	close(stop)
	sweeper.Wait()
	z.sweep()
	if z.Keys() != 0 {
		t.Errorf("%d keys left", z.Keys())
	}
}

func TestZoneDropsIdleKeysByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z, err := NewZone(ZoneConfig{Rate: rate(10, 10*time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for i := range 100 {
			z.Take(fmt.Sprint(i))
		}
		if z.Keys() != 100 {
			t.Errorf("%d keys", z.Keys())
		}
		time.Sleep(21 * time.Second) // of the bubble's clock
		synctest.Wait()
		if z.Keys() != 0 {
			t.Errorf("%d idle keys left", z.Keys())
		}
	})
}

func TestZoneFull(t *testing.T) {
	var c clock
	z := mustZone(t, ZoneConfig{Rate: rate(2, time.Minute), MaxKeys: 50, Now: c.now})
	for i := range 50 {
		z.Take(fmt.Sprint("old", i))
	}
	passed := 0
	for i := range 20_000 {
		if z.Take(fmt.Sprint("new", i)).Allowed {
			passed++
		}
	}
	if z.Keys() > 50 {
		t.Errorf("%d keys", z.Keys())
	}
	if passed > 2*overflowKeys || passed < overflowKeys {
		t.Errorf("%d of the keys over the cap passed", passed)
	}
	if !z.Take("old7").Allowed {
		t.Error("a key that is kept is limited with the others")
	}
	if z.Take("old7").Allowed {
		t.Error("a key that is kept is not limited")
	}
	c.advance(time.Minute)
	z.sweep()
	for range 2 {
		if !z.Take("late").Allowed {
			t.Error("after the sweep a new key is still limited")
		}
	}
}

func TestZoneKeepsLongKeysByHash(t *testing.T) {
	z := mustZone(t, ZoneConfig{Rate: rate(1, time.Minute)})
	long := strings.Repeat("k", 100_000)
	if !z.Take(long+"a").Allowed || !z.Take(long+"b").Allowed || z.Take(long+"a").Allowed {
		t.Error("long keys are not told apart")
	}
	z.keys.Range(func(key, _ any) bool {
		if len(key.(string)) > maxKeyBytes {
			t.Errorf("a key of %d bytes is kept", len(key.(string)))
		}
		return true
	})
}

func TestNewZoneRefusesRates(t *testing.T) {
	for _, r := range []Rate{{}, {Limit: 1}, {Window: time.Second}, {Limit: -1, Window: time.Second}} {
		if _, err := NewZone(ZoneConfig{Rate: r}); err == nil {
			t.Errorf("%+v was accepted", r)
		}
	}
}

func BenchmarkZoneTake(b *testing.B) {
	z := mustZone(b, ZoneConfig{Rate: rate(1_000_000, time.Second)})
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("203.0.113.%d", i)
	}
	b.Run("one key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			z.Take(keys[0])
		}
	})
	b.Run("parallel keys", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				z.Take(keys[i%len(keys)])
			}
		})
	})
	b.Run("new keys", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			z.Take(fmt.Sprint(i))
		}
	})
}
