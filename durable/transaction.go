package durable

import "fmt"

// overlay holds the writes of an open transaction above those of the transaction around it, or of the turn.
type overlay struct {
	below *overlay          // nil: the turn
	ops   map[string][]byte // nil: deleted
	cost  int               // of ops, as a batch counts them
	pages int               // the pages' part of it
	wipe  bool              // everything below is gone
	alarm *Alarm            // nil: unchanged
}

// put notes a write, or a deletion if value is nil.
func (o *overlay) put(key string, value []byte) {
	cost := writeCost(key, value)
	if old, ok := o.ops[key]; ok {
		cost -= writeCost(key, old)
	}
	o.ops[key] = value
	if o.cost += cost; isPage(key) {
		o.pages += cost
	}
}

// clear drops everything noted and below.
func (o *overlay) clear() {
	o.wipe, o.cost, o.pages = true, 0, 0
	clear(o.ops)
	o.alarm = &Alarm{}
}

// find returns the topmost write of a key. known is false if no transaction wrote it.
func (o *overlay) find(key string) (value []byte, known bool) {
	for ; o != nil; o = o.below {
		if value, ok := o.ops[key]; ok {
			return value, true
		}
		if o.wipe {
			return nil, true
		}
	}
	return nil, false
}

// wiped reports whether nothing below the open transactions is left.
func (o *overlay) wiped() bool {
	for ; o != nil; o = o.below {
		if o.wipe {
			return true
		}
	}
	return false
}

// Begin opens a transaction: writes are kept apart, where reads see them, until Commit or Rollback. Transactions nest: what
// the inner one commits belongs to the outer one.
func (s *Storage) Begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	s.txn = &overlay{below: s.txn, ops: make(map[string][]byte)}
	s.depth++
	return nil
}

// Depth returns how many transactions are open, one in the other.
func (s *Storage) Depth() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.depth
}

// Commit moves the innermost transaction's writes into the one around it or else into the turn, so that they become durable
// together.
func (s *Storage) Commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	txn, err := s.endTransaction()
	if err != nil {
		return err
	}
	if txn.wipe {
		if s.txn != nil {
			s.txn.clear()
		} else {
			s.wipe()
		}
	}
	for key, value := range txn.ops {
		s.write(key, value)
	}
	if txn.alarm != nil {
		s.setAlarm(*txn.alarm)
	}
	return nil
}

// Rollback drops the innermost transaction's writes.
func (s *Storage) Rollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.endTransaction()
	return err
}

// endTransaction takes the innermost transaction away. Called under mu.
func (s *Storage) endTransaction() (*overlay, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	if s.txn == nil {
		return nil, fmt.Errorf("%w: none is open", ErrTransaction)
	}
	txn := s.txn
	s.txn = txn.below
	s.depth--
	return txn, nil
}
