package agentruntime

import (
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"github.com/clipperhouse/uax29/v2/sentences"
	"github.com/clipperhouse/uax29/v2/words"
	"github.com/dop251/goja"
)

// segmenter is the state of an Intl.Segmenter: the boundaries are those of Unicode's UAX #29, without regard to language.
type segmenter struct{ locale, granularity string }

// segments is the state of what segment returns.
type segments struct {
	of    *segmenter
	text  string
	input goja.Value
	at    []int // where each segment begins, in UTF-16 units, and the end
	parts []string
}

func (s *segmenter) segment(text string, input goja.Value) *segments {
	found := &segments{of: s, text: text, input: input}
	type iterator interface {
		Next() bool
		Value() string
	}
	var it iterator
	switch s.granularity {
	case "word":
		it = words.FromString(text)
	case "sentence":
		it = sentences.FromString(text)
	default:
		it = graphemes.FromString(text)
	}
	units := 0
	for it.Next() {
		part := it.Value()
		found.at = append(found.at, units)
		found.parts = append(found.parts, part)
		for _, c := range part {
			units += utf16.RuneLen(c)
		}
	}
	found.at = append(found.at, units)
	return found
}

func (s *segments) value(r *realm, i int) goja.Value {
	o := r.rt.NewObject()
	_ = o.Set("segment", s.parts[i])
	_ = o.Set("index", s.at[i])
	_ = o.Set("input", s.input)
	if s.of.granularity == "word" {
		_ = o.Set("isWordLike", strings.ContainsFunc(s.parts[i], func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }))
	}
	return o
}

func init() {
	declareIntl("Segmenter", append(append([]string{}, ruleLocales...), numberLocaleNames...), func(_ *realm, locale string, o *intlOptions) any {
		return &segmenter{locale, o.text("granularity", "grapheme", "grapheme", "word", "sentence")}
	},
		member{name: "segment", length: 1, call: method(func(r *realm, s *segmenter, call goja.FunctionCall) goja.Value {
			text := r.str(call.Argument(0))
			return r.instance("Intl.Segments", s.segment(text, r.rt.ToValue(text)))
		})},
		member{name: "resolvedOptions", call: method(func(r *realm, s *segmenter, _ goja.FunctionCall) goja.Value {
			return r.resolvedObject("locale", s.locale, "granularity", s.granularity)
		})},
	)
	c := &webClass{name: "Intl.Segments", iterator: "values", members: []member{
		{name: "containing", call: method(func(r *realm, s *segments, call goja.FunctionCall) goja.Value {
			n := int(call.Argument(0).ToInteger())
			for i := range s.parts {
				if n >= s.at[i] && n < s.at[i+1] {
					return s.value(r, i)
				}
			}
			return goja.Undefined()
		})},
		{name: "values", call: method(func(r *realm, s *segments, _ goja.FunctionCall) goja.Value {
			next := 0
			it := r.rt.CreateObject(r.iteratorPrototype())
			_ = it.Set("next", r.function("next", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
				res := r.rt.NewObject()
				_ = res.Set("value", goja.Undefined())
				if next < len(s.parts) {
					_ = res.Set("value", s.value(r, next))
					next++
					_ = res.Set("done", false)
				} else {
					_ = res.Set("done", true)
				}
				return res
			}))
			return it
		})},
	}}
	webClasses[c.name] = &madeClass{webClass: c, proto: tableOf(c.members), static: tableOf(c.statics)}
}
