package wire

import (
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// Load is the code that a cell is to run, and under what.
type Load struct {
	Name     string
	Bundle   *agentruntime.Bundle
	Bindings []agentruntime.Binding
	Limits   agentruntime.Limits
	// Memory is what the cell may use in bytes.
	Memory int64
	// Procs is how many threads may run Go code at once.
	Procs int
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
	e.Int(l.Memory)
	e.Int(int64(l.Procs))
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
	l.Memory, l.Procs = d.Int(), int(d.Int())
	return l
}

// Loaded is what a cell found in the code.
type Loaded struct {
	Handlers, Classes []string
	Limits            agentruntime.Limits
	Startup           time.Duration
}

func unixNano(n int64) time.Time { return time.Unix(0, n) }
