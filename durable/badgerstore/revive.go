package badgerstore

import (
	"log/slog"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// A store that failed tries to open its database anew after reviveAfter, doubling up to maxReviveAfter: what was wrong
// with the disk may be over.
const (
	reviveAfter    = time.Second
	maxReviveAfter = 30 * time.Second
)

// revive opens the database anew after a failure, with all checks of a first opening. Every fence given out before is
// outdated then. Only the committer calls it, when it has nothing left to do.
func (s *Store) revive() {
	s.mu.Lock()
	for s.readers[0]+s.readers[1] > 0 {
		s.quiet.Wait() // no new ones begin
	}
	s.mu.Unlock()
	if s.db != nil {
		if err := s.closeDatabase(); err != nil {
			s.log.Debug("close of the failed database", slog.Any("error", err))
		}
		s.db = nil
	}
	cfg := s.cfg
	cfg.Deferred = false
	next, err := open(cfg)
	if err != nil {
		s.log.Error("durable store cannot be opened again yet", slog.Any("error", err))
		return
	}
	s.mu.Lock()
	s.db, s.highWater, s.totals = next.db, next.highWater, next.totals
	s.actors, s.verified = map[durable.Key]*actor{}, map[uint64]struct{}{}
	s.namespaces, s.names = next.namespaces, next.names
	s.bootEpoch, s.durableTS, s.discardTS = next.bootEpoch, next.durableTS, next.discardTS
	s.failed = nil
	s.mu.Unlock()
	s.alarmMu.Lock()
	s.alarmFloor = 0
	s.alarmSets++
	s.alarmMu.Unlock()
	s.log.Info("durable store is open again")
}
