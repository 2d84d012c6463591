package durable

import (
	"context"
	"time"
)

// Backend is what one actor's storage needs of its gateway. Get and Scan block and see every batch whose done
// was called without error. They may miss the others.
type Backend interface {
	// Get returns the keys' values in their order, nil for an absent key. A present empty value is not nil.
	Get(ctx context.Context, keys []string) ([][]byte, error)
	// Scan returns the entries of a range in its order.
	Scan(ctx context.Context, r Range) ([]Entry, error)
	// Commit hands a batch over and returns at once. It keeps the order of its calls and calls done
	// exactly once, from another goroutine, with nil once the batch is durable. The batch and what it
	// refers to must not change until then. After one batch failed all later ones of the fence fail.
	Commit(b Batch, done func(error))
}

// Placement gives out the right to write an actor.
type Placement interface {
	// Acquire makes a new fence for the actor, which ends every older one, and returns what is stored. It
	// waits until the batches handed over under older fences are durable or have failed.
	Acquire(ctx context.Context, key Key) (Fence, State, error)
	// Release gives the fence back, so that the store forgets what it keeps of the actor in memory. Batches
	// handed over before are still committed. An outdated fence is ignored.
	Release(f Fence)
	// List returns the ids of up to limit actors of a namespace that store a key or an alarm, ascending, after
	// the given id (nil: from the first).
	List(ctx context.Context, namespace string, after *ID, limit int) ([]ID, error)
}

// Engine reads and writes the actors' state. Each call carries the actor's fence and fails with ErrFenced
// when it is outdated. The meaning is that of [Backend].
type Engine interface {
	Get(ctx context.Context, f Fence, keys []string) ([][]byte, error)
	Scan(ctx context.Context, f Fence, r Range) ([]Entry, error)
	Commit(b Batch, done func(error))
}

// DueAlarm is a stored alarm together with its actor.
type DueAlarm struct {
	Key Key
	At  time.Time
}

// Schedule finds alarms by time.
type Schedule interface {
	// Due returns up to limit durable alarms whose time is not after now, ordered by time and then by actor,
	// after the given one (nil: from the first). next is the time of the alarm that follows the last one
	// returned, zero if none does.
	Due(ctx context.Context, now time.Time, after *DueAlarm, limit int) (due []DueAlarm, next time.Time, err error)
}

// Store keeps the state of all actors. It is safe for concurrent use.
type Store interface {
	Placement
	Engine
	Schedule
	// Close waits for the batches handed over and releases the store. It is called once.
	Close() error
}

// NewBackend returns the backend of the actor that holds f.
func NewBackend(e Engine, f Fence) Backend { return &fencedBackend{engine: e, fence: f} }

type fencedBackend struct {
	engine Engine
	fence  Fence
}

func (b *fencedBackend) Get(ctx context.Context, keys []string) ([][]byte, error) {
	return b.engine.Get(ctx, b.fence, keys)
}

func (b *fencedBackend) Scan(ctx context.Context, r Range) ([]Entry, error) {
	return b.engine.Scan(ctx, b.fence, r)
}

func (b *fencedBackend) Commit(batch Batch, done func(error)) {
	batch.Fence = b.fence
	b.engine.Commit(batch, done)
}
