package wire

import (
	"errors"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
)

// Load is the code that a cell is to run, and under what.
type Load struct {
	Name     string
	Bundle   *agentruntime.Bundle
	Bindings []agentruntime.Binding
	Limits   agentruntime.Limits
	// Reuse is how many events one runtime may serve.
	Reuse int
	// Explain asks for Loaded.Slow.
	Explain bool
	// Procs is how many threads may run Go code at once.
	Procs int
	// Sandbox is what the cell gives up before it looks at the code; nil leaves it everything.
	Sandbox *sandbox.Options
}

func (e *Encoder) Load(l Load) {
	e.String(l.Name)
	e.String(l.Bundle.Code)
	e.Bytes(l.Bundle.Map)
	e.Uint(uint64(len(l.Bindings)))
	for _, b := range l.Bindings {
		e.String(b.Name)
		e.Byte(byte(b.Kind))
		e.String(b.Value)
		e.String(b.Class)
		e.String(b.Agent)
		e.String(b.Namespace)
	}
	e.Duration(l.Limits.CPU)
	e.Duration(l.Limits.Wall)
	e.Int(int64(l.Limits.Subrequests))
	e.Int(l.Limits.Memory)
	e.Int(int64(l.Limits.Connections))
	e.Int(l.Limits.RequestBody)
	e.Int(l.Limits.ResponseBody)
	e.Int(int64(l.Limits.Logs))
	e.Duration(l.Limits.Startup)
	e.Int(int64(l.Reuse))
	e.Bool(l.Explain)
	e.Int(int64(l.Procs))
	if e.Bool(l.Sandbox != nil); l.Sandbox != nil {
		e.Int(int64(l.Sandbox.Report))
		e.Int(l.Sandbox.Data)
		e.Int(int64(l.Sandbox.User))
		e.Bool(l.Sandbox.MachineCode)
	}
}

func (d *Decoder) Load() Load {
	l := Load{Name: d.String(), Bundle: &agentruntime.Bundle{Code: d.String(), Map: d.Bytes()}}
	for range d.count(maxList) {
		l.Bindings = append(l.Bindings, agentruntime.Binding{
			Name: d.String(), Kind: agentruntime.BindingKind(d.Byte()), Value: d.String(),
			Class: d.String(), Agent: d.String(), Namespace: d.String(),
		})
	}
	l.Limits = agentruntime.Limits{
		CPU: d.Duration(), Wall: d.Duration(), Subrequests: int(d.Int()), Memory: d.Int(), Connections: int(d.Int()),
		RequestBody: d.Int(), ResponseBody: d.Int(), Logs: int(d.Int()), Startup: d.Duration(),
	}
	l.Reuse, l.Explain, l.Procs = int(d.Int()), d.Bool(), int(d.Int())
	if d.Bool() {
		l.Sandbox = &sandbox.Options{Report: int(d.Int()), Data: d.Int(), User: int(d.Int()), MachineCode: d.Bool()}
	}
	return l
}

// Loaded is what a cell found in the code: the handlers of each entrypoint, and the classes.
type Loaded struct {
	Entries map[string][]string
	Classes []string
	// Durable are those of the classes that extend DurableObject.
	Durable []string
	// Workflows are those that extend WorkflowEntrypoint.
	Workflows []string
	// Slow is what agentruntime.Agent.SlowStart says, if Load.Explain asked for it.
	Slow string
	// InForce is what holds the cell, as far as it knows.
	InForce sandbox.InForce
}

// How loading went.
const (
	loadGood byte = iota
	loadNotCompiled
	loadRefused
)

// Loaded writes what was found, or why the code does not load.
func (e *Encoder) Loaded(l Loaded, err error) {
	var at *agentruntime.CompileError
	switch {
	case errors.As(err, &at):
		e.Byte(loadNotCompiled)
		e.Int(int64(at.Line))
		e.Int(int64(at.Column))
		e.String(at.Text)
		e.String(at.Help)
	case err != nil:
		e.Byte(loadRefused)
		e.Error(err)
	default:
		e.Byte(loadGood)
		e.Uint(uint64(len(l.Entries)))
		for name, handlers := range l.Entries {
			e.String(name)
			e.Strings(handlers)
		}
		e.Strings(l.Classes)
		e.Strings(l.Durable)
		e.Strings(l.Workflows)
		e.String(l.Slow)
		e.InForce(l.InForce)
	}
}

// InForce writes what holds a cell.
func (e *Encoder) InForce(f sandbox.InForce) {
	e.String(f.Seccomp)
	e.Int(int64(f.Landlock))
	e.String(f.Memory)
	e.Bool(f.User)
	e.Strings(f.Missing)
}

// InForce reads what Encoder.InForce wrote.
func (d *Decoder) InForce() sandbox.InForce {
	return sandbox.InForce{Seccomp: d.String(), Landlock: int(d.Int()), Memory: d.String(), User: d.Bool(), Missing: d.Strings()}
}

// Loaded reads what Encoder.Loaded wrote. Its error is Malformed, or why the code does not load: a *CompileError if it does
// not compile.
func (d *Decoder) Loaded() (l Loaded, err error) {
	switch k := d.Byte(); k {
	case loadGood:
		l.Entries = map[string][]string{}
		for range d.count(maxList) {
			name := d.String()
			l.Entries[name] = d.Strings()
		}
		l.Classes, l.Durable, l.Workflows, l.Slow = d.Strings(), d.Strings(), d.Strings(), d.String()
		l.InForce = d.InForce()
	case loadNotCompiled:
		err = &agentruntime.CompileError{Line: int(d.Int()), Column: int(d.Int()), Text: d.String(), Help: d.String()}
	case loadRefused:
		err = d.Error()
	default:
		d.fail("a load that went in way %d", k)
	}
	if end := d.End(); end != nil {
		return l, end
	}
	return l, err
}
