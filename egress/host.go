package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// target is a URL after normalisation: what is decided is what is sent.
type target struct {
	scheme string     // "http" or "https"
	host   string     // ASCII name, dotted IPv4 or IPv6 without brackets
	addr   netip.Addr // valid when the host is an IP literal
	port   uint16
	path   string // escaped, dot segments removed, begins with a slash
	query  string // raw, without the question mark
}

// origin is scheme://host, with the port when it is not the scheme's own.
func (t target) origin() string { return t.scheme + "://" + t.authority() }

func (t target) authority() string {
	host := t.host
	if t.addr.Is6() {
		host = "[" + host + "]"
	}
	if t.port == defaultPort(t.scheme) {
		return host
	}
	return host + ":" + strconv.Itoa(int(t.port))
}

// url builds the URL to send from the normalised parts only.
func (t target) url() (*url.URL, error) {
	decoded, err := url.PathUnescape(t.path)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: t.scheme, Host: t.authority(), Path: decoded, RawPath: t.path, RawQuery: t.query}, nil
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// parseTarget normalises u. The rule it returns names what is wrong with u; it
// is empty when err is nil. The target is filled as far as parsing came.
func parseTarget(u *url.URL) (t target, rule string, err error) {
	if u == nil {
		return t, RuleURL, errors.New("the request has no url")
	}
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "http", "https":
		t.scheme = scheme
	default:
		return t, RuleScheme, errors.New("only http and https are allowed")
	}
	if u.Opaque != "" {
		return t, RuleURL, errors.New("the url has no host")
	}
	scheme := t.scheme
	t.scheme = "" // an origin is shown only once its host is known to be sound
	host, port, err := splitHostPort(u.Host)
	if err != nil {
		return t, RuleHost, err
	}
	name, addr, err := parseHost(host)
	if err != nil {
		return t, RuleHost, err
	}
	t.scheme, t.host, t.addr, t.port = scheme, name, addr, port
	if t.port == 0 {
		t.port = defaultPort(scheme)
	}
	if u.User != nil {
		return t, RuleUserinfo, errors.New("a url must not carry a user name or password")
	}
	t.path = removeDotSegments(u.EscapedPath())
	t.query = strings.ReplaceAll(u.RawQuery, " ", "%20")
	if hasControl(t.path) || hasControl(t.query) {
		return t, RuleURL, errors.New("the url holds a control character")
	}
	if _, err := url.PathUnescape(t.path); err != nil {
		return t, RuleURL, errors.New("the path's percent-encoding is not valid")
	}
	return t, "", nil
}

// splitHostPort splits an authority without user information. The port is 0
// when there is none or it is empty, as in "example.com:".
func splitHostPort(s string) (host string, port uint16, err error) {
	digits := ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("the host's bracket is not closed")
		}
		host = s[:end+1]
		switch rest := s[end+1:]; {
		case rest == "":
		case rest[0] == ':':
			digits = rest[1:]
		default:
			return "", 0, errors.New("the host has text after its bracket")
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, digits = s[:i], s[i+1:]
	} else {
		host = s
	}
	if digits == "" {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("the port is not a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

// parseHost normalises a host as the URL standard of the WHATWG does: a
// bracketed IPv6 address, an IPv4 address in any spelling inet_aton takes, or a
// name mapped with UTS 46 to lower-case ASCII. One trailing dot is dropped. A
// zone id is refused, since it picks an interface of this machine.
func parseHost(s string) (string, netip.Addr, error) {
	if strings.HasPrefix(s, "[") {
		inner := strings.TrimSuffix(s[1:], "]")
		if strings.Contains(inner, "%") {
			return "", netip.Addr{}, errors.New("the address has a zone id")
		}
		addr, err := netip.ParseAddr(inner)
		if err != nil || !addr.Is6() {
			return "", netip.Addr{}, errors.New("the host is not a valid IPv6 address")
		}
		return addr.String(), addr, nil
	}
	name, err := parseName(s)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if !endsInNumber(name) {
		return name, netip.Addr{}, nil
	}
	addr, err := parseIPv4(name)
	if err != nil {
		return "", netip.Addr{}, err
	}
	return addr.String(), addr, nil
}

// maxHost bounds a host, in bytes, before it is mapped; a name of 253 characters
// takes no more in any spelling that is in use.
const maxHost = 2048

// parseName maps s to a lower-case ASCII name without a trailing dot. Plain
// ASCII is only checked for its characters, so that underscores and labels
// such as "r3---x", which exist in the wild, stay reachable; everything else
// goes through the IDNA lookup profile.
func parseName(s string) (string, error) {
	if len(s) > maxHost {
		return "", errors.New("the host is longer than 253 characters")
	}
	name := strings.ToLower(s)
	if !isASCII(s) || hasPunycode(name) {
		mapped, err := idna.Lookup.ToASCII(s)
		if err == nil {
			// What is mapped must stand for itself, or two readers of the name
			// could part ways.
			name, err = idna.Lookup.ToASCII(mapped)
		}
		if err != nil || name != mapped || !utf8.ValidString(s) {
			return "", errors.New("the host is not a valid internationalised name")
		}
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return "", errors.New("the url has no host")
	}
	if len(name) > 253 {
		return "", errors.New("the host is longer than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return "", errors.New("the host has an empty label")
		}
		if len(label) > 63 {
			return "", errors.New("the host has a label longer than 63 characters")
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return "", errors.New("the host has a character that no name may have")
			}
		}
	}
	return name, nil
}

// endsInNumber tells whether a name must be read as an IPv4 address: its last
// label is decimal digits or a 0x number.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	return strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
}

// parseIPv4 reads an IPv4 address as inet_aton does: one to four parts, each
// decimal, octal (leading 0) or hexadecimal (leading 0x); the last part fills
// the bytes that remain.
func parseIPv4(s string) (netip.Addr, error) {
	invalid := errors.New("the host looks like an IPv4 address and is not one")
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, invalid
	}
	var value uint64
	for i, part := range parts {
		base, digits := 10, part
		switch {
		case strings.HasPrefix(part, "0x"):
			base, digits = 16, part[2:]
			if digits == "" {
				digits = "0"
			}
		case len(part) > 1 && part[0] == '0':
			base = 8
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err != nil {
			return netip.Addr{}, invalid
		}
		width := 1
		if i == len(parts)-1 {
			width = 5 - len(parts)
		}
		if n >= 1<<(8*width) {
			return netip.Addr{}, invalid
		}
		value = value<<(8*width) | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func hasPunycode(name string) bool {
	return strings.HasPrefix(name, "xn--") || strings.Contains(name, ".xn--")
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}
