package agentruntime

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/dop251/goja"
)

// What passes from one runtime to another beside what can be cloned and what remote.go has: WritableStreams, AbortSignals,
// Headers, and the stubs of actors and agents (https://developers.cloudflare.com/workers/runtime-apis/rpc/). The first
// two are objects of this isolate with methods of their own, which the other side's stream or signal calls.

var typeStub = reflect.TypeFor[*stub]()

// stubIn returns the stub of an actor or an agent that o is.
func (r *realm) stubIn(o *goja.Object) (*stub, bool) {
	if o.ExportType() == typeStub {
		s, ok := o.Export().(*stub)
		return s, ok
	}
	return nativeOf[*stub](r, o)
}

// exported writes the index of an object of this isolate.
func (w *cloneWriter) exported(e *export) {
	w.count(len(w.out.value.Remotes))
	w.out.value.Remotes = append(w.out.value.Remotes, e)
}

// service writes the stub of an actor or an agent. Its calls go through this isolate, which has the right to them.
func (w *cloneWriter) service(o *goja.Object) {
	w.tag(tagService)
	w.exported(w.r.export(o, w.out.inv, w.out.holding))
}

// writable writes a WritableStream: the other side writes to it from now on.
func (w *cloneWriter) writable(s *writable) {
	r := w.r
	if s.writer != nil {
		panic(r.typeError("The WritableStream has been locked to a writer, and cannot be sent."))
	}
	wr, over := s.acquireWriter(), false
	o := r.rt.NewObject()
	step := func(name string, do func(arg goja.Value, done func(goja.Value))) {
		_ = o.Set(name, r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.promiseOf(func(done func(goja.Value)) { do(call.Argument(0), done) })
		}))
	}
	step("write", func(chunk goja.Value, done func(goja.Value)) { s.put(chunk, wr, done) })
	step("close", func(_ goja.Value, done func(goja.Value)) {
		over = true
		s.end(done)
	})
	step("abort", func(reason goja.Value, done func(goja.Value)) {
		over = true
		s.abort(reason, done)
	})
	e := r.export(o, w.out.inv, w.out.holding)
	release := e.release
	e.release = func() {
		if !over {
			s.abort(r.newError("Error", "The other side of the WritableStream went away without closing it."), func(goja.Value) {})
		}
		release()
	}
	w.tag(tagWritable)
	w.exported(e)
}

// signal writes an AbortSignal: whether it is aborted, and else what tells when it is.
func (w *cloneWriter) signal(s *abortSignal, depth int) {
	r := w.r
	w.tag(tagSignal)
	if s.aborted {
		w.tag(tagTrue)
		w.value(s.reason, depth+1)
		return
	}
	w.tag(tagFalse)
	o := r.rt.NewObject()
	_ = o.Set("wait", r.function("wait", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
		promise, resolve, _ := r.newPromise()
		tell := func() { resolve(s.reason) }
		if s.aborted {
			tell()
		} else {
			s.onAbort(tell)
		}
		return promise
	}))
	w.exported(r.export(o, w.out.inv, w.out.holding))
}

func (w *cloneWriter) headers(h *headers) {
	text, err := json.Marshal(h.fields)
	if err != nil {
		w.r.throw(err)
	}
	w.tag(tagHeaders)
	w.bytes(string(text))
}

// remoteOf takes a remote that was passed by reference.
func (d *cloneReader) remoteOf() *handle {
	i := d.number()
	if d.err != nil || i >= uint64(len(d.in.value.Remotes)) || d.in.value.Remotes[i] == nil {
		d.fail("bad remote")
		return nil
	}
	m := hold(d.in.value.Remotes[i])
	d.in.value.Remotes[i] = nil
	return m
}

// passed reads what cloneWriter's methods above write.
func (d *cloneReader) passed(tag byte, depth int) goja.Value {
	r := d.r
	switch tag {
	case tagHeaders:
		var fields http.Header
		if err := json.Unmarshal(d.take(d.number()), &fields); err != nil {
			return d.fail("bad headers")
		}
		return d.keep(r.headersValue(&headers{fields: fields}))
	case tagService:
		m := d.remoteOf()
		if m == nil {
			return goja.Undefined()
		}
		d.in.made.add(m)
		return d.keep(r.serviceStubOf(m))
	case tagWritable:
		m := d.remoteOf()
		if m == nil {
			return goja.Undefined()
		}
		s := r.remoteWritable(m)
		d.in.made.add(unwritten{s, m})
		return d.keep(r.writableValue(s))
	}
	s, o := r.newSignal()
	d.keep(o)
	aborted := d.take(1)
	switch {
	case d.err != nil:
	case aborted[0] == tagTrue:
		reason := d.value(depth + 1)
		s.aborted, s.reason = true, reason
	default:
		if m := d.remoteOf(); m != nil {
			d.in.made.add(r.follow(s, m))
		}
	}
	return o
}

// remoteWritable makes the stream whose sink is another runtime's.
func (r *realm) remoteWritable(m *handle) *writable {
	step := func(name string, last bool) algorithm {
		return func(arg goja.Value, done func(goja.Value)) {
			end := func(thrown goja.Value) {
				if last || thrown != nil {
					_ = m.Close()
				}
				done(thrown)
			}
			args, err := r.packList([]goja.Value{orUndefined(arg)})
			if err != nil {
				end(r.errorValue(err))
				return
			}
			promise := r.startGated(func(ctx context.Context) (any, error) {
				v, err := m.Call(ctx, Call{Path: []string{name}, Args: args})
				v.Close()
				return nil, err
			}, nil)
			r.upon(promise, func(goja.Value) { end(nil) }, end)
		}
	}
	return r.newWritable(strategy{mark: 1}, step("write", false), step("close", true), step("abort", true))
}

// unwritten ends a stream that came with a call and that nobody has taken up when the call ends.
type unwritten struct {
	s *writable
	m *handle
}

func (u unwritten) Close() error {
	if u.s.writer != nil || len(u.s.waiting) > 0 || u.s.writing != nil {
		u.s.r.imported(u.m) // until the invocation's end, or the stream's
		return nil
	}
	return u.m.Close()
}

// follow aborts s when the signal is that m stands for, until what it returns is closed.
func (r *realm) follow(s *abortSignal, m *handle) *following {
	scope := r.scope()
	ctx, cancel := context.WithCancel(scope.inv.ctx())
	args, err := r.packList(nil)
	if err == nil {
		if r.actor == nil {
			r.pending++ // code that waits for it waits for something that may come
		}
		go func() {
			v, err := m.Call(ctx, Call{Path: []string{"wait"}, Args: args})
			r.deliver(scope, func() {
				if r.actor == nil {
					r.pending--
				}
				if err != nil {
					return // nobody is left who could abort it
				}
				r.inLoop(func() {
					reason, given, err := r.unpack(v)
					for c := range given {
						r.imported(c)
					}
					if err == nil {
						r.abort(s, reason)
					}
				})
			})
		}()
	}
	return &following{m: m, cancel: cancel}
}

type following struct {
	m      *handle
	cancel context.CancelFunc
}

func (f *following) Close() error {
	f.cancel()
	return f.m.Close()
}

// serviceStubOf makes the stub of another agent's stub: it has fetch as well.
func (r *realm) serviceStubOf(m *handle) *goja.Object {
	fn := r.stubOf(m)
	s, _ := nativeOf[*rpcStub](r, fn)
	s.service = true
	return fn
}

// fetcher is fetch of such a stub.
func (s *rpcStub) fetcher() goja.Value {
	return s.r.function("fetch", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		req, err := r.rt.New(r.rt.Get("Request"), call.Arguments...)
		if err != nil {
			panic(err)
		}
		return s.send([]string{"fetch"}, []goja.Value{req}, false)
	})
}

// disposable gives the result of a call a way to give up at once all stubs that came with it.
func (r *realm) disposable(v goja.Value, given imports) {
	o, ok := v.(*goja.Object)
	if !ok {
		return
	}
	if _, stub := nativeOf[*rpcStub](r, o); stub || r.stateOf(o) != nil {
		return
	}
	dispose := r.nothingToDispose
	var held []*handle
	for c := range given {
		if m, ok := c.(*handle); ok {
			held = append(held, m)
		}
	}
	if dispose == nil || len(held) > 0 {
		dispose = r.function("dispose", 0, func(*realm, goja.FunctionCall) goja.Value {
			for _, m := range held {
				_ = m.Close()
			}
			return goja.Undefined()
		})
		if len(held) == 0 {
			r.nothingToDispose = dispose
		}
	}
	_ = o.DefineDataPropertySymbol(r.registered("Symbol.dispose").(*goja.Symbol), dispose, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// disposed tells an RpcTarget that the last reference to it is given up.
func (r *realm) disposed(o *goja.Object) {
	if r.workers == nil || !r.isTarget(o) {
		return
	}
	var fn goja.Callable
	if ex := r.rt.Try(func() { fn, _ = goja.AssertFunction(o.GetSymbol(r.registered("Symbol.dispose").(*goja.Symbol))) }); ex != nil || fn == nil {
		return
	}
	if _, err := fn(o); err != nil {
		r.failed(err, func(err error) { r.current().emitException(err) })
	}
}
