package secrets

import (
	"cmp"
	"encoding/base32"
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
// encodeURIComponent forms, escapes of either case), as JSON escapes it, and in
// any of these in base64, hex or URL-encoded once more. Values shorter than
// MinRedacted bytes are not searched for. Occurrences that overlap are struck
// out as one. Immutable and safe for concurrent use; a nil Redactor changes
// nothing.
type Redactor struct {
	*patterns
	among  map[string]bool // names that the search is about; nil for all
	except bool            // among are the names that it is not about
}

// patterns are the spellings of all values.
type patterns struct {
	grams map[uint32][]pattern // by first gramBytes bytes; longest first
	bits  [1 << 12]uint64      // a bit for each hash of a gram, to skip most positions
	// longest is the length of the longest pattern.
	longest int
	host    map[string][]string // the spellings that survive in the name of a host, and the names of their secrets
}

type pattern struct {
	text  string
	names []string // of the secrets it is a spelling of, sorted
	mark  string
}

// NewRedactor makes a Redactor of the values, keyed by secret name.
func NewRedactor(values map[string]Value) *Redactor {
	r := &Redactor{patterns: &patterns{grams: map[uint32][]pattern{}, host: map[string][]string{}}}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // of two names with one value the first is shown
	spelled := map[string][]string{}
	for _, name := range names {
		value := values[name].Reveal()
		for _, form := range forms(value) {
			if known := spelled[form]; len(form) >= MinRedacted && !slices.Contains(known, name) {
				spelled[form] = append(known, name)
			}
		}
		for _, form := range hostForms(value) {
			r.host[form] = append(r.host[form], name)
		}
	}
	for form, names := range spelled {
		g := gramAt(form, 0)
		r.grams[g] = append(r.grams[g], pattern{text: form, names: names, mark: fmt.Sprintf("[redacted:%s]", names[0])})
		r.longest = max(r.longest, len(form))
		h := gramHash(g)
		r.bits[h>>6] |= 1 << (h & 63)
	}
	for _, list := range r.grams {
		slices.SortFunc(list, func(a, b pattern) int {
			return cmp.Or(cmp.Compare(len(b.text), len(a.text)), strings.Compare(a.text, b.text))
		})
	}
	return r
}

// Only is the Redactor of those names alone.
func (r *Redactor) Only(names ...string) *Redactor { return r.view(names, false) }

// Except is the Redactor without the values of those names, also where others have the same value.
func (r *Redactor) Except(names ...string) *Redactor { return r.view(names, true) }

func (r *Redactor) view(names []string, except bool) *Redactor {
	if r.Empty() || except && len(names) == 0 {
		return r
	}
	v := &Redactor{patterns: r.patterns, among: map[string]bool{}, except: except}
	for _, name := range names {
		v.among[name] = true
	}
	return v
}

// about tells whether the search is about a value that has these names.
func (r *Redactor) about(names []string) bool {
	return r.among == nil || slices.ContainsFunc(names, func(name string) bool { return r.among[name] }) != r.except
}

// Longest is the length of the longest text that is searched for, in bytes.
func (r *Redactor) Longest() int {
	if r.Empty() {
		return 0
	}
	return r.longest
}

// Next finds the first occurrence in b that begins at from or after it and before to: where it begins, how long it is, and the name of its
// secret. The length is 0 when there is none.
func (r *Redactor) Next(b []byte, from, to int) (at, length int, name string) {
	if r.Empty() {
		return 0, 0, ""
	}
	last := min(to, len(b)-gramBytes+1)
	bits := &r.bits
	for i := from; i < last; i++ {
		if h := gramHash(gramAt(b, i)); bits[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		if p := find(r, b, i); p != nil {
			return i, len(p.text), p.names[0]
		}
	}
	return 0, 0, ""
}

// InName finds a secret in the name of a host or a header, where upper case is lost and labels are cut at dots: the name of the secret, empty
// for none.
func (r *Redactor) InName(host string) string {
	if r.Empty() {
		return ""
	}
	host = strings.ToLower(host)
	for _, text := range []string{host, strings.ReplaceAll(host, ".", "")} {
		for form, names := range r.host {
			if strings.Contains(text, form) && r.about(names) {
				return names[0]
			}
		}
	}
	return ""
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
func (r *Redactor) Empty() bool { return r == nil || r.patterns == nil || len(r.grams) == 0 }

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
	list := r.grams[g]
	for j := range list {
		p := &list[j]
		if len(s)-i >= len(p.text) && string(s[i:i+len(p.text)]) == p.text && r.about(p.names) {
			return p
		}
	}
	return nil
}

func gramAt[T string | []byte](s T, i int) uint32 {
	return uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24
}

// gramHash spreads a gram over 18 bits (Fibonacci hashing).
func gramHash(g uint32) uint32 { return (g * 2654435769) >> 14 }

// forms lists the spellings of a value that are searched for: encoded once, and twice.
func forms(value string) []string {
	if len(value) < MinRedacted {
		return nil
	}
	once := encodings(value)
	if quoted, err := json.Marshal(value); err == nil {
		once = append(once, string(quoted[1:len(quoted)-1]))
	}
	var plain strings.Builder
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if enc.Encode(value) == nil {
		quoted := strings.TrimSuffix(plain.String(), "\n")
		once = append(once, quoted[1:len(quoted)-1])
	}
	slices.Sort(once)
	once = slices.Compact(once)
	out := append([]string{value}, once...)
	for _, form := range once {
		if len(form) >= MinRedacted {
			out = append(out, encodings(form)...)
		}
	}
	return out
}

// encodings are a text in hex, in base64 and URL-encoded.
func encodings(text string) []string {
	out := []string{text, strings.ToUpper(hex.EncodeToString([]byte(text))), hex.EncodeToString([]byte(text))}
	for shift := range 3 {
		core := base64Core(text, shift)
		out = append(out, core, strings.NewReplacer("+", "-", "/", "_").Replace(core))
	}
	component := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	// encodeURIComponent leaves these as they are (ECMA-262, encodeURIComponent).
	loose := strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(component)
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text), component, loose} {
		out = append(out, escaped, lowerEscapes(escaped))
	}
	return out
}

// hostForms are the spellings of a value as the name of a host keeps them: in lower case, as it is, in hex, base32 and base64.
func hostForms(value string) []string {
	if len(value) < MinRedacted {
		return nil
	}
	out := []string{strings.ToLower(value), hex.EncodeToString([]byte(value))}
	for shift := range 3 {
		out = append(out, strings.ToLower(strings.NewReplacer("+", "-", "/", "_").Replace(base64Core(value, shift))))
	}
	for shift := range 5 {
		padded := append(make([]byte, shift), value...)
		encoded := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(padded)
		out = append(out, strings.ToLower(encoded[(shift*8+4)/5:len(padded)*8/5]))
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
