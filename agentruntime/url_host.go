package agentruntime

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

var errHost = errors.New("the host is not valid")

// hostProfile is UTS 46 as the URL Standard asks for (https://url.spec.whatwg.org/#idna): non-transitional, lenient
// about hyphens and lengths.
var hostProfile = idna.New(
	idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false),
	idna.CheckHyphens(false), idna.CheckJoiners(true), idna.BidiRule(), idna.VerifyDNSLength(false),
)

// parseHost parses and serialises a host (https://url.spec.whatwg.org/#host-parsing).
func parseHost(s string, special bool) (string, error) {
	if strings.HasPrefix(s, "[") {
		if !strings.HasSuffix(s, "]") {
			return "", errHost
		}
		addr, err := parseIPv6(s[1 : len(s)-1])
		if err != nil {
			return "", err
		}
		return "[" + formatIPv6(addr) + "]", nil
	}
	if !special {
		for i := 0; i < len(s); i++ {
			if s[i] < 0x80 && setForbiddenHost.has(s[i]) {
				return "", errHost
			}
		}
		return encoded(s, &setC0), nil
	}
	domain, err := toASCII(decodeUTF8([]byte(percentDecode(s))))
	if err != nil {
		return "", err
	}
	if endsInNumber(domain) {
		v4, err := parseIPv4(domain)
		if err != nil {
			return "", err
		}
		return formatIPv4(v4), nil
	}
	return domain, nil
}

// toASCII is the standard's domain to ASCII, with the check for forbidden characters. A domain that is ASCII already is
// only put in lower case: its Punycode is not looked at.
func toASCII(domain string) (string, error) {
	if isASCII(domain) {
		domain = strings.ToLower(domain)
	} else {
		mapped, err := hostProfile.ToASCII(strings.Map(newerMapping, domain))
		if err != nil {
			return "", errHost
		}
		domain = mapped
	}
	if domain == "" {
		return "", errHost
	}
	for i := 0; i < len(domain); i++ {
		if domain[i] >= 0x80 || setForbiddenName.has(domain[i]) {
			return "", errHost
		}
	}
	return domain, nil
}

// newerMapping maps what UTS 46 maps since the tables of the idna package were made (Unicode 15.1 and 16).
func newerMapping(c rune) rune {
	switch {
	case c < 0x04c0:
		return c
	case 0x10a0 <= c && c <= 0x10c5: // Georgian capitals
		return c - 0x10a0 + 0x2d00
	case 0x206a <= c && c <= 0x206f, c == 0x115f, c == 0x1160, c == 0x17b4, c == 0x17b5, c == 0x180e, c == 0x3164, c == 0xffa0:
		return -1
	}
	switch c {
	case 0x04c0:
		return 0x04cf
	case 0x1e9e:
		return 0x00df
	case 0x2132:
		return 0x214e
	case 0x2183:
		return 0x2184
	case 0x2f868:
		return 0x36fc
	case 0x2f874:
		return 0x5f53
	case 0x2f91f:
		return 0x243ab
	case 0x2f95f:
		return 0x7aee
	case 0x2f9bf:
		return 0x45d7
	}
	return c
}

// endsInNumber reports whether the last label makes the host an IPv4 address.
func endsInNumber(s string) bool {
	s = strings.TrimSuffix(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	if last == "" {
		return false
	}
	digits := true
	for i := 0; i < len(last); i++ {
		digits = digits && isDigit(last[i])
	}
	if digits {
		return true
	}
	_, err := parseV4Number(last)
	return err == nil
}

// parseV4Number reads a decimal, octal or hexadecimal number. Numbers too large come back as the largest.
func parseV4Number(s string) (uint64, error) {
	if s == "" {
		return 0, errHost
	}
	base := 10
	switch {
	case len(s) >= 2 && (s[:2] == "0x" || s[:2] == "0X"):
		s, base = s[2:], 16
	case len(s) >= 2 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s == "" {
		return 0, nil
	}
	for i := 0; i < len(s); i++ {
		if d := unhex(s[i]); d < 0 || d >= base {
			return 0, errHost
		}
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		return math.MaxUint64, nil
	}
	return n, nil
}

func parseIPv4(s string) (uint32, error) {
	parts := strings.Split(s, ".")
	if parts[len(parts)-1] == "" && len(parts) > 1 {
		parts = parts[:len(parts)-1]
	}
	if len(parts) > 4 {
		return 0, errHost
	}
	var addr uint64
	for i, part := range parts {
		n, err := parseV4Number(part)
		if err != nil {
			return 0, err
		}
		if i < len(parts)-1 {
			if n > 255 {
				return 0, errHost
			}
			addr |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(4-i)) {
			return 0, errHost
		}
		addr |= n
	}
	return uint32(addr), nil
}

func formatIPv4(a uint32) string {
	return strconv.Itoa(int(a>>24)) + "." + strconv.Itoa(int(a>>16&255)) + "." + strconv.Itoa(int(a>>8&255)) + "." + strconv.Itoa(int(a&255))
}

func parseIPv6(s string) (addr [8]uint16, err error) {
	piece, compress, i := 0, -1, 0
	if strings.HasPrefix(s, ":") {
		if !strings.HasPrefix(s, "::") {
			return addr, errHost
		}
		i, piece, compress = 2, 1, 1
	}
	for i < len(s) {
		if piece == 8 {
			return addr, errHost
		}
		if s[i] == ':' {
			if compress >= 0 {
				return addr, errHost
			}
			i++
			piece++
			compress = piece
			continue
		}
		value, n := 0, 0
		for n < 4 && i < len(s) && unhex(s[i]) >= 0 {
			value = value<<4 | unhex(s[i])
			i++
			n++
		}
		if i < len(s) && s[i] == '.' {
			if n == 0 || piece > 6 {
				return addr, errHost
			}
			v4, err := parseDotted(s[i-n:])
			if err != nil {
				return addr, err
			}
			addr[piece], addr[piece+1] = uint16(v4>>16), uint16(v4)
			piece += 2
			i = len(s)
			break
		}
		if i < len(s) {
			if s[i] != ':' {
				return addr, errHost
			}
			if i++; i == len(s) {
				return addr, errHost
			}
		}
		addr[piece] = uint16(value)
		piece++
	}
	if compress >= 0 {
		moved := piece - compress
		for at := 7; at != 0 && moved > 0; at-- {
			addr[at], addr[compress+moved-1] = addr[compress+moved-1], addr[at]
			moved--
		}
	} else if piece != 8 {
		return addr, errHost
	}
	return addr, nil
}

// parseDotted parses the dotted decimal tail of an IPv6 address.
func parseDotted(s string) (uint32, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return 0, errHost
	}
	var addr uint32
	for _, part := range parts {
		if part == "" || len(part) > 3 || len(part) > 1 && part[0] == '0' {
			return 0, errHost
		}
		n := 0
		for i := 0; i < len(part); i++ {
			if !isDigit(part[i]) {
				return 0, errHost
			}
			n = n*10 + int(part[i]-'0')
		}
		if n > 255 {
			return 0, errHost
		}
		addr = addr<<8 | uint32(n)
	}
	return addr, nil
}

func formatIPv6(a [8]uint16) string {
	start, length := -1, 1
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && a[j] == 0 {
			j++
		}
		if j-i > length {
			start, length = i, j-i
		}
		if j > i {
			i = j
		}
	}
	var b strings.Builder
	for i := 0; i < 8; i++ {
		if i == start {
			if i == 0 {
				b.WriteString("::")
			} else {
				b.WriteByte(':')
			}
			i += length - 1
			continue
		}
		b.WriteString(strconv.FormatUint(uint64(a[i]), 16))
		if i < 7 {
			b.WriteByte(':')
		}
	}
	return b.String()
}
