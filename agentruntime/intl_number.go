package agentruntime

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// numberLocale is how a language writes numbers (Unicode CLDR).
type numberLocale struct {
	decimal, group string
	least          int    // digits before the first group
	minus          string // the minus sign
	percent        string // what stands before the percent sign
	before         bool   // the currency stands before the number
	gap            string // between it and the number
	currencies     map[string]string
}

const (
	noBreak     = "\u00a0"
	narrowSpace = "\u202f"
)

var numberLocales = map[string]*numberLocale{
	"en":    {decimal: ".", group: ",", minus: "-", before: true},
	"de":    {decimal: ",", group: ".", minus: "-", percent: noBreak, gap: noBreak, currencies: map[string]string{"EUR": "€", "USD": "$", "GBP": "£"}},
	"fr":    {decimal: ",", group: narrowSpace, minus: "-", percent: noBreak, gap: noBreak, currencies: map[string]string{"EUR": "€"}},
	"es":    {decimal: ",", group: ".", least: 2, minus: "-", percent: noBreak, gap: noBreak, currencies: map[string]string{"EUR": "€"}},
	"it":    {decimal: ",", group: ".", least: 2, minus: "-", gap: noBreak, currencies: map[string]string{"EUR": "€"}},
	"pt-BR": {decimal: ",", group: ".", minus: "-", before: true, gap: noBreak, currencies: map[string]string{"EUR": "€", "BRL": "R$"}},
	"sv":    {decimal: ",", group: noBreak, minus: "\u2212", percent: noBreak, gap: noBreak, currencies: map[string]string{"EUR": "€", "SEK": "kr"}},
	"ja":    {decimal: ".", group: ",", minus: "-", before: true, currencies: map[string]string{"EUR": "€", "JPY": "￥", "USD": "$"}},
	"zh":    {decimal: ".", group: ",", minus: "-", before: true, currencies: map[string]string{"EUR": "€", "CNY": "¥"}},
}

// numberLocaleNames are the locales of numbers.
var numberLocaleNames = []string{
	"en-US", "en", "en-GB", "en-CA", "en-AU", "en-NZ", "en-IE", "de", "de-DE", "fr", "fr-FR", "es", "es-ES", "it", "it-IT", "pt-BR", "sv", "sv-SE", "ja", "ja-JP", "zh", "zh-CN",
}

func numberLocaleOf(locale string) *numberLocale {
	if l := numberLocales[locale]; l != nil {
		return l
	}
	lang, _, _ := strings.Cut(locale, "-")
	return numberLocales[lang]
}

// currencySymbols are those of English; a currency that is not among them is written by its code.
var currencySymbols = map[string]string{
	"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CNY": "CN¥", "KRW": "₩", "BRL": "R$", "CAD": "CA$", "AUD": "A$", "MXN": "MX$",
	"NZD": "NZ$", "HKD": "HK$", "ILS": "₪", "VND": "₫", "TWD": "NT$", "PHP": "₱",
}

// currencyDigits are the digits after the point of currencies that have not two (ISO 4217).
var currencyDigits = map[string]int{
	"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "UGX": 0, "XAF": 0, "XOF": 0, "XPF": 0, "PYG": 0, "RWF": 0, "GNF": 0, "DJF": 0, "KMF": 0, "VUV": 0, "BIF": 0,
	"KWD": 3, "BHD": 3, "OMR": 3, "JOD": 3, "TND": 3, "LYD": 3,
}

// numberUnits are the short and narrow signs and the long name of the units in English; a sign that begins with a space
// keeps it.
var numberUnits = map[string][3]string{
	"percent": {"%", "%", " percent"}, "celsius": {"°C", "°C", " degrees Celsius"}, "fahrenheit": {"°F", "°", " degrees Fahrenheit"},
	"byte": {" byte", "B", " byte"}, "kilobyte": {" kB", "kB", " kilobyte"}, "megabyte": {" MB", "MB", " megabyte"}, "gigabyte": {" GB", "GB", " gigabyte"},
	"terabyte": {" TB", "TB", " terabyte"}, "petabyte": {" PB", "PB", " petabyte"}, "millisecond": {" ms", "ms", " millisecond"},
	"kilometer": {" km", "km", " kilometer"}, "meter": {" m", "m", " meter"}, "centimeter": {" cm", "cm", " centimeter"}, "mile": {" mi", "mi", " mile"},
	"kilogram": {" kg", "kg", " kilogram"}, "gram": {" g", "g", " gram"}, "liter": {" L", "L", " liter"},
	"second": {" sec", "s", " second"}, "minute": {" min", "m", " minute"}, "hour": {" hr", "h", " hour"}, "day": {" day", "d", " day"},
	"week": {" wk", "w", " week"}, "month": {" mth", "m", " month"}, "year": {" yr", "y", " year"},
	"kilometer-per-hour": {" km/h", "km/h", " kilometers per hour"}, "mile-per-hour": {" mph", "mph", " miles per hour"},
}

// numberFormat is the state of an Intl.NumberFormat.
type numberFormat struct {
	locale                               string
	by                                   *numberLocale
	style, currency, currencyDisplay     string
	sign, unit, unitDisplay              string
	notation, compactDisplay, grouping   string
	accounting                           bool
	minInteger, minFraction, maxFraction int
	minSignificant, maxSignificant       int  // 0: not used
	roundCompact                         bool // to two digits, but never less than whole numbers
	opts                                 *intlOptions
	bound                                *goja.Object
}

func (r *realm) newNumberFormat(locale string, o *intlOptions) *numberFormat {
	f := &numberFormat{locale: locale, by: numberLocaleOf(locale), opts: o}
	o.refuse(map[string]string{"numberingSystem": "latn", "roundingMode": "halfExpand", "roundingIncrement": "1", "roundingPriority": "auto", "trailingZeroDisplay": "auto"})
	f.style = o.text("style", "decimal", "decimal", "percent", "currency", "unit")
	f.currency = strings.ToUpper(o.text("currency", ""))
	f.currencyDisplay = o.text("currencyDisplay", "symbol", "code", "symbol", "narrowSymbol", "name")
	f.accounting = o.text("currencySign", "standard", "standard", "accounting") == "accounting"
	f.unit = o.text("unit", "")
	f.unitDisplay = o.text("unitDisplay", "short", "short", "narrow", "long")
	f.notation = o.text("notation", "standard", "standard", "scientific", "engineering", "compact")
	f.compactDisplay = o.text("compactDisplay", "short", "short", "long")
	f.sign = o.text("signDisplay", "auto", "auto", "never", "always", "exceptZero", "negative")
	f.grouping = "auto"
	if f.notation == "compact" {
		f.grouping = "min2"
	}
	if v := optional(o.dict, "useGrouping"); v != nil {
		switch s := r.str(v); s {
		case "min2", "auto", "always":
			f.grouping = s
		case "true":
			f.grouping = "always"
		case "false", "null", "0", "":
			f.grouping = "false"
		default:
			o.fail("useGrouping", s)
		}
	}
	f.requireCurrency()
	english := strings.HasPrefix(locale, "en")
	if !english && (f.notation == "compact" || f.style == "unit") {
		o.unsupported(f.notation + " notation or style unit in " + locale)
	}
	if f.style == "unit" {
		if f.unit == "" {
			panic(r.typeError("Required unit must not be undefined"))
		}
		if _, ok := numberUnits[f.unit]; !ok {
			o.unsupported("the unit " + f.unit)
		}
	}
	f.readDigits()
	return f
}

func (f *numberFormat) requireCurrency() {
	o := f.opts
	if f.currency != "" && (len(f.currency) != 3 || strings.Trim(f.currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		panic(o.r.newError("RangeError", "Invalid currency code : "+f.currency))
	}
	if f.style != "currency" {
		return
	}
	if f.currency == "" {
		panic(o.r.typeError("Currency code is required with currency style."))
	}
	if f.currencyDisplay == "name" {
		o.unsupported("currencyDisplay name")
	}
	if f.by.currencies != nil && f.currencyDisplay != "code" && f.by.currencies[f.currency] == "" {
		o.unsupported("the sign of the currency " + f.currency + " in " + f.locale)
	}
	if f.accounting && f.by.currencies != nil {
		o.unsupported("currencySign accounting in " + f.locale)
	}
}

// readDigits is SetNumberFormatDigitOptions.
func (f *numberFormat) readDigits() {
	o := f.opts
	low, high := 0, 3
	switch {
	case f.style == "currency" && f.notation == "standard":
		low = 2
		if n, ok := currencyDigits[f.currency]; ok {
			low = n
		}
		high = low
	case f.style == "percent":
		high = 0
	}
	f.minInteger = max(o.number("minimumIntegerDigits", 1, 21), 1)
	minSig, maxSig := o.number("minimumSignificantDigits", 1, 21), o.number("maximumSignificantDigits", 1, 21)
	if minSig >= 0 || maxSig >= 0 {
		f.minSignificant, f.maxSignificant = max(minSig, 1), maxSig
		if maxSig < 0 {
			f.maxSignificant = 21
		}
		if f.minSignificant > f.maxSignificant {
			panic(o.r.newError("RangeError", "maximumSignificantDigits value is out of range."))
		}
		return
	}
	minF, maxF := o.number("minimumFractionDigits", 0, 100), o.number("maximumFractionDigits", 0, 100)
	if minF < 0 && maxF < 0 && f.notation == "compact" {
		f.roundCompact = true
		return
	}
	switch {
	case minF < 0 && maxF < 0:
		minF, maxF = low, high
	case minF < 0:
		minF = min(low, maxF)
	case maxF < 0:
		maxF = max(high, minF)
	case minF > maxF:
		panic(o.r.newError("RangeError", "maximumFractionDigits value is out of range."))
	}
	f.minFraction, f.maxFraction = minF, maxF
}

// rounded rounds a number to the digits that are shown.
func (f *numberFormat) rounded(d decimal) decimal {
	switch {
	case f.maxSignificant > 0:
		return d.round(f.maxSignificant)
	case f.roundCompact:
		return d.round(max(2, d.exp))
	}
	return d.fixed(f.maxFraction)
}

var compactPowers = []struct {
	power       int
	short, long string
}{{12, "T", "trillion"}, {9, "B", "billion"}, {6, "M", "million"}, {3, "K", "thousand"}}

// parts formats the number that text says, in the form of strconv or of a BigInt.
func (f *numberFormat) parts(text string) []intlPart {
	var number []intlPart
	d := decimal{}
	zero := false
	switch text {
	case "NaN":
		number = []intlPart{{"nan", "NaN"}}
	case "Infinity", "-Infinity":
		number = []intlPart{{"infinity", "∞"}}
		d.negative = text[0] == '-'
	default:
		d = parseDecimal(text)
		if f.style == "percent" && d.digits != "" {
			d.exp += 2
		}
		number, zero = f.digits(d)
	}
	switch f.style {
	case "percent":
		if f.by.percent != "" {
			number = append(number, intlPart{"literal", f.by.percent})
		}
		number = append(number, intlPart{"percentSign", "%"})
	case "unit":
		number = f.withUnit(number)
	}
	sign := ""
	switch {
	case f.sign == "never":
	case d.negative && !(zero && (f.sign == "exceptZero" || f.sign == "negative")):
		sign = f.by.minus
	case !d.negative && (f.sign == "always" || f.sign == "exceptZero" && !zero && text != "NaN"):
		sign = "+"
	}
	var parts []intlPart
	accounting := f.accounting && sign == f.by.minus && f.style == "currency"
	switch {
	case accounting:
		parts = append(parts, intlPart{"literal", "("})
	case sign == "+":
		parts = append(parts, intlPart{"plusSign", sign})
	case sign != "":
		parts = append(parts, intlPart{"minusSign", sign})
	}
	if f.style == "currency" {
		number = f.withCurrency(number)
	}
	parts = append(parts, number...)
	if accounting {
		parts = append(parts, intlPart{"literal", ")"})
	}
	return parts
}

func (f *numberFormat) withCurrency(number []intlPart) []intlPart {
	sign, gap := f.currency, f.by.gap
	if f.currencyDisplay != "code" {
		symbols := currencySymbols
		if f.by.currencies != nil {
			symbols = f.by.currencies
		}
		if s := symbols[f.currency]; s != "" {
			sign = s
			if f.currencyDisplay == "narrowSymbol" && f.by.currencies == nil {
				sign = strings.TrimLeft(s, "ABCDEFGHIJKLMNOPQSTUVWXYZ") // R$ is the narrow one
			}
		}
	}
	if sign == f.currency {
		gap = noBreak
	}
	between := []intlPart{}
	if gap != "" {
		between = append(between, intlPart{"literal", gap})
	}
	if f.by.before {
		return slices.Concat([]intlPart{{"currency", sign}}, between, number)
	}
	return slices.Concat(number, between, []intlPart{{"currency", sign}})
}

func (f *numberFormat) withUnit(number []intlPart) []intlPart {
	forms := numberUnits[f.unit]
	sign := forms[map[string]int{"short": 0, "narrow": 1, "long": 2}[f.unitDisplay]]
	one := joinParts(number) == "1"
	switch {
	case f.unitDisplay == "long" && !strings.Contains(f.unit, "-per-") && f.unit != "percent" && f.unit != "celsius" && f.unit != "fahrenheit" && !one,
		f.unitDisplay == "short" && !one && slices.Contains([]string{"day", "week", "month", "year"}, f.unit):
		sign += "s"
	case one && strings.Contains(f.unit, "-per-") && f.unitDisplay == "long":
		sign = strings.Replace(sign, "s per", " per", 1)
	}
	if rest, ok := strings.CutPrefix(sign, " "); ok {
		return append(number, intlPart{"literal", " "}, intlPart{"unit", rest})
	}
	kind := "unit"
	if f.unit == "percent" {
		kind = "percentSign"
	}
	return append(number, intlPart{kind, sign})
}

// digits writes a number without its sign, and says whether it is shown as zero.
func (f *numberFormat) digits(d decimal) (parts []intlPart, zero bool) {
	power, suffix := 0, ""
	switch f.notation {
	case "compact":
		for pass := 0; pass < 2; pass++ { // rounding may carry it over the next threshold
			power, suffix = 0, ""
			for _, c := range compactPowers {
				if d.digits != "" && d.exp > c.power {
					power, suffix = c.power, c.short
					if f.compactDisplay == "long" {
						suffix = c.long
					}
					break
				}
			}
			scaled := d
			scaled.exp -= power
			if scaled = f.rounded(scaled); scaled.exp <= 3 || power == 12 {
				d = scaled
				break
			}
			scaled.exp += power
			d = scaled
		}
	case "scientific", "engineering":
		if d.digits != "" {
			power = d.exp - 1
			if f.notation == "engineering" {
				power = int(math.Floor(float64(power)/3)) * 3
			}
		}
		d.exp -= power
		d = f.rounded(d)
	default:
		d = f.rounded(d)
	}
	minFraction := f.minFraction
	if f.minSignificant > 0 {
		minFraction = max(0, f.minSignificant-max(d.exp, 1))
		if d.digits != "" && d.exp <= 0 {
			minFraction = f.minSignificant - d.exp
		}
	}
	whole, fraction := d.plain(f.minInteger, minFraction)
	parts = f.grouped(whole)
	if fraction != "" {
		parts = append(parts, intlPart{"decimal", f.by.decimal}, intlPart{"fraction", fraction})
	}
	switch {
	case f.notation == "scientific" || f.notation == "engineering":
		parts = append(parts, intlPart{"exponentSeparator", "E"})
		if power < 0 {
			parts = append(parts, intlPart{"exponentMinusSign", f.by.minus})
			power = -power
		}
		parts = append(parts, intlPart{"exponentInteger", strconv.Itoa(power)})
	case suffix != "" && f.compactDisplay == "long":
		parts = append(parts, intlPart{"literal", " "}, intlPart{"compact", suffix})
	case suffix != "":
		parts = append(parts, intlPart{"compact", suffix})
	}
	return parts, d.digits == ""
}

// grouped splits the digits before the point into groups of three.
func (f *numberFormat) grouped(whole string) []intlPart {
	least := max(f.by.least, 1)
	switch f.grouping {
	case "false":
		return []intlPart{{"integer", whole}}
	case "always":
		least = 1
	case "min2":
		least = 2
	}
	if len(whole) < 3+least {
		return []intlPart{{"integer", whole}}
	}
	var parts []intlPart
	for first := (len(whole)-1)%3 + 1; whole != ""; first = 3 {
		if len(parts) > 0 {
			parts = append(parts, intlPart{"group", f.by.group})
		}
		parts = append(parts, intlPart{"integer", whole[:first]})
		whole = whole[first:]
	}
	return parts
}

// numericText is the text of a number, a BigInt or a numeric string, for parts.
func (r *realm) numericText(v goja.Value) string {
	if obj, ok := v.(*goja.Object); ok {
		v = obj.ToNumber()
	}
	if isBigInt(v) {
		return v.String()
	}
	f := v.ToNumber().ToFloat()
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

func init() {
	const full = "Intl.NumberFormat"
	declareIntl("NumberFormat", numberLocaleNames, func(r *realm, locale string, o *intlOptions) any { return r.newNumberFormat(locale, o) },
		bound("format", 1, func(f *numberFormat) *goja.Object { return f.bound }, func(f *numberFormat, fn *goja.Object) { f.bound = fn },
			func(r *realm, f *numberFormat, call goja.FunctionCall) goja.Value {
				return r.rt.ToValue(joinParts(f.parts(r.numericText(call.Argument(0)))))
			}),
		member{name: "formatToParts", length: 1, call: method(func(r *realm, f *numberFormat, call goja.FunctionCall) goja.Value {
			return r.partsValue(f.parts(r.numericText(call.Argument(0))))
		})},
		member{name: "formatRange", length: 2, call: method(func(_ *realm, f *numberFormat, _ goja.FunctionCall) goja.Value {
			f.opts.unsupported("formatRange")
			return nil
		})},
		member{name: "resolvedOptions", call: method(func(r *realm, f *numberFormat, _ goja.FunctionCall) goja.Value {
			pairs := []any{"locale", f.locale, "numberingSystem", "latn", "style", f.style}
			switch f.style {
			case "currency":
				pairs = append(pairs, "currency", f.currency, "currencyDisplay", f.currencyDisplay, "currencySign", map[bool]string{true: "accounting", false: "standard"}[f.accounting])
			case "unit":
				pairs = append(pairs, "unit", f.unit, "unitDisplay", f.unitDisplay)
			}
			pairs = append(pairs, "minimumIntegerDigits", f.minInteger)
			switch {
			case f.maxSignificant > 0:
				pairs = append(pairs, "minimumSignificantDigits", f.minSignificant, "maximumSignificantDigits", f.maxSignificant)
			default:
				pairs = append(pairs, "minimumFractionDigits", f.minFraction, "maximumFractionDigits", f.maxFraction)
			}
			var grouping any = f.grouping
			if f.grouping == "false" {
				grouping = false
			}
			pairs = append(pairs, "useGrouping", grouping, "notation", f.notation)
			if f.notation == "compact" {
				pairs = append(pairs, "compactDisplay", f.compactDisplay)
			}
			return r.resolvedObject(append(pairs, "signDisplay", f.sign, "roundingMode", "halfExpand", "roundingIncrement", 1, "trailingZeroDisplay", "auto", "roundingPriority", "auto")...)
		})},
	)
	for _, proto := range []string{"Number.prototype", "BigInt.prototype"} {
		supplyMember(proto, "toLocaleString", 0, func(r *realm, call goja.FunctionCall) goja.Value {
			this := call.This
			if obj, ok := this.(*goja.Object); ok {
				this = obj.ToNumber()
			}
			if t := this.ExportType(); t == nil || !isBigInt(this) && t.Kind().String() != "int64" && t.Kind().String() != "float64" {
				panic(r.typeError("this is not a number"))
			}
			f := r.newNumberFormat(r.locale(call.Argument(0), numberLocaleNames, full), r.intlOptions(call.Argument(1), full))
			return r.rt.ToValue(joinParts(f.parts(r.numericText(this))))
		})
	}
}
