package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gatehouse-edge/gatehouse/durable"
)

const (
	// batchBytes is about how large a batch of entries may grow. The largest value makes one of its own.
	batchBytes = 1 << 20
	// inFlight is how many batches may be on their way to the disk.
	inFlight = 256
)

// Store is what Restore writes to.
type Store interface {
	Acquire(ctx context.Context, key durable.Key) (durable.Fence, durable.State, error)
	Release(f durable.Fence)
	Commit(b durable.Batch, done func(error))
}

// Restored is what a restore wrote, to be compared with what the store then holds.
type Restored struct {
	Summary
	actors map[durable.Key]Digest
}

// Restore reads a file into a store that is empty and that nobody else uses. When it fails the store holds a part, and
// must be thrown away. progress, if it is not nil, is called now and then.
func Restore(ctx context.Context, to Store, from *Reader, progress func(Summary)) (*Restored, error) {
	l := newLoader(to)
	restored := &Restored{actors: map[durable.Key]Digest{}}
	err := l.restore(ctx, from, restored, progress)
	if err := errors.Join(err, l.wait()); err != nil {
		return nil, err
	}
	restored.Summary = from.Summary()
	return restored, nil
}

// Verify reads a snapshot of the store to its end and returns an error unless it holds what was restored, and nothing
// else.
func (r *Restored) Verify(ctx context.Context, have durable.Snapshot) error {
	seen := 0
	for _, namespace := range have.Namespaces() {
		for a, err := range have.Actors(ctx, namespace, nil) {
			if err != nil {
				return err
			}
			want, there := r.actors[a.Key]
			if !there {
				return fmt.Errorf("archive: %s is in the store and not in the backup", a.Key)
			}
			got, err := describe(a)
			if err != nil {
				return err
			}
			for e, err := range have.Entries(ctx, a.Key) {
				if err != nil {
					return err
				}
				got.Add(e.Key, e.Value)
			}
			if got != want {
				return fmt.Errorf("archive: %s was restored with digest %016x instead of %016x", a.Key, uint64(got), uint64(want))
			}
			seen++
		}
	}
	if seen != len(r.actors) {
		return fmt.Errorf("archive: %d actors are in the store instead of %d", seen, len(r.actors))
	}
	return nil
}

// describe returns the digest of what an actor has beside its entries.
func describe(a durable.Stored) (Digest, error) {
	b, err := json.Marshal(toActor(a))
	if err != nil {
		return 0, err
	}
	var d Digest
	d.Add("", b)
	return d, nil
}

// loader commits batches, several at a time.
type loader struct {
	to    Store
	slots chan struct{}

	mu    sync.Mutex
	first error
}

func newLoader(to Store) *loader { return &loader{to: to, slots: make(chan struct{}, inFlight)} }

func (l *loader) commit(b durable.Batch) {
	l.slots <- struct{}{}
	l.to.Commit(b, func(err error) {
		if err != nil {
			l.mu.Lock()
			if l.first == nil {
				l.first = fmt.Errorf("archive: restore %s: %w", b.Fence.Actor, err)
			}
			l.mu.Unlock()
		}
		<-l.slots
	})
}

func (l *loader) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// wait waits until every batch has its outcome.
func (l *loader) wait() error {
	for range inFlight {
		l.slots <- struct{}{}
	}
	return l.failed()
}

func (l *loader) restore(ctx context.Context, from *Reader, restored *Restored, progress func(Summary)) error {
	for {
		a, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		digest, err := describe(a)
		if err != nil {
			return err
		}
		err = l.actor(ctx, a, func() (durable.Entry, bool, error) {
			e, more, err := from.Entry()
			if more {
				digest.Add(e.Key, e.Value)
			}
			return e, more, err
		}, false)
		if err != nil {
			return err
		}
		restored.actors[a.Key] = digest
		if progress != nil {
			progress(from.Summary())
		}
	}
}

// actor writes one actor. It must store nothing yet, unless it is to be replaced. Its name and its alarm come with its last
// batch.
func (l *loader) actor(ctx context.Context, a durable.Stored, next func() (durable.Entry, bool, error), replace bool) error {
	f, state, err := l.to.Acquire(ctx, a.Key)
	if err != nil {
		return err
	}
	defer l.to.Release(f)
	if !replace && (state.Keys > 0 || !state.Alarm.IsZero()) {
		return fmt.Errorf("archive: restore %s: it is there already", a.Key)
	}
	batch, size := durable.Batch{Fence: f, DeleteAll: replace}, 0
	for {
		if err := errors.Join(l.failed(), ctx.Err()); err != nil {
			return err
		}
		e, more, err := next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if size > 0 && size+len(e.Value) > batchBytes {
			l.commit(batch)
			batch, size = durable.Batch{Fence: f}, 0
		}
		batch.Ops = append(batch.Ops, durable.Op{Key: e.Key, Value: bytes.Clone(e.Value)})
		size += len(e.Key) + len(e.Value) + 256
	}
	batch.Name = a.State.Name
	if replace || !a.State.Alarm.IsZero() {
		batch.Alarm = &a.State.Alarm
	}
	l.commit(batch)
	return nil
}
