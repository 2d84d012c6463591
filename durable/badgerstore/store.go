package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

var _ durable.Store = (*Store)(nil)

// Store is a durable.Store on Badger. Open makes it.
type Store struct {
	cfg      Config
	db       *badger.DB // nil while a failed one is closed; used under mu, by readers, and by the committer
	log      *slog.Logger
	maxBatch int // bytes, as batchCost counts them

	dir       string
	opened    time.Time
	reserve   uint64 // bytes that must be free
	freeBytes func(dir string) (uint64, error)
	looked    atomic.Int64 // when freeBytes was asked last, after opened
	full      atomic.Pointer[error]

	reviveAfter time.Duration // the first pause before a failed database is opened anew

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
	verified   map[uint64]struct{} // spaces of large actors that were verified since the boot
	checked    chan struct{}       // closed once the records were compared with what was stored, or the store failed over it

	// Versions at or below the discard timestamp may be dropped except for the newest. It may only grow past a
	// reader's timestamp once that reader is done, so readers are counted by generation.
	generation int
	readers    [2]int // by generation parity
	discardTS  uint64 // becomes the discard timestamp when the older generation's readers are done

	alarmMu    sync.Mutex
	alarmFloor int64  // no alarm is indexed before this time
	alarmSets  uint64 // alarms indexed so far

	// The committer's own.
	totals    totals
	highWater *highWater
	group     group
	spaces    uint64 // numbers of spaces and chunks given out since the boot
	commitAt  func(txn *badger.Txn, ts uint64) error
}

func newStore(cfg Config, db *badger.DB) *Store {
	memtable := db.Opts().MemTableSize
	s := &Store{
		cfg:       cfg,
		db:        db,
		log:       cfg.Logger,
		maxBatch:  int(memtable / 8),
		dir:       cfg.Dir,
		opened:    time.Now(),
		reserve:   uint64(reserveMemtables * memtable),
		freeBytes: freeBytes,

		reviveAfter: reviveAfter,
		wake:        make(chan struct{}, 1),
		litter:      make(chan struct{}, 1),
		closing:     make(chan struct{}),
		acks:        make(chan []outcome, 1),
		actors:      make(map[durable.Key]*actor),
		namespaces:  make(map[string]uint32),
		names:       make(map[uint32]string),
		verified:    make(map[uint64]struct{}),
		checked:     make(chan struct{}),
		commitAt:    func(txn *badger.Txn, ts uint64) error { return txn.CommitAt(ts, nil) },
	}
	s.quiet.L = &s.mu
	return s
}

func (s *Store) start() {
	if s.deferred() {
		s.mu.Lock()
		txn, end := s.beginRead()
		s.mu.Unlock()
		s.work.Go(func() {
			defer end()
			s.checkLate(txn)
		})
	} else {
		close(s.checked)
	}
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
	s.log.Error("durable store stopped", slog.Any("error", cause))
}

// Failed returns nil, or why the store stopped. It matches durable.ErrFailed.
func (s *Store) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
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
		if (s.closed || s.failed != nil) && s.readers[parity] == 0 {
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
	seq := time.NewTicker(syncSeqEvery)
	defer seq.Stop()
	synced := uint64(0)
	for {
		select {
		case <-seq.C:
			s.mu.Lock()
			at := s.durableTS
			s.mu.Unlock()
			if at != synced {
				s.syncSeq(at)
				synced = at
			}
		case <-versions.C:
			s.discardVersions()
		case <-valueLog.C:
			s.collectValueLog()
		case <-s.closing:
			return
		}
	}
}

const (
	// discardEvery is how often the discard timestamp moves on.
	discardEvery = 5 * time.Second
	// syncSeqEvery is how often the high-water sequence is synced: what a power cut and a damaged log together may
	// take unnoticed.
	syncSeqEvery = time.Second
)

// syncSeq syncs the high-water sequence. It counts as a reader: nobody closes the file meanwhile.
func (s *Store) syncSeq(at uint64) {
	s.mu.Lock()
	if s.usable() != nil {
		s.mu.Unlock()
		return
	}
	_, end := s.beginRead()
	file := s.highWater
	s.mu.Unlock()
	err := file.sync()
	end()
	if err != nil {
		s.fail(fmt.Errorf("at group %d: %w", at, err))
	}
}

// collectValueLog rewrites what is mostly garbage of the value log. There is hardly any: values are chunked, so that
// they lie in the tables.
func (s *Store) collectValueLog() {
	s.mu.Lock()
	if s.usable() != nil {
		s.mu.Unlock()
		return
	}
	_, end := s.beginRead()
	db := s.db
	s.mu.Unlock()
	defer end()
	for db.RunValueLogGC(valueLogGarbage) == nil {
		// Each call rewrites at most one file.
	}
}

// discardVersions moves the discard timestamp to where it was noted last time, if no reader is left from before.
func (s *Store) discardVersions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil || s.readers[(s.generation+1)&1] > 0 {
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
	if s.db == nil {
		return nil // it failed, and could not be opened again
	}
	if err := s.closeDatabase(); err != nil {
		return fmt.Errorf("badgerstore: close: %w", err)
	}
	return nil
}

// closeDatabase closes the database and notes that this was in good order. The committer has ended, or never began.
func (s *Store) closeDatabase() error {
	failpoint("close")
	err := s.db.Close()
	failpoint("closed")
	if err == nil && s.failed == nil {
		var shape uint64
		if shape, err = shapeOf(s.dir); err == nil {
			err = s.highWater.note(mark{seq: s.durableTS, clean: true, shape: shape})
		}
	}
	if err == nil {
		err = s.highWater.sync()
	}
	return errors.Join(err, s.highWater.close())
}
