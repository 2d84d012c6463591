package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Defaults of a Directory.
const (
	DefaultIdleAfter           = 10 * time.Second
	DefaultRetireAfter         = 30 * time.Second
	DefaultMaxResident         = 20_000
	DefaultMaxConcurrentAlarms = 64
	DefaultAlarmsPerSecond     = 1000
)

// Config makes a Directory. Store is required.
type Config struct {
	Store Store
	// IdleAfter is how long an actor without events stays in memory. Zero means DefaultIdleAfter.
	IdleAfter time.Duration
	// RetireAfter is how long an instance whose class was replaced may finish its events while new ones
	// wait. Zero means DefaultRetireAfter.
	RetireAfter time.Duration
	// MaxResident is how many actors may be in memory; the longest idle one makes room. Zero means
	// DefaultMaxResident.
	MaxResident int
	// MaxConcurrentAlarms is how many alarm handlers may run at once. Zero means DefaultMaxConcurrentAlarms.
	MaxConcurrentAlarms int
	// AlarmsPerSecond is how many alarm handlers are started a second. Zero means DefaultAlarmsPerSecond.
	AlarmsPerSecond int
	// Logger gets what the directory cannot return to anybody. Nil means none.
	Logger *slog.Logger
	// Now is the clock of the alarms. Nil means time.Now.
	Now func() time.Time
}

// Directory keeps at most one instance of each actor in memory, makes it when an event comes, drops it when it
// is idle, broken or outdated, and fires alarms. It is safe for concurrent use.
type Directory struct {
	store    Store
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	ctx      context.Context // ends with Close: activations and alarms run under it
	cancel   context.CancelFunc
	work     sync.WaitGroup // the sweeper, the alarm loop, activations and closings
	sweeping chan struct{}  // wakes the sweeper
	alarms   *alarmLoop

	mu      sync.Mutex // guards everything below, and the residents
	actors  map[Key]*resident
	classes map[string]Class
	idle    residentList // longest idle first
	started bool
	closed  bool
}

// NewDirectory returns a directory with no classes. It drops idle actors and fires alarms once started.
func NewDirectory(cfg Config) *Directory {
	setDefault(&cfg.IdleAfter, DefaultIdleAfter)
	setDefault(&cfg.RetireAfter, DefaultRetireAfter)
	setDefault(&cfg.MaxResident, DefaultMaxResident)
	setDefault(&cfg.MaxConcurrentAlarms, DefaultMaxConcurrentAlarms)
	setDefault(&cfg.AlarmsPerSecond, DefaultAlarmsPerSecond)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Directory{
		store:    cfg.Store,
		cfg:      cfg,
		log:      cfg.Logger,
		now:      cfg.Now,
		sweeping: make(chan struct{}, 1),
		actors:   make(map[Key]*resident),
		classes:  make(map[string]Class),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.idle.init()
	d.alarms = newAlarmLoop(d)
	return d
}

func setDefault[T comparable](value *T, to T) {
	var zero T
	if *value == zero {
		*value = to
	}
}

// Start begins dropping idle actors and firing alarms. Those overdue fire first.
func (d *Directory) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.closed {
		return
	}
	d.started = true
	d.work.Go(d.sweep)
	d.work.Go(d.alarms.run)
}

// Register sets the class of a namespace, nil to remove it. Instances the older class made are closed once no
// event is in flight; new events wait for an instance of the new class. The same class again changes nothing.
func (d *Directory) Register(namespace string, c Class) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.classes[namespace] == c {
		return
	}
	if c == nil {
		delete(d.classes, namespace)
	} else {
		d.classes[namespace] = c
	}
	for _, r := range d.actors {
		if r.key.Namespace == namespace && r.state == ready && r.refs == 0 {
			d.drop(r, ErrRetired)
		}
	}
	d.alarms.registered(namespace)
}

// Acquire returns a handle to the actor's instance, which stays in memory until the handle is released. It makes
// the instance if there is none; concurrent calls make one. name is kept as the actor's name if it is not empty.
func (d *Directory) Acquire(ctx context.Context, key Key, name string) (*Handle, error) {
	for {
		j, err := d.join(key, name)
		if err != nil {
			return nil, err
		}
		if j.held {
			return d.handle(ctx, j)
		}
		if err := d.awaitGone(ctx, j); err != nil {
			return nil, err
		}
	}
}

// handle makes the handle of a resident that a reference was taken to, once it is ready.
func (d *Directory) handle(ctx context.Context, j joined) (*Handle, error) {
	if j.wait != nil {
		select {
		case <-j.wait:
		case <-ctx.Done():
			d.release(j.resident)
			return nil, ctx.Err()
		}
		// The activation wrote its outcome before it closed the channel.
		if err := j.resident.err; err != nil {
			return nil, err
		}
	}
	return &Handle{directory: d, resident: j.resident}, nil
}

// joined is what join found: a resident it took a reference to, ready once wait is closed (nil: already), or one
// that must be gone before another can be made, as it is once wait is closed.
type joined struct {
	resident *resident
	held     bool
	wait     <-chan struct{}
}

// join takes a reference to the actor's resident, starting its activation if there is none.
func (d *Directory) join(key Key, name string) (joined, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return joined{}, ErrClosed
	}
	class := d.classes[key.Namespace]
	if class == nil {
		return joined{}, fmt.Errorf("%w: %q", ErrNoClass, key.Namespace)
	}
	r := d.actors[key]
	if r == nil {
		if err := d.makeRoom(); err != nil {
			return joined{}, err
		}
		r = &resident{directory: d, key: key, class: class, refs: 1, active: make(chan struct{})}
		d.actors[key] = r
		d.work.Go(func() { d.activate(r, name) })
		return joined{resident: r, held: true, wait: r.active}, nil
	}
	switch {
	case r.state == activating && r.class == class:
		r.refs++
		return joined{resident: r, held: true, wait: r.active}, nil
	case r.state == ready && r.class == class:
		broken := r.instance.Broken()
		if broken == nil {
			if r.refs == 0 {
				d.idle.remove(r)
			}
			r.refs++
			return joined{resident: r, held: true}, nil
		}
		d.drop(r, broken)
	case r.state == ready && r.refs == 0:
		d.drop(r, ErrRetired)
	}
	return joined{resident: r, wait: r.goneChan()}, nil
}

// makeRoom drops the longest idle actor if there is no room for another. Called under mu.
func (d *Directory) makeRoom() error {
	if len(d.actors) < d.cfg.MaxResident {
		return nil
	}
	for r := d.idle.front(); r != nil; r = d.idle.after(r) {
		if !isBusy(r.instance) {
			d.drop(r, ErrIdle)
			return nil
		}
	}
	return fmt.Errorf("%w: %d", ErrOverloaded, len(d.actors))
}

// awaitGone waits until the resident has left the directory, and makes it leave after RetireAfter.
func (d *Directory) awaitGone(ctx context.Context, j joined) error {
	timer := time.NewTimer(d.cfg.RetireAfter)
	defer timer.Stop()
	for {
		select {
		case <-j.wait:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			d.mu.Lock()
			if j.resident.state == ready {
				d.drop(j.resident, ErrRetired)
			}
			d.mu.Unlock()
		}
	}
}

// Reset drops an actor's instance now, whatever it is doing. Its next event makes a new one.
func (d *Directory) Reset(key Key, reason error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.actors[key]; r != nil && r.state == ready {
		d.drop(r, reason)
	}
}

// Resident returns how many actors are in memory.
func (d *Directory) Resident() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.actors)
}

// Close refuses new events, stops the alarms, waits for events in flight until ctx ends, and closes all
// instances. It leaves the store open.
func (d *Directory) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.alarms.halt()
	d.mu.Unlock()

	var late error
	for {
		d.mu.Lock()
		var waiting chan struct{}
		for _, r := range d.actors {
			if r.state == ready && (r.refs == 0 || late != nil) {
				d.drop(r, ErrClosed)
			}
			waiting = r.goneChan()
		}
		d.mu.Unlock()
		if waiting == nil {
			break
		}
		if late != nil {
			<-waiting
			continue
		}
		select {
		case <-waiting:
		case <-ctx.Done():
			late = fmt.Errorf("durable: close with events in flight: %w", ctx.Err())
			d.cancel()
		}
	}
	d.cancel()
	d.work.Wait()
	return late
}

// expected reports the errors that are nobody's fault and need no line in the log.
func expected(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) || errors.Is(err, ErrNoClass)
}
