package agentruntime

import "strings"

// mimeType is a media type as browsers read it (https://mimesniff.spec.whatwg.org/#parsing-a-mime-type), which is more
// lenient with parameters than the mime package.
type mimeType struct {
	essence string      // type/subtype, in lower case
	params  [][2]string // names in lower case, each once
}

const httpSpace = " \t\r\n"

// parseMIME reports false for what has no type and subtype.
func parseMIME(s string) (m mimeType, ok bool) {
	s = strings.Trim(s, httpSpace)
	essence, rest, _ := strings.Cut(s, ";")
	kind, subtype, slash := strings.Cut(essence, "/")
	subtype = strings.TrimRight(subtype, httpSpace)
	if !slash || !isToken(kind) || !isToken(subtype) {
		return m, false
	}
	m.essence = strings.ToLower(kind + "/" + subtype)
	for rest != "" {
		rest = strings.TrimLeft(rest, httpSpace)
		end := strings.IndexAny(rest, ";=")
		if end < 0 {
			break
		}
		name := strings.ToLower(rest[:end])
		separator := rest[end]
		if rest = rest[end+1:]; separator == ';' {
			continue
		}
		var value string
		if quoted := strings.HasPrefix(rest, `"`); quoted {
			value, rest = unquote(rest[1:])
			_, rest, _ = strings.Cut(rest, ";")
		} else {
			value, rest, _ = strings.Cut(rest, ";")
			if value = strings.TrimRight(value, httpSpace); value == "" {
				continue
			}
		}
		if isToken(name) && isQuotable(value) && !m.has(name) {
			m.params = append(m.params, [2]string{name, value})
		}
	}
	return m, true
}

// unquote reads a quoted string from behind its opening quote, and returns what follows it too.
func unquote(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

func (m *mimeType) has(name string) bool {
	for _, p := range m.params {
		if p[0] == name {
			return true
		}
	}
	return false
}

// String is the type as it is written in a header.
func (m *mimeType) String() string {
	var b strings.Builder
	b.WriteString(m.essence)
	for _, p := range m.params {
		b.WriteString(";" + p[0] + "=")
		if isToken(p[1]) {
			b.WriteString(p[1])
		} else {
			b.WriteString(`"` + quotes.Replace(p[1]) + `"`)
		}
	}
	return b.String()
}

var quotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// isQuotable reports whether s holds nothing that a quoted string cannot: no control characters but the tab, and nothing past
// U+00FF.
func isQuotable(s string) bool {
	for _, c := range s {
		if c != '\t' && c < 0x20 || c == 0x7f || c > 0xff {
			return false
		}
	}
	return true
}
