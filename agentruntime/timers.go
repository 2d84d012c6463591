package agentruntime

import (
	"container/heap"
	"context"
	"time"

	"github.com/dop251/goja"
)

// timer is one setTimeout or setInterval.
type timer struct {
	id     int64
	scope  *scope
	clock  *time.Timer
	due    time.Time
	every  time.Duration // zero: once
	run    func()
	active bool
	place  int // in the realm's queue
}

// timerQueue is a heap of timers, the next one due first; of those due at the same time the one that was made first.
type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }
func (q timerQueue) Less(i, j int) bool {
	if q[i].due.Equal(q[j].due) {
		return q[i].id < q[j].id
	}
	return q[i].due.Before(q[j].due)
}
func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}
func (q *timerQueue) Push(x any) {
	t := x.(*timer)
	t.place = len(*q)
	*q = append(*q, t)
}
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return t
}

// longestDelay is what a delay is cut to, as in browsers.
const longestDelay = (1<<31 - 1) * time.Millisecond

func init() {
	declareFunction("setTimeout", 1, func(r *realm, call goja.FunctionCall) goja.Value { return r.setTimer("setTimeout", call, 2, false) })
	declareFunction("setInterval", 1, func(r *realm, call goja.FunctionCall) goja.Value { return r.setTimer("setInterval", call, 2, true) })
	declareFunction("setImmediate", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		return r.setTimer("setImmediate", call, 1, false)
	})
	for _, name := range []string{"clearTimeout", "clearInterval", "clearImmediate"} {
		declareFunction(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			if v := call.Argument(0); !goja.IsUndefined(v) && !goja.IsNull(v) {
				r.clearTimer(v.ToInteger())
			}
			return goja.Undefined()
		})
	}
	declareFunction("queueMicrotask", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		fn, ok := goja.AssertFunction(call.Argument(0))
		if !ok {
			panic(r.typeError("queueMicrotask: the argument is not a function"))
		}
		p := r.resolved(goja.Undefined()).(*goja.Object)
		then, _ := goja.AssertFunction(p.Get("then"))
		_, _ = then(p, r.reaction(func(goja.Value) {
			if _, err := fn(goja.Undefined()); err != nil {
				r.uncaught(err)
			}
		}))
		return goja.Undefined()
	})
	globals["scheduler"] = func(r *realm) goja.Value {
		return r.lazy(func(name string) goja.Value {
			if name != "wait" {
				return nil
			}
			return r.function("wait", 1, func(r *realm, call goja.FunctionCall) goja.Value {
				d := delay(call.Argument(0))
				return r.start(func(ctx context.Context) (any, error) {
					t := time.NewTimer(d)
					defer t.Stop()
					select {
					case <-t.C:
						return nil, nil
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
				}, nil)
			})
		}, "wait")
	}
}

// delay reads a number of milliseconds: what is none, or negative, is zero.
func delay(v goja.Value) time.Duration {
	ms := v.ToFloat()
	if !(ms > 0) {
		return 0
	}
	return time.Duration(min(ms, float64(longestDelay/time.Millisecond))) * time.Millisecond
}

// setTimer starts a timer (https://html.spec.whatwg.org/multipage/timers-and-user-prompts.html). first is the index of
// the first argument for the callback.
func (r *realm) setTimer(name string, call goja.FunctionCall, first int, repeat bool) goja.Value {
	fn, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(r.typeError(name + ": the callback is not a function"))
	}
	var d, every time.Duration
	if first == 2 {
		d = delay(call.Argument(1))
	}
	if repeat {
		every = max(d, time.Millisecond)
		d = every
	}
	var args []goja.Value
	if len(call.Arguments) > first {
		args = append(args, call.Arguments[first:]...)
	}
	return r.rt.ToValue(r.after(d, every, func() {
		if _, err := fn(goja.Undefined(), args...); err != nil {
			r.uncaught(err)
		}
	}).id)
}

// after has run called on the loop, in the scope of the running code, once d has passed, and then every so often if every is
// not zero. Until then the isolate has something to wait for.
func (r *realm) after(d, every time.Duration, run func()) *timer {
	r.lastTimer++
	t := &timer{id: r.lastTimer, scope: r.at, due: time.Now().Add(d), every: every, run: run, active: true}
	if r.timers == nil {
		r.timers = make(map[int64]*timer, 4)
	}
	r.timers[t.id] = t
	heap.Push(&r.dueTimers, t)
	r.pending++
	t.clock = time.AfterFunc(d, func() { r.deliver(t.scope, func() { r.fire(t) }) })
	return t
}

// clearTimer removes a timer, and tells whether its clock had not gone off.
func (r *realm) clearTimer(id int64) bool {
	t := r.timers[id]
	if t == nil {
		return false
	}
	delete(r.timers, id)
	heap.Remove(&r.dueTimers, t.place)
	r.pending--
	return t.stop()
}

func (t *timer) stop() bool {
	t.active = false
	return t.clock.Stop()
}

// fire runs a timer that is due. Clocks that go off together do so in any order; timers run in the order in which they are
// due: so it is the next one that runs, as far as it belongs to the same scope, and t's turn comes when the other's clock
// goes off. Where that clock is late, and is stopped before it does, t's turn is queued instead.
func (r *realm) fire(t *timer) {
	now, went := time.Now(), t
	if len(r.dueTimers) > 0 {
		if next := r.dueTimers[0]; next.scope == t.scope && !next.due.After(now) {
			t = next
		}
	}
	if !t.active || t.due.After(now) {
		return // cleared after it was queued, or an interval that has had its turn
	}
	var late bool
	if t.every == 0 {
		late = r.clearTimer(t.id)
	} else {
		t.due = now.Add(t.every)
		heap.Fix(&r.dueTimers, t.place)
		late = t.clock.Reset(t.every)
	}
	if late && t != went {
		r.deliver(went.scope, func() { r.fire(went) })
	}
	t.run()
}

// uncaught reports what a callback threw that nobody called.
func (r *realm) uncaught(err error) {
	r.failed(err, func(err error) {
		inv := r.current()
		inv.emitException(err)
		inv.mu.Lock()
		if inv.outcome == "" {
			inv.outcome = OutcomeException
		}
		inv.mu.Unlock()
	})
}
