package badgerstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Damage is something that a scrub found.
type Damage struct {
	// Actor is the one that is hurt, zero if it cannot be told.
	Actor durable.Key
	// Name is the actor's name, if it has one.
	Name string
	// Key is the key whose value is hurt. Whole is true if the damage is to the actor and not to one key.
	Key   string
	Whole bool
	// Err says what is wrong. It matches durable.ErrCorrupt.
	Err error
}

// Scrubbed counts what a scrub has looked at.
type Scrubbed struct {
	Actors  int64 `json:"actors"`
	Entries int64 `json:"entries"`
	Bytes   int64 `json:"bytes"`
	Damaged int64 `json:"damaged"`
	// Orphans are records that nothing refers to: they take room and do no harm.
	Orphans int64 `json:"orphans"`
}

// Scrub reads everything that the store holds and checks it: each value and its parts, each actor's count and
// digest. What it finds goes to found; it goes on after that. progress is called after each actor. An error means that the
// scrub did not come to its end.
func (s *Store) Scrub(ctx context.Context, found func(Damage), progress func(Scrubbed)) (Scrubbed, error) {
	v, err := s.snapshot()
	if err != nil {
		return Scrubbed{}, err
	}
	defer v.Close()
	c := &scrubber{snapshot: v, found: found, spaces: map[uint64]struct{}{}}
	if err := v.Whole(ctx); errors.Is(err, durable.ErrCorrupt) {
		c.report(Damage{Whole: true, Err: err})
	} else if err != nil {
		return c.done, err
	}
	for _, namespace := range v.Namespaces() {
		for a, err := range v.metas(ctx, namespace, nil) {
			if err != nil {
				if !errors.Is(err, durable.ErrCorrupt) {
					return c.done, err
				}
				c.report(Damage{Actor: a.key, Whole: true, Err: err})
				continue
			}
			if err := c.actor(ctx, a); err != nil {
				return c.done, err
			}
			progress(c.done)
		}
	}
	err = c.orphans(ctx)
	progress(c.done)
	return c.done, err
}

type scrubber struct {
	snapshot *Snapshot
	found    func(Damage)
	done     Scrubbed
	spaces   map[uint64]struct{} // that actors, or the sweeper, have
}

func (c *scrubber) report(d Damage) {
	c.done.Damaged++
	c.found(d)
}

func (c *scrubber) actor(ctx context.Context, a storedMeta) error {
	c.done.Actors++
	c.spaces[a.meta.space] = struct{}{}
	for e, err := range c.snapshot.Entries(ctx, a.key) {
		if err != nil && ctx.Err() != nil {
			return err
		}
		switch {
		case err == nil:
			c.done.Entries++
			c.done.Bytes += int64(len(e.Key) + len(e.Value))
		case errors.Is(err, durable.ErrClosed) || errors.Is(err, durable.ErrFailed):
			return err
		default:
			// An entry has a key, which may be empty, and comes with its own error; what is about all of them comes last.
			c.report(Damage{Actor: a.key, Name: a.meta.name, Key: e.Key, Whole: isWhole(err), Err: err})
		}
	}
	return nil
}

// isWhole reports whether an error of Snapshot.Entries is about all of an actor's entries.
func isWhole(err error) bool {
	var w *wholeError
	return errors.As(err, &w)
}

// wholeError is an error about all of an actor's entries.
type wholeError struct{ error }

func (e *wholeError) Unwrap() error { return e.error }

// orphans counts records of spaces that nobody has.
func (c *scrubber) orphans(ctx context.Context) error {
	it := c.snapshot.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{garbageTag}})
	for it.Rewind(); it.Valid(); it.Next() {
		if key := it.Item().Key(); len(key) == spaceKeyBytes {
			c.spaces[binary.BigEndian.Uint64(key[1:])] = struct{}{}
		}
	}
	it.Close()
	for _, tag := range []byte{dataTag, chunkTag} {
		if err := c.orphansOf(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

func (c *scrubber) orphansOf(ctx context.Context, tag byte) error {
	it := c.snapshot.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tag}})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		if err := c.snapshot.going(ctx); err != nil {
			return err
		}
		key := it.Item().KeyCopy(nil)
		if len(key) < spaceKeyBytes {
			return fmt.Errorf("%w: a record with the key %x", durable.ErrCorrupt, key)
		}
		if _, owned := c.spaces[binary.BigEndian.Uint64(key[1:])]; !owned {
			c.done.Orphans++
			it.Next()
			continue
		}
		if bytes.Equal(key[1:spaceKeyBytes], bytes.Repeat([]byte{0xff}, spaceKeyBytes-1)) {
			return nil
		}
		it.Seek(appendSpace(nil, tag, binary.BigEndian.Uint64(key[1:])+1)) // the next space
	}
	return nil
}
