package screen

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// step is a transformation: the bytes without which it leaves a value as it is, or does no more than change case, and what
// it makes of a value that has some of them. Where there is no apply, or it tells that it cannot, that is not worked out, and the
// rule runs.
//
// Each apply does what Coraza's transformation of the name does, byte for byte.
type step struct {
	moved mask
	apply func(string) (string, bool)
	cases bool // it changes the case of letters
}

var steps = map[string]step{
	"lowercase":          {apply: always(strings.ToLower), cases: true},
	"uppercase":          {apply: always(strings.ToUpper), cases: true},
	"urldecode":          {moved: maskOf("%+"), apply: urlDecode},
	"urldecodeuni":       {moved: maskOf("%+"), apply: urlDecodeUni},
	"htmlentitydecode":   {moved: maskOf("&"), apply: always(html.UnescapeString)},
	"jsdecode":           {moved: maskOf(`\`)},
	"cssdecode":          {moved: maskOf(`\`)},
	"escapeseqdecode":    {moved: maskOf(`\`)},
	"removenulls":        {moved: nul, apply: always(removeNulls)},
	"trim":               {moved: space | breaks},
	"removewhitespace":   {moved: space | breaks | controls | high, apply: always(removeWhitespace)},
	"compresswhitespace": {moved: space | breaks | high, apply: always(compressWhitespace)},
	"cmdline":            {moved: space | breaks | maskOf("\"'\\^,;/("), apply: always(cmdLine), cases: true},
	"replacecomments":    {moved: maskOf("/"), apply: always(replaceComments)},
	"removecommentschar": {moved: maskOf("/*<-#"), apply: always(removeCommentsChar)},
	"normalisepath":      {moved: maskOf("/."), apply: always(normalizePath)},
	"normalizepath":      {moved: maskOf("/."), apply: always(normalizePath)},
	"normalisepathwin":   {moved: maskOf(`/\.: `), apply: always(normalizePathWin)},
	"normalizepathwin":   {moved: maskOf(`/\.: `), apply: always(normalizePathWin)},
	"utf8tounicode":      {moved: high, apply: always(utf8ToUnicode)},
	"base64decode":       {moved: everything, apply: always(base64Decode)},
}

func always(apply func(string) string) func(string) (string, bool) {
	return func(s string) (string, bool) { return apply(s), true }
}

func urlDecode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b.WriteByte(byte(n))
			i += 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), true
}

// urlDecodeUni leaves values to Coraza that have %u, which it takes for the nearest letter by a table of its own.
func urlDecodeUni(s string) (string, bool) {
	if strings.Contains(s, "%u") || strings.Contains(s, "%U") {
		return "", false
	}
	return urlDecode(s)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func removeNulls(s string) string { return strings.ReplaceAll(s, "\x00", "") }

func removeWhitespace(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

func compressWhitespace(s string) string {
	const noBreakSpace = 0xa0
	var b strings.Builder
	inside := false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == ' ' || r >= '\t' && r <= '\r' || r == 0x85 || r == noBreakSpace || s[i] == noBreakSpace:
			if !inside {
				b.WriteByte(' ')
			}
			inside = true
		default:
			b.WriteString(s[i : i+size])
			inside = false
		}
		i += size
	}
	return b.String()
}

func cmdLine(s string) string {
	out := make([]byte, 0, len(s))
	inside := false
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\'', '\\', '^':
		case ' ', ',', ';', '\t', '\r', '\n':
			if !inside {
				out = append(out, ' ')
			}
			inside = true
		case '/', '(':
			if inside {
				out = out[:len(out)-1]
			}
			inside = false
			out = append(out, c)
		default:
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			inside = false
			out = append(out, c)
		}
	}
	return string(out)
}

func replaceComments(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "/*")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte(' ')
		if _, s, found = strings.Cut(after, "*/"); !found {
			return b.String()
		}
	}
}

var commentMarks = strings.NewReplacer("/*", "", "*/", "", "<!--", "", "-->", "", "--", "", "#", "")

func removeCommentsChar(s string) string { return commentMarks.Replace(s) }

func normalizePath(s string) string {
	clean := path.Clean(s)
	switch {
	case s == "", clean == ".":
		return ""
	case s[len(s)-1] == '/':
		return clean + "/"
	}
	return clean
}

// normalizePathWin resolves a path as Windows does: either slash, no name of a stream at the end, and no dots and spaces
// at the ends of its parts.
func normalizePathWin(s string) string {
	if s == "" {
		return s
	}
	return trimParts(cutStream(normalizePath(strings.ReplaceAll(s, `\`, "/"))))
}

func cutStream(s string) string {
	drive, slash := "", ""
	if len(s) >= 2 && s[1] == ':' && groupOf[s[0]] == letters {
		drive, s = s[:2], s[2:]
	}
	if strings.HasSuffix(s, "/") {
		slash, s = "/", s[:len(s)-1]
	}
	last := strings.LastIndexByte(s, '/') + 1
	name, _, _ := strings.Cut(s[last:], ":")
	return drive + s[:last] + name + slash
}

func trimParts(s string) string {
	parts := strings.Split(s, "/")
	kept, trimmed := parts[:0], false
	for _, p := range parts {
		if strings.Trim(p, ".") != "" {
			short := strings.TrimRight(p, ". ")
			trimmed = trimmed || short != p
			if p = short; p == "" {
				continue
			}
		}
		kept = append(kept, p)
	}
	if !trimmed {
		return s
	}
	return strings.Join(kept, "/")
}

func utf8ToUnicode(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteByte(byte(r))
			continue
		}
		digits := strconv.FormatUint(uint64(r), 16)
		b.WriteString("%u")
		b.WriteString("0000"[min(len(digits), 4):])
		b.WriteString(digits)
	}
	return b.String()
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// base64Decode decodes up to the first byte that is none of the alphabet; line ends in between do not count.
func base64Decode(s string) string {
	var b strings.Builder
	word, n := 0, 0
	for i := range len(s) {
		if s[i] == '\r' || s[i] == '\n' {
			continue
		}
		v := strings.IndexByte(base64Alphabet, s[i])
		if v < 0 {
			break
		}
		word = word<<6 | v
		if n++; n == 4 {
			b.Write([]byte{byte(word >> 16), byte(word >> 8), byte(word)})
			word, n = 0, 0
		}
	}
	switch n {
	case 2:
		b.WriteByte(byte(word >> 4))
	case 3:
		b.Write([]byte{byte(word >> 10), byte(word >> 2)})
	}
	return b.String()
}
