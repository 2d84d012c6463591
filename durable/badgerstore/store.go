package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

var _ durable.Store = (*Store)(nil)

// Store is a durable.Store on Badger. Open makes it.
type Store struct {
	db       *badger.DB
	log      *slog.Logger
	maxBatch int // bytes, as batchCost counts them

	work    sync.WaitGroup
	wake    chan struct{} // the queue is not empty, or the store closes
	litter  chan struct{} // there is something to sweep
	closing chan struct{}
	acks    chan []outcome

	// mu guards everything below, and the actors' fields that say so.
	mu         sync.Mutex
	quiet      sync.Cond // no reader is left, or no batch
	actors     map[durable.Key]*actor
	namespaces map[string]uint32
	names      map[uint32]string
	queue      []*request
	queued     int // batches handed over whose outcome is not known yet
	bootEpoch  uint64
	acquired   uint64 // fences given out since the boot
	durableTS  uint64 // timestamp of the last group that is durable; reads are at it
	failed     error
	closed     bool

	// Versions at or below the discard timestamp may be dropped except for the newest. It may only grow past a
	// reader's timestamp once that reader is done, so readers are counted by generation.
	generation int
	readers    [2]int // by generation parity
	discardTS  uint64 // becomes the discard timestamp when the older generation's readers are done

	alarmMu    sync.Mutex
	alarmFloor int64  // no alarm is indexed before this time
	alarmSets  uint64 // alarms indexed so far

	// The committer's own.
	group    group
	spaces   uint64 // numbers of spaces and chunks given out since the boot
	commitAt func(txn *badger.Txn, ts uint64) error
}

// actor is what the store keeps in memory of an actor that somebody holds.
type actor struct {
	key durable.Key

	// Guarded by Store.mu.
	epoch    uint64
	seq      uint64 // of the last batch accepted
	space    uint64 // for readers: that of the last durable batch
	pending  int    // batches accepted whose outcome is not known yet
	drained  chan struct{}
	loaded   bool // meta was read
	released bool // nobody holds it: it goes once pending is 0

	// The committer's own while pending is not 0, guarded by Store.mu otherwise.
	namespace uint32 // 0: the namespace has no number yet
	meta      meta
	binding   uint32 // checksum that values are bound to
	stored    int64  // the alarm's time that is in the index, 0 if none
	onDisk    bool   // the database has a meta record
	touched   bool   // by the group being made
}

func newStore(db *badger.DB, log *slog.Logger, maxBatch int) *Store {
	s := &Store{
		db:         db,
		log:        log,
		maxBatch:   maxBatch,
		wake:       make(chan struct{}, 1),
		litter:     make(chan struct{}, 1),
		closing:    make(chan struct{}),
		acks:       make(chan []outcome, 1),
		actors:     make(map[durable.Key]*actor),
		namespaces: make(map[string]uint32),
		names:      make(map[uint32]string),
		commitAt:   func(txn *badger.Txn, ts uint64) error { return txn.CommitAt(ts, nil) },
	}
	s.quiet.L = &s.mu
	return s
}

func (s *Store) start() {
	s.work.Go(s.commitGroups)
	s.work.Go(s.acknowledge)
	s.work.Go(s.sweep)
	s.work.Go(s.maintain)
	s.litter <- struct{}{}
}

// usable returns why the store serves nothing. Called under mu.
func (s *Store) usable() error {
	if s.failed != nil {
		return s.failed
	}
	if s.closed {
		return durable.ErrClosed
	}
	return nil
}

// fail stops the store. Batches that wait fail, and so does everything afterwards.
func (s *Store) fail(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return
	}
	s.failed = fmt.Errorf("%w: %w", durable.ErrFailed, cause)
	for _, a := range s.actors {
		if a.drained != nil {
			close(a.drained)
			a.drained = nil
		}
	}
	s.log.Error("durable store stopped: a commit failed", slog.Any("error", cause))
}

// Failed returns nil, or why the store stopped. It matches durable.ErrFailed.
func (s *Store) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Acquire implements durable.Placement.
func (s *Store) Acquire(ctx context.Context, key durable.Key) (durable.Fence, durable.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return durable.Fence{}, durable.State{}, err
	}
	a := s.actors[key]
	if a == nil {
		a = &actor{key: key}
		s.actors[key] = a
	}
	s.acquired++
	epoch := s.bootEpoch<<32 | s.acquired
	a.epoch, a.released = epoch, false
	if err := s.take(ctx, a, epoch); err != nil {
		s.release(a, epoch)
		return durable.Fence{}, durable.State{}, fmt.Errorf("badgerstore: acquire %s: %w", key, err)
	}
	return durable.Fence{Actor: key, Epoch: epoch}, a.meta.state(), nil
}

// take waits for the batches of older fences and loads the actor if it is not in memory. Called under mu, which
// it gives up meanwhile.
func (s *Store) take(ctx context.Context, a *actor, epoch uint64) error {
	for a.pending > 0 {
		if a.drained == nil {
			a.drained = make(chan struct{})
		}
		drained := a.drained
		s.mu.Unlock()
		var err error
		select {
		case <-drained:
		case <-ctx.Done():
			err = ctx.Err()
		}
		s.mu.Lock()
		if err == nil {
			err = s.usable()
		}
		if err != nil {
			return err
		}
	}
	if a.epoch != epoch {
		return durable.ErrFenced
	}
	if !a.loaded {
		if err := s.load(a, epoch); err != nil {
			return err
		}
	}
	a.seq, a.space = a.meta.seq, a.meta.space
	return nil
}

// load reads an actor's meta. Called under mu, which it gives up meanwhile.
func (s *Store) load(a *actor, epoch uint64) error {
	namespace := s.namespaces[a.key.Namespace]
	var m meta
	found := false
	if namespace != 0 {
		txn, end := s.beginRead()
		s.mu.Unlock()
		var err error
		m, found, err = readMeta(txn, namespace, a.key.ID)
		end()
		s.mu.Lock()
		if err != nil {
			return err
		}
		if a.epoch != epoch {
			return durable.ErrFenced
		}
	}
	if m.epoch >= epoch {
		return fmt.Errorf("%w: epoch %#x is stored, but %#x is the newest given out", durable.ErrCorrupt, m.epoch, epoch)
	}
	a.meta, a.onDisk, a.stored, a.loaded = m, found, m.due, true
	a.setNamespace(namespace)
	return nil
}

// setNamespace notes the namespace's number and what the actor's values are bound to.
func (a *actor) setNamespace(namespace uint32) {
	a.namespace = namespace
	var b [actorBytes]byte
	a.binding = bind(0, appendActor(b[:0], namespace, a.key.ID))
}

// readMeta reads an actor's meta record.
func readMeta(txn *badger.Txn, namespace uint32, id durable.ID) (m meta, found bool, err error) {
	key := appendMetaKey(make([]byte, 0, metaKeyBytes), namespace, id)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return meta{}, false, nil
	}
	if err != nil {
		return meta{}, false, fmt.Errorf("read meta: %w", err)
	}
	err = item.Value(func(envelope []byte) error {
		payload, err := unseal(envelope, bind(0, key), kindMeta)
		if err != nil {
			return err
		}
		m, err = parseMeta(payload)
		return err
	})
	if err != nil {
		return meta{}, false, fmt.Errorf("read meta: %w", err)
	}
	return m, true, nil
}

// Release implements durable.Placement.
func (s *Store) Release(f durable.Fence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.actors[f.Actor]; a != nil {
		s.release(a, f.Epoch)
	}
}

// release forgets an actor, now or once its batches are done, unless epoch is outdated. Called under mu.
func (s *Store) release(a *actor, epoch uint64) {
	if a.epoch != epoch {
		return
	}
	a.epoch = 0
	a.released = true
	if a.pending == 0 {
		delete(s.actors, a.key)
	}
}

// List implements durable.Placement. An actor is listed while it stores a key or an alarm.
func (s *Store) List(_ context.Context, namespace string, after *durable.ID, limit int) ([]durable.ID, error) {
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	number := s.namespaces[namespace]
	txn, end := s.beginRead()
	s.mu.Unlock()
	defer end()
	if number == 0 {
		return nil, nil
	}
	var first durable.ID
	prefix := appendMetaKey(nil, number, first)[:1+4]
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	seek := prefix
	if after != nil {
		seek = append(appendMetaKey(nil, number, *after), 0)
	}
	var ids []durable.ID
	for it.Seek(seek); it.Valid() && len(ids) < limit; it.Next() {
		var id durable.ID
		copy(id[:], it.Item().Key()[len(prefix):])
		ids = append(ids, id)
	}
	return ids, nil
}

// addNamespace notes a namespace's number. Called under mu, or before the store is shared.
func (s *Store) addNamespace(name string, number uint32) {
	s.namespaces[name] = number
	s.names[number] = name
}

// nextNumber returns a number for a space or for chunks that was never used before.
func (s *Store) nextNumber() uint64 {
	s.spaces++
	return s.bootEpoch<<32 | s.spaces
}

// beginRead returns a transaction at what is durable. end must be called when it is no longer used. Called
// under mu.
func (s *Store) beginRead() (txn *badger.Txn, end func()) {
	parity := s.generation & 1
	s.readers[parity]++
	txn = s.db.NewTransactionAt(s.durableTS, false)
	return txn, func() {
		txn.Discard()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.readers[parity]--
		if s.closed && s.readers[parity] == 0 {
			s.quiet.Broadcast()
		}
	}
}

// maintain lets Badger drop old versions and collects its value log, until the store closes.
func (s *Store) maintain() {
	versions := time.NewTicker(discardEvery)
	defer versions.Stop()
	valueLog := time.NewTicker(valueLogGC)
	defer valueLog.Stop()
	for {
		select {
		case <-versions.C:
			s.discardVersions()
		case <-valueLog.C:
			for s.db.RunValueLogGC(valueLogGarbage) == nil {
				// Each call rewrites at most one file.
			}
		case <-s.closing:
			return
		}
	}
}

// discardEvery is how often the discard timestamp moves on.
const discardEvery = 5 * time.Second

// discardVersions moves the discard timestamp to where it was noted last time, if no reader is left from before.
func (s *Store) discardVersions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers[(s.generation+1)&1] > 0 {
		return
	}
	s.db.SetDiscardTs(s.discardTS)
	s.discardTS = s.durableTS
	s.generation++
}

// Close implements durable.Store. Batches handed over before are committed first.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return durable.ErrClosed
	}
	s.closed = true
	for s.queued > 0 && s.failed == nil || s.readers[0]+s.readers[1] > 0 {
		s.quiet.Wait()
	}
	s.mu.Unlock()
	close(s.closing)
	s.work.Wait()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("badgerstore: close: %w", err)
	}
	return nil
}
