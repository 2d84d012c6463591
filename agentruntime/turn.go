package agentruntime

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dop251/goja"
)

// turn runs one task with the promise jobs it makes, measured and charged to the invocation it belongs to, and then
// does what a turn's end brings: rejections nobody handled, an actor's commit, invocations that are done.
func (r *realm) turn(t task) {
	s := t.scope
	if s == nil {
		s = r.home
	}
	if a := r.actor; a != nil && a.defers(s, t) {
		return
	}
	if s == nil || r.actor == nil && s.inv.done {
		return // of an event that is over, in an isolate that may serve another
	}
	inv := s.inv
	r.at = s
	turnsBegun.Add(1)
	r.turns++
	r.meter.inv = inv
	r.meter.begin(r.rt, inv.budget(), inv.grace())
	r.guard(t.run)
	r.guard(r.runJobs)
	if n := len(r.watching); n > 0 {
		if r.guard(r.look); len(r.watching) < n {
			r.guard(r.runJobs)
		}
	}
	if len(r.rejections) > 0 {
		r.guard(r.reportRejections)
	}
	used, tripped := r.meter.end()
	r.at = s
	inv.cpu += used
	r.endTurn(inv, tripped)
}

// guard runs fn; a panic that is not JavaScript's is a defect of an implementation, and must not end the process.
func (r *realm) guard(fn func()) {
	defer func() {
		if x := recover(); x != nil {
			if err, ok := x.(error); ok {
				r.fault(err)
			} else {
				r.fault(fmt.Errorf("internal error: %v", x))
			}
		}
	}()
	fn()
}

// noProgram is what runJobs runs.
var noProgram = goja.MustCompile(internalPrefix+"jobs", "", false)

// runJobs runs the promise jobs that native code has made outside of any call: the engine runs jobs when JavaScript
// returns to Go, and not before.
func (r *realm) runJobs() {
	if _, err := r.rt.RunProgram(noProgram); err != nil {
		r.fault(err)
	}
}

func (r *realm) endTurn(inv *Invocation, tripped bool) {
	fault := r.faulted
	r.faulted = nil
	if tripped || fault != nil {
		r.resumed = r.resumed[:0]
		r.crash(inv, fault)
	}
	if r.actor != nil {
		r.actor.commit()
	}
	for len(r.due) > 0 {
		next := r.due[0]
		r.due = r.due[1:]
		next.check()
	}
	if r.over && !r.mayServe() {
		r.retire()
	}
}

// crash ends what an uncatchable error makes impossible to go on with: the invocation, or the whole actor.
func (r *realm) crash(inv *Invocation, fault error) {
	outcome, why := OutcomeException, fault
	var interrupted *goja.InterruptedError
	var overflow *goja.StackOverflowError
	switch {
	case errors.As(fault, &overflow):
		why = &RemoteError{Name: "RangeError", Message: "Maximum call stack size exceeded", Stack: r.agent.script.MapStack(overflow.String())}
		inv.emitException(why)
	case fault == nil, errors.Is(fault, overBudget{}), errors.As(fault, &interrupted):
		outcome, why = OutcomeExceededCPU, ErrExceededCPU
		if interrupted != nil {
			if reason, ok := interrupted.Value().(error); ok && !errors.Is(reason, overBudget{}) {
				why = reason // already on its way out for another reason
				break
			}
		}
		inv.emitException(&RemoteError{Name: "Error", Message: "Worker exceeded CPU time limit."})
	default:
		inv.emitException(&RemoteError{Name: "Error", Message: "internal error"})
	}
	inv.abort(outcome, why)
	if r.actor != nil {
		r.actor.reset(why)
	}
}

// idle is called when nothing is queued: an invocation that waits for something while nothing is under way waits for
// ever. Another event may still help in an actor.
func (r *realm) idle() {
	if r.over && !r.retired {
		r.rest()
		return
	}
	if r.actor != nil || r.over || r.pending > 0 || r.home == nil || r.first != nil {
		return
	}
	inv := r.home.inv
	if inv.holds > 0 {
		return
	}
	switch {
	case !inv.answered:
		inv.fail(&RemoteError{Name: "Error", Message: "The script will never generate a response: it waits for something that cannot come."})
	case inv.waits > 0:
		inv.waits = 0
		inv.settle()
	default:
		return
	}
	r.endTurn(inv, false)
}

// aborted is called, on any goroutine, when inv was ended from outside.
func (r *realm) aborted(inv *Invocation, why error) {
	if r.actor != nil {
		r.loop.post(inv.finish)
		return
	}
	r.meter.halt(r.rt, why)
	r.loop.close(func() {
		inv.finish()
		r.retire()
	})
}

// finished is called on the loop when everything of inv is done.
func (r *realm) finished(inv *Invocation) {
	if r.actor != nil {
		r.actor.left(inv)
		return
	}
	r.over = true
}

// retire gives back what the isolate holds. Nothing runs in it any more.
func (r *realm) retire() {
	if r.retired {
		return
	}
	r.retired = true
	r.loop.close(nil)
	for _, t := range r.timers {
		t.stop()
	}
	r.timers = nil
	if web := r.webAPI; web != nil && web.wasm != nil {
		web.wasm.close()
	}
}

// track follows the promises that were rejected while nobody listened.
func (r *realm) track(p *goja.Promise, op goja.PromiseRejectionOperation) {
	if op == goja.PromiseRejectionReject {
		r.rejections = append(r.rejections, rejection{p, r.at})
		return
	}
	r.forgive(p)
}

// rejection is a rejected promise without a handler and where it was rejected.
type rejection struct {
	promise *goja.Promise
	scope   *scope
}

func (r *realm) forgive(p *goja.Promise) {
	if i := slices.IndexFunc(r.rejections, func(x rejection) bool { return x.promise == p }); i >= 0 {
		r.rejections = slices.Delete(r.rejections, i, i+1)
	}
}

// reportRejections reports what was rejected in this turn and has no handler at its end.
func (r *realm) reportRejections() {
	for _, x := range r.rejections {
		x.scope.inv.emitException(&thrown{x.promise.Result()})
	}
	r.rejections = r.rejections[:0]
}

// budget is the CPU time that a turn of the invocation may use. What goes on after an invocation's end, in an actor, has
// the whole of it every turn.
func (inv *Invocation) budget() time.Duration {
	if inv.done {
		return inv.limits.CPU
	}
	return inv.limits.CPU - (inv.cpu - inv.renewed)
}

// renew gives the invocation its whole CPU time anew, for each message that a socket of its brings, as Cloudflare does.
func (inv *Invocation) renew() { inv.renewed = inv.cpu }

// grace is for turns that something else than their code pushes over the budget. An invocation that has taken as much in turns
// before has no more of it: many short turns would else go on for ever.
func (inv *Invocation) grace() time.Duration {
	if !inv.done && inv.cpu-inv.renewed > inv.limits.CPU+cpuGrace {
		return 0
	}
	return cpuGrace
}
