package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

var errPanicked = errors.New("durable: an event panicked")

// NativeConfig makes a class of actors written in Go. Its zero value works: such actors have no alarm handler.
type NativeConfig struct {
	// Start runs before the first event of an instance, for example to load its state. Nil does nothing.
	Start func(ctx context.Context, n *Native) error
	// Alarm is the alarm handler. An error is a failed run, which is retried and told to nobody else. Nil fails
	// every run.
	Alarm func(ctx context.Context, n *Native, info AlarmInfo) error
	// CacheBytes bounds each actor's cache. Zero means DefaultCacheBytes.
	CacheBytes int
}

// NativeClass makes actors written in Go: each is a [Native].
type NativeClass struct{ cfg NativeConfig }

// NewNativeClass returns a class for Directory.Register.
func NewNativeClass(cfg NativeConfig) *NativeClass { return &NativeClass{cfg: cfg} }

// Activate implements Class.
func (c *NativeClass) Activate(ctx context.Context, a Activation) (Instance, error) {
	cfg := a.StorageConfig()
	cfg.CacheBytes = c.cfg.CacheBytes
	n := &Native{class: c, key: a.Key, name: a.Name, storage: NewStorage(cfg)}
	if c.cfg.Start != nil {
		if err := c.cfg.Start(ctx, n); err != nil {
			return nil, fmt.Errorf("durable: start %s: %w", a.Key, err)
		}
	}
	return n, nil
}

// Native is an instance of an actor written in Go. Its events are functions passed to Do.
type Native struct {
	class   *NativeClass
	key     Key
	name    string
	turn    sync.Mutex // held by the event that runs: one at a time
	storage *Storage
	// State is the actor's own memory, free for its functions to use while they run.
	State any
}

// Key returns the actor's key.
func (n *Native) Key() Key { return n.key }

// Name returns the actor's name, which may be empty.
func (n *Native) Name() string { return n.name }

// Do runs fn alone among the actor's events and then waits until everything written so far is durable, so that
// what fn decided may be told to others. While it waits other events run, and their writes share commits. If fn
// returns an error its writes are undone and the error is returned at once. An error of ctx while waiting leaves
// open whether the writes become durable. What fn keeps in State must follow from what it wrote.
func (n *Native) Do(ctx context.Context, fn func(s *Storage) error) error {
	outcome := make(chan error, 1)
	if err := n.run(fn, func(err error) { outcome <- err }); err != nil {
		return err
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run is one turn: fn in a transaction, then the flush and the gate.
func (n *Native) run(fn func(s *Storage) error, gate func(error)) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	if err := n.storage.Begin(); err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // fn panicked: what it left in State cannot be trusted
			n.storage.Break(errPanicked)
		}
	}()
	err := fn(n.storage)
	returned = true
	if err != nil {
		if undo := n.storage.Rollback(); undo != nil {
			return undo
		}
		return err
	}
	if err := n.storage.Commit(); err != nil {
		return err
	}
	n.storage.Flush()
	n.storage.Gate(gate)
	return nil
}

// Alarm implements Instance. The handler is not an event of its own: it calls Do as often as it needs.
func (n *Native) Alarm(ctx context.Context) error {
	n.turn.Lock()
	info, due := n.storage.AlarmStarted()
	n.turn.Unlock()
	if !due {
		return n.storage.Broken()
	}
	err := fmt.Errorf("durable: %s has no alarm handler", n.key)
	if n.class.cfg.Alarm != nil {
		err = n.class.cfg.Alarm(ctx, n, info)
	}
	if err != nil && ctx.Err() != nil {
		return err // the process is stopping: the alarm stays as it is and fires again, which does not count
	}
	n.turn.Lock()
	if err != nil {
		n.storage.AlarmFailed()
	} else {
		n.storage.AlarmSucceeded()
	}
	n.storage.Flush()
	n.turn.Unlock()
	return n.storage.settled(ctx)
}

// Broken implements Instance.
func (n *Native) Broken() error { return n.storage.Broken() }

// Close implements Instance. It waits for the event that runs.
func (n *Native) Close(reason error) {
	n.storage.Break(reason)
	n.turn.Lock()
	defer n.turn.Unlock()
}
