package agentruntime

import (
	"slices"
	"time"

	"github.com/dop251/goja"
)

// event is the state of an Event (https://dom.spec.whatwg.org/#interface-event).
type event struct {
	kind                          string
	bubbles, cancelable, composed bool
	canceled, stopped, stoppedNow bool
	passive, dispatching, trusted bool
	revealed                      bool // isTrusted is a property of the object itself
	target, current               goja.Value
	detail                        goja.Value // of a CustomEvent
	stamp                         time.Time
	more                          any // what the classes of other events hold, such as *messageData
}

// eventTarget is the state of an EventTarget. States of classes that extend it embed it.
type eventTarget struct {
	listeners []*listener
	// handlers are the on... attributes, by event type.
	handlers map[string]goja.Value
}

// targetOwner is a native state with an event target.
type targetOwner interface{ events() *eventTarget }

func (t *eventTarget) events() *eventTarget { return t }

type listener struct {
	kind          string
	callback      goja.Value
	capture       bool
	once, passive bool
	removed       bool
	unwatch       func()
}

func (t *eventTarget) add(l *listener) {
	for _, old := range t.listeners {
		if old.kind == l.kind && old.capture == l.capture && old.callback.SameAs(l.callback) {
			return
		}
	}
	t.listeners = append(t.listeners, l)
}

func (t *eventTarget) remove(l *listener) {
	l.removed = true
	t.listeners = slices.DeleteFunc(t.listeners, func(o *listener) bool { return o == l })
	if l.unwatch != nil {
		l.unwatch()
	}
}

// dispatch runs the listeners of obj for ev, whose object is evObj.
func (r *realm) dispatch(obj goja.Value, t *eventTarget, ev *event, evObj *goja.Object) bool {
	ev.target, ev.current, ev.dispatching = obj, obj, true
	if h := t.handlers[ev.kind]; h != nil {
		if fn, ok := goja.AssertFunction(h); ok {
			r.report(fn(obj, evObj))
		}
	}
	for _, l := range slices.Clone(t.listeners) {
		if l.removed || l.kind != ev.kind || ev.stoppedNow {
			continue
		}
		if l.once {
			t.remove(l)
		}
		ev.passive = l.passive
		this, fn := obj, l.callback
		if o, ok := l.callback.(*goja.Object); ok {
			if _, callable := goja.AssertFunction(o); !callable {
				this, fn = o, o.Get("handleEvent")
			}
		}
		if call, ok := goja.AssertFunction(fn); ok {
			r.report(call(this, evObj))
		}
		ev.passive = false
	}
	ev.current, ev.dispatching, ev.stopped, ev.stoppedNow = goja.Null(), false, false, false
	return !ev.canceled
}

// report hands an exception of a listener over to those who watch for uncaught errors: it has no caller to go to.
func (r *realm) report(_ goja.Value, err error) {
	if thrown := thrownBy(err); thrown != nil {
		r.rejected(thrown)
	}
}

func (r *realm) eventOf(v goja.Value) *event {
	ev, ok := nativeOf[*event](r, v)
	if !ok {
		panic(r.typeError("Failed to execute 'dispatchEvent' on 'EventTarget': parameter 1 is not of type 'Event'."))
	}
	return ev
}

func newEvent(r *realm, call goja.ConstructorCall) *event {
	if len(call.Arguments) == 0 {
		panic(r.typeError("Failed to construct 'Event': 1 argument required, but only 0 present."))
	}
	r.dictionary(call.Argument(1), "the init of an Event")
	flag := func(name string) bool {
		v := optional(call.Argument(1), name)
		return v != nil && v.ToBoolean()
	}
	return &event{
		kind: r.str(call.Argument(0)), bubbles: flag("bubbles"), cancelable: flag("cancelable"), composed: flag("composed"),
		target: goja.Null(), current: goja.Null(), stamp: time.Now(),
	}
}

func init() {
	flag := func(name string, get func(ev *event) bool) member {
		return member{name: name, get: getter(func(r *realm, ev *event) goja.Value { return r.rt.ToValue(get(ev)) })}
	}
	phases := []member{
		{name: "NONE", value: 0}, {name: "CAPTURING_PHASE", value: 1}, {name: "AT_TARGET", value: 2}, {name: "BUBBLING_PHASE", value: 3},
	}
	(&webClass{
		name: "Event", length: 1,
		statics: phases,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, newEvent(r, call))
			return nil
		},
		members: append([]member{
			{name: "type", get: getter(func(r *realm, ev *event) goja.Value { return r.rt.ToValue(ev.kind) })},
			{name: "target", get: getter(func(_ *realm, ev *event) goja.Value { return ev.target })},
			{name: "srcElement", get: getter(func(_ *realm, ev *event) goja.Value { return ev.target })},
			{name: "currentTarget", get: getter(func(_ *realm, ev *event) goja.Value { return ev.current })},
			{name: "eventPhase", get: getter(func(r *realm, ev *event) goja.Value {
				if ev.dispatching {
					return r.rt.ToValue(2)
				}
				return r.rt.ToValue(0)
			})},
			{name: "timeStamp", get: getter(func(r *realm, ev *event) goja.Value {
				if ev.stamp.IsZero() || r.home == nil {
					return r.rt.ToValue(0)
				}
				return r.rt.ToValue(float64(ev.stamp.Sub(r.home.inv.begun)/time.Microsecond) / 1000)
			})},
			{name: "initEvent", length: 1, call: method(func(r *realm, ev *event, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'initEvent' on 'Event'")
				if !ev.dispatching {
					ev.kind, ev.bubbles, ev.cancelable = r.str(call.Argument(0)), call.Argument(1).ToBoolean(), call.Argument(2).ToBoolean()
					ev.stopped, ev.stoppedNow, ev.canceled, ev.trusted, ev.target = false, false, false, false, goja.Null()
				}
				return goja.Undefined()
			})},
			flag("bubbles", func(ev *event) bool { return ev.bubbles }),
			flag("cancelable", func(ev *event) bool { return ev.cancelable }),
			flag("composed", func(ev *event) bool { return ev.composed }),
			flag("defaultPrevented", func(ev *event) bool { return ev.canceled }),
			flag("isTrusted", func(ev *event) bool { return ev.trusted }),
			{
				name: "returnValue",
				get:  getter(func(r *realm, ev *event) goja.Value { return r.rt.ToValue(!ev.canceled) }),
				set: method(func(_ *realm, ev *event, call goja.FunctionCall) goja.Value {
					if !call.Argument(0).ToBoolean() {
						ev.prevent()
					}
					return goja.Undefined()
				}),
			},
			{
				name: "cancelBubble",
				get:  getter(func(r *realm, ev *event) goja.Value { return r.rt.ToValue(ev.stopped) }),
				set: method(func(_ *realm, ev *event, call goja.FunctionCall) goja.Value {
					ev.stopped = ev.stopped || call.Argument(0).ToBoolean()
					return goja.Undefined()
				}),
			},
			{name: "preventDefault", call: method(func(_ *realm, ev *event, _ goja.FunctionCall) goja.Value {
				ev.prevent()
				return goja.Undefined()
			})},
			{name: "stopPropagation", call: method(func(_ *realm, ev *event, _ goja.FunctionCall) goja.Value {
				ev.stopped = true
				return goja.Undefined()
			})},
			{name: "stopImmediatePropagation", call: method(func(_ *realm, ev *event, _ goja.FunctionCall) goja.Value {
				ev.stopped, ev.stoppedNow = true, true
				return goja.Undefined()
			})},
			{name: "composedPath", call: method(func(r *realm, ev *event, _ goja.FunctionCall) goja.Value {
				if ev.dispatching {
					return r.rt.NewArray(ev.target)
				}
				return r.rt.NewArray()
			})},
		}, phases...),
	}).declare()
	(&webClass{
		name: "CustomEvent", length: 1, parent: "Event",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			ev := newEvent(r, call)
			if ev.detail = optional(call.Argument(1), "detail"); ev.detail == nil {
				ev.detail = goja.Null()
			}
			r.attach(call.This, ev)
			return nil
		},
		members: []member{
			{name: "detail", get: getter(func(_ *realm, ev *event) goja.Value { return orUndefined(ev.detail) })},
		},
	}).declare()
	(&webClass{
		name: "EventTarget",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, &eventTarget{})
			return nil
		},
		members: []member{
			{name: "addEventListener", length: 2, call: method(addListener)},
			{name: "removeEventListener", length: 2, call: method(func(r *realm, o targetOwner, call goja.FunctionCall) goja.Value {
				kind, capture := r.str(call.Argument(0)), captureOf(call.Argument(2))
				for _, l := range o.events().listeners {
					if l.kind == kind && l.capture == capture && l.callback.SameAs(call.Argument(1)) {
						o.events().remove(l)
						break
					}
				}
				return goja.Undefined()
			})},
			{name: "dispatchEvent", length: 1, call: method(func(r *realm, o targetOwner, call goja.FunctionCall) goja.Value {
				ev := r.eventOf(call.Argument(0))
				if ev.dispatching {
					panic(r.domException("InvalidStateError", "The event is already being dispatched."))
				}
				return r.rt.ToValue(r.dispatch(call.This, o.events(), ev, call.Argument(0).(*goja.Object)))
			})},
		},
	}).declare()
}

func (ev *event) prevent() {
	if ev.cancelable && !ev.passive {
		ev.canceled = true
	}
}

func captureOf(options goja.Value) bool {
	if v := optional(options, "capture"); v != nil {
		return v.ToBoolean()
	}
	_, isObject := options.(*goja.Object)
	return !isObject && some(options) && options.ToBoolean()
}

func addListener(r *realm, o targetOwner, call goja.FunctionCall) goja.Value {
	kind, callback, options := r.str(call.Argument(0)), call.Argument(1), call.Argument(2)
	if _, ok := callback.(*goja.Object); !ok && some(callback) {
		panic(r.typeError("Failed to execute 'addEventListener' on 'EventTarget': parameter 2 is not of type 'Object'."))
	}
	flag := func(name string) bool {
		v := optional(options, name)
		return v != nil && v.ToBoolean()
	}
	l := &listener{kind: kind, callback: callback, capture: captureOf(options), once: flag("once"), passive: flag("passive")}
	if v := optional(options, "signal"); v != nil {
		s, ok := nativeOf[*abortSignal](r, v)
		if !ok {
			panic(r.typeError("Failed to execute 'addEventListener' on 'EventTarget': member signal is not of type AbortSignal."))
		}
		if s.aborted || !some(callback) {
			return goja.Undefined()
		}
		l.unwatch = s.onAbort(func() { o.events().remove(l) })
	}
	if some(callback) {
		o.events().add(l)
	}
	return goja.Undefined()
}

// handlerAttribute is an on... attribute of an event target.
func handlerAttribute(kind string) member {
	return member{
		name: "on" + kind,
		get: getter(func(_ *realm, o targetOwner) goja.Value {
			if h := o.events().handlers[kind]; h != nil {
				return h
			}
			return goja.Null()
		}),
		set: method(func(_ *realm, o targetOwner, call goja.FunctionCall) goja.Value {
			t := o.events()
			if t.handlers == nil {
				t.handlers = map[string]goja.Value{}
			}
			if _, ok := call.Argument(0).(*goja.Object); ok {
				t.handlers[kind] = call.Argument(0)
			} else {
				delete(t.handlers, kind)
			}
			return goja.Undefined()
		}),
	}
}
