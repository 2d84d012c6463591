package agentruntime

import (
	"context"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultSpares is how many spares an agent has that nobody has measured.
const DefaultSpares = 4

const (
	// quiet is how long no JavaScript must have run in the process before a spare is made.
	quiet = 3 * time.Millisecond
	// readyBytes bounds what an agent's runtimes that serve nobody may hold, as far as the module's evaluation tells.
	readyBytes = 16 << 20
	// mostReady bounds their number.
	mostReady = 64
)

// turnsBegun counts the turns of all isolates. That it stands still says that nobody waits for the processor.
var turnsBegun atomic.Uint64

// ready holds the isolates of an agent that have evaluated the module and serve nobody: spares, which have not served
// anybody, and those that may serve again, where Config.Reuse lets them. They are taken last in, first out. They go with the
// agent, and so never outlive a version.
type ready struct {
	mu     sync.Mutex
	list   []*realm
	spares int  // how many of list are spares
	making bool // a spare is being made, or will be
	barred bool // the module can't be evaluated ahead
}

// take removes and returns an isolate, nil if there is none, and has a spare made in idle time where one is missing.
func (a *Agent) take() *realm {
	p := &a.ready
	p.mu.Lock()
	defer p.mu.Unlock()
	var r *realm
	if n := len(p.list); n > 0 {
		r = p.list[n-1]
		p.list[n-1] = nil
		p.list = p.list[:n-1]
		if r.first != nil {
			p.spares--
		}
	}
	a.refill()
	return r
}

// keep puts an isolate back and reports whether there was room. It is the last that its user does with it.
func (a *Agent) keep(r *realm) bool {
	p := &a.ready
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) >= a.mostReady() {
		return false
	}
	p.list = append(p.list, r)
	if r.first != nil {
		p.spares++
	}
	return true
}

// mostReady is how many isolates may be ready: by number, and by what each may hold.
func (a *Agent) mostReady() int {
	return int(min(mostReady, readyBytes/max(a.size, 1)))
}

// refill has a spare made when the process is idle, if one is missing. Called under mu.
func (a *Agent) refill() {
	p := &a.ready
	if p.making || p.barred || p.spares >= min(a.spares, a.mostReady()) {
		return
	}
	p.making = true
	seen := turnsBegun.Load()
	time.AfterFunc(quiet, func() { a.makeSpare(seen) })
}

func (a *Agent) makeSpare(seen uint64) {
	barred := false
	if turnsBegun.Load() == seen {
		r := a.spare()
		barred = r == nil || !a.keep(r) && a.mostReady() == 0
	}
	p := &a.ready
	p.mu.Lock()
	defer p.mu.Unlock()
	p.making, p.barred = false, barred
	a.refill()
}

// spare evaluates the module ahead of an invocation that is not known yet. It returns nil when the evaluation did not come
// to its end at once, or has begun something: that must happen within the invocation.
func (a *Agent) spare() *realm {
	r := a.newRealm()
	limits := a.limits
	limits.CPU = a.limits.Startup
	said := &rehearsal{Host: a.host}
	inv := r.newInvocation(context.Background(), said, &limits, limits.Wall)
	r.home, r.first, r.left = &inv.home, inv, a.reuse
	evaluated := false
	r.loop.run(task{scope: &inv.home, run: func() {
		r.evaluate(func(err error) {
			if evaluated = err == nil; !evaluated {
				inv.fail(err)
				return
			}
			// Most code meets a promise, and the first one makes the engine's whole class.
			r.newPromise()
		})
	}})
	if !evaluated || r.pending > 0 || inv.waits > 0 || inv.holds > 0 || inv.sent > 0 || inv.c != nil || inv.Broken() {
		inv.abort(OutcomeCanceled, ErrCanceled)
		return nil
	}
	return r
}

// Broken reports whether the invocation was ended before its time.
func (inv *Invocation) Broken() bool {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return inv.aborting || inv.outcome != ""
}

// rehearsal is the host of an evaluation ahead of its invocation: what the module logs there waits for it.
type rehearsal struct {
	Host
	events []Event
}

// Emit keeps the event.
func (h *rehearsal) Emit(ev Event) { h.events = append(h.events, ev) }

// begin makes the invocation that a spare was evaluated for the one of host's event.
func (inv *Invocation) begin(ctx context.Context, host Host, limits *Limits) {
	said := inv.hosted.(*rehearsal)
	inv.r.first = nil
	inv.hosted, inv.caller, inv.limits, inv.wall = host, ctx, limits, limits.Wall
	inv.begun, inv.cpu = time.Now(), 0
	for _, ev := range said.events {
		host.Emit(ev)
	}
}

// rest puts an isolate whose invocation is done back among the ready ones, if it may serve again. It is called on the loop's
// goroutine, when the loop is empty, and must be the last that is done there.
func (r *realm) rest() {
	r.over, r.home = false, nil
	if !r.agent.keep(r) {
		r.retire()
	}
}

// mayServe reports whether the isolate may serve another event: it has not served all that it may, and nothing of the one that
// is over is under way.
func (r *realm) mayServe() bool {
	return r.left > 0 && r.pending == 0 && len(r.watching) == 0 && !r.retired && !r.home.inv.Broken()
}

// allocated is what the process has allocated on the heap so far.
func allocated() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
