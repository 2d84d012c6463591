package badgerstore

import (
	"context"
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

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
	mark      digest // its element, among the totals
	touched   bool   // by the group being made
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
	state := a.meta.state()
	state.MaxBatch = s.maxBatch
	return durable.Fence{Actor: key, Epoch: epoch}, state, nil
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
		if err := s.load(ctx, a, epoch); err != nil {
			return err
		}
	}
	a.seq, a.space = a.meta.seq, a.meta.space
	return nil
}

// load reads an actor's meta and looks whether its keys are all there. Called under mu, which it gives up meanwhile.
func (s *Store) load(ctx context.Context, a *actor, epoch uint64) error {
	namespace := s.namespaces[a.key.Namespace]
	var m meta
	var mark digest
	found := false
	if namespace != 0 {
		txn, end := s.beginRead()
		s.mu.Unlock()
		var err error
		m, mark, found, err = readMeta(txn, namespace, a.key.ID)
		if err == nil {
			err = s.verify(ctx, txn, namespace, a.key.ID, &m)
		}
		end()
		s.mu.Lock()
		if err != nil {
			return err
		}
		if a.epoch != epoch {
			return durable.ErrFenced
		}
	}
	if !found {
		if err := s.awaitCheck(ctx); err != nil {
			return err
		}
		if a.epoch != epoch {
			return durable.ErrFenced
		}
	}
	if m.epoch >= epoch {
		return fmt.Errorf("%w: epoch %#x is stored, but %#x is the newest given out", durable.ErrCorrupt, m.epoch, epoch)
	}
	a.meta, a.onDisk, a.mark, a.stored, a.loaded = m, found, mark, m.due, true
	a.setNamespace(namespace)
	return nil
}

// setNamespace notes the namespace's number and what the actor's values are bound to.
func (a *actor) setNamespace(namespace uint32) {
	a.namespace = namespace
	var b [actorBytes]byte
	a.binding = bind(0, appendActor(b[:0], namespace, a.key.ID))
}

// readMeta reads an actor's meta record and its element.
func readMeta(txn *badger.Txn, namespace uint32, id durable.ID) (m meta, mark digest, found bool, err error) {
	key := appendMetaKey(make([]byte, 0, metaKeyBytes), namespace, id)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return meta{}, 0, false, nil
	}
	if err != nil {
		return meta{}, 0, false, fmt.Errorf("read meta: %w", err)
	}
	m, mark, err = openMeta(item, key)
	if err != nil {
		return meta{}, 0, false, fmt.Errorf("read meta: %w", err)
	}
	return m, mark, true, nil
}

// openMeta reads a meta record and its element.
func openMeta(item *badger.Item, key []byte) (m meta, mark digest, err error) {
	err = item.Value(func(envelope []byte) error {
		payload, err := unseal(envelope, bind(0, key), kindMeta)
		if err != nil {
			return err
		}
		if m, err = parseMeta(payload); err != nil {
			return err
		}
		mark, err = element(key, envelope)
		return err
	})
	return m, mark, err
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
func (s *Store) List(ctx context.Context, namespace string, after *durable.ID, limit int) ([]durable.ID, error) {
	s.mu.Lock()
	if err := s.awaitCheck(ctx); err != nil {
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
