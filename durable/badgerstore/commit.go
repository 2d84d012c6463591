package badgerstore

import (
	"fmt"
	"runtime"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// request is a batch on its way through the committer, or keys to delete for the sweeper.
type request struct {
	batch durable.Batch
	actor *actor // nil for the sweeper
	stale [][]byte
	cost  int
	err   error // the batch was refused; it only waits for its turn to be told
	done  func(error)
}

// outcome is what one caller is to be told.
type outcome struct {
	done func(error)
	err  error
}

// Commit implements durable.Engine. Each call of done comes from the same goroutine and must not block.
func (s *Store) Commit(b durable.Batch, done func(error)) {
	cost, err := s.batchCost(&b)
	if err == nil {
		err = s.noRoom()
	}
	s.mu.Lock()
	if stopped := s.usable(); stopped != nil {
		s.mu.Unlock()
		go done(stopped)
		return
	}
	r := &request{batch: b, cost: cost, err: err, done: done}
	if err == nil {
		r.actor, r.err = s.accept(&b)
	}
	s.enqueue(r)
	s.mu.Unlock()
}

// enqueue hands a request to the committer. Called under mu.
func (s *Store) enqueue(r *request) {
	s.queue = append(s.queue, r)
	s.queued++
	if len(s.queue) == 1 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// accept checks a batch's fence and order and counts it in. Called under mu.
func (s *Store) accept(b *durable.Batch) (*actor, error) {
	a := s.actors[b.Fence.Actor]
	if a == nil || a.epoch != b.Fence.Epoch || b.Fence.Epoch == 0 {
		return nil, durable.ErrFenced
	}
	if b.Seq != 0 && b.Seq != a.seq+1 {
		return nil, fmt.Errorf("%w: batch %d after %d", durable.ErrFenced, b.Seq, a.seq)
	}
	a.seq++
	a.pending++
	return a, nil
}

// batchCost measures a batch and refuses one that is too large: a group must stay within what one Badger transaction may
// hold.
func (s *Store) batchCost(b *durable.Batch) (int, error) {
	for i := range b.Ops {
		op := &b.Ops[i]
		if err := durable.CheckKey(op.Key); err != nil {
			return 0, err
		}
		if err := durable.CheckValue(op.Value); err != nil {
			return 0, err
		}
	}
	cost := b.Cost()
	if cost > s.maxBatch {
		return 0, &durable.LimitError{What: "batch", Size: cost, Limit: s.maxBatch}
	}
	return cost, nil
}

// commitGroups is the committer: until the store closes it makes what has arrived into groups, one transaction
// each.
func (s *Store) commitGroups() {
	defer close(s.acks)
	var backlog []*request
	pause := time.Duration(0) // before the next try to open a failed database anew
	for closing := false; !closing; {
		var retry <-chan time.Time
		if s.Failed() == nil {
			pause = 0
		} else {
			if pause == 0 {
				pause = s.reviveAfter
			}
			retry = time.After(pause)
		}
		select {
		case <-s.wake:
		case <-retry:
			s.revive()
			pause = min(2*pause, maxReviveAfter)
		case <-s.closing:
			closing = true // what is left has failed already
		}
		for {
			// Whoever is ready to run may hand over a batch as well: a larger group shares one sync. On an idle machine
			// this returns at once.
			runtime.Gosched()
			s.mu.Lock()
			backlog = append(backlog, s.queue...)
			clear(s.queue)
			s.queue = s.queue[:0]
			s.mu.Unlock()
			if len(backlog) == 0 {
				break
			}
			n := s.groupSize(backlog)
			s.commitGroup(backlog[:n])
			rest := copy(backlog, backlog[n:])
			clear(backlog[rest:])
			backlog = backlog[:rest]
		}
	}
}

// groupSize returns how many requests fit one transaction: at least one.
func (s *Store) groupSize(requests []*request) int {
	total := requests[0].cost
	n := 1
	for n < len(requests) && total+requests[n].cost <= s.maxBatch {
		total += requests[n].cost
		n++
	}
	return n
}

// commitGroup makes requests durable and passes their outcomes on.
func (s *Store) commitGroup(requests []*request) {
	err := s.Failed()
	ts := s.durableTS + 1 // only this goroutine changes it
	wrote := false
	if err == nil {
		if wrote, err = s.group.write(s, requests, ts); err != nil {
			s.fail(err)
			err = s.Failed()
		}
	}
	outcomes := make([]outcome, len(requests))
	s.mu.Lock()
	if wrote {
		s.durableTS = ts
	}
	if err == nil {
		for _, a := range s.group.touched {
			a.space = a.meta.space
		}
	}
	for i, r := range requests {
		outcomes[i] = outcome{done: r.done, err: r.err}
		if err != nil {
			outcomes[i].err = err
		}
		if r.actor != nil {
			s.settle(r.actor)
		}
	}
	s.queued -= len(requests)
	if s.queued == 0 {
		s.quiet.Broadcast()
	}
	s.mu.Unlock()
	if err == nil {
		s.indexed(s.group.earliest)
		if s.group.litter {
			select {
			case s.litter <- struct{}{}:
			default:
			}
		}
	}
	s.group.reset()
	s.acks <- outcomes
}

// settle counts a batch out. Called under mu.
func (s *Store) settle(a *actor) {
	a.pending--
	if a.pending > 0 {
		return
	}
	if a.drained != nil {
		close(a.drained)
		a.drained = nil
	}
	if a.released && s.actors[a.key] == a {
		delete(s.actors, a.key)
	}
}

// acknowledge tells callers their outcomes, apart from the committer, which is already at the next group.
func (s *Store) acknowledge() {
	for outcomes := range s.acks {
		for _, o := range outcomes {
			o.done(o.err)
		}
	}
}
