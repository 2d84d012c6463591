package badgerstore

import (
	"log/slog"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// sweepKeys is how many keys the sweeper deletes at a time.
const sweepKeys = 500

// sweep deletes what was left to it, a little with each group, until the store closes.
func (s *Store) sweep() {
	for {
		select {
		case <-s.litter:
		case <-s.closing:
			return
		}
		for {
			keys, err := s.findStale()
			if err == nil && len(keys) == 0 {
				break
			}
			if err == nil {
				err = s.deleteStale(keys)
			}
			if err != nil {
				s.log.Debug("sweep stopped", slog.Any("error", err))
				break
			}
		}
	}
}

// findStale returns keys of the first space, or the first chunks, to be swept; with the last of them comes the
// record that says so.
func (s *Store) findStale() ([][]byte, error) {
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	txn, end := s.beginRead()
	s.mu.Unlock()
	defer end()

	order := firstUnder(txn, []byte{garbageTag}, 1)
	if len(order) == 0 {
		return nil, nil
	}
	what := order[0][1:]
	keys := firstUnder(txn, append([]byte{chunkTag}, what...), sweepKeys)
	if len(what) == 8 && len(keys) < sweepKeys {
		keys = append(keys, firstUnder(txn, append([]byte{dataTag}, what...), sweepKeys-len(keys))...)
	}
	if len(keys) < sweepKeys {
		keys = append(keys, order[0])
	}
	return keys, nil
}

// firstUnder returns up to limit keys with a prefix.
func firstUnder(txn *badger.Txn, prefix []byte, limit int) [][]byte {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	var keys [][]byte
	for it.Rewind(); it.Valid() && len(keys) < limit; it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	return keys
}

// deleteStale has the committer delete keys that nothing refers to any more.
func (s *Store) deleteStale(keys [][]byte) error {
	done := make(chan error, 1)
	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return err
	}
	s.enqueue(&request{stale: keys, cost: durable.BatchOverhead + durable.WriteOverhead*len(keys), done: func(err error) { done <- err }})
	s.mu.Unlock()
	return <-done
}
