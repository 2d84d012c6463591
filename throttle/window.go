package throttle

import (
	"context"
	"fmt"
	"sort"
	"time"
)

// Counter counts the admissions of strict zones, exactly under concurrency and
// across restarts and nodes. It is implemented over durable actors, one for
// each zone and key, which run Take.
//
// When a Counter returns an error the caller refuses the request (fail
// closed), unless the zone was configured to fail open.
type Counter interface {
	Take(ctx context.Context, zone, key string, r Rate) (Decision, error)
}

// Head is the part of a window's state that is read at every Take. The zero
// Head is that of a key that was never seen.
type Head struct {
	// Count is the number of admissions since the ring was laid out.
	Count int64
	// Limit is the number of slots that the ring was laid out with.
	Limit int
}

// Slots is the state of one window: a Head and a ring of Head.Limit slots,
// each empty or a time in nanoseconds since the Unix epoch. The caller of Take
// serialises the calls for one window, as a durable actor does.
type Slots interface {
	// Head returns the zero Head when nothing is stored.
	Head(ctx context.Context) (Head, error)
	// Slot returns the time in slot i; ok is false when it is empty.
	Slot(ctx context.Context, i int) (t int64, ok bool, err error)
	// Admit stores t in slot i together with the head, in one atomic write.
	Admit(ctx context.Context, i int, t int64, head Head) error
	// Replace drops all slots and stores times in slots 0, 1, ... together
	// with the head, in one atomic write. Used when the limit has changed.
	Replace(ctx context.Context, times []int64, head Head) error
}

// Take asks the window for one admission at the time now, by a log of
// admissions in a ring: admission number n uses slot n modulo Limit, and
// passes only when that slot is empty or is Window or more in the past. So any
// two admissions that are Limit apart are at least a window apart, and exactly
// Limit of any number of requests pass within any window. One slot and the
// head are written for each admission, nothing for a refusal; about
// log2(Limit) slots are read.
//
// A changed limit lays the ring out anew with the newest admissions kept. A
// clock that steps back never admits more; it prolongs the wait by the step.
// After Decision.Reset without a Take the state may be deleted.
func Take(ctx context.Context, slots Slots, r Rate, now time.Time) (Decision, error) {
	if err := r.Validate(); err != nil {
		return Decision{}, err
	}
	head, err := slots.Head(ctx)
	if err != nil {
		return Decision{}, fmt.Errorf("reading window: %w", err)
	}
	if head.Limit != r.Limit && head.Count > 0 {
		if head, err = relay(ctx, slots, head, r.Limit); err != nil {
			return Decision{}, fmt.Errorf("changing window from limit %d to %d: %w", head.Limit, r.Limit, err)
		}
	}
	head.Limit = r.Limit

	w := window{slots: slots, head: head}
	t := now.UnixNano()
	newest, err := w.at(ctx, head.Count-1)
	if err != nil {
		return Decision{}, err
	}
	t = max(t, newest) // times in the ring never decrease
	live, err := w.live(ctx, t-int64(r.Window))
	if err != nil {
		return Decision{}, err
	}
	d := Decision{Limit: r.Limit, Window: r.Window}
	if live >= r.Limit {
		oldest, err := w.at(ctx, head.Count-int64(r.Limit))
		if err != nil {
			return Decision{}, err
		}
		d.RetryAfter = time.Duration(oldest + int64(r.Window) - now.UnixNano())
		d.Reset = time.Duration(newest + int64(r.Window) - now.UnixNano())
		return d, nil
	}
	next := Head{Count: head.Count + 1, Limit: r.Limit}
	if err := slots.Admit(ctx, int(head.Count%int64(r.Limit)), t, next); err != nil {
		return Decision{}, fmt.Errorf("writing window: %w", err)
	}
	d.Allowed = true
	d.Remaining = r.Limit - live - 1
	d.Reset = time.Duration(t + int64(r.Window) - now.UnixNano())
	return d, nil
}

// relay moves the newest admissions into a ring of another size.
func relay(ctx context.Context, slots Slots, old Head, limit int) (Head, error) {
	w := window{slots: slots, head: old}
	keep := min(old.Count, int64(old.Limit), int64(limit))
	times := make([]int64, 0, keep)
	for n := old.Count - keep; n < old.Count; n++ {
		t, err := w.at(ctx, n)
		if err != nil {
			return old, err
		}
		times = append(times, t)
	}
	head := Head{Count: keep, Limit: limit}
	if err := slots.Replace(ctx, times, head); err != nil {
		return old, err
	}
	return head, nil
}

// window reads a ring by admission number.
type window struct {
	slots Slots
	head  Head
}

// at returns the time of admission n, or zero when it is before the first or
// was overwritten; an empty slot that should be filled is an error, since
// counting it as empty would admit too many.
func (w window) at(ctx context.Context, n int64) (int64, error) {
	if n < 0 || n < w.head.Count-int64(w.head.Limit) {
		return 0, nil
	}
	i := int(n % int64(w.head.Limit))
	t, ok, err := w.slots.Slot(ctx, i)
	if err != nil {
		return 0, fmt.Errorf("reading window slot %d: %w", i, err)
	}
	if !ok {
		return 0, fmt.Errorf("reading window slot %d: it is empty after %d admissions", i, w.head.Count)
	}
	return t, nil
}

// live counts the admissions in the ring that are later than cutoff, by binary
// search, since times never decrease.
func (w window) live(ctx context.Context, cutoff int64) (int, error) {
	kept := int(min(w.head.Count, int64(w.head.Limit)))
	var failed error
	old := sort.Search(kept, func(i int) bool {
		t, err := w.at(ctx, w.head.Count-int64(kept)+int64(i))
		if err != nil {
			failed = err
		}
		return t > cutoff
	})
	return kept - old, failed
}

// MemorySlots is Slots in memory, for tests and for counts that may be lost.
// The zero value is an empty window. Not safe for concurrent use.
type MemorySlots struct {
	head  Head
	times map[int]int64
}

// Head implements Slots.
func (m *MemorySlots) Head(context.Context) (Head, error) { return m.head, nil }

// Slot implements Slots.
func (m *MemorySlots) Slot(_ context.Context, i int) (int64, bool, error) {
	t, ok := m.times[i]
	return t, ok, nil
}

// Admit implements Slots.
func (m *MemorySlots) Admit(_ context.Context, i int, t int64, head Head) error {
	if m.times == nil {
		m.times = map[int]int64{}
	}
	m.times[i], m.head = t, head
	return nil
}

// Replace implements Slots.
func (m *MemorySlots) Replace(_ context.Context, times []int64, head Head) error {
	m.head, m.times = head, map[int]int64{}
	for i, t := range times {
		m.times[i] = t
	}
	return nil
}

var _ Slots = (*MemorySlots)(nil)
