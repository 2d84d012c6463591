package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// reader reads one actor's keys at one point in time.
type reader struct {
	txn     *badger.Txn
	end     func()
	space   uint64
	binding uint32
}

// read begins a reader, unless the fence is outdated.
func (s *Store) read(f durable.Fence) (reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return reader{}, err
	}
	a := s.actors[f.Actor]
	if a == nil || a.epoch != f.Epoch || f.Epoch == 0 {
		return reader{}, durable.ErrFenced
	}
	r := reader{space: a.space}
	if a.space != 0 {
		var b [actorBytes]byte
		r.binding = bind(0, appendActor(b[:0], s.namespaces[f.Actor.Namespace], f.Actor.ID))
	}
	r.txn, r.end = s.beginRead()
	return r, nil
}

// Get implements durable.Engine.
func (s *Store) Get(_ context.Context, f durable.Fence, keys []string) ([][]byte, error) {
	r, err := s.read(f)
	if err != nil {
		return nil, err
	}
	defer r.end()
	values := make([][]byte, len(keys))
	if r.space == 0 {
		return values, nil
	}
	for i, key := range keys {
		if values[i], err = r.get(key); err != nil {
			return nil, fmt.Errorf("badgerstore: get %q of %s: %w", key, f.Actor, err)
		}
	}
	return values, nil
}

func (r reader) get(key string) ([]byte, error) {
	item, err := r.txn.Get(appendDataKey(make([]byte, 0, spaceKeyBytes+len(key)), r.space, key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.value(item)
}

// Scan implements durable.Engine.
func (s *Store) Scan(ctx context.Context, f durable.Fence, rng durable.Range) ([]durable.Entry, error) {
	if err := rng.Validate(); err != nil {
		return nil, err
	}
	r, err := s.read(f)
	if err != nil {
		return nil, err
	}
	defer r.end()
	if r.space == 0 {
		return nil, nil
	}
	entries, err := r.scan(ctx, rng)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: scan %s: %w", f.Actor, err)
	}
	return entries, nil
}

func (r reader) scan(ctx context.Context, rng durable.Range) ([]durable.Entry, error) {
	from, ok := firstKey(rng)
	if !ok {
		return nil, nil
	}
	it := r.txn.NewIterator(badger.IteratorOptions{
		Prefix:  appendDataKey(nil, r.space, rng.Prefix),
		Reverse: rng.Reverse,
	})
	defer it.Close()
	var entries []durable.Entry
	for it.Seek(appendDataKey(nil, r.space, from)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		item := it.Item()
		key := string(item.Key()[spaceKeyBytes:])
		if !rng.Contains(key) {
			if pastEnd(rng, key) {
				break
			}
			continue
		}
		value, err := r.value(item)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		entries = append(entries, durable.Entry{Key: key, Value: value})
		if len(entries) == rng.Limit {
			break
		}
	}
	return entries, nil
}

// firstKey returns where a scan begins, in its direction, and false if it can only be empty.
func firstKey(rng durable.Range) (string, bool) {
	if !rng.Reverse {
		return max(rng.Start, rng.StartAfter, rng.Prefix), true
	}
	if rng.End != "" {
		if strings.HasPrefix(rng.End, rng.Prefix) {
			return rng.End, true
		}
		if rng.End < rng.Prefix {
			return "", false
		}
	}
	// No key with the prefix is above the prefix followed by as many of the largest byte as a key can hold.
	return rng.Prefix + strings.Repeat("\xff", durable.MaxKeyBytes+1), true
}

// pastEnd reports whether no later key of a scan can lie in the range.
func pastEnd(rng durable.Range, key string) bool {
	if rng.Reverse {
		return key < rng.Start || rng.StartAfter != "" && key <= rng.StartAfter
	}
	return rng.End != "" && key >= rng.End
}

// value returns a copy of an item's value, its parts put together.
func (r reader) value(item *badger.Item) ([]byte, error) {
	binding := bind(r.binding, item.Key()[spaceKeyBytes:])
	kind := item.UserMeta()
	payload, err := openItem(item, binding, kind)
	if err != nil || kind == kindWhole {
		return payload, err
	}
	if kind != kindHead {
		return nil, fmt.Errorf("%w: kind %d", durable.ErrCorrupt, kind)
	}
	head, err := parseChunkHead(payload)
	if err != nil {
		return nil, err
	}
	value := make([]byte, 0, head.size)
	for i := range head.count() {
		key := appendChunkKey(nil, r.space, head.chunks, i)
		part, err := r.txn.Get(key)
		if err != nil {
			return nil, fmt.Errorf("%w: chunk %d of %d: %w", durable.ErrCorrupt, i, head.count(), err)
		}
		payload, err := openItem(part, bind(r.binding, key), kindChunk)
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", i, err)
		}
		value = append(value, payload...)
	}
	if len(value) != head.size {
		return nil, fmt.Errorf("%w: %d bytes in chunks instead of %d", durable.ErrCorrupt, len(value), head.size)
	}
	return value, nil
}

// openItem returns a copy of the payload of an item's envelope, never nil.
func openItem(item *badger.Item, binding uint32, kind byte) ([]byte, error) {
	var payload []byte
	err := item.Value(func(envelope []byte) error {
		p, err := unseal(envelope, binding, kind)
		payload = bytes.Clone(p)
		return err
	})
	if payload == nil {
		payload = []byte{}
	}
	return payload, err
}
