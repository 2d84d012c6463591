package htmlrewriter

import (
	"bytes"
	"strings"
)

// attr is an attribute of a start tag as the document spells it, or as a handler set it.
type attr struct {
	name  string // lower case
	value string // not decoded
	raw   []byte // the bytes in the document; nil once set by a handler
}

// tag is a start tag in its parts.
type tag struct {
	name        string // as spelled
	attrs       []attr
	selfClosing bool
	raw         []byte
	changed     bool
}

// parseTag takes the bytes of a whole start tag apart (https://html.spec.whatwg.org/multipage/parsing.html#tag-name-state
// and the states after it).
func parseTag(raw []byte) *tag {
	t := &tag{raw: raw}
	in := raw[1:]
	if n := len(in); n > 0 && in[n-1] == '>' {
		in = in[:n-1]
	}
	end := bytes.IndexFunc(in, func(c rune) bool { return c < 0x80 && isSpace(byte(c)) || c == '/' })
	if end < 0 {
		end = len(in)
	}
	t.name, in = string(in[:end]), in[end:]
	for {
		for len(in) > 0 && (isSpace(in[0]) || in[0] == '/') {
			t.selfClosing = in[0] == '/' && len(in) == 1
			in = in[1:]
		}
		if len(in) == 0 {
			return t
		}
		var a attr
		a, in = parseAttr(in)
		t.attrs = append(t.attrs, a)
	}
}

// parseAttr reads one attribute from where it begins.
func parseAttr(in []byte) (a attr, rest []byte) {
	i := 1 // an equals sign may begin a name
	for i < len(in) && !isSpace(in[i]) && in[i] != '/' && in[i] != '=' {
		i++
	}
	a.name = strings.ToLower(string(in[:i]))
	end := i
	for i < len(in) && isSpace(in[i]) {
		i++
	}
	if i == len(in) || in[i] != '=' {
		a.raw = in[:end]
		return a, in[end:]
	}
	i++
	for i < len(in) && isSpace(in[i]) {
		i++
	}
	if i == len(in) {
		a.raw = in
		return a, nil
	}
	if q := in[i]; q == '"' || q == '\'' {
		i++
		length := bytes.IndexByte(in[i:], q)
		if length < 0 {
			length = len(in) - i
		}
		a.value = string(in[i : i+length])
		i = min(i+length+1, len(in))
	} else {
		start := i
		for i < len(in) && !isSpace(in[i]) {
			i++
		}
		a.value = string(in[start:i])
	}
	a.raw = in[:i]
	return a, in[i:]
}

// bytes is the tag as it leaves.
func (t *tag) bytes() []byte {
	if !t.changed {
		return t.raw
	}
	var b bytes.Buffer
	b.WriteByte('<')
	b.WriteString(t.name)
	for _, a := range t.attrs {
		b.WriteByte(' ')
		if a.raw != nil {
			b.Write(a.raw)
			continue
		}
		b.WriteString(a.name)
		b.WriteString(`="`)
		b.WriteString(strings.ReplaceAll(a.value, `"`, "&quot;"))
		b.WriteByte('"')
	}
	if t.selfClosing {
		b.WriteString(" /")
	}
	b.WriteByte('>')
	return b.Bytes()
}

func (t *tag) find(name string) *attr {
	for i := range t.attrs {
		if t.attrs[i].name == name {
			return &t.attrs[i]
		}
	}
	return nil
}
