package cell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// process is one cell.
type process struct {
	pool *Pool
	cmd  *exec.Cmd
	conn *wire.Conn
	box  *sandbox.Box
	said *head // what it wrote to its standard error

	ready     chan struct{} // closed when it has said that it is
	readyOnce sync.Once
	gone      chan struct{} // closed when it has ended and it is known why

	// agent has loaded its code into it; nil in a spare.
	agent atomic.Pointer[Agent]

	events atomic.Int64 // invocations under way
	asks   atomic.Int64 // what it has asked for and was not answered yet
	held   atomic.Int64 // bytes of those requests
	reads  chan struct{}

	pressing atomic.Bool // it is being relieved of actors

	refusals atomic.Int64 // system calls that the kernel refused it

	mu      sync.Mutex
	parsed  bool      // it has compiled its agent's code
	loaded  time.Time // when it had that
	refs    int       // invocations and actors
	idle    time.Time
	live    map[uint64]*Invocation
	actors  map[uint64]*Actor
	ended   error     // why this side ended it
	blame   uint64    // the invocation that the cell itself has named
	greedy  time.Time // when code last passed a limit in it and was stopped: what that left behind may end the cell yet
	verdict *Died

	outOfMemory bool // the kernel says so; set once it has ended

	pinged   time.Time // when the ping was sent that is not answered yet; zero for none
	lastPing time.Time
}

// Died is why a cell ended, for those whose code ran in it. It matches the error that stands for the outcome, such as
// agentruntime.ErrExceededMemory.
type Died struct {
	Outcome agentruntime.Outcome
	// Text says for the operator what happened.
	Text string
	// Err is what callers are to see.
	Err error
	// Aftermath says that code which ran in the cell before, and was stopped at a limit, is as likely to be the cause.
	Aftermath bool
}

func (d *Died) Error() string { return d.Text }
func (d *Died) Unwrap() error { return d.Err }

// ErrEnded is what those see who were in a cell that ended for no reason of theirs.
var ErrEnded error = &agentruntime.RemoteError{
	Name: "Error", Message: "The process that ran this code has ended.", Retryable: true,
}

// errOverflow is what those see whose native function has recursed too deeply.
var errOverflow error = &agentruntime.RemoteError{Name: "RangeError", Message: "Maximum call stack size exceeded"}

// press has actors of the cell closed, unless that is under way.
func (c *process) press() {
	a := c.agent.Load()
	if a == nil || a.cfg.Pressed == nil || c.pressing.Swap(true) {
		return
	}
	go func() {
		defer c.pressing.Store(false)
		a.cfg.Pressed(func(x *Actor) bool { return x.cell == c })
	}()
}

// run serves the connection until it ends, and finds out why the process ended.
func (c *process) run() {
	err := c.conn.Run(c)
	_ = c.cmd.Process.Kill()
	c.mu.Lock()
	known := c.ended != nil
	c.mu.Unlock()
	if known {
		// Nothing more can come of it: its socket is closed. Taking down its memory would keep the callers waiting.
		c.conclude(err, nil)
	}
	wait := c.cmd.Wait()
	c.outOfMemory = c.box.OutOfMemory()
	<-c.said.whole
	if err := c.box.Close(); err != nil {
		c.pool.log.Warn("a cell's sandbox could not be taken down", "error", err)
	}
	if !known {
		c.conclude(err, wait)
	}
}

// conclude says why the process has ended to all who wait.
func (c *process) conclude(err, wait error) {
	c.mu.Lock()
	c.verdict = c.judge(err, wait)
	wanted := !errors.Is(c.ended, errNotNeeded) && !errors.Is(c.ended, errPoolClosed)
	lost := len(c.live)
	c.mu.Unlock()
	close(c.gone)
	name := ""
	if a := c.agent.Load(); a != nil {
		name = a.cfg.Name
		a.left(c, wanted)
	}
	if wanted {
		c.pool.log.Error("a cell has ended", "agent", name, "reason", c.verdict.Text, "invocations", lost, "pid", c.cmd.Process.Pid)
	}
}

var errNotNeeded = errors.New("it is not needed any more")

// why is the reason of a process that has gone.
func (c *process) why() error {
	<-c.gone
	return c.verdict
}

// judge says why the process ended: what this side decided, or the cell has said of itself, comes first, then what Go's runtime
// left as its last words. Called under mu.
func (c *process) judge(conn, wait error) *Died {
	var died *Died
	last := c.said.String()
	switch {
	case errors.As(c.ended, &died):
		return died
	case c.ended != nil:
		return &Died{Outcome: agentruntime.OutcomeException, Text: c.ended.Error(), Err: ErrEnded}
	case c.outOfMemory:
		return &Died{Outcome: agentruntime.OutcomeExceededMemory, Text: "the kernel ended it for its memory", Err: agentruntime.ErrExceededMemory}
	case signalled(wait, syscall.SIGSYS):
		return &Died{Outcome: agentruntime.OutcomeException, Text: "it made a system call that a cell may not make", Err: ErrEnded}
	case wire.IsMalformed(conn):
		return &Died{Outcome: agentruntime.OutcomeException, Text: "it broke the protocol: " + conn.Error(), Err: ErrEnded}
	case strings.Contains(last, "stack exceeds"):
		return &Died{Outcome: agentruntime.OutcomeException, Text: "a native function overflowed the stack", Err: errOverflow}
	case strings.Contains(last, "out of memory"), strings.Contains(last, "cannot allocate memory"):
		return &Died{Outcome: agentruntime.OutcomeExceededMemory, Text: "it ran out of memory", Err: agentruntime.ErrExceededMemory}
	}
	text := fmt.Sprintf("it ended by itself: %v", wait)
	if wait == nil {
		text = "it ended by itself"
	}
	if words := lastWords(last); words != "" {
		text += ": " + words
	}
	return &Died{Outcome: agentruntime.OutcomeException, Text: text, Err: ErrEnded}
}

// lastWords is the line that says what a Go program died of, in what it wrote to its standard error.
func lastWords(said string) string {
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "malformed") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// end ends the process for a reason of this side's. The first counts.
func (c *process) end(reason error) {
	c.mu.Lock()
	if c.ended == nil {
		c.ended = reason
	}
	c.mu.Unlock()
	_ = c.cmd.Process.Kill()
	c.conn.Close()
}

// Noted takes what the cell says of itself.
func (c *process) Noted(note byte, payload []byte) error {
	d := wire.NewDecoder(payload)
	switch note {
	case wire.NoteReady:
		c.readyOnce.Do(func() { close(c.ready) })
	case wire.NoteCompiled:
		c.mu.Lock()
		c.parsed = true
		c.mu.Unlock()
	case wire.NotePong:
		c.mu.Lock()
		c.pinged = time.Time{}
		c.mu.Unlock()
	case wire.NotePressure:
		c.press()
	case wire.NoteDying:
		id, outcome := d.Uint(), agentruntime.Outcome(d.String())
		var died *Died
		switch outcome {
		case agentruntime.OutcomeExceededCPU:
			died = &Died{Outcome: outcome, Text: "a native function of the engine did not stop at the CPU limit", Err: agentruntime.ErrExceededCPU}
		case agentruntime.OutcomeExceededMemory:
			died = &Died{Outcome: outcome, Text: "the code used more memory than it may", Err: agentruntime.ErrExceededMemory}
		default:
			return wire.Malformed("a cell that dies of %q", outcome)
		}
		if err := d.End(); err != nil {
			return err
		}
		c.mu.Lock()
		if c.ended == nil {
			c.blame = id
		}
		c.mu.Unlock()
		c.end(died)
		return nil
	default:
		return wire.Malformed("note %d", note)
	}
	return d.End()
}

const (
	// aftermath is for how long code that was stopped at a limit is suspected when its cell ends and nobody is blamed.
	aftermath = 5 * time.Second
	// young is how long an invocation has run that is not suspected then.
	young = 250 * time.Millisecond
)

// fate is what the end of the process means for one invocation, which began then: what it was blamed for if it was, or if nobody was.
func (c *process) fate(id uint64, begun time.Time) *Died {
	<-c.gone
	c.mu.Lock()
	greedy := c.greedy
	c.mu.Unlock()
	if c.blame == 0 && c.verdict.Outcome == agentruntime.OutcomeExceededMemory && begun.After(greedy) && time.Since(greedy) < aftermath && time.Since(begun) < young {
		died := *c.verdict
		died.Aftermath = true
		return &died
	}
	if c.blame != 0 && c.blame != id {
		return &Died{Outcome: agentruntime.OutcomeException, Text: "another invocation ended the process: " + c.verdict.Text, Err: ErrEnded}
	}
	return c.verdict
}

// head keeps the beginning of what is written to it.
type head struct {
	mu    sync.Mutex
	b     []byte
	whole chan struct{} // closed at the end
}

// maxHead is how much of a cell's standard error is kept. Go's runtime says at the very beginning what it died of.
const maxHead = 4 << 10

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.b)
}

// drain reads a cell's standard error to its end.
func (h *head) drain(from *os.File) {
	defer close(h.whole)
	defer from.Close()
	buf := make([]byte, maxHead)
	for {
		n, err := from.Read(buf)
		h.mu.Lock()
		h.b = append(h.b, buf[:min(n, maxHead-len(h.b))]...)
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}
