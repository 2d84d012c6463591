package cell

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// Actor is an actor in a cell, as agentruntime.Actor is one in this process.
type Actor struct {
	wire.Unexpected
	cell    *process
	x       *wire.Exchange
	ctx     context.Context
	host    agentruntime.Host
	name    string
	backend durable.Backend
	sockets agentruntime.Sockets // nil: nobody keeps any
	said    int

	busy atomic.Bool

	mu     sync.Mutex
	err    error // of the activation
	made   bool
	why    error // it cannot be used any more
	active chan struct{}
	gone   chan struct{}
	left   bool
}

// Activate makes an actor of the class in the agent's cell. The end of ctx ends the actor. sockets, if not nil, keeps the
// WebSockets that it accepts.
func (a *Agent) Activate(ctx context.Context, class string, from durable.Activation, host agentruntime.Host, sockets agentruntime.Sockets) (*Actor, error) {
	c, err := a.acquire(ctx)
	if err != nil {
		return nil, err
	}
	x := &Actor{cell: c, ctx: ctx, host: host, name: from.Name, backend: from.Backend, sockets: sockets, active: make(chan struct{}), gone: make(chan struct{})}
	e := wire.NewMessage(wire.OpActivate)
	e.String(class)
	e.String(from.Name)
	e.Bytes(from.Key.ID[:])
	e.State(from.State)
	c.events.Add(1)
	defer c.events.Add(-1)
	_, err = c.conn.Begin(e, x, func(w *wire.Exchange) {
		x.x = w
		c.mu.Lock()
		c.actors[w.ID()] = x
		c.mu.Unlock()
	})
	if err != nil {
		c.release()
		return nil, fmt.Errorf("constructing %s: %w", class, c.why())
	}
	select {
	case <-x.active:
	case <-ctx.Done():
		x.Close(context.Cause(ctx))
		return nil, context.Cause(ctx)
	}
	if x.err != nil {
		return nil, x.err
	}
	return x, nil
}

// Answered takes how the activation went.
func (x *Actor) Answered(payload []byte) error {
	d := wire.NewDecoder(payload)
	var err error
	if d.Bool() {
		err = d.Error()
	} else {
		x.busy.Store(d.Bool())
	}
	if end := d.End(); end != nil {
		return end
	}
	x.mu.Lock()
	x.made, x.err = err == nil, err
	x.mu.Unlock()
	close(x.active)
	if err != nil {
		x.leave()
	}
	return nil
}

// Noted takes what becomes of the actor.
func (x *Actor) Noted(note byte, payload []byte) error {
	d := wire.NewDecoder(payload)
	switch note {
	case wire.NoteEvent:
		ev := d.Event()
		if x.said += len(payload); d.End() == nil && x.said <= emitLimit+2*x.cell.agent.Load().cfg.Limits.Logs {
			x.host.Emit(ev)
		}
	case wire.NoteEnded:
		reason := d.Error()
		if d.Err() == nil {
			x.breakFor(reason)
		}
	case wire.NoteIdle:
		x.busy.Store(false)
	case wire.NoteGone:
		x.breakFor(agentruntime.ErrClosed)
		x.leave()
	default:
		if !x.socketNote(note, &d) {
			return wire.Malformed("note %d of an actor", note)
		}
	}
	return d.End()
}

func (x *Actor) breakFor(reason error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.why == nil {
		x.why = reason
	}
}

// Lost ends the actor with its cell. What it has acknowledged is stored.
func (x *Actor) Lost(error) {
	x.breakFor(reset("The actor was reset because the process that ran it has ended."))
	go func() {
		died := x.cell.fate(x.x.ID(), time.Time{})
		x.mu.Lock()
		x.why = x.told(died)
		activating := !x.made && x.err == nil
		if activating {
			x.err = x.why
		}
		x.mu.Unlock()
		if activating {
			close(x.active)
		}
		x.leave()
	}()
}

func reset(text string) *agentruntime.RemoteError {
	return &agentruntime.RemoteError{Name: "Error", Message: text, Retryable: true, Reset: true}
}

// told is what callers of the actor are told of the end of its cell.
func (x *Actor) told(died *Died) error {
	switch died.Outcome {
	case agentruntime.OutcomeExceededCPU:
		return &resetError{reset("The actor was reset because its code used more CPU time than it may."), died}
	case agentruntime.OutcomeExceededMemory:
		return &resetError{reset("The actor was reset because its code used more memory than it may."), died}
	}
	return &resetError{reset("The actor was reset because the process that ran it has ended."), died}
}

// lost is the error of an event that was under way when the cell ended.
func (x *Actor) lost(died *Died) error { return x.told(died) }

// resetError is what code is told of a reset, and for the operator the cause.
type resetError struct {
	*agentruntime.RemoteError
	cause error
}

func (e *resetError) Error() string   { return e.RemoteError.Error() + " (" + e.cause.Error() + ")" }
func (e *resetError) Unwrap() []error { return []error{e.RemoteError, e.cause} }

// leave lets the cell go, once.
func (x *Actor) leave() {
	x.mu.Lock()
	again := x.left
	x.left = true
	x.mu.Unlock()
	if again {
		return
	}
	x.x.End()
	c := x.cell
	c.mu.Lock()
	delete(c.actors, x.x.ID())
	c.mu.Unlock()
	close(x.gone)
	c.release()
}

// Fetch answers an HTTP request.
func (x *Actor) Fetch(ctx context.Context, host agentruntime.Host, req *agentruntime.Request) *Invocation {
	return x.event(ctx, host, wire.OpActorFetch, func(e *wire.Encoder) io.ReadCloser { return putRequest(e, req) })
}

// Call uses a public member of the instance: Result of the invocation has what it came to.
func (x *Actor) Call(ctx context.Context, host agentruntime.Host, call agentruntime.Call) *Invocation {
	v := x.event(ctx, host, wire.OpActorCall, func(e *wire.Encoder) io.ReadCloser {
		e.Call(x.cell.conn, call)
		return nil
	})
	if v.cell == nil {
		call.Args.Close()
	}
	return v
}

// Alarm runs the alarm handler if an alarm is due, and returns once its outcome is durable. The report's outcome is empty
// if none was due. An error says that the handler could not be run to its end: the alarm stays.
func (x *Actor) Alarm(ctx context.Context, host agentruntime.Host) (agentruntime.Report, error) {
	v := x.event(ctx, host, wire.OpActorAlarm, func(*wire.Encoder) io.ReadCloser { return nil })
	_, err := v.Response()
	return v.Wait(), err
}

func (x *Actor) event(ctx context.Context, host agentruntime.Host, op byte, put func(*wire.Encoder) io.ReadCloser) *Invocation {
	if err := x.Broken(); err != nil {
		return failed(err)
	}
	e := wire.NewMessage(op)
	e.Uint(x.x.ID())
	body := put(e)
	v := x.cell.invocation(ctx, host, x)
	v.start(op, e, body)
	return v
}

// Broken returns nil, or why the actor has ended. It is quick.
func (x *Actor) Broken() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.why
}

// Busy reports whether timers or operations are under way, whether or not an event is.
func (x *Actor) Busy() bool { return x.busy.Load() }

func (x *Actor) setBusy(busy bool) { x.busy.Store(busy) }

// Close ends the actor and returns when nothing of it runs any more. Events in flight fail with reason.
func (x *Actor) Close(reason error) {
	if reason == nil {
		reason = agentruntime.ErrClosed
	}
	x.breakFor(reason)
	e := wire.NewEncoder()
	e.Error(reason)
	x.x.Cancel(e)
	late := time.AfterFunc(closeWithin, func() {
		x.cell.end(&Died{Outcome: agentruntime.OutcomeException, Text: "it did not close an actor", Err: ErrEnded})
	})
	defer late.Stop()
	<-x.gone
}

// closeWithin is how long a cell may take to close an actor.
const closeWithin = 10 * time.Second
