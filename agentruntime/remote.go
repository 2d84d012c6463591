package agentruntime

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/dop251/goja"
)

// errGone is what the use of a Remote comes to when the invocation it belongs to has ended.
var errGone = &RemoteError{Name: "Error", Message: "The RPC stub cannot be used any more: the invocation that it belongs to has ended."}

// outgoing gathers what a value passes by reference.
type outgoing struct {
	inv     *Invocation
	holding bool // the invocation lasts for as long as what it gives out is held
	value   Value
}

// incoming is a value whose references are being turned into objects; what they were turned into is in made.
type incoming struct {
	value Value
	made  imports
}

// imports are the remote objects and streams that code was given, to be given up when it may not use them any more.
type imports map[io.Closer]struct{}

func (m *imports) add(c io.Closer) {
	if *m == nil {
		*m = make(imports, 2)
	}
	(*m)[c] = struct{}{}
}

// close gives everything up.
func (m *imports) close() {
	for c := range *m {
		_ = c.Close()
	}
	*m = nil
}

// pack makes a value ready for another runtime: what can be cloned is cloned, and functions, RpcTargets, stubs, streams,
// requests and responses go by reference. holding says that the current invocation lasts for as long as those are held.
// On the loop only.
func (r *realm) pack(v goja.Value, holding bool) (Value, error) {
	return r.packed(holding, func(w *cloneWriter) { w.value(v, 0) })
}

// packList is pack for the array of arguments of a call.
func (r *realm) packList(list []goja.Value) (Value, error) {
	return r.packed(false, func(w *cloneWriter) {
		w.tag(tagArray)
		w.objects = 1
		w.count(len(list))
		for _, v := range list {
			w.value(v, 1)
		}
		w.count(0)
	})
}

func (r *realm) packed(holding bool, write func(*cloneWriter)) (Value, error) {
	out := outgoing{inv: r.current(), holding: holding}
	w := cloneWriter{r: r, out: &out, buf: make([]byte, 0, 64)}
	w.buf = append(w.buf, cloneMagic, cloneVersion)
	if err := w.guarded(func() { write(&w) }); err != nil {
		out.value.Close()
		return Value{}, err
	}
	if len(w.buf) > maxMessage {
		out.value.Close()
		return Value{}, sizeError("the message", len(w.buf), maxMessage)
	}
	out.value.Data = w.buf
	return out.value, nil
}

// unpack makes the value that pack made ready. What it passes by reference is in the imports returned, which the caller
// gives up when code may not use them any more. On the loop only.
func (r *realm) unpack(v Value) (goja.Value, imports, error) {
	d, err := r.cloneReader(v.Data)
	if err != nil {
		v.Close()
		return nil, nil, err
	}
	in := incoming{value: v}
	d.in = &in
	var made goja.Value
	if ex := r.rt.Try(func() { made = d.value(0) }); ex != nil {
		d.err = &thrown{ex.Value()}
	}
	if d.err == nil && len(d.data) > 0 {
		d.fail("bytes after the end")
	}
	if d.err != nil {
		v.Close()
		return nil, nil, d.err
	}
	return made, in.made, nil
}

// remote writes a function or an RpcTarget as a reference; a stub passes on what it stands for.
func (w *cloneWriter) remote(o *goja.Object) {
	if _, ok := w.r.stubIn(o); ok {
		w.service(o)
		return
	}
	s, ok := nativeOf[*rpcStub](w.r, o)
	if ok && s.service {
		w.tag(tagService)
	} else {
		w.tag(tagRemote)
	}
	w.count(len(w.out.value.Remotes))
	if ok {
		if s.remote.closed() {
			panic(w.r.newError("Error", "The RPC stub was disposed and cannot be passed on."))
		}
		var m Remote = s.remote.dup()
		if w.out.holding {
			m = &passed{Remote: m, r: w.r, release: w.out.inv.hold()}
		}
		w.out.value.Remotes = append(w.out.value.Remotes, m)
		return
	}
	w.out.value.Remotes = append(w.out.value.Remotes, w.r.export(o, w.out.inv, w.out.holding))
}

// reference writes o if it is something that passes by reference, though its class is Object.
func (w *cloneWriter) reference(o *goja.Object, t reflect.Type) bool {
	if w.r.workers != nil && w.r.isTarget(o) {
		w.remote(o)
		return true
	}
	if _, ok := w.r.stubIn(o); ok {
		w.service(o)
		return true
	}
	if t == typePromise || t == typeProxy || w.r.stateOf(o) == nil {
		return false
	}
	if s, ok := nativeOf[*writable](w.r, o); ok {
		w.writable(s)
		return true
	}
	if s, ok := nativeOf[*abortSignal](w.r, o); ok {
		w.signal(s, 0)
		return true
	}
	if h, ok := nativeOf[*headers](w.r, o); ok {
		w.headers(h)
		return true
	}
	if s, ok := nativeOf[*readable](w.r, o); ok {
		if s.reader != nil || s.disturbed {
			panic(w.r.typeError("The ReadableStream has been locked to a reader, and cannot be sent."))
		}
		w.stream(w.r.giveAway(s))
		return true
	}
	if q, ok := nativeOf[*request](w.r, o); ok {
		req, err := w.r.requestFrom(o, goja.Undefined())
		if err != nil {
			w.r.throw(err)
		}
		w.head(tagRequest, requestHead{req.Method, req.URL, req.Header, req.Redirect, q.cf}, req.Body)
		return true
	}
	if p, ok := nativeOf[*response](w.r, o); ok {
		if p.socket != nil {
			w.refuse("A Response with a WebSocket")
		}
		res, err := w.r.responseFrom(o)
		if err != nil {
			w.r.throw(err)
		}
		w.head(tagResponse, responseHead{res.Status, res.StatusText, res.Header, res.URL, res.Redirected}, res.Body)
		return true
	}
	return false
}

// requestHead and responseHead are what Value.Data holds of a request and a response.
type requestHead struct {
	Method, URL string
	Header      http.Header
	Redirect    string          `json:",omitempty"`
	CF          json.RawMessage `json:",omitempty"`
}

type responseHead struct {
	Status     int
	StatusText string
	Header     http.Header
	URL        string `json:",omitempty"`
	Redirected bool   `json:",omitempty"`
}

func (w *cloneWriter) head(tag byte, head any, body io.ReadCloser) {
	text, err := json.Marshal(head)
	if err != nil {
		w.r.throw(err)
	}
	w.tag(tag)
	w.bytes(string(text))
	w.stream(body)
}

func (w *cloneWriter) stream(body io.ReadCloser) {
	w.tag(tagStream)
	if body == nil {
		w.count(0)
		return
	}
	w.out.value.Streams = append(w.out.value.Streams, body)
	w.count(len(w.out.value.Streams))
}

// giveAway makes a reader of a stream that nobody has read from.
func (r *realm) giveAway(s *readable) io.ReadCloser {
	if src := s.untouched(); src != nil {
		return src
	}
	return r.drainStream(s)
}

// givenStream is a stream that came by reference. One that nobody has looked at when the call ends is closed then, for its
// sender waits for that.
type givenStream struct {
	io.ReadCloser
	passed atomic.Bool // another has it now, or reads it
}

func (g *givenStream) Read(p []byte) (int, error) {
	g.passed.Store(true)
	return g.ReadCloser.Read(p)
}

// passOn notes that another is to read a stream from now on.
func passOn(src io.ReadCloser) io.ReadCloser {
	if given, ok := src.(*givenStream); ok {
		given.passed.Store(true)
	}
	return src
}

// neglected closes the stream unless somebody has it.
type neglected struct{ *givenStream }

func (n neglected) Close() error {
	if n.passed.Load() {
		return nil
	}
	return n.givenStream.Close()
}

// reference reads what is passed by reference.
func (d *cloneReader) reference(tag byte) goja.Value {
	switch tag {
	case tagRemote:
		m := d.remoteOf()
		if m == nil {
			return goja.Undefined()
		}
		d.in.made.add(m)
		return d.keep(d.r.stubOf(m))
	case tagStream:
		body := d.stream()
		if d.err != nil || body == nil {
			return d.fail("bad stream")
		}
		return d.keep(d.r.readableValue(d.r.streamOfReader(body)))
	}
	set := d.reserve()
	text := d.take(d.number())
	if next := d.take(1); d.err != nil || next[0] != tagStream {
		return d.fail("bad head")
	}
	body := d.stream()
	if d.err != nil {
		return goja.Undefined()
	}
	var o *goja.Object
	var err error
	if tag == tagRequest {
		var h requestHead
		err = json.Unmarshal(text, &h)
		o = d.r.requestValue(&Request{Method: h.Method, URL: h.URL, Header: h.Header, Redirect: h.Redirect, CF: h.CF, Body: body, ContentLength: -1})
	} else {
		var h responseHead
		err = json.Unmarshal(text, &h)
		o = d.r.responseValue(&Response{Status: h.Status, StatusText: h.StatusText, Header: h.Header, URL: h.URL, Redirected: h.Redirected, Body: body})
	}
	if err != nil {
		return d.fail("bad head")
	}
	set(o)
	return o
}

// stream reads the index of a stream and takes it, nil for none.
func (d *cloneReader) stream() io.ReadCloser {
	i := d.number()
	if i == 0 || d.err != nil {
		return nil
	}
	if i > uint64(len(d.in.value.Streams)) || d.in.value.Streams[i-1] == nil {
		d.fail("bad stream")
		return nil
	}
	src := d.in.value.Streams[i-1]
	if _, whole := src.(interface{ Len() int }); whole {
		return src // in memory: nobody waits for its end
	}
	given := &givenStream{ReadCloser: src}
	d.in.made.add(neglected{given})
	return given
}

// isTarget reports whether o is an instance of a class that extends RpcTarget.
func (r *realm) isTarget(o *goja.Object) bool {
	of, ok := r.workers.Get("RpcTarget").(*goja.Object).Get("prototype").(*goja.Object)
	if !ok || o.ExportType() == typeProxy {
		return false
	}
	for p := o.Prototype(); p != nil; p = p.Prototype() {
		if p.SameAs(of) {
			return true
		}
	}
	return false
}

// shared is a Remote that several handles stand for; the last to be closed closes it.
type shared struct {
	Remote
	handles atomic.Int32
}

// handle is one holder's share of a Remote.
type handle struct {
	of   *shared
	done atomic.Bool
}

// hold makes the first handle of a remote.
func hold(m Remote) *handle {
	s := &shared{Remote: m}
	s.handles.Store(1)
	return &handle{of: s}
}

func (h *handle) Call(ctx context.Context, call Call) (Value, error) {
	if h.closed() {
		call.Args.Close()
		return Value{}, &RemoteError{Name: "Error", Message: "The RPC stub was disposed and cannot be used any more."}
	}
	return h.of.Call(ctx, call)
}

// dup makes another handle, with an end of its own. Only while this one is open.
func (h *handle) dup() *handle {
	h.of.handles.Add(1)
	return &handle{of: h.of}
}

func (h *handle) closed() bool { return h.done.Load() }

func (h *handle) Close() error {
	if h.done.Swap(true) || h.of.handles.Add(-1) > 0 {
		return nil
	}
	return h.of.Remote.Close()
}

// passed is a Remote that was given to this isolate and that it gave on in a result. The invocation lasts as long as it,
// for what the invocation was given ends with it.
type passed struct {
	Remote
	r       *realm
	once    sync.Once
	release func() // on the loop
}

func (p *passed) Close() error {
	err := p.Remote.Close()
	p.once.Do(func() { p.r.loop.post(p.release) })
	return err
}

// export is an object of this isolate that another runtime was given a reference to.
type export struct {
	r       *realm
	scope   *scope
	obj     *goja.Object
	holding bool
	once    sync.Once
	release func() // on the loop
}

// export makes a Remote of an object. It lasts as long as inv, and if it is holding, inv as long as it.
func (r *realm) export(o *goja.Object, inv *Invocation, holding bool) *export {
	e := &export{r: r, scope: &inv.home, obj: o, holding: holding}
	if holding {
		release := inv.hold()
		e.release = func() {
			r.disposed(o)
			release()
		}
	} else {
		// A call may still come, so code that waits for one does not wait for ever.
		r.pending++
		e.release = func() {
			r.pending--
			r.disposed(o)
		}
	}
	return e
}

// Call implements Remote: the use is an event of the isolate.
func (e *export) Call(ctx context.Context, call Call) (Value, error) {
	answers := make(chan answered, 1)
	var left atomic.Bool // nobody waits for the answer any more
	drop := func() {
		select {
		case a := <-answers:
			a.value.Close()
		default:
		}
	}
	gone := e.scope.inv.ctx().Done()
	queued := e.r.loop.run(task{scope: e.scope, run: func() {
		e.r.use(e.obj, call, e.holding, func(v Value, err error) {
			if err != nil {
				err = e.r.remoteError(err)
			}
			e.r.gateOutput(func(lost error) {
				if lost != nil {
					v.Close()
					v, err = Value{}, lost
				}
				answers <- answered{v, err}
				if left.Load() {
					drop()
				}
			})
		})
	}})
	if !queued {
		call.Args.Close()
		return Value{}, errGone
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-gone:
	case <-ctx.Done():
	}
	left.Store(true)
	drop()
	if ctx.Err() != nil {
		return Value{}, context.Cause(ctx)
	}
	return Value{}, errGone
}

// answered is what a use of an export came to.
type answered struct {
	value Value
	err   error
}

// Close implements Remote.
func (e *export) Close() error {
	e.once.Do(func() {
		if _, start := e.r.loop.push(task{scope: e.scope, run: e.release}); start {
			go e.r.loop.drain(0)
		}
	})
	return nil
}
