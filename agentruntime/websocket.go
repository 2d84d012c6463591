package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/net/http/httpguts"
)

// socketState is how far a WebSocket has come.
type socketState uint8

const (
	socketConnecting socketState = iota // waits for the answer to its handshake
	socketIdle                          // there, but nobody has called accept
	socketOpen
	socketClosing // this side has closed, the other has not answered
	socketClosed
	socketTaken // belongs to a Response now
)

// webSocket is the state of a WebSocket (https://developers.cloudflare.com/workers/runtime-apis/websockets/): an end of
// a pair, the other side of a response, or one that the constructor opens. Its frames and handshakes are the gateway's.
type webSocket struct {
	eventTarget
	r             *realm
	obj           *goja.Object
	end           Socket // nil while connecting
	state         socketState
	url, protocol string
	blobs         bool       // binaryType is blob
	halfOpen      bool       // a close of the other side is not answered by itself
	mate          *webSocket // the other end of a pair
	inv           *invocation
	release       func() // lets the invocation end; does nothing while the other side is of the same isolate
	out           *outbox
	// abandon ends what waits for the other side when the socket has come to its end.
	abandon context.CancelFunc
	// untie takes the socket from the invocation's end, which closes what nobody has taken.
	untie func() bool
	// attachment is what code has attached, serialized; nil for nothing.
	attachment []byte
	kept       *keptSocket // nil unless the gateway keeps it for the actor
}

// newWebSocket makes the object of a socket that is there.
func (r *realm) newWebSocket(end Socket) *webSocket {
	w := &webSocket{r: r, end: end, state: socketIdle, release: func() {}, untie: func() bool { return true }}
	w.obj = r.instance("WebSocket", w)
	return w
}

// receivedSocket makes the object of a socket that came from outside. Unless code takes it, it is closed with the invocation.
func (r *realm) receivedSocket(end Socket) *webSocket {
	w := r.newWebSocket(end)
	w.untie = context.AfterFunc(r.current().ctx(), func() { _ = end.Close(1001, "") })
	return w
}

// take gives the socket away, to the receiver of a Response.
func (w *webSocket) take() (Socket, error) {
	switch w.state {
	case socketIdle:
	case socketTaken:
		return nil, w.r.failure(errors.New("the WebSocket of the Response has already been used in another one"))
	default:
		return nil, w.r.failure(errors.New("the WebSocket of the Response was accepted by the code itself: answer with the other end of the pair"))
	}
	w.state = socketTaken
	w.untie()
	switch w.end.(type) {
	case *Kept, Detached:
		return w.end, nil // it needs nobody here
	}
	if w.mate != nil && w.mate.out != nil && w.mate.state != socketClosed {
		w.mate.release = w.mate.inv.hold()
	}
	release := w.r.current().hold()
	scope := w.r.scope()
	return &watchedSocket{Socket: w.end, ended: func() { w.r.deliver(scope, release) }}, nil
}

// open begins to listen: from here on the invocation lasts as long as the socket does, if its other side is outside. Two
// ends that code keeps to itself end with the rest of it.
func (w *webSocket) open() {
	r := w.r
	w.state, w.inv = socketOpen, r.current()
	if w.mate == nil || w.mate.state == socketTaken {
		w.release = w.inv.hold()
	}
	w.untie()
	ctx, cancel := context.WithCancel(w.inv.ctx())
	w.abandon = cancel
	end, scope := w.end, r.scope()
	w.out = &outbox{end: end, ctx: ctx}
	// What the invocation's end, or the actor's, leaves open breaks off.
	context.AfterFunc(ctx, func() { _ = end.Close(1006, "") })
	r.pending++
	go func() {
		for {
			m, err := end.Receive(ctx)
			done := make(chan struct{})
			r.loop.run(task{bare: true, run: w.inv.renew})
			r.deliver(scope, func() {
				defer close(done)
				r.inLoop(func() { w.received(m, err) })
			})
			if err != nil {
				return
			}
			select {
			case <-done: // a message that is not handled yet holds the next one back
			case <-ctx.Done():
			}
		}
	}()
}

// received handles one message, or the end. On the loop.
func (w *webSocket) received(m Message, err error) {
	r := w.r
	if err != nil {
		w.ended(err)
		return
	}
	var data goja.Value
	switch {
	case m.Text:
		data = r.rt.ToValue(strings.ToValidUTF8(string(m.Data), "\ufffd"))
	case w.blobs:
		data = r.blobValue(&blob{data: m.Data})
	default:
		data = r.arrayBuffer(m.Data)
	}
	r.fireEvent(w.obj, &w.eventTarget, "MessageEvent", "message", &messageData{data: data})
}

// ended handles the other side's close. On the loop.
func (w *webSocket) ended(err error) {
	r := w.r
	r.pending--
	closed := &CloseError{Code: 1006}
	if how, ok := errors.AsType[*CloseError](err); ok {
		closed = how
	}
	if w.state == socketOpen && !w.halfOpen {
		w.shut(closed.Code, closed.Reason)
	}
	if w.state == socketOpen && w.halfOpen {
		w.state = socketClosing
	} else {
		w.finish()
	}
	if closed.Code == 1006 {
		r.fireEvent(w.obj, &w.eventTarget, "ErrorEvent", "error", &errorData{message: "WebSocket disconnected without sending Close frame."})
	}
	r.fireEvent(w.obj, &w.eventTarget, "CloseEvent", "close", &closeData{code: closed.Code, reason: closed.Reason, clean: closed.Code != 1006})
}

// finish lets the invocation go, once what was sent has left.
func (w *webSocket) finish() {
	w.state = socketClosed
	scope := w.r.scope()
	w.r.gateOutput(func(error) {
		w.out.flushed(func() {
			w.abandon()
			w.r.deliver(scope, func() { w.release() })
		})
	})
}

// shut sends the close after what was sent before.
func (w *webSocket) shut(code int, reason string) {
	out := w.out
	w.r.gateOutput(func(err error) {
		if err == nil {
			out.close(code, reason)
		}
	})
}

func (w *webSocket) accept(options goja.Value) {
	if w.kept != nil {
		panic(w.r.typeError("Can't accept() a WebSocket that was accepted with acceptWebSocket() already."))
	}
	if _, ok := w.end.(*Kept); ok && w.state == socketIdle {
		panic(w.r.typeError("Can't accept() the other end of a WebSocket that was accepted with acceptWebSocket(): answer with it."))
	}
	switch w.state {
	case socketIdle:
	case socketTaken:
		panic(w.r.typeError("Can't accept() a WebSocket that was given away in a Response."))
	default:
		return // accepting twice does nothing
	}
	if v := optional(options, "allowHalfOpen"); v != nil {
		w.halfOpen = v.ToBoolean()
	}
	w.open()
}

const notAccepted = "You must call accept() on this WebSocket before sending messages."

// maxSocketMessage is the largest message in bytes, and maxSocketQueue how many bytes may wait for the other side.
const (
	maxSocketMessage = 32 << 20
	maxSocketQueue   = 64 << 20
)

func (w *webSocket) send(v goja.Value) {
	r := w.r
	switch w.state {
	case socketConnecting:
		panic(r.domException("InvalidStateError", "The WebSocket is still connecting."))
	case socketIdle, socketTaken:
		panic(r.typeError(notAccepted))
	case socketClosing, socketClosed:
		panic(r.typeError("Can't call WebSocket send() after close()."))
	}
	var m Message
	if data, ok := r.bytesOf(v); ok {
		m.Data = append([]byte(nil), data...)
	} else if b, ok := nativeOf[*blob](r, v); ok {
		m.Data = b.data
	} else {
		m = Message{Text: true, Data: []byte(r.str(v))}
	}
	if len(m.Data) > maxSocketMessage {
		panic(r.errorValue(sizeError("a WebSocket message", len(m.Data), maxSocketMessage)))
	}
	if w.kept != nil {
		w.sendKept(m)
		return
	}
	if waiting := w.out.reserve(len(m.Data)); waiting > maxSocketQueue {
		w.out.giveBack(len(m.Data))
		panic(r.errorValue(fmt.Errorf("the other side of the WebSocket does not take its messages: %d bytes wait for it, at most %d may", waiting, maxSocketQueue)))
	}
	out := w.out
	r.gateOutput(func(err error) {
		if err == nil {
			out.send(m)
		}
	})
}

func (w *webSocket) close(code, reason goja.Value) {
	r := w.r
	status, text := 1005, ""
	if given(code) {
		status = int(code.ToInteger())
		if status < 1000 || status >= 5000 || status == 1004 || status == 1005 || status == 1006 || status == 1015 {
			panic(r.typeError(fmt.Sprintf("Invalid WebSocket close code: %d.", status)))
		}
	}
	if given(reason) {
		text = r.str(reason)
		if len(text) > 123 {
			panic(r.domException("SyntaxError", "The reason of a WebSocket's close must not be longer than 123 bytes."))
		}
		if !given(code) {
			panic(r.typeError("If you specify a WebSocket close reason, you must also specify a code."))
		}
	}
	switch w.state {
	case socketIdle, socketTaken:
		panic(r.typeError(notAccepted))
	case socketConnecting:
		w.state = socketClosed
		return
	case socketClosed:
		return
	}
	other := w.state == socketClosing && w.halfOpen // the other side has closed before
	if w.state == socketClosing && !other {
		return
	}
	if w.kept != nil {
		w.closeKept(status, text)
		return
	}
	w.state = socketClosing
	w.shut(status, text)
	if other {
		w.finish()
	}
}

func (w *webSocket) readyState() int {
	switch w.state {
	case socketConnecting:
		return 0
	case socketClosing:
		return 2
	case socketClosed:
		return 3
	}
	return 1
}

// dialSocket opens the socket of the constructor (https://websockets.spec.whatwg.org/#dom-websocket-websocket).
func (r *realm) dialSocket(call goja.ConstructorCall) *webSocket {
	if len(call.Arguments) == 0 {
		panic(r.typeError("Failed to construct 'WebSocket': 1 argument required, but only 0 present."))
	}
	u, err := parseURL(r.str(call.Argument(0)), nil)
	syntax := func(msg string) {
		panic(r.domException("SyntaxError", "Failed to construct 'WebSocket': "+msg))
	}
	if err != nil {
		syntax("the URL is invalid.")
	}
	shown := u.href()
	target := shown
	switch u.scheme {
	case "ws", "wss":
		target = "http" + strings.TrimPrefix(shown, "ws")
	case "http", "https":
		shown = "ws" + strings.TrimPrefix(shown, "http")
	default:
		syntax("the URL's scheme must be ws, wss, http or https.")
	}
	if strings.Contains(shown, "#") {
		syntax("the URL must not have a fragment.")
	}
	var protocols []string
	if v := call.Argument(1); given(v) {
		if _, ok := v.(*goja.Object); ok {
			r.each(v, func(v goja.Value) { protocols = append(protocols, r.str(v)) })
		} else {
			protocols = []string{r.str(v)}
		}
	}
	seen := map[string]bool{}
	for _, p := range protocols {
		if !httpguts.ValidHeaderFieldName(p) || seen[p] {
			syntax("the subprotocol " + fmt.Sprintf("%q", p) + " is invalid or duplicated.")
		}
		seen[p] = true
	}
	w := &webSocket{r: r, url: shown, state: socketConnecting, release: func() {}, untie: func() bool { return true }}
	req := &Request{Method: "GET", URL: target, Header: http.Header{"Upgrade": {"websocket"}}, Redirect: "manual"}
	if len(protocols) > 0 {
		req.Header["Sec-Websocket-Protocol"] = []string{strings.Join(protocols, ", ")}
	}
	inv := r.current()
	host := inv.host()
	ctx, cancel := context.WithCancel(inv.ctx())
	release := inv.hold()
	answer := r.send(func(context.Context) (any, error) {
		res, err := host.Fetch(ctx, Target{Kind: TargetEgress}, req)
		if err != nil || res.Socket == nil {
			cancel()
		}
		if err == nil && res.Socket == nil {
			if res.Body != nil {
				_ = res.Body.Close()
			}
			err = fmt.Errorf("the server answered the WebSocket handshake with status %d", res.Status)
		}
		return res, err
	}, func(v any) (goja.Value, error) {
		defer release()
		res := v.(*Response)
		if w.state != socketConnecting { // closed meanwhile
			_ = res.Socket.Close(1001, "")
			cancel()
			return nil, nil
		}
		w.end = &watchedSocket{Socket: res.Socket, ended: cancel}
		w.protocol = res.Header.Get("Sec-Websocket-Protocol")
		w.open()
		r.fireEvent(w.obj, &w.eventTarget, "Event", "open", nil)
		return nil, nil
	})
	r.upon(answer, nil, func(reason goja.Value) {
		release()
		w.state = socketClosed
		r.fireEvent(w.obj, &w.eventTarget, "ErrorEvent", "error", &errorData{message: reason.String(), err: reason})
		r.fireEvent(w.obj, &w.eventTarget, "CloseEvent", "close", &closeData{code: 1006})
	})
	return w
}

func init() {
	states := []member{
		{name: "CONNECTING", value: 0}, {name: "OPEN", value: 1}, {name: "CLOSING", value: 2}, {name: "CLOSED", value: 3},
		{name: "READY_STATE_CONNECTING", value: 0}, {name: "READY_STATE_OPEN", value: 1},
		{name: "READY_STATE_CLOSING", value: 2}, {name: "READY_STATE_CLOSED", value: 3},
	}
	(&webClass{
		name: "WebSocket", length: 1, parent: "EventTarget",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			w := r.dialSocket(call)
			w.obj = call.This
			r.attach(call.This, w)
			return nil
		},
		statics: states,
		members: append([]member{
			{name: "accept", call: method(func(_ *realm, w *webSocket, call goja.FunctionCall) goja.Value {
				w.accept(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "send", length: 1, call: method(func(r *realm, w *webSocket, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'send' on 'WebSocket'")
				w.send(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "close", call: method(func(_ *realm, w *webSocket, call goja.FunctionCall) goja.Value {
				w.close(call.Argument(0), call.Argument(1))
				return goja.Undefined()
			})},
			{name: "serializeAttachment", length: 1, call: method(func(r *realm, w *webSocket, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'serializeAttachment' on 'WebSocket'")
				w.serializeAttachment(call.Argument(0))
				return goja.Undefined()
			})},
			{name: "deserializeAttachment", call: method(func(_ *realm, w *webSocket, _ goja.FunctionCall) goja.Value {
				return w.deserializeAttachment()
			})},
			{name: "readyState", get: getter(func(r *realm, w *webSocket) goja.Value { return r.rt.ToValue(w.readyState()) })},
			{name: "url", get: getter(func(r *realm, w *webSocket) goja.Value {
				if w.url == "" {
					return goja.Null()
				}
				return r.rt.ToValue(w.url)
			})},
			{name: "protocol", get: getter(func(r *realm, w *webSocket) goja.Value { return r.rt.ToValue(w.protocol) })},
			{name: "extensions", get: getter(func(r *realm, _ *webSocket) goja.Value { return r.rt.ToValue("") })},
			{name: "bufferedAmount", get: getter(func(r *realm, w *webSocket) goja.Value {
				if w.out == nil {
					return r.rt.ToValue(0)
				}
				return r.rt.ToValue(w.out.reserve(0))
			})},
			{
				name: "binaryType",
				get: getter(func(r *realm, w *webSocket) goja.Value {
					if w.blobs {
						return r.rt.ToValue("blob")
					}
					return r.rt.ToValue("arraybuffer")
				}),
				set: method(func(_ *realm, w *webSocket, call goja.FunctionCall) goja.Value {
					switch call.Argument(0).String() {
					case "blob":
						w.blobs = true
					case "arraybuffer":
						w.blobs = false
					}
					return goja.Undefined()
				}),
			},
			handlerAttribute("open"), handlerAttribute("message"), handlerAttribute("close"), handlerAttribute("error"),
		}, states...),
	}).declare()
	(&webClass{
		name: "WebSocketPair",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			a, b := NewSocketPair()
			x, y := r.newWebSocket(a), r.newWebSocket(b)
			x.mate, y.mate = y, x
			_ = call.This.Set("0", x.obj)
			_ = call.This.Set("1", y.obj)
			return nil
		},
	}).declare()
}
