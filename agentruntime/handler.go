package agentruntime

import (
	"context"
	"fmt"
	"time"

	"github.com/dop251/goja"
)

// Fetch answers an HTTP request. The isolate runs on the caller's goroutine as far as it gets without waiting. host is
// used until the invocation's end.
func (a *Agent) Fetch(ctx context.Context, host Host, req *Request) *Invocation {
	return a.handle(ctx, host, "fetch", func(r *realm) goja.Value {
		bounded := *req
		bounded.Body = limitBody(req.Body, a.limits.RequestBody)
		return r.requestValue(&bounded)
	}, func(inv *Invocation, v goja.Value) {
		if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
			inv.answer(nil, nil)
			return
		}
		resp, err := inv.r.responseFrom(v)
		if err != nil {
			inv.fail(err)
			return
		}
		inv.answer(resp, nil)
	})
}

// Scheduled runs the scheduled handler for a cron expression that was due at the time at.
func (a *Agent) Scheduled(ctx context.Context, host Host, cron string, at time.Time) *Invocation {
	return a.handle(ctx, host, "scheduled", func(r *realm) goja.Value {
		o := r.rt.NewObject()
		_ = o.Set("type", "scheduled")
		_ = o.Set("cron", cron)
		_ = o.Set("scheduledTime", at.UnixMilli())
		_ = o.Set("noRetry", r.function("noRetry", 0, func(*realm, goja.FunctionCall) goja.Value { return goja.Undefined() }))
		return o
	}, answerNothing)
}

// Tail runs the tail handler with events, a JSON array as Cloudflare's tail workers get it.
func (a *Agent) Tail(ctx context.Context, host Host, events []byte) *Invocation {
	return a.handle(ctx, host, "tail", func(r *realm) goja.Value { return r.jsonValue(string(events)) }, answerNothing)
}

func answerNothing(inv *Invocation, _ goja.Value) { inv.answer(nil, nil) }

// handle calls one handler in a fresh isolate; event makes its first argument, done takes what it came to.
func (a *Agent) handle(ctx context.Context, host Host, name string, event func(*realm) goja.Value, done func(*Invocation, goja.Value)) *Invocation {
	r := a.newRealm()
	inv := r.newInvocation(ctx, host, &a.limits, a.limits.Wall)
	r.home = &inv.home
	if a.startup < quickStart {
		r.loop.run(task{scope: &inv.home, run: func() {
			r.evaluate(func(err error) { r.begin(inv, err, name, event, done) })
		}})
		return inv
	}
	// What evaluation takes is not the event's: it has a limit of its own, and the turn that follows starts from zero.
	evaluation := a.limits
	evaluation.CPU = a.limits.Startup
	inv.limits = &evaluation
	r.loop.run(task{scope: &inv.home, run: func() {
		r.evaluate(func(err error) {
			r.loop.run(task{bare: true, run: func() { inv.limits, inv.cpu = &a.limits, 0 }})
			r.deliver(&inv.home, func() { r.begin(inv, err, name, event, done) })
		})
	}})
	return inv
}

// begin calls the handler, after the module was evaluated.
func (r *realm) begin(inv *Invocation, err error, name string, event func(*realm) goja.Value, done func(*Invocation, goja.Value)) {
	if err != nil {
		inv.fail(err)
		return
	}
	this, fn := r.handler(inv, name)
	if fn == nil {
		if !inv.answered {
			inv.fail(&RemoteError{Name: "Error", Message: fmt.Sprintf("the default export has no %s handler", name)})
		}
		return
	}
	var v goja.Value
	if r.agent.entrypoint {
		v, err = fn(this, event(r))
	} else {
		v, err = fn(this, event(r), r.env(), r.executionContext(inv))
	}
	r.outcome(inv, v, err, done)
}

// outcome follows what a handler returned until it is known, and hands it to done.
func (r *realm) outcome(inv *Invocation, v goja.Value, err error, done func(*Invocation, goja.Value)) {
	if err != nil {
		r.failed(err, inv.fail)
		return
	}
	r.watch(v, func(v goja.Value, err error) {
		if err != nil {
			r.failedWith(err, inv.fail)
			return
		}
		done(inv, v)
	})
}

// failedWith is failed for an error that may be a rejection.
func (r *realm) failedWith(err error, fn func(error)) {
	if _, ok := err.(*thrown); ok {
		fn(err)
		return
	}
	r.failed(err, fn)
}

// handler finds a handler of the default export and the object to call it on. A nil function means that there is none,
// or that the class's constructor threw, which is then the invocation's answer.
func (r *realm) handler(inv *Invocation, name string) (this goja.Value, fn goja.Callable) {
	obj, ok := r.member(r.exports(), "default").(*goja.Object)
	if !ok {
		return nil, nil
	}
	if r.agent.entrypoint {
		made, err := r.rt.New(obj, r.executionContext(inv), r.env())
		if err != nil {
			r.failed(err, inv.fail)
			return nil, nil
		}
		obj = made
	}
	fn, _ = goja.AssertFunction(r.member(obj, name))
	return obj, fn
}

// executionContext is a handler's ctx.
func (r *realm) executionContext(inv *Invocation) *goja.Object {
	return r.lazy(func(key string) goja.Value {
		switch key {
		case "waitUntil":
			return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				inv.waitUntil(call.Argument(0))
				return goja.Undefined()
			})
		case "passThroughOnException":
			return r.function(key, 0, func(*realm, goja.FunctionCall) goja.Value {
				inv.passes = true
				return goja.Undefined()
			})
		case "props":
			return r.rt.NewObject()
		}
		return nil
	}, "waitUntil", "passThroughOnException", "props")
}

// waitUntil keeps the invocation from ending until v settles. A rejection is an uncaught exception.
func (inv *Invocation) waitUntil(v goja.Value) {
	r := inv.r
	inv.waits++
	r.when(v, func(_ goja.Value, err error) {
		if inv.waits > 0 {
			inv.waits--
		}
		if err != nil {
			r.failedWith(err, inv.uncaught)
		}
		inv.settle()
	})
}

// uncaught writes down an exception beside the answer, and lets it be the outcome. On the loop only.
func (inv *Invocation) uncaught(err error) {
	inv.mu.Lock()
	aborting := inv.aborting
	if inv.outcome == "" {
		inv.outcome = OutcomeException
	}
	inv.mu.Unlock()
	if !aborting {
		inv.emitException(err)
	}
}
