package throttle

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

const ledgerShards = 64

// MemoryLedger keeps accounts in memory, in 64 parts with a lock each. It starts no goroutine: an account whose period has
// ended is dropped when its part is full. Safe for concurrent use.
type MemoryLedger struct {
	period  time.Duration
	maxKeys int // of one part
	now     func() time.Time
	seed    maphash.Seed
	shards  [ledgerShards]ledgerShard
}

type ledgerShard struct {
	mu       sync.Mutex
	accounts map[string]*Account
	// overflow is shared by the keys that are new while the part is full.
	overflow Account
	swept    time.Time
}

// NewMemoryLedger makes a ledger for a budget of the period. maxKeys bounds the accounts, 0 is 100,000, at about 200 bytes
// each; keys that are new beyond it share 64 accounts, so that endless keys take neither memory nor more than 64 budgets.
// now is the clock; nil is time.Now.
func NewMemoryLedger(period time.Duration, maxKeys int, now func() time.Time) *MemoryLedger {
	if maxKeys <= 0 {
		maxKeys = defaultMaxKeys
	}
	if now == nil {
		now = time.Now
	}
	return &MemoryLedger{period: period, maxKeys: max(1, maxKeys/ledgerShards), now: now, seed: maphash.MakeSeed()}
}

// Update implements Ledger. It cannot fail.
func (l *MemoryLedger) Update(_ context.Context, key string, f func(*Account)) error {
	key = boundedKey(key)
	s := &l.shards[maphash.String(l.seed, key)%ledgerShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	f(l.account(s, key))
	return nil
}

func (l *MemoryLedger) account(s *ledgerShard, key string) *Account {
	if a := s.accounts[key]; a != nil {
		return a
	}
	// At most one look through a full part a second, however many keys arrive.
	if now := l.now(); len(s.accounts) >= l.maxKeys && now.Sub(s.swept) >= time.Second {
		s.swept = now
		for k, a := range s.accounts {
			if now.UnixNano()-a.Start >= int64(l.period) {
				delete(s.accounts, k)
			}
		}
	}
	if len(s.accounts) >= l.maxKeys {
		return &s.overflow
	}
	if s.accounts == nil {
		s.accounts = map[string]*Account{}
	}
	a := new(Account)
	s.accounts[strings.Clone(key)] = a
	return a
}

// Keys is the number of accounts in memory.
func (l *MemoryLedger) Keys() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.accounts)
		s.mu.Unlock()
	}
	return n
}

var _ Ledger = (*MemoryLedger)(nil)
