package cell

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultSpares is how many processes are kept started and without code.
	DefaultSpares = 1
	// DefaultIdleAfter is how long a cell lives in which nothing runs.
	DefaultIdleAfter = 5 * time.Minute
)

// Config makes a Pool. Its zero value works.
type Config struct {
	// Spares is how many processes are kept started and without code, for any agent. Default 1; negative for none.
	Spares int
	// IdleAfter is how long a cell lives in which nothing runs. Default 5 min.
	IdleAfter time.Duration
	// Logger is told of cells that end otherwise than they should. Default: none.
	Logger *slog.Logger
	// Program and Args start a cell. Default: this program with the argument that makes it one.
	Program string
	Args    []string
}

// Pool starts and watches cells. It is safe for concurrent use.
type Pool struct {
	cfg Config
	log *slog.Logger

	mu     sync.Mutex
	spares []*process
	making int // spares being started
	all    map[*process]struct{}
	closed bool
	held   string // what was last logged to hold the cells

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// NewPool returns a pool that has started nothing yet.
func NewPool(cfg Config) *Pool {
	if cfg.Spares == 0 {
		cfg.Spares = DefaultSpares
	}
	if cfg.IdleAfter == 0 {
		cfg.IdleAfter = DefaultIdleAfter
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{cfg: cfg, log: cfg.Logger, all: map[*process]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.watch)
	return p
}

// Close ends every cell, whatever runs in it, and returns when all of them have ended.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	for c := range p.all {
		c.end(errPoolClosed)
	}
	p.mu.Unlock()
	p.cancel()
	p.work.Wait()
}

var errPoolClosed = errors.New("cell: the pool is closed")

// background runs fn on a goroutine that Close waits for; not once the pool is closed.
func (p *Pool) background(fn func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Go(fn)
	return true
}

// take gives a started process without code, and has another one started in its place.
func (p *Pool) take() (*process, error) {
	p.mu.Lock()
	for n := len(p.spares); n > 0; n = len(p.spares) {
		c := p.spares[n-1]
		p.spares = p.spares[:n-1]
		if c.conn.Err() == nil {
			p.mu.Unlock()
			p.replenish()
			return c, nil
		}
	}
	p.mu.Unlock()
	c, err := p.start()
	p.replenish()
	return c, err
}

// replenish starts the spares that are missing, in the background.
func (p *Pool) replenish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && len(p.spares)+p.making < p.cfg.Spares {
		p.making++
		p.work.Go(func() {
			c, err := p.start()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.making--
			switch {
			case err != nil:
				if !p.closed {
					p.log.Error("a spare cell could not be started", "error", err)
				}
			default:
				p.spares = append(p.spares, c)
			}
		})
	}
}

// start starts a process and waits until it is ready.
func (p *Pool) start() (*process, error) {
	c, err := p.launch()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.end(errPoolClosed)
		c.run()
		return nil, errPoolClosed
	}
	p.all[c] = struct{}{}
	p.work.Go(func() {
		c.run()
		p.mu.Lock()
		delete(p.all, c)
		p.mu.Unlock()
	})
	p.mu.Unlock()
	select {
	case <-c.ready:
		return c, nil
	case <-c.gone:
		return nil, c.why()
	}
}
