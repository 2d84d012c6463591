package durable

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// DefaultCacheBytes is what an actor's cache of clean entries may cost by default.
const DefaultCacheBytes = 1 << 20

// maxInFlightBytes is how much an actor may have handed over and not yet durable before Flush waits.
const maxInFlightBytes = 16 << 20

// StorageConfig makes a Storage. Backend is required.
type StorageConfig struct {
	// Backend reaches the store.
	Backend Backend
	// Fence is the actor's fence, which every batch carries.
	Fence Fence
	// State is what the store knew when the fence was acquired.
	State State
	// Name is the actor's name. It is stored with the first batch unless State already has it.
	Name string
	// CacheBytes bounds the clean entries kept in memory. Zero means DefaultCacheBytes.
	CacheBytes int
	// Now is the clock of the alarms. Nil means time.Now.
	Now func() time.Time
	// Rand returns numbers in [0, 1) for the jitter of retried alarms. Nil means math/rand/v2.
	Rand func() float64
}

// Storage is one actor's state in memory: a cache, the turn's buffered writes and the output gate. Reads
// block and see every write made before, buffered or in flight. Writes are buffered until Flush makes them one
// batch. It is used by one goroutine at a time, the actor's event loop: while a read blocks it, no other event
// reaches the actor, which is the input gate. Only the backend's acknowledgements come from elsewhere.
//
// Values passed in belong to the storage afterwards; values handed out must not be changed.
type Storage struct {
	backend Backend
	fence   Fence
	now     func() time.Time
	rand    func() float64

	// mu guards everything below against acknowledgements. It is never held while the backend or a gate's
	// function is called.
	mu       sync.Mutex
	landed   sync.Cond // inFlight shrank, or the storage broke
	cache    cache
	seq      uint64   // of the last batch handed over
	turn     []*entry // dirty entries the next batch carries
	turnWipe bool     // the next batch deletes all keys first
	wipes    int      // batches not yet durable that delete all keys, the turn's included
	name     string   // to be stored with the next batch
	alarm    alarmState
	txn      *overlay
	flights  []*flight // batches handed over, oldest first
	inFlight int       // their size in bytes
	broken   error
}

// flight is a batch on its way to being durable.
type flight struct {
	seq     uint64
	entries []*entry
	wipe    bool
	bytes   int
	gates   []func(error)
}

// NewStorage returns the storage of an actor that was just acquired.
func NewStorage(cfg StorageConfig) *Storage {
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = DefaultCacheBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	s := &Storage{
		backend: cfg.Backend,
		fence:   cfg.Fence,
		now:     cfg.Now,
		rand:    cfg.Rand,
		cache:   newCache(cfg.CacheBytes),
		seq:     cfg.State.Seq,
		alarm:   alarmState{current: cfg.State.Alarm},
	}
	if cfg.Name != cfg.State.Name {
		s.name = cfg.Name
	}
	s.landed.L = &s.mu
	return s
}

// Get returns a key's value and whether it is present.
func (s *Storage) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := CheckKey(key); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	value, known, err := s.lookup(key)
	s.mu.Unlock()
	if known || err != nil {
		return value, value != nil, err
	}
	values, err := s.backend.Get(ctx, []string{key})
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	s.cache.fill(key, values[0])
	s.mu.Unlock()
	return values[0], values[0] != nil, nil
}

// GetMany returns the keys' values in their order, nil for an absent key. It is one read of the backend.
func (s *Storage) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	for _, key := range keys {
		if err := CheckKey(key); err != nil {
			return nil, err
		}
	}
	out := make([][]byte, len(keys))
	var misses []string
	var at []int
	s.mu.Lock()
	for i, key := range keys {
		value, known, err := s.lookup(key)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if !known {
			misses, at = append(misses, key), append(at, i)
		}
		out[i] = value
	}
	s.mu.Unlock()
	if len(misses) == 0 {
		return out, nil
	}
	values, err := s.backend.Get(ctx, misses)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, key := range misses {
		out[at[i]] = values[i]
		if s.cache.entries[key] == nil { // a key may have been asked for twice
			s.cache.fill(key, values[i])
		}
	}
	return out, nil
}

// lookup answers from memory: known is false if only the backend can tell. Called under mu.
func (s *Storage) lookup(key string) (value []byte, known bool, err error) {
	if s.broken != nil {
		return nil, false, s.broken
	}
	if s.txn != nil {
		if value, ok := s.txn.ops[key]; ok {
			return value, true, nil
		}
		if s.txn.wipe {
			return nil, true, nil
		}
	}
	if e := s.cache.get(key); e != nil {
		return e.value, true, nil
	}
	return nil, s.wipes > 0, nil
}

// Put sets a key's value.
func (s *Storage) Put(key string, value []byte) error {
	return s.PutMany([]Entry{{Key: key, Value: value}})
}

// PutMany sets several keys, or none if one of them is refused.
func (s *Storage) PutMany(entries []Entry) error {
	for _, e := range entries {
		if err := CheckKey(e.Key); err != nil {
			return err
		}
		if err := CheckValue(e.Value); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	for _, e := range entries {
		value := e.Value
		if value == nil {
			value = []byte{}
		}
		s.write(e.Key, value)
	}
	return nil
}

// Delete removes keys and returns how many of them were present.
func (s *Storage) Delete(ctx context.Context, keys ...string) (int, error) {
	values, err := s.GetMany(ctx, keys)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, s.broken
	}
	count := 0
	for i, key := range keys {
		if values[i] == nil {
			continue
		}
		if value, known, _ := s.lookup(key); known && value == nil {
			continue // named twice
		}
		s.write(key, nil)
		count++
	}
	return count, nil
}

// DeleteAll removes every key and the alarm, atomically.
func (s *Storage) DeleteAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.txn != nil {
		s.txn.wipe = true
		clear(s.txn.ops)
		s.txn.alarm = &Alarm{}
		return nil
	}
	s.wipe()
	s.alarm.replace(Alarm{})
	return nil
}

// write buffers a value, or a deletion if it is nil. Called under mu.
func (s *Storage) write(key string, value []byte) {
	if s.txn != nil {
		s.txn.ops[key] = value
		return
	}
	e := s.cache.write(key, value)
	if !e.inTurn {
		e.inTurn = true
		s.turn = append(s.turn, e)
	}
}

// wipe buffers the deletion of all keys. Called under mu.
func (s *Storage) wipe() {
	s.cache.reset()
	s.turn = nil
	if !s.turnWipe {
		s.turnWipe = true
		s.wipes++
	}
}
