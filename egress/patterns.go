package egress

import (
	"bytes"
	"fmt"
)

// Patterns that DLP can look for.
const (
	PatternEmail = "email" // addresses of mail, as people write them
	PatternCard  = "card"  // numbers of payment cards: 13 to 19 digits, single spaces or hyphens between them, with Luhn's check digit
	PatternKey   = "key"   // keys of well-known services, and PEM blocks of private keys
)

// newPattern is the finder of a pattern.
func newPattern(name string) (Finder, error) {
	switch name {
	case PatternEmail:
		return emailFinder{}, nil
	case PatternCard:
		return cardFinder{}, nil
	case PatternKey:
		return keyFinder{}, nil
	}
	return nil, fmt.Errorf("dlp %q: it is none of secrets, %s, %s and %s", name, PatternEmail, PatternCard, PatternKey)
}

const (
	maxLocal  = 64  // RFC 5321, section 4.5.3.1.1
	maxDomain = 255 // RFC 5321, section 4.5.3.1.2
)

// emailFinder finds addresses of mail: a local part of letters, digits and "._%+-", and a domain with a dot and a last label of letters.
type emailFinder struct{}

func (emailFinder) Longest() int { return maxLocal + 1 + maxDomain }

func (emailFinder) Next(b []byte, from, to int) (at, length int, name string) {
	for i := from; ; i++ {
		next := bytes.IndexByte(b[min(i, len(b)):min(len(b), to+maxLocal)], '@')
		if next < 0 {
			return 0, 0, ""
		}
		i += next
		start := i
		for start > from && i-start < maxLocal && isLocal(b[start-1]) {
			start--
		}
		for start < i && b[start] == '.' {
			start++
		}
		if end := domainEnd(b, i+1); start < i && start < to && end > 0 {
			return start, end - start, PatternEmail
		}
	}
}

func isLocal(c byte) bool {
	return isAlnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-'
}

func isAlnum(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// domainEnd is where the domain that begins at i ends; 0 where there is none.
func domainEnd(b []byte, i int) int {
	end, label := 0, i // end is after the last label that can be the last one
	for j := i; j-i < maxDomain; j++ {
		if j < len(b) && (isAlnum(b[j]) || b[j] == '-') {
			continue
		}
		if j == label {
			break // an empty label
		}
		if label > i && j-label >= 2 && isLetter(b[label]) && isLetter(b[j-1]) {
			end = j
		}
		if j >= len(b) || b[j] != '.' {
			break
		}
		label = j + 1
	}
	return end
}

// cardFinder finds numbers of payment cards (ISO/IEC 7812-1): of the industries 2 to 6, with the check digit.
type cardFinder struct{}

const (
	minCard = 13
	maxCard = 19
)

func (cardFinder) Longest() int { return 2*maxCard + 1 }

func (cardFinder) Next(b []byte, from, to int) (at, length int, name string) {
	for i := from; i < min(to, len(b)); i++ {
		if c := b[i]; c < '2' || c > '6' || i > 0 && isDigit(b[i-1]) {
			continue
		}
		if n := cardLength(b[i:]); n > 0 {
			return i, n, PatternCard
		}
	}
	return 0, 0, ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// cardLength is how many bytes of b the number of a card takes that b begins with; 0 where it begins with none.
func cardLength(b []byte) int {
	var digits [maxCard]byte
	n, i := 0, 0
	for ; i < len(b); i++ {
		if isDigit(b[i]) {
			if n == maxCard {
				return 0
			}
			digits[n] = b[i] - '0'
			n++
		} else if b[i] != ' ' && b[i] != '-' || i == 0 || !isDigit(b[i-1]) || i+1 == len(b) || !isDigit(b[i+1]) {
			break
		}
	}
	if n < minCard || !luhn(digits[:n]) {
		return 0
	}
	return i
}

// luhn checks the check digit (ISO/IEC 7812-1, annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// keyFinder finds the keys of services by the prefixes that they were given to be found by.
type keyFinder struct{}

// maxKey is the most that is taken for one key.
const maxKey = 256

// keyPrefixes are what keys begin with, and how many characters follow at least.
var keyPrefixes = []struct {
	prefix string
	least  int
}{
	{"AKIA", 16}, {"ASIA", 16}, // AWS access key ids
	{"AIza", 35},                                                           // Google
	{"sk-", 20},                                                            // OpenAI, Anthropic and others
	{"sk_live_", 16}, {"rk_live_", 16}, {"sk_test_", 16}, {"rk_test_", 16}, // Stripe
	{"ghp_", 36}, {"gho_", 36}, {"ghu_", 36}, {"ghs_", 36}, {"ghr_", 36}, {"github_pat_", 36}, // GitHub
	{"glpat-", 20},                                             // GitLab
	{"xoxb-", 20}, {"xoxp-", 20}, {"xoxa-", 20}, {"xoxs-", 20}, // Slack
	{"hf_", 30},  // Hugging Face
	{"npm_", 36}, // npm
}

// keyStarts has a bit for each two bytes that a prefix or a PEM block begins with.
var keyStarts = func() (starts [1 << 10]uint64) {
	set := func(s string) {
		i := uint(s[0])<<8 | uint(s[1])
		starts[i>>6] |= 1 << (i & 63)
	}
	for _, k := range keyPrefixes {
		set(k.prefix)
	}
	set("--")
	return starts
}()

// foundPrivateKey is the name of a PEM block, of which only the first line is found.
const foundPrivateKey = "private key"

func (keyFinder) Longest() int { return maxKey + 16 }

func (keyFinder) Next(b []byte, from, to int) (at, length int, name string) {
	for i, last := from, min(to, len(b)-1); i < last; i++ {
		two := uint(b[i])<<8 | uint(b[i+1])
		if keyStarts[two>>6]&(1<<(two&63)) == 0 || i > 0 && b[i] != '-' && isAlnum(b[i-1]) {
			continue
		}
		if n := pemLength(b[i:]); n > 0 {
			return i, n, foundPrivateKey
		}
		for _, k := range keyPrefixes {
			if !bytes.HasPrefix(b[i:], []byte(k.prefix)) {
				continue
			}
			n := len(k.prefix)
			for n < maxKey && i+n < len(b) && (isAlnum(b[i+n]) || b[i+n] == '_' || b[i+n] == '-') {
				n++
			}
			if n-len(k.prefix) >= k.least {
				return i, n, PatternKey
			}
		}
	}
	return 0, 0, ""
}

// pemLength is the length of the line that begins a PEM block of a private key (RFC 7468); 0 where b begins with none.
func pemLength(b []byte) int {
	rest, ok := bytes.CutPrefix(b, []byte("-----BEGIN "))
	if !ok {
		return 0
	}
	label, _, ok := bytes.Cut(rest[:min(len(rest), 64)], []byte("-----"))
	if !ok || !bytes.HasSuffix(label, []byte("PRIVATE KEY")) {
		return 0
	}
	return len(b) - len(rest) + len(label) + len("-----")
}
