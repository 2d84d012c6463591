package agentruntime

import (
	"context"
	"time"

	"github.com/dop251/goja"
)

// timer is one setTimeout or setInterval.
type timer struct {
	id     int64
	scope  *scope
	clock  *time.Timer
	every  time.Duration // zero: once
	fn     goja.Callable
	args   []goja.Value
	active bool
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
		_, _ = then(p, r.rt.ToValue(func(goja.FunctionCall) goja.Value {
			if _, err := fn(goja.Undefined()); err != nil {
				r.uncaught(err)
			}
			return goja.Undefined()
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
	t := &timer{scope: r.at, fn: fn, active: true}
	var d time.Duration
	if first == 2 {
		d = delay(call.Argument(1))
	}
	if repeat {
		t.every = max(d, time.Millisecond)
		d = t.every
	}
	if len(call.Arguments) > first {
		t.args = append(t.args, call.Arguments[first:]...)
	}
	r.lastTimer++
	t.id = r.lastTimer
	if r.timers == nil {
		r.timers = make(map[int64]*timer, 4)
	}
	r.timers[t.id] = t
	r.pending++
	t.clock = time.AfterFunc(d, func() { r.deliver(t.scope, func() { r.fire(t) }) })
	return r.rt.ToValue(t.id)
}

func (r *realm) clearTimer(id int64) {
	if t := r.timers[id]; t != nil {
		t.stop()
		delete(r.timers, id)
		r.pending--
	}
}

func (t *timer) stop() {
	t.active = false
	t.clock.Stop()
}

// fire runs a timer's callback.
func (r *realm) fire(t *timer) {
	if !t.active {
		return // cleared after it was queued
	}
	if t.every == 0 {
		r.clearTimer(t.id)
	} else {
		t.clock.Reset(t.every)
	}
	if _, err := t.fn(goja.Undefined(), t.args...); err != nil {
		r.uncaught(err)
	}
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
