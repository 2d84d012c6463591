package secrets

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// MinRedacted is the length, in bytes, below which a value is not searched
// for: shorter ones would strike out innocent text everywhere.
const MinRedacted = 6

// gramBytes is the prefix by which patterns are looked up.
const gramBytes = 4

// Redactor replaces every occurrence of known secrets in text with
// "[redacted:NAME]". It finds a value as it is, in base64 (standard and URL
// alphabet, at any alignment, so also within the credentials of Basic
// authentication), in hex of either case, URL-encoded (query, path and
// encodeURIComponent forms, escapes of either case) and as JSON escapes it.
// Values shorter than MinRedacted bytes are not searched for. Occurrences that
// overlap are struck out as one. Immutable and safe for concurrent use; a nil
// Redactor changes nothing.
type Redactor struct {
	grams map[uint32][]pattern // by first gramBytes bytes; longest first
	bits  [1 << 10]uint64      // a bit for each hash of a gram, to skip most positions
	// longest is the length of the longest pattern.
	longest int
}

type pattern struct {
	text string
	mark string
}

// NewRedactor makes a Redactor of the values, keyed by secret name.
func NewRedactor(values map[string]Value) *Redactor {
	r := &Redactor{grams: map[uint32][]pattern{}}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // of two names with one value the first is shown
	seen := map[string]bool{}
	for _, name := range names {
		for _, form := range forms(values[name].Reveal()) {
			if len(form) < MinRedacted || seen[form] {
				continue
			}
			seen[form] = true
			g := gramAt(form, 0)
			r.grams[g] = append(r.grams[g], pattern{text: form, mark: fmt.Sprintf("[redacted:%s]", name)})
			r.longest = max(r.longest, len(form))
			h := gramHash(g)
			r.bits[h>>6] |= 1 << (h & 63)
		}
	}
	for _, patterns := range r.grams {
		slices.SortStableFunc(patterns, func(a, b pattern) int { return cmp.Compare(len(b.text), len(a.text)) })
	}
	return r
}

// Redact returns s without the secrets; s itself when it has none.
func (r *Redactor) Redact(s string) string {
	out, changed := redact(r, s)
	if !changed {
		return s
	}
	return string(out)
}

// RedactBytes is Redact for bytes. The input is not modified; it is returned
// as it is when it has no secret.
func (r *Redactor) RedactBytes(b []byte) []byte {
	out, changed := redact(r, b)
	if !changed {
		return b
	}
	return out
}

// Empty tells whether the Redactor knows no value and changes nothing.
func (r *Redactor) Empty() bool { return r == nil || len(r.grams) == 0 }

func redact[T string | []byte](r *Redactor, s T) (out []byte, changed bool) {
	if r.Empty() {
		return nil, false
	}
	copied := 0 // s[:copied] is in out or struck out
	end := 0    // where the occurrence being extended ends; 0 when there is none
	mark := ""
	flush := func() {
		out = append(out, mark...)
		copied, end = end, 0
	}
	for i := 0; i+gramBytes <= len(s); i++ {
		if end > 0 && i >= end {
			flush()
		}
		p := find(r, s, i)
		if p == nil {
			continue
		}
		if end == 0 {
			out, mark = append(out, s[copied:i]...), p.mark
		}
		end = max(end, i+len(p.text))
		changed = true
	}
	if !changed {
		return nil, false
	}
	if end > 0 {
		flush()
	}
	return append(out, s[copied:]...), true
}

// find is the longest pattern that s has at a place; nil for none.
func find[T string | []byte](r *Redactor, s T, i int) *pattern {
	g := gramAt(s, i)
	h := gramHash(g)
	if r.bits[h>>6]&(1<<(h&63)) == 0 {
		return nil
	}
	patterns := r.grams[g]
	for j := range patterns {
		p := &patterns[j]
		if len(s)-i >= len(p.text) && string(s[i:i+len(p.text)]) == p.text {
			return p
		}
	}
	return nil
}

func gramAt[T string | []byte](s T, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// gramHash spreads a gram over 16 bits (Fibonacci hashing).
func gramHash(g uint32) uint32 { return (g * 2654435769) >> 16 }

// forms lists the spellings of a value that are searched for.
func forms(value string) []string {
	if len(value) < MinRedacted {
		return nil
	}
	out := []string{value, strings.ToUpper(hex.EncodeToString([]byte(value))), hex.EncodeToString([]byte(value))}
	for shift := range 3 {
		core := base64Core(value, shift)
		out = append(out, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
	}
	component := strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
	// encodeURIComponent leaves these as they are (ECMA-262, encodeURIComponent).
	loose := strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(component)
	for _, escaped := range []string{url.QueryEscape(value), url.PathEscape(value), component, loose} {
		out = append(out, escaped, lowerEscapes(escaped))
	}
	if quoted, err := json.Marshal(value); err == nil {
		out = append(out, string(quoted[1:len(quoted)-1]))
	}
	var plain strings.Builder
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if enc.Encode(value) == nil {
		quoted := strings.TrimSuffix(plain.String(), "\n")
		out = append(out, quoted[1:len(quoted)-1])
	}
	return out
}

// base64Core returns the characters of the base64 of (shift bytes, value, more
// bytes) that depend on the value alone.
func base64Core(value string, shift int) string {
	padded := append(make([]byte, shift), value...)
	encoded := base64.RawStdEncoding.EncodeToString(padded)
	first := (shift*8 + 5) / 6
	last := len(padded) * 8 / 6
	return encoded[first:last]
}

// lowerEscapes turns %2F into %2f and leaves the rest.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] != '%' {
			continue
		}
		for j := i + 1; j <= i+2; j++ {
			if 'A' <= b[j] && b[j] <= 'F' {
				b[j] += 'a' - 'A'
			}
		}
		i += 2
	}
	return string(b)
}
