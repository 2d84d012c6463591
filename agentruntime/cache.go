package agentruntime

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

const (
	// CacheStatus is the field of a TargetCache PUT that holds the stored answer's status.
	CacheStatus = ":status"
	// CacheRequest is what begins the names of its fields that are of the request which the answer is for.
	CacheRequest = ":request-"
)

// httpCache is a cache of an agent (https://developers.cloudflare.com/workers/runtime-apis/cache/).
type httpCache struct{ name string }

// cacheRequest reads the first argument of a cache's methods: a Request, whose body is left alone, or an address.
func (r *realm) cacheRequest(v goja.Value) *Request {
	q, ok := nativeOf[*request](r, v)
	if !ok {
		q = r.makeRequest(v, goja.Undefined())
	}
	address, _, _ := strings.Cut(q.url, "#")
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		panic(r.typeError("The key of a cache is a Request, or the address of one, with http or https; this is " + q.url))
	}
	return &Request{Method: q.method, URL: address, Header: q.header.share()}
}

// cached sends an operation to the agent's cache.
func (r *realm) cached(c *httpCache, req *Request, settle func(*Response) (goja.Value, error)) goja.Value {
	inv := r.current()
	host, target := inv.host(), Target{Kind: TargetCache, Binding: c.name}
	return r.send(inv.connected(func(ctx context.Context) (any, error) { return host.Fetch(ctx, target, req) }), func(res any) (goja.Value, error) {
		return settle(res.(*Response))
	})
}

// match looks an answer up. There is none for another method than GET, unless ignoreMethod is set.
func (c *httpCache) match(r *realm, call goja.FunctionCall) goja.Value {
	r.need(call, 1, "match")
	req := r.cacheRequest(call.Argument(0))
	if req.Method != http.MethodGet && !ignoresMethod(call.Argument(1)) {
		return r.resolved(goja.Undefined())
	}
	req.Method = http.MethodGet
	return r.cached(c, req, func(res *Response) (goja.Value, error) {
		if res.Status == http.StatusGatewayTimeout {
			closeBody(res)
			return goja.Undefined(), nil
		}
		return r.responseValue(res), nil
	})
}

// put keeps an answer. One that may not be kept is not, which the log says.
func (c *httpCache) put(r *realm, call goja.FunctionCall) goja.Value {
	r.need(call, 2, "put")
	req := r.cacheRequest(call.Argument(0))
	if req.Method != http.MethodGet {
		panic(r.typeError("Cannot cache response to non-GET request."))
	}
	p, ok := nativeOf[*response](r, call.Argument(1))
	switch {
	case !ok:
		panic(r.typeError("Failed to execute 'put' on 'Cache': parameter 2 is not of type 'Response'."))
	case p.status == http.StatusPartialContent:
		panic(r.typeError("Cannot cache response to a range request (206 Partial Content)."))
	case p.socket != nil:
		panic(r.typeError("Cannot cache WebSocket upgrade response."))
	case variesAll(p.header.fields):
		panic(r.typeError("Cannot cache response with 'Vary: *' header."))
	}
	res, err := r.responseFrom(call.Argument(1))
	if err != nil {
		r.throw(err)
	}
	header := res.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header[CacheStatus] = []string{strconv.Itoa(res.Status)}
	for name, values := range req.Header {
		header[CacheRequest+name] = values
	}
	stored := &Request{Method: http.MethodPut, URL: req.URL, Header: header, Body: res.Body, ContentLength: -1}
	inv := r.current()
	return r.cached(c, stored, func(res *Response) (goja.Value, error) {
		closeBody(res)
		if res.Status == http.StatusRequestEntityTooLarge {
			inv.log("warn", "cache.put: the response to "+req.URL+" is not kept: "+res.StatusText)
		}
		return goja.Undefined(), nil
	})
}

// remove forgets the answers to a request, and tells whether there were any.
func (c *httpCache) remove(r *realm, call goja.FunctionCall) goja.Value {
	r.need(call, 1, "delete")
	req := r.cacheRequest(call.Argument(0))
	if req.Method != http.MethodGet && !ignoresMethod(call.Argument(1)) {
		return r.resolved(r.rt.ToValue(false))
	}
	req.Method = "PURGE"
	return r.cached(c, req, func(res *Response) (goja.Value, error) {
		closeBody(res)
		return r.rt.ToValue(res.Status == http.StatusOK), nil
	})
}

func ignoresMethod(options goja.Value) bool {
	v := optional(options, "ignoreMethod")
	return v != nil && v.ToBoolean()
}

func variesAll(header http.Header) bool {
	return slices.ContainsFunc(header.Values("Vary"), func(line string) bool {
		return slices.ContainsFunc(strings.Split(line, ","), func(name string) bool { return strings.TrimSpace(name) == "*" })
	})
}

func closeBody(res *Response) {
	if res.Body != nil {
		_ = res.Body.Close()
	}
}

func init() {
	(&webClass{
		name: "Cache",
		members: []member{
			{name: "match", length: 1, call: promised(method(func(r *realm, c *httpCache, call goja.FunctionCall) goja.Value { return c.match(r, call) }))},
			{name: "put", length: 2, call: promised(method(func(r *realm, c *httpCache, call goja.FunctionCall) goja.Value { return c.put(r, call) }))},
			{name: "delete", length: 1, call: promised(method(func(r *realm, c *httpCache, call goja.FunctionCall) goja.Value { return c.remove(r, call) }))},
		},
	}).declare()
	type storage struct{ main *goja.Object }
	(&webClass{
		name: "CacheStorage",
		members: []member{
			{name: "default", get: getter(func(r *realm, s *storage) goja.Value {
				if s.main == nil {
					s.main = r.instance("Cache", &httpCache{})
				}
				return s.main
			})},
			{name: "open", length: 1, call: promised(method(func(r *realm, _ *storage, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "open")
				name := r.str(call.Argument(0))
				if name == "" || len(name) > 1024 {
					panic(r.typeError("Failed to execute 'open' on 'CacheStorage': a name has 1 to 1024 bytes."))
				}
				return r.resolved(r.instance("Cache", &httpCache{name: name}))
			}))},
		},
	}).declare()
	globals["caches"] = func(r *realm) goja.Value { return r.instance("CacheStorage", &storage{}) }
}
