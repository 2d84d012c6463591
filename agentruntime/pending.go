package agentruntime

import (
	"context"

	"github.com/dop251/goja"
)

// start begins an asynchronous operation and returns its promise. work runs on its own goroutine, with the context of
// the invocation whose code asked for it; it must not touch the realm. settle then turns its result into a JavaScript
// value on the loop; nil means the result is undefined. An error of either rejects the promise, through errorValue.
func (r *realm) start(work func(ctx context.Context) (any, error), settle func(any) (goja.Value, error)) goja.Value {
	promise, resolve, reject := r.newPromise()
	scope := r.scope()
	ctx := scope.inv.ctx()
	r.pending++
	go func() {
		res, err := work(ctx)
		r.deliver(scope, func() {
			r.pending--
			if err != nil {
				reject(r.errorValue(err))
				return
			}
			if settle == nil {
				resolve(goja.Undefined())
				return
			}
			var v goja.Value
			ex := r.rt.Try(func() { v, err = settle(res) })
			switch {
			case ex != nil:
				reject(ex.Value())
			case err != nil:
				reject(r.errorValue(err))
			case v == nil:
				resolve(goja.Undefined())
			default:
				resolve(v)
			}
		})
	}()
	return promise
}

// deliver queues task as an event of scope: it runs on the loop, with scope's invocation as the current one. Safe from
// any goroutine.
func (r *realm) deliver(scope *scope, task func()) {
	r.loop.post(func() {
		prev := r.enter(scope)
		defer r.leave(prev)
		task()
	})
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

// fault notes an error that no JavaScript can catch, such as an interrupt, for the end of the turn.
func (r *realm) fault(err error) {
	if r.faulted == nil {
		r.faulted = err
	}
}
