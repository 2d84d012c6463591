package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// settleTimeout is how long the ledger may take when an answer is over.
const settleTimeout = 5 * time.Second

// errOverBudget ends an answer that costs more than its budget has left; errCompressed one whose cost can't be read.
var (
	errOverBudget = errors.New("the answer costs more than the budget has left")
	errCompressed = errors.New("the answer is compressed, so that its cost can't be read; have the origin send it as it is")
)

// spend reserves the request's cost in each budget, lets it go on, and settles what it cost.
func (t *Throttle) spend(v *visit, w http.ResponseWriter, r *http.Request, repl *caddy.Replacer, next func(http.ResponseWriter, *http.Request) error) (err error) {
	if len(t.budgets) == 0 {
		return next(w, r)
	}
	var open []*spending
	// The writer nearest to the client strips, after those of all budgets have read.
	bare := &costStripper{w, t.costHeaders}
	defer func() {
		for _, s := range open {
			s.settle()
		}
		bare.strip()
	}()
	for _, p := range t.budgets {
		s, err := t.reserve(v, w, r, repl, p)
		if err != nil {
			return err
		}
		if s != nil {
			open = append(open, s)
		}
	}
	inner := http.ResponseWriter(bare)
	for _, s := range open {
		s.ResponseWriter = inner
		inner = s
		r = s.readable(r)
	}
	err = unread(open, func() error { return next(inner, r) })
	for _, s := range open {
		switch {
		case errors.Is(s.ended, errCompressed):
			return v.refuse("throttle", http.StatusBadGateway, "budget %s: %w", s.Name, s.ended)
		case s.ended != nil:
			// What was within the budget is the client's. Then only a broken connection tells it that this is not the end.
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	return err
}

// unread lets a request go on. A handler that aborts because its answer was not taken, before anything of it was sent,
// comes back like one that returns, so that the client can be told.
func unread(open []*spending, next func() error) error {
	defer func() {
		if slices.ContainsFunc(open, func(s *spending) bool { return errors.Is(s.ended, errCompressed) }) {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}
	}()
	return next()
}

// reserve takes the cost of a request out of a budget; it returns nothing for a request that a shadow lets pass.
func (t *Throttle) reserve(v *visit, w http.ResponseWriter, r *http.Request, repl *caddy.Replacer, p purse) (*spending, error) {
	text := repl.ReplaceAll(p.Reserve, "")
	if text == "" {
		text = p.Default
	}
	budget := p.budget
	if p.Strict {
		if err := t.app.edge.open(); err != nil {
			return nil, v.deny(t.shadow(), "throttle", http.StatusServiceUnavailable, "budget %s can't be counted: %w", p.Name, err)
		}
		budget.Ledger = strictLedger{t.app.edge.directory, p.Name, p.budget.Amount.Window}
	}
	cost, ok := throttle.ParseCost(text)
	if !ok {
		return nil, v.deny(t.shadow(), "throttle", http.StatusBadRequest, "budget %s: the cost to reserve, %s, is no whole number", p.Name, strconv.Quote(clip(text)))
	}
	hold, d, err := budget.Reserve(r.Context(), t.key(repl, p.Key), cost)
	switch {
	case errors.Is(err, throttle.ErrCost):
		return nil, v.deny(t.shadow(), "throttle", http.StatusBadRequest, "budget %s: %w", p.Name, err)
	case err != nil:
		return nil, v.deny(t.shadow(), "throttle", http.StatusServiceUnavailable, "budget %s can't be counted: %w", p.Name, err)
	}
	t.tell(w, d, p.Name)
	index := 0
	v.rec.Write(func(e *record.Entry) {
		index = len(e.Decided.Budgets)
		e.Decided.Budgets = append(e.Decided.Budgets, record.BudgetDecision{Budget: p.Name, Allowed: d.Allowed, Limit: d.Limit, Reserved: cost, Remaining: d.Remaining})
	})
	if !d.Allowed {
		return nil, v.deny(t.shadow(), "throttle", http.StatusTooManyRequests, "budget %s has %d left and %d are needed; retry after %s", p.Name, d.Remaining, cost, d.RetryAfter.Round(time.Second))
	}
	// Whoever has gone must pay all the same, so the ledger is not asked under the request's context.
	return &spending{purse: p, visit: v, hold: hold, ctx: context.WithoutCancel(r.Context()), index: index, shadow: t.shadow()}, nil
}

// clip shortens what a client sent for a log.
func clip(s string) string {
	const most = 32
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// spending is one request's part of a budget. It is the answer's writer, which counts what the answer costs and ends it
// where it would cost more than there is.
type spending struct {
	http.ResponseWriter
	purse
	visit  *visit
	hold   *throttle.Hold
	ctx    context.Context
	index  int // in the record
	shadow bool

	meter *throttle.Meter
	begun bool // the head was written
	other bool // it began another protocol, whose bytes do not pass here
	bytes int64
	told  int64 // by the header, -1 for what is no cost
	saw   bool  // the header
	ended error // why the answer was ended
}

// readable is the request as those behind may see it: where the answer must be read, nobody may ask for it compressed.
func (s *spending) readable(r *http.Request) *http.Request {
	if !s.reads() || r.Header.Get("Accept-Encoding") == "" {
		return r
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Del("Accept-Encoding")
	return &plain
}

// reads tells whether the cost is in the answer's body.
func (s *spending) reads() bool { return s.Settle == settleEvents || s.Settle == settleUsage }

// Unwrap gives http.ResponseController the writer below.
func (s *spending) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader reads the cost that the header tells, and takes it out.
func (s *spending) WriteHeader(status int) {
	if s.ended != nil {
		return
	}
	if status >= 200 || status == http.StatusSwitchingProtocols {
		s.begun, s.other = true, status == http.StatusSwitchingProtocols
		s.readHeader()
		if coding := s.Header().Get("Content-Encoding"); s.reads() && coding != "" && !strings.EqualFold(coding, "identity") {
			if err := s.over(errCompressed); err != nil {
				return
			}
		} else if s.reads() {
			s.meter = throttle.NewMeter(s.Header().Get("Content-Type"), s.Usage)
		}
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *spending) readHeader() {
	if s.Settle != settleHeader || s.saw {
		return
	}
	if values := s.Header().Values(s.purse.Header); len(values) > 0 {
		s.saw = true
		n, ok := throttle.ParseCost(values[0])
		if s.told = n; !ok || len(values) > 1 {
			s.told = -1
		}
	}
}

// Write lets as much of p pass as the budget has left for.
func (s *spending) Write(p []byte) (int, error) {
	if s.ended == nil && !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if s.ended != nil {
		return 0, s.ended
	}
	switch {
	case s.Settle == settleBytes:
		return s.writeBytes(p)
	case s.meter != nil:
		return s.writeMetered(p)
	}
	return s.ResponseWriter.Write(p)
}

// FlushError sends what was written. A flush sends the head too, so it goes no way around WriteHeader.
func (s *spending) FlushError() error {
	if s.ended == nil && !s.begun {
		s.WriteHeader(http.StatusOK)
	}
	if s.ended != nil {
		return s.ended
	}
	return http.NewResponseController(s.ResponseWriter).Flush()
}

func (s *spending) writeBytes(p []byte) (int, error) {
	total := s.bytes + int64(len(p))
	covered, err := s.hold.Cover(s.ctx, total)
	if err != nil || covered < total {
		if err := s.over(err); err != nil {
			n, _ := s.ResponseWriter.Write(p[:max(0, covered-s.bytes)])
			s.bytes += int64(n)
			return n, err
		}
	}
	n, err := s.ResponseWriter.Write(p)
	s.bytes += int64(n)
	return n, err
}

func (s *spending) writeMetered(p []byte) (int, error) {
	for passed := 0; ; {
		free, cost := s.meter.Scan(p[passed:])
		if passed += free; passed == len(p) {
			return s.ResponseWriter.Write(p)
		}
		covered, err := s.hold.Cover(s.ctx, cost)
		if err != nil || covered < cost {
			if err := s.over(err); err != nil {
				n, _ := s.ResponseWriter.Write(p[:passed])
				return n, err
			}
		}
		passed++
	}
}

// over ends the answer, and returns why; in shadow it writes down that it would have, once, and returns nil.
func (s *spending) over(cause error) error {
	if cause == nil {
		cause = errOverBudget
	}
	status := http.StatusTooManyRequests
	if !errors.Is(cause, errOverBudget) {
		status = http.StatusBadGateway
	}
	first := false
	s.visit.rec.Write(func(e *record.Entry) {
		first = !e.Decided.Budgets[s.index].Cut
		e.Decided.Budgets[s.index].Cut = true
	})
	if s.shadow {
		if first {
			_ = s.visit.deny(true, "throttle", status, "budget %s: %w", s.Name, cause)
		}
		return nil
	}
	s.ended = cause
	return cause
}

// settle charges what the answer cost. What is not known costs what was reserved; what a later stage refused, before any
// code ran, costs nothing.
func (s *spending) settle() {
	s.readHeader()
	cost, said := s.hold.Held(), ""
	switch {
	case s.refusedLater():
		cost, said = 0, "refused"
	case s.Settle == settleHeader && s.saw && s.told >= 0:
		cost, said = s.told, settleHeader
	case s.Settle == settleBytes && s.begun && !s.other:
		cost, said = s.bytes, settleBytes
	case s.meter != nil:
		if n, ok := s.meter.Cost(); ok && s.meter.Reported() {
			cost, said = n, settleUsage
		} else if ok && s.Settle == settleEvents {
			cost, said = n, settleEvents
		} else if ok {
			cost = max(cost, n)
		}
	}
	if s.saw && s.told < 0 {
		s.visit.log.Warn("the answer's cost is no whole number, so that it costs what was reserved", zap.String("id", s.visit.rec.ID()), zap.String("budget", s.Name), zap.String("header", s.purse.Header))
	}
	ctx, cancel := context.WithTimeout(s.ctx, settleTimeout)
	defer cancel()
	d, err := s.hold.Settle(ctx, cost)
	if err != nil {
		s.visit.log.Error("a cost can't be settled, so that what was reserved stays spent", zap.String("id", s.visit.rec.ID()), zap.String("budget", s.Name), zap.Int64("cost", cost), zap.Error(err))
		return
	}
	s.visit.rec.Write(func(e *record.Entry) {
		b := &e.Decided.Budgets[s.index]
		b.Cost, b.SettledBy, b.Remaining = cost, said, d.Remaining
	})
}

func (s *spending) refusedLater() (refused bool) {
	s.visit.rec.Read(func(e *record.Entry) { refused = e.Decided.RefusedBy != "" && !e.Did.Ran && !s.begun })
	return refused
}

// costStripper takes the headers that tell a cost out of an answer: they are for the budgets, and nobody else's business.
type costStripper struct {
	http.ResponseWriter
	names []string
}

// WriteHeader takes them out of what is about to be sent.
func (c *costStripper) WriteHeader(status int) {
	c.strip()
	c.ResponseWriter.WriteHeader(status)
}

// Write takes them out of an answer whose head is not written by itself.
func (c *costStripper) Write(p []byte) (int, error) {
	c.strip()
	return c.ResponseWriter.Write(p)
}

// FlushError takes them out of a head that a flush sends.
func (c *costStripper) FlushError() error {
	c.strip()
	return http.NewResponseController(c.ResponseWriter).Flush()
}

func (c *costStripper) strip() {
	for _, name := range c.names {
		c.Header().Del(name)
	}
}

// Unwrap gives http.ResponseController the writer below.
func (c *costStripper) Unwrap() http.ResponseWriter { return c.ResponseWriter }
