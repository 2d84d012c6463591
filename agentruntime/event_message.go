package agentruntime

import "github.com/dop251/goja"

// messageData is what a MessageEvent holds (https://html.spec.whatwg.org/multipage/comms.html#messageevent).
type messageData struct {
	data, source, ports goja.Value
	origin, lastEventID string
}

// closeData is what a CloseEvent holds (https://websockets.spec.whatwg.org/#the-closeevent-interface).
type closeData struct {
	code   int
	reason string
	clean  bool
}

// errorData is what an ErrorEvent holds (https://html.spec.whatwg.org/multipage/webappapis.html#errorevent).
type errorData struct {
	message, filename string
	line, column      int
	err               goja.Value
}

// eventMember is an attribute of an event that holds a T.
func eventMember[T any](name string, get func(r *realm, data T) any) member {
	return member{name: name, get: getter(func(r *realm, ev *event) goja.Value {
		data, ok := ev.more.(T)
		if !ok {
			panic(r.typeError("Illegal invocation"))
		}
		return r.rt.ToValue(get(r, data))
	})}
}

// eventClass declares a class of events whose constructor reads what they hold from its init dictionary.
func eventClass(name string, read func(r *realm, init goja.Value) any, members ...member) {
	(&webClass{
		name: name, length: 1, parent: "Event", members: members,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			ev := newEvent(r, call)
			ev.more = read(r, call.Argument(1))
			r.attach(call.This, ev)
			return nil
		},
	}).declare()
}

// fireEvent makes a trusted event of the named class and dispatches it to obj.
func (r *realm) fireEvent(obj *goja.Object, t *eventTarget, class, kind string, more any) {
	ev := &event{kind: kind, trusted: true, target: goja.Null(), current: goja.Null(), more: more}
	r.dispatch(obj, t, ev, r.instance(class, ev))
}

func init() {
	text := func(r *realm, init goja.Value, name string) string {
		if v := optional(init, name); v != nil {
			return r.str(v)
		}
		return ""
	}
	number := func(init goja.Value, name string) int {
		if v := optional(init, name); v != nil {
			return int(v.ToInteger())
		}
		return 0
	}
	orNull := func(v goja.Value) goja.Value {
		if v == nil {
			return goja.Null()
		}
		return v
	}
	eventClass("MessageEvent", func(r *realm, init goja.Value) any {
		ports := optional(init, "ports")
		if ports == nil {
			ports = r.rt.NewArray()
		}
		return &messageData{
			data: orNull(optional(init, "data")), source: orNull(optional(init, "source")), ports: ports,
			origin: text(r, init, "origin"), lastEventID: text(r, init, "lastEventId"),
		}
	},
		eventMember("data", func(_ *realm, d *messageData) any { return d.data }),
		eventMember("origin", func(_ *realm, d *messageData) any { return d.origin }),
		eventMember("lastEventId", func(_ *realm, d *messageData) any { return d.lastEventID }),
		eventMember("source", func(_ *realm, d *messageData) any { return orNull(d.source) }),
		eventMember("ports", func(r *realm, d *messageData) any {
			if d.ports == nil {
				d.ports = r.rt.NewArray()
			}
			return d.ports
		}),
	)
	eventClass("CloseEvent", func(r *realm, init goja.Value) any {
		clean := optional(init, "wasClean")
		return &closeData{code: number(init, "code"), reason: text(r, init, "reason"), clean: clean != nil && clean.ToBoolean()}
	},
		eventMember("code", func(_ *realm, d *closeData) any { return d.code }),
		eventMember("reason", func(_ *realm, d *closeData) any { return d.reason }),
		eventMember("wasClean", func(_ *realm, d *closeData) any { return d.clean }),
	)
	eventClass("ErrorEvent", func(r *realm, init goja.Value) any {
		err := optional(init, "error")
		if err == nil {
			err = goja.Undefined()
		}
		return &errorData{
			message: text(r, init, "message"), filename: text(r, init, "filename"),
			line: number(init, "lineno"), column: number(init, "colno"), err: err,
		}
	},
		eventMember("message", func(_ *realm, d *errorData) any { return d.message }),
		eventMember("filename", func(_ *realm, d *errorData) any { return d.filename }),
		eventMember("lineno", func(_ *realm, d *errorData) any { return d.line }),
		eventMember("colno", func(_ *realm, d *errorData) any { return d.column }),
		eventMember("error", func(_ *realm, d *errorData) any { return orUndefined(d.err) }),
	)
}
