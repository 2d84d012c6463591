package agentruntime

import "github.com/dop251/goja"

// transaction runs a callback whose writes, of keys and of SQL, commit together, or not at all if it throws or rolls back.
// Being a critical section, nothing else of the actor runs meanwhile.
func (s *storageFace) transaction(call goja.FunctionCall) goja.Value {
	r := s.r
	fn, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(r.typeError("transaction: the argument is not a function"))
	}
	promise, resolve, reject := r.newPromise()
	s.x.critical(func(done func()) {
		t, err := s.begin()
		if err != nil {
			done()
			reject(r.errorValue(err))
			return
		}
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

// transactionSync runs a callback that does not wait, in the same way.
func (s *storageFace) transactionSync(call goja.FunctionCall) goja.Value {
	r := s.r
	fn, ok := goja.AssertFunction(call.Argument(0))
	if !ok {
		panic(r.typeError("transactionSync: the argument is not a function"))
	}
	if err := s.x.db.Begin(); err != nil {
		r.throw(err)
	}
	t := &transaction{storageFace: s, depth: s.x.db.Depth()}
	v, err := fn(goja.Undefined())
	if err != nil {
		_ = t.end(false) // if it fails the actor is at its end; what was thrown says more
		panic(err)
	}
	if err := t.end(true); err != nil {
		r.throw(err)
	}
	return v
}

// begin opens a transaction of which other turns may be a part.
func (s *storageFace) begin() (*transaction, error) {
	if err := s.x.db.EndTurn(); err != nil {
		return nil, err
	}
	if err := s.x.db.Begin(); err != nil {
		return nil, err
	}
	return &transaction{storageFace: s, depth: s.x.db.Depth()}, nil
}

// transaction is one open transaction.
type transaction struct {
	*storageFace
	depth int
	over  bool
}

// end commits or rolls back. A transaction that began within this one and is still open is rolled back, and this one with it.
func (t *transaction) end(commit bool) error {
	if t.over {
		return nil
	}
	t.over = true
	db := t.x.db
	switch open := db.Depth(); {
	case open < t.depth:
		return &RemoteError{Name: "Error", Message: "the transaction was rolled back: the one around it ended before it"}
	case open == t.depth && commit:
		return db.Commit()
	}
	late := db.Depth() > t.depth
	for db.Depth() >= t.depth {
		if err := db.Rollback(); err != nil {
			return err
		}
	}
	if late && commit {
		return &RemoteError{Name: "Error", Message: "the transaction was rolled back: one that began within it was not awaited"}
	}
	return nil
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
