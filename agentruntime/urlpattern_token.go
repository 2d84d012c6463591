package agentruntime

import (
	"unicode"
)

// patternToken is one token of a pattern string (https://urlpattern.spec.whatwg.org/#tokens). index and next are places
// in the code points of the string.
type patternToken struct {
	kind        tokenKind
	index, next int
	value       string
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenOpen
	tokenClose
	tokenRegexp
	tokenName
	tokenChar
	tokenEscaped
	tokenModifier // + or ?
	tokenAsterisk
	tokenInvalid
)

// patternTokenizer cuts a pattern string into tokens. A lenient one makes a token of what is wrong, another gives up.
type patternTokenizer struct {
	in      []rune
	lenient bool
	index   int
	list    []patternToken
	failed  bool
}

// tokenize returns the tokens, the last of them a tokenEnd, and nil where the string is no pattern.
func tokenize(in []rune, lenient bool) []patternToken {
	t := &patternTokenizer{in: in, lenient: lenient}
	for t.index < len(in) && !t.failed {
		t.token()
	}
	if t.failed {
		return nil
	}
	t.add(tokenEnd, t.index, t.index, t.index)
	return t.list
}

// add makes a token that ends before next and whose value lies between from and to.
func (t *patternTokenizer) add(kind tokenKind, next, from, to int) {
	t.list = append(t.list, patternToken{kind: kind, index: t.index, next: next, value: string(t.in[from:to])})
	t.index = next
}

func (t *patternTokenizer) fail(next, from int) {
	if !t.lenient {
		t.failed = true
		return
	}
	t.add(tokenInvalid, next, from, next)
}

func (t *patternTokenizer) token() {
	i, next := t.index, t.index+1
	switch t.in[i] {
	case '*':
		t.add(tokenAsterisk, next, i, next)
	case '+', '?':
		t.add(tokenModifier, next, i, next)
	case '{':
		t.add(tokenOpen, next, i, next)
	case '}':
		t.add(tokenClose, next, i, next)
	case '\\':
		if next == len(t.in) {
			t.fail(next, i)
			return
		}
		t.add(tokenEscaped, next+1, next, next+1)
	case ':':
		end := next
		for end < len(t.in) && nameRune(t.in[end], end == next) {
			end++
		}
		if end == next {
			t.fail(next, i)
			return
		}
		t.add(tokenName, end, next, end)
	case '(':
		t.regexp()
	default:
		t.add(tokenChar, next, i, next)
	}
}

// regexp reads a group in parentheses. Groups inside of it must not capture.
func (t *patternTokenizer) regexp() {
	start := t.index + 1
	depth := 1
	for i := start; i < len(t.in); i++ {
		c := t.in[i]
		switch {
		case c > unicode.MaxASCII, i == start && c == '?':
			t.fail(start, t.index)
			return
		case c == '\\':
			if i++; i == len(t.in) || t.in[i] > unicode.MaxASCII {
				t.fail(start, t.index)
				return
			}
		case c == ')':
			if depth--; depth > 0 {
				continue
			}
			if i == start {
				t.fail(start, t.index)
				return
			}
			t.add(tokenRegexp, i+1, start, i)
			return
		case c == '(':
			depth++
			if i+1 >= len(t.in) || t.in[i+1] != '?' {
				t.fail(start, t.index)
				return
			}
		}
	}
	t.fail(start, t.index)
}

// nameRune reports whether c may be in the name of a group: an identifier of JavaScript.
func nameRune(c rune, first bool) bool {
	if c == '$' || c == '_' || unicode.IsLetter(c) || unicode.In(c, unicode.Nl, unicode.Other_ID_Start) {
		return true
	}
	return !first && (c == 0x200c || c == 0x200d || unicode.In(c, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue))
}
