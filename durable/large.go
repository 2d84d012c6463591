package durable

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
)

// A turn whose pages are more than one batch takes is made durable in several, none of which shows before all of it is there.
//
//  1. The pages are written aside, to the log, in as many batches as they need.
//  2. One batch writes the turn's keys, its alarm and the log's head: with it the turn is durable.
//  3. The pages are written to their places, in several batches.
//  4. The head is deleted, and with and after it the log.
//
// Who finds a head begins again with the third step, before any page is read; who finds a log without a head deletes it.

// The keys of the log lie before those of pages. That of a page logged has its number and what is to be done with it.
const (
	logHead   = reserved + "a"
	logPrefix = reserved + "b"
	logWrite  = 'w'
	logDelete = 'd'
)

// maxTurn is the most that the pages of one turn may cost, whatever the store takes at once; they are all in memory.
const maxTurn = 16 << 20

// largestTurn is what one turn may cost if much of it is pages.
func (s *Storage) largestTurn() int { return max(s.maxBatch, min(4*s.maxBatch, maxTurn)) }

// logRoom is what the head's batch needs beside the turn's keys.
const logRoom = WriteOverhead + len(logHead) + 4

func logKey(number uint32, deleted bool) string {
	b := binary.BigEndian.AppendUint32(append(make([]byte, 0, len(logPrefix)+5), logPrefix...), number)
	if deleted {
		return string(append(b, logDelete))
	}
	return string(append(b, logWrite))
}

func logged(e *entry) string {
	return logKey(binary.BigEndian.Uint32([]byte(e.key[len(pagePrefix):])), e.value == nil)
}

// launch is a batch with its flight, to be handed to the backend in this order and without mu.
type launch struct {
	batch  Batch
	flight *flight
}

// launch counts a batch as handed over. Called under mu.
func (s *Storage) launch(list []launch, b Batch, entries []*entry) []launch {
	s.seq++
	b.Fence, b.Seq = s.fence, s.seq
	f := &flight{seq: s.seq, entries: entries, wipe: b.DeleteAll, bytes: b.Cost()}
	for _, e := range entries {
		e.seq, e.inTurn = s.seq, false
	}
	s.flights = append(s.flights, f)
	s.inFlight += f.bytes
	return append(list, launch{b, f})
}

// hand hands batches to the backend.
func (s *Storage) hand(list []launch) {
	for i := range list {
		f := list[i].flight
		s.backend.Commit(list[i].batch, func(err error) { s.acknowledge(f, err) })
	}
}

// split launches writes in as many batches as they need. entries, if not nil, are those that the writes carry. Called under mu.
func (s *Storage) split(list []launch, ops []Op, entries []*entry) []launch {
	for from := 0; from < len(ops); {
		to, cost := from, BatchOverhead
		for to < len(ops) && (to == from || cost+writeCost(ops[to].Key, ops[to].Value) <= s.maxBatch) {
			cost += writeCost(ops[to].Key, ops[to].Value)
			to++
		}
		var carried []*entry
		if entries != nil {
			carried = entries[from:to]
		}
		list = s.launch(list, Batch{Ops: ops[from:to]}, carried)
		from = to
	}
	return list
}

func writeOf(e *entry) Op { return Op{Key: e.key, Value: e.value, Delete: e.value == nil} }

// launchLarge launches the turn in several batches. Called under mu.
func (s *Storage) launchLarge(alarm *Alarm) []launch {
	var pages, others []*entry
	for _, e := range s.turn {
		if isPage(e.key) {
			pages = append(pages, e)
		} else {
			others = append(others, e)
		}
	}
	log := make([]Op, len(pages))
	for i, e := range pages {
		log[i] = Op{Key: logged(e), Value: e.value}
		if e.value == nil {
			log[i].Value = []byte{}
		}
	}
	list := s.split(nil, log, nil)
	head := Batch{Alarm: alarm, Name: s.name, Ops: make([]Op, 0, len(others)+1)}
	for _, e := range others {
		head.Ops = append(head.Ops, writeOf(e))
	}
	head.Ops = append(head.Ops, Op{Key: logHead, Value: binary.BigEndian.AppendUint32(nil, uint32(len(pages)))})
	return s.launchLog(s.launch(list, head, others), pages)
}

// launchLog launches what follows once the head is written. Called under mu.
func (s *Storage) launchLog(list []launch, pages []*entry) []launch {
	writes := make([]Op, len(pages))
	gone := make([]Op, 1, len(pages)+1)
	gone[0] = Op{Key: logHead, Delete: true}
	for i, e := range pages {
		writes[i] = writeOf(e)
		gone = append(gone, Op{Key: logged(e), Delete: true})
	}
	return s.split(s.split(list, writes, pages), gone, nil)
}

// recover brings the pages to the state of the last turn that is durable, before the first one is read.
func (s *Storage) recover(ctx context.Context) error {
	s.mu.Lock()
	ready := s.recovered || s.wipes > 0
	s.recovered = s.recovered || ready
	err := s.broken
	s.mu.Unlock()
	if ready || err != nil {
		return err
	}
	found, err := s.backend.Scan(ctx, Range{Start: logHead, End: pagePrefix})
	if err != nil {
		return err
	}
	var list []launch
	s.mu.Lock()
	if len(found) > 0 {
		if list, err = s.takeLog(found); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	s.recovered = true
	s.mu.Unlock()
	s.hand(list)
	return nil
}

// takeLog launches what has to be done with a log that was found. Called under mu.
func (s *Storage) takeLog(found []Entry) ([]launch, error) {
	if found[0].Key != logHead {
		gone := make([]Op, len(found))
		for i, e := range found {
			gone[i] = Op{Key: e.Key, Delete: true}
		}
		return s.split(nil, gone, nil), nil
	}
	head, found := found[0].Value, found[1:]
	if len(head) != 4 || int(binary.BigEndian.Uint32(head)) != len(found) {
		return nil, fmt.Errorf("%w: the log of a turn has %d pages and the head %x", ErrCorrupt, len(found), head)
	}
	values := make(map[string][]byte, len(found))
	for _, e := range found {
		at := len(logPrefix) + 4
		if len(e.Key) != at+1 || e.Key[at] != logWrite && e.Key[at] != logDelete {
			return nil, fmt.Errorf("%w: %q is not the key of a page logged", ErrCorrupt, e.Key)
		}
		value := e.Value
		if e.Key[at] == logDelete {
			value = nil
		}
		values[pagePrefix+e.Key[len(logPrefix):at]] = value
	}
	pages := make([]*entry, 0, len(values))
	for key := range maps.Keys(values) {
		pages = append(pages, s.cache.write(key, values[key]))
	}
	return s.launchLog(nil, pages), nil
}
