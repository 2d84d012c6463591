package caddymodule

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// strictLedgerNamespace is the namespace of the actors that keep strict budgets: one actor for each budget and key.
const strictLedgerNamespace = "gatehouse/budget"

var ledgerActors = durable.NewNamespace(strictLedgerNamespace)

// strictLedger keeps the accounts of one budget in durable actors.
type strictLedger struct {
	directory *durable.Directory
	name      string
	period    time.Duration
}

// Update implements throttle.Ledger. What f makes of the account is durable when it returns.
func (l strictLedger) Update(ctx context.Context, key string, f func(*throttle.Account)) error {
	return doStrict(ctx, l.directory, ledgerActors, l.name, key, func(s *durable.Storage) error {
		b, found, err := s.Get(ctx, "account")
		if err != nil {
			return err
		}
		if found && len(b) != 16 {
			return fmt.Errorf("throttle: an account of %d bytes is stored, not 16", len(b))
		}
		var before throttle.Account
		if found {
			before = throttle.Account{Start: int64(binary.BigEndian.Uint64(b)), Spent: int64(binary.BigEndian.Uint64(b[8:]))}
		}
		after := before
		if f(&after); after == before {
			return nil // a refusal writes nothing
		}
		b = binary.BigEndian.AppendUint64(nil, uint64(after.Start))
		if after.Start != before.Start {
			// The alarm of newStrictClass removes an account of which nothing is left to know.
			if err := s.SetAlarm(time.Unix(0, after.Start).Add(l.period + time.Second)); err != nil {
				return err
			}
		}
		return s.PutMany([]durable.Entry{{Key: "account", Value: binary.BigEndian.AppendUint64(b, uint64(after.Spent))}})
	})
}

var _ throttle.Ledger = strictLedger{}
