package badgerstore

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/storetest"
)

// opener returns how to open a store in a new directory, again and again.
func opener(t *testing.T) storetest.Open {
	dir := t.TempDir()
	return func(t *testing.T) durable.Store {
		s, err := Open(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, storetest.Config{New: opener}) }

func TestModel(t *testing.T) { storetest.Model(t, storetest.Config{New: opener}) }

func TestLinear(t *testing.T) { storetest.Linear(t, storetest.Config{New: opener}, nil) }

// TestLinearWithFailures makes commits fail now and then, so that the store stops and opens its database anew under its
// users.
func TestLinearWithFailures(t *testing.T) {
	var fail atomic.Bool
	failures := 0
	storetest.Linear(t, storetest.Config{New: func(t *testing.T) storetest.Open {
		open := opener(t)
		return func(t *testing.T) durable.Store {
			s := open(t).(*Store)
			s.reviveAfter = time.Millisecond
			real := s.commitAt
			s.commitAt = func(txn *badger.Txn, ts uint64) error {
				if fail.CompareAndSwap(true, false) {
					failures++
					return errors.New("input/output error")
				}
				return real(txn, ts)
			}
			return s
		}
	}}, func(durable.Store) { fail.Store(true) })
	if failures == 0 {
		t.Error("no commit failed: the test says nothing")
	}
}
