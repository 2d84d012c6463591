package agentruntime

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// jsonDepth is how deep JSON may be nested. The engine's own parser recurses without a limit, which a hostile text
// turns into the end of the process.
const jsonDepth = 2000

// jsonParser makes JavaScript values of a JSON text in one pass (RFC 8259, ECMA-262 25.5.1). The text is valid UTF-8.
type jsonParser struct {
	rt    *goja.Runtime
	in    string
	at    int
	depth int
	buf   []byte
}

// jsonError is a fault in a JSON text; code sees a SyntaxError.
type jsonError string

func (e jsonError) Error() string { return string(e) }

// parseJSON parses text. Its error is a JavaScript SyntaxError.
func (r *realm) parseJSON(text string) (goja.Value, error) {
	p := jsonParser{rt: r.rt, in: text}
	v, err := p.document()
	if err != nil {
		return nil, r.thrownError(r.newError("SyntaxError", err.Error()))
	}
	return v, nil
}

// stringify is JSON.stringify for the body of a response; what has no JSON is a TypeError.
func (r *realm) stringify(v goja.Value) string {
	obj := r.rt.Get("JSON").(*goja.Object)
	fn, ok := goja.AssertFunction(obj.Get("stringify"))
	if !ok {
		panic(r.typeError("JSON.stringify is not a function"))
	}
	text, err := fn(obj, v)
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	if !given(text) {
		panic(r.typeError("The data is not JSON serializable"))
	}
	return r.str(text)
}

// replaceJSON makes JSON.parse the parser of this file. The engine's own is then out of code's reach.
func (r *realm) replaceJSON() {
	parse := r.function("parse", 2, func(r *realm, call goja.FunctionCall) goja.Value {
		v, err := r.parseJSON(r.str(call.Argument(0)))
		if err != nil {
			panic(thrownBy(err))
		}
		if reviver, ok := goja.AssertFunction(call.Argument(1)); ok {
			root := r.rt.NewObject()
			_ = root.DefineDataProperty("", v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
			return r.revive(reviver, root, "", 0)
		}
		return v
	})
	_ = r.rt.Get("JSON").(*goja.Object).DefineDataProperty("parse", parse, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
}

// revive is InternalizeJSONProperty (ECMA-262 25.5.1.1). The reviver can graft what it likes onto the value, so the
// depth is limited here too.
func (r *realm) revive(reviver goja.Callable, holder *goja.Object, name string, depth int) goja.Value {
	if depth > jsonDepth+1 {
		panic(r.newError("RangeError", errTooDeep.Error()))
	}
	v := orUndefined(holder.Get(name))
	if obj, ok := v.(*goja.Object); ok {
		item := func(key string) {
			if item := r.revive(reviver, obj, key, depth+1); goja.IsUndefined(item) {
				_ = obj.Delete(key)
			} else {
				_ = obj.DefineDataProperty(key, item, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
			}
		}
		if obj.ClassName() == "Array" {
			for i := range obj.Get("length").ToInteger() {
				item(strconv.FormatInt(i, 10))
			}
		} else {
			for _, key := range obj.Keys() {
				item(key)
			}
		}
	}
	result, err := reviver(holder, r.rt.ToValue(name), v)
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	return result
}

const errTooDeep = jsonError("The JSON text is nested too deeply")

func (p *jsonParser) document() (goja.Value, error) {
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.in) {
		c, _ := utf8.DecodeRuneInString(p.in[p.at:])
		if c == '{' || c == '[' || c == '"' || c < 0x80 && (isDigit(byte(c)) || isAlpha(byte(c))) {
			return nil, jsonError(fmt.Sprintf("Unexpected non-whitespace character after JSON at position %d", p.at))
		}
		return nil, p.unexpected()
	}
	return v, nil
}

// unexpected is the error of the character at the parser's place.
func (p *jsonParser) unexpected() error {
	if p.at >= len(p.in) {
		return jsonError("Unexpected end of JSON input")
	}
	c, _ := utf8.DecodeRuneInString(p.in[p.at:])
	return jsonError(fmt.Sprintf("Unexpected token '%c', %q is not valid JSON", c, jsonExcerpt(p.in, p.at)))
}

// jsonExcerpt is what an error shows of the text around at.
func jsonExcerpt(s string, at int) string {
	from, to := max(0, at-10), min(len(s), at+10)
	part := strings.ToValidUTF8(s[from:to], "")
	if from > 0 {
		part = "..." + part
	}
	if to < len(s) {
		part += "..."
	}
	return part
}

func (p *jsonParser) space() {
	for p.at < len(p.in) {
		switch p.in[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *jsonParser) value() (goja.Value, error) {
	p.space()
	if p.at >= len(p.in) {
		return nil, p.unexpected()
	}
	switch c := p.in[p.at]; {
	case c == '"':
		p.at++
		return p.text()
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '-' || isDigit(c):
		return p.number()
	case c == 't':
		return p.word("true", p.rt.ToValue(true))
	case c == 'f':
		return p.word("false", p.rt.ToValue(false))
	case c == 'n':
		return p.word("null", goja.Null())
	}
	return nil, p.unexpected()
}

func (p *jsonParser) word(word string, v goja.Value) (goja.Value, error) {
	for i := range len(word) {
		if p.at >= len(p.in) || p.in[p.at] != word[i] {
			return nil, p.unexpected()
		}
		p.at++
	}
	return v, nil
}

func (p *jsonParser) enter() error {
	p.at++
	if p.depth++; p.depth > jsonDepth {
		return errTooDeep
	}
	return nil
}

func (p *jsonParser) object() (goja.Value, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	obj := p.rt.NewObject()
	if p.space(); p.at < len(p.in) && p.in[p.at] == '}' {
		p.at++
		p.depth--
		return obj, nil
	}
	for {
		p.space()
		if p.at >= len(p.in) || p.in[p.at] != '"' {
			return nil, p.unexpected()
		}
		p.at++
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		if p.space(); p.at >= len(p.in) || p.in[p.at] != ':' {
			return nil, p.unexpected()
		}
		p.at++
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if err := obj.DefineDataProperty(key, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE); err != nil {
			return nil, err
		}
		if p.space(); p.at >= len(p.in) {
			return nil, p.unexpected()
		}
		switch p.in[p.at] {
		case ',':
			p.at++
		case '}':
			p.at++
			p.depth--
			return obj, nil
		default:
			return nil, p.unexpected()
		}
	}
}

func (p *jsonParser) array() (goja.Value, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	var items []any
	if p.space(); p.at < len(p.in) && p.in[p.at] == ']' {
		p.at++
		p.depth--
		return p.rt.NewArray(), nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if p.space(); p.at >= len(p.in) {
			return nil, p.unexpected()
		}
		switch p.in[p.at] {
		case ',':
			p.at++
		case ']':
			p.at++
			p.depth--
			return p.rt.NewArray(items...), nil
		default:
			return nil, p.unexpected()
		}
	}
}

func (p *jsonParser) number() (goja.Value, error) {
	start, whole := p.at, true
	if p.in[p.at] == '-' {
		p.at++
	}
	switch {
	case p.at >= len(p.in):
		return nil, jsonError("No number after minus sign in JSON at position " + strconv.Itoa(p.at))
	case p.in[p.at] == '0':
		p.at++
	case isDigit(p.in[p.at]):
		p.digits()
	default:
		return nil, jsonError("No number after minus sign in JSON at position " + strconv.Itoa(p.at))
	}
	if p.at < len(p.in) && p.in[p.at] == '.' {
		whole = false
		if p.at++; !p.digits() {
			return nil, p.unexpected()
		}
	}
	if p.at < len(p.in) && p.in[p.at]|0x20 == 'e' {
		whole = false
		if p.at++; p.at < len(p.in) && (p.in[p.at] == '+' || p.in[p.at] == '-') {
			p.at++
		}
		if !p.digits() {
			return nil, p.unexpected()
		}
	}
	text := p.in[start:p.at]
	if whole && len(text) < 16 && text != "-0" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return p.rt.ToValue(n), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return nil, err
	}
	return p.rt.ToValue(f), nil
}

// digits passes over digits and reports whether there was one.
func (p *jsonParser) digits() bool {
	start := p.at
	for p.at < len(p.in) && isDigit(p.in[p.at]) {
		p.at++
	}
	return p.at > start
}

// text parses a string after its opening quote.
func (p *jsonParser) text() (goja.Value, error) {
	s, chars, err := p.scan()
	if err != nil {
		return nil, err
	}
	if chars != nil {
		return goja.StringFromUTF16(chars), nil
	}
	return p.rt.ToValue(s), nil
}

// key parses a property's name after its opening quote. Lone surrogates in names become U+FFFD.
func (p *jsonParser) key() (string, error) {
	s, chars, err := p.scan()
	if chars != nil {
		return string(utf16.Decode(chars)), err
	}
	return s, err
}

// scan reads a string to its closing quote. chars is there instead of s when the string holds a lone surrogate.
func (p *jsonParser) scan() (s string, chars []uint16, err error) {
	start := p.at
	for p.at < len(p.in) {
		switch c := p.in[p.at]; {
		case c == '"':
			p.at++
			return p.in[start : p.at-1], nil, nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", nil, p.control()
		}
		p.at++
	}
	return "", nil, jsonError("Unterminated string in JSON at position " + strconv.Itoa(p.at))
}

func (p *jsonParser) control() error {
	return jsonError("Bad control character in string literal in JSON at position " + strconv.Itoa(p.at))
}

// escaped reads a string with escapes; its first ends at p.at.
func (p *jsonParser) escaped(start int) (s string, chars []uint16, err error) {
	buf, lone := append(p.buf[:0], p.in[start:p.at]...), false
	defer func() { p.buf = buf[:0] }()
	for p.at < len(p.in) {
		c := p.in[p.at]
		switch {
		case c == '"':
			p.at++
			if lone {
				return "", p.units(start), nil
			}
			return string(buf), nil, nil
		case c < 0x20:
			return "", nil, p.control()
		case c != '\\':
			buf = append(buf, c)
			p.at++
			continue
		}
		if p.at+1 >= len(p.in) {
			break
		}
		p.at++
		if esc := strings.IndexByte(`"\/bfnrt`, p.in[p.at]); esc >= 0 {
			buf = append(buf, "\"\\/\b\f\n\r\t"[esc])
			p.at++
			continue
		}
		if p.in[p.at] != 'u' {
			return "", nil, jsonError("Bad escaped character in JSON at position " + strconv.Itoa(p.at))
		}
		unit, ok := p.unit()
		if !ok {
			return "", nil, jsonError("Bad Unicode escape in JSON at position " + strconv.Itoa(p.at))
		}
		char := rune(unit)
		if utf16.IsSurrogate(char) {
			mark := p.at
			second, ok := uint16(0), false
			if strings.HasPrefix(p.in[p.at:], `\u`) {
				p.at++
				second, ok = p.unit()
			}
			if pair := utf16.DecodeRune(char, rune(second)); ok && pair != utf8.RuneError {
				char = pair
			} else {
				p.at, lone = mark, true
			}
		}
		buf = utf8.AppendRune(buf, char)
	}
	return "", nil, jsonError("Unterminated string in JSON at position " + strconv.Itoa(len(p.in)))
}

// unit reads the four digits after the u at the parser's place.
func (p *jsonParser) unit() (uint16, bool) {
	if p.at+5 > len(p.in) {
		return 0, false
	}
	var n uint16
	for _, c := range []byte(p.in[p.at+1 : p.at+5]) {
		d := unhex(c)
		if d < 0 {
			return 0, false
		}
		n = n<<4 | uint16(d)
	}
	p.at += 5
	return n, true
}

// units reads a string with lone surrogates again, from start to the quote before p.at, as UTF-16.
func (p *jsonParser) units(start int) []uint16 {
	var out []uint16
	q := jsonParser{in: p.in[:p.at-1], at: start}
	for q.at < len(q.in) {
		if q.in[q.at] != '\\' {
			c, n := utf8.DecodeRuneInString(q.in[q.at:])
			out = utf16.AppendRune(out, c)
			q.at += n
			continue
		}
		q.at++
		if esc := strings.IndexByte(`"\/bfnrt`, q.in[q.at]); esc >= 0 {
			out = append(out, uint16("\"\\/\b\f\n\r\t"[esc]))
			q.at++
			continue
		}
		unit, _ := q.unit()
		out = append(out, unit)
	}
	return out
}
