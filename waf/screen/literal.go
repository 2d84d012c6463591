package screen

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Bounds of what is worked out of a regular expression.
const (
	maxExact   = 512 // strings that a part may be exactly, and that join with the next part's
	maxClass   = 40  // characters of a class that are told apart
	maxTimes   = 4   // repetitions that are written out
	maxLiteral = 8   // bytes of a string that are looked for
)

// need is what a value must hold to match: one of these strings, in lower case. Never nil for a need; "" is in everything.
type need []string

// need works out what a value of the tier must hold for re to match it, noise left out. If no is set, none can match.
func (t tier) need(re *syntax.Regexp) (n need, no bool) {
	p := t.part(re)
	if p.no {
		return nil, true
	}
	return p.need(), false
}

// part is what is known of a part of a regular expression: either exactly what it can be, or what it must hold.
type part struct {
	no    bool // it matches nothing
	exact need // nil: not known
	must  need // nil: not known; only where exact is nil
}

var empty = part{exact: need{""}}

func (p part) need() need {
	if p.exact != nil {
		return p.exact
	}
	if p.must != nil {
		return p.must
	}
	return need{""}
}

func (t tier) part(re *syntax.Regexp) part {
	switch re.Op {
	case syntax.OpNoMatch:
		return part{no: true}
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return empty
	case syntax.OpLiteral:
		return t.literal(re.Rune)
	case syntax.OpCharClass:
		return t.class(re.Rune)
	case syntax.OpCapture:
		return t.part(re.Sub[0])
	case syntax.OpQuest:
		p := t.part(re.Sub[0])
		if p.no {
			return empty
		}
		if p.exact != nil {
			return part{exact: union(p.exact, need{""})}
		}
		return part{}
	case syntax.OpStar:
		return t.repeat(re.Sub[0], 0, -1)
	case syntax.OpPlus:
		return t.repeat(re.Sub[0], 1, -1)
	case syntax.OpRepeat:
		return t.repeat(re.Sub[0], re.Min, re.Max)
	case syntax.OpConcat:
		return t.concat(re.Sub)
	case syntax.OpAlternate:
		return t.alternate(re.Sub)
	}
	return part{} // any character
}

// repeat is re between least and most times, without bound if most is negative.
func (t tier) repeat(re *syntax.Regexp, least, most int) part {
	p := t.part(re)
	switch {
	case most == 0 || p.no && least == 0 || p.exact != nil && len(p.exact) == 1 && p.exact[0] == "":
		return empty
	case p.no:
		return p
	case p.exact == nil:
		if least == 0 {
			return part{}
		}
		return part{must: p.must}
	}
	times := need{""}
	for range min(least, maxTimes) {
		if len(times)*len(p.exact) > maxExact {
			return part{must: p.exact}
		}
		times = product(times, p.exact)
	}
	if most < 0 || most > maxTimes {
		if least == 0 {
			return part{}
		}
		return part{must: times}
	}
	all := times
	for range most - least {
		if len(times)*len(p.exact) > maxExact {
			return part{must: all}
		}
		times = product(times, p.exact)
		all = union(all, times)
	}
	return part{exact: all}
}

// literal is a run of characters. In lower case it stands for what folding makes of it too.
func (t tier) literal(runes []rune) part {
	var b strings.Builder
	for _, r := range runes {
		switch {
		case r < 0x80 && groupOf[r]&t.noise != 0:
		case r < 0x80 && groupOf[r]&t.bytes != 0:
			b.WriteRune(unicode.ToLower(r))
		case t.bytes&high != 0:
			return part{} // a character past ASCII: bytes and case are not worth it
		default:
			return part{no: true}
		}
	}
	return part{exact: need{b.String()}}
}

func (t tier) class(ranges []rune) part {
	var found need
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if hi >= 0x80 && t.bytes&high != 0 {
			return part{}
		}
		for r := lo; r <= min(hi, 0x7f); r++ {
			if groupOf[r]&t.bytes == 0 {
				continue
			}
			s := string(unicode.ToLower(r))
			if groupOf[r]&t.noise != 0 {
				s = ""
			}
			if !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	switch {
	case len(found) == 0:
		return part{no: true}
	case len(found) > maxClass:
		return part{}
	}
	return part{exact: found}
}

func (t tier) concat(subs []*syntax.Regexp) part {
	var best need // of what has been closed
	run := need{""}
	whole := true
	end := func() {
		best = better(best, run)
		run, whole = need{""}, false
	}
	for _, sub := range subs {
		p := t.part(sub)
		if p.no {
			return p
		}
		if p.exact == nil {
			end()
			best = better(best, p.must)
			continue
		}
		if len(run)*len(p.exact) > maxExact {
			end()
		}
		run = product(run, p.exact)
	}
	if whole {
		return part{exact: run}
	}
	return part{must: better(best, run)}
}

func (t tier) alternate(subs []*syntax.Regexp) part {
	var all need
	exact, known, some := true, true, false
	for _, sub := range subs {
		p := t.part(sub)
		if p.no {
			continue
		}
		some = true
		exact = exact && p.exact != nil
		known = known && (p.exact != nil || p.must != nil)
		all = append(all, p.need()...)
	}
	switch {
	case !some:
		return part{no: true}
	case !known:
		return part{}
	}
	all = union(all, nil)
	if exact && len(all) <= maxExact {
		return part{exact: all}
	}
	return part{must: all}
}

func union(a, b need) need {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func product(a, b need) need {
	if len(a) == 1 && a[0] == "" {
		return b
	}
	out := make(need, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return union(out, nil)
}

// better is the one of two needs that fewer values meet, as far as that can be guessed. nil is no need.
func better(a, b need) need {
	switch {
	case a == nil:
		return b
	case b == nil || weight(a) >= weight(b):
		return a
	}
	return b
}

// common are the marks of ordinary text and of HTTP's headers.
var common = space | maskOf(".,-/=&:;()\"'+*_?")

// weight guesses how seldom a value meets a need: by the string that is met most easily, then by their number.
func weight(n need) float64 {
	least := 100.0
	for _, s := range n {
		w := 0.0
		for i := range min(len(s), maxLiteral) {
			switch {
			case groupOf[s[i]]&(letters|digits) != 0:
				w++
			case groupOf[s[i]]&common != 0:
				w += 0.5
			default:
				w += 2.5
			}
		}
		least = min(least, w)
	}
	return least - float64(len(n))/1000
}
