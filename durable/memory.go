package durable

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a Store that keeps everything in memory and is durable for nobody: the twin of the real engines
// for tests. Acknowledgements come from one goroutine, in order.
type Memory struct {
	mu     sync.Mutex
	actors map[Key]*memoryActor
	epoch  uint64
	queue  []func()
	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	closed bool
}

type memoryActor struct {
	epoch uint64 // 0: nobody holds it
	state State
	data  map[string][]byte
}

// NewMemory returns an empty store. Close ends its goroutine.
func NewMemory() *Memory {
	m := &Memory{
		actors: make(map[Key]*memoryActor),
		epoch:  1 << 32,
		wake:   make(chan struct{}, 1),
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go m.acknowledge()
	return m
}

// acknowledge runs the queued callbacks until Close.
func (m *Memory) acknowledge() {
	defer close(m.done)
	for stopping := false; ; {
		m.mu.Lock()
		queue := m.queue
		m.queue = nil
		m.mu.Unlock()
		for _, call := range queue {
			call()
		}
		if len(queue) > 0 {
			continue
		}
		if stopping {
			return
		}
		select {
		case <-m.wake:
		case <-m.stop:
			stopping = true
		}
	}
}

// Acquire implements Placement.
func (m *Memory) Acquire(_ context.Context, key Key) (Fence, State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Fence{}, State{}, ErrClosed
	}
	a := m.actors[key]
	if a == nil {
		a = &memoryActor{data: make(map[string][]byte)}
		m.actors[key] = a
	}
	m.epoch++
	a.epoch = m.epoch
	return Fence{Actor: key, Epoch: m.epoch}, a.state, nil
}

// Release implements Placement.
func (m *Memory) Release(f Fence) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.actors[f.Actor]; a != nil && a.epoch == f.Epoch {
		a.epoch = 0
	}
}

// List implements Placement.
func (m *Memory) List(_ context.Context, namespace string, after *ID, limit int) ([]ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []ID
	for key, a := range m.actors {
		stores := a.state.Keys > 0 || !a.state.Alarm.IsZero()
		if key.Namespace == namespace && stores && (after == nil || bytes.Compare(key.ID[:], after[:]) > 0) {
			ids = append(ids, key.ID)
		}
	}
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	return ids[:min(limit, len(ids))], nil
}

// Get implements Engine.
func (m *Memory) Get(_ context.Context, f Fence, keys []string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.held(f)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = a.data[key]
	}
	return values, nil
}

// Scan implements Engine.
func (m *Memory) Scan(_ context.Context, f Fence, r Range) ([]Entry, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.held(f)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for key, value := range a.data {
		if r.Contains(key) {
			entries = append(entries, Entry{Key: key, Value: value})
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return compareKeys(a.Key, b.Key, r.Reverse) })
	if r.Limit > 0 && len(entries) > r.Limit {
		entries = entries[:r.Limit]
	}
	return entries, nil
}

// Commit implements Engine.
func (m *Memory) Commit(b Batch, done func(error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.apply(b)
	if m.closed {
		go done(ErrClosed)
		return
	}
	m.queue = append(m.queue, func() { done(err) })
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// held returns the actor if f is its current fence. Called under mu.
func (m *Memory) held(f Fence) (*memoryActor, error) {
	if m.closed {
		return nil, ErrClosed
	}
	a := m.actors[f.Actor]
	if a == nil || a.epoch != f.Epoch || f.Epoch == 0 {
		return nil, ErrFenced
	}
	return a, nil
}

// apply makes a batch visible or refuses it. Called under mu.
func (m *Memory) apply(b Batch) error {
	a, err := m.held(b.Fence)
	if err != nil {
		return err
	}
	if b.Seq != 0 && b.Seq != a.state.Seq+1 {
		return fmt.Errorf("%w: batch %d after %d", ErrFenced, b.Seq, a.state.Seq)
	}
	for _, op := range b.Ops {
		if err := CheckKey(op.Key); err != nil {
			return err
		}
		if err := CheckValue(op.Value); err != nil {
			return err
		}
	}
	a.state.Seq++
	if b.DeleteAll {
		clear(a.data)
		a.state.Keys, a.state.Bytes = 0, 0
	}
	for _, op := range b.Ops {
		if old, ok := a.data[op.Key]; ok {
			a.state.Keys--
			a.state.Bytes -= int64(len(op.Key) + len(old))
			delete(a.data, op.Key)
		}
		if !op.Delete {
			a.data[op.Key] = append([]byte{}, op.Value...)
			a.state.Keys++
			a.state.Bytes += int64(len(op.Key) + len(op.Value))
		}
	}
	if b.Alarm != nil {
		a.state.Alarm = *b.Alarm
	}
	if b.Name != "" {
		a.state.Name = b.Name
	}
	return nil
}

// Due implements Schedule.
func (m *Memory) Due(_ context.Context, now time.Time, after *DueAlarm, limit int) ([]DueAlarm, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, time.Time{}, ErrClosed
	}
	var all []DueAlarm
	for key, a := range m.actors {
		d := DueAlarm{Key: key, At: a.state.Alarm.At}
		if !a.state.Alarm.IsZero() && (after == nil || compareDue(d, *after) > 0) {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, compareDue)
	for i, d := range all {
		if i == limit || d.At.After(now) {
			return all[:i], d.At, nil
		}
	}
	return all, time.Time{}, nil
}

func compareDue(a, b DueAlarm) int {
	if c := a.At.Compare(b.At); c != 0 {
		return c
	}
	if c := bytes.Compare([]byte(a.Key.Namespace), []byte(b.Key.Namespace)); c != 0 {
		return c
	}
	return bytes.Compare(a.Key.ID[:], b.Key.ID[:])
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	close(m.stop)
	<-m.done
	return nil
}
