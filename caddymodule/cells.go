package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/worker"
)

// A cell is this program, started again. It is one before Caddy has begun to do anything.
func init() {
	if worker.Asked() {
		worker.Main()
	}
}

// Where an agent's code runs.
const (
	isolationProcess   = "process"
	isolationInProcess = "inprocess"
)

// isolation is where the agent's code runs if its configuration does not say.
func (c *AgentConfig) isolation() string {
	switch {
	case c.Isolation != "":
		return c.Isolation
	case runtime.GOOS == "linux":
		return isolationProcess
	}
	return isolationInProcess
}

// cellPools holds the one pool of cells, for as long as a release uses it.
var cellPools = caddy.NewUsagePool()

type cellPool struct{ *cell.Pool }

// Destruct ends every cell.
func (p cellPool) Destruct() error {
	p.Close()
	return nil
}

// cellLog is told of what goes on around the processes of our own.
func cellLog() *slog.Logger {
	return slog.New(zapslog.NewHandler(caddy.Log().Named("gatehouse").Core(), zapslog.AddStacktraceAt(slog.LevelError+1)))
}

func takeCells() (*cell.Pool, error) {
	v, _, err := cellPools.LoadOrNew("", func() (caddy.Destructor, error) {
		return cellPool{cell.NewPool(cell.Config{Logger: cellLog()})}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(cellPool).Pool, nil
}

func giveCells() error {
	_, err := cellPools.Delete("")
	return err
}

// makeBundle bundles the agent's code, wherever it is to run. warn may be nil.
func makeBundle(c *resolvedAgent, warn func(string)) (*agentruntime.Bundle, error) {
	o := agentruntime.BuildOptions{Main: c.Main, WithoutNode: c.withoutNode, Log: warn}
	return cell.MakeBundle(context.Background(), o, c.RequireSandbox, cellLog())
}

// newCode makes the code of a release ready to run. dropCode ends it. pressed, if not nil, is called when the memory of its
// process runs short, to close actors that are in it.
func newCode(name string, c *AgentConfig, bundle *agentruntime.Bundle, bindings []agentruntime.Binding, limits agentruntime.Limits, pressed func(in func(*cell.Actor) bool)) (code, error) {
	if c.isolation() == isolationInProcess {
		if c.Limits.Memory != 0 {
			return nil, errors.New("limits: memory is bounded only in a process of the agent's own; use isolation process, or remove the limit")
		}
		if len(c.RequireSandbox) > 0 {
			return nil, errors.New("require_sandbox: there is no sandbox around code in the server's own process; use isolation process")
		}
		script, err := bundle.Compile()
		if err != nil {
			return nil, bundle.Refusal(err)
		}
		ag, err := agentruntime.New(agentruntime.Config{Name: name, Script: script, Bindings: bindings, Limits: limits, Reuse: c.Reuse, Spares: agentruntime.DefaultSpares})
		if err != nil {
			return nil, err
		}
		return inProcess{ag}, nil
	}
	cells, err := takeCells()
	if err != nil {
		return nil, fmt.Errorf("start cells: %w", err)
	}
	ag, err := cells.NewAgent(cell.AgentConfig{Name: name, Bundle: bundle, Bindings: bindings, Limits: limits, Reuse: c.Reuse, Require: c.RequireSandbox, Pressed: pressed})
	if err != nil {
		_ = giveCells()
		return nil, err
	}
	return inCell{ag}, nil
}

// dropCode closes what newCode has made.
func (c *AgentConfig) dropCode(made code) error {
	made.Close()
	if c.isolation() == isolationProcess {
		return giveCells()
	}
	return nil
}
