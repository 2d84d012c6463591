package agentruntime

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// request is the state of a Request object (https://fetch.spec.whatwg.org/#request-class).
type request struct {
	method    string
	url       string
	header    headers
	headerObj *goja.Object
	content   body
	redirect  string
	signal    *goja.Object // an AbortSignal, nil until there is one
	cf        []byte
	cfObj     goja.Value
	cache     string
	integrity string
	keepalive bool
}

func (q *request) held() *body    { return &q.content }
func (q *request) head() *headers { return &q.header }

// requestValue makes the Request that a handler gets. Nothing of it is parsed or copied until code touches it; its
// headers are those of req, immutable, and its body streams on demand.
func (r *realm) requestValue(req *Request) *goja.Object {
	q := &request{
		method: req.Method, url: req.URL, redirect: "manual", cf: req.CF,
		header: headers{fields: req.Header, immutable: true},
	}
	if req.Body != nil {
		q.content = body{kind: bodyReader, reader: req.Body, length: req.ContentLength}
	}
	return r.instance("Request", q)
}

// requestFrom makes a plain Request of the arguments of fetch: a Request or an address, and an init dictionary. It
// throws like the constructor of Request; its error is a JavaScript exception.
func (r *realm) requestFrom(input, init goja.Value) (req *Request, err error) {
	req, _, err = r.requestAndSignal(input, init)
	return req, err
}

// requestAndSignal is requestFrom, with the AbortSignal that the request carries, nil for none.
func (r *realm) requestAndSignal(input, init goja.Value) (req *Request, signal *abortSignal, err error) {
	ex := r.rt.Try(func() {
		q, ok := nativeOf[*request](r, input)
		switch {
		case ok && !given(init):
			if q.content.unusable() {
				panic(r.typeError("Cannot send a Request whose body has already been used."))
			}
		default:
			q = r.makeRequest(input, init)
		}
		if q.signal != nil {
			signal, _ = nativeOf[*abortSignal](r, q.signal)
		}
		req = &Request{Method: q.method, URL: q.url, Header: q.header.share(), Redirect: q.redirect}
		req.Body, req.ContentLength = r.bodyReader(&q.content)
	})
	if ex != nil {
		return nil, nil, ex
	}
	return req, signal, nil
}

// methods that are written in capitals whatever code wrote.
var normalMethods = map[string]string{
	"delete": "DELETE", "get": "GET", "head": "HEAD", "options": "OPTIONS", "post": "POST", "put": "PUT",
}

func (r *realm) requestMethod(v goja.Value) string {
	m := r.str(v)
	if n, ok := normalMethods[strings.ToLower(m)]; ok {
		return n
	}
	if m == "" {
		panic(r.typeError("Invalid HTTP method string: it is empty"))
	}
	for i := 0; i < len(m); i++ {
		if !isTokenByte(m[i]) {
			panic(r.typeError("Invalid HTTP method string: " + m))
		}
	}
	switch strings.ToUpper(m) {
	case "CONNECT", "TRACE", "TRACK":
		panic(r.typeError("'" + m + "' HTTP method is unsupported."))
	}
	return m
}

// makeRequest is the constructor's work.
func (r *realm) makeRequest(input, init goja.Value) *request {
	q := &request{method: "GET", redirect: "follow"}
	old, fromRequest := nativeOf[*request](r, input)
	if fromRequest {
		*q = request{method: old.method, url: old.url, redirect: old.redirect, signal: old.signal, cf: old.cf, cfObj: old.cfObj, cache: old.cache}
	} else {
		u := r.mustURL(r.str(input), nil)
		if u.username != "" || u.password != "" {
			panic(r.typeError("Request cannot be constructed from a URL that includes credentials: " + u.href()))
		}
		q.url = u.href()
	}
	r.dictionary(init, "the init of a Request")
	if v := optional(init, "method"); v != nil {
		q.method = r.requestMethod(v)
	}
	if v := optional(init, "redirect"); v != nil {
		switch q.redirect = r.str(v); q.redirect {
		case "follow", "manual", "error":
		default:
			panic(r.typeError("Invalid redirect value, must be one of \"follow\", \"manual\" or \"error\"."))
		}
	}
	if v := optional(init, "signal"); v != nil {
		q.signal = nil
		if some(v) {
			if _, ok := nativeOf[*abortSignal](r, v); !ok {
				panic(r.typeError("Failed to construct 'Request': member signal is not of type AbortSignal."))
			}
			q.signal = v.(*goja.Object)
		}
	}
	q.cache = orElse(r.requestHints(init, q.url), q.cache)
	if v := optional(init, "integrity"); v != nil {
		q.integrity = r.str(v)
	}
	if v := optional(init, "keepalive"); v != nil {
		q.keepalive = v.ToBoolean()
	}
	if v := optional(init, "cf"); v != nil {
		q.cf, q.cfObj = nil, v
	}
	if v := optional(init, "headers"); some(v) {
		r.fillHeaders(&q.header, v)
	} else if fromRequest {
		q.header.fields = old.header.fields.Clone()
	}
	content := optional(init, "body")
	switch {
	case some(content):
		if q.method == "GET" || q.method == "HEAD" {
			panic(r.typeError("Request with a GET or HEAD method cannot have a body."))
		}
		var contentType string
		q.content, contentType = r.extractBody(content)
		if _, ok := q.header.fields["Content-Type"]; !ok && contentType != "" {
			q.header.set("Content-Type", contentType)
		}
	case fromRequest && content == nil && old.content.kind != bodyNone:
		if old.content.unusable() {
			panic(r.typeError("Cannot construct a Request with a Request object that has already been used."))
		}
		if q.method == "GET" || q.method == "HEAD" {
			panic(r.typeError("Request with a GET or HEAD method cannot have a body."))
		}
		q.content = r.takeBody(&old.content)
	}
	return q
}

// requestHint is a member of a Request's init that tells a browser how to act, and the values that it may have.
type requestHint struct {
	name   string
	values []string
}

var hintsOfRequest = []requestHint{
	{"cache", []string{"default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"}},
	{"credentials", []string{"omit", "same-origin", "include"}},
	{"duplex", []string{"half"}},
	{"mode", []string{"cors", "no-cors", "same-origin"}},
	{"priority", []string{"high", "low", "auto"}},
	{"referrerPolicy", []string{"", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin",
		"origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url"}},
}

// requestHints checks the hints in an init, and returns the cache mode, empty for none. The others, as in Workers, change
// nothing: there are no origins here to keep apart, and no pages that a request could come from.
func (r *realm) requestHints(init goja.Value, address string) (cache string) {
	if _, ok := init.(*goja.Object); !ok {
		return ""
	}
	if old, ok := nativeOf[*request](r, init); ok { // it was checked when it was made
		return old.cache
	}
	mode := "cors"
	for _, hint := range hintsOfRequest {
		v := optional(init, hint.name)
		if v == nil {
			continue
		}
		s := r.str(v)
		if !slices.Contains(hint.values, s) {
			panic(r.typeError(fmt.Sprintf("Failed to construct 'Request': %s %q is none of %q.", hint.name, s, hint.values)))
		}
		switch hint.name {
		case "cache":
			cache = s
		case "mode":
			mode = s
		}
	}
	if cache == "only-if-cached" && mode != "same-origin" {
		panic(r.typeError("Failed to construct 'Request': the cache mode only-if-cached goes with the mode same-origin only."))
	}
	if v := optional(init, "referrer"); v != nil {
		if s := r.str(v); s != "" {
			r.mustURL(s, r.mustURL(address, nil))
		}
	}
	if v := optional(init, "window"); some(v) {
		panic(r.typeError("Failed to construct 'Request': member window can only be null."))
	}
	return cache
}

// takeBody moves a body into a new Request, after which the old one counts as used.
func (r *realm) takeBody(b *body) body {
	taken := *b
	if b.kind == bodyStream {
		taken.stream = r.handOver(b.stream)
		return taken
	}
	b.used = true
	b.text, b.data, b.reader = "", nil, nil
	return taken
}

func init() {
	text := func(field func(q *request) string) nativeFunc {
		return getter(func(r *realm, q *request) goja.Value { return r.rt.ToValue(field(q)) })
	}
	(&webClass{
		name:   "Request",
		length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) == 0 {
				panic(r.typeError("Failed to construct 'Request': 1 argument required, but only 0 present."))
			}
			r.attach(call.This, r.makeRequest(call.Argument(0), call.Argument(1)))
			return nil
		},
		members: append([]member{
			{name: "method", get: text(func(q *request) string { return q.method })},
			{name: "url", get: text(func(q *request) string { return q.url })},
			{name: "headers", get: getter(func(r *realm, q *request) goja.Value { return r.headersOf(&q.header, &q.headerObj) })},
			{name: "redirect", get: text(func(q *request) string { return q.redirect })},
			{name: "integrity", get: text(func(q *request) string { return q.integrity })},
			{name: "cache", get: text(func(q *request) string { return orElse(q.cache, "default") })},
			{name: "mode", get: text(func(*request) string { return "cors" })},
			{name: "credentials", get: text(func(*request) string { return "same-origin" })},
			{name: "destination", get: text(func(*request) string { return "" })},
			{name: "referrer", get: text(func(*request) string { return "about:client" })},
			{name: "referrerPolicy", get: text(func(*request) string { return "" })},
			{name: "isReloadNavigation", get: getter(func(r *realm, _ *request) goja.Value { return r.rt.ToValue(false) })},
			{name: "isHistoryNavigation", get: getter(func(r *realm, _ *request) goja.Value { return r.rt.ToValue(false) })},
			{name: "duplex", get: text(func(*request) string { return "half" })},
			{name: "keepalive", get: getter(func(r *realm, q *request) goja.Value { return r.rt.ToValue(q.keepalive) })},
			{name: "signal", get: getter(func(r *realm, q *request) goja.Value {
				if q.signal == nil {
					_, q.signal = r.newSignal()
				}
				return q.signal
			})},
			{name: "cf", get: getter(func(r *realm, q *request) goja.Value {
				if q.cfObj == nil {
					q.cfObj = goja.Undefined()
					if len(q.cf) > 0 {
						v, err := r.parseJSON(string(q.cf))
						if err != nil {
							r.throw(fmt.Errorf("read request.cf: %w", err))
						}
						q.cfObj = v
					}
				}
				return q.cfObj
			})},
			{name: "clone", call: method(func(r *realm, q *request, _ goja.FunctionCall) goja.Value {
				c := *q
				c.content = r.duplicate(&q.content)
				c.header, c.headerObj = headers{fields: q.header.fields.Clone(), immutable: q.header.immutable}, nil
				return r.instance("Request", &c)
			})},
		}, bodyMembers...),
	}).declare()
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
