package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// TestKill kills the server with kill -9 in the middle of 2,000 writes, starts it again and looks whether every write
// that was acknowledged is there, in 20 rounds on one store. Each write puts, or deletes, a key and a row of SQL
// in one turn of an actor: after a crash both halves are there, or neither is.
//
// GATEHOUSE_ROUNDS sets the number of rounds, GATEHOUSE_SEED repeats a run's choices.
func TestKill(t *testing.T) {
	rounds, seed := testkit.Int(t, "GATEHOUSE_ROUNDS", 20), testkit.Seed(t)
	t.Logf("%d rounds", rounds)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	s := startCells(t, "\t\t\tlimits {\n\t\t\t\tcpu 10s\n\t\t\t}\n") // for reading an actor's whole storage
	ledger := newLedger()
	for round := range rounds {
		const writes, connections = 2000, 32
		left := make(chan struct{}, writes)
		for range writes {
			left <- struct{}{}
		}
		close(left)
		deadly := 1 + random.IntN(writes*9/10)
		acknowledged := make(chan struct{}, writes)
		dead := make(chan struct{})
		var writers sync.WaitGroup
		for w := range connections {
			choose := rand.New(rand.NewPCG(uint64(seed), uint64(1+round*connections+w)))
			writers.Go(func() {
				for range left {
					if err := ledger.write(s, w, choose); err != nil {
						select {
						case <-dead:
						default:
							t.Errorf("round %d: before the kill: %v", round, err)
						}
						return
					}
					acknowledged <- struct{}{}
				}
			})
		}
		for range deadly {
			if _, err := next(acknowledged); err != nil {
				t.Fatalf("round %d: waiting for writes: %v", round, err)
			}
		}
		close(dead)
		s.kill()
		writers.Wait()
		s.start()
		if ledger.check(t, s); t.Failed() {
			t.Fatalf("round %d, killed after %d acknowledged writes", round, deadly+len(acknowledged))
		}
	}
	t.Logf("%d writes were acknowledged, %d were under way when the server was killed: %d of them are there", ledger.acknowledged, ledger.open, ledger.landed)
}

// ledger is what the client knows of the store: the value of each pair that was acknowledged last, and the writes whose
// answer never came. Each pair belongs to one writer, so the order of its writes is known.
type ledger struct {
	mu                         sync.Mutex
	pairs                      map[pair]string // "" for one that was deleted
	doubt                      map[pair]string // what an unanswered write would have made of it
	serial                     int
	acknowledged, open, landed int
}

type pair struct{ actor, key string }

func newLedger() *ledger { return &ledger{pairs: map[pair]string{}, doubt: map[pair]string{}} }

// write sends one write of writer w and notes its answer. The error of a write that was not answered is returned.
func (l *ledger) write(s *server, w int, choose *rand.Rand) error {
	p := pair{fmt.Sprintf("kill-%d", choose.IntN(24)), fmt.Sprintf("%d-%d", w, choose.IntN(12))}
	l.mu.Lock()
	l.serial++
	value := fmt.Sprintf("stamp%d|", l.serial)
	// Most values are small; some are longer than one chunk of the store.
	switch n := choose.IntN(100); {
	case n < 10:
		value = ""
	case n < 11:
		value = strings.Repeat(value, 300<<10/len(value))
	case n < 40:
		value = strings.Repeat(value, 1+choose.IntN(400))
	}
	l.doubt[p] = value
	l.mu.Unlock()

	var err error
	if value == "" {
		err = s.call(nil, p.actor, "deletePair", p.key)
	} else {
		err = s.call(nil, p.actor, "putPair", p.key, value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.open++
		return err
	}
	l.acknowledged++
	delete(l.doubt, p)
	l.pairs[p] = value
	return nil
}

// check reads every pair and compares it with what was acknowledged. A write in doubt may have happened or not; from
// here on it is known.
func (l *ledger) check(t *testing.T, s *server) {
	t.Helper()
	stored := map[pair][2]string{}
	for a := range 24 {
		actor := fmt.Sprintf("kill-%d", a)
		var pairs map[string][2]*string
		if err := s.call(&pairs, actor, "pairs"); err != nil {
			t.Errorf("read %s: %v", actor, err)
			return
		}
		for key, halves := range pairs {
			var p [2]string
			for i, h := range halves {
				if h != nil {
					p[i] = *h
				}
			}
			stored[pair{actor, key}] = p
		}
	}
	known := map[pair]bool{}
	for p := range l.pairs {
		known[p] = true
	}
	for p := range l.doubt {
		known[p] = true
	}
	for p, halves := range stored {
		if !known[p] {
			t.Errorf("%v holds %q, which nobody wrote", p, halves)
		}
	}
	for p := range known {
		halves := stored[p]
		if halves[0] != halves[1] {
			t.Errorf("%v is torn: %q", p, halves)
			continue
		}
		maybe, doubted := l.doubt[p]
		switch halves[0] {
		case shown(l.pairs[p]):
		case shown(maybe):
			if !doubted {
				t.Errorf("%v is gone; %s was acknowledged", p, shown(l.pairs[p]))
				continue
			}
			l.landed++
			l.pairs[p] = maybe
		default:
			t.Errorf("%v holds %s, acknowledged was %q, in doubt %q", p, halves[0], shown(l.pairs[p]), shown(maybe))
		}
	}
	clear(l.doubt)
}

// shown is a value as the actor shows it: its length and its stamp.
func shown(value string) string {
	if value == "" {
		return ""
	}
	stamp, _, _ := strings.Cut(value, "|")
	return fmt.Sprintf("%d:%s", len(value), stamp)
}
