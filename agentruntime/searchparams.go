package agentruntime

import (
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/dop251/goja"
)

// searchParams is the state of a URLSearchParams (https://url.spec.whatwg.org/#interface-urlsearchparams).
type searchParams struct {
	list []param
	// owner is the URL whose query follows every change, nil for none.
	owner *urlRecord
}

type param struct{ name, value string }

// setForm is the application/x-www-form-urlencoded percent-encode set.
var setForm = setOf(setComponent, "!'()~")

// parseParams parses application/x-www-form-urlencoded.
func parseParams(s string) []param {
	var list []param
	for s != "" {
		var part string
		part, s, _ = strings.Cut(s, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		list = append(list, param{formDecode(name), formDecode(value)})
	}
	return list
}

func formDecode(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return validUTF8(s)
	}
	return validUTF8(percentDecode(strings.ReplaceAll(s, "+", " ")))
}

func formEncode(b []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, ' ')
		if i < 0 {
			return percentEncode(b, s, &setForm)
		}
		b = append(percentEncode(b, s[:i], &setForm), '+')
		s = s[i+1:]
	}
}

// encode serialises the list.
func (p *searchParams) encode() string {
	var b []byte
	for i, it := range p.list {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(formEncode(b, it.name), '=')
		b = formEncode(b, it.value)
	}
	return string(b)
}

// changed tells the URL about a change.
func (p *searchParams) changed() {
	if p.owner == nil {
		return
	}
	p.owner.query = p.encode()
	p.owner.hasQuery = p.owner.query != ""
}

func (p *searchParams) pair(r *realm, i int) (name, value goja.Value, ok bool) {
	if i >= len(p.list) {
		return nil, nil, false
	}
	return r.rt.ToValue(p.list[i].name), r.rt.ToValue(p.list[i].value), true
}

// paramPairs iterates over a searchParams.
type paramPairs struct {
	r *realm
	p *searchParams
}

func (s paramPairs) pair(i int) (name, value goja.Value, ok bool) { return s.p.pair(s.r, i) }

func (p *searchParams) set(name, value string) {
	i := slices.IndexFunc(p.list, func(it param) bool { return it.name == name })
	if i < 0 {
		p.list = append(p.list, param{name, value})
		return
	}
	p.list[i].value = value
	rest := slices.DeleteFunc(p.list[i+1:], func(it param) bool { return it.name == name })
	p.list = p.list[:i+1+len(rest)]
}

// sort orders by name, in UTF-16 code units, keeping the order of equal names.
func (p *searchParams) sort() {
	slices.SortStableFunc(p.list, func(a, b param) int {
		if isASCII(a.name) && isASCII(b.name) {
			return strings.Compare(a.name, b.name)
		}
		return slices.Compare(utf16.Encode([]rune(a.name)), utf16.Encode([]rune(b.name)))
	})
}

func init() {
	matches := func(r *realm, call goja.FunctionCall) func(it param) bool {
		name := r.str(call.Argument(0))
		if v := call.Argument(1); given(v) {
			value := r.str(v)
			return func(it param) bool { return it.name == name && it.value == value }
		}
		return func(it param) bool { return it.name == name }
	}
	(&webClass{
		name: "URLSearchParams",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			p := &searchParams{}
			init := call.Argument(0)
			if _, ok := init.(*goja.Object); ok {
				other, ok := nativeOf[*searchParams](r, init)
				if ok && r.iteratesAs(init.(*goja.Object), "URLSearchParams") {
					p.list = slices.Clone(other.list)
				} else {
					r.eachPair(init, "URLSearchParams", r.str, r.str, func(name, value string) {
						p.list = append(p.list, param{name, value})
					})
				}
			} else if given(init) {
				p.list = parseParams(strings.TrimPrefix(r.str(init), "?"))
			}
			r.attach(call.This, p)
			return nil
		},
		iterator: "entries",
		members: append([]member{
			{name: "size", get: getter(func(r *realm, p *searchParams) goja.Value { return r.rt.ToValue(len(p.list)) })},
			{name: "append", length: 2, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 2, "'append' on 'URLSearchParams'")
				p.list = append(p.list, param{r.str(call.Argument(0)), r.str(call.Argument(1))})
				p.changed()
				return goja.Undefined()
			})},
			{name: "delete", length: 1, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'delete' on 'URLSearchParams'")
				p.list = slices.DeleteFunc(p.list, matches(r, call))
				p.changed()
				return goja.Undefined()
			})},
			{name: "get", length: 1, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'get' on 'URLSearchParams'")
				name := r.str(call.Argument(0))
				for _, it := range p.list {
					if it.name == name {
						return r.rt.ToValue(it.value)
					}
				}
				return goja.Null()
			})},
			{name: "getAll", length: 1, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'getAll' on 'URLSearchParams'")
				name, found := r.str(call.Argument(0)), []any{}
				for _, it := range p.list {
					if it.name == name {
						found = append(found, it.value)
					}
				}
				return r.rt.NewArray(found...)
			})},
			{name: "has", length: 1, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'has' on 'URLSearchParams'")
				return r.rt.ToValue(slices.ContainsFunc(p.list, matches(r, call)))
			})},
			{name: "set", length: 2, call: method(func(r *realm, p *searchParams, call goja.FunctionCall) goja.Value {
				r.need(call, 2, "'set' on 'URLSearchParams'")
				p.set(r.str(call.Argument(0)), r.str(call.Argument(1)))
				p.changed()
				return goja.Undefined()
			})},
			{name: "sort", call: method(func(_ *realm, p *searchParams, _ goja.FunctionCall) goja.Value {
				p.sort()
				p.changed()
				return goja.Undefined()
			})},
			{name: "toString", call: method(func(r *realm, p *searchParams, _ goja.FunctionCall) goja.Value {
				return r.rt.ToValue(p.encode())
			})},
		}, pairMethods("URLSearchParams", func(r *realm, p *searchParams) pairSource { return paramPairs{r, p} })...),
	}).declare()
}
