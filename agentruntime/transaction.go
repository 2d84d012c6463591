package agentruntime

import "github.com/dop251/goja"

// transaction runs a callback whose writes commit together, or not at all if it throws or rolls back. Being a critical
// section, nothing else of the actor runs meanwhile.
func (s *storageFace) transaction(call goja.FunctionCall) goja.Value {
	r := s.r
	fn, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(r.typeError("transaction: the argument is not a function"))
	}
	promise, resolve, reject := r.newPromise()
	s.x.critical(func(done func()) {
		if err := s.store.Begin(); err != nil {
			done()
			reject(r.errorValue(err))
			return
		}
		t := &transaction{storageFace: s}
		fail := func(err error) {
			if e := t.end(false); e != nil {
				err = e
			}
			done()
			reject(r.errorValue(err))
		}
		v, err := fn(goja.Undefined(), t.object())
		if err != nil {
			r.failed(err, fail)
			return
		}
		r.when(v, func(v goja.Value, err error) {
			if err != nil {
				r.failedWith(err, fail)
				return
			}
			if err := t.end(true); err != nil {
				fail(err)
				return
			}
			done()
			resolve(v)
		})
	})
	return promise
}

// transaction is one open transaction.
type transaction struct {
	*storageFace
	over bool
}

func (t *transaction) end(commit bool) error {
	if t.over {
		return nil
	}
	t.over = true
	if commit {
		return t.store.Commit()
	}
	return t.store.Rollback()
}

// object makes the callback's argument.
func (t *transaction) object() *goja.Object {
	r := t.r
	return r.lazy(func(name string) goja.Value {
		if name == "rollback" {
			return r.function(name, 0, func(r *realm, _ goja.FunctionCall) goja.Value {
				if err := t.end(false); err != nil {
					r.throw(err)
				}
				return goja.Undefined()
			})
		}
		op, ok := t.operation(name).(*goja.Object)
		if !ok {
			return nil
		}
		call, _ := goja.AssertFunction(op)
		return r.function(name, 1, func(r *realm, c goja.FunctionCall) goja.Value {
			if t.over {
				panic(r.newError("Error", "Cannot "+name+"() on a transaction that was rolled back or has ended."))
			}
			v, err := call(c.This, c.Arguments...)
			if err != nil {
				panic(err)
			}
			return v
		})
	}, append([]string{"rollback"}, storageMembers...)...)
}
