package agentruntime

import (
	"math"
	"strconv"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/text/collate"
	pluralform "golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// textLocales are the locales of lists and relative times, which are written in English.
var textLocales = []string{"en-US", "en", "en-GB", "en-CA", "en-AU"}

// ruleLocales are the locales of collation and plural rules, whose data golang.org/x/text has.
var ruleLocales = []string{
	"en-US", "en", "en-GB", "ar", "cs", "da", "de", "el", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nb", "nl", "pl", "pt", "pt-BR", "pt-PT",
	"ro", "ru", "sk", "sv", "th", "tr", "uk", "vi", "zh",
}

// collator is the state of an Intl.Collator.
type collator struct {
	locale, usage, sensitivity string
	numeric                    bool
	by                         *collate.Collator
	bound                      *goja.Object
}

func (r *realm) newCollator(locale string, o *intlOptions) *collator {
	c := &collator{locale: locale}
	c.usage = o.text("usage", "sort", "sort", "search")
	c.sensitivity = o.text("sensitivity", "variant", "base", "accent", "case", "variant")
	o.refuse(map[string]string{"ignorePunctuation": "false", "caseFirst": "false", "collation": "default"})
	if v := optional(o.dict, "numeric"); v != nil {
		c.numeric = v.ToBoolean()
	}
	var opts []collate.Option
	switch c.sensitivity {
	case "base":
		opts = append(opts, collate.IgnoreCase, collate.IgnoreDiacritics)
	case "accent":
		opts = append(opts, collate.IgnoreCase)
	case "case":
		opts = append(opts, collate.IgnoreDiacritics)
	}
	if c.numeric {
		opts = append(opts, collate.Numeric)
	}
	c.by = collate.New(language.Make(locale), opts...)
	return c
}

// pluralRules is the state of an Intl.PluralRules.
type pluralRules struct {
	format *numberFormat
	rules  *pluralform.Rules
	tag    language.Tag
	kind   string
}

var pluralNames = map[pluralform.Form]string{pluralform.Other: "other", pluralform.Zero: "zero", pluralform.One: "one", pluralform.Two: "two", pluralform.Few: "few", pluralform.Many: "many"}

func (r *realm) newPluralRules(locale string, o *intlOptions) *pluralRules {
	p := &pluralRules{tag: language.Make(locale), kind: o.text("type", "cardinal", "cardinal", "ordinal")}
	p.rules = pluralform.Cardinal
	if p.kind == "ordinal" {
		p.rules = pluralform.Ordinal
	}
	p.format = &numberFormat{locale: locale, by: numberLocales["en"], style: "decimal", notation: "standard", grouping: "false", opts: o}
	p.format.readDigits()
	return p
}

// form is the plural form of a number as it is shown (https://unicode.org/reports/tr35/tr35-numbers.html#Operands).
func (p *pluralRules) form(text string) string {
	if strings.HasSuffix(text, "NaN") || strings.HasSuffix(text, "Infinity") {
		return "other"
	}
	shown, _ := p.format.digits(parseDecimal(strings.TrimPrefix(text, "-")))
	whole, fraction, _ := strings.Cut(joinParts(shown), ".")
	trimmed := strings.TrimRight(fraction, "0")
	n := func(s string) int {
		i, _ := strconv.Atoi(s[max(0, len(s)-9):]) // no rule looks further
		return i
	}
	return pluralNames[p.rules.MatchPlural(p.tag, n(whole), len(fraction), len(trimmed), n(fraction), n(trimmed))]
}

// listFormat is the state of an Intl.ListFormat.
type listFormat struct{ locale, kind, style string }

func (f *listFormat) parts(items []string) []intlPart {
	word := map[string]string{"conjunction": "and", "disjunction": "or", "unit": ""}[f.kind]
	if f.kind == "conjunction" && f.style != "long" {
		word = map[string]string{"short": "&", "narrow": ""}[f.style]
	}
	comma := ", "
	if f.kind == "unit" && f.style == "narrow" {
		comma = " "
	}
	oxford := f.locale == "en-US" || f.locale == "en" || f.locale == "en-CA"
	var parts []intlPart
	for i, item := range items {
		switch {
		case i == 0:
		case i < len(items)-1 || word == "":
			parts = append(parts, intlPart{"literal", comma})
		case len(items) == 2 || !oxford:
			parts = append(parts, intlPart{"literal", " " + word + " "})
		default:
			parts = append(parts, intlPart{"literal", ", " + word + " "})
		}
		parts = append(parts, intlPart{"element", item})
	}
	return parts
}

// relativeFormat is the state of an Intl.RelativeTimeFormat.
type relativeFormat struct {
	locale, style string
	auto          bool
	number        *numberFormat
}

// relativeUnits are the units with their short and narrow forms; the short plural is the singular unless it is given.
var relativeUnits = map[string][3]string{
	"second": {"sec.", "", "s"}, "minute": {"min.", "", "m"}, "hour": {"hr.", "", "h"}, "day": {"day", "days", "d"},
	"week": {"wk.", "", "w"}, "month": {"mo.", "", "mo"}, "quarter": {"qtr.", "qtrs.", "q"}, "year": {"yr.", "", "y"},
}

func (f *relativeFormat) parts(r *realm, value goja.Value, unit string) (parts []intlPart, singular string) {
	singular = strings.TrimSuffix(unit, "s")
	forms, ok := relativeUnits[singular]
	if !ok {
		panic(r.newError("RangeError", "Invalid unit argument for format() '"+unit+"'"))
	}
	n := value.ToNumber().ToFloat()
	if math.IsNaN(n) || math.IsInf(n, 0) {
		panic(r.newError("RangeError", "Invalid time value"))
	}
	if f.auto {
		if text := relativeWord(n, singular); text != "" {
			return []intlPart{{"literal", text}}, singular
		}
	}
	past := math.Signbit(n)
	number := f.number.parts(strconv.FormatFloat(math.Abs(n), 'e', -1, 64))
	one := math.Abs(n) == 1
	text := singular
	if !one {
		text += "s"
	}
	gap := " "
	switch f.style {
	case "short":
		if text = forms[0]; !one && forms[1] != "" {
			text = forms[1]
		}
	case "narrow":
		text, gap = forms[2], ""
	}
	if past {
		return append(number, intlPart{"literal", gap + text + " ago"}), singular
	}
	return append(append([]intlPart{{"literal", "in "}}, number...), intlPart{"literal", gap + text}), singular
}

// relativeWord is what English says in place of a number.
func relativeWord(n float64, unit string) string {
	switch {
	case unit == "second":
		if n == 0 {
			return "now"
		}
		return ""
	case unit == "day":
		return map[float64]string{-1: "yesterday", 0: "today", 1: "tomorrow"}[n]
	case n == 0:
		return "this " + unit
	case unit == "minute" || unit == "hour":
		return ""
	}
	return map[float64]string{-1: "last " + unit, 1: "next " + unit}[n]
}

func init() {
	declareIntl("Collator", ruleLocales, func(r *realm, locale string, o *intlOptions) any { return r.newCollator(locale, o) },
		bound("compare", 2, func(c *collator) *goja.Object { return c.bound }, func(c *collator, fn *goja.Object) { c.bound = fn },
			func(r *realm, c *collator, call goja.FunctionCall) goja.Value {
				return r.rt.ToValue(c.by.CompareString(r.str(call.Argument(0)), r.str(call.Argument(1))))
			}),
		member{name: "resolvedOptions", call: method(func(r *realm, c *collator, _ goja.FunctionCall) goja.Value {
			return r.resolvedObject("locale", c.locale, "usage", c.usage, "sensitivity", c.sensitivity, "ignorePunctuation", false, "collation", "default", "numeric", c.numeric, "caseFirst", "false")
		})},
	)
	declareIntl("PluralRules", ruleLocales, func(r *realm, locale string, o *intlOptions) any { return r.newPluralRules(locale, o) },
		member{name: "select", length: 1, call: method(func(r *realm, p *pluralRules, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(p.form(r.numericText(call.Argument(0))))
		})},
		member{name: "resolvedOptions", call: method(func(r *realm, p *pluralRules, _ goja.FunctionCall) goja.Value {
			categories := map[string]bool{}
			for n := range 200 {
				categories[p.form(strconv.Itoa(n))] = true
			}
			for _, text := range []string{"1.5", "1000000", "0.1"} {
				categories[p.form(text)] = true
			}
			var names []string
			for _, name := range []string{"few", "many", "one", "two", "zero", "other"} {
				if categories[name] {
					names = append(names, name)
				}
			}
			return r.resolvedObject("locale", p.format.locale, "type", p.kind, "minimumIntegerDigits", p.format.minInteger, "minimumFractionDigits", p.format.minFraction,
				"maximumFractionDigits", p.format.maxFraction, "pluralCategories", r.stringArray(names))
		})},
	)
	declareIntl("ListFormat", textLocales, func(_ *realm, locale string, o *intlOptions) any {
		return &listFormat{locale, o.text("type", "conjunction", "conjunction", "disjunction", "unit"), o.text("style", "long", "long", "short", "narrow")}
	}, func() []member {
		items := func(r *realm, v goja.Value) (list []string) {
			if given(v) {
				r.rt.ForOf(v, func(item goja.Value) bool {
					s, ok := item.(goja.String)
					if !ok {
						panic(r.typeError("Iterable yielded " + describe(item) + " which is not a string"))
					}
					list = append(list, s.String())
					return true
				})
			}
			return list
		}
		return []member{
			{name: "format", length: 1, call: method(func(r *realm, f *listFormat, call goja.FunctionCall) goja.Value {
				return r.rt.ToValue(joinParts(f.parts(items(r, call.Argument(0)))))
			})},
			{name: "formatToParts", length: 1, call: method(func(r *realm, f *listFormat, call goja.FunctionCall) goja.Value {
				return r.partsValue(f.parts(items(r, call.Argument(0))))
			})},
			{name: "resolvedOptions", call: method(func(r *realm, f *listFormat, _ goja.FunctionCall) goja.Value {
				return r.resolvedObject("locale", f.locale, "type", f.kind, "style", f.style)
			})},
		}
	}()...)
	declareIntl("RelativeTimeFormat", textLocales, func(r *realm, locale string, o *intlOptions) any {
		o.refuse(map[string]string{"numberingSystem": "latn"})
		f := &relativeFormat{locale: locale, style: o.text("style", "long", "long", "short", "narrow"), auto: o.text("numeric", "always", "always", "auto") == "auto"}
		f.number = r.newNumberFormat(locale, &intlOptions{r: r, what: "Intl.RelativeTimeFormat"})
		return f
	},
		member{name: "format", length: 2, call: method(func(r *realm, f *relativeFormat, call goja.FunctionCall) goja.Value {
			parts, _ := f.parts(r, call.Argument(0), r.str(call.Argument(1)))
			return r.rt.ToValue(joinParts(parts))
		})},
		member{name: "formatToParts", length: 2, call: method(func(r *realm, f *relativeFormat, call goja.FunctionCall) goja.Value {
			parts, unit := f.parts(r, call.Argument(0), r.str(call.Argument(1)))
			return r.partsValue(parts, "unit", unit)
		})},
		member{name: "resolvedOptions", call: method(func(r *realm, f *relativeFormat, _ goja.FunctionCall) goja.Value {
			return r.resolvedObject("locale", f.locale, "style", f.style, "numeric", map[bool]string{true: "auto", false: "always"}[f.auto], "numberingSystem", "latn")
		})},
	)
	supplies = append(supplies, &supply{text: "localeCompare", put: func(r *realm) {
		native, _ := goja.AssertFunction(r.builtin("String.prototype").Get("localeCompare"))
		r.putMember("String.prototype", "localeCompare", r.function("localeCompare", 1, func(r *realm, call goja.FunctionCall) goja.Value {
			if !given(call.Argument(1)) && !given(call.Argument(2)) {
				return r.callNative(native, call.This, call.Arguments...)
			}
			const full = "Intl.Collator"
			c := r.newCollator(r.locale(call.Argument(1), ruleLocales, full), r.intlOptions(call.Argument(2), full))
			return r.rt.ToValue(c.by.CompareString(r.receiverString(call.This, "localeCompare").String(), r.str(call.Argument(0))))
		}))
	}})

}
