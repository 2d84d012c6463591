package agentruntime

import (
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

const (
	inspectDepth = 2   // levels of nested objects that are shown
	inspectItems = 100 // members of one object that are shown
	inspectText  = 10000
	inspectWidth = 72 // up to here an object stays on one line
	inspectTotal = 64 << 10
)

// inspect shows a value as a console does, close to Node's util.inspect. It runs no getters but those of built-in
// classes, and shows a bounded part of what is large.
func (r *realm) inspect(v goja.Value) string {
	p := &inspector{r: r}
	out := "[value]"
	if ex := r.rt.Try(func() { out = p.show(v, 0) }); ex != nil {
		return "[object whose inspection throws]"
	}
	return out
}

type inspector struct {
	r     *realm
	above []*goja.Object
	size  int
}

func (p *inspector) show(v goja.Value, depth int) string {
	s := p.shown(v, depth)
	p.size += len(s)
	return s
}

func (p *inspector) shown(v goja.Value, depth int) string {
	switch x := v.(type) {
	case nil:
		return "undefined"
	case *goja.Symbol:
		return "Symbol(" + x.String() + ")"
	case goja.String:
		return quote(x.String())
	case *goja.Object:
		return p.object(x, depth)
	}
	if isBigInt(v) {
		return v.String() + "n"
	}
	if v.ExportType() != nil && v.ToFloat() == 0 && v.SameAs(negativeZero) {
		return "-0"
	}
	return v.String()
}

func (p *inspector) object(o *goja.Object, depth int) string {
	for _, a := range p.above {
		if a == o {
			return "[Circular *1]"
		}
	}
	name := p.className(o)
	if _, ok := goja.AssertFunction(o); ok {
		return p.function(o)
	}
	switch kind := o.ClassName(); kind {
	case "Error":
		return p.err(o, depth)
	case "Date":
		if s, err := p.call(o, "toISOString"); err == nil {
			return s.String()
		}
		return "Invalid Date"
	case "RegExp":
		if s, err := p.call(o, "toString"); err == nil {
			return s.String()
		}
	case "Number", "Boolean", "String":
		if s, err := p.call(o, "valueOf"); err == nil {
			return "[" + kind + ": " + p.shown(s, depth) + "]"
		}
	case "Symbol":
		return "[" + o.String() + "]"
	}
	if p := promiseOf(o); p != nil {
		switch p.State() {
		case goja.PromiseStatePending:
			return "Promise { <pending> }"
		case goja.PromiseStateRejected:
			return "Promise { <rejected> }"
		}
	}
	if depth > inspectDepth || p.size > inspectTotal || len(p.above) > 50 {
		if o.ClassName() == "Array" {
			return "[Array]"
		}
		return "[" + orElse(name, "Object") + "]"
	}
	p.above = append(p.above, o)
	defer func() { p.above = p.above[:len(p.above)-1] }()
	return p.members(o, name, depth)
}

func (p *inspector) members(o *goja.Object, name string, depth int) string {
	var items []string
	prefix, open, end := "", "{", "}"
	full := func() bool { return len(items) >= inspectItems || p.size > inspectTotal }
	more := func(n int) {
		if n > 0 {
			items = append(items, "... "+strconv.Itoa(n)+" more item"+map[bool]string{true: "", false: "s"}[n == 1])
		}
	}
	indexed := false
	kind := o.ExportType()
	isBuffer := kind == typeArrayBuffer
	switch {
	case o.ClassName() == "Array", !isBuffer && isView(o) && name != "DataView":
		indexed = true
		open, end = "[", "]"
		n := int(o.Get("length").ToInteger())
		if name != "Array" {
			prefix = name + "(" + strconv.Itoa(n) + ") "
		}
		holes := 0
		flush := func() {
			if holes > 0 {
				items = append(items, "<"+strconv.Itoa(holes)+" empty item"+map[bool]string{true: "", false: "s"}[holes == 1]+">")
				holes = 0
			}
		}
		i := 0
		for ; i < n && !full() && i < 10*inspectItems; i++ {
			v := o.Get(strconv.Itoa(i))
			if v == nil {
				holes++
				continue
			}
			flush()
			items = append(items, p.show(v, depth+1))
		}
		flush()
		more(n - i)
	case isBuffer:
		prefix = "ArrayBuffer "
		data := o.Export().(goja.ArrayBuffer)
		b := data.Bytes()
		var hex strings.Builder
		for i, c := range b[:min(len(b), 50)] {
			if i > 0 {
				hex.WriteByte(' ')
			}
			hex.WriteString(strconv.FormatUint(uint64(c)|0x100, 16)[1:])
		}
		items = append(items, "[Uint8Contents]: <"+hex.String()+">", "byteLength: "+strconv.Itoa(len(b)))
	case kind == typeMapEntries:
		prefix = "Map(" + o.Get("size").String() + ") "
		p.r.rt.ForOf(o, func(e goja.Value) bool {
			pair := e.(*goja.Object)
			items = append(items, p.show(pair.Get("0"), depth+1)+" => "+p.show(pair.Get("1"), depth+1))
			return !full()
		})
	case kind == typeSetMembers:
		prefix = "Set(" + o.Get("size").String() + ") "
		p.r.rt.ForOf(o, func(e goja.Value) bool {
			items = append(items, p.show(e, depth+1))
			return !full()
		})
	case name == "":
		prefix = "[Object: null prototype] "
	case name != "Object":
		prefix = name + " "
	}
	if pr := promiseOf(o); pr != nil {
		items = append(items, p.show(pr.Result(), depth+1))
	}
	keys := o.Keys()
	for i, k := range keys {
		if indexed && isIndex(k) {
			continue
		}
		if full() {
			more(len(keys) - i)
			break
		}
		items = append(items, propertyName(k)+": "+p.property(o, k, depth))
	}
	return prefix + layout(items, open, end, depth)
}

// property shows one own property: what is behind a getter is not looked at.
func (p *inspector) property(o *goja.Object, key string, depth int) string {
	if t := o.ExportType(); t != nil && t.Implements(typeDynamicObject) {
		return "[Getter]"
	}
	desc, err := p.r.descriptor(o, key)
	if err == nil && desc != nil {
		if get := desc.Get("get"); get != nil && !goja.IsUndefined(get) {
			return "[Getter]"
		}
		return p.show(desc.Get("value"), depth+1)
	}
	return "[Getter]"
}

func (r *realm) descriptor(o *goja.Object, key string) (*goja.Object, error) {
	class := r.rt.Get("Object").(*goja.Object)
	get, _ := goja.AssertFunction(class.Get("getOwnPropertyDescriptor"))
	v, err := get(class, o, r.rt.ToValue(key))
	if err != nil {
		return nil, err
	}
	desc, _ := v.(*goja.Object)
	return desc, nil
}

func (p *inspector) function(o *goja.Object) string {
	name := ""
	if v, ok := o.Get("name").(goja.String); ok {
		name = v.String()
	}
	kind := "Function"
	if strings.HasPrefix(o.String(), "class") {
		kind = "class"
	}
	if name == "" {
		return "[" + kind + " (anonymous)]"
	}
	if kind == "class" {
		return "[class " + name + "]"
	}
	return "[" + kind + ": " + name + "]"
}

func (p *inspector) err(o *goja.Object, depth int) string {
	e := p.r.describe(o, "")
	out := e.Name
	if e.Message != "" {
		out += ": " + e.Message
	}
	if lines := strings.SplitN(e.Stack, "\n", 2); len(lines) == 2 && strings.TrimSpace(lines[1]) != "" {
		out += "\n" + strings.TrimRight(lines[1], "\n")
	}
	if cause := p.r.member(o, "cause"); cause != nil && depth <= inspectDepth {
		p.above = append(p.above, o)
		out += " {\n  [cause]: " + p.show(cause, depth+1) + "\n}"
		p.above = p.above[:len(p.above)-1]
	}
	return out
}

// className is the name of the object's class, empty for an object without a prototype.
func (p *inspector) className(o *goja.Object) string {
	for proto := o.Prototype(); proto != nil; proto = proto.Prototype() {
		ctor, ok := p.r.member(proto, "constructor").(*goja.Object)
		if !ok {
			continue
		}
		if name, ok := p.r.member(ctor, "name").(goja.String); ok && name.String() != "" {
			return name.String()
		}
	}
	return ""
}

func (p *inspector) call(o *goja.Object, method string) (goja.Value, error) {
	fn, ok := goja.AssertFunction(o.Get(method))
	if !ok {
		return goja.Undefined(), nil
	}
	return fn(o)
}

// layout puts the items on one line if they fit, else one on each.
func layout(items []string, open, end string, depth int) string {
	if len(items) == 0 {
		return open + end
	}
	total := len(items)
	lines := false
	for _, s := range items {
		total += len(s) + 1
		lines = lines || strings.Contains(s, "\n")
	}
	if total <= inspectWidth && !lines {
		return open + " " + strings.Join(items, ", ") + " " + end
	}
	pad := strings.Repeat("  ", depth+1)
	return open + "\n" + pad + strings.Join(items, ",\n"+pad) + "\n" + pad[2:] + end
}

// quote writes a string in single quotes, or in others where it holds some.
func quote(s string) string {
	if len(s) > inspectText {
		s = s[:inspectText] + "..."
	}
	q := byte('\'')
	if strings.Contains(s, "'") {
		if !strings.Contains(s, `"`) {
			q = '"'
		} else if !strings.Contains(s, "`") {
			q = '`'
		}
	}
	var b strings.Builder
	b.WriteByte(q)
	for _, c := range s {
		switch {
		case c == rune(q) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20 || c == 0x7f:
			b.WriteString(`\x` + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte(q)
	return b.String()
}

func propertyName(k string) string {
	for i, c := range k {
		letter := c == '_' || c == '$' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c > 0x7f
		if !letter && (i == 0 || c < '0' || c > '9') {
			return quote(k)
		}
	}
	if k == "" {
		return "''"
	}
	return k
}

// isIndex reports whether a key is an array index in its canonical form.
func isIndex(k string) bool {
	n, err := strconv.ParseUint(k, 10, 32)
	return err == nil && n < 1<<32-1 && strconv.FormatUint(n, 10) == k
}
