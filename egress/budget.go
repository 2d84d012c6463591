package egress

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// Budget bounds what calls cost in a period. It is safe for concurrent use.
type Budget interface {
	// Reserve takes what a call costs at least, before it is made. The error says that nothing is left, as an ErrSpent, or that the budget
	// cannot be counted; either refuses the call.
	Reserve(ctx context.Context) (Spending, error)
}

// Spending is what one call costs of a budget. It is safe for concurrent use.
type Spending interface {
	// Cover tells whether the budget has enough for that many bytes, of both bodies, since the call began.
	Cover(ctx context.Context, bytes int64) error
	// Settle ends it. It does not wait for the ledger. answered tells whether the call has had an answer.
	Settle(bytes int64, answered bool)
}

// ErrSpent is a budget that has nothing left. Its text says which, and when there will be more; it may be shown to agent code.
type ErrSpent string

func (e ErrSpent) Error() string { return string(e) }

// unpaid says why a budget refuses.
func unpaid(err error) string {
	if spent, ok := errors.AsType[ErrSpent](err); ok {
		return spent.Error()
	}
	return "the budget cannot be counted"
}

// budgetsOf are those that a call pays from which the rule allowed; nil for a call that no rule allowed.
func (p *Policy) budgetsOf(match *rule) []Budget {
	if match == nil || len(match.budgets) == 0 {
		return p.budgets
	}
	return append(p.budgets[:len(p.budgets):len(p.budgets)], match.budgets...)
}

// bill is what a call costs of its budgets. The zero bill costs nothing.
type bill struct {
	list    []Spending
	bytes   atomic.Int64 // of both bodies
	settled atomic.Bool
}

// open reserves what a call costs at least. spent decides on a budget that has not enough: its error ends the opening.
func (b *bill) open(ctx context.Context, budgets []Budget, spent func(reason string) error) error {
	for _, budget := range budgets {
		s, err := budget.Reserve(ctx)
		if err == nil {
			b.list = append(b.list, s)
		} else if err := spent(unpaid(err)); err != nil {
			b.settle(false)
			return err
		}
	}
	return nil
}

// cover pays for bytes that have passed.
func (b *bill) cover(ctx context.Context, n int, spent func(reason string) error) error {
	if len(b.list) == 0 || n <= 0 || b.settled.Load() {
		return nil
	}
	total := b.bytes.Add(int64(n))
	for _, s := range b.list {
		if err := s.Cover(ctx, total); err != nil {
			if err := spent(unpaid(err)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bill) settle(answered bool) {
	if b.settled.CompareAndSwap(false, true) {
		for _, s := range b.list {
			s.Settle(b.bytes.Load(), answered)
		}
	}
}

// spent decides on a budget that has not enough.
func (h *hop) spent(reason string) error {
	if h.x.policy.report {
		h.pass(verdict{rule: RuleBudget, reason: reason})
		return nil
	}
	r := h.refusal(RuleBudget, reason)
	r.code = CodeBudget
	return r
}

// cover pays for bytes that have passed. Its error is a *Refusal.
func (h *hop) cover(n int) error { return h.bill.cover(h.x.ctx, n, h.spent) }

// costly is a request body whose bytes are paid before they leave.
type costly struct {
	io.ReadCloser
	hop *hop
}

func (c *costly) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err := c.hop.cover(n); err != nil {
		c.hop.leak.Store(err.(*Refusal))
		return 0, errScanned
	}
	return n, err
}
