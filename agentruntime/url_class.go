package agentruntime

import (
	"strings"

	"github.com/dop251/goja"
)

// urlObject is the state of a URL object (https://url.spec.whatwg.org/#url-class).
type urlObject struct {
	u      *urlRecord
	params *searchParams
	obj    *goja.Object // the URLSearchParams
}

// mustURL parses an address given by code and throws when it is no URL.
func (r *realm) mustURL(s string, base *urlRecord) *urlRecord {
	u, err := parseURL(s, base)
	if err != nil {
		err := r.typeError("Invalid URL: " + shortened(s))
		_ = err.Set("code", "ERR_INVALID_URL")
		panic(err)
	}
	return u
}

// shortened keeps error messages from carrying large inputs.
func shortened(s string) string {
	if len(s) <= 200 {
		return s
	}
	return decodeUTF8([]byte(s[:200])) + "..."
}

// parseArguments parses the two arguments of the constructor and of the static methods.
func (r *realm) parseArguments(input, baseArg goja.Value) (*urlRecord, error) {
	var base *urlRecord
	if given(baseArg) {
		b, err := parseURL(r.str(baseArg), nil)
		if err != nil {
			return nil, err
		}
		base = b
	}
	return parseURL(r.str(input), base)
}

// set runs the parser over value from the given state, as the setters do. A value that doesn't fit changes nothing more.
func (u *urlRecord) set(state urlState, value string) {
	p := urlParser{u: u, in: dropTabs(value), override: state}
	_ = p.run(state)
}

// follow makes the URLSearchParams object show the query.
func (o *urlObject) follow() {
	if o.params != nil {
		o.params.list = parseParams(o.u.query)
	}
}

func init() {
	part := func(name string, get func(u *urlRecord) string, set func(o *urlObject, value string)) member {
		m := member{name: name, get: getter(func(r *realm, o *urlObject) goja.Value { return r.rt.ToValue(get(o.u)) })}
		if set != nil {
			m.set = method(func(r *realm, o *urlObject, call goja.FunctionCall) goja.Value {
				set(o, r.str(call.Argument(0)))
				return goja.Undefined()
			})
		}
		return m
	}
	prefixed := func(mark, s string) string {
		if s == "" {
			return ""
		}
		return mark + s
	}
	static := func(name string, f func(r *realm, call goja.FunctionCall) goja.Value) member {
		return member{name: name, length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
			r.need(call, 1, "'"+name+"' on 'URL'")
			return f(r, call)
		}}
	}
	(&webClass{
		name: "URL", length: 1,
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) == 0 {
				panic(r.typeError("Failed to construct 'URL': 1 argument required, but only 0 present."))
			}
			u, err := r.parseArguments(call.Argument(0), call.Argument(1))
			if err != nil {
				err := r.typeError("Invalid URL: " + shortened(r.str(call.Argument(0))))
				_ = err.Set("code", "ERR_INVALID_URL")
				panic(err)
			}
			r.attach(call.This, &urlObject{u: u})
			return nil
		},
		members: []member{
			{
				name: "href",
				get:  getter(func(r *realm, o *urlObject) goja.Value { return r.rt.ToValue(o.u.href()) }),
				set: method(func(r *realm, o *urlObject, call goja.FunctionCall) goja.Value {
					*o.u = *r.mustURL(r.str(call.Argument(0)), nil)
					o.follow()
					return goja.Undefined()
				}),
			},
			part("origin", (*urlRecord).origin, nil),
			part("protocol", func(u *urlRecord) string { return u.scheme + ":" }, func(o *urlObject, v string) {
				o.u.set(stSchemeStart, v+":")
			}),
			part("username", func(u *urlRecord) string { return u.username }, func(o *urlObject, v string) {
				if !o.u.cannotHaveCredentials() {
					o.u.username = encoded(v, &setUserinfo)
				}
			}),
			part("password", func(u *urlRecord) string { return u.password }, func(o *urlObject, v string) {
				if !o.u.cannotHaveCredentials() {
					o.u.password = encoded(v, &setUserinfo)
				}
			}),
			part("host", (*urlRecord).hostPort, func(o *urlObject, v string) {
				if !o.u.opaque {
					o.u.set(stHost, v)
				}
			}),
			part("hostname", func(u *urlRecord) string { return u.host }, func(o *urlObject, v string) {
				if !o.u.opaque {
					o.u.set(stHostname, v)
				}
			}),
			part("port", func(u *urlRecord) string {
				if u.port < 0 {
					return ""
				}
				return itoa(u.port)
			}, func(o *urlObject, v string) {
				switch {
				case o.u.cannotHaveCredentials():
				case v == "":
					o.u.port = -1
				default:
					o.u.set(stPort, v)
				}
			}),
			part("pathname", (*urlRecord).pathname, func(o *urlObject, v string) {
				if !o.u.opaque {
					o.u.path = nil
					o.u.set(stPathStart, v)
				}
			}),
			part("search", func(u *urlRecord) string { return prefixed("?", u.query) }, func(o *urlObject, v string) {
				o.u.query, o.u.hasQuery = "", v != ""
				if v != "" {
					o.u.set(stQuery, strings.TrimPrefix(v, "?"))
				}
				o.follow()
			}),
			part("hash", func(u *urlRecord) string { return prefixed("#", u.fragment) }, func(o *urlObject, v string) {
				o.u.fragment, o.u.hasFrag = "", v != ""
				if v != "" {
					o.u.set(stFragment, strings.TrimPrefix(v, "#"))
				}
			}),
			{name: "searchParams", get: getter(func(r *realm, o *urlObject) goja.Value {
				if o.obj == nil {
					o.params = &searchParams{list: parseParams(o.u.query), owner: o.u}
					o.obj = r.instance("URLSearchParams", o.params)
				}
				return o.obj
			})},
			{name: "toString", call: method(func(r *realm, o *urlObject, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(o.u.href()) })},
			{name: "toJSON", call: method(func(r *realm, o *urlObject, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(o.u.href()) })},
		},
		statics: []member{
			static("canParse", func(r *realm, call goja.FunctionCall) goja.Value {
				_, err := r.parseArguments(call.Argument(0), call.Argument(1))
				return r.rt.ToValue(err == nil)
			}),
			static("parse", func(r *realm, call goja.FunctionCall) goja.Value {
				u, err := r.parseArguments(call.Argument(0), call.Argument(1))
				if err != nil {
					return goja.Null()
				}
				return r.instance("URL", &urlObject{u: u})
			}),
		},
	}).declare()
}
