package agentruntime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/dop251/goja"
)

// Fetch answers an HTTP request. The isolate runs on the caller's goroutine as far as it gets without waiting. host is
// used until the invocation's end.
func (a *Agent) Fetch(ctx context.Context, host Host, req *Request) *Invocation {
	return a.FetchAt(ctx, host, Entry{}, req)
}

// Scheduled runs the scheduled handler for a cron expression that was due at the time at.
func (a *Agent) Scheduled(ctx context.Context, host Host, cron string, at time.Time) *Invocation {
	return a.handle(ctx, host, Entry{}, "scheduled", func(r *realm) goja.Value {
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
	return a.handle(ctx, host, Entry{}, "tail", func(r *realm) goja.Value { return r.jsonValue(string(events)) }, answerNothing)
}

func answerNothing(inv *Invocation, _ goja.Value) { inv.answer(nil, Value{}) }

// handle calls one handler in a fresh isolate; event makes its first argument, done takes what it came to.
func (a *Agent) handle(ctx context.Context, host Host, entry Entry, name string, event func(*realm) goja.Value, done func(*Invocation, goja.Value)) *Invocation {
	return a.run(ctx, host, func(r *realm, inv *Invocation) {
		obj := r.instanceFor(inv, entry)
		if obj == nil {
			return
		}
		fn, ok := goja.AssertFunction(r.member(obj, name))
		if !ok {
			what := "the default export"
			if entry.Name != "" {
				what = "the entrypoint " + entry.Name
			}
			inv.fail(&RemoteError{Name: "Error", Message: fmt.Sprintf("%s has no %s handler", what, name)})
			return
		}
		var v goja.Value
		var err error
		if a.entries[entry.export()].class {
			v, err = fn(obj, event(r))
		} else {
			v, err = fn(obj, event(r), r.env(), r.executionContext(inv, entry))
		}
		r.outcome(inv, v, err, done)
	})
}

// run calls begin in an isolate that has evaluated the module: a ready one, or a fresh one, where that comes first.
func (a *Agent) run(ctx context.Context, host Host, begin func(*realm, *Invocation)) *Invocation {
	if r := a.take(); r != nil {
		inv := r.first
		if inv != nil {
			inv.begin(ctx, host, &a.limits)
		} else {
			inv = r.newInvocation(ctx, host, &a.limits, a.limits.Wall)
			r.home = &inv.home
		}
		r.left--
		r.loop.run(task{scope: &inv.home, run: func() { begin(r, inv) }})
		return inv
	}
	r := a.newRealm()
	r.left = a.reuse - 1
	inv := r.newInvocation(ctx, host, &a.limits, a.limits.Wall)
	r.home = &inv.home
	start := func(err error) {
		if err != nil {
			inv.fail(err)
			return
		}
		begin(r, inv)
	}
	if a.startup < quickStart {
		r.loop.run(task{scope: &inv.home, run: func() { r.evaluate(start) }})
		return inv
	}
	// What evaluation takes is not the event's: it has a limit of its own, and the turn that follows starts from zero.
	evaluation := a.limits
	evaluation.CPU = a.limits.Startup
	inv.limits = &evaluation
	r.loop.run(task{scope: &inv.home, run: func() {
		r.evaluate(func(err error) {
			r.loop.run(task{bare: true, run: func() { inv.limits, inv.cpu = &a.limits, 0 }})
			r.deliver(&inv.home, func() { start(err) })
		})
	}})
	return inv
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

// executionContext is a handler's ctx (https://developers.cloudflare.com/workers/runtime-apis/context/).
func (r *realm) executionContext(inv *Invocation, entry Entry) *goja.Object {
	return r.lazy(func(key string) goja.Value {
		switch key {
		case "waitUntil":
			return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				inv.waitUntil(call.Argument(0))
				return goja.Undefined()
			})
		case "tool":
			return r.function(key, 2, (*realm).tool)
		case "passThroughOnException":
			return r.function(key, 0, func(*realm, goja.FunctionCall) goja.Value {
				inv.passes = true
				return goja.Undefined()
			})
		case "abort":
			return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				why := &RemoteError{Name: "Error", Message: "The code called ctx.abort()."}
				if v := call.Argument(0); some(v) {
					why = r.describe(v, "")
				}
				inv.emitException(why)
				inv.abort(OutcomeException, why)
				return goja.Undefined()
			})
		case "props":
			if entry.Props == nil {
				return r.rt.NewObject()
			}
			v, err := r.deserialize(entry.Props)
			if err != nil {
				r.throw(err)
			}
			return v
		case "access":
			return r.access(entry.Access)
		case "exports":
			return r.ownExports()
		}
		return nil
	}, "waitUntil", "passThroughOnException", "abort", "props", "access", "exports", "tool")
}

// access is ctx.access: who a request comes from, as the gateway verified it, and undefined for nobody. Its members aud and getIdentity are
// those of Workers (https://developers.cloudflare.com/workers/runtime-apis/context/).
func (r *realm) access(data []byte) goja.Value {
	if len(data) == 0 {
		return goja.Undefined()
	}
	var who struct {
		Audience string          `json:"aud"`
		Method   string          `json:"method"`
		Issuer   string          `json:"issuer"`
		Subject  string          `json:"subject"`
		Identity json.RawMessage `json:"identity"`
	}
	if err := json.Unmarshal(data, &who); err != nil {
		r.throw(err)
	}
	o := r.rt.NewObject()
	for name, value := range map[string]any{
		"aud": who.Audience, "method": who.Method, "issuer": who.Issuer, "subject": who.Subject,
		"getIdentity": r.function("getIdentity", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
			identity := goja.Value(goja.Undefined())
			if len(who.Identity) > 0 {
				v, err := r.parseJSON(string(who.Identity))
				if err != nil {
					r.throw(err)
				}
				identity = v
			}
			return r.resolved(identity)
		}),
	} {
		if err := o.DefineDataProperty(name, r.rt.ToValue(value), goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_TRUE); err != nil {
			r.throw(err)
		}
	}
	return o
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
	if inv.gone() {
		return
	}
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
