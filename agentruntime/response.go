package agentruntime

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/dop251/goja"
)

// response is the state of a Response object (https://fetch.spec.whatwg.org/#response-class).
type response struct {
	status     int
	statusText string
	header     headers
	headerObj  *goja.Object
	content    body
	url        string
	redirected bool
	kind       string // default, basic or error
	socket     *webSocket
}

func (p *response) held() *body    { return &p.content }
func (p *response) head() *headers { return &p.header }

// responseFrom turns what a handler returned into a plain Response. A body in memory becomes a reader with a Len
// method; one that came from Go untouched goes on as it is; any other stream is pulled through the loop, each chunk
// delivered as it is written, and closing the body cancels the stream. Anything but a Response is a TypeError.
func (r *realm) responseFrom(v goja.Value) (*Response, error) {
	p, ok := nativeOf[*response](r, v)
	if !ok {
		return nil, r.failure(fmt.Errorf("the handler's result is not a Response: %s", describe(v)))
	}
	if p.kind == "error" {
		return nil, r.failure(fmt.Errorf("the handler returned Response.error()"))
	}
	if p.content.unusable() {
		return nil, r.failure(fmt.Errorf("the body of the Response has already been used: a Response can be returned once"))
	}
	res := &Response{Status: p.status, StatusText: p.statusText, Header: p.header.share(), URL: p.url, Redirected: p.redirected}
	if p.socket != nil {
		end, err := p.socket.take()
		if err != nil {
			return nil, err
		}
		res.Socket = end
		return res, nil
	}
	var size int64
	res.Body, size = r.bodyReader(&p.content)
	if p.content.kind == bodyStream && size >= 0 && res.Header.Get("Content-Length") == "" {
		res.Header = res.Header.Clone()
		if res.Header == nil {
			res.Header = http.Header{}
		}
		res.Header.Set("Content-Length", fmt.Sprint(size))
	}
	return res, nil
}

// describe says in a few words what v is, for error messages.
func describe(v goja.Value) string {
	switch v := v.(type) {
	case nil:
		return "undefined"
	case *goja.Object:
		return "an object of class " + v.ClassName()
	default:
		if goja.IsUndefined(v) || goja.IsNull(v) {
			return v.String()
		}
		return "a " + v.ExportType().String()
	}
}

// responseValue makes the Response that code gets for an answer from outside. Its body streams on demand.
func (r *realm) responseValue(res *Response) *goja.Object {
	p := &response{
		status: res.Status, statusText: res.StatusText, url: res.URL, redirected: res.Redirected, kind: "basic",
		header: headers{fields: res.Header, immutable: true},
	}
	if res.Socket != nil {
		p.socket = r.receivedSocket(res.Socket)
		p.socket.protocol = res.Header.Get("Sec-Websocket-Protocol")
	}
	if res.Body != nil {
		if nullBodyStatus(res.Status) {
			_ = res.Body.Close()
		} else {
			p.content = body{kind: bodyReader, reader: res.Body, length: -1}
		}
	}
	return r.instance("Response", p)
}

// nullBodyStatus reports whether answers of this status have no body.
func nullBodyStatus(status int) bool {
	return status == 101 || status == 204 || status == 205 || status == 304
}

// initResponse reads the init dictionary of a Response.
func (r *realm) initResponse(p *response, init goja.Value) {
	if other, ok := nativeOf[*response](r, init); ok {
		p.status, p.statusText, p.socket = other.status, other.statusText, other.socket
		r.fillHeaders(&p.header, r.headersOf(&other.header, &other.headerObj))
		return
	}
	r.dictionary(init, "the init of a Response")
	if v := optional(init, "status"); v != nil {
		n := v.ToInteger()
		if n != 101 && (n < 200 || n > 599) {
			panic(r.newError("RangeError", "Responses may only be constructed with status codes in the range 200 to 599, inclusive."))
		}
		p.status = int(n)
	}
	if v := optional(init, "statusText"); v != nil {
		s := r.byteString(v, "statusText")
		if strings.ContainsAny(s, "\r\n\x00") {
			panic(r.typeError("Invalid statusText"))
		}
		p.statusText = s
	}
	if v := optional(init, "headers"); some(v) {
		r.fillHeaders(&p.header, v)
	}
	if v := optional(init, "webSocket"); some(v) {
		socket, ok := nativeOf[*webSocket](r, v)
		if !ok {
			panic(r.typeError("Failed to construct 'Response': member webSocket is not of type WebSocket."))
		}
		p.socket = socket
	}
	if (p.socket != nil) != (p.status == 101) {
		panic(r.newError("RangeError", "Responses with a WebSocket must have status code 101, and those with status code 101 a WebSocket."))
	}
}

// setBody gives the response its body and the Content-Type that goes with it, unless there is one.
func (r *realm) setBody(p *response, v goja.Value) {
	if nullBodyStatus(p.status) {
		panic(r.typeError("Response with null body status (101, 204, 205, or 304) cannot have a body."))
	}
	var contentType string
	p.content, contentType = r.extractBody(v)
	if contentType != "" {
		if _, ok := p.header.fields["Content-Type"]; !ok {
			p.header.set("Content-Type", contentType)
		}
	}
}

func init() {
	(&webClass{
		name: "Response",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			p := &response{status: 200, kind: "default"}
			if len(call.Arguments) > 1 && some(call.Arguments[1]) {
				r.initResponse(p, call.Arguments[1])
			}
			if len(call.Arguments) > 0 && some(call.Arguments[0]) {
				r.setBody(p, call.Arguments[0])
			}
			r.attach(call.This, p)
			return nil
		},
		members: append([]member{
			{name: "status", get: getter(func(r *realm, p *response) goja.Value { return r.rt.ToValue(p.status) })},
			{name: "statusText", get: getter(func(r *realm, p *response) goja.Value { return r.fromBytes(p.statusText) })},
			{name: "ok", get: getter(func(r *realm, p *response) goja.Value { return r.rt.ToValue(p.status/100 == 2) })},
			{name: "headers", get: getter(func(r *realm, p *response) goja.Value { return r.headersOf(&p.header, &p.headerObj) })},
			{name: "url", get: getter(func(r *realm, p *response) goja.Value { return r.rt.ToValue(p.url) })},
			{name: "redirected", get: getter(func(r *realm, p *response) goja.Value { return r.rt.ToValue(p.redirected) })},
			{name: "type", get: getter(func(r *realm, p *response) goja.Value { return r.rt.ToValue(p.kind) })},
			{name: "webSocket", get: getter(func(_ *realm, p *response) goja.Value {
				if p.socket == nil {
					return goja.Null()
				}
				return p.socket.obj
			})},
			{name: "clone", call: method(func(r *realm, p *response, _ goja.FunctionCall) goja.Value {
				c := *p
				c.content = r.duplicate(&p.content)
				c.header, c.headerObj = headers{fields: p.header.fields.Clone(), immutable: p.header.immutable}, nil
				return r.instance("Response", &c)
			})},
		}, bodyMembers...),
		statics: []member{
			{name: "json", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				text := r.stringify(call.Argument(0))
				p := &response{status: 200, kind: "default"}
				if len(call.Arguments) > 1 && some(call.Arguments[1]) {
					r.initResponse(p, call.Arguments[1])
				}
				if nullBodyStatus(p.status) {
					panic(r.typeError("Response with null body status (101, 204, 205, or 304) cannot have a body."))
				}
				p.content = body{kind: bodyText, text: text}
				if _, ok := p.header.fields["Content-Type"]; !ok {
					p.header.set("Content-Type", "application/json")
				}
				return r.instance("Response", p)
			}},
			{name: "redirect", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'redirect' on 'Response'")
				u := r.mustURL(r.str(call.Argument(0)), nil)
				status := 302
				if v := call.Argument(1); given(v) {
					status = int(v.ToInteger())
				}
				switch status {
				case 301, 302, 303, 307, 308:
				default:
					panic(r.newError("RangeError", "Invalid redirect status code"))
				}
				p := &response{status: status, kind: "default"}
				p.header.set("Location", u.href())
				p.header.immutable = true
				return r.instance("Response", p)
			}},
			{name: "error", call: func(r *realm, _ goja.FunctionCall) goja.Value {
				return r.instance("Response", &response{kind: "error", header: headers{immutable: true}})
			}},
		},
	}).declare()
}

// headersOf returns the one Headers object of a request or a response, made at first touch.
func (r *realm) headersOf(h *headers, obj **goja.Object) *goja.Object {
	if *obj == nil {
		*obj = r.headersValue(h)
	}
	return *obj
}
