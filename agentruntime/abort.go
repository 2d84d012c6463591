package agentruntime

import (
	"math"
	"slices"
	"time"

	"github.com/dop251/goja"
)

// abortSignal is the state of an AbortSignal (https://dom.spec.whatwg.org/#interface-AbortSignal).
type abortSignal struct {
	eventTarget
	obj     *goja.Object
	aborted bool
	reason  goja.Value
	hooks   []*abortHook
	// dependents are the signals that AbortSignal.any made of this one.
	dependents []*abortSignal
}

type abortHook struct{ fn func() }

// newSignal makes an AbortSignal object.
func (r *realm) newSignal() (*abortSignal, *goja.Object) {
	s := &abortSignal{}
	s.obj = r.instance("AbortSignal", s)
	return s, s.obj
}

// onAbort has fn called when the signal is aborted, and returns what takes that back.
func (s *abortSignal) onAbort(fn func()) (unwatch func()) {
	h := &abortHook{fn}
	s.hooks = append(s.hooks, h)
	return func() { s.hooks = slices.DeleteFunc(s.hooks, func(o *abortHook) bool { return o == h }) }
}

// abort aborts the signal and all that depend on it; reason undefined means an AbortError.
func (r *realm) abort(s *abortSignal, reason goja.Value) {
	if s.aborted {
		return
	}
	if !given(reason) {
		reason = r.domException("AbortError", "The operation was aborted")
	}
	// All are marked before the first hook runs, those that depend on dependents too.
	s.aborted, s.reason = true, reason
	todo := []*abortSignal{s}
	for i := 0; i < len(todo); i++ {
		for _, d := range todo[i].dependents {
			if !d.aborted {
				d.aborted, d.reason = true, reason
				todo = append(todo, d)
			}
		}
	}
	for _, s := range todo {
		hooks := s.hooks
		s.hooks, s.dependents = nil, nil
		for _, h := range hooks {
			h.fn()
		}
		if s.obj != nil && (len(s.listeners) > 0 || len(s.handlers) > 0) {
			ev := &event{kind: "abort", trusted: true, target: goja.Null(), current: goja.Null()}
			r.dispatch(s.obj, &s.eventTarget, ev, r.instance("Event", ev))
		}
	}
}

// abortController is the state of an AbortController.
type abortController struct {
	signal *abortSignal
	obj    *goja.Object
}

// abortAfter aborts s with a TimeoutError once d has passed, unless the isolate ends first.
func (r *realm) abortAfter(s *abortSignal, d time.Duration) {
	r.after(d, 0, func() {
		r.inLoop(func() { r.abort(s, r.domException("TimeoutError", "The operation was aborted due to timeout")) })
	})
}

func init() {
	(&webClass{
		name: "AbortController",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, &abortController{signal: &abortSignal{}})
			return nil
		},
		members: []member{
			{name: "signal", get: getter(func(r *realm, c *abortController) goja.Value {
				if c.signal.obj == nil {
					c.signal.obj = r.instance("AbortSignal", c.signal)
				}
				return c.signal.obj
			})},
			{name: "abort", call: method(func(r *realm, c *abortController, call goja.FunctionCall) goja.Value {
				r.abort(c.signal, call.Argument(0))
				return goja.Undefined()
			})},
		},
	}).declare()
	(&webClass{
		name: "AbortSignal", parent: "EventTarget",
		members: []member{
			{name: "aborted", get: getter(func(r *realm, s *abortSignal) goja.Value { return r.rt.ToValue(s.aborted) })},
			{name: "reason", get: getter(func(_ *realm, s *abortSignal) goja.Value { return orUndefined(s.reason) })},
			handlerAttribute("abort"),
			{name: "throwIfAborted", call: method(func(_ *realm, s *abortSignal, _ goja.FunctionCall) goja.Value {
				if s.aborted {
					panic(s.reason)
				}
				return goja.Undefined()
			})},
		},
		statics: []member{
			{name: "abort", call: func(r *realm, call goja.FunctionCall) goja.Value {
				s, obj := r.newSignal()
				r.abort(s, call.Argument(0))
				return obj
			}},
			{name: "timeout", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'timeout' on 'AbortSignal'")
				ms := call.Argument(0).ToFloat()
				if math.IsNaN(ms) || ms < 0 || ms > 1<<53 {
					panic(r.typeError("Failed to execute 'timeout' on 'AbortSignal': the value is out of range."))
				}
				s, obj := r.newSignal()
				r.abortAfter(s, time.Duration(min(ms, 1e12)*float64(time.Millisecond)))
				return obj
			}},
			{name: "any", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				s, obj := r.newSignal()
				var sources []*abortSignal
				r.rt.ForOf(call.Argument(0), func(v goja.Value) bool {
					src, ok := nativeOf[*abortSignal](r, v)
					if !ok {
						panic(r.typeError("Failed to execute 'any' on 'AbortSignal': an item is not of type AbortSignal."))
					}
					sources = append(sources, src)
					return true
				})
				for _, src := range sources {
					if src.aborted {
						s.aborted, s.reason = true, src.reason
						return obj
					}
				}
				for _, src := range sources {
					src.dependents = append(src.dependents, s)
				}
				return obj
			}},
		},
	}).declare()
}
