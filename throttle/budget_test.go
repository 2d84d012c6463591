package throttle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testBudget(amount int, window time.Duration, c *clock) *Budget {
	return &Budget{Amount: rate(amount, window), Ledger: NewMemoryLedger(window, 0, c.now), Now: c.now}
}

func mustReserve(t *testing.T, b *Budget, key string, cost int64) *Hold {
	t.Helper()
	h, d, err := b.Reserve(t.Context(), key, cost)
	if err != nil || h == nil || !d.Allowed {
		t.Fatalf("reserve %d: %v, %+v, %v", cost, h, d, err)
	}
	return h
}

func wantLeft(t *testing.T, b *Budget, key string, want int) {
	t.Helper()
	h, d, err := b.Reserve(t.Context(), key, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := d.Remaining
	if h != nil {
		got++
		if _, err := h.Settle(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if got != want {
		t.Fatalf("%d left, want %d", got, want)
	}
}

func TestBudgetReserveThenSettle(t *testing.T) {
	var c clock
	b := testBudget(100, time.Hour, &c)
	h := mustReserve(t, b, "k", 60)
	c.advance(10 * time.Minute)
	refused, d, err := b.Reserve(t.Context(), "k", 41)
	want := Decision{Limit: 100, Window: time.Hour, Remaining: 40, RetryAfter: 50 * time.Minute, Reset: 50 * time.Minute}
	if err != nil || refused != nil || d != want {
		t.Fatalf("over the budget: %v, %+v, %v; want %+v", refused, d, err, want)
	}
	wantLeft(t, b, "other", 100)
	if d, err := h.Settle(t.Context(), 25); err != nil || d.Remaining != 75 {
		t.Fatalf("settled: %+v, %v", d, err)
	}
	wantLeft(t, b, "k", 75)
	// A cost that is told too late is owed all the same.
	late := mustReserve(t, b, "k", 10)
	if d, err := late.Settle(t.Context(), 500); err != nil || d.Remaining != 0 {
		t.Fatalf("settled more than there was: %+v, %v", d, err)
	}
	wantLeft(t, b, "k", 0)
	c.advance(50 * time.Minute)
	wantLeft(t, b, "k", 100)
}

func TestBudgetRefusesCostsThatCanNeverPass(t *testing.T) {
	var c clock
	b := testBudget(100, time.Hour, &c)
	for _, cost := range []int64{0, -1, 101, MaxCost} {
		if h, _, err := b.Reserve(t.Context(), "k", cost); !errors.Is(err, ErrCost) || h != nil {
			t.Errorf("%d: %v, %v", cost, h, err)
		}
	}
	wantLeft(t, b, "k", 100)
}

func TestHoldCovers(t *testing.T) {
	var c clock
	b := testBudget(100, time.Hour, &c)
	h := mustReserve(t, b, "k", 30)
	for _, step := range []struct{ total, covered, left int64 }{
		{30, 30, 70}, // as reserved
		{31, 31, 40}, // 30 more
		{60, 60, 40}, // reserved ahead
		{95, 95, 5},
		{120, 100, 0}, // as far as it goes
	} {
		got, err := h.Cover(t.Context(), step.total)
		if err != nil || got != step.covered {
			t.Fatalf("cover %d: %d, %v, want %d", step.total, got, err, step.covered)
		}
		wantLeft(t, b, "k", int(step.left))
	}
	if _, err := h.Settle(t.Context(), 99); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, b, "k", 1)
}

func TestSettleAfterThePeriod(t *testing.T) {
	var c clock
	b := testBudget(100, time.Hour, &c)
	less, more := mustReserve(t, b, "k", 40), mustReserve(t, b, "k", 40)
	c.advance(time.Hour)
	mustReserve(t, b, "k", 10)
	if _, err := less.Settle(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, b, "k", 90) // nothing of the old period is given to the new
	if _, err := more.Settle(t.Context(), 45); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, b, "k", 85) // what went beyond the reservation is spent now
}

func TestBudgetIsExactUnderConcurrency(t *testing.T) {
	var c clock
	b := testBudget(1000, time.Hour, &c)
	var held atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 50 {
				if h, _, _ := b.Reserve(t.Context(), "k", 3); h != nil {
					covered, _ := h.Cover(t.Context(), 7)
					_, _ = h.Settle(t.Context(), covered)
					held.Add(covered)
				}
			}
		})
	}
	wg.Wait()
	if got := held.Load(); got > 1000 || got < 998 {
		t.Errorf("%d of 1000 were spent", got)
	}
	wantLeft(t, b, "k", int(1000-held.Load()))
}

func TestMemoryLedgerIsBounded(t *testing.T) {
	var c clock
	l := NewMemoryLedger(time.Hour, 640, c.now)
	b := &Budget{Amount: rate(1, time.Hour), Ledger: l, Now: c.now}
	passed := 0
	for i := range 20_000 {
		if h, _, _ := b.Reserve(t.Context(), fmt.Sprint(i), 1); h != nil {
			passed++
		}
	}
	if l.Keys() > 640 {
		t.Errorf("%d keys are kept, want 640 at most", l.Keys())
	}
	if passed > 640+ledgerShards {
		t.Errorf("%d keys passed, want %d at most", passed, 640+ledgerShards)
	}
	c.advance(time.Hour)
	wantLeft(t, b, "late", 1)
	long := strings.Repeat("k", 100_000)
	mustReserve(t, b, long+"a", 1)
	mustReserve(t, b, long+"b", 1)
}

// brokenLedger keeps accounts until it breaks.
type brokenLedger struct {
	Ledger
	broken error
}

func (l *brokenLedger) Update(ctx context.Context, key string, f func(*Account)) error {
	if l.broken != nil {
		return l.broken
	}
	return l.Ledger.Update(ctx, key, f)
}

// What can't be counted must look like what there is no budget for.
func TestBudgetWithoutItsLedger(t *testing.T) {
	var c clock
	b := testBudget(100, time.Hour, &c)
	ledger := &brokenLedger{Ledger: b.Ledger}
	b.Ledger = ledger
	held := mustReserve(t, b, "k", 10)
	ledger.broken = errors.New("the disk is gone")
	if h, d, err := b.Reserve(t.Context(), "k", 1); !errors.Is(err, ledger.broken) || h != nil || d.Allowed {
		t.Errorf("reserve: %v, %+v, %v", h, d, err)
	}
	if covered, err := held.Cover(t.Context(), 11); !errors.Is(err, ledger.broken) || covered != 10 {
		t.Errorf("cover: %d, %v", covered, err)
	}
	if _, err := held.Settle(t.Context(), 1); !errors.Is(err, ledger.broken) {
		t.Errorf("settle: %v", err)
	}
	ledger.broken = nil
	wantLeft(t, b, "k", 90)
}

func BenchmarkBudget(b *testing.B) {
	budget := &Budget{Amount: rate(1_000_000_000, time.Hour), Ledger: NewMemoryLedger(time.Hour, 0, nil)}
	b.ReportAllocs()
	for b.Loop() {
		h, _, err := budget.Reserve(b.Context(), "203.0.113.9", 10)
		if err != nil || h == nil {
			b.Fatal(h, err)
		}
		if _, err := h.Settle(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
