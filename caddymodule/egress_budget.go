package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// What a budget of calls is counted in.
const (
	spendCalls = "calls"
	spendBytes = "bytes"
	spendMoney = "usd" // in millionths
)

// microsPerUSD is how many units of a budget one dollar is.
const microsPerUSD = 1_000_000

// maxUSD bounds amounts and prices, so that units fit.
const maxUSD = 1_000_000_000

// spendAmount is an amount in a period, and what it is counted in.
type spendAmount struct {
	unit string
	rate throttle.Rate
}

// parseSpend reads 100/m, 10MiB/h or 5usd/d.
func parseSpend(text string) (spendAmount, error) {
	amount, window, ok := strings.Cut(text, "/")
	if !ok {
		return spendAmount{}, fmt.Errorf("budget %q: write an amount and a period, such as 100/m, 10MiB/h or 5usd/d", text)
	}
	period, err := throttle.ParseRate("1/" + window)
	if err != nil {
		return spendAmount{}, fmt.Errorf("budget %q: the period is not one; write s, m, h, d or a duration", text)
	}
	s := spendAmount{spendCalls, throttle.Rate{Window: period.Window}}
	switch n, err := strconv.Atoi(amount); {
	case err == nil && n > 0:
		s.rate.Limit = n
	case strings.HasSuffix(amount, spendMoney):
		s.unit = spendMoney
		if s.rate.Limit, err = parseUSD(amount); err != nil {
			return s, fmt.Errorf("budget %q: %w", text, err)
		}
	default:
		size, err := parseSize(amount)
		if err != nil {
			return s, fmt.Errorf("budget %q: the amount is a number of calls, a size or an amount of usd", text)
		}
		s.unit, s.rate.Limit = spendBytes, int(size)
	}
	return s, nil
}

// parseUSD reads an amount such as 0.002usd, in millionths.
func parseUSD(text string) (int, error) {
	number, ok := strings.CutSuffix(text, spendMoney)
	f, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || f < 1.0/microsPerUSD || f > maxUSD {
		return 0, fmt.Errorf("%q is not an amount such as 0.002usd, from 0.000001usd", text)
	}
	return int(math.Round(f * microsPerUSD)), nil
}

// spendingBudget is a budget of an agent's calls. Its accounts are durable: they survive a restart.
type spendingBudget struct {
	edge   *edge
	text   string // as the Caddyfile has it
	name   string // of the account
	amount spendAmount
	price  int // of a call, in millionths of a dollar
}

// step is what is reserved at first.
func (b *spendingBudget) step() int64 {
	switch b.amount.unit {
	case spendBytes:
		return int64(max(1, min(64<<10, b.amount.rate.Limit/16)))
	case spendMoney:
		return int64(b.price)
	}
	return 1
}

// Reserve implements egress.Budget.
func (b *spendingBudget) Reserve(ctx context.Context) (egress.Spending, error) {
	if err := b.edge.open(); err != nil {
		return nil, err
	}
	budget := throttle.Budget{Amount: b.amount.rate, Ledger: strictLedger{b.edge.directory, b.name, b.amount.rate.Window}}
	hold, d, err := budget.Reserve(ctx, "", b.step())
	if err != nil {
		return nil, err
	}
	if !d.Allowed {
		return nil, b.spent(d.RetryAfter)
	}
	// Whoever has gone must pay all the same.
	return &spendingCall{budget: b, hold: hold, ctx: context.WithoutCancel(ctx)}, nil
}

func (b *spendingBudget) spent(free time.Duration) error {
	text := fmt.Sprintf("the budget of %s is spent", b.text)
	if free > 0 {
		text += fmt.Sprintf("; it is free again in %s", max(free.Round(time.Second), time.Second))
	}
	return egress.ErrSpent(text)
}

// spendingCall is what one call costs.
type spendingCall struct {
	budget *spendingBudget
	ctx    context.Context

	mu      sync.Mutex // guards what follows
	hold    *throttle.Hold
	settled bool
}

// Cover implements egress.Spending.
func (c *spendingCall) Cover(_ context.Context, bytes int64) error {
	if c.budget.amount.unit != spendBytes {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		return nil
	}
	covered, err := c.hold.Cover(c.ctx, bytes)
	if err != nil {
		return err
	}
	if covered < bytes {
		return c.budget.spent(0)
	}
	return nil
}

// Settle implements egress.Spending. A call counts whether it was answered or not; its price is due when it was.
func (c *spendingCall) Settle(bytes int64, answered bool) {
	cost := bytes
	switch unit := c.budget.amount.unit; {
	case unit == spendCalls, unit == spendMoney && answered:
		return // what was reserved is the cost
	case unit == spendMoney:
		cost = 0
	}
	c.budget.edge.work.Go(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settled = true
		if _, err := c.hold.Settle(c.ctx, cost); err != nil && !errors.Is(err, context.Canceled) {
			c.budget.edge.log().Warn("a budget of egress keeps what was reserved", zap.String("budget", c.budget.text), zap.Error(err))
		}
	})
}

// budgets makes what is written after budget. owner is the agent that pays, and place what in its policy.
func (e *edge) budgets(texts []string, price, owner, place string) ([]egress.Budget, error) {
	var made []egress.Budget
	for _, text := range texts {
		amount, err := parseSpend(text)
		if err != nil {
			return nil, err
		}
		b := &spendingBudget{edge: e, text: text, amount: amount, name: "egress " + owner + " " + place + " " + text}
		if amount.unit == spendMoney {
			if price == "" {
				return nil, fmt.Errorf("budget %s: an amount of usd needs to know what a call costs; write: price 0.002usd", text)
			}
			if b.price, err = parseUSD(price); err != nil {
				return nil, fmt.Errorf("price: %w", err)
			}
			if b.price > amount.rate.Limit {
				return nil, fmt.Errorf("price %s is more than the whole budget of %s", price, text)
			}
		}
		made = append(made, b)
	}
	return made, nil
}
