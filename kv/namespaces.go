package kv

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// ActorNamespace is the durable store's namespace that holds the key-value
// namespaces, one actor each. No class of actors may use it.
const ActorNamespace = "gatehouse/kv"

const (
	defaultSweep     = time.Minute
	maxNamespaceName = 512
)

// Store is what a namespace needs of a durable.Store.
type Store interface {
	Acquire(ctx context.Context, key durable.Key) (durable.Fence, durable.State, error)
	Release(f durable.Fence)
	durable.Engine
}

// Config configures Namespaces. Store is needed.
type Config struct {
	Store Store
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Random is a cryptographic source; default crypto/rand.
	Random io.Reader
	// SweepEvery is how often expired entries of the open namespaces are
	// removed; default one minute. They are never returned, swept or not.
	SweepEvery time.Duration
	// Logger gets what the sweep meets; default none.
	Logger *slog.Logger
}

// Namespaces opens the namespaces of one store. There must be one for a store
// at a time, shared by all that use the store: a second one would take the
// namespaces over and fail the first. Close it before the store. Safe for
// concurrent use.
type Namespaces struct {
	config Config
	ids    durable.Namespace

	closing context.Context
	close   context.CancelFunc
	swept   chan struct{}

	mu     sync.Mutex // guards what follows
	open   map[string]*Namespace
	closed bool
}

// New starts the sweep, which Close ends.
func New(config Config) *Namespaces {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Random == nil {
		config.Random = rand.Reader
	}
	if config.SweepEvery <= 0 {
		config.SweepEvery = defaultSweep
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Namespaces{
		config: config,
		ids:    durable.NewNamespace(ActorNamespace),
		swept:  make(chan struct{}),
		open:   map[string]*Namespace{},
	}
	n.closing, n.close = context.WithCancel(context.Background())
	go n.sweepEvery()
	return n
}

// Open returns the namespace of that name, the same one for every caller. It
// need not exist. Errors: ErrNamespace, ErrClosed, the store's.
func (n *Namespaces) Open(ctx context.Context, name string) (*Namespace, error) {
	if name == "" || len(name) > maxNamespaceName {
		return nil, fmt.Errorf("%w: %q", ErrNamespace, name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if ns := n.open[name]; ns != nil && !ns.lost.Load() {
		return ns, nil
	}
	fence, state, err := n.config.Store.Acquire(ctx, n.ids.Key(n.ids.IDFromName(name)))
	if err != nil {
		return nil, fmt.Errorf("kv: open namespace %s: %w", name, err)
	}
	ns := &Namespace{name: name, config: &n.config, fence: fence, named: state.Name != ""}
	if err := ns.recover(ctx); err != nil {
		n.config.Store.Release(fence)
		return nil, fmt.Errorf("kv: open namespace %s: %w", name, err)
	}
	n.open[name] = ns
	return ns, nil
}

// Close ends the sweep and gives the namespaces back to the store. Operations
// that run are not waited for; later ones fail with the store's error.
func (n *Namespaces) Close() {
	n.close()
	<-n.swept
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.closed = true
	for _, ns := range n.open {
		n.config.Store.Release(ns.fence)
	}
}
