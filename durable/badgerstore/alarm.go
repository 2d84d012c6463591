package badgerstore

import (
	"context"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// indexed notes that an alarm at that time has become durable, so that Due looks from there.
func (s *Store) indexed(due int64) {
	if due == noFloor {
		return
	}
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	s.alarmSets++
	s.alarmFloor = min(s.alarmFloor, due)
}

// Due implements durable.Schedule. Alarms that are gone leave markers in the index until Badger compacts it, so
// a scan starts at the earliest alarm there can be instead of at the first marker.
func (s *Store) Due(_ context.Context, now time.Time, after *durable.DueAlarm, limit int) ([]durable.DueAlarm, time.Time, error) {
	s.alarmMu.Lock()
	floor, sets := s.alarmFloor, s.alarmSets
	s.alarmMu.Unlock()

	s.mu.Lock()
	if err := s.usable(); err != nil {
		s.mu.Unlock()
		return nil, time.Time{}, err
	}
	seek := appendAlarmKey(nil, floor, 0, durable.ID{})
	if after != nil {
		seek = append(appendAlarmKey(nil, toMillis(after.At), s.namespaces[after.Key.Namespace], after.Key.ID), 0)
	}
	txn, end := s.beginRead()
	s.mu.Unlock()
	defer end()

	var due []durable.DueAlarm
	var next time.Time
	first := int64(noFloor)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{alarmTag}})
	defer it.Close()
	for it.Seek(seek); it.Valid(); it.Next() {
		ms, number, id, ok := parseAlarmKey(it.Item().Key())
		if !ok {
			continue
		}
		first = min(first, ms)
		at := fromMillis(ms)
		if at.After(now) || len(due) == limit {
			next = at
			break
		}
		s.mu.Lock()
		name := s.names[number]
		s.mu.Unlock()
		due = append(due, durable.DueAlarm{Key: durable.Key{Namespace: name, ID: id}, At: at})
	}
	if after == nil {
		s.raiseFloor(first, sets)
	}
	return due, next, nil
}

// raiseFloor notes that a scan of the whole index found nothing before due, unless alarms were set since it began.
func (s *Store) raiseFloor(due int64, sets uint64) {
	s.alarmMu.Lock()
	defer s.alarmMu.Unlock()
	if s.alarmSets == sets {
		s.alarmFloor = due
	}
}
