package agentruntime

import (
	"context"
	"slices"

	"github.com/dop251/goja"
)

// sender sends the uses of something remote on their way.
type sender interface {
	// send calls the member at path, or reads it, and returns a promise.
	send(path []string, args []goja.Value, read bool) goja.Value
}

// rpcStub stands in code for a function or an RpcTarget of another runtime
// (https://developers.cloudflare.com/workers/runtime-apis/rpc/). It can be called, and each member of it too.
type rpcStub struct {
	r      *realm
	remote *handle
	// service says that it stands for the stub of an actor or an agent, which has fetch.
	service bool
	made    map[string]goja.Value
}

// stubOf makes the stub that code is given for a remote.
func (r *realm) stubOf(m *handle) *goja.Object {
	s := &rpcStub{r: r, remote: m}
	fn := r.remoteFunction(s, func(args []goja.Value) goja.Value { return s.send(nil, args, false) })
	r.attach(fn, s)
	_ = fn.DefineDataPropertySymbol(r.registered("Symbol.dispose").(*goja.Symbol), r.function("dispose", 0, func(*realm, goja.FunctionCall) goja.Value {
		_ = m.Close()
		return goja.Undefined()
	}), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	return fn
}

// remoteFunction makes a function whose members come from members, and else from Function.prototype.
func (r *realm) remoteFunction(members goja.DynamicObject, call func(args []goja.Value) goja.Value) *goja.Object {
	fn := r.rt.ToValue(func(c goja.FunctionCall) goja.Value { return call(slices.Clone(c.Arguments)) }).(*goja.Object)
	_ = fn.Delete("name")
	_ = fn.Delete("length")
	r.intersperse(fn, members)
	return fn
}

// intersperse puts members between an object and its prototype.
func (r *realm) intersperse(o *goja.Object, members goja.DynamicObject) {
	between := r.rt.NewDynamicObject(members)
	_ = between.SetPrototype(o.Prototype())
	_ = o.SetPrototype(between)
}

func (s *rpcStub) send(path []string, args []goja.Value, read bool) goja.Value {
	return s.r.callRemote(s.remote.Call, path, args, read)
}

func (s *rpcStub) Get(key string) goja.Value {
	if v, ok := s.made[key]; ok {
		return v
	}
	var v goja.Value
	switch {
	case key == "toString":
		v = s.r.remoteText("[object RpcStub]")
	case key == "dup":
		v = s.r.function(key, 0, func(r *realm, _ goja.FunctionCall) goja.Value {
			if s.remote.closed() {
				panic(r.newError("Error", "The RPC stub was disposed and cannot be duplicated."))
			}
			m := s.remote.dup()
			r.imported(m)
			if s.service {
				return r.serviceStubOf(m)
			}
			return r.stubOf(m)
		})
	case key == "fetch" && s.service:
		v = s.fetcher()
	case remoteMethod(key):
		v = s.r.remoteMember([]string{key}, s)
	default:
		return nil
	}
	if s.made == nil {
		s.made = make(map[string]goja.Value, 2)
	}
	s.made[key] = v
	return v
}

func (s *rpcStub) Set(string, goja.Value) bool { return false }
func (s *rpcStub) Has(key string) bool         { return key == "dup" || remoteMethod(key) }
func (s *rpcStub) Delete(string) bool          { return false }
func (s *rpcStub) Keys() []string              { return nil }

// rpcMember is a member of something remote, or of what a call will come to. It can be called, waited for, and gone on
// from.
type rpcMember struct {
	r    *realm
	path []string
	from sender
}

// remoteText makes toString. What functions have of it asks for name, which is a remote member here, with a toString of
// its own, without end.
func (r *realm) remoteText(text string) goja.Value {
	return r.function("toString", 0, func(r *realm, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(text) })
}

func (r *realm) remoteMember(path []string, from sender) goja.Value {
	m := &rpcMember{r: r, path: path, from: from}
	return r.remoteFunction(m, func(args []goja.Value) goja.Value { return from.send(path, args, false) })
}

func (m *rpcMember) Get(key string) goja.Value {
	switch key {
	case "then", "catch", "finally":
		return m.r.function(key, 2, func(r *realm, call goja.FunctionCall) goja.Value {
			promise := m.from.send(m.path, nil, true).(*goja.Object)
			fn, _ := goja.AssertFunction(promise.Get(key))
			v, err := fn(promise, call.Arguments...)
			if err != nil {
				panic(err)
			}
			return v
		})
	case "toString":
		return m.r.remoteText("[object RpcProperty]")
	case "call", "apply", "bind": // of the function that it is
		return nil
	}
	if !remoteMethod(key) {
		return nil
	}
	return m.r.remoteMember(append(slices.Clip(m.path), key), m.from)
}

func (m *rpcMember) Set(string, goja.Value) bool { return false }
func (m *rpcMember) Has(key string) bool         { return remoteMethod(key) }
func (m *rpcMember) Delete(string) bool          { return false }
func (m *rpcMember) Keys() []string              { return nil }

// callRemote uses something remote. The result comes back as a promise whose members can be used before it is there.
func (r *realm) callRemote(do func(context.Context, Call) (Value, error), path []string, args []goja.Value, read bool) goja.Value {
	if err := r.subrequest(); err != nil {
		return r.rejected(r.errorValue(err))
	}
	call := Call{Path: path}
	if !read {
		var err error
		if call.Args, err = r.packList(args); err != nil {
			return r.rejected(r.errorValue(err))
		}
	}
	promise := r.startGated(func(ctx context.Context) (any, error) {
		return do(ctx, call)
	}, func(res any) (goja.Value, error) {
		v, given, err := r.unpack(res.(Value))
		for c := range given {
			r.imported(c)
		}
		if err == nil {
			r.disposable(v, given)
		}
		return v, err
	}).(*goja.Object)
	r.intersperse(promise, &pipeline{r: r, promise: promise})
	return promise
}

// pipeline is what makes the members of a promised result usable. It stands between the promise and Promise.prototype.
type pipeline struct {
	r       *realm
	promise *goja.Object
}

func (p *pipeline) Get(key string) goja.Value {
	if !remoteMethod(key) {
		return nil
	}
	return p.r.remoteMember([]string{key}, p)
}

func (p *pipeline) Set(string, goja.Value) bool { return false }
func (p *pipeline) Has(key string) bool         { return remoteMethod(key) }
func (p *pipeline) Delete(string) bool          { return false }
func (p *pipeline) Keys() []string              { return nil }

// send waits for the promise and goes on with what it came to.
func (p *pipeline) send(path []string, args []goja.Value, read bool) goja.Value {
	r := p.r
	promise, resolve, reject := r.newPromise()
	fail := func(err error) { r.failedWith(err, func(err error) { reject(r.errorValue(err)) }) }
	r.when(p.promise, func(v goja.Value, err error) {
		if err != nil {
			fail(err)
			return
		}
		for i, name := range path {
			var m goja.Value
			this := v
			if ex := r.rt.Try(func() { m = this.ToObject(r.rt).Get(name) }); ex != nil {
				reject(ex.Value())
				return
			}
			if i < len(path)-1 || read {
				v = orUndefined(m)
				continue
			}
			fn, ok := goja.AssertFunction(m)
			if !ok {
				reject(r.typeError(noMember(Call{Path: path}).(*RemoteError).Message))
				return
			}
			if v, err = fn(this, args...); err != nil {
				fail(err)
				return
			}
		}
		resolve(v)
	})
	o := promise.(*goja.Object)
	r.intersperse(o, &pipeline{r: r, promise: o})
	return promise
}

// imported keeps what code was given by reference until the invocation, or the actor, ends.
func (r *realm) imported(c interface{ Close() error }) {
	if r.actor != nil {
		r.imports.add(c)
		return
	}
	r.current().imports.add(c)
}

// rpcStubClass is RpcStub of cloudflare:workers: new RpcStub(target) makes a stub of an object of this very isolate.
func (r *realm) rpcStubClass() goja.Value {
	class := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		o, ok := call.Argument(0).(*goja.Object)
		if ok {
			_, ok = goja.AssertFunction(o)
			ok = ok || r.workers != nil && r.isTarget(o)
		}
		if !ok {
			panic(r.typeError("Failed to construct 'RpcStub': the argument is neither an RpcTarget nor a function."))
		}
		m := hold(r.export(o, r.current(), false))
		r.imported(m)
		return r.stubOf(m)
	}).(*goja.Object)
	r.nameFunction(class, r.rt.ToValue("RpcStub"), 1)
	return class
}
