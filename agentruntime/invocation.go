package agentruntime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dop251/goja"
)

// Invocation is one event that an agent handles: a request, a scheduled time, a call. What its code starts, logs and
// sends is counted and written down for it.
//
// Whoever starts an invocation calls Response and closes the body, if the event is a request, and then Wait, in any
// case, on one goroutine.
type Invocation struct {
	r      *realm
	home   scope // the scope of code outside of any critical section
	hosted Host
	limits *Limits
	wall   time.Duration
	begun  time.Time
	caller context.Context

	// On the loop.
	sent      int
	holds     int
	waits     int
	logged    int
	stored    StorageCounts
	dropped   int
	cpu       time.Duration
	renewed   time.Duration // of cpu, what was used before the last message of a socket
	passes    bool          // passThroughOnException
	answered  bool          // the handler has come to its end
	due       bool          // to be looked at when the turn ends
	done      bool          // nothing is left to do
	lingering *time.Timer
	secrets   map[string]goja.Value
	waiting   connections
	imports   imports // what its code was given by reference; of an actor's code, see realm

	mu       sync.Mutex
	c        context.Context // made at first use
	cancel   context.CancelCauseFunc
	outcome  Outcome // empty while it runs well
	aborting bool
	headed   bool // what follows is the answer
	resp     *Response
	value    Value
	err      error
	closed   bool // the report is made, but for the outcome
	ended    bool
	report   Report
	head     chan struct{} // made by who waits for headed
	end      chan struct{} // made by who waits for ended
}

// invocation is the name that Web APIs use.
type invocation = Invocation

func (r *realm) newInvocation(ctx context.Context, host Host, limits *Limits, wall time.Duration) *Invocation {
	inv := &Invocation{r: r, hosted: host, limits: limits, wall: wall, begun: time.Now(), caller: ctx}
	inv.home.inv = inv
	return inv
}

// ctx ends with the invocation: when the caller has gone, a limit was passed, or everything is done. In an actor, where
// what an event began may go on after it, it ends with the actor. Safe from any goroutine.
func (inv *Invocation) ctx() context.Context {
	if inv.r.actor != nil {
		return inv.r.actor.ctx
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.c == nil {
		inv.c, inv.cancel = context.WithCancelCause(inv.caller)
		if inv.aborting || inv.ended {
			inv.cancel(ErrCanceled)
		}
	}
	return inv.c
}

// host is the invocation's way to the world.
func (inv *Invocation) host() Host { return inv.hosted }

// hold keeps the invocation from ending, while a body is pumped for instance. The function returned lets go; calling
// it again does nothing. Both are on the loop only.
func (inv *Invocation) hold() (release func()) {
	inv.holds++
	done := false
	return func() {
		if !done {
			done = true
			inv.holds--
			inv.settle()
		}
	}
}

// subrequest counts one request of the current invocation to the world outside, and refuses it past the limit.
func (r *realm) subrequest() error {
	inv := r.current()
	if inv.sent >= inv.limits.Subrequests {
		return errSubrequests
	}
	inv.sent++
	return nil
}

// answer ends the handler's part: with a response, the value of a call, or nothing. Nothing leaves before it may. On
// the loop only.
func (inv *Invocation) answer(resp *Response, value Value) {
	if inv.answered {
		return
	}
	inv.answered = true
	if resp != nil {
		switch body := resp.Body.(type) {
		case *drain:
			body.answers = inv
		case *rewriting:
			body.answers = inv
		}
		if err := inv.limitAnswer(resp); err != nil {
			inv.answered = false
			inv.fail(err)
			return
		}
	}
	inv.settle()
	inv.r.gateOutput(func(err error) {
		if err != nil {
			inv.r.lost(inv, err)
			return
		}
		inv.publish(resp, value, nil)
	})
}

// fail ends the handler's part with an exception of the code. On the loop only.
func (inv *Invocation) fail(ex error) {
	if inv.answered {
		return
	}
	if inv.gone() {
		return
	}
	inv.answered = true
	inv.settle()
	e := inv.emitException(ex)
	inv.mu.Lock()
	if inv.outcome == "" {
		inv.outcome = OutcomeException
	}
	inv.mu.Unlock()
	var remote error = e
	if inv.passes {
		remote = nil
	}
	inv.r.gateOutput(func(err error) {
		if err != nil {
			inv.r.lost(inv, err)
			return
		}
		inv.publish(nil, Value{}, remote)
	})
}

// abort ends the invocation now, whatever it is doing: a limit was passed, or the caller has gone. Safe from any
// goroutine.
func (inv *Invocation) abort(outcome Outcome, why error) {
	inv.mu.Lock()
	if inv.ended || inv.aborting {
		inv.mu.Unlock()
		return
	}
	inv.aborting, inv.outcome = true, outcome
	cancel := inv.cancel
	inv.mu.Unlock()
	inv.publish(nil, Value{}, why)
	if cancel != nil {
		cancel(why)
	}
	inv.r.aborted(inv, why)
}

// gone gives the invocation up if its caller has gone, which is then why something of it failed: what it waited for was given up
// too. An actor's events go on. On the loop only.
func (inv *Invocation) gone() bool {
	if inv.r.actor != nil || inv.caller.Err() == nil {
		return false
	}
	inv.abort(OutcomeCanceled, ErrCanceled)
	return true
}

// settle has the end of the turn see whether anything is left to do. On the loop only.
func (inv *Invocation) settle() {
	if !inv.due && !inv.done {
		inv.due = true
		inv.r.due = append(inv.r.due, inv)
	}
}

// check ends the invocation when nothing is left to do for it.
func (inv *Invocation) check() {
	inv.due = false
	if !inv.answered || inv.holds > 0 {
		return
	}
	if inv.waits > 0 {
		if inv.lingering == nil {
			inv.lingering = time.AfterFunc(waitUntilWall, func() { inv.r.deliver(&inv.home, inv.cutShort) })
		}
		return
	}
	inv.finish()
}

func (inv *Invocation) cutShort() {
	if inv.waits > 0 && !inv.done {
		inv.log("warn", "waitUntil() tasks did not complete within 30 seconds of the answer and were cancelled")
		inv.waits = 0
		inv.settle()
	}
}

// finish closes the books. On the loop only.
func (inv *Invocation) finish() {
	if inv.done {
		return
	}
	inv.done = true
	if inv.lingering != nil {
		inv.lingering.Stop()
	}
	inv.secrets = nil
	inv.imports.close()
	inv.r.finished(inv)
	inv.mu.Lock()
	defer inv.mu.Unlock()
	inv.report = Report{CPU: inv.cpu, LogsDropped: inv.dropped, Subrequests: inv.sent, Storage: inv.stored}
	inv.closed = true
	if inv.headed {
		inv.conclude()
	}
}

// conclude lets Wait return. Called under mu, once the handler's part is over and the books are closed.
func (inv *Invocation) conclude() {
	if inv.ended {
		return
	}
	inv.ended = true
	inv.report.Outcome, inv.report.Wall = inv.outcome, time.Since(inv.begun)
	if inv.outcome == "" {
		inv.report.Outcome = OutcomeOK
	}
	if inv.end != nil {
		close(inv.end)
	}
}

// publish hands the head of the answer to who waits for it. Safe from any goroutine; the first call counts.
func (inv *Invocation) publish(resp *Response, value Value, err error) {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.headed {
		return
	}
	inv.headed, inv.resp, inv.value, inv.err = true, resp, value, err
	if inv.head != nil {
		close(inv.head)
	}
	if inv.closed {
		inv.conclude()
	}
}

// Response waits for the head of the answer. No response and no error means that the code returned nothing, or failed
// after passThroughOnException: the origin is to answer. An exception of the code is a *RemoteError. The caller closes
// the body.
func (inv *Invocation) Response() (*Response, error) {
	inv.mu.Lock()
	if !inv.headed {
		inv.head = make(chan struct{})
		inv.mu.Unlock()
		inv.await(inv.head, inv.wall-time.Since(inv.begun))
		inv.mu.Lock()
	}
	defer inv.mu.Unlock()
	return inv.resp, inv.err
}

// Ended returns the report if everything is done already, and does not wait.
func (inv *Invocation) Ended() (Report, bool) {
	inv.mu.Lock()
	ended := inv.ended
	inv.mu.Unlock()
	if !ended {
		return Report{}, false
	}
	return inv.Wait(), true
}

// Wait waits until everything is done: the body was read or closed and the waitUntil promises have settled.
func (inv *Invocation) Wait() Report {
	inv.mu.Lock()
	if !inv.headed {
		inv.mu.Unlock()
		_, _ = inv.Response()
		inv.mu.Lock()
	}
	if !inv.ended {
		inv.end = make(chan struct{})
		inv.mu.Unlock()
		inv.await(inv.end, 0)
		inv.mu.Lock()
	}
	defer inv.mu.Unlock()
	if inv.cancel != nil {
		inv.cancel(ErrCanceled) // what goes on after the end has nobody left to tell
	}
	return inv.report
}

// await waits for done and aborts the invocation when its caller goes or, if limit is not zero, when it has passed.
func (inv *Invocation) await(done <-chan struct{}, limit time.Duration) {
	var late <-chan time.Time
	if limit != 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-done:
		return
	case <-late:
		inv.abort(OutcomeExceededWallTime, ErrExceededWall)
	case <-inv.caller.Done():
		inv.abort(OutcomeCanceled, errors.Join(ErrCanceled, context.Cause(inv.caller)))
	}
	<-done
}
