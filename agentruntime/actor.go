package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/durable/sqlite"
)

// ActorConfig makes an Actor. Class, ID, Storage and Host are required.
type ActorConfig struct {
	// Class is the exported class that the actor is an instance of.
	Class string
	ID    durable.ID
	// Name is the name the id was made from, if any.
	Name    string
	Storage *durable.Storage
	// Host is asked by the constructor and what it starts.
	Host Host
	// Ended, if not nil, is called once, from any goroutine, with the reason for which the actor cannot be used any more. What
	// events in flight come to is published after.
	Ended func(reason error)
	// Sockets keeps the WebSockets that the actor accepts with ctx.acceptWebSocket; nil if nobody does.
	Sockets Sockets
	// Idle, if not nil, is called on the actor's loop when Busy has become false.
	Idle func()
}

// Actor is one instance of a class in memory, with an isolate of its own. Its methods are safe for concurrent use.
type Actor struct {
	r        *realm
	class    string
	id       durable.ID
	name     string
	storage  *durable.Storage
	db       *sqlite.Database // also whose transactions cover the storage
	sockets  Sockets
	ctx      context.Context // of the actor's life: operations go on after the event that began them
	cancel   context.CancelCauseFunc
	instance *goja.Object
	state    *goja.Object
	alarming *steps // of the alarm handler that runs, nil if none does
	workflow bool   // it stands for an instance of a workflow's class

	// On the loop.
	root     section
	deferred []task // kept back by a critical section
	ready    func() // called when no critical section is open any more
	outgoing []func(error)

	kept map[uint64]*webSocket // that the gateway keeps, as far as code has seen them
	auto **AutoResponse        // as code sees it; nil: the gateway knows

	ended      func(error)
	idle       func()
	socketWall atomic.Int64 // the limit on a socket's event in milliseconds that code has set, zero for none

	busy atomic.Bool
	mu   sync.Mutex
	live map[*Invocation]struct{}
	why  error // why the actor has ended
	gone chan struct{}
}

// Activate evaluates the module in an isolate for the actor and constructs its instance. It returns when the
// constructor and the critical sections it began have come to their end. The end of ctx ends the actor.
func (a *Agent) Activate(ctx context.Context, cfg ActorConfig) (*Actor, error) {
	r := a.newRealm()
	x := &Actor{r: r, class: cfg.Class, id: cfg.ID, name: cfg.Name, storage: cfg.Storage, db: sqlite.New(cfg.Storage), sockets: cfg.Sockets, ended: cfg.Ended, idle: cfg.Idle, gone: make(chan struct{})}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	r.actor = x
	limits := a.limits
	limits.CPU += limits.Startup
	base, err := x.open(ctx, cfg.Host, &limits, limits.Wall)
	if err != nil {
		return nil, err
	}
	r.home = &base.home
	r.loop.run(task{scope: &base.home, run: func() {
		r.evaluate(func(err error) {
			if err == nil {
				err = x.construct()
			}
			ready := func() {
				base.limits = &a.limits
				base.answer(nil, Value{})
			}
			switch {
			case err != nil:
				r.failed(err, base.fail)
			case x.root.child != nil:
				x.ready = ready
			default:
				ready()
			}
		})
	}})
	if _, err := base.Response(); err != nil {
		x.Close(err)
		return nil, fmt.Errorf("constructing %s: %w", cfg.Class, err)
	}
	return x, nil
}

// construct makes the instance.
func (x *Actor) construct() error {
	class, _ := x.r.member(x.r.exports(), x.class).(*goja.Object)
	// Unlike Runtime.New, a constructor called so is followed by the promise jobs it made.
	create, ok := goja.AssertConstructor(class)
	if !ok {
		return &RemoteError{Name: "Error", Message: "the script does not export the class " + x.class}
	}
	x.state = x.r.actorState(x)
	one := func(ctx goja.Value) (*goja.Object, error) { return create(class, ctx, x.r.env()) }
	var made *goja.Object
	var err error
	if x.workflow = x.r.extends(class, workflowBase); x.workflow {
		made, err = x.makeWorkflow(one)
	} else {
		made, err = one(x.state)
	}
	if err != nil {
		return err
	}
	x.instance = made
	return nil
}

// open begins an event, unless the actor has ended.
func (x *Actor) open(ctx context.Context, host Host, limits *Limits, wall time.Duration) (*Invocation, error) {
	inv := x.r.newInvocation(ctx, host, limits, wall)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.why != nil {
		return inv, x.why
	}
	if x.live == nil {
		x.live = make(map[*Invocation]struct{}, 1)
	}
	x.live[inv] = struct{}{}
	return inv, nil
}

// event runs fn as an event of the actor.
func (x *Actor) event(ctx context.Context, host Host, wall time.Duration, fn func(inv *Invocation)) *Invocation {
	inv, err := x.open(ctx, host, &x.r.agent.limits, wall)
	if err != nil {
		inv.refuse(err)
		return inv
	}
	x.r.loop.run(task{scope: &inv.home, run: func() { fn(inv) }})
	return inv
}

// refuse ends an invocation that never began.
func (inv *Invocation) refuse(err error) {
	inv.outcome, inv.closed = OutcomeException, true
	inv.publish(nil, Value{}, err)
}

// Fetch answers an HTTP request. The actor runs on the caller's goroutine as far as it gets without waiting, unless it
// runs already.
func (x *Actor) Fetch(ctx context.Context, host Host, req *Request) *Invocation {
	r := x.r
	return x.event(ctx, host, r.agent.limits.Wall, func(inv *Invocation) {
		fn, ok := goja.AssertFunction(r.member(x.instance, "fetch"))
		if !ok {
			inv.fail(&RemoteError{Name: "TypeError", Message: "the class " + x.class + " has no fetch handler"})
			return
		}
		bounded := *req
		bounded.Body = limitBody(req.Body, r.agent.limits.RequestBody)
		v, err := fn(x.instance, r.requestValue(&bounded))
		r.outcome(inv, v, err, func(inv *Invocation, v goja.Value) {
			resp, err := r.responseFrom(v)
			if err != nil {
				inv.fail(err)
				return
			}
			inv.answer(resp, Value{})
		})
	})
}

// Call uses a public member of the instance: Result of the invocation has what it came to.
func (x *Actor) Call(ctx context.Context, host Host, call Call) *Invocation {
	return x.event(ctx, host, x.r.agent.limits.Wall, func(inv *Invocation) { x.r.serve(inv, x.instance, call) })
}

// Alarm runs the alarm handler if an alarm is due, and returns once its outcome, a retry included, is durable. The report's
// outcome is empty if none was due. An error says that the handler could not be run to its end: the alarm stays.
func (x *Actor) Alarm(ctx context.Context, host Host) (Report, error) {
	ran := false
	inv := x.event(ctx, host, AlarmWall, func(inv *Invocation) {
		info, due := x.storage.AlarmStarted()
		if !due {
			inv.answer(nil, Value{})
			return
		}
		ran = true
		x.runAlarm(inv, info)
	})
	_, err := inv.Response()
	report := inv.Wait()
	if !ran {
		report = Report{}
	}
	var remote *RemoteError
	if errors.As(err, &remote) && !remote.Reset {
		err = nil // the handler threw, which was written down as its outcome
	}
	if report.Outcome == OutcomeExceededWallTime {
		x.end(&RemoteError{Name: "Error", Message: "the alarm handler took longer than it may", Reset: true})
	}
	return report, err
}

func (x *Actor) runAlarm(inv *Invocation, info durable.AlarmInfo) {
	r := x.r
	fn, ok := goja.AssertFunction(r.member(x.instance, "alarm"))
	if !ok {
		x.storage.AlarmSucceeded()
		inv.fail(&RemoteError{Name: "TypeError", Message: "the class " + x.class + " has no alarm handler"})
		return
	}
	told := r.rt.NewObject()
	_ = told.Set("isRetry", info.IsRetry)
	_ = told.Set("retryCount", info.RetryCount)
	_ = told.Set("scheduledTime", info.Scheduled.UnixMilli())
	x.alarming = &steps{inv: inv, alarm: info, taken: map[string]bool{}}
	v, err := fn(x.instance, told)
	fail := func(err error) {
		if !x.storage.AlarmFailed() {
			x.clearSteps()
		}
		x.alarming = nil
		inv.fail(err)
	}
	if err != nil {
		r.failed(err, fail)
		return
	}
	r.when(v, func(_ goja.Value, err error) {
		if err != nil {
			r.failedWith(err, fail)
			return
		}
		x.clearSteps()
		x.alarming = nil
		x.storage.AlarmSucceeded()
		inv.answer(nil, Value{})
	})
}

// commit ends a turn: what it wrote is handed to the store, and what is to leave waits for that to be durable.
func (x *Actor) commit() {
	if err := x.db.EndTurn(); err != nil {
		x.storage.Break(&RemoteError{Name: "Error", Message: "The actor was reset because the turn's SQL could not be committed: " + err.Error(), Reset: true})
	}
	x.storage.Flush()
	for _, fn := range x.outgoing {
		x.storage.Gate(fn)
	}
	clear(x.outgoing)
	x.outgoing = x.outgoing[:0]
	busy := x.r.pending > 0
	if x.busy.Swap(busy) && !busy && x.idle != nil {
		x.idle()
	}
	if err := x.storage.Broken(); err != nil {
		x.reset(err)
	}
}

// gateOutput runs fn once what the actor has written so far is durable, or with the error that kept it from being so;
// elsewhere at once. It is called on the loop; fn may run on any goroutine, must be quick and must not touch the realm.
// Whatever leaves an actor passes here.
func (r *realm) gateOutput(fn func(error)) {
	if r.actor == nil {
		fn(nil)
		return
	}
	r.actor.outgoing = append(r.actor.outgoing, fn)
}

// lost is what a closed gate means for an invocation: its answer must not leave. Safe from any goroutine.
func (r *realm) lost(inv *Invocation, err error) {
	r.actor.reset(err)
	inv.abort(OutcomeException, r.actor.Broken())
}

// resetError is why an actor was reset: what code is told of it, and for the operator the cause.
type resetError struct {
	*RemoteError
	cause error
}

func (e *resetError) Error() string   { return e.RemoteError.Error() + " (" + e.cause.Error() + ")" }
func (e *resetError) Unwrap() []error { return []error{e.RemoteError, e.cause} }

// reset ends the actor because of an error of its own. Safe from any goroutine.
func (x *Actor) reset(cause error) {
	told := &RemoteError{Name: "Error", Message: "The actor was reset because its storage failed; what was not confirmed may be lost.", Retryable: true, Reset: true}
	if errors.Is(cause, ErrExceededCPU) {
		told.Message = "The actor was reset because its code used more CPU time than it may."
	}
	var remote *RemoteError
	if errors.As(cause, &remote) {
		copied := *remote
		copied.Reset = true
		told = &copied
	}
	x.end(&resetError{told, cause})
}

// end ends the actor: events in flight fail with reason. Safe from any goroutine; the first call counts.
func (x *Actor) end(reason error) {
	x.mu.Lock()
	if x.why != nil {
		x.mu.Unlock()
		return
	}
	x.why = reason
	live := make([]*Invocation, 0, len(x.live))
	for inv := range x.live {
		live = append(live, inv)
	}
	x.mu.Unlock()
	if x.ended != nil {
		x.ended(reason)
	}
	for _, inv := range live {
		inv.abort(OutcomeException, reason)
	}
	x.storage.Break(reason)
	x.cancel(reason)
	x.r.meter.halt(x.r.rt, reason)
	x.r.loop.close(func() {
		for _, inv := range live {
			inv.finish()
		}
		x.r.imports.close()
		x.db.Close()
		x.r.retire()
		close(x.gone)
	})
}

// left forgets an invocation that is done.
func (x *Actor) left(inv *Invocation) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.live, inv)
}

// Broken returns nil, or why the actor has ended. It is quick.
func (x *Actor) Broken() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.why
}

// Busy reports whether timers or operations are under way, whether or not an event is.
func (x *Actor) Busy() bool { return x.busy.Load() }

// Close ends the actor and returns when nothing of it runs any more. Events in flight fail with reason.
func (x *Actor) Close(reason error) {
	if reason == nil {
		reason = ErrClosed
	}
	x.end(reason)
	<-x.gone
}

// Result waits for the result of a call.
func (inv *Invocation) Result() (Value, error) {
	if _, err := inv.Response(); err != nil {
		return Value{}, err
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return inv.value, nil
}
