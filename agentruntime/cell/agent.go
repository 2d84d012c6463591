package cell

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// AgentConfig makes an Agent. Bundle is required.
type AgentConfig struct {
	// Name is the agent's name, for messages.
	Name     string
	Bundle   *agentruntime.Bundle
	Bindings []agentruntime.Binding
	Limits   agentruntime.Limits
	// Reuse is how many events one runtime may serve, one after the other. Zero means 1.
	Reuse int
	// Require lists the parts of the sandbox, of sandbox.Parts, without which the code is not to run.
	Require []string
	// Pressed, if not nil, is called when the memory of a cell is nearly used up, for actors that are in it to be closed.
	Pressed func(in func(*Actor) bool)
}

// Agent is an agent whose code runs in a cell: one at a time, another one as soon as it ends. It is safe for concurrent use.
type Agent struct {
	pool *Pool
	cfg  AgentConfig
	info wire.Loaded

	mu       sync.Mutex
	current  *process
	starting *starting // while no cell has the code
	closed   bool
}

// starting is a cell that is being made; done is closed when cell or err is set.
type starting struct {
	done chan struct{}
	cell *process
	err  error
}

// NewAgent loads the code into a cell, to see that it works, with the errors of agentruntime.New and those of
// Bundle.Compile, as Bundle.Refusal makes them.
func (p *Pool) NewAgent(cfg AgentConfig) (*Agent, error) {
	cfg.Limits = cfg.Limits.WithDefaults()
	a := &Agent{pool: p, cfg: cfg}
	c, found, err := a.load(true)
	if err != nil {
		return nil, err
	}
	a.info = found
	c.mu.Lock()
	c.idle = time.Now()
	c.mu.Unlock()
	a.mu.Lock()
	a.current = c
	a.mu.Unlock()
	return a, nil
}

// Limits returns what bounds an invocation, with the defaults filled in.
func (a *Agent) Limits() agentruntime.Limits { return a.cfg.Limits }

// Handlers returns the names of the event handlers that the default export has.
func (a *Agent) Handlers() []string { return a.info.Entries["default"] }

// Entrypoints returns the names of the exports that a service binding can reach, sorted.
func (a *Agent) Entrypoints() []string { return slices.Sorted(maps.Keys(a.info.Entries)) }

// Handles reports whether the entrypoint, empty for the default export, has a handler of that name.
func (a *Agent) Handles(entry, handler string) bool {
	if entry == "" {
		entry = "default"
	}
	return slices.Contains(a.info.Entries[entry], handler)
}

// Classes returns the names of the exported classes, sorted.
func (a *Agent) Classes() []string { return a.info.Classes }

// DurableClasses returns the names of the exported classes that extend DurableObject, sorted.
func (a *Agent) DurableClasses() []string { return a.info.Durable }

// WorkflowClasses returns the names of the exported classes that extend WorkflowEntrypoint, sorted.
func (a *Agent) WorkflowClasses() []string { return a.info.Workflows }

// SlowStart says which modules make evaluating the code slow, as agentruntime.Agent.SlowStart does.
func (a *Agent) SlowStart() string { return a.info.Slow }

// Close lets the cell end once nothing runs in it any more. What begins after it gets a cell all the same.
func (a *Agent) Close() {
	a.mu.Lock()
	a.closed = true
	c := a.current
	a.mu.Unlock()
	if c != nil {
		c.retire()
	}
}

// load takes a process and loads the code into it. explain says that what is slow in it is to be found out.
func (a *Agent) load(explain bool) (*process, wire.Loaded, error) {
	c, err := a.pool.take()
	if err != nil {
		return nil, wire.Loaded{}, err
	}
	c.agent.Store(a)
	if err := c.box.Bound(a.cfg.Limits.Memory + hardOverhead); err != nil {
		c.end(errNotNeeded)
		return nil, wire.Loaded{}, fmt.Errorf("bound the memory: %w", err)
	}
	// A compiler of WebAssembly makes machine code; nothing else does.
	holds := c.box.Options(reportDescriptor, strings.Contains(a.cfg.Bundle.Code, "WebAssembly"))
	e := wire.NewMessage(wire.OpLoad)
	e.Load(wire.Load{
		Name: a.cfg.Name, Bundle: a.cfg.Bundle, Bindings: a.cfg.Bindings, Limits: a.cfg.Limits, Reuse: a.cfg.Reuse,
		Explain: explain, Procs: runtime.GOMAXPROCS(0), Sandbox: &holds,
	})
	// The cell holds compiling and evaluating to their limits in CPU time; this is for a cell that does not.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second+2*a.cfg.Limits.Startup)
	defer cancel()
	answer, err := c.conn.Ask(ctx, e)
	var found wire.Loaded
	if err == nil {
		d := wire.NewDecoder(answer)
		found, err = d.Loaded()
	}
	if err == nil {
		err = a.held(c.box.InForce(found.InForce))
	}
	if err == nil {
		c.mu.Lock()
		c.loaded = time.Now()
		c.mu.Unlock()
		return c, found, nil
	}
	var refused *agentruntime.CompileError
	switch {
	case errors.As(err, &refused):
		err = a.cfg.Bundle.Refusal(err)
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("compiling and evaluating the module takes too long: there is no end after 30 s and twice the start-up limit")
	case c.conn.Err() != nil && !wire.IsMalformed(err):
		if err = c.why(); !c.parsed && errors.Is(err, errOverflow) {
			err = a.cfg.Bundle.Refusal(&agentruntime.CompileError{Text: "the code is nested too deeply to be compiled", Help: nestedHelp})
		} else if !c.parsed {
			err = fmt.Errorf("compiling the module: %w", err)
		} else {
			err = fmt.Errorf("evaluating the module: %w", err)
		}
	}
	c.end(errNotNeeded)
	return nil, found, err
}

// acquire gives a cell that has the code, held for one invocation or actor.
func (a *Agent) acquire(ctx context.Context) (*process, error) {
	for {
		a.mu.Lock()
		if c := a.current; c != nil {
			if c.hold() {
				a.mu.Unlock()
				return c, nil
			}
			a.current = nil
		}
		s := a.starting
		if s == nil {
			s = a.restart()
		}
		a.mu.Unlock()
		select {
		case <-s.done:
			if s.err != nil {
				return nil, s.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// restart begins to load the code into another cell. Called under mu.
func (a *Agent) restart() *starting {
	s := &starting{done: make(chan struct{})}
	a.starting = s
	begun := a.pool.background(func() {
		c, _, err := a.load(false)
		a.mu.Lock()
		s.cell, s.err = c, err
		if a.starting = nil; err == nil {
			a.current = c
		}
		closed := a.closed
		a.mu.Unlock()
		close(s.done)
		if err == nil && closed {
			c.retire()
		}
	})
	if !begun {
		a.starting, s.err = nil, errPoolClosed
		close(s.done)
	}
	return s
}

// restartAfter is how long a cell must have lived to be replaced before it is needed.
const restartAfter = time.Second

// left is told that a cell of the agent's has ended. One that was in use is replaced at once.
func (a *Agent) left(c *process, wanted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != c {
		return
	}
	a.current = nil
	c.mu.Lock()
	lived := time.Since(c.loaded)
	c.mu.Unlock()
	// Code that cannot live is not started over and over: the next event does it.
	if !a.closed && wanted && a.starting == nil && lived > restartAfter {
		a.restart()
	}
}

// hold keeps the cell for an invocation or an actor, unless it has ended.
func (c *process) hold() bool {
	if c.conn.Err() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return false
	}
	c.refs++
	return true
}

// release gives back what hold took.
func (c *process) release() {
	c.mu.Lock()
	c.refs--
	idle := c.refs == 0
	if idle {
		c.idle = time.Now()
	}
	c.mu.Unlock()
	if idle {
		a := c.agent.Load()
		a.mu.Lock()
		closed := a.closed
		a.mu.Unlock()
		if closed {
			c.retire()
		}
	}
}

// retire ends the cell if nothing runs in it.
func (c *process) retire() {
	c.mu.Lock()
	unused := c.refs == 0
	if unused && c.ended == nil {
		c.ended = errNotNeeded
	}
	c.mu.Unlock()
	if unused {
		c.end(errNotNeeded)
	}
}
