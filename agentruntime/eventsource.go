package agentruntime

import (
	"bytes"
	"context"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// eventSource is the state of an EventSource (https://html.spec.whatwg.org/multipage/server-sent-events.html). It fetches
// as code does: each connection is a subrequest and goes through the egress policy.
type eventSource struct {
	eventTarget
	r           *realm
	obj         *goja.Object
	url         *urlRecord // nil for one made of a stream, which does not connect again
	credentials bool
	state       int // connecting, open or closed, see eventSourceStates
	retry       time.Duration
	lastID      string
	parser      sseParser
	// cancel ends what is under way.
	cancel func()
}

var eventSourceStates = []string{"CONNECTING", "OPEN", "CLOSED"}

const (
	sourceConnecting = iota
	sourceOpen
	sourceClosed
)

// retryDefault is how long an EventSource waits before it connects again, unless the stream says otherwise.
const retryDefault = 3 * time.Second

// sseParser cuts a stream into events.
type sseParser struct {
	line    []byte
	begun   bool // the byte order mark has been looked for
	cr      bool // the last byte was a carriage return, and a line feed after it belongs to it
	data    []byte
	hasData bool
	kind    string
	id      string
	hasID   bool
}

// sseLimit bounds a line and the data of an event, in bytes.
const sseLimit = 16 << 20

// sseEvent is what a stream says: an event to dispatch, an id to remember, or the time to wait before connecting again.
type sseEvent struct {
	kind, data, id  string
	dispatch, hasID bool
	retry           time.Duration // 0: not said
}

// feed takes bytes and calls emit for each event. It reports false when a line or an event is too long.
func (p *sseParser) feed(data []byte, emit func(sseEvent)) bool {
	for len(data) > 0 {
		if p.cr {
			p.cr = false
			if data[0] == '\n' {
				data = data[1:]
				continue
			}
		}
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			p.line = append(p.line, data...)
			return len(p.line) <= sseLimit
		}
		p.line = append(p.line, data[:i]...)
		p.cr = data[i] == '\r'
		data = data[i+1:]
		p.endLine(emit)
		if len(p.data) > sseLimit || len(p.line) > sseLimit {
			return false
		}
		p.line = p.line[:0]
	}
	return true
}

func (p *sseParser) endLine(emit func(sseEvent)) {
	line := p.line
	if !p.begun {
		p.begun = true
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	if len(line) == 0 {
		if p.hasData {
			emit(sseEvent{dispatch: true, kind: p.kind, data: decodeUTF8(p.data), id: p.id, hasID: p.hasID})
		} else if p.hasID {
			emit(sseEvent{id: p.id, hasID: true})
		}
		p.data, p.hasData, p.kind = nil, false, ""
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		p.kind = decodeUTF8(value)
	case "data":
		if p.hasData {
			p.data = append(p.data, '\n')
		}
		p.data, p.hasData = append(p.data, value...), true
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			p.id, p.hasID = decodeUTF8(value), true
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil && strings.Trim(string(value), "0123456789") == "" {
			emit(sseEvent{retry: max(time.Duration(ms)*time.Millisecond, 1)})
		}
	}
}

// connect begins a connection. On the loop, in the scope of the code that made the source.
func (e *eventSource) connect() {
	r := e.r
	headers := r.rt.NewObject()
	_ = headers.Set("accept", "text/event-stream")
	_ = headers.Set("cache-control", "no-store")
	if e.lastID != "" {
		_ = headers.Set("last-event-id", e.lastID)
	}
	signal, signalObj := r.newSignal()
	init := r.rt.NewObject()
	_ = init.Set("headers", headers)
	_ = init.Set("signal", signalObj)
	e.cancel = func() { r.abort(signal, goja.Undefined()) }
	r.upon(r.fetch(Target{Kind: TargetEgress}, r.rt.ToValue(e.url.serialize(false)), init), func(v goja.Value) {
		if e.state == sourceClosed {
			return
		}
		res, _ := nativeOf[*response](r, v)
		kind, _, _ := mime.ParseMediaType(res.header.fields.Get("Content-Type"))
		if res.status != 200 || kind != "text/event-stream" {
			e.fail("EventSource got an answer with the status " + itoa(res.status) + " and the content type '" + shortened(kind) + "'.")
			return
		}
		e.opened()
		if s := r.bodyStreamOf(&res.content); s != nil {
			e.read(s)
		} else {
			e.again()
		}
	}, func(err goja.Value) {
		if e.state != sourceClosed {
			e.again()
		}
	})
}

func (e *eventSource) opened() {
	e.state, e.parser = sourceOpen, sseParser{}
	e.parser.id = e.lastID
	e.fire("open")
}

// read takes the stream to its end.
func (e *eventSource) read(s *readable) {
	r := e.r
	rd := s.acquire(false)
	ended := func() {
		if e.state != sourceClosed {
			e.again()
		}
	}
	stop := func() {
		if rd.s != nil && rd.s.state == streamReadable {
			rd.s.cancel(goja.Undefined(), func(goja.Value) {})
		}
	}
	e.cancel = stop
	r.startSourceNow(s)
	var next func()
	next = func() {
		rd.read(&readRequest{
			chunk: func(v goja.Value) {
				data, ok := r.bytesOf(v)
				if !ok {
					if _, text := v.(goja.String); !text {
						e.fail("The stream of an EventSource has chunks of bytes.")
						return
					}
					data = []byte(r.str(v))
				}
				if !e.parser.feed(data, e.event) {
					e.fail("An event of the stream is too long.")
				}
				if e.state == sourceClosed {
					stop()
					return
				}
				// The next chunk waits for its turn, so that one that never ends does not hold up everything else.
				r.deliver(r.scope(), func() { r.inLoop(next) })
			},
			close: ended,
			fail:  func(goja.Value) { ended() },
		})
	}
	next()
}

func (e *eventSource) event(ev sseEvent) {
	switch {
	case e.state == sourceClosed:
		return
	case ev.retry > 0:
		e.retry = ev.retry
		return
	}
	if ev.hasID {
		e.lastID = ev.id
	}
	if !ev.dispatch {
		return
	}
	kind := ev.kind
	if kind == "" {
		kind = "message"
	}
	origin := ""
	if e.url != nil {
		origin = e.url.origin()
	}
	e.r.fireEvent(e.obj, &e.eventTarget, "MessageEvent", kind, &messageData{data: e.r.rt.ToValue(ev.data), origin: origin, lastEventID: e.lastID})
}

// again says that the connection is lost and connects anew after a while.
func (e *eventSource) again() {
	r := e.r
	if e.url == nil {
		e.fail("The stream of the EventSource has ended.")
		return
	}
	e.state = sourceConnecting
	e.fire("error")
	if e.state == sourceClosed {
		return
	}
	wait := e.retry
	stopped := make(chan struct{})
	e.cancel = func() { close(stopped) }
	r.upon(r.start(func(ctx context.Context) (any, error) {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-stopped:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return nil, nil
	}, nil), func(goja.Value) {
		if e.state == sourceConnecting {
			e.connect()
		}
	}, nil)
}

// fail closes the source for good.
func (e *eventSource) fail(message string) {
	if e.state == sourceClosed {
		return
	}
	e.close()
	e.r.fireEvent(e.obj, &e.eventTarget, "ErrorEvent", "error", &errorData{message: message, err: e.r.newError("Error", message)})
}

func (e *eventSource) close() {
	if e.state == sourceClosed {
		return
	}
	e.state = sourceClosed
	if cancel := e.cancel; cancel != nil {
		e.cancel = nil
		cancel()
	}
}

func (e *eventSource) fire(kind string) {
	ev := &event{kind: kind, trusted: true, target: goja.Null(), current: goja.Null()}
	e.r.dispatch(e.obj, &e.eventTarget, ev, e.r.instance("Event", ev))
}

func init() {
	var constants []member
	for i, name := range eventSourceStates {
		constants = append(constants, member{name: name, value: i})
	}
	(&webClass{
		name: "EventSource", parent: "EventTarget", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) == 0 {
				panic(r.typeError("Failed to construct 'EventSource': 1 argument required, but only 0 present."))
			}
			address := r.str(call.Argument(0))
			u, err := parseURL(address, nil)
			if err != nil {
				panic(r.domException("SyntaxError", "Cannot open an EventSource to '"+shortened(address)+"'. The URL is invalid."))
			}
			r.dictionary(call.Argument(1), "the init of an EventSource")
			e := &eventSource{r: r, obj: call.This, url: u, retry: retryDefault}
			if v := optional(call.Argument(1), "withCredentials"); v != nil {
				e.credentials = v.ToBoolean()
			}
			r.attach(call.This, e)
			e.connect()
			return nil
		},
		statics: append([]member{
			// EventSource.from reads events from a stream (https://developers.cloudflare.com/workers/runtime-apis/eventsource/).
			{name: "from", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				s, ok := nativeOf[*readable](r, call.Argument(0))
				if !ok {
					panic(r.typeError("Failed to execute 'from' on 'EventSource': parameter 1 is not of type 'ReadableStream'."))
				}
				e := &eventSource{r: r, retry: retryDefault}
				e.obj = r.instance("EventSource", e)
				if s.reader != nil {
					panic(r.typeError("This ReadableStream is currently locked to a reader."))
				}
				r.deliver(r.scope(), func() {
					r.inLoop(func() {
						if e.state == sourceConnecting {
							e.opened()
							e.read(s)
						}
					})
				})
				return e.obj
			}},
		}, constants...),
		members: append([]member{
			{name: "url", get: getter(func(r *realm, e *eventSource) goja.Value {
				if e.url == nil {
					return r.rt.ToValue("")
				}
				return r.rt.ToValue(e.url.href())
			})},
			{name: "withCredentials", get: getter(func(r *realm, e *eventSource) goja.Value { return r.rt.ToValue(e.credentials) })},
			{name: "readyState", get: getter(func(r *realm, e *eventSource) goja.Value { return r.rt.ToValue(e.state) })},
			{name: "close", call: method(func(_ *realm, e *eventSource, _ goja.FunctionCall) goja.Value {
				e.close()
				return goja.Undefined()
			})},
			handlerAttribute("open"), handlerAttribute("message"), handlerAttribute("error"),
		}, constants...),
	}).declare()
}
