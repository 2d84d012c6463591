package durable

import (
	"context"
	"encoding/binary"
)

// stepPrefix begins the keys of the journal; the time that the alarm was set for and the step's name follow.
const stepPrefix = reserved + "s"

// MaxStepName is the longest name of a step, in bytes.
const MaxStepName = 1 << 10

func stepKey(alarm AlarmInfo, name string) string {
	key := append(make([]byte, 0, len(stepPrefix)+8+len(name)), stepPrefix...)
	return string(append(binary.BigEndian.AppendUint64(key, uint64(alarm.Scheduled.UnixMilli())), name...))
}

// Step returns what the journal has for a step of the alarm's handler, nil for nothing. A journal belongs to an alarm as it
// was set, with all its retries; that of an earlier one is not seen.
func (s *Storage) Step(ctx context.Context, alarm AlarmInfo, name string) ([]byte, error) {
	key := stepKey(alarm, name)
	s.mu.Lock()
	value, known, err := s.lookup(key)
	s.mu.Unlock()
	if known || err != nil {
		return value, err
	}
	values, err := s.backend.Get(ctx, []string{key})
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// PutStep buffers what a step came to, as Put buffers a key. The value belongs to the storage afterwards.
func (s *Storage) PutStep(alarm AlarmInfo, name string, value []byte) error {
	if len(name) > MaxStepName {
		return &LimitError{What: "name of the step", Size: len(name), Limit: MaxStepName}
	}
	if err := CheckValue(value); err != nil {
		return err
	}
	e := Entry{stepKey(alarm, name), value}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.fits([]Entry{e}); err != nil {
		return err
	}
	s.write(e.Key, e.Value)
	return nil
}

// ClearSteps buffers the deletion of all journals. It is called with AlarmSucceeded, so that both commit together.
func (s *Storage) ClearSteps(ctx context.Context) error {
	entries, err := s.list(ctx, Range{Prefix: stepPrefix})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	for i := range entries {
		entries[i].Value = nil
	}
	if err := s.fits(entries); err != nil {
		return err
	}
	for _, e := range entries {
		s.write(e.Key, nil)
	}
	return nil
}
