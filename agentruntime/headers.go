package agentruntime

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/dop251/goja"
)

// headers is the state of a Headers object (https://fetch.spec.whatwg.org/#headers-class). The map is the one of the
// Go request or response that the object belongs to, keys in their canonical form: nothing is copied or parsed until
// code asks. Values are bytes; to code each byte is one character.
type headers struct {
	fields    http.Header
	immutable bool
	// shared says that the map is in other hands as well: it is copied before the next change.
	shared bool
	// changes counts what was done to the map: an iteration that sees another number makes its list anew.
	changes uint32
}

// share gives the map away.
func (h *headers) share() http.Header {
	if h.fields == nil {
		h.fields = http.Header{}
	}
	h.shared = true
	return h.fields
}

// own makes the map ready for a change.
func (h *headers) own() {
	h.changes++
	switch {
	case h.fields == nil:
		h.fields = make(http.Header, 4)
	case h.shared:
		h.fields, h.shared = h.fields.Clone(), false
	}
}

func (h *headers) get(name string) (string, bool) {
	v, ok := h.fields[textproto.CanonicalMIMEHeaderKey(name)]
	if !ok || len(v) == 0 {
		return "", false
	}
	if len(v) == 1 {
		return v[0], true
	}
	return strings.Join(v, ", "), true
}

func (h *headers) set(name, value string) {
	h.own()
	h.fields[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
}

func (h *headers) add(name, value string) {
	h.own()
	key := textproto.CanonicalMIMEHeaderKey(name)
	h.fields[key] = append(h.fields[key], value)
}

// sorted lists the pairs in the order of iteration: names in lower case and sorted, the values of one name combined,
// but each Set-Cookie on its own.
func (h *headers) sorted() [][2]string {
	out := make([][2]string, 0, len(h.fields))
	for key, values := range h.fields {
		name := strings.ToLower(key)
		switch {
		case len(values) == 0:
		case name == "set-cookie":
			for _, v := range values {
				out = append(out, [2]string{name, v})
			}
		default:
			out = append(out, [2]string{name, strings.Join(values, ", ")})
		}
	}
	slices.SortStableFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// headerName checks a name given by code.
func (r *realm) headerName(v goja.Value) string {
	name := r.str(v)
	if name == "" {
		panic(r.typeError("Invalid header name: it is empty"))
	}
	for i := 0; i < len(name); i++ {
		if !isTokenByte(name[i]) {
			panic(r.typeError("Invalid header name: " + name))
		}
	}
	return name
}

// headerValue checks and normalises a value given by code, as bytes.
func (r *realm) headerValue(v goja.Value) string {
	s := r.byteString(v, "header value")
	s = strings.Trim(s, " \t\r\n")
	if strings.ContainsAny(s, "\x00\r\n") {
		panic(r.typeError("Invalid header value: it holds a line break or a NUL"))
	}
	return s
}

// byteString converts v to bytes, one for each character, and throws for characters past U+00FF.
func (r *realm) byteString(v goja.Value, what string) string {
	s := r.str(v)
	if isASCII(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for _, c := range s {
		if c > 0xff {
			panic(r.typeError("Invalid " + what + ": it holds a character past U+00FF"))
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// fromBytes makes a string of one character for each byte.
func (r *realm) fromBytes(s string) goja.Value {
	if isASCII(s) {
		return r.rt.ToValue(s)
	}
	chars := make([]uint16, len(s))
	for i := range len(s) {
		chars[i] = uint16(s[i])
	}
	return goja.StringFromUTF16(chars)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isTokenByte reports whether c may stand in a field name or a method (RFC 9110, section 5.6.2).
func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// fill adds what init holds: another Headers, an iterable of pairs or a record.
func (r *realm) fillHeaders(h *headers, init goja.Value) {
	if !given(init) {
		return
	}
	if obj, ok := init.(*goja.Object); ok && obj.ExportType() != typeProxy { // a proxy sees every look at it
		if other, ok := nativeOf[*headers](r, obj); ok && r.iteratesAs(obj, "Headers") {
			h.own()
			for key, values := range other.fields {
				h.fields[key] = append(h.fields[key], values...)
			}
			return
		}
	}
	r.eachPair(init, "Headers", r.headerName, r.headerValue, h.add)
}

// newHeaders makes a Headers object around h.
func (r *realm) headersValue(h *headers) *goja.Object { return r.instance("Headers", h) }

func (r *realm) mutable(h *headers) {
	if h.immutable {
		panic(r.typeError("Can't modify immutable headers."))
	}
}

func init() {
	(&webClass{
		name: "Headers",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			h := &headers{}
			r.fillHeaders(h, call.Argument(0))
			r.attach(call.This, h)
			return nil
		},
		iterator: "entries",
		members: append([]member{
			{name: "append", length: 2, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				r.need(call, 2, "'append' on 'Headers'")
				name, value := r.headerName(call.Argument(0)), r.headerValue(call.Argument(1))
				r.mutable(h)
				h.add(name, value)
				return goja.Undefined()
			})},
			{name: "delete", length: 1, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'delete' on 'Headers'")
				name := r.headerName(call.Argument(0))
				r.mutable(h)
				h.own()
				delete(h.fields, textproto.CanonicalMIMEHeaderKey(name))
				return goja.Undefined()
			})},
			{name: "get", length: 1, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'get' on 'Headers'")
				if v, ok := h.get(r.headerName(call.Argument(0))); ok {
					return r.fromBytes(v)
				}
				return goja.Null()
			})},
			{name: "has", length: 1, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'has' on 'Headers'")
				_, ok := h.get(r.headerName(call.Argument(0)))
				return r.rt.ToValue(ok)
			})},
			{name: "set", length: 2, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				r.need(call, 2, "'set' on 'Headers'")
				name, value := r.headerName(call.Argument(0)), r.headerValue(call.Argument(1))
				r.mutable(h)
				h.set(name, value)
				return goja.Undefined()
			})},
			{name: "getSetCookie", call: method(func(r *realm, h *headers, _ goja.FunctionCall) goja.Value {
				return r.cookieList(h)
			})},
			{name: "getAll", length: 1, call: method(func(r *realm, h *headers, call goja.FunctionCall) goja.Value {
				if !strings.EqualFold(r.headerName(call.Argument(0)), "set-cookie") {
					panic(r.typeError(`getAll() can only be used with the header name "Set-Cookie".`))
				}
				return r.cookieList(h)
			})},
		}, pairMethods("Headers", func(r *realm, h *headers) pairSource {
			return &sortedPairs{r: r, h: h}
		})...),
	}).declare()
}

func (r *realm) cookieList(h *headers) goja.Value {
	list := r.rt.NewArray()
	for i, v := range h.fields["Set-Cookie"] {
		_ = list.DefineDataProperty(itoa(i), r.fromBytes(v), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
	}
	return list
}

// sortedPairs iterates over a Headers object that may change meanwhile: the list is made anew after each change.
type sortedPairs struct {
	r    *realm
	h    *headers
	list [][2]string
	seen uint32 // the changes that the list knows of
}

func (s *sortedPairs) pair(i int) (name, value goja.Value, ok bool) {
	if s.list == nil || s.seen != s.h.changes {
		s.list, s.seen = s.h.sorted(), s.h.changes
	}
	if i >= len(s.list) {
		return nil, nil, false
	}
	return s.r.rt.ToValue(s.list[i][0]), s.r.fromBytes(s.list[i][1]), true
}
