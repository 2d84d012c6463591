package throttle

import (
	"context"
	"fmt"
	"time"
)

// Account is what one key has spent of a budget. The zero Account has spent nothing.
type Account struct {
	// Start is when the period began, in nanoseconds since the Unix epoch: at the first cost after the one before it ended.
	Start int64
	// Spent is what was reserved or settled since. It may pass the amount, when a cost is told after it was incurred.
	Spent int64
}

// Ledger keeps the accounts of one budget. Update calls f with the key's account, and keeps what f makes of it before it
// returns; the calls for one key are one after the other. f must not block. When Update returns an error, the caller
// refuses the request (fail closed).
type Ledger interface {
	Update(ctx context.Context, key string, f func(*Account)) error
}

// Budget lets each key spend an amount in a period: a call reserves its cost before it begins, and settles the true one
// when it is known. A period begins with a key's first cost and lasts for the rate's window; then all is free again.
type Budget struct {
	// Amount is what one key may spend in a period.
	Amount Rate
	// Ledger keeps the accounts.
	Ledger Ledger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Hold is a reservation. It is for one goroutine at a time.
type Hold struct {
	budget *Budget
	key    string
	start  int64 // of the period that held was reserved in
	held   int64
	step   int64
}

// Reserve takes cost out of the key's budget, or nothing when less is left. The Hold is nil unless the decision allows.
// The cost is from 1 to the amount of the budget; any other is ErrCost.
func (b *Budget) Reserve(ctx context.Context, key string, cost int64) (*Hold, Decision, error) {
	if cost < 1 || cost > int64(b.Amount.Limit) {
		return nil, Decision{}, fmt.Errorf("%w: %d is not from 1 to %d, the whole budget", ErrCost, cost, b.Amount.Limit)
	}
	var h *Hold
	var d Decision
	err := b.update(ctx, key, func(a *Account, now int64) {
		h = nil // an Update that is tried again begins anew
		allowed := a.Spent+cost <= int64(b.Amount.Limit)
		if allowed {
			a.Spent += cost
			h = &Hold{budget: b, key: key, start: a.Start, held: cost, step: cost}
		}
		d = b.decision(*a, now, allowed)
	})
	if err != nil {
		return nil, Decision{}, err
	}
	return h, d, nil
}

// Cover makes the reservation cover a total cost, as far as the budget goes, and returns how much of it is covered.
// It reserves ahead, as much as the first reservation was, so that a stream does not ask the ledger for each of its parts.
func (h *Hold) Cover(ctx context.Context, total int64) (int64, error) {
	if total <= h.held {
		return total, nil
	}
	err := h.budget.update(ctx, h.key, func(a *Account, _ int64) {
		h.start = a.Start // what a period before paid for stays paid
		more := min(max(total-h.held, h.step), int64(h.budget.Amount.Limit)-a.Spent)
		if more > 0 {
			a.Spent += more
			h.held += more
		}
	})
	return min(total, h.held), err
}

// Settle replaces the reservation by the true cost, also by one that the budget has not left: the next Reserve then
// waits for it. What a period that has ended did not need is not given to the one after.
func (h *Hold) Settle(ctx context.Context, cost int64) (Decision, error) {
	var d Decision
	err := h.budget.update(ctx, h.key, func(a *Account, now int64) {
		if change := max(cost, 0) - h.held; change > 0 {
			a.Spent += change
		} else if a.Start == h.start {
			a.Spent = max(0, a.Spent+change)
		}
		d = h.budget.decision(*a, now, true)
	})
	h.held = cost
	return d, err
}

// Held is how much is reserved.
func (h *Hold) Held() int64 { return h.held }

// update gives f the account of the present period.
func (b *Budget) update(ctx context.Context, key string, f func(a *Account, now int64)) error {
	clock := b.Now
	if clock == nil {
		clock = time.Now
	}
	return b.Ledger.Update(ctx, key, func(a *Account) {
		now := clock().UnixNano()
		// A clock that was set back begins a new period too, rather than have the old one last for long.
		if since := now - a.Start; since < 0 || since >= int64(b.Amount.Window) {
			*a = Account{Start: now}
		}
		f(a, now)
	})
}

// decision describes an account. RetryAfter is until the period ends, for then all is free.
func (b *Budget) decision(a Account, now int64, allowed bool) Decision {
	ends := time.Duration(a.Start + int64(b.Amount.Window) - now)
	d := Decision{
		Allowed:   allowed,
		Limit:     b.Amount.Limit,
		Window:    b.Amount.Window,
		Remaining: int(max(0, int64(b.Amount.Limit)-a.Spent)),
		Reset:     ends,
	}
	if !allowed {
		d.RetryAfter = ends
	}
	return d
}
