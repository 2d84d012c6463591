package agentruntime

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dop251/goja/ast"
)

// The engine lacks the classes by Unicode property of regular expressions, \p{...}, and the set notation of the flag v. Both
// are written as plain ranges of characters: in literals when a bundle is compiled, so that runtimes share what is made of
// them, and in the constructor (regexp_class.go) at run time.

// rewrittenRegExp finds code that may have a literal that must be rewritten.
var rewrittenRegExp = regexp.MustCompile(`\\[pP]\{|/[a-z]*v[a-z]*\b`)

// regexp rewrites a literal.
func (a *adapter) regexp(n *ast.RegExpLiteral) {
	pattern, flags, err := rewriteRegExp(n.Pattern, n.Flags)
	if err != nil && a.err == nil {
		at := a.tree.File.Position(int(n.Idx) - a.tree.File.Base())
		a.err = &dialectError{line: at.Line, col: at.Column, text: err.Error()}
		return
	}
	n.Pattern, n.Flags = pattern, flags
}

// rewriteRegExp writes a pattern for the engine. What comes back of the flags has u in the place of v.
func rewriteRegExp(pattern, flags string) (string, string, error) {
	sets := strings.Contains(flags, "v")
	if !sets && !strings.Contains(flags, "u") || !sets && !strings.Contains(pattern, `\p`) && !strings.Contains(pattern, `\P`) {
		return pattern, flags, nil
	}
	if sets && strings.Contains(flags, "u") {
		return "", "", errors.New("Invalid flags: u and v exclude each other")
	}
	p := &patternWriter{in: pattern, sets: sets, ignoreCase: strings.Contains(flags, "i")}
	if err := p.pattern(); err != nil {
		return "", "", fmt.Errorf("Invalid regular expression: /%s/: %w", pattern, err)
	}
	return p.out.String(), strings.Replace(flags, "v", "u", 1), nil
}

// patternWriter copies a pattern and rewrites its classes.
type patternWriter struct {
	in         string
	at         int
	sets       bool
	ignoreCase bool
	out        strings.Builder
	depth      int
}

func (p *patternWriter) pattern() error {
	for p.at < len(p.in) {
		switch c := p.in[p.at]; {
		case c == '\\' && p.at+1 < len(p.in) && p.in[p.at+1]|0x20 == 'p':
			set, err := p.property()
			if err != nil {
				return err
			}
			p.writeClass(set, nil)
		case c == '\\' && p.at+1 < len(p.in):
			p.out.WriteString(p.in[p.at : p.at+2])
			p.at += 2
		case c == '[' && p.sets:
			set, strs, err := p.class()
			if err != nil {
				return err
			}
			p.writeClass(set, strs)
		case c == '[':
			if err := p.plainClass(); err != nil {
				return err
			}
		default:
			p.out.WriteByte(c)
			p.at++
		}
	}
	return nil
}

// writeClass writes a set outside of any class.
func (p *patternWriter) writeClass(set runeSet, strs []string) {
	class := "[" + set.class() + "]"
	if len(set) == 0 {
		class = "[^\\u{0}-\\u{10ffff}]"
	}
	if len(strs) == 0 {
		p.out.WriteString(class)
		return
	}
	p.out.WriteString("(?:")
	for _, s := range strs { // the longest first
		for _, c := range s {
			if strings.ContainsRune(`^$\.*+?()[]{}|/`, c) {
				p.out.WriteByte('\\')
			}
			p.out.WriteRune(c)
		}
		p.out.WriteByte('|')
	}
	p.out.WriteString(class + ")")
}

// property reads \p{name} or \P{name}.
func (p *patternWriter) property() (runeSet, error) {
	negated := p.in[p.at+1] == 'P'
	end := strings.IndexByte(p.in[p.at:], '}')
	if p.at+2 >= len(p.in) || p.in[p.at+2] != '{' || end < 0 {
		return nil, errors.New("Invalid property name")
	}
	set, err := propertySet(p.in[p.at+3 : p.at+end])
	p.at += end + 1
	if negated {
		set = set.complement()
	}
	return set, err
}

// plainClass copies a class of an expression with the flag u.
func (p *patternWriter) plainClass() error {
	for p.at < len(p.in) {
		switch c := p.in[p.at]; {
		case c == '\\' && p.at+1 < len(p.in) && p.in[p.at+1]|0x20 == 'p':
			set, err := p.property()
			if err != nil {
				return err
			}
			p.out.WriteString(set.class())
		case c == '\\' && p.at+1 < len(p.in):
			p.out.WriteString(p.in[p.at : p.at+2])
			p.at += 2
		default:
			p.out.WriteByte(c)
			p.at++
			if c == ']' {
				return nil
			}
		}
	}
	return nil // unterminated, which the engine says
}

const classDepth = 100

// class reads a class of an expression with the flag v: a union, an intersection (&&) or a difference (--) of operands
// (https://tc39.es/ecma262/#prod-ClassContents).
func (p *patternWriter) class() (set runeSet, strs []string, err error) {
	if p.depth++; p.depth > classDepth {
		return nil, nil, errors.New("character classes are nested too deeply")
	}
	defer func() { p.depth-- }()
	p.at++ // [
	negated := p.take("^")
	op := byte(0)
	for first := true; ; first = false {
		if p.at >= len(p.in) {
			return nil, nil, errors.New("Unterminated character class")
		}
		if p.take("]") {
			break
		}
		if !first && (p.take("&&") || p.take("--")) {
			op = p.in[p.at-1]
		} else if op != 0 {
			return nil, nil, errors.New("Invalid set operation in character class")
		}
		s, more, err := p.operand()
		if err != nil {
			return nil, nil, err
		}
		switch op {
		case '&':
			set, strs = set.intersect(s), keepStrings(strs, more, true)
		case '-':
			set, strs = set.subtract(s), keepStrings(strs, more, false)
		default:
			set, strs = set.union(s), append(strs, more...)
		}
	}
	if negated {
		if len(strs) > 0 {
			return nil, nil, errors.New("Negated character class may contain strings")
		}
		if p.ignoreCase {
			set = set.foldedCase()
		}
		set = set.complement()
	}
	longestFirst(strs)
	return set, strs, nil
}

func (p *patternWriter) take(s string) bool {
	if strings.HasPrefix(p.in[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

func keepStrings(strs, others []string, in bool) (kept []string) {
	for _, s := range strs {
		found := false
		for _, o := range others {
			found = found || s == o
		}
		if found == in {
			kept = append(kept, s)
		}
	}
	return kept
}

func longestFirst(strs []string) {
	for i := 1; i < len(strs); i++ {
		for j := i; j > 0 && len(strs[j]) > len(strs[j-1]); j-- {
			strs[j], strs[j-1] = strs[j-1], strs[j]
		}
	}
}

// operand reads a nested class, an escape that stands for many, or a character or range of characters.
func (p *patternWriter) operand() (runeSet, []string, error) {
	rest := p.in[p.at:]
	if rest == "" {
		return nil, nil, errors.New("Unterminated character class")
	}
	if rest[0] == '[' {
		return p.class()
	}
	if rest[0] == '\\' && len(rest) > 1 {
		switch rest[1] {
		case 'p', 'P':
			set, err := p.property()
			return set, nil, err
		case 'q':
			return p.alternatives()
		case 'd', 'D', 'w', 'W', 's', 'S':
			p.at += 2
			return escapedSet(rest[1]), nil, nil
		}
	}
	first, err := p.char()
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(p.in[p.at:], "-") && !strings.HasPrefix(p.in[p.at:], "--") {
		p.at++
		if p.at >= len(p.in) {
			return nil, nil, errors.New("Unterminated character class")
		}
		last, err := p.char()
		if err != nil {
			return nil, nil, err
		}
		if last < first {
			return nil, nil, errors.New("Range out of order in character class")
		}
		return rangeSet(first, last), nil, nil
	}
	return rangeSet(first, first), nil, nil
}

// escapedSet is what \d, \w, \s and their opposites stand for.
func escapedSet(c byte) runeSet {
	var set runeSet
	switch c | 0x20 {
	case 'd':
		set = rangeSet('0', '9')
	case 'w':
		set = runeSet{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	default:
		set = runeSet{'\t', '\r', ' ', ' '}.union(tableSet(unicode.Zs)).union(runeSet{0x2028, 0x2029, 0xfeff, 0xfeff})
	}
	if c < 'a' {
		return set.complement()
	}
	return set
}

// alternatives reads \q{a|bc}.
func (p *patternWriter) alternatives() (set runeSet, strs []string, err error) {
	if p.at += 2; !p.take("{") {
		return nil, nil, errors.New("Invalid escape")
	}
	var s []rune
	end := func() {
		if len(s) == 1 {
			set = set.union(rangeSet(s[0], s[0]))
		} else {
			strs = append(strs, string(s))
		}
		s = nil
	}
	for p.at < len(p.in) {
		switch {
		case p.take("}"):
			end()
			return set, strs, nil
		case p.take("|"):
			end()
			continue
		}
		c, err := p.char()
		if err != nil {
			return nil, nil, err
		}
		s = append(s, c)
	}
	return nil, nil, errors.New("Invalid escape")
}

// char reads one character, which may be escaped.
func (p *patternWriter) char() (rune, error) {
	c, n := utf8.DecodeRuneInString(p.in[p.at:])
	p.at += n
	if c != '\\' {
		if strings.ContainsRune("()[]{}/-|", c) {
			return 0, errors.New("Invalid character in character class")
		}
		return c, nil
	}
	if p.at >= len(p.in) {
		return 0, errors.New(`\ at end of pattern`)
	}
	c, n = utf8.DecodeRuneInString(p.in[p.at:])
	p.at += n
	hex := func(digits string) (rune, error) {
		v, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || v > unicode.MaxRune {
			return 0, errors.New("Invalid Unicode escape")
		}
		p.at += len(digits)
		return rune(v), nil
	}
	rest := p.in[p.at:]
	if i := strings.IndexRune("nrtvfb0", c); i >= 0 {
		return rune("\n\r\t\v\f\b\x00"[i]), nil
	}
	switch {
	case c == 'x' && len(rest) >= 2:
		return hex(rest[:2])
	case c == 'u' && strings.HasPrefix(rest, "{"):
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return 0, errors.New("Invalid Unicode escape")
		}
		p.at++
		v, err := hex(rest[1:end])
		p.at++
		return v, err
	case c == 'u' && len(rest) >= 4:
		return hex(rest[:4])
	case c == 'c' && rest != "" && isAlpha(rest[0]):
		p.at++
		return rune(rest[0] & 31), nil
	case c < 0x80 && (isAlpha(byte(c)) || isDigit(byte(c))):
		return 0, errors.New("Invalid escape")
	}
	return c, nil
}

// foldedCase adds what differs in case only.
func (s runeSet) foldedCase() runeSet {
	var more runeSet
	for i := 0; i < len(s); i += 2 {
		for c := s[i]; c <= s[i+1] && c < 0x20000; c++ {
			for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
				more = append(more, f, f)
			}
		}
	}
	return s.union(more)
}
