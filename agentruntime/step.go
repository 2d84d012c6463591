package agentruntime

import (
	"fmt"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// steps is what a run of an alarm's handler has taken of ctx.step.
type steps struct {
	inv   *invocation
	alarm durable.AlarmInfo
	taken map[string]bool
}

// step is ctx.step(name, callback), which Workers do not have: what the callback gave is kept in the journal of the alarm, so that the
// handler, when it is run again after a crash or a failure, gets it without running the callback. What runs again is the alarm
// handler and nothing else, so a step outside of it is refused.
func (x *Actor) step(name, callback goja.Value) goja.Value {
	r := x.r
	text, ok := name.Export().(string)
	if !ok || text == "" {
		panic(r.typeError("ctx.step(): the name is not a text, or is empty"))
	}
	fn, ok := goja.AssertFunction(callback)
	if !ok {
		panic(r.typeError(fmt.Sprintf("ctx.step(%q): the callback is not a function", text)))
	}
	at := x.alarming
	if at == nil || at.inv != r.current() {
		panic(r.newError("Error", fmt.Sprintf("ctx.step(%q): steps are taken in alarm(), which runs again after a crash; set an alarm, and do the work there", text)))
	}
	if at.taken[text] {
		panic(r.newError("Error", fmt.Sprintf("ctx.step(%q): another step of this alarm has the name", text)))
	}
	at.taken[text] = true
	stored, err := x.storage.Step(r.current().ctx(), at.alarm, text)
	if err == nil && stored != nil {
		v, err := r.deserialize(stored)
		if err != nil {
			return r.rejected(r.errorValue(err))
		}
		return r.resolved(v)
	}
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	promise, resolve, reject := r.newPromise()
	fail := func(err error) { reject(r.errorValue(err)) }
	v, err := fn(goja.Undefined())
	if err != nil {
		r.failed(err, fail)
		return promise
	}
	r.when(v, func(v goja.Value, err error) {
		if err != nil {
			r.failedWith(err, fail)
			return
		}
		data, err := r.serialize(v)
		if err == nil && x.alarming != at {
			err = fmt.Errorf("the alarm's handler has ended before the step")
		}
		if err == nil {
			err = x.storage.PutStep(at.alarm, text, data)
		}
		if err != nil {
			reject(r.newError("Error", fmt.Sprintf("ctx.step(%q): what it gave cannot be stored: %s", text, r.describe(r.errorValue(err), "").Message)))
			return
		}
		// What a later run gets.
		if v, err = r.deserialize(data); err != nil {
			fail(err)
			return
		}
		resolve(v)
	})
	return promise
}

// clearSteps deletes the journal of the alarm whose handler has come to its end.
func (x *Actor) clearSteps() {
	at := x.alarming
	if at == nil || len(at.taken) == 0 && !at.alarm.IsRetry {
		return
	}
	if err := x.storage.ClearSteps(x.ctx); err != nil {
		x.storage.Break(err)
	}
}
