package agentruntime

import (
	"github.com/dop251/goja"
)

// messagePort is the state of a MessagePort (https://html.spec.whatwg.org/multipage/web-messaging.html#message-ports).
// Both ports of a channel live in one runtime.
type messagePort struct {
	eventTarget
	obj   *goja.Object
	other *messagePort // nil once the channel is closed
	// queue holds the messages, serialized, that came before the port was started.
	queue   [][]byte
	started bool
}

// messageChannel is the state of a MessageChannel.
type messageChannel struct{ port1, port2 *messagePort }

func (r *realm) newPort() *messagePort {
	p := &messagePort{}
	p.obj = r.instance("MessagePort", p)
	return p
}

// transferList reads the second argument of postMessage: a list, or an object with one.
func transferList(v goja.Value) goja.Value {
	if obj, ok := v.(*goja.Object); ok && !some(obj.GetSymbol(goja.SymIterator)) {
		return optional(obj, "transfer")
	}
	return v
}

func (p *messagePort) post(r *realm, call goja.FunctionCall) goja.Value {
	r.need(call, 1, "'postMessage' on 'MessagePort'")
	data, err := r.serialize(call.Argument(0))
	if err != nil {
		r.throw(err)
	}
	var buffers []goja.ArrayBuffer
	r.each(transferList(call.Argument(1)), func(t goja.Value) {
		o, ok := t.(*goja.Object)
		if !ok || o.ExportType() != typeArrayBuffer || r.isPinned(o) {
			panic(r.domException("DataCloneError", "Value is not transferable: only an ArrayBuffer is."))
		}
		buffers = append(buffers, o.Export().(goja.ArrayBuffer))
	})
	for _, b := range buffers {
		b.Detach()
	}
	to := p.other
	if to == nil {
		return goja.Undefined()
	}
	if !to.started {
		to.queue = append(to.queue, data)
		return goja.Undefined()
	}
	to.deliver(r, data)
	return goja.Undefined()
}

// deliver hands a message to the port's listeners, in a turn of its own.
func (p *messagePort) deliver(r *realm, data []byte) {
	r.deliver(r.scope(), func() {
		r.inLoop(func() {
			v, err := r.deserialize(data)
			if err != nil {
				r.fireEvent(p.obj, &p.eventTarget, "MessageEvent", "messageerror", &messageData{data: goja.Null()})
				return
			}
			r.fireEvent(p.obj, &p.eventTarget, "MessageEvent", "message", &messageData{data: v})
		})
	})
}

func (p *messagePort) start(r *realm) {
	if p.started {
		return
	}
	p.started = true
	queue := p.queue
	p.queue = nil
	for _, data := range queue {
		p.deliver(r, data)
	}
}

// close ends the channel; what was posted is still delivered.
func (p *messagePort) close(r *realm) {
	other := p.other
	if other == nil {
		return
	}
	p.other, other.other = nil, nil
	r.deliver(r.scope(), func() {
		r.inLoop(func() {
			ev := &event{kind: "close", trusted: true, target: goja.Null(), current: goja.Null()}
			r.dispatch(other.obj, &other.eventTarget, ev, r.instance("Event", ev))
		})
	})
}

func init() {
	(&webClass{
		name: "MessageChannel",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			c := &messageChannel{r.newPort(), r.newPort()}
			c.port1.other, c.port2.other = c.port2, c.port1
			r.attach(call.This, c)
			return nil
		},
		members: []member{
			{name: "port1", get: getter(func(_ *realm, c *messageChannel) goja.Value { return c.port1.obj })},
			{name: "port2", get: getter(func(_ *realm, c *messageChannel) goja.Value { return c.port2.obj })},
		},
	}).declare()
	onmessage := handlerAttribute("message")
	set := onmessage.set
	onmessage.set = func(r *realm, call goja.FunctionCall) goja.Value {
		set(r, call)
		self[*messagePort](r, call.This).start(r) // assigning a handler starts the port, adding a listener does not
		return goja.Undefined()
	}
	(&webClass{
		name: "MessagePort", parent: "EventTarget",
		members: []member{
			{name: "postMessage", length: 1, call: method(func(r *realm, p *messagePort, call goja.FunctionCall) goja.Value {
				return p.post(r, call)
			})},
			{name: "start", call: method(func(r *realm, p *messagePort, _ goja.FunctionCall) goja.Value {
				p.start(r)
				return goja.Undefined()
			})},
			{name: "close", call: method(func(r *realm, p *messagePort, _ goja.FunctionCall) goja.Value {
				p.close(r)
				return goja.Undefined()
			})},
			onmessage, handlerAttribute("messageerror"), handlerAttribute("close"),
		},
	}).declare()
}
