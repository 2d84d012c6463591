package throttle

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mutexCounter is a Counter as an actor makes one: calls for a key serialise.
type mutexCounter struct {
	mu    sync.Mutex
	slots map[string]*MemorySlots
	now   func() time.Time
}

func (m *mutexCounter) Take(ctx context.Context, zone, key string, r Rate) (Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[zone+"\x00"+key]
	if s == nil {
		s = &MemorySlots{}
		m.slots[zone+"\x00"+key] = s
	}
	return Take(ctx, s, r, m.now())
}

var _ Counter = (*mutexCounter)(nil)

func TestWindowConcurrentTakesAreExact(t *testing.T) {
	var c clock
	counter := &mutexCounter{slots: map[string]*MemorySlots{}, now: c.now}
	for range 3 {
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				d, err := counter.Take(t.Context(), "agents", "a", rate(10, time.Minute))
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					passed.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 10 {
			t.Fatalf("%d passed", passed.Load())
		}
		c.advance(time.Minute)
	}
}

func TestWindowDecisions(t *testing.T) {
	r := rate(3, time.Minute)
	start := time.Unix(1_700_000_000, 0)
	var slots MemorySlots
	steps := []struct {
		at   time.Duration
		want Decision
	}{
		{0, Decision{Allowed: true, Remaining: 2, Reset: time.Minute}},
		{10 * time.Second, Decision{Allowed: true, Remaining: 1, Reset: time.Minute}},
		{20 * time.Second, Decision{Allowed: true, Remaining: 0, Reset: time.Minute}},
		{30 * time.Second, Decision{RetryAfter: 30 * time.Second, Reset: 50 * time.Second}},
		{time.Minute - 1, Decision{RetryAfter: 1, Reset: 20*time.Second + 1}},
		{time.Minute, Decision{Allowed: true, Remaining: 0, Reset: time.Minute}},
		{time.Minute, Decision{RetryAfter: 10 * time.Second, Reset: time.Minute}},
		{85 * time.Second, Decision{Allowed: true, Remaining: 1, Reset: time.Minute}},
		// The clock steps back by a minute: no more pass, the wait is longer.
		{25 * time.Second, Decision{Allowed: true, Remaining: 0, Reset: 2 * time.Minute}},
		{25 * time.Second, Decision{RetryAfter: 95 * time.Second, Reset: 2 * time.Minute}},
		{10 * time.Minute, Decision{Allowed: true, Remaining: 2, Reset: time.Minute}},
	}
	for i, step := range steps {
		got, err := Take(t.Context(), &slots, r, start.Add(step.at))
		if err != nil {
			t.Fatal(err)
		}
		step.want.Limit, step.want.Window = 3, time.Minute
		if got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
	}
}

func TestWindowChangedLimitKeepsTheCount(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var slots MemorySlots
	take := func(limit int, at time.Duration) Decision {
		t.Helper()
		d, err := Take(t.Context(), &slots, rate(limit, time.Minute), start.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i := range 5 {
		if !take(5, time.Duration(i)*time.Second).Allowed {
			t.Fatal("refused within the limit")
		}
	}
	if d := take(8, 10*time.Second); !d.Allowed || d.Remaining != 2 {
		t.Errorf("larger limit: %+v", d)
	}
	if d := take(2, 11*time.Second); d.Allowed || d.RetryAfter != 53*time.Second {
		t.Errorf("smaller limit: %+v", d)
	}
	if d := take(2, 64*time.Second); !d.Allowed {
		t.Errorf("after the second newest left the window: %+v", d)
	}
}

// Against a plain log of admissions: the same answers, whatever the times.
func TestWindowAgreesWithALog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rate(rapid.IntRange(1, 7).Draw(t, "limit"), 100*time.Millisecond)
		now := time.Unix(1_700_000_000, 0)
		var slots MemorySlots
		var log []time.Time
		for range rapid.IntRange(1, 80).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "step")) * time.Millisecond)
			recent := 0
			for _, at := range log {
				if now.Sub(at) < r.Window {
					recent++
				}
			}
			d, err := Take(context.Background(), &slots, r, now)
			if err != nil {
				t.Fatal(err)
			}
			if d.Allowed != (recent < r.Limit) {
				t.Fatalf("allowed %v with %d recent of %d", d.Allowed, recent, r.Limit)
			}
			if d.Allowed {
				log = append(log, now)
				recent++
			} else if oldest := log[len(log)-r.Limit]; d.RetryAfter != oldest.Add(r.Window).Sub(now) {
				t.Fatalf("retry after %s", d.RetryAfter)
			}
			if d.Remaining != r.Limit-recent {
				t.Fatalf("remaining %d, want %d", d.Remaining, r.Limit-recent)
			}
		}
	})
}

type failingSlots struct {
	MemorySlots
	fail bool
}

var errSlots = errors.New("disk is gone")

func (f *failingSlots) Slot(ctx context.Context, i int) (int64, bool, error) {
	if f.fail {
		return 0, false, errSlots
	}
	return f.MemorySlots.Slot(ctx, i)
}

func TestWindowFailsClosed(t *testing.T) {
	var slots failingSlots
	now := time.Unix(1_700_000_000, 0)
	if _, err := Take(t.Context(), &slots, rate(5, time.Minute), now); err != nil {
		t.Fatal(err)
	}
	slots.fail = true
	if d, err := Take(t.Context(), &slots, rate(5, time.Minute), now); !errors.Is(err, errSlots) || d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
	slots.fail = false
	delete(slots.times, 0) // a lost slot is not room
	if d, err := Take(t.Context(), &slots, rate(5, time.Minute), now); err == nil || d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := Take(t.Context(), &slots, Rate{}, now); !errors.Is(err, ErrRate) {
		t.Errorf("zero rate: %v", err)
	}
}

func BenchmarkWindowTake(b *testing.B) {
	var slots MemorySlots
	now := time.Unix(1_700_000_000, 0)
	for b.Loop() {
		now = now.Add(time.Millisecond)
		if _, err := Take(context.Background(), &slots, rate(1000, time.Second), now); err != nil {
			b.Fatal(err)
		}
	}
}
