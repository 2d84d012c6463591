package agentruntime

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// urlRecord is a parsed URL (https://url.spec.whatwg.org/#concept-url). Its parts are serialised: percent-encoded.
type urlRecord struct {
	scheme   string
	username string
	password string
	host     string
	hasHost  bool // false: the host is null
	port     int  // -1: none
	path     []string
	opaque   bool // the path is one opaque string, path[0]
	query    string
	hasQuery bool
	fragment string
	hasFrag  bool
}

// specialPorts are the special schemes and their default ports, 0 for none.
var specialPorts = map[string]int{"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "file": 0}

func isSpecial(scheme string) bool {
	_, ok := specialPorts[scheme]
	return ok
}

func (u *urlRecord) special() bool { return isSpecial(u.scheme) }

// href serialises the record.
func (u *urlRecord) href() string { return u.serialize(true) }

func (u *urlRecord) serialize(fragment bool) string {
	var b strings.Builder
	b.Grow(len(u.scheme) + len(u.host) + len(u.query) + len(u.fragment) + 32)
	b.WriteString(u.scheme)
	b.WriteByte(':')
	if u.hasHost {
		b.WriteString("//")
		if u.username != "" || u.password != "" {
			b.WriteString(u.username)
			if u.password != "" {
				b.WriteByte(':')
				b.WriteString(u.password)
			}
			b.WriteByte('@')
		}
		b.WriteString(u.hostPort())
	} else if !u.opaque && len(u.path) > 1 && u.path[0] == "" {
		b.WriteString("/.")
	}
	b.WriteString(u.pathname())
	if u.hasQuery {
		b.WriteByte('?')
		b.WriteString(u.query)
	}
	if fragment && u.hasFrag {
		b.WriteByte('#')
		b.WriteString(u.fragment)
	}
	return b.String()
}

func (u *urlRecord) hostPort() string {
	if u.port < 0 {
		return u.host
	}
	return u.host + ":" + strconv.Itoa(u.port)
}

func (u *urlRecord) pathname() string {
	if u.opaque {
		return u.path[0]
	}
	if len(u.path) == 0 {
		return ""
	}
	return "/" + strings.Join(u.path, "/")
}

// origin serialises the origin: null for schemes without one.
func (u *urlRecord) origin() string {
	switch u.scheme {
	case "http", "https", "ws", "wss", "ftp":
		return u.scheme + "://" + u.hostPort()
	case "blob":
		if inner, err := parseURL(u.pathname(), nil); err == nil && (inner.scheme == "http" || inner.scheme == "https") {
			return inner.origin()
		}
	}
	return "null"
}

// shorten removes the last segment of the path, but never a drive letter of a file URL.
func (u *urlRecord) shorten() {
	if u.scheme == "file" && len(u.path) == 1 && isNormalDrive(u.path[0]) {
		return
	}
	if len(u.path) > 0 {
		u.path = u.path[:len(u.path)-1]
	}
}

func (u *urlRecord) hasCredentials() bool { return u.username != "" || u.password != "" }

// cannotHaveCredentials is the standard's "cannot have a username/password/port".
func (u *urlRecord) cannotHaveCredentials() bool {
	return !u.hasHost || u.host == "" || u.scheme == "file"
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isDrive reports whether s is a Windows drive letter: a letter and : or |.
func isDrive(s string) bool { return len(s) == 2 && isAlpha(s[0]) && (s[1] == ':' || s[1] == '|') }

func isNormalDrive(s string) bool { return isDrive(s) && s[1] == ':' }

// startsWithDrive reports whether s starts with a drive letter that ends there.
func startsWithDrive(s string) bool {
	return len(s) >= 2 && isDrive(s[:2]) && (len(s) == 2 || strings.IndexByte("/\\?#", s[2]) >= 0)
}

func isSingleDot(s string) bool { return s == "." || strings.EqualFold(s, "%2e") }

func isDoubleDot(s string) bool {
	switch strings.ToLower(s) {
	case "..", ".%2e", "%2e.", "%2e%2e":
		return true
	}
	return false
}

// byteSet is a set of ASCII characters.
type byteSet [2]uint64

func setOf(base byteSet, chars string) byteSet {
	for i := 0; i < len(chars); i++ {
		base[chars[i]>>6] |= 1 << (chars[i] & 63)
	}
	return base
}

func (s *byteSet) has(c byte) bool { return s[c>>6&1]>>(c&63)&1 != 0 }

// The percent-encode sets (https://url.spec.whatwg.org/#percent-encoded-bytes). Bytes outside ASCII are in all of them.
var (
	setC0            = byteSet{0xffffffff, 1 << 63}
	setFragment      = setOf(setC0, " \"<>`")
	setQuery         = setOf(setC0, " \"#<>")
	setSpecialQuery  = setOf(setQuery, "'")
	setPath          = setOf(setQuery, "?^`{}")
	setUserinfo      = setOf(setPath, "/:;=@[\\]|")
	setComponent     = setOf(setUserinfo, "$%&+,")
	setForbiddenHost = setOf(byteSet{}, "\x00\t\n\r #/:<>?@[\\]^|")
	setForbiddenName = setOf(setOf(setC0, "%"), " #/:<>?@[\\]^|")
)

const upperHex = "0123456789ABCDEF"

// percentEncode appends s to b, encoding what is in set.
func percentEncode(b []byte, s string, set *byteSet) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= utf8.RuneSelf || set.has(c) {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
			continue
		}
		b = append(b, c)
	}
	return b
}

func encoded(s string, set *byteSet) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf || set.has(s[i]) {
			return string(percentEncode(make([]byte, 0, len(s)+16), s, set))
		}
	}
	return s
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// percentDecode decodes every %XX; what is no escape stays.
func percentDecode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
