package cell

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
)

// held logs what holds the agent's cell, when that is not what was logged last, and fails if it is less than is required.
func (a *Agent) held(f sandbox.InForce) error {
	p := a.pool
	p.mu.Lock()
	text := f.String()
	changed := p.held != text
	p.held = text
	p.mu.Unlock()
	if changed {
		level := slog.LevelInfo
		if len(f.Lacks(sandbox.Parts)) > 0 {
			level = slog.LevelWarn
		}
		p.log.Log(p.ctx, level, "the sandbox of cells", "in_force", text)
	}
	return lacking(f, a.cfg.Require)
}

// lacking is the refusal to run in less of a sandbox than is required.
func lacking(f sandbox.InForce, required []string) error {
	if lacks := f.Lacks(required); len(lacks) > 0 {
		return fmt.Errorf("require_sandbox: this system does not offer %s (%s): run on a kernel that does, or require less",
			strings.Join(lacks, " and "), strings.Join(f.Missing, "; "))
	}
	return nil
}

// maxRefusals is how many system calls a cell may be refused before it is ended. One that is not taken over makes none, but for
// the look for a file that a library makes at its first use and does without.
const maxRefusals = 64

// refused is told of each system call that the kernel refused the cell.
func (c *process) refused(call sandbox.Call) {
	name := ""
	if a := c.agent.Load(); a != nil {
		name = a.cfg.Name
	}
	c.pool.log.Error("a cell was refused a system call", "agent", name, "call", call.Name, "thread", call.PID)
	if c.refusals.Add(1) == maxRefusals {
		c.end(&Died{Outcome: agentruntime.OutcomeException, Text: "it kept asking for what a cell may not have", Err: ErrEnded})
	}
}

// suspect looks at what a Host answered: no honest cell asks for a binding that its agent does not have.
func (c *process) suspect(err error) {
	if errors.Is(err, agentruntime.ErrNoBinding) {
		c.lied(err.Error())
	}
}

// lied is told of what the cell asked its gateway for and no honest one would, or only one whose request crossed with an end. It
// was refused.
func (c *process) lied(asked string) {
	name := ""
	if a := c.agent.Load(); a != nil {
		name = a.cfg.Name
	}
	c.pool.log.Error("a cell asked for what its agent does not have", "agent", name, "asked", asked)
	if c.refusals.Add(1) == maxRefusals {
		c.end(&Died{Outcome: agentruntime.OutcomeException, Text: "it kept asking for what a cell may not have", Err: ErrEnded})
	}
}

// signalled reports whether a process ended by a signal.
func signalled(wait error, sig syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(wait, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == sig
}
