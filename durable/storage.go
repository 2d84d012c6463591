package durable

import (
	"context"
	"math/rand/v2"
	"slices"
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
	mu        sync.Mutex
	landed    sync.Cond // inFlight shrank, or the storage broke
	cache     cache
	seq       uint64   // of the last batch handed over
	turn      []*entry // dirty entries the next batch carries
	turnCost  int      // of turn, as a batch counts it
	turnPages int      // the pages' part of it
	turnWipe  bool     // the next batch deletes all keys first
	wipes     int      // batches not yet durable that delete all keys, the turn's included
	name      string   // to be stored with the next batch
	alarm     alarmState
	txn       *overlay  // the innermost open transaction
	depth     int       // how many are open
	maxBatch  int       // 0: no limit
	recovered bool      // no log of pages is left from before
	flights   []*flight // batches handed over, oldest first
	inFlight  int       // their size in bytes
	broken    error
	open      []opened // gates to be called, in their order
	opening   bool     // somebody calls them
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

		maxBatch: cfg.State.MaxBatch,
		alarm:    alarmState{current: cfg.State.Alarm},
	}
	if cfg.Name != cfg.State.Name {
		s.name = cfg.Name
	}
	s.landed.L = &s.mu
	return s
}

// MaxTurn is the most that one turn's writes may cost, as [Batch.Cost] counts, if most of them are pages; 0 if there is no
// limit.
func (s *Storage) MaxTurn() int { return s.largestTurn() }

// Get returns a key's value and whether it is present.
func (s *Storage) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := checkOwnKey(key); err != nil {
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
		if err := checkOwnKey(key); err != nil {
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
	if value, known := s.txn.find(key); known {
		return value, true, nil
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
		if err := checkOwnKey(e.Key); err != nil {
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
	if err := s.fits(entries); err != nil {
		return err
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
	var found []Entry
	for i, key := range keys {
		if values[i] != nil && !slices.ContainsFunc(found, func(e Entry) bool { return e.Key == key }) {
			found = append(found, Entry{Key: key})
		}
	}
	if err := s.fits(found); err != nil {
		return 0, err
	}
	for _, e := range found {
		s.write(e.Key, nil)
	}
	return len(found), nil
}

// DeleteAll removes every key and the alarm, atomically.
func (s *Storage) DeleteAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.txn != nil {
		s.txn.clear()
		return nil
	}
	s.wipe()
	s.alarm.replace(Alarm{})
	return nil
}

// write buffers a value, or a deletion if it is nil. Called under mu.
func (s *Storage) write(key string, value []byte) {
	if s.txn != nil {
		s.txn.put(key, value)
		return
	}
	if e := s.cache.entries[key]; e != nil && e.inTurn {
		s.count(key, -writeCost(key, e.value))
	}
	e := s.cache.write(key, value)
	s.count(key, writeCost(key, value))
	if !e.inTurn {
		e.inTurn = true
		s.turn = append(s.turn, e)
	}
}

// count adds to what the turn costs. Called under mu.
func (s *Storage) count(key string, cost int) {
	s.turnCost += cost
	if isPage(key) {
		s.turnPages += cost
	}
}

// fits refuses writes that the store could not take with the rest of the turn. Called under mu.
func (s *Storage) fits(writes []Entry) error {
	if s.maxBatch == 0 {
		return nil
	}
	total, pages := BatchOverhead+len(s.name)+s.turnCost, s.turnPages
	for o := s.txn; o != nil; o = o.below {
		total, pages = total+o.cost, pages+o.pages
	}
	for _, e := range writes {
		cost := writeCost(e.Key, e.Value)
		if total += cost; isPage(e.Key) {
			pages += cost
		}
	}
	if s.checkTurn(total, pages) == nil {
		return nil
	}
	// Only now is it worth the time to count what is written twice once.
	return s.checkTurn(s.measure(writes))
}

// checkTurn refuses a turn of this cost. Called under mu.
func (s *Storage) checkTurn(total, pages int) error {
	switch {
	case total <= s.maxBatch:
		return nil
	case s.turnWipe || s.txn.wiped() || total > s.largestTurn():
		limit := s.maxBatch
		if !s.turnWipe && !s.txn.wiped() {
			limit = s.largestTurn()
		}
		return &LimitError{What: "batch", Size: total, Limit: limit}
	case total-pages > s.maxBatch-logRoom:
		return &LimitError{What: "batch", Size: total - pages, Limit: s.maxBatch - logRoom}
	}
	return nil
}

// measure returns what the turn would cost with some writes more, and the pages' part of it. Called under mu.
func (s *Storage) measure(writes []Entry) (total, pages int) {
	total = BatchOverhead + len(s.name)
	counted := make(map[string]struct{})
	count := func(key string, value []byte) {
		if _, twice := counted[key]; !twice {
			counted[key] = struct{}{}
			if total += writeCost(key, value); isPage(key) {
				pages += writeCost(key, value)
			}
		}
	}
	for _, e := range writes {
		count(e.Key, e.Value)
	}
	for o := s.txn; o != nil; o = o.below {
		for key, value := range o.ops {
			count(key, value)
		}
		if o.wipe {
			return total, pages
		}
	}
	for _, e := range s.turn {
		count(e.key, e.value)
	}
	return total, pages
}

// wipe buffers the deletion of all keys. Called under mu.
func (s *Storage) wipe() {
	s.cache.reset()
	s.turn, s.turnCost, s.turnPages = nil, 0, 0
	if !s.turnWipe {
		s.turnWipe = true
		s.wipes++
	}
}
