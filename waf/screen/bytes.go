package screen

import "strings"

// mask is a set of bytes, by groups: each mark of ASCII by itself, the others together with their like.
type mask uint64

const (
	digits mask = 1 << iota
	letters
	space
	breaks // tab, line feed, vertical tab, form feed, carriage return
	nul
	controls // the others below space, and delete
	high     // 0x80 and up
	firstMark
)

const (
	marks           = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	everything mask = 1<<(7+len(marks)) - 1
)

var groupOf = func() (t [256]mask) {
	for i := range t {
		b := byte(i)
		switch {
		case b >= 0x80:
			t[i] = high
		case b >= '0' && b <= '9':
			t[i] = digits
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z':
			t[i] = letters
		case b == ' ':
			t[i] = space
		case b >= '\t' && b <= '\r':
			t[i] = breaks
		case b == 0:
			t[i] = nul
		case b < ' ' || b == 0x7f:
			t[i] = controls
		default:
			t[i] = firstMark << strings.IndexByte(marks, b)
		}
	}
	return t
}()

// maskOf is the set of s's bytes.
func maskOf(s string) (m mask) {
	for i := range len(s) {
		m |= groupOf[s[i]]
	}
	return m
}

// tier is a set of bytes that rules are worked out for; a value is of the first tier that holds all of its bytes.
type tier struct {
	bytes mask
	// noise are bytes that neither the values nor the expressions keep: those that shells pass over within a word, as the
	// expressions do, which would leave no word to look for.
	noise mask
}

var tiers = [...]tier{
	{bytes: digits | letters | maskOf("-_.")},
	{bytes: digits | letters | space | maskOf("-_.,")},
	{bytes: digits | letters | space | breaks | maskOf("-_.,:;/()'\"!?+*"), noise: maskOf("\"')")}, // prose, and what browsers call themselves
	{bytes: everything &^ (nul | controls | high | maskOf("<>\\`${}|%"))},
	{bytes: everything},
}

// quiet is s without the tier's noise.
func (t tier) quiet(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && groupOf[r]&t.noise != 0 {
			return -1
		}
		return r
	}, s)
}

func tierOf(m mask) int {
	for i, t := range tiers {
		if m&^t.bytes == 0 {
			return i
		}
	}
	return len(tiers) - 1
}

// fold gives s in lower case, with every character that Go's regular expressions take for an ASCII letter as that letter.
func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "\u017f", "s") // ToLower does the other, the Kelvin sign
}

// bits is a set of rules.
type bits []uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) add(i int) { b[i/64] |= 1 << (i % 64) }

func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 == 1 }

func (b bits) remove(c bits) {
	for i, w := range c {
		b[i] &^= w
	}
}

func (b bits) or(c bits) {
	for i, w := range c {
		b[i] |= w
	}
}

// orAnd adds what c and d share.
func (b bits) orAnd(c, d bits) {
	for i, w := range c {
		b[i] |= w & d[i]
	}
}

// meets tells whether b and c share a rule.
func (b bits) meets(c bits) bool {
	for i, w := range c {
		if b[i]&w != 0 {
			return true
		}
	}
	return false
}
