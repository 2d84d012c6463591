package agentruntime

import (
	"strings"

	"github.com/dop251/goja"
)

// urlPattern is the state of a URLPattern (https://urlpattern.spec.whatwg.org/).
type urlPattern struct {
	component [componentCount]*patternComponent
}

// patternComponent is a component's pattern. Its regular expression is one of the engine's, because groups that authors
// write are JavaScript's.
type patternComponent struct {
	pattern string
	names   []string
	groups  bool // an author's regular expression is in it
	regexp  *goja.Object
	exec    goja.Callable
}

// exec matches s; the values of the groups are nil where there is no match.
func (c *patternComponent) match(r *realm, s string) *goja.Object {
	v, err := c.exec(c.regexp, r.rt.ToValue(s))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	obj, _ := v.(*goja.Object)
	return obj
}

func (r *realm) compilePattern(s string, o patternOptions, ignoreCase bool, encode func(string) (string, error)) (*patternComponent, error) {
	parts, err := parsePattern(s, o, encode)
	if err != nil {
		return nil, err
	}
	source, names := regexpOf(parts, o)
	c := &patternComponent{pattern: patternString(parts, o), names: names}
	for _, p := range parts {
		c.groups = c.groups || p.kind == partRegexp
	}
	flags := "v"
	if ignoreCase {
		flags = "vi"
	}
	if source, flags, err = rewriteRegExp(source, flags); err != nil {
		return nil, errPattern
	}
	if c.regexp, err = r.rt.New(r.rt.Get("RegExp"), r.rt.ToValue(source), r.rt.ToValue(flags)); err != nil {
		thrownBy(err) // what no code can catch goes on upwards
		return nil, errPattern
	}
	c.exec, _ = goja.AssertFunction(c.regexp.Get("exec"))
	return c, nil
}

// special reports whether a protocol matches a special scheme.
func (c *patternComponent) special(r *realm) bool {
	for scheme := range specialPorts {
		if c.match(r, scheme) != nil {
			return true
		}
	}
	return false
}

var (
	hostnameOptions = patternOptions{delimiter: "."}
	pathnameOptions = patternOptions{delimiter: "/", prefix: "/"}
)

// newURLPattern compiles the components.
func (r *realm) newURLPattern(init *patternInit, ignoreCase bool) (*urlPattern, error) {
	p, err := init.process(true)
	if err != nil {
		return nil, err
	}
	for name := range componentCount {
		if p.part[name] == nil {
			p.set(name, "*")
		}
	}
	protocol := *p.part[inProtocol]
	if def := specialPorts[protocol]; def != 0 && *p.part[inPort] == itoa(def) {
		p.set(inPort, "")
	}
	u := &urlPattern{}
	for name := range componentCount {
		value, options, ignore := *p.part[name], patternOptions{}, false
		var encode func(string) (string, error)
		switch name {
		case inProtocol:
			encode = canonicalProtocol
		case inUsername, inPassword:
			encode = canonicalUserinfo
		case inHostname:
			options = hostnameOptions
			switch {
			case strings.HasPrefix(value, "["), strings.HasPrefix(value, `\[`), strings.HasPrefix(value, "{["):
				encode = canonicalIPv6
			case protocol == "*" || u.component[inProtocol].special(r):
				encode = canonicalDomain
			default:
				encode = canonicalHostname
			}
		case inPort:
			encode = func(s string) (string, error) { return canonicalPort(s, "") }
		case inPathname:
			encode, ignore = canonicalOpaquePathname, ignoreCase
			if u.component[inProtocol].special(r) {
				encode, options = canonicalPathname, pathnameOptions
			}
		case inSearch:
			encode, ignore = canonicalSearch, ignoreCase
		case inHash:
			encode, ignore = canonicalHash, ignoreCase
		}
		if u.component[name], err = r.compilePattern(value, options, ignore, encode); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// patternInitOf reads a URLPatternInit dictionary.
func (r *realm) patternInitOf(v goja.Value) *patternInit {
	init := &patternInit{}
	if base := optional(v, "baseURL"); base != nil {
		s := r.str(base)
		init.base = &s
	}
	for name, key := range componentNames {
		if part := optional(v, key); part != nil {
			init.set(componentName(name), r.str(part))
		}
	}
	return init
}

func (r *realm) constructURLPattern(call goja.ConstructorCall) (*urlPattern, error) {
	input, base, options := call.Argument(0), call.Argument(1), call.Argument(2)
	if _, ok := base.(*goja.Object); ok || len(call.Arguments) < 3 && !some(base) {
		base, options = goja.Undefined(), base
	}
	r.dictionary(options, "the options of a URLPattern")
	ignoreCase := false
	if v := optional(options, "ignoreCase"); v != nil {
		ignoreCase = v.ToBoolean()
	}
	if _, ok := input.(*goja.Object); ok || !some(input) {
		if given(base) {
			panic(r.typeError("Failed to construct 'URLPattern': a base URL goes with a string only."))
		}
		return r.newURLPattern(r.patternInitOf(input), ignoreCase)
	}
	init, err := readPattern(r.str(input), func(protocol string) (bool, error) {
		c, err := r.compilePattern(protocol, patternOptions{}, false, canonicalProtocol)
		return err == nil && c.special(r), err
	})
	if err != nil {
		return nil, err
	}
	if given(base) {
		s := r.str(base)
		init.base = &s
	} else if init.part[inProtocol] == nil {
		return nil, errPattern
	}
	return r.newURLPattern(init, ignoreCase)
}

// matched is the components of what a pattern is tried on, ok false where it is no URL.
func (r *realm) matched(call goja.FunctionCall) (parts [componentCount]string, ok bool) {
	input, base := call.Argument(0), call.Argument(1)
	if _, object := input.(*goja.Object); object || !some(input) {
		if given(base) {
			panic(r.typeError("A base URL goes with a string only."))
		}
		init, err := r.patternInitOf(input).process(false)
		if err != nil {
			return parts, false
		}
		for name, value := range init.part {
			parts[name] = *value
		}
		return parts, true
	}
	u, err := r.parseArguments(input, base)
	if err != nil {
		return parts, false
	}
	return u.components(), true
}

func (p *urlPattern) test(r *realm, parts [componentCount]string) bool {
	for name, c := range p.component {
		if c.match(r, parts[name]) == nil {
			return false
		}
	}
	return true
}

func (p *urlPattern) exec(r *realm, parts [componentCount]string, inputs []any) goja.Value {
	result := r.rt.NewObject()
	_ = result.Set("inputs", r.rt.NewArray(inputs...))
	for name, c := range p.component {
		found := c.match(r, parts[name])
		if found == nil {
			return goja.Null()
		}
		groups := r.rt.NewObject()
		for i, group := range c.names {
			_ = groups.Set(group, found.Get(itoa(i+1)))
		}
		component := r.rt.NewObject()
		_ = component.Set("input", parts[name])
		_ = component.Set("groups", groups)
		_ = result.Set(componentNames[name], component)
	}
	return result
}

func init() {
	members := []member{
		{name: "test", call: method(func(r *realm, p *urlPattern, call goja.FunctionCall) goja.Value {
			parts, ok := r.matched(call)
			return r.rt.ToValue(ok && p.test(r, parts))
		})},
		{name: "exec", call: method(func(r *realm, p *urlPattern, call goja.FunctionCall) goja.Value {
			parts, ok := r.matched(call)
			if !ok {
				return goja.Null()
			}
			var inputs []any
			switch input, base := call.Argument(0), call.Argument(1); {
			case !some(input):
				inputs = []any{r.rt.NewObject()}
			case given(base):
				inputs = []any{r.str(input), r.str(base)}
			default:
				if _, object := input.(*goja.Object); object {
					inputs = []any{r.patternInitObject(input)}
				} else {
					inputs = []any{r.str(input)}
				}
			}
			return p.exec(r, parts, inputs)
		})},
		{name: "hasRegExpGroups", get: getter(func(r *realm, p *urlPattern) goja.Value {
			for _, c := range p.component {
				if c.groups {
					return r.rt.ToValue(true)
				}
			}
			return r.rt.ToValue(false)
		})},
	}
	for name, key := range componentNames {
		members = append(members, member{name: key, get: getter(func(r *realm, p *urlPattern) goja.Value {
			return r.rt.ToValue(p.component[name].pattern)
		})})
	}
	(&webClass{
		name: "URLPattern",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			p, err := r.constructURLPattern(call)
			if err != nil {
				panic(r.typeError("Failed to construct 'URLPattern': " + err.Error() + "."))
			}
			r.attach(call.This, p)
			return nil
		},
		members: members,
	}).declare()
}

// patternInitObject copies a URLPatternInit, as a dictionary that comes back does.
func (r *realm) patternInitObject(v goja.Value) *goja.Object {
	init, o := r.patternInitOf(v), r.rt.NewObject()
	if init.base != nil {
		_ = o.Set("baseURL", *init.base)
	}
	for name, value := range init.part {
		if value != nil {
			_ = o.Set(componentNames[name], *value)
		}
	}
	return o
}
