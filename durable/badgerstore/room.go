package badgerstore

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Badger writes through memory that is mapped to files: where the disk is full that ends the process instead of giving
// an error. So batches are refused while less than a reserve is free, which is what logs, tables and their
// compaction may ask for meanwhile. Nothing has failed then, and the store goes on by itself once there is room.
const (
	reserveMemtables = 8 // the reserve, in sizes of the memtable
	lookForRoomEvery = 20 * time.Millisecond
)

// noRoom returns an error while the disk has less than the reserve free. It is quick: what it knows is at most
// lookForRoomEvery old.
func (s *Store) noRoom() error {
	now := int64(time.Since(s.opened))
	last := s.looked.Load()
	if last != 0 && now-last < int64(lookForRoomEvery) || !s.looked.CompareAndSwap(last, max(now, 1)) {
		if err := s.full.Load(); err != nil {
			return *err
		}
		return nil
	}
	err := checkRoom(s.dir, s.reserve, s.freeBytes)
	if err == nil {
		s.full.Store(nil)
		return nil
	}
	s.full.Store(&err)
	return err
}

// checkRoom returns an error if less than need bytes are free. A file system that does not say is taken to have room.
func checkRoom(dir string, need uint64, free func(string) (uint64, error)) error {
	n, err := free(dir)
	if err != nil || n >= need {
		return nil
	}
	return fmt.Errorf("%w: %s has %s free, the store needs %s to go on; free some space, and it takes writes again by itself",
		durable.ErrFull, dir, humanize.IBytes(n), humanize.IBytes(need))
}
