package htmlrewriter

import (
	"fmt"
	"strconv"
	"strings"
)

// Selector chooses elements: the subset of CSS that can be decided while a document streams by. The zero Selector matches
// nothing.
type Selector struct{ list []complex }

// complex is compound selectors joined by combinators, the last one first.
type complex []step

// step is a compound selector, and how the one after it in the list is found from its element.
type step struct {
	compound
	child bool // the next step must match the parent, not just any ancestor
}

// compound is what one element must fulfil.
type compound []condition

type condition func(e *node) bool

// ParseSelector reads a list of selectors made of type, universal, class, id and attribute selectors, :nth-child,
// :first-child, :nth-of-type, :first-of-type and :not, joined by the descendant and the child combinator. Anything else is
// an error that names it.
func ParseSelector(text string) (Selector, error) {
	p := &parser{in: text}
	var s Selector
	for {
		c, err := p.complex()
		if err != nil {
			return Selector{}, fmt.Errorf("selector %q: %w", text, err)
		}
		s.list = append(s.list, c)
		if p.done() {
			return s, nil
		}
		p.at++ // complex ends before a comma
	}
}

// match says whether the selector chooses the innermost element of a stack.
func (s Selector) match(stack []*node) bool {
	for _, c := range s.list {
		if c.match(stack) {
			return true
		}
	}
	return false
}

func (c complex) match(stack []*node) bool {
	last := len(stack) - 1
	if last < 0 || !c[0].match(stack[last]) {
		return false
	}
	if len(c) == 1 {
		return true
	}
	if c[0].child {
		return c[1:].match(stack[:last])
	}
	for n := last; n > 0; n-- {
		if c[1:].match(stack[:n]) {
			return true
		}
	}
	return false
}

func (c compound) match(e *node) bool {
	for _, cond := range c {
		if !cond(e) {
			return false
		}
	}
	return true
}

// parser reads a selector.
type parser struct {
	in string
	at int
}

func (p *parser) done() bool { return p.at >= len(p.in) }

func (p *parser) peek() byte {
	if p.done() {
		return 0
	}
	return p.in[p.at]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func (p *parser) space() (seen bool) {
	for !p.done() && isSpace(p.in[p.at]) {
		p.at++
		seen = true
	}
	return seen
}

// complex reads up to a comma or the end.
func (p *parser) complex() (complex, error) {
	p.space()
	var steps complex
	child := false
	for {
		c, err := p.compound()
		if err != nil {
			return nil, err
		}
		steps = append(complex{{compound: c, child: child}}, steps...)
		spaced := p.space()
		switch c := p.peek(); {
		case p.done(), c == ',':
			return steps, nil
		case c == '>':
			p.at++
			p.space()
			child = true
		case c == '+' || c == '~':
			return nil, fmt.Errorf("the combinator %q is not supported: it can't be decided while the document streams by", c)
		case spaced:
			child = false
		default:
			return nil, fmt.Errorf("%q is not expected at %d", c, p.at)
		}
	}
}

func (p *parser) compound() (compound, error) {
	var list compound
	for first := true; ; first = false {
		switch c := p.peek(); {
		case c == '*' && first:
			p.at++
			list = append(list, func(*node) bool { return true })
		case c == '.':
			p.at++
			name, err := p.name("a class")
			if err != nil {
				return nil, err
			}
			list = append(list, func(e *node) bool { v, ok := e.attribute("class"); return hasWord(v, ok, name) })
		case c == '#':
			p.at++
			name, err := p.name("an id")
			if err != nil {
				return nil, err
			}
			list = append(list, func(e *node) bool {
				v, ok := e.attribute("id")
				return ok && v == name
			})
		case c == '[':
			cond, err := p.attribute()
			if err != nil {
				return nil, err
			}
			list = append(list, cond)
		case c == ':':
			cond, err := p.pseudo()
			if err != nil {
				return nil, err
			}
			list = append(list, cond)
		case first && isNameByte(c):
			name, err := p.name("an element")
			if err != nil {
				return nil, err
			}
			name = strings.ToLower(name)
			list = append(list, func(e *node) bool { return e.name == name })
		case first:
			if p.done() {
				return nil, fmt.Errorf("a selector is missing at its end")
			}
			return nil, fmt.Errorf("%q is not expected at %d", c, p.at)
		default:
			return list, nil
		}
	}
}

func isNameByte(c byte) bool {
	return c == '-' || c == '_' || c == '\\' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// name reads an identifier (https://www.w3.org/TR/css-syntax-3/#consume-name), with escaped characters as they are.
func (p *parser) name(what string) (string, error) {
	var b strings.Builder
	for !p.done() && isNameByte(p.in[p.at]) {
		if p.in[p.at] == '\\' {
			p.at++
			if p.done() {
				break
			}
		}
		b.WriteByte(p.in[p.at])
		p.at++
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("the name of %s is missing at %d", what, p.at)
	}
	return b.String(), nil
}

func (p *parser) expect(c byte) error {
	p.space()
	if p.peek() != c {
		return fmt.Errorf("%q is expected at %d", c, p.at)
	}
	p.at++
	return nil
}

// attribute reads [name], or [name op value flag].
func (p *parser) attribute() (condition, error) {
	p.at++
	p.space()
	name, err := p.name("an attribute")
	if err != nil {
		return nil, err
	}
	name = strings.ToLower(name)
	p.space()
	if p.peek() == ']' {
		p.at++
		return func(e *node) bool { _, ok := e.attribute(name); return ok }, nil
	}
	op := byte('=')
	if c := p.peek(); strings.IndexByte("~^$*|", c) >= 0 && c != 0 {
		op = c
		p.at++
	}
	if err := p.expect('='); err != nil {
		return nil, err
	}
	p.space()
	want, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	fold := false
	switch p.peek() {
	case 'i', 'I':
		fold = true
		p.at++
	case 's', 'S':
		p.at++
	}
	if err := p.expect(']'); err != nil {
		return nil, err
	}
	if fold {
		want = strings.ToLower(want)
	}
	compare := comparison(op, want)
	return func(e *node) bool {
		v, ok := e.attribute(name)
		if fold {
			v = strings.ToLower(v)
		}
		return ok && compare(v)
	}, nil
}

func comparison(op byte, want string) func(string) bool {
	switch op {
	case '~':
		return func(v string) bool { return hasWord(v, true, want) }
	case '^':
		return func(v string) bool { return want != "" && strings.HasPrefix(v, want) }
	case '$':
		return func(v string) bool { return want != "" && strings.HasSuffix(v, want) }
	case '*':
		return func(v string) bool { return want != "" && strings.Contains(v, want) }
	case '|':
		return func(v string) bool { return v == want || strings.HasPrefix(v, want+"-") }
	}
	return func(v string) bool { return v == want }
}

// value reads a quoted string or a name.
func (p *parser) value() (string, error) {
	q := p.peek()
	if q != '"' && q != '\'' {
		return p.name("a value")
	}
	p.at++
	var b strings.Builder
	for !p.done() && p.in[p.at] != q {
		if p.in[p.at] == '\\' && p.at+1 < len(p.in) {
			p.at++
		}
		b.WriteByte(p.in[p.at])
		p.at++
	}
	if p.done() {
		return "", fmt.Errorf("a quoted value does not end")
	}
	p.at++
	return b.String(), nil
}

// pseudo reads a pseudo-class.
func (p *parser) pseudo() (condition, error) {
	p.at++
	if p.peek() == ':' {
		return nil, fmt.Errorf("pseudo-elements are not supported")
	}
	name, err := p.name("a pseudo-class")
	if err != nil {
		return nil, err
	}
	switch name = strings.ToLower(name); name {
	case "first-child":
		return func(e *node) bool { return e.index == 1 }, nil
	case "first-of-type":
		return func(e *node) bool { return e.typeIndex == 1 }, nil
	case "nth-child", "nth-of-type":
		a, b, err := p.nth()
		if err != nil {
			return nil, err
		}
		if name == "nth-child" {
			return func(e *node) bool { return isNth(e.index, a, b) }, nil
		}
		return func(e *node) bool { return isNth(e.typeIndex, a, b) }, nil
	case "not":
		if err := p.expect('('); err != nil {
			return nil, err
		}
		p.space()
		inner, err := p.compound()
		if err != nil {
			return nil, err
		}
		if err := p.expect(')'); err != nil {
			return nil, err
		}
		return func(e *node) bool { return !inner.match(e) }, nil
	}
	return nil, fmt.Errorf("the pseudo-class :%s is not supported", name)
}

// nth reads (an+b), (odd) or (even) (https://www.w3.org/TR/css-syntax-3/#anb-microsyntax).
func (p *parser) nth() (a, b int, err error) {
	if err := p.expect('('); err != nil {
		return 0, 0, err
	}
	end := strings.IndexByte(p.in[p.at:], ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("%q is expected at %d", ')', len(p.in))
	}
	text := strings.ToLower(strings.Join(strings.Fields(p.in[p.at:p.at+end]), ""))
	p.at += end + 1
	switch text {
	case "odd":
		return 2, 1, nil
	case "even":
		return 2, 0, nil
	}
	before, after, stepped := strings.Cut(text, "n")
	if !stepped {
		b, err = strconv.Atoi(text)
	} else {
		switch before {
		case "", "+":
			a = 1
		case "-":
			a = -1
		default:
			a, err = strconv.Atoi(before)
		}
		if err == nil && after != "" {
			b, err = strconv.Atoi(after)
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%q is not of the form an+b", text)
	}
	return a, b, nil
}

// isNth says whether index is a*n+b for an n of at least 0.
func isNth(index, a, b int) bool {
	if a == 0 {
		return index == b
	}
	return (index-b)%a == 0 && (index-b)/a >= 0
}

// hasWord says whether a list of words, as an attribute holds it, has the word.
func hasWord(list string, ok bool, word string) bool {
	if !ok || word == "" {
		return false
	}
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
