package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/throttle"
)

// How the true cost of a request is found out.
const (
	settleHeader = "header" // the answer's header says it
	settleBytes  = "bytes"  // the bytes of the answer's body
	settleEvents = "events" // the events of a stream
	settleUsage  = "usage"  // what a stream's events, or a JSON answer, report
)

// costHeader is the header that says a cost when none is named.
const costHeader = "Gatehouse-Cost"

// ThrottleBudget lets each value of a key spend an amount in a period.
type ThrottleBudget struct {
	Name string `json:"name"`
	Key  string `json:"key"`
	// Amount is what may be spent in a period, such as 100000/d.
	Amount string `json:"amount"`
	// Strict keeps the accounts in durable actors that survive a restart; otherwise they are in memory.
	Strict bool `json:"strict,omitempty"`
	// Reserve is the cost that is taken at first: a number, or a placeholder; default 1. Default is used where it is empty.
	Reserve string `json:"reserve,omitempty"`
	Default string `json:"default,omitempty"`
	// Settle is header, bytes, events or usage; empty for a cost that is what was reserved.
	Settle string `json:"settle,omitempty"`
	// Header is the answer's header for settle header; it is taken out of the answer. Default Gatehouse-Cost.
	Header string `json:"header,omitempty"`
	// Usage names the numbers that settle usage adds up, such as usage.total_tokens.
	Usage []string `json:"usage,omitempty"`
	Place string   `json:"place,omitempty"`
}

// purse is a budget of the configuration with its accounts.
type purse struct {
	ThrottleBudget
	budget throttle.Budget
}

type pooledLedger struct{ *throttle.MemoryLedger }

func (pooledLedger) Destruct() error { return nil }

func (t *Throttle) newPurse(b ThrottleBudget) (purse, error) {
	rate, err := throttle.ParseRate(b.Amount)
	if err != nil {
		return purse{}, err
	}
	if b.Reserve == "" {
		b.Reserve = "1"
	}
	switch b.Settle {
	case "", settleBytes, settleEvents:
	case settleHeader:
		if b.Header == "" {
			b.Header = costHeader
		}
	case settleUsage:
		if len(b.Usage) == 0 {
			return purse{}, errors.New("settle usage needs the path of a number, for example: settle usage usage.total_tokens")
		}
	default:
		return purse{}, fmt.Errorf("settle %s: it is header, bytes, events or usage", b.Settle)
	}
	for _, cost := range []string{b.Reserve, b.Default} {
		if cost == "" || strings.Contains(cost, "{") {
			continue
		}
		if n, ok := throttle.ParseCost(cost); !ok || n < 1 || n > int64(rate.Limit) {
			return purse{}, fmt.Errorf("reserve %s: it is a whole number from 1 to %d, the whole budget", cost, rate.Limit)
		}
	}
	p := purse{ThrottleBudget: b, budget: throttle.Budget{Amount: rate}}
	if !b.Strict {
		v, err := t.pooled("budget "+b.Name+" "+rate.String(), func() (caddy.Destructor, error) {
			return pooledLedger{throttle.NewMemoryLedger(rate.Window, 0, nil)}, nil
		})
		if err != nil {
			return purse{}, err
		}
		p.budget.Ledger = v.(pooledLedger)
	}
	return p, nil
}
