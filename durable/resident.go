package durable

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// Handle keeps an actor's instance in memory until it is released.
type Handle struct {
	directory *Directory
	resident  *resident
	released  atomic.Bool
}

// Instance returns the actor's instance.
func (h *Handle) Instance() Instance { return h.resident.instance }

// Release gives the handle back. Only the first call counts.
func (h *Handle) Release() {
	if h.released.CompareAndSwap(false, true) {
		h.directory.release(h.resident)
	}
}

// residentState is where a resident is in its life.
type residentState uint8

const (
	activating residentState = iota
	ready
	closing
)

// resident is one actor in memory. The directory's mutex guards it, except that instance and err do not change
// after active was closed. It is the backend of its instance.
type resident struct {
	directory *Directory
	key       Key
	epoch     uint64 // of the actor's fence
	class     Class
	instance  Instance
	err       error // why the activation failed
	state     residentState
	refs      int
	active    chan struct{} // closed once the activation has ended
	gone      chan struct{} // closed once the resident has left the directory; nil if nobody waits for that

	// While refs is 0 and state is ready the resident is in the directory's idle list.
	idleSince  time.Time
	prev, next *resident
}

func (r *resident) fence() Fence { return Fence{Actor: r.key, Epoch: r.epoch} }

// goneChan returns the channel that is closed once the resident has left. Called under the directory's mutex,
// while the resident is in it.
func (r *resident) goneChan() chan struct{} {
	if r.gone == nil {
		r.gone = make(chan struct{})
	}
	return r.gone
}

// Get implements Backend.
func (r *resident) Get(ctx context.Context, keys []string) ([][]byte, error) {
	return r.directory.store.Get(ctx, r.fence(), keys)
}

// Scan implements Backend.
func (r *resident) Scan(ctx context.Context, rng Range) ([]Entry, error) {
	return r.directory.store.Scan(ctx, r.fence(), rng)
}

// Commit implements Backend. The alarm loop hears of an alarm once it is durable.
func (r *resident) Commit(b Batch, done func(error)) {
	b.Fence = r.fence()
	if b.Alarm == nil {
		r.directory.store.Commit(b, done)
		return
	}
	alarm := *b.Alarm
	r.directory.store.Commit(b, func(err error) {
		if err == nil {
			r.directory.alarms.changed(r.key, alarm)
		}
		done(err)
	})
}

// activate makes the resident's instance.
func (d *Directory) activate(r *resident, name string) {
	fence, state, err := d.store.Acquire(d.ctx, r.key)
	if err == nil {
		r.epoch = fence.Epoch
		if name == "" {
			name = state.Name
		}
		r.instance, err = r.class.Activate(d.ctx, Activation{Key: r.key, Fence: fence, Name: name, State: state, Backend: r})
		if err != nil {
			d.store.Release(fence)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	defer close(r.active)
	if err != nil {
		r.err = err
		d.forget(r)
		return
	}
	r.state = ready
	if r.refs == 0 { // everybody who waited for it has given up
		d.settle(r)
	}
}

// release gives back a reference.
func (d *Directory) release(r *resident) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.refs--
	if r.refs == 0 && r.state == ready {
		d.settle(r)
	}
}

// settle decides what becomes of a resident without references. Called under mu.
func (d *Directory) settle(r *resident) {
	broken := r.instance.Broken()
	switch {
	case broken != nil:
		d.drop(r, broken)
	case d.closed:
		d.drop(r, ErrClosed)
	case d.classes[r.key.Namespace] != r.class:
		d.drop(r, ErrRetired)
	default:
		first := d.idle.front() == nil
		r.idleSince = time.Now()
		d.idle.push(r)
		if first {
			select {
			case d.sweeping <- struct{}{}:
			default:
			}
		}
	}
}

// drop closes a ready resident's instance and then forgets it. Called under mu.
func (d *Directory) drop(r *resident, reason error) {
	r.state = closing
	if r.next != nil {
		d.idle.remove(r)
	}
	d.work.Go(func() {
		r.instance.Close(reason)
		d.store.Release(r.fence())
		d.mu.Lock()
		defer d.mu.Unlock()
		d.forget(r)
	})
}

// forget takes a resident out of the directory. Called under mu.
func (d *Directory) forget(r *resident) {
	r.state = closing
	delete(d.actors, r.key)
	if r.gone != nil {
		close(r.gone)
	}
}

func isBusy(i Instance) bool {
	b, ok := i.(Busy)
	return ok && b.Busy()
}

// sweep drops actors that were idle for long enough, until the directory closes.
func (d *Directory) sweep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(d.dropIdle())
		select {
		case <-timer.C:
		case <-d.sweeping:
		case <-d.ctx.Done():
			return
		}
	}
}

// dropIdle drops the actors whose time has come and returns how long it takes to the next one's.
func (d *Directory) dropIdle() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for {
		r := d.idle.front()
		if r == nil {
			return time.Hour
		}
		if left := d.cfg.IdleAfter - now.Sub(r.idleSince); left > 0 {
			return left
		}
		if isBusy(r.instance) {
			d.idle.remove(r)
			r.idleSince = now
			d.idle.push(r)
			continue
		}
		d.drop(r, ErrIdle)
	}
}

// Shed drops a part of the idle actors whose instances match, the longest idle first, at least one if there is one, and
// returns how many. It is for memory that runs short.
func (d *Directory) Shed(match func(Instance) bool, part float64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []*resident
	for r := d.idle.front(); r != nil; r = d.idle.after(r) {
		if match(r.instance) && !isBusy(r.instance) {
			found = append(found, r)
		}
	}
	found = found[:int(math.Ceil(part*float64(len(found))))]
	for _, r := range found {
		d.drop(r, ErrIdle)
	}
	return len(found)
}

// residentList is a ring of idle residents in the order they became so.
type residentList struct{ root resident }

func (l *residentList) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *residentList) front() *resident { return l.after(&l.root) }

func (l *residentList) after(r *resident) *resident {
	if r.next == &l.root {
		return nil
	}
	return r.next
}

func (l *residentList) push(r *resident) {
	r.prev, r.next = l.root.prev, &l.root
	r.prev.next, r.next.prev = r, r
}

func (l *residentList) remove(r *resident) {
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next = nil, nil
}
