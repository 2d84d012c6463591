package agentruntime

import (
	"fmt"
	"slices"

	"github.com/dop251/goja"
)

// serve does what a call asks of an entrypoint's or an actor's instance, as the answer of inv.
func (r *realm) serve(inv *Invocation, obj *goja.Object, call Call) {
	r.use(obj, call, true, func(v Value, err error) {
		if err != nil {
			inv.fail(err)
			return
		}
		inv.answer(nil, v)
	})
}

// use does what a call asks of obj and gives done what it came to. What the arguments passed by reference is given up
// then; code that keeps a stub duplicates it. holding says that the invocation lasts as long as what the result passes by
// reference. On the loop only.
func (r *realm) use(obj *goja.Object, call Call, holding bool, done func(Value, error)) {
	var given imports
	finish := func(v goja.Value, err error) {
		var out Value
		if err == nil {
			out, err = r.pack(v, holding)
		}
		given.close()
		done(out, err)
	}
	fail := func(err error) { finish(nil, err) }
	r.reach(obj, call.Path, func(this, member goja.Value, err error) {
		if err != nil {
			call.Args.Close()
			fail(err)
			return
		}
		if call.Args.Data == nil {
			r.settled(member, nil, finish)
			return
		}
		fn, ok := goja.AssertFunction(member)
		if !ok {
			call.Args.Close()
			fail(noMember(call))
			return
		}
		list, made, err := r.unpackList(call.Args)
		if err != nil {
			fail(err)
			return
		}
		given = made
		v, err := fn(this, list...)
		r.settled(v, err, finish)
	})
}

// settled follows what running code came to until it is known.
func (r *realm) settled(v goja.Value, err error, fn func(goja.Value, error)) {
	if err != nil {
		r.failed(err, func(err error) { fn(nil, err) })
		return
	}
	r.watch(v, func(v goja.Value, err error) {
		if err != nil {
			r.failedWith(err, func(err error) { fn(nil, err) })
			return
		}
		fn(v, nil)
	})
}

func noMember(call Call) error {
	return &RemoteError{Name: "TypeError", Message: fmt.Sprintf("The RPC receiver does not implement the method %q.", call.method())}
}

// reach goes through path from obj on and gives fn the last member, and the object it is a member of.
func (r *realm) reach(obj goja.Value, path []string, fn func(this, member goja.Value, err error)) {
	if len(path) == 0 {
		fn(goja.Undefined(), obj, nil)
		return
	}
	missing := func() { fn(nil, nil, noMember(Call{Path: path[:1]})) }
	o, ok := obj.(*goja.Object)
	if !ok {
		missing()
		return
	}
	if len(path) == 1 {
		if method := r.classMethod(o, path[0]); method != nil {
			fn(o, method, nil)
			return
		}
	}
	if !r.public(o, path[0]) {
		missing()
		return
	}
	var m goja.Value
	if ex := r.rt.Try(func() { m = o.Get(path[0]) }); ex != nil {
		fn(nil, nil, &thrown{ex.Value()})
		return
	}
	if m == nil {
		missing()
		return
	}
	if len(path) == 1 {
		fn(o, m, nil)
		return
	}
	r.settled(m, nil, func(v goja.Value, err error) {
		if err != nil {
			fn(nil, nil, err)
			return
		}
		r.reach(v, path[1:], fn)
	})
}

// classMethod is the usual case of public: a method of an instance's class, found without looking at all names.
func (r *realm) classMethod(o *goja.Object, name string) goja.Value {
	proto := o.Prototype()
	if proto == nil || !remoteMethod(name) || o.ClassName() != "Object" || r.stateOf(o) != nil {
		return nil
	}
	m := r.member(proto, name)
	if _, ok := goja.AssertFunction(m); !ok {
		return nil
	}
	return m
}

// public reports whether a member may be used from outside: of an instance what its class and the classes above it
// have, and of a plain object what it has itself
// (https://developers.cloudflare.com/workers/runtime-apis/rpc/visibility/).
func (r *realm) public(o *goja.Object, name string) bool {
	if _, ok := r.stubIn(o); ok && name == "fetch" {
		return true
	}
	if !remoteMethod(name) {
		return false
	}
	if _, ok := r.stubIn(o); ok {
		return true
	}
	if stub, ok := nativeOf[*rpcStub](r, o); ok {
		return stub != nil
	}
	if _, ok := goja.AssertFunction(o); ok {
		return false
	}
	base := r.rt.GlobalObject().Prototype().Prototype() // Object.prototype
	proto := o.Prototype()
	own := slices.Contains(o.GetOwnPropertyNames(), name)
	if proto == nil || proto.SameAs(base) {
		return own
	}
	if own || o.ExportType() == typeProxy {
		return false
	}
	for p := proto; p != nil && !p.SameAs(base); p = p.Prototype() {
		if slices.Contains(p.GetOwnPropertyNames(), name) {
			return true
		}
	}
	return false
}

// unpackList is unpack for the arguments of a call.
func (r *realm) unpackList(v Value) ([]goja.Value, imports, error) {
	made, given, err := r.unpack(v)
	if err != nil {
		return nil, nil, err
	}
	list, err := r.listOf(made, len(v.Data))
	if err != nil {
		given.close()
		return nil, nil, err
	}
	return list, given, nil
}
