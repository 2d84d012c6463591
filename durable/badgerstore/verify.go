package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Actors with at most so many keys and bytes are verified at each activation, larger ones once after each boot: what
// is lost while a process runs is rarely lost without an error.
const (
	smallKeys  = 4096
	smallBytes = 4 << 20
)

// verify compares an actor's keys with their count and digest, so that keys that a damaged disk lost or brought back
// are an error and not an answer. Values are not looked at beyond their checksums' own bytes: each is checked when it
// is read.
func (s *Store) verify(ctx context.Context, txn *badger.Txn, namespace uint32, id durable.ID, m *meta) error {
	large := m.keys > smallKeys || m.bytes > smallBytes
	if large {
		s.mu.Lock()
		_, done := s.verified[m.space]
		s.mu.Unlock()
		if done {
			return nil
		}
	}
	if err := verifyKeys(ctx, txn, m); err != nil {
		return err
	}
	if large {
		s.mu.Lock()
		s.verified[m.space] = struct{}{}
		s.mu.Unlock()
	}
	return nil
}

func verifyKeys(ctx context.Context, txn *badger.Txn, m *meta) error {
	var found totals
	if m.space != 0 {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: appendSpace(nil, dataTag, m.space)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			mark, err := elementOf(item, item.Key()[spaceKeyBytes:])
			if err != nil {
				return fmt.Errorf("%q: %w", item.Key()[spaceKeyBytes:], err)
			}
			found.add(mark)
		}
	}
	return compare(found, m)
}

// compare returns an error if what was found of an actor's keys is not what its meta says.
func compare(found totals, m *meta) error {
	switch {
	case found.records != m.keys:
		return fmt.Errorf("%w: %d keys are there, %d were stored", durable.ErrCorrupt, found.records, m.keys)
	case found.digest != m.digest:
		return fmt.Errorf("%w: keys are not those that were stored: digest %016x, stored is %016x", durable.ErrCorrupt, uint64(found.digest), uint64(m.digest))
	}
	return nil
}

// boot checks the database's own records and begins a new boot epoch, durably.
func (s *Store) boot(cfg Config, known mark, aside string) error {
	s.durableTS = s.db.MaxVersion()
	lose := func(format string, args ...any) error {
		err := &DataLossError{Dir: cfg.Dir, What: fmt.Sprintf(format, args...), Aside: aside}
		if !cfg.AcceptDataLoss {
			return err
		}
		s.log.Error("data loss accepted: the store goes on with what is there", slog.Any("error", err))
		return nil
	}
	if s.durableTS < known.seq {
		if err := lose("it is at group %d, but group %d was acknowledged", s.durableTS, known.seq); err != nil {
			return err
		}
	}
	txn := s.db.NewTransactionAt(s.durableTS, true)
	defer txn.Discard()
	fresh, err := s.readBoot(txn, lose)
	if err != nil {
		return err
	}
	if err := s.readRecords(txn, lose); err != nil {
		return err
	}
	s.durableTS = max(s.durableTS, known.seq) // a timestamp is never used twice
	s.bootEpoch++
	facts := []struct {
		tag     byte
		payload []byte
	}{
		{bootTag, binary.BigEndian.AppendUint64(nil, s.bootEpoch)},
		{totalsTag, s.totals.append(nil)},
	}
	if fresh {
		facts = append(facts, struct {
			tag     byte
			payload []byte
		}{formatTag, binary.BigEndian.AppendUint32(nil, format)})
	}
	for _, f := range facts {
		key := []byte{f.tag}
		if err := txn.SetEntry(badger.NewEntry(key, seal(nil, bind(0, key), kindFact, f.payload)).WithMeta(kindFact)); err != nil {
			return fmt.Errorf("write boot epoch: %w", err)
		}
	}
	failpoint("boot read")
	if err := txn.CommitAt(s.durableTS+1, nil); err != nil {
		return fmt.Errorf("write boot epoch: %w", err)
	}
	failpoint("boot written")
	s.durableTS++
	s.discardTS = s.durableTS
	return s.highWater.set(mark{seq: s.durableTS})
}

// readBoot reads the last boot's epoch and whether there was none.
func (s *Store) readBoot(txn *badger.Txn, lose func(string, ...any) error) (fresh bool, err error) {
	boot, booted, err := readFact(txn, bootTag, 8)
	if err != nil {
		return false, fmt.Errorf("read boot epoch: %w", err)
	}
	layout, described, err := readFact(txn, formatTag, 4)
	if err != nil {
		return false, fmt.Errorf("read format: %w", err)
	}
	switch {
	case !booted && (s.durableTS > 0 || described):
		if err := lose("the record of its last boot is gone"); err != nil {
			return false, err
		}
		// Timestamps grow at least as fast as boots.
		s.bootEpoch = s.durableTS
		return !described, nil
	case !booted:
		return true, nil
	case !described:
		return false, fmt.Errorf("%w: it has format 1, of a version before the first release; this version reads format %d. Start with an empty folder", ErrFormat, format)
	}
	if n := binary.BigEndian.Uint32(layout); n != format {
		return false, fmt.Errorf("%w: it has format %d, this version reads format %d. Use the version that wrote it", ErrFormat, n, format)
	}
	s.bootEpoch = binary.BigEndian.Uint64(boot)
	return false, nil
}

// readRecords reads the namespaces and what the totals are. Unless that is deferred it compares them, the metas and the index of
// alarms with what was stored.
func (s *Store) readRecords(txn *badger.Txn, lose func(string, ...any) error) error {
	names, err := readNamespaces(txn, new(totals))
	if err != nil {
		return err
	}
	for name, number := range names {
		s.addNamespace(name, number)
	}
	if s.deferred() {
		s.totals, err = readTotals(txn)
		return err
	}
	s.totals, err = s.compareRecords(txn, lose)
	return err
}

// compareRecords compares the namespaces, the metas and the index of alarms with what was stored, and returns what it found.
func (s *Store) compareRecords(txn *badger.Txn, lose func(string, ...any) error) (found totals, err error) {
	if _, err := readNamespaces(txn, &found); err != nil {
		return found, err
	}
	alarms, err := s.readMetas(txn, &found, lose)
	if err != nil {
		return found, err
	}
	stored, err := readTotals(txn)
	if err != nil {
		return found, err
	}
	if found != stored {
		what := "the records of its actors are not those that were stored"
		if found.records != stored.records {
			what = fmt.Sprintf("it has the records of %d actors and namespaces, %d were stored", found.records, stored.records)
		}
		if err := lose("%s", what); err != nil {
			return found, err
		}
	}
	return found, s.readAlarms(txn, alarms, lose)
}

func readTotals(txn *badger.Txn) (stored totals, err error) {
	payload, there, err := readFact(txn, totalsTag, totalsBytes)
	if err != nil {
		return totals{}, fmt.Errorf("read totals: %w", err)
	}
	if there {
		stored = parseTotals(payload)
	}
	return stored, nil
}

// readMetas adds the metas to what was found and returns the keys of the index that their alarms must have.
func (s *Store) readMetas(txn *badger.Txn, found *totals, lose func(string, ...any) error) (map[string]struct{}, error) {
	alarms := map[string]struct{}{}
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{metaTag}})
	defer it.Close()
	n := 0
	for it.Rewind(); it.Valid(); it.Next() {
		if n++; n%4096 == 0 && s.closes() {
			return nil, durable.ErrClosed
		}
		item := it.Item()
		key := item.KeyCopy(nil)
		m, mark, err := openMeta(item, key)
		if err != nil {
			// Its actor refuses to be activated, whatever the user says of the rest.
			if err := lose("the record of an actor cannot be read: %v (%x)", err, key[1:]); err != nil {
				return nil, err
			}
			if mark, err = elementOf(item, key); err != nil {
				continue
			}
		}
		found.add(mark)
		if m.due != 0 {
			alarms[string(appendAlarmKey(nil, m.due, binary.BigEndian.Uint32(key[1:]), durable.ID(key[1+4:])))] = struct{}{}
		}
	}
	return alarms, nil
}

// readAlarms compares the index of alarms with the alarms of the metas. Where the user accepts a difference, the index
// is made what they say.
func (s *Store) readAlarms(txn *badger.Txn, want map[string]struct{}, lose func(string, ...any) error) error {
	var stale [][]byte
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{alarmTag}})
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		if _, ok := want[string(key)]; !ok {
			stale = append(stale, key)
			continue
		}
		delete(want, string(key))
	}
	it.Close()
	if len(stale)+len(want) == 0 {
		return nil
	}
	if err := lose("the index of alarms lacks %d and has %d that no actor set", len(want), len(stale)); err != nil {
		return err
	}
	for _, key := range stale {
		if err := txn.Delete(key); err != nil {
			return fmt.Errorf("mend the index of alarms: %w", err)
		}
	}
	for key := range want {
		k := []byte(key)
		if err := txn.SetEntry(badger.NewEntry(k, seal(nil, bind(0, k), kindFact, nil)).WithMeta(kindFact)); err != nil {
			return fmt.Errorf("mend the index of alarms: %w", err)
		}
	}
	return nil
}

// readNamespaces returns the numbers of the namespaces by their names, and adds their records to what was found.
func readNamespaces(txn *badger.Txn, found *totals) (map[string]uint32, error) {
	names := map[string]uint32{}
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{namespaceTag}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		key := item.KeyCopy(nil)
		name := string(key[1:])
		payload, err := openFact(item, 4)
		if err != nil {
			return nil, fmt.Errorf("read namespace %q: %w", name, err)
		}
		mark, err := elementOf(item, key)
		if err != nil {
			return nil, fmt.Errorf("read namespace %q: %w", name, err)
		}
		found.add(mark)
		names[name] = binary.BigEndian.Uint32(payload)
	}
	return names, nil
}

// readFact returns the payload of the fact with a tag as its key.
func readFact(txn *badger.Txn, tag byte, size int) (payload []byte, found bool, err error) {
	item, err := txn.Get([]byte{tag})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	payload, err = openFact(item, size)
	return payload, err == nil, err
}

// openFact returns the payload of a value bound to its database key.
func openFact(item *badger.Item, size int) (payload []byte, err error) {
	key := item.KeyCopy(nil)
	err = item.Value(func(envelope []byte) error {
		p, err := unseal(envelope, bind(0, key), item.UserMeta())
		if err == nil && (len(p) != size || item.UserMeta() != kindFact) {
			err = fmt.Errorf("%w: %d bytes instead of %d", durable.ErrCorrupt, len(p), size)
		}
		payload = append([]byte(nil), p...)
		return err
	})
	return payload, err
}
