package durable

import "context"

// Flush ends a turn: the buffered writes become one batch, or, if they are many pages, several that count as one (large.go),
// handed to the backend. It does nothing if there are none, or if the storage is broken. Writes of an open transaction stay
// where they are. It waits only when too much is in flight.
func (s *Storage) Flush() {
	s.mu.Lock()
	alarm := s.alarm.take()
	if s.broken != nil || len(s.turn) == 0 && !s.turnWipe && alarm == nil {
		s.mu.Unlock()
		return
	}
	var one [1]launch
	list := one[:0]
	if s.maxBatch > 0 && BatchOverhead+len(s.name)+s.turnCost > s.maxBatch {
		list = s.launchLarge(alarm) // a turn that deletes all keys is never let grow so large
	} else {
		b := Batch{DeleteAll: s.turnWipe, Alarm: alarm, Name: s.name, Ops: make([]Op, len(s.turn))}
		for i, e := range s.turn {
			b.Ops[i] = writeOf(e)
		}
		list = s.launch(list, b, s.turn)
	}
	s.turn, s.turnCost, s.turnPages, s.turnWipe, s.name = nil, 0, 0, false, ""
	s.mu.Unlock()
	s.hand(list)

	s.mu.Lock()
	for s.inFlight > maxInFlightBytes && s.broken == nil {
		s.landed.Wait()
	}
	s.mu.Unlock()
}

// Gate calls fn once everything flushed so far is durable: at once if nothing is in flight, else from another
// goroutine, in the order of the calls. If it cannot become durable any more fn gets the error, and whatever waited
// behind the gate must not leave the actor.
func (s *Storage) Gate(fn func(error)) {
	s.mu.Lock()
	if n := len(s.flights); n > 0 && s.broken == nil {
		f := s.flights[n-1]
		f.gates = append(f.gates, fn)
		s.mu.Unlock()
		return
	}
	if s.opening {
		s.open = append(s.open, opened{fn, s.broken}) // behind those that are being called
		s.mu.Unlock()
		return
	}
	err := s.broken
	s.mu.Unlock()
	fn(err)
}

// Sync flushes the turn and waits until it is durable. An error of ctx says nothing about durability.
func (s *Storage) Sync(ctx context.Context) error {
	s.Flush()
	return s.settled(ctx)
}

// settled waits until everything flushed so far is durable.
func (s *Storage) settled(ctx context.Context) error {
	done := make(chan error, 1)
	s.Gate(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pending reports whether a batch is in flight or a write is buffered.
func (s *Storage) Pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.flights) > 0 || len(s.turn) > 0 || s.turnWipe || s.alarm.changed || s.txn != nil
}

// Broken returns nil, or the error that every call fails with. It matches ErrReset and the cause.
func (s *Storage) Broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Break makes the storage broken: gates that still wait get the error, buffered writes are dropped, and
// every later call fails. Batches in flight may still become durable. The first cause stays.
func (s *Storage) Break(cause error) {
	s.mu.Lock()
	gates := s.fail(cause)
	s.pass(gates, s.broken)
}

// opened is a gate that is to be called with err.
type opened struct {
	fn  func(error)
	err error
}

// pass calls gates with err, after those that are being called. It is called under mu and returns without it.
func (s *Storage) pass(gates []func(error), err error) {
	for _, fn := range gates {
		s.open = append(s.open, opened{fn, err})
	}
	if s.opening {
		s.mu.Unlock()
		return
	}
	for len(s.open) > 0 {
		next := s.open
		s.open, s.opening = nil, true
		s.mu.Unlock()
		for _, g := range next {
			g.fn(g.err)
		}
		s.mu.Lock()
	}
	s.opening = false
	s.mu.Unlock()
}

// acknowledge takes the outcome of the oldest batch in flight.
func (s *Storage) acknowledge(f *flight, err error) {
	s.mu.Lock()
	if s.broken != nil {
		s.mu.Unlock()
		return
	}
	if err != nil {
		gates := s.fail(err)
		s.pass(gates, s.broken)
		return
	}
	s.pass(s.land(f), nil)
}

// land makes a batch's entries clean and returns its gates. Called under mu.
func (s *Storage) land(f *flight) []func(error) {
	s.flights[0] = nil
	s.flights = s.flights[1:]
	s.inFlight -= f.bytes
	if f.wipe {
		s.wipes--
	}
	for _, e := range f.entries {
		if !e.dropped && e.seq == f.seq && !e.inTurn {
			s.cache.settle(e)
			if isPage(e.key) {
				s.cache.drop(e) // whoever reads pages keeps them
			}
		}
	}
	s.cache.trim()
	s.landed.Broadcast()
	return f.gates
}

// fail breaks the storage, if it is not broken yet, and returns the gates to call. Called under mu.
func (s *Storage) fail(cause error) []func(error) {
	if s.broken != nil {
		return nil
	}
	s.broken = asReset(cause)
	var gates []func(error)
	for _, f := range s.flights {
		gates = append(gates, f.gates...)
	}
	s.flights, s.turn, s.turnCost, s.turnPages, s.txn, s.depth = nil, nil, 0, 0, nil, 0
	s.cache.reset()
	s.landed.Broadcast()
	return gates
}
