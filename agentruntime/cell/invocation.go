package cell

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// Invocation is an event in a cell, as agentruntime.Invocation is one in this process: whoever starts one calls Response
// and closes the body, if the event is a request, and then Wait, in any case.
type Invocation struct {
	wire.Unexpected
	cell  *process
	x     *wire.Exchange
	host  agentruntime.Host
	ctx   context.Context // of the caller; what code asks for ends with it
	actor *Actor          // nil for an event of the agent's own
	begun time.Time
	wall  time.Duration // until the answer, as the cell is to hold it
	said  int           // bytes of what was emitted

	mu       sync.Mutex
	answered bool // by the cell
	result   wire.Result
	report   agentruntime.Report
	err      error // in place of the result
	headed   bool
	ended    bool
	canceled bool
	head     chan struct{}
	done     chan struct{}
	unwatch  func() bool // the caller is watched while a body streams
}

// failed is an invocation that never began.
func failed(err error) *Invocation {
	v := &Invocation{err: err, headed: true, ended: true, head: make(chan struct{}), done: make(chan struct{})}
	v.report.Outcome = agentruntime.OutcomeException
	close(v.head)
	close(v.done)
	return v
}

// Fetch answers an HTTP request. host is used until the invocation's end.
func (a *Agent) Fetch(ctx context.Context, host agentruntime.Host, req *agentruntime.Request) *Invocation {
	return a.FetchAt(ctx, host, agentruntime.Entry{}, req)
}

// FetchAt is Fetch for one entrypoint.
func (a *Agent) FetchAt(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, req *agentruntime.Request) *Invocation {
	return a.begin(ctx, host, wire.OpFetch, func(c *process, e *wire.Encoder) io.ReadCloser {
		e.Entry(entry)
		return putRequest(e, req)
	})
}

// Call uses a public member of an entrypoint.
func (a *Agent) Call(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, call agentruntime.Call) *Invocation {
	v := a.begin(ctx, host, wire.OpCall, func(c *process, e *wire.Encoder) io.ReadCloser {
		e.Entry(entry)
		e.Call(c.conn, call)
		return nil
	})
	if v.cell == nil {
		call.Args.Close()
	}
	return v
}

// Scheduled runs the scheduled handler for a cron expression that was due at the time at.
func (a *Agent) Scheduled(ctx context.Context, host agentruntime.Host, cron string, at time.Time) *Invocation {
	return a.begin(ctx, host, wire.OpScheduled, func(_ *process, e *wire.Encoder) io.ReadCloser {
		e.String(cron)
		e.Time(at)
		return nil
	})
}

// Tail runs the tail handler with events, a JSON array.
func (a *Agent) Tail(ctx context.Context, host agentruntime.Host, events []byte) *Invocation {
	return a.begin(ctx, host, wire.OpTail, func(_ *process, e *wire.Encoder) io.ReadCloser {
		e.Bytes(events)
		return nil
	})
}

// begin sends an event to the agent's cell.
func (a *Agent) begin(ctx context.Context, host agentruntime.Host, op byte, put func(*process, *wire.Encoder) io.ReadCloser) *Invocation {
	c, err := a.acquire(ctx)
	if err != nil {
		return failed(err)
	}
	e := wire.NewMessage(op)
	body := put(c, e)
	v := c.invocation(ctx, host, nil)
	v.start(op, e, body)
	return v
}

// putRequest writes a request and returns the body that is to follow, if one is.
func putRequest(e *wire.Encoder, req *agentruntime.Request) io.ReadCloser {
	e.Request(req)
	// A short body of known length comes with the head, if its sender does not wait to be asked for it.
	if n := req.ContentLength; req.Body != nil && n > 0 && n <= wire.WholeBody && req.Header.Get("Expect") == "" {
		return e.Short(req.Body, int(n))
	}
	if e.Body(req.Body) {
		return req.Body
	}
	return nil
}

func (c *process) invocation(ctx context.Context, host agentruntime.Host, a *Actor) *Invocation {
	return &Invocation{
		cell: c, host: host, ctx: ctx, actor: a, begun: time.Now(), head: make(chan struct{}), done: make(chan struct{}),
	}
}

// start sends the event. The cell is held for it.
func (v *Invocation) start(op byte, e *wire.Encoder, body io.ReadCloser) {
	c := v.cell
	v.wall = wall(c, op)
	c.events.Add(1)
	_, err := c.conn.Begin(e, v, func(x *wire.Exchange) {
		v.x = x
		c.mu.Lock()
		c.live[x.ID()] = v
		c.mu.Unlock()
		if body != nil {
			out := x.Send(0)
			go out.Copy(keepOpen{body})
		}
	})
	if err != nil {
		v.x = nil
		go v.lost()
	}
}

// wall is the limit on the time until an event's answer.
func wall(c *process, op byte) time.Duration {
	limits := c.agent.Load().cfg.Limits
	if op == wire.OpActorAlarm {
		return agentruntime.AlarmWall
	}
	return limits.Wall + 2*limits.Startup // the module is evaluated first
}

// overdue reports whether the cell should have answered long ago, or does not end what was given up.
func (v *Invocation) overdue(now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.answered && now.Sub(v.begun) > v.wall+answerWithin
}

// answerWithin is how much later than its limits a cell may answer.
const answerWithin = 3 * time.Second

// keepOpen is a request's body, which whoever began the invocation closes.
type keepOpen struct{ io.Reader }

func (keepOpen) Close() error { return nil }

// Answered takes the head of the answer, and often the end with it.
func (v *Invocation) Answered(payload []byte) error {
	d := wire.NewDecoder(payload)
	r := d.Result(v.x)
	ended, rep, busy := d.Ended()
	if err := d.End(); err != nil {
		return err
	}
	v.mu.Lock()
	v.answered = true
	if !v.headed {
		v.result, v.headed = r, true
		close(v.head)
	} else {
		r.Value.Close() // nobody waits any more
		if in, ok := v.body(r); ok {
			_ = in.Close()
		}
		if r.Response != nil && r.Response.Socket != nil {
			_ = r.Response.Socket.Close(1006, "")
		}
	}
	v.mu.Unlock()
	if ended {
		v.finish(rep, busy)
	}
	return nil
}

func (v *Invocation) body(r wire.Result) (*wire.Inbound, bool) {
	if r.Response == nil {
		return nil, false
	}
	in, ok := r.Response.Body.(*wire.Inbound)
	return in, ok
}

// Noted takes what the code emits, and the end.
func (v *Invocation) Noted(note byte, payload []byte) error {
	d := wire.NewDecoder(payload)
	switch note {
	case wire.NoteEvent:
		v.emit(len(payload), d.Event(), d.End())
	case wire.NoteReport:
		ended, rep, busy := d.Ended()
		v.mu.Lock()
		early := !v.answered
		v.mu.Unlock()
		if !ended || early {
			return wire.Malformed("an end before the answer")
		}
		if err := d.End(); err != nil {
			return err
		}
		v.finish(rep, busy)
	default:
		return wire.Malformed("note %d of an invocation", note)
	}
	return d.End()
}

// emitLimit is how many bytes one invocation may emit beside its log lines, which have a limit of their own.
const emitLimit = 1 << 20

// emit hands over what the code emitted, as long as there is not more of it than an honest cell lets through.
func (v *Invocation) emit(size int, ev agentruntime.Event, err error) {
	if v.said += size; err == nil && v.said <= emitLimit+2*v.cell.agent.Load().cfg.Limits.Logs {
		v.host.Emit(ev)
	}
}

// finish takes the end.
func (v *Invocation) finish(rep agentruntime.Report, busy bool) {
	if v.actor != nil {
		v.actor.setBusy(busy)
	}
	v.leave()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return
	}
	if rep.Outcome == agentruntime.OutcomeExceededCPU || rep.Outcome == agentruntime.OutcomeExceededMemory {
		v.cell.mu.Lock()
		v.cell.greedy = time.Now()
		v.cell.mu.Unlock()
	}
	if v.canceled && rep.Outcome == agentruntime.OutcomeOK {
		rep.Outcome = agentruntime.OutcomeCanceled
	}
	v.report, v.ended = rep, true
	if v.unwatch != nil {
		v.unwatch()
	}
	close(v.done)
}

// leave lets the cell go.
func (v *Invocation) leave() {
	c := v.cell
	if v.x != nil {
		v.x.End()
		c.mu.Lock()
		delete(c.live, v.x.ID())
		c.mu.Unlock()
	}
	c.events.Add(-1)
	if v.actor == nil {
		c.release()
	}
}

// Lost ends the invocation with its cell.
func (v *Invocation) Lost(error) { go v.lost() }

func (v *Invocation) lost() {
	id := uint64(0)
	if v.x != nil {
		id = v.x.ID()
	}
	died := v.cell.fate(id, v.begun)
	v.leave()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return
	}
	v.report = agentruntime.Report{Outcome: died.Outcome, Wall: time.Since(v.begun)}
	if !v.headed {
		v.headed, v.err = true, died
		if v.actor != nil {
			v.err = v.actor.lost(died)
		}
		close(v.head)
	}
	if v.canceled {
		v.report.Outcome = agentruntime.OutcomeCanceled
	} else {
		v.explain(died)
	}
	v.ended = true
	close(v.done)
}

// explain writes down what ended the invocation, as an exception would be.
func (v *Invocation) explain(died *Died) {
	x := &agentruntime.Exception{Time: time.Now(), Name: "Error", Message: died.Text}
	var remote *agentruntime.RemoteError
	switch {
	case died.Outcome == agentruntime.OutcomeExceededCPU:
		x.Message = "Worker exceeded CPU time limit."
	case died.Outcome == agentruntime.OutcomeExceededMemory:
		x.Message = "Worker exceeded memory limit."
	case errors.As(died.Err, &remote):
		x.Name, x.Message = remote.Name, remote.Message
	}
	v.host.Emit(agentruntime.Event{Exception: x})
}

// Response waits for the head of the answer. No response and no error means that the code returned nothing. The caller
// closes the body.
func (v *Invocation) Response() (*agentruntime.Response, error) {
	v.await(v.head)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return nil, v.err
	}
	if r := v.result.Response; r != nil && r.Status < 200 && r.Status != http.StatusSwitchingProtocols {
		return nil, errors.New("cell: an answer with an informational status")
	}
	if in, ok := v.body(v.result); ok && v.unwatch == nil && !v.ended {
		v.unwatch = context.AfterFunc(v.ctx, func() {
			v.cancel()
			in.Fail(context.Canceled)
		})
	}
	return v.result.Response, v.result.Err
}

// Result waits for the result of a call.
func (v *Invocation) Result() (agentruntime.Value, error) {
	if _, err := v.Response(); err != nil {
		return agentruntime.Value{}, err
	}
	return v.result.Value, nil
}

// Wait waits until everything is done: the body was read or closed and the waitUntil promises have settled.
func (v *Invocation) Wait() agentruntime.Report {
	v.await(v.done)
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.report
}

// Ended returns the report if everything is done already, and does not wait.
func (v *Invocation) Ended() (agentruntime.Report, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.report, v.ended
}

// await waits for done and gives the invocation up when its caller goes.
func (v *Invocation) await(done <-chan struct{}) {
	select {
	case <-done:
		return
	default:
	}
	select {
	case <-done:
		return
	case <-v.ctx.Done():
		v.cancel()
	}
	<-done
}

// cancel tells the cell that the caller has gone, and the caller that it has.
func (v *Invocation) cancel() {
	v.mu.Lock()
	again := v.canceled
	v.canceled = true
	if !v.headed {
		v.headed, v.err = true, errors.Join(agentruntime.ErrCanceled, context.Cause(v.ctx))
		close(v.head)
	}
	v.mu.Unlock()
	if !again && v.x != nil {
		v.x.Cancel(nil)
	}
}
