package badgerstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

var (
	_ durable.Snapshot    = (*Snapshot)(nil)
	_ durable.Snapshotter = (*Store)(nil)
)

// Snapshot is a durable.Snapshot. While it is open no version that it shows is dropped, and the store does not close.
type Snapshot struct {
	store      *Store
	txn        *badger.Txn
	end        func()
	namespaces map[string]uint32
}

// Snapshot implements durable.Snapshotter.
func (s *Store) Snapshot() (durable.Snapshot, error) {
	v, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (s *Store) snapshot() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.awaitCheck(context.Background()); err != nil {
		return nil, err
	}
	txn, end := s.beginRead()
	return &Snapshot{store: s, txn: txn, end: end, namespaces: maps.Clone(s.namespaces)}, nil
}

// Close implements durable.Snapshot.
func (v *Snapshot) Close() { v.end() }

// going returns an error once the caller has given up, or the store wants to close.
func (v *Snapshot) going(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.store.mu.Lock()
	defer v.store.mu.Unlock()
	return v.store.usable()
}

// Namespaces implements durable.Snapshot.
func (v *Snapshot) Namespaces() []string { return slices.Sorted(maps.Keys(v.namespaces)) }

// Whole implements durable.Snapshot.
func (v *Snapshot) Whole(ctx context.Context) error {
	var found totals
	for _, tag := range []byte{namespaceTag, metaTag} {
		it := v.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tag}})
		for it.Rewind(); it.Valid(); it.Next() {
			mark, err := elementOf(it.Item(), it.Item().Key())
			if err == nil {
				err = v.going(ctx)
			}
			if err != nil {
				it.Close()
				return err
			}
			found.add(mark)
		}
		it.Close()
	}
	payload, _, err := readFact(v.txn, totalsTag, totalsBytes)
	if err != nil {
		return fmt.Errorf("badgerstore: read totals: %w", err)
	}
	var stored totals
	if payload != nil {
		stored = parseTotals(payload)
	}
	if found != stored {
		return fmt.Errorf("badgerstore: %w: there are records of %d actors and namespaces, %d were stored, or others", durable.ErrCorrupt, found.records, stored.records)
	}
	return nil
}

// Actors implements durable.Snapshot.
func (v *Snapshot) Actors(ctx context.Context, namespace string, after *durable.ID) iter.Seq2[durable.Stored, error] {
	return func(yield func(durable.Stored, error) bool) {
		for a, err := range v.metas(ctx, namespace, after) {
			if !yield(durable.Stored{Key: a.key, State: a.meta.state()}, err) || err != nil {
				return
			}
		}
	}
}

// storedMeta is an actor's meta as the snapshot shows it.
type storedMeta struct {
	key  durable.Key
	meta meta
}

// metas gives the metas of a namespace. One that cannot be read is an error with the key, and others may follow.
func (v *Snapshot) metas(ctx context.Context, namespace string, after *durable.ID) iter.Seq2[storedMeta, error] {
	return func(yield func(storedMeta, error) bool) {
		number := v.namespaces[namespace]
		if number == 0 {
			return
		}
		prefix := binary.BigEndian.AppendUint32([]byte{metaTag}, number)
		seek := prefix
		if after != nil {
			seek = append(appendMetaKey(nil, number, *after), 0)
		}
		it := v.txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Seek(seek); it.Valid(); it.Next() {
			if err := v.going(ctx); err != nil {
				yield(storedMeta{}, err)
				return
			}
			key := it.Item().KeyCopy(nil)
			a := storedMeta{key: durable.Key{Namespace: namespace, ID: durable.ID(key[len(prefix):])}}
			var err error
			if a.meta, _, err = openMeta(it.Item(), key); err != nil {
				err = fmt.Errorf("badgerstore: the record of %s: %w", a.key, err)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// Actor implements durable.Snapshot.
func (v *Snapshot) Actor(_ context.Context, key durable.Key) (durable.Stored, bool, error) {
	m, _, found, err := v.meta(key)
	return durable.Stored{Key: key, State: m.state()}, found, err
}

func (v *Snapshot) meta(key durable.Key) (m meta, mark digest, found bool, err error) {
	number := v.namespaces[key.Namespace]
	if number == 0 {
		return meta{}, 0, false, nil
	}
	if m, mark, found, err = readMeta(v.txn, number, key.ID); err != nil {
		err = fmt.Errorf("badgerstore: %s: %w", key, err)
	}
	return m, mark, found, err
}

// Entries implements durable.Snapshot.
func (v *Snapshot) Entries(ctx context.Context, key durable.Key) iter.Seq2[durable.Entry, error] {
	return func(yield func(durable.Entry, error) bool) {
		m, _, found, err := v.meta(key)
		if err != nil {
			yield(durable.Entry{}, &wholeError{err})
			return
		}
		if !found || m.space == 0 {
			return
		}
		var b [actorBytes]byte
		r := reader{txn: v.txn, space: m.space, binding: bind(0, appendActor(b[:0], v.namespaces[key.Namespace], key.ID))}
		it := v.txn.NewIterator(badger.IteratorOptions{Prefix: appendSpace(nil, dataTag, m.space)})
		defer it.Close()
		var seen totals
		for it.Rewind(); it.Valid(); it.Next() {
			if err := v.going(ctx); err != nil {
				yield(durable.Entry{}, err)
				return
			}
			item := it.Item()
			e := durable.Entry{Key: string(item.Key()[spaceKeyBytes:])}
			mark, err := elementOf(item, item.Key()[spaceKeyBytes:])
			if err == nil {
				seen.add(mark)
				e.Value, err = r.value(item)
			} else {
				seen.add(0)
			}
			if err != nil {
				err = fmt.Errorf("badgerstore: key %q of %s: %w", e.Key, key, err)
			}
			if !yield(e, err) {
				return
			}
		}
		if err := compare(seen, &m); err != nil {
			yield(durable.Entry{}, &wholeError{fmt.Errorf("badgerstore: %s: %w", key, err)})
		}
	}
}
