package agentruntime

import (
	"context"
	"slices"

	"github.com/dop251/goja"
)

// start begins an asynchronous operation and returns its promise. work runs on its own goroutine, with the context of
// the invocation whose code asked for it; it must not touch the realm. settle then turns its result into a JavaScript
// value on the loop; nil means the result is undefined. An error of either rejects the promise, through errorValue.
func (r *realm) start(work func(ctx context.Context) (any, error), settle func(any) (goja.Value, error)) goja.Value {
	promise, resolve, reject := r.newPromise()
	s := r.at
	ctx := s.inv.ctx()
	r.pending++
	go func() {
		growStack(0)
		res, err := work(ctx)
		r.deliver(s, func() {
			r.pending--
			r.conclude(res, err, settle, resolve, reject)
		})
	}()
	return promise
}

// growStack makes the goroutine's stack as large as running JavaScript needs, in one step and while there is nothing on it
// to copy. Growing it step by step, with the engine's frames on it, took a tenth of a short operation's time.
//
//go:noinline
func growStack(i int) byte {
	var room [20 << 10]byte
	return room[i] // at a place that the compiler does not know, or it would leave the room out
}

// send is startGated for what is counted as a subrequest.
func (r *realm) send(work func(ctx context.Context) (any, error), settle func(any) (goja.Value, error)) goja.Value {
	if err := r.subrequest(); err != nil {
		return r.rejected(r.errorValue(err))
	}
	return r.startGated(work, settle)
}

// startGated is start for what leaves the isolate: work waits for the output gate.
func (r *realm) startGated(work func(ctx context.Context) (any, error), settle func(any) (goja.Value, error)) goja.Value {
	if r.actor == nil {
		return r.start(work, settle)
	}
	open := make(chan error, 1)
	r.gateOutput(func(err error) { open <- err })
	return r.start(func(ctx context.Context) (any, error) {
		select {
		case err := <-open:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return work(ctx)
	}, settle)
}

// conclude settles a promise with what an operation came to.
func (r *realm) conclude(res any, err error, settle func(any) (goja.Value, error), resolve, reject func(goja.Value)) {
	v := goja.Undefined()
	if err == nil && settle != nil {
		var made goja.Value
		if ex := r.rt.Try(func() { made, err = settle(res) }); ex != nil {
			reject(ex.Value())
			return
		}
		if made != nil {
			v = made
		}
	}
	if err != nil {
		reject(r.errorValue(err))
		return
	}
	resolve(v)
}

// newPromise makes a promise and what settles it. On the loop only. Settling runs the jobs that waited for it, at once
// when no JavaScript is on the stack.
func (r *realm) newPromise() (promise goja.Value, resolve, reject func(goja.Value)) {
	p, res, rej := r.rt.NewPromise()
	settle := func(f func(any) error) func(goja.Value) {
		return func(v goja.Value) {
			if err := f(v); err != nil {
				r.fault(err)
			}
		}
	}
	return r.rt.ToValue(p), settle(res), settle(rej)
}

// resolved makes a promise that is fulfilled with v.
func (r *realm) resolved(v goja.Value) goja.Value {
	p, resolve, _ := r.newPromise()
	resolve(v)
	return p
}

// rejected makes a promise that is rejected with err.
func (r *realm) rejected(err goja.Value) goja.Value {
	p, _, reject := r.newPromise()
	reject(err)
	return p
}

// thrown is what code threw, or rejected a promise with.
type thrown struct{ value goja.Value }

func (t *thrown) Error() string { return "exception: " + t.value.String() }

// when calls fn with what v comes to: at once if v is not a promise or is settled already, else on the loop when it is,
// in the scope that runs now. Only the error of a rejected promise is a *thrown.
func (r *realm) when(v goja.Value, fn func(goja.Value, error)) {
	obj, ok := v.(*goja.Object)
	if !ok {
		fn(v, nil)
		return
	}
	p := promiseOf(obj)
	if p == nil {
		if !r.thenable(obj) {
			fn(v, nil)
			return
		}
		obj = r.resolved(obj).(*goja.Object)
		p = promiseOf(obj)
	}
	switch p.State() {
	case goja.PromiseStateFulfilled:
		fn(p.Result(), nil)
		return
	case goja.PromiseStateRejected:
		r.forgive(p)
		fn(nil, &thrown{p.Result()})
		return
	}
	then, _ := goja.AssertFunction(obj.Get("then"))
	s := r.at
	in := func(call func(goja.Value)) goja.Value {
		return r.reaction(func(v goja.Value) {
			prev := r.enter(s)
			defer r.leave(prev)
			call(v)
		})
	}
	_, err := then(obj,
		in(func(v goja.Value) { fn(v, nil) }),
		in(func(v goja.Value) { fn(nil, &thrown{v}) }))
	if err != nil {
		fn(nil, err)
	}
}

// reactionProgram makes a function of JavaScript out of one of Go.
var reactionProgram = goja.MustCompile(internalPrefix+"reaction", "(f => v => { f(v) })", true)

// reaction makes fn what a promise calls when it settles. The engine runs promise jobs whenever a call from Go ends that no
// JavaScript is around: a job that is a function of Go, and calls code, would have the jobs that the code makes run
// before those that wait, and within itself, as deep as they make each other.
func (r *realm) reaction(fn func(goja.Value)) goja.Value {
	if r.reactor == nil {
		r.reactor = r.program(reactionProgram)
	}
	v, err := r.reactor(goja.Undefined(), r.rt.ToValue(func(c goja.FunctionCall) goja.Value {
		fn(c.Argument(0))
		return goja.Undefined()
	}))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	return v
}

// watched is a promise that is looked at when a turn ends, and what it is wanted for.
type watched struct {
	promise *goja.Promise
	scope   *scope
	fn      func(goja.Value, error)
}

// watch is when for what a handler returned. A pending promise is not given a reaction, which would take two function
// objects, but looked at when each turn ends; fn is then called in the scope that runs now.
func (r *realm) watch(v goja.Value, fn func(goja.Value, error)) {
	if obj, ok := v.(*goja.Object); ok {
		if p := promiseOf(obj); p != nil && p.State() == goja.PromiseStatePending {
			r.watching = append(r.watching, watched{p, r.at, fn})
			return
		}
	}
	r.when(v, fn)
}

// look calls for each watched promise that has settled what it was watched for.
func (r *realm) look() {
	for i := 0; i < len(r.watching); {
		w := r.watching[i]
		if w.promise.State() == goja.PromiseStatePending {
			i++
			continue
		}
		r.watching = slices.Delete(r.watching, i, i+1)
		prev := r.enter(w.scope)
		if w.promise.State() == goja.PromiseStateRejected {
			r.forgive(w.promise)
			w.fn(nil, &thrown{w.promise.Result()})
		} else {
			w.fn(w.promise.Result(), nil)
		}
		r.leave(prev)
	}
}

// promiseOf returns the promise that an object is, nil for any other. Export would copy a plain object.
func promiseOf(o *goja.Object) *goja.Promise {
	if o.ExportType() != typePromise {
		return nil
	}
	p, _ := o.Export().(*goja.Promise)
	return p
}

func (r *realm) thenable(obj *goja.Object) bool {
	found := false
	if ex := r.rt.Try(func() { _, found = goja.AssertFunction(obj.Get("then")) }); ex != nil {
		return true // resolving a promise with it will reject with what the getter threw
	}
	return found
}

// fault notes an error that no JavaScript can catch, such as an interrupt, for the end of the turn.
func (r *realm) fault(err error) {
	if r.faulted == nil {
		r.faulted = err
	}
}
