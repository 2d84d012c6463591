package durable

import "fmt"

// overlay holds the writes of an open transaction above the turn's.
type overlay struct {
	ops   map[string][]byte // nil: deleted
	wipe  bool              // everything below is gone
	alarm *Alarm            // nil: unchanged
}

// Begin opens a transaction: writes are kept apart, where reads see them, until Commit or Rollback. A second
// one at the same time is an error.
func (s *Storage) Begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.txn != nil {
		return fmt.Errorf("%w: one is already open", ErrTransaction)
	}
	s.txn = &overlay{ops: make(map[string][]byte)}
	return nil
}

// Commit moves the transaction's writes into the turn, so that they become durable together.
func (s *Storage) Commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	txn, err := s.endTransaction()
	if err != nil {
		return err
	}
	if txn.wipe {
		s.wipe()
	}
	for key, value := range txn.ops {
		s.write(key, value)
	}
	if txn.alarm != nil {
		s.alarm.replace(*txn.alarm)
	}
	return nil
}

// Rollback drops the transaction's writes.
func (s *Storage) Rollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.endTransaction()
	return err
}

// endTransaction takes the open transaction away. Called under mu.
func (s *Storage) endTransaction() (*overlay, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	if s.txn == nil {
		return nil, fmt.Errorf("%w: none is open", ErrTransaction)
	}
	txn := s.txn
	s.txn = nil
	return txn, nil
}
