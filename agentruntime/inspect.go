package agentruntime

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

const (
	inspectDepth = 2   // levels of nested objects that are shown
	inspectItems = 100 // members of one object that are shown
	inspectText  = 10000
	inspectWidth = 80 // up to here an object stays on one line
	// inspectCompact is how many levels of objects one line may hold.
	inspectCompact = 3
	inspectTotal   = 64 << 10
)

// inspect shows a value as a console does, close to Node's util.inspect. It runs no getters but those of built-in
// classes, and shows a bounded part of what is large.
func (r *realm) inspect(v goja.Value) string {
	p := &inspector{r: r, limit: consoleLimit}
	out := "[value]"
	if ex := r.rt.Try(func() { out = p.show(v, 0) }); ex != nil {
		return "[object whose inspection throws]"
	}
	return out
}

// inspectBounds bound what is shown of a value.
type inspectBounds struct {
	depth, items, text, width int
	flat                      bool // short objects stay on one line
}

var consoleLimit = inspectBounds{depth: inspectDepth, items: inspectItems, text: inspectText, width: inspectWidth, flat: true}

type inspector struct {
	r     *realm
	limit inspectBounds
	above []*goja.Object
	size  int
	// shownDepth is the depth of the object that was shown last, by which Node.js tells how deep the lines of an object go.
	shownDepth int

	// The rest is for util.inspect alone.
	options, inspect goja.Value
	custom           *goja.Symbol // names the method by which an object shows itself; nil: none does
	sorted, hidden   bool
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
		return quoteUpTo(x.String(), p.limit.text)
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
	if p.custom != nil {
		if s, ok := p.itself(o, depth); ok {
			return s
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
	if name == "Buffer" && p.r.nodeJS != nil && p.r.isBuffer(o) {
		data, _ := p.r.bytesOrShared(o)
		return inspectBuffer(data)
	}
	if depth > p.limit.depth || p.size > inspectTotal || len(p.above) > 50 {
		if o.ClassName() == "Array" {
			return "[Array]"
		}
		return "[" + orElse(name, "Object") + "]"
	}
	p.above = append(p.above, o)
	defer func() { p.above = p.above[:len(p.above)-1] }()
	if t := o.ExportType(); len(o.Keys()) > 0 || o.ClassName() != "Array" && (t == typeMapEntries || t == typeSetMembers) && o.Get("size").ToInteger() > 0 {
		p.shownDepth = depth
	}
	return p.members(o, name, depth)
}

func (p *inspector) members(o *goja.Object, name string, depth int) string {
	var items []string
	prefix, open, end := "", "{", "}"
	full := func() bool { return len(items) >= p.limit.items || p.size > inspectTotal }
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
		for ; i < n && !full() && i/10 < p.limit.items; i++ {
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
	if p.hidden {
		keys = o.GetOwnPropertyNames()
	}
	if p.sorted {
		slices.Sort(keys)
	}
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
	if p.options != nil { // a console has never shown what symbols name
		for _, sym := range o.Symbols() {
			if !full() && p.listed(o, sym) {
				items = append(items, "[Symbol("+sym.String()+")]: "+p.show(o.GetSymbol(sym), depth+1))
			}
		}
	}
	if indexed && p.options != nil && p.limit.flat && len(items) > 6 {
		if rows := p.columns(items, depth); len(rows) < len(items) {
			return prefix + onLines(rows, open, end, depth)
		}
	}
	return prefix + p.layout(items, prefix, open, end, depth)
}

// property shows one own property: what is behind a getter is not looked at.
func (p *inspector) property(o *goja.Object, key string, depth int) string {
	if t := o.ExportType(); t != nil && t.Implements(typeDynamicObject) {
		return "[Getter]"
	}
	desc, err := p.r.descriptor(o, key)
	if err == nil && desc != nil {
		get, set := given(desc.Get("get")), given(desc.Get("set"))
		switch {
		case get && set:
			return "[Getter/Setter]"
		case set:
			return "[Setter]"
		case get:
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
		if above := o.Prototype(); above != nil {
			if v, ok := p.r.member(above, "name").(goja.String); ok && v.String() != "" {
				name += " extends " + v.String()
			}
		}
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
	if cause := p.r.member(o, "cause"); cause != nil && depth <= p.limit.depth {
		p.above = append(p.above, o)
		out += " {\n  [cause]: " + p.show(cause, depth+1) + "\n}"
		p.above = p.above[:len(p.above)-1]
	}
	return out
}

// listed reports whether an object's own property named by a symbol is one to show.
func (p *inspector) listed(o *goja.Object, sym *goja.Symbol) bool {
	proto := p.r.rt.Get("Object").(*goja.Object).Get("prototype").(*goja.Object)
	test, _ := goja.AssertFunction(proto.Get("propertyIsEnumerable"))
	v, err := test(o, sym)
	return err == nil && (p.hidden || v.ToBoolean()) && sym != p.r.slot
}

// itself has an object show itself, if it has the method that does.
func (p *inspector) itself(o *goja.Object, depth int) (string, bool) {
	show, ok := goja.AssertFunction(o.GetSymbol(p.custom))
	if !ok {
		return "", false
	}
	options := p.r.rt.NewObject()
	if given, ok := p.options.(*goja.Object); ok {
		for _, k := range given.Keys() {
			_ = options.Set(k, given.Get(k))
		}
	}
	_ = options.Set("depth", p.limit.depth-depth)
	_ = options.Set("stylize", p.r.function("stylize", 2, func(_ *realm, call goja.FunctionCall) goja.Value { return call.Argument(0).ToString() }))
	v, err := show(o, p.r.rt.ToValue(p.limit.depth-depth), options, p.inspect)
	if err != nil {
		panic(err)
	}
	if v == o {
		return "", false
	}
	if s, ok := v.(goja.String); ok {
		return s.String(), true
	}
	p.above = append(p.above, o)
	defer func() { p.above = p.above[:len(p.above)-1] }()
	return p.show(v, depth), true
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
func (p *inspector) layout(items []string, prefix, open, end string, depth int) string {
	if len(items) == 0 {
		return open + end
	}
	total := 2*len(items) + 2*depth + len(prefix) + len(open) + 10
	lines := false
	for _, s := range items {
		total += utf8.RuneCountInString(s)
		lines = lines || strings.Contains(s, "\n")
	}
	if p.limit.flat && p.shownDepth-depth < inspectCompact && total <= p.limit.width && !lines {
		return open + " " + strings.Join(items, ", ") + " " + end
	}
	return onLines(items, open, end, depth)
}

func onLines(items []string, open, end string, depth int) string {
	pad := strings.Repeat("  ", depth+1)
	return open + "\n" + pad + strings.Join(items, ",\n"+pad) + "\n" + pad[2:] + end
}

// quote writes a string in single quotes, or in others where it holds some.
func quote(s string) string { return quoteUpTo(s, inspectText) }

// quoteUpTo is quote with at most so many characters of the string.
func quoteUpTo(s string, most int) string {
	if len(s) > most {
		if runes := []rune(s); len(runes) > most {
			more := len(runes) - most
			return quote(string(runes[:most])) + "... " + itoa(more) + " more character" + map[bool]string{true: "", false: "s"}[more == 1]
		}
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
