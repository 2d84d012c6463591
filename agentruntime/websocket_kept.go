package agentruntime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// keptSocket is what a WebSocket has beside its state when the gateway keeps it for the actor.
type keptSocket struct {
	x       *Actor
	id      uint64
	tags    []string
	partial bool // tags and attachment are the gateway's to tell yet
}

// known asks the gateway for what of the socket is not here yet.
func (w *webSocket) known() {
	k := w.kept
	if k == nil || !k.partial {
		return
	}
	info, err := k.x.sockets.Look(k.x.ctx, k.id)
	if err != nil {
		w.r.throw(err)
	}
	k.tags, k.partial = info.Tags, false
	if w.attachment == nil {
		w.attachment = info.Attachment
	}
}

// keptSocket returns the object of a kept socket, made if there is none.
func (x *Actor) keptSocket(info SocketInfo) *webSocket {
	w := x.kept[info.ID]
	if w == nil {
		w = x.r.newWebSocket(nil)
		w.state = socketOpen
		if info.Closing {
			w.state = socketClosing
		}
		w.attachment = info.Attachment
		w.kept = &keptSocket{x: x, id: info.ID, tags: info.Tags, partial: info.Partial}
		x.keep(w)
	}
	return w
}

func (x *Actor) keep(w *webSocket) {
	if x.kept == nil {
		x.kept = map[uint64]*webSocket{}
	}
	x.kept[w.kept.id] = w
}

// acceptWebSocket gives the socket to the gateway, to be kept there.
func (x *Actor) acceptWebSocket(call goja.FunctionCall) goja.Value {
	r := x.r
	w, ok := nativeOf[*webSocket](r, call.Argument(0))
	if !ok {
		panic(r.typeError("acceptWebSocket(): the first argument is not a WebSocket"))
	}
	var tags []string
	if v := call.Argument(1); given(v) {
		r.each(v, func(v goja.Value) {
			if t := r.str(v); !slices.Contains(tags, t) {
				tags = append(tags, t)
			}
		})
	}
	refuse := func(text string) { panic(r.newError("Error", "acceptWebSocket(): "+text)) }
	switch {
	case w.kept != nil:
		refuse("the WebSocket was accepted by it already")
	case w.state == socketTaken:
		refuse("the WebSocket was given away in a Response")
	case w.mate == nil:
		refuse("only an end of a WebSocketPair can be kept, not a connection to somebody else")
	case w.state != socketIdle:
		refuse("the WebSocket was accepted with accept() already")
	case w.mate.kept != nil:
		refuse("the other end of the pair was accepted by it")
	case w.mate.state != socketIdle:
		refuse("the other end of the pair is in use: accept first, and then answer with the other end")
	}
	if err := CheckTags(tags); err != nil {
		refuse(err.Error())
	}
	id, err := x.sockets.Accept(x.ctx, tags, w.attachment)
	if err != nil {
		refuse(err.Error())
	}
	w.kept = &keptSocket{x: x, id: id, tags: tags}
	w.state, w.end, w.mate.end = socketOpen, nil, &Kept{ID: id}
	x.keep(w)
	return goja.Undefined()
}

// keptOf is the argument of ctx's methods on kept sockets.
func (x *Actor) keptOf(v goja.Value, method string) *webSocket {
	w, ok := nativeOf[*webSocket](x.r, v)
	if !ok {
		panic(x.r.typeError(method + "(): the argument is not a WebSocket"))
	}
	if w.kept == nil {
		panic(x.r.newError("Error", method+"(): the WebSocket was not accepted with acceptWebSocket()"))
	}
	return w
}

// socketMembers are ctx's members about WebSockets that are kept.
func (x *Actor) socketMember(name string) goja.Value {
	r := x.r
	var f func(call goja.FunctionCall) goja.Value
	switch name {
	case "acceptWebSocket":
		f = x.acceptWebSocket
	case "getWebSockets":
		f = x.getWebSockets
	case "getTags":
		f = func(call goja.FunctionCall) goja.Value {
			w := x.keptOf(call.Argument(0), name)
			w.known()
			list := make([]any, len(w.kept.tags))
			for i, t := range w.kept.tags {
				list[i] = t
			}
			return r.rt.NewArray(list...)
		}
	case "setWebSocketAutoResponse":
		f = x.setAutoResponse
	case "getWebSocketAutoResponse":
		f = func(goja.FunctionCall) goja.Value {
			pair, err := x.autoResponse()
			if err != nil {
				r.throw(err)
			}
			if pair == nil {
				return goja.Null()
			}
			return r.autoResponseValue(pair)
		}
	case "getWebSocketAutoResponseTimestamp":
		f = func(call goja.FunctionCall) goja.Value {
			w := x.keptOf(call.Argument(0), name)
			info, err := x.sockets.Look(x.ctx, w.kept.id)
			if err != nil {
				r.throw(err)
			}
			if info.Replied == 0 {
				return goja.Null()
			}
			date, err := r.rt.New(r.rt.Get("Date"), r.rt.ToValue(info.Replied))
			if err != nil {
				r.throw(err)
			}
			return date
		}
	case "setHibernatableWebSocketEventTimeout":
		f = func(call goja.FunctionCall) goja.Value {
			ms := int64(0)
			if v := call.Argument(0); given(v) {
				ms = v.ToInteger()
			}
			if ms < 0 || ms > maxSocketTimeout.Milliseconds() {
				panic(r.newError("Error", fmt.Sprintf("setHibernatableWebSocketEventTimeout(): %d is not from 0 to %d ms", ms, maxSocketTimeout.Milliseconds())))
			}
			x.socketWall.Store(ms)
			return goja.Undefined()
		}
	case "getHibernatableWebSocketEventTimeout":
		f = func(goja.FunctionCall) goja.Value {
			if ms := x.socketWall.Load(); ms != 0 {
				return r.rt.ToValue(ms)
			}
			return goja.Null()
		}
	default:
		return nil
	}
	return r.function(name, 0, func(r *realm, call goja.FunctionCall) goja.Value {
		if x.sockets == nil {
			panic(r.newError("Error", "ctx."+name+": nobody keeps WebSockets for this actor"))
		}
		return f(call)
	})
}

func (x *Actor) getWebSockets(call goja.FunctionCall) goja.Value {
	r := x.r
	var tag *string
	if v := call.Argument(0); given(v) {
		t := r.str(v)
		tag = &t
	}
	infos, err := x.sockets.List(x.ctx, tag)
	if err != nil {
		r.throw(err)
	}
	list := make([]any, 0, len(infos))
	for _, info := range infos {
		if w := x.keptSocket(info); w.state != socketClosed {
			list = append(list, w.obj)
		}
	}
	return r.rt.NewArray(list...)
}

// setAutoResponse takes effect as what leaves the actor does. Until then the actor sees it all the same.
func (x *Actor) setAutoResponse(call goja.FunctionCall) goja.Value {
	r := x.r
	var pair *AutoResponse
	if v := call.Argument(0); given(v) {
		p, ok := nativeOf[*AutoResponse](r, v)
		if !ok {
			panic(r.typeError("setWebSocketAutoResponse(): the argument is not a WebSocketRequestResponsePair"))
		}
		if err := p.Check(); err != nil {
			panic(r.newError("Error", "setWebSocketAutoResponse(): "+err.Error()))
		}
		pair = p
	}
	x.auto = &pair
	sockets := x.sockets
	r.gateOutput(func(err error) {
		if err == nil {
			sockets.SetAutoResponse(pair)
		}
	})
	return goja.Undefined()
}

func (x *Actor) autoResponse() (*AutoResponse, error) {
	if x.auto == nil {
		pair, err := x.sockets.AutoResponse(x.ctx)
		if err != nil {
			return nil, err
		}
		x.auto = &pair
	}
	return *x.auto, nil
}

// sendKept is send of a kept socket.
func (w *webSocket) sendKept(m Message) {
	k := w.kept
	w.r.gateOutput(func(err error) {
		if err == nil {
			k.x.sockets.Send(k.id, m)
		}
	})
}

// closeKept is close of a kept socket: the other side's answer is an event.
func (w *webSocket) closeKept(code int, reason string) {
	w.state = socketClosing
	k := w.kept
	w.r.gateOutput(func(err error) {
		if err == nil {
			k.x.sockets.End(k.id, code, reason)
		}
	})
}

func (w *webSocket) serializeAttachment(v goja.Value) {
	data, err := w.r.serialize(v)
	if err != nil {
		w.r.throw(err)
	}
	if err := CheckAttachment(data); err != nil {
		panic(w.r.newError("Error", err.Error()))
	}
	w.known()
	w.attachment = data
	k := w.kept
	if k == nil || w.state == socketClosed {
		return
	}
	w.r.gateOutput(func(err error) {
		if err == nil {
			k.x.sockets.Attach(k.id, data)
		}
	})
}

func (w *webSocket) deserializeAttachment() goja.Value {
	w.known()
	if w.attachment == nil {
		return goja.Null()
	}
	v, err := w.r.deserialize(w.attachment)
	if err != nil {
		w.r.throw(err)
	}
	return v
}

// Socket has the class's handler take an event of one of the actor's sockets. A class without that handler ignores it.
func (x *Actor) Socket(ctx context.Context, host Host, ev SocketEvent) *Invocation {
	r := x.r
	wall := r.agent.limits.Wall
	if ms := x.socketWall.Load(); ms > 0 {
		wall = min(wall, time.Duration(ms)*time.Millisecond)
	}
	return x.event(ctx, host, wall, func(inv *Invocation) {
		w := x.keptSocket(ev.Socket)
		args := []goja.Value{w.obj}
		name := "webSocketMessage"
		switch {
		case ev.Message != nil && ev.Message.Text:
			args = append(args, r.rt.ToValue(strings.ToValidUTF8(string(ev.Message.Data), "\ufffd")))
		case ev.Message != nil:
			args = append(args, r.arrayBuffer(ev.Message.Data))
		default:
			w.state = socketClosed
			delete(x.kept, w.kept.id)
			if name = "webSocketError"; ev.Close == nil {
				args = append(args, r.newError("Error", ev.Error))
				break
			}
			name = "webSocketClose"
			args = append(args, r.rt.ToValue(ev.Close.Code), r.rt.ToValue(ev.Close.Reason), r.rt.ToValue(ev.Close.Code != 1006))
		}
		fn, ok := goja.AssertFunction(r.member(x.instance, name))
		if !ok {
			inv.answer(nil, Value{})
			return
		}
		v, err := fn(x.instance, args...)
		r.outcome(inv, v, err, func(inv *Invocation, _ goja.Value) { inv.answer(nil, Value{}) })
	})
}

func (r *realm) autoResponseValue(p *AutoResponse) *goja.Object {
	return r.instance("WebSocketRequestResponsePair", p)
}

func init() {
	(&webClass{
		name: "WebSocketRequestResponsePair", length: 2,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) < 2 {
				panic(r.typeError("Failed to construct 'WebSocketRequestResponsePair': 2 arguments required."))
			}
			r.attach(call.This, &AutoResponse{Request: r.str(call.Argument(0)), Response: r.str(call.Argument(1))})
			return nil
		},
		members: []member{
			{name: "request", get: getter(func(r *realm, p *AutoResponse) goja.Value { return r.rt.ToValue(p.Request) })},
			{name: "response", get: getter(func(r *realm, p *AutoResponse) goja.Value { return r.rt.ToValue(p.Response) })},
		},
	}).declare()
}
