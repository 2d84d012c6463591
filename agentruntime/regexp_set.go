package agentruntime

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// runeSet is a set of code points: the first and the last of each range, in order, without ranges that touch.
type runeSet []rune

func rangeSet(first, last rune) runeSet { return runeSet{first, last} }

// union returns what is in s or in t.
func (s runeSet) union(t runeSet) runeSet {
	all := make([][2]rune, 0, (len(s)+len(t))/2)
	for _, from := range []runeSet{s, t} {
		for i := 0; i < len(from); i += 2 {
			all = append(all, [2]rune{from[i], from[i+1]})
		}
	}
	slices.SortFunc(all, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	var out runeSet
	for _, r := range all {
		if n := len(out); n > 0 && r[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], r[1])
		} else {
			out = append(out, r[0], r[1])
		}
	}
	return out
}

// complement returns what is not in s.
func (s runeSet) complement() runeSet {
	var out runeSet
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if s[i] > next {
			out = append(out, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

func (s runeSet) intersect(t runeSet) runeSet {
	return s.complement().union(t.complement()).complement()
}

func (s runeSet) subtract(t runeSet) runeSet { return s.intersect(t.complement()) }

// class writes the set as what stands between the brackets of a character class of an expression with the flag u.
func (s runeSet) class() string {
	var b strings.Builder
	for i := 0; i < len(s); i += 2 {
		writeClassRune(&b, s[i])
		if s[i+1] > s[i] {
			b.WriteByte('-')
			writeClassRune(&b, s[i+1])
		}
	}
	return b.String()
}

func writeClassRune(b *strings.Builder, c rune) {
	switch {
	case c < 0x80 && (isDigit(byte(c)) || isAlpha(byte(c))), c >= 0xa0 && (c < 0xd800 || c > 0xf8ff) && c != 0x2028 && c != 0x2029 && c != 0xfeff:
		b.WriteRune(c)
	default:
		b.WriteString(`\u{` + strconv.FormatInt(int64(c), 16) + "}")
	}
}

func tableSet(t *unicode.RangeTable) runeSet {
	var out runeSet
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			out = append(out, lo, hi)
			return
		}
		for c := lo; c <= hi; c += stride {
			out = append(out, c, c)
		}
	}
	for _, r := range t.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range t.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return runeSet(nil).union(out)
}

// scriptCodes are the four-letter names of the commonest scripts (ISO 15924).
var scriptCodes = map[string]string{
	"Arab": "Arabic", "Armn": "Armenian", "Beng": "Bengali", "Bopo": "Bopomofo", "Cyrl": "Cyrillic", "Deva": "Devanagari", "Ethi": "Ethiopic",
	"Geor": "Georgian", "Grek": "Greek", "Gujr": "Gujarati", "Guru": "Gurmukhi", "Hang": "Hangul", "Hani": "Han", "Hebr": "Hebrew", "Hira": "Hiragana",
	"Kana": "Katakana", "Khmr": "Khmer", "Knda": "Kannada", "Laoo": "Lao", "Latn": "Latin", "Mlym": "Malayalam", "Mong": "Mongolian", "Mymr": "Myanmar",
	"Sinh": "Sinhala", "Syrc": "Syriac", "Taml": "Tamil", "Telu": "Telugu", "Thaa": "Thaana", "Thai": "Thai", "Tibt": "Tibetan",
	"Zinh": "Inherited", "Qaai": "Inherited", "Zyyy": "Common",
}

// propertyAliases are the short names of binary properties.
var propertyAliases = map[string]string{
	"Alpha": "Alphabetic", "Lower": "Lowercase", "Upper": "Uppercase", "space": "White_Space", "IDS": "ID_Start", "IDC": "ID_Continue",
	"XIDS": "XID_Start", "XIDC": "XID_Continue", "AHex": "ASCII_Hex_Digit", "Hex": "Hex_Digit", "Dia": "Diacritic", "Ideo": "Ideographic",
	"EPres": "Emoji_Presentation", "EMod": "Emoji_Modifier", "EBase": "Emoji_Modifier_Base", "EComp": "Emoji_Component", "ExtPict": "Extended_Pictographic",
	"RI": "Regional_Indicator", "VS": "Variation_Selector", "Pat_Syn": "Pattern_Syntax", "Pat_WS": "Pattern_White_Space", "QMark": "Quotation_Mark",
	"Term": "Terminal_Punctuation", "STerm": "Sentence_Terminal", "UIdeo": "Unified_Ideograph", "NChar": "Noncharacter_Code_Point", "Ext": "Extender",
	"CI": "Case_Ignorable", "Join_C": "Join_Control", "Dep": "Deprecated", "Bidi_C": "Bidi_Control", "SD": "Soft_Dotted",
}

// propertySet is the set that \p{name} stands for (https://tc39.es/ecma262/#table-binary-unicode-properties).
func propertySet(name string) (runeSet, error) {
	key, value, isPair := strings.Cut(name, "=")
	if isPair {
		switch key {
		case "General_Category", "gc":
			if s := categorySet(value); s != nil {
				return s, nil
			}
		case "Script", "sc":
			if s := scriptSet(value); s != nil {
				return s, nil
			}
		case "Script_Extensions", "scx":
			return nil, fmt.Errorf(`\p{%s} is not supported: the runtime has no script extensions; use \p{Script=%s}`, name, value)
		}
		return nil, fmt.Errorf(`Invalid property name \p{%s}`, name)
	}
	if s := categorySet(name); s != nil {
		return s, nil
	}
	if long, ok := propertyAliases[name]; ok {
		name = long
	}
	table := func(names ...string) (all runeSet) {
		for _, n := range names {
			if t := unicode.Categories[n]; t != nil {
				all = all.union(tableSet(t))
			} else {
				all = all.union(tableSet(unicode.Properties[n]))
			}
		}
		return all
	}
	idStart := func() runeSet {
		return table("L", "Nl", "Other_ID_Start").subtract(table("Pattern_Syntax", "Pattern_White_Space"))
	}
	idContinue := func() runeSet {
		return idStart().union(table("Mn", "Mc", "Nd", "Pc", "Other_ID_Continue")).subtract(table("Pattern_Syntax", "Pattern_White_Space"))
	}
	switch name {
	case "Any":
		return rangeSet(0, unicode.MaxRune), nil
	case "ASCII":
		return rangeSet(0, 0x7f), nil
	case "Assigned":
		return table("Cn").complement(), nil
	case "Alphabetic":
		return table("L", "Nl", "Other_Alphabetic"), nil
	case "Uppercase":
		return table("Lu", "Other_Uppercase"), nil
	case "Lowercase":
		return table("Ll", "Other_Lowercase"), nil
	case "Cased":
		return table("Lu", "Ll", "Lt", "Other_Uppercase", "Other_Lowercase"), nil
	case "Math":
		return table("Sm", "Other_Math"), nil
	case "ID_Start", "XID_Start":
		return idStart(), nil
	case "ID_Continue", "XID_Continue":
		return idContinue(), nil
	case "Default_Ignorable_Code_Point", "DI":
		return table("Other_Default_Ignorable_Code_Point", "Cf", "Variation_Selector").subtract(table("White_Space", "Prepended_Concatenation_Mark").union(rangeSet(0xfff9, 0xfffb)).union(rangeSet(0x13430, 0x1345f))), nil
	case "Grapheme_Extend", "Gr_Ext":
		return table("Me", "Mn", "Other_Grapheme_Extend"), nil
	}
	if text, ok := emojiRanges[name]; ok {
		return parseRanges(text), nil
	}
	if t := unicode.Properties[name]; t != nil && !strings.HasPrefix(name, "Other_") && name != "Hyphen" {
		return tableSet(t), nil
	}
	if strings.HasPrefix(name, "RGI_") || name == "Basic_Emoji" || name == "Emoji_Keycap_Sequence" {
		return nil, fmt.Errorf(`\p{%s} is not supported: the runtime has no properties of strings; use \p{Emoji} or \p{Extended_Pictographic}`, name)
	}
	return nil, fmt.Errorf(`Invalid property name \p{%s}`, name)
}

func categorySet(name string) runeSet {
	if short, ok := unicode.CategoryAliases[name]; ok {
		name = short
	}
	if t, ok := unicode.Categories[name]; ok {
		return tableSet(t)
	}
	return nil
}

func scriptSet(name string) runeSet {
	if long, ok := scriptCodes[name]; ok {
		name = long
	}
	if t, ok := unicode.Scripts[name]; ok {
		return tableSet(t)
	}
	return nil
}

// parseRanges reads ranges such as "23 30-39", in hexadecimal.
func parseRanges(text string) runeSet {
	var out runeSet
	for _, part := range strings.Fields(text) {
		lo, hi, ok := strings.Cut(part, "-")
		if !ok {
			hi = lo
		}
		first, _ := strconv.ParseInt(lo, 16, 32)
		last, _ := strconv.ParseInt(hi, 16, 32)
		out = append(out, rune(first), rune(last))
	}
	return out
}
