package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// group is the transaction that the committer is making. Its memory is used again for the next one.
type group struct {
	txn      *badger.Txn
	touched  []*actor
	earliest int64 // the earliest alarm indexed, noFloor if none
	litter   bool  // something is left to the sweeper
	totals   totals
	dirty    bool // something is written

	// Badger keeps references to keys, values and entries until the transaction is committed.
	bytes   []byte
	entries []badger.Entry
}

const (
	groupBytes   = 64 << 10
	groupEntries = 256
	maxKeptBytes = 1 << 20
)

// write makes the requests that were not refused durable, at timestamp ts, and reports whether there was anything to
// write. After an error the store must stop.
func (g *group) write(s *Store, requests []*request, ts uint64) (bool, error) {
	g.txn = s.db.NewTransactionAt(ts-1, true)
	defer g.txn.Discard()
	g.earliest, g.totals = noFloor, s.totals
	for _, r := range requests {
		if r.err != nil {
			continue
		}
		if r.actor == nil {
			if err := g.deleteStale(r.stale); err != nil {
				return false, err
			}
			continue
		}
		if err := g.apply(s, r); err != nil {
			return false, fmt.Errorf("write %s: %w", r.actor.key, err)
		}
	}
	for _, a := range g.touched {
		if err := g.finish(a); err != nil {
			return false, fmt.Errorf("write %s: %w", a.key, err)
		}
	}
	if !g.dirty {
		return false, nil
	}
	key := append(g.room(1), totalsTag)
	payload := g.totals.append(g.room(totalsBytes))
	if err := g.set(key, g.sealed(bind(0, key), kindFact, payload), kindFact); err != nil {
		return false, err
	}
	failpoint("group made")
	if err := s.commitAt(g.txn, ts); err != nil {
		return false, fmt.Errorf("commit group %d: %w", ts, err)
	}
	failpoint("group synced")
	if err := s.highWater.note(mark{seq: ts}); err != nil {
		return false, fmt.Errorf("commit group %d: %w", ts, err)
	}
	failpoint("group noted")
	s.totals = g.totals
	return true, nil
}

// reset drops what was committed and keeps the memory.
func (g *group) reset() {
	for _, a := range g.touched {
		a.touched = false
	}
	clear(g.touched)
	clear(g.entries)
	*g = group{touched: g.touched[:0], entries: g.entries[:0], bytes: g.bytes[:0]}
	if cap(g.bytes) > maxKeptBytes {
		g.bytes = nil
	}
}

// apply adds one batch.
func (g *group) apply(s *Store, r *request) error {
	a, b := r.actor, &r.batch
	if err := g.touch(s, a); err != nil {
		return err
	}
	if b.DeleteAll && a.meta.keys > 0 {
		if err := g.discard(appendSpace(g.room(spaceKeyBytes), garbageTag, a.meta.space)); err != nil {
			return err
		}
		a.meta.space, a.meta.keys, a.meta.bytes, a.meta.digest = 0, 0, 0, 0
	}
	for i := range b.Ops {
		if err := g.applyOp(s, a, &b.Ops[i]); err != nil {
			return err
		}
	}
	a.meta.seq++
	a.meta.epoch = b.Fence.Epoch
	if b.Alarm != nil {
		a.meta.setAlarm(*b.Alarm)
	}
	if b.Name != "" {
		a.meta.name = b.Name
	}
	return nil
}

// touch notes that the group writes an actor, and numbers its namespace if it has no number yet.
func (g *group) touch(s *Store, a *actor) error {
	if !a.touched {
		a.touched = true
		g.touched = append(g.touched, a)
	}
	if a.namespace != 0 {
		return nil
	}
	s.mu.Lock()
	number, known := s.namespaces[a.key.Namespace]
	if !known {
		number = uint32(len(s.namespaces) + 1)
		s.addNamespace(a.key.Namespace, number)
	}
	s.mu.Unlock()
	a.setNamespace(number)
	if known {
		return nil
	}
	key := append(append(g.room(1+len(a.key.Namespace)), namespaceTag), a.key.Namespace...)
	var payload [4]byte
	binary.BigEndian.PutUint32(payload[:], number)
	envelope := g.sealed(bind(0, key), kindFact, payload[:])
	mark, err := element(key, envelope)
	if err != nil {
		return err
	}
	g.totals.add(mark)
	return g.set(key, envelope, kindFact)
}

// applyOp adds one write.
func (g *group) applyOp(s *Store, a *actor, op *durable.Op) error {
	if a.meta.space == 0 {
		if op.Delete {
			return nil
		}
		a.meta.space = s.nextNumber()
	}
	key := appendDataKey(g.room(spaceKeyBytes+len(op.Key)), a.meta.space, op.Key)
	if a.meta.keys > 0 {
		old, err := g.measure(a, key)
		if err != nil {
			return err
		}
		if old.exists {
			a.meta.keys--
			a.meta.bytes -= int64(len(op.Key) + old.size)
			a.meta.digest -= old.mark
			if old.chunks != 0 {
				garbage := appendGarbageChunksKey(g.room(spaceKeyBytes+8), a.meta.space, old.chunks)
				if err := g.discard(garbage); err != nil {
					return err
				}
			}
			if op.Delete {
				return g.delete(key)
			}
		}
	}
	if op.Delete {
		return nil
	}
	a.meta.keys++
	a.meta.bytes += int64(len(op.Key) + len(op.Value))
	binding := bind(a.binding, key[spaceKeyBytes:])
	if len(op.Value) <= chunkBytes {
		return g.setData(a, key, g.sealed(binding, kindWhole, op.Value), kindWhole)
	}
	head := chunkHead{size: len(op.Value), chunks: s.nextNumber()}
	if err := g.setChunks(a, head, op.Value); err != nil {
		return err
	}
	payload := head.append(g.room(chunkHeadBytes))
	return g.setData(a, key, g.sealed(binding, kindHead, payload), kindHead)
}

// setData adds the record of one of the actor's keys, and counts it in.
func (g *group) setData(a *actor, key, envelope []byte, kind byte) error {
	mark, err := element(key[spaceKeyBytes:], envelope)
	if err != nil {
		return err
	}
	a.meta.digest += mark
	return g.set(key, envelope, kind)
}

// setChunks adds the parts of a large value.
func (g *group) setChunks(a *actor, head chunkHead, value []byte) error {
	for i := 0; len(value) > 0; i++ {
		part := value[:min(chunkBytes, len(value))]
		value = value[len(part):]
		key := appendChunkKey(g.room(spaceKeyBytes+10), a.meta.space, head.chunks, i)
		if err := g.set(key, g.sealed(bind(a.binding, key), kindChunk, part), kindChunk); err != nil {
			return err
		}
	}
	return nil
}

// measured is what a write replaces.
type measured struct {
	exists bool
	size   int
	chunks uint64 // 0 unless the value is chunked
	mark   digest
}

// measure looks up what is stored at a key, this group's own writes included.
func (g *group) measure(a *actor, key []byte) (measured, error) {
	item, err := g.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return measured{}, nil
	}
	if err != nil {
		return measured{}, fmt.Errorf("read the value replaced: %w", err)
	}
	m := measured{exists: true}
	err = item.Value(func(envelope []byte) error {
		var err error
		if m.mark, err = element(key[spaceKeyBytes:], envelope); err != nil {
			return err
		}
		m.size = len(envelope) - envelopeBytes
		if item.UserMeta() == kindWhole {
			return nil
		}
		payload, err := unseal(envelope, bind(a.binding, key[spaceKeyBytes:]), kindHead)
		if err != nil {
			return err
		}
		head, err := parseChunkHead(payload)
		m.size, m.chunks = head.size, head.chunks
		return err
	})
	if err != nil {
		return measured{}, fmt.Errorf("read the value replaced: %w", err)
	}
	return m, nil
}

// finish adds an actor's meta and its place in the index of alarms.
func (g *group) finish(a *actor) error {
	if a.stored != a.meta.due {
		if a.stored != 0 {
			if err := g.delete(appendAlarmKey(g.room(alarmKeyBytes), a.stored, a.namespace, a.key.ID)); err != nil {
				return err
			}
		}
		if a.meta.due != 0 {
			key := appendAlarmKey(g.room(alarmKeyBytes), a.meta.due, a.namespace, a.key.ID)
			if err := g.set(key, g.sealed(bind(0, key), kindFact, nil), kindFact); err != nil {
				return err
			}
			g.earliest = min(g.earliest, a.meta.due)
		}
		a.stored = a.meta.due
	}
	key := appendMetaKey(g.room(metaKeyBytes), a.namespace, a.key.ID)
	if a.onDisk {
		g.totals.remove(a.mark)
	}
	if a.meta.empty() {
		if !a.onDisk {
			return nil
		}
		a.onDisk = false
		return g.delete(key)
	}
	a.onDisk = true
	payload := a.meta.append(g.room(metaFixedBytes + len(a.meta.name)))
	envelope := g.sealed(bind(0, key), kindMeta, payload)
	var err error
	if a.mark, err = element(key, envelope); err != nil {
		return err
	}
	g.totals.add(a.mark)
	return g.set(key, envelope, kindMeta)
}

// discard leaves a space or a value's chunks to the sweeper.
func (g *group) discard(key []byte) error {
	g.litter = true
	return g.set(key, g.sealed(bind(0, key), kindFact, nil), kindFact)
}

func (g *group) deleteStale(keys [][]byte) error {
	for _, key := range keys {
		if err := g.delete(key); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

// set adds one record. Key and value must be the group's or immutable.
func (g *group) set(key, value []byte, kind byte) error {
	if len(g.entries) == cap(g.entries) {
		g.entries = make([]badger.Entry, 0, groupEntries)
	}
	g.entries = append(g.entries, badger.Entry{Key: key, Value: value, UserMeta: kind})
	g.dirty = true
	return g.txn.SetEntry(&g.entries[len(g.entries)-1])
}

// delete removes one record. The key must be the group's or immutable.
func (g *group) delete(key []byte) error {
	g.dirty = true
	return g.txn.Delete(key)
}

// sealed returns an envelope in the group's memory.
func (g *group) sealed(binding uint32, kind byte, payload []byte) []byte {
	return seal(g.room(envelopeBytes+len(payload)), binding, kind, payload)
}

// room returns an empty slice with space for n bytes of the group's memory.
func (g *group) room(n int) []byte {
	if cap(g.bytes)-len(g.bytes) < n {
		g.bytes = make([]byte, 0, max(n, groupBytes))
	}
	at := len(g.bytes)
	g.bytes = g.bytes[:at+n]
	return g.bytes[at : at : at+n]
}
