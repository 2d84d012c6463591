package agentruntime

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

var errPattern = errors.New("the pattern is not valid")

// patternPart is a piece of a pattern string (https://urlpattern.spec.whatwg.org/#parts).
type patternPart struct {
	kind           partKind
	value          string
	modifier       string // "", "?", "*" or "+"
	name           string
	prefix, suffix string
}

type partKind uint8

const (
	partFixed partKind = iota
	partRegexp
	partSegment // anything up to the delimiter
	partFull    // anything
)

const fullWildcard = ".*"

// patternOptions are what differs between the components: delimiter ends a segment, prefix comes before a group by itself.
type patternOptions struct{ delimiter, prefix string }

func (o patternOptions) segment() string { return "[^" + escapeRegexp(o.delimiter) + "]+?" }

// patternParser makes parts of a pattern string.
type patternParser struct {
	tokens  []patternToken
	index   int
	options patternOptions
	encode  func(string) (string, error)
	pending string
	parts   []patternPart
	unnamed int
}

func parsePattern(s string, o patternOptions, encode func(string) (string, error)) ([]patternPart, error) {
	p := &patternParser{tokens: tokenize([]rune(s), false), options: o, encode: encode}
	if p.tokens == nil {
		return nil, errPattern
	}
	for p.index < len(p.tokens) {
		if err := p.part(); err != nil {
			return nil, err
		}
	}
	return p.parts, nil
}

func (p *patternParser) consume(kind tokenKind) *patternToken {
	if t := &p.tokens[p.index]; t.kind == kind {
		p.index++
		return t
	}
	return nil
}

// wildcard takes a regexp, or an asterisk where no name comes before it.
func (p *patternParser) wildcard(name *patternToken) *patternToken {
	t := p.consume(tokenRegexp)
	if t == nil && name == nil {
		t = p.consume(tokenAsterisk)
	}
	return t
}

func (p *patternParser) modifier() string {
	t := p.consume(tokenModifier)
	if t == nil {
		t = p.consume(tokenAsterisk)
	}
	if t == nil {
		return ""
	}
	return t.value
}

// text takes characters, escaped or not.
func (p *patternParser) text() string {
	var b strings.Builder
	for {
		t := p.consume(tokenChar)
		if t == nil {
			t = p.consume(tokenEscaped)
		}
		if t == nil {
			return b.String()
		}
		b.WriteString(t.value)
	}
}

func (p *patternParser) part() error {
	char := p.consume(tokenChar)
	name := p.consume(tokenName)
	wild := p.wildcard(name)
	if name != nil || wild != nil {
		prefix := ""
		if char != nil {
			prefix = char.value
		}
		if prefix != "" && prefix != p.options.prefix {
			p.pending += prefix
			prefix = ""
		}
		if err := p.flush(); err != nil {
			return err
		}
		return p.add(prefix, name, wild, "", p.modifier())
	}
	fixed := char
	if fixed == nil {
		fixed = p.consume(tokenEscaped)
	}
	if fixed != nil {
		p.pending += fixed.value
		return nil
	}
	if p.consume(tokenOpen) != nil {
		prefix := p.text()
		name := p.consume(tokenName)
		wild := p.wildcard(name)
		suffix := p.text()
		if p.consume(tokenClose) == nil {
			return errPattern
		}
		return p.add(prefix, name, wild, suffix, p.modifier())
	}
	if err := p.flush(); err != nil {
		return err
	}
	if p.consume(tokenEnd) == nil {
		return errPattern
	}
	return nil
}

// flush makes a part of the fixed text that has come so far.
func (p *patternParser) flush() error {
	if p.pending == "" {
		return nil
	}
	value, err := p.encode(p.pending)
	p.pending = ""
	p.parts = append(p.parts, patternPart{kind: partFixed, value: value})
	return err
}

func (p *patternParser) add(prefix string, name, wild *patternToken, suffix, modifier string) error {
	if name == nil && wild == nil && modifier == "" {
		p.pending += prefix
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	if name == nil && wild == nil {
		if prefix == "" {
			return nil
		}
		value, err := p.encode(prefix)
		p.parts = append(p.parts, patternPart{kind: partFixed, value: value, modifier: modifier})
		return err
	}
	part := patternPart{kind: partRegexp, modifier: modifier}
	switch {
	case wild == nil:
		part.kind = partSegment
	case wild.kind == tokenAsterisk, wild.value == fullWildcard:
		part.kind = partFull
	case wild.value == p.options.segment():
		part.kind = partSegment
	case !knownEscapes(wild.value):
		return errPattern
	default:
		part.value = wild.value
	}
	if name != nil {
		part.name = name.value
	} else {
		part.name = itoa(p.unnamed)
		p.unnamed++
	}
	if slices.ContainsFunc(p.parts, func(o patternPart) bool { return o.name == part.name }) {
		return errPattern
	}
	var err error
	if part.prefix, err = p.encode(prefix); err != nil {
		return err
	}
	if part.suffix, err = p.encode(suffix); err != nil {
		return err
	}
	p.parts = append(p.parts, part)
	return nil
}

// knownEscapes reports whether every escape in a regular expression means something. In the mode that patterns are in an
// unknown one is an error, which the engine lets pass.
func knownEscapes(source string) bool {
	for i := 0; i < len(source); i++ {
		if source[i] != '\\' {
			continue
		}
		if i++; i < len(source) && isAlpha(source[i]) && strings.IndexByte("bBcdDfknpPrsStuvwWxu", source[i]) < 0 {
			return false
		}
	}
	return true
}

// regexpOf makes the regular expression of the parts, and the names of its groups.
func regexpOf(parts []patternPart, o patternOptions) (source string, names []string) {
	var b strings.Builder
	b.WriteByte('^')
	for _, p := range parts {
		if p.kind == partFixed {
			if p.modifier == "" {
				b.WriteString(escapeRegexp(p.value))
			} else {
				b.WriteString("(?:" + escapeRegexp(p.value) + ")" + p.modifier)
			}
			continue
		}
		names = append(names, p.name)
		value := p.value
		switch p.kind {
		case partSegment:
			value = o.segment()
		case partFull:
			value = fullWildcard
		}
		repeats := p.modifier == "*" || p.modifier == "+"
		prefix, suffix := escapeRegexp(p.prefix), escapeRegexp(p.suffix)
		switch {
		case prefix == "" && suffix == "" && !repeats:
			b.WriteString("(" + value + ")" + p.modifier)
		case prefix == "" && suffix == "":
			b.WriteString("((?:" + value + ")" + p.modifier + ")")
		case !repeats:
			b.WriteString("(?:" + prefix + "(" + value + ")" + suffix + ")" + p.modifier)
		default:
			b.WriteString("(?:" + prefix + "((?:" + value + ")(?:" + suffix + prefix + "(?:" + value + "))*)" + suffix + ")")
			if p.modifier == "*" {
				b.WriteByte('?')
			}
		}
	}
	b.WriteByte('$')
	return b.String(), names
}

// patternString writes the parts as a pattern string in its canonical form.
func patternString(parts []patternPart, o patternOptions) string {
	var b strings.Builder
	for i, p := range parts {
		var before, after *patternPart
		if i > 0 {
			before = &parts[i-1]
		}
		if i+1 < len(parts) {
			after = &parts[i+1]
		}
		if p.kind == partFixed {
			if p.modifier == "" {
				b.WriteString(escapePattern(p.value))
			} else {
				b.WriteString("{" + escapePattern(p.value) + "}" + p.modifier)
			}
			continue
		}
		custom := !isDigit(p.name[0])
		grouped := p.suffix != "" || p.prefix != "" && p.prefix != o.prefix
		if !grouped && custom && p.kind == partSegment && p.modifier == "" && after != nil && after.prefix == "" && after.suffix == "" {
			if after.kind == partFixed {
				first, _ := utf8.DecodeRuneInString(after.value)
				grouped = nameRune(first, false)
			} else {
				grouped = isDigit(after.name[0])
			}
		}
		if !grouped && p.prefix == "" && before != nil && before.kind == partFixed && o.prefix != "" && strings.HasSuffix(before.value, o.prefix) {
			grouped = true
		}
		if grouped {
			b.WriteByte('{')
		}
		b.WriteString(escapePattern(p.prefix))
		if custom {
			b.WriteString(":" + p.name)
		}
		switch p.kind {
		case partRegexp:
			b.WriteString("(" + p.value + ")")
		case partSegment:
			if !custom {
				b.WriteString("(" + o.segment() + ")")
			}
		case partFull:
			if !custom && (before == nil || before.kind == partFixed || before.modifier != "" || grouped || p.prefix != "") {
				b.WriteByte('*')
			} else {
				b.WriteString("(" + fullWildcard + ")")
			}
		}
		if first, _ := utf8.DecodeRuneInString(p.suffix); p.kind == partSegment && custom && p.suffix != "" && nameRune(first, false) {
			b.WriteByte('\\')
		}
		b.WriteString(escapePattern(p.suffix))
		if grouped {
			b.WriteByte('}')
		}
		b.WriteString(p.modifier)
	}
	return b.String()
}

func escapeRegexp(s string) string { return escaped(s, `.+*?^${}()[]|/\`) }

func escapePattern(s string) string { return escaped(s, `+*?:{}()\`) }

func escaped(s, chars string) string {
	if !strings.ContainsAny(s, chars) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune(chars, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}
