package agentruntime

import (
	"errors"
	"strconv"
	"strings"
)

var errURL = errors.New("the URL is not valid")

// urlState is a state of the parser (https://url.spec.whatwg.org/#url-parsing).
type urlState uint8

const (
	stNone urlState = iota
	stSchemeStart
	stScheme
	stNoScheme
	stSpecialRelativeOrAuthority
	stPathOrAuthority
	stRelative
	stRelativeSlash
	stSpecialAuthoritySlashes
	stSpecialAuthorityIgnoreSlashes
	stAuthority
	stHost
	stHostname
	stPort
	stFile
	stFileSlash
	stFileHost
	stPathStart
	stPath
	stOpaquePath
	stQuery
	stFragment
)

// parseURL parses input against base, which may be nil.
func parseURL(input string, base *urlRecord) (*urlRecord, error) {
	input = strings.TrimFunc(input, func(c rune) bool { return c <= ' ' })
	u := &urlRecord{port: -1}
	p := urlParser{u: u, base: base, in: dropTabs(input)}
	if err := p.run(stSchemeStart); err != nil {
		return nil, err
	}
	return u, nil
}

func dropTabs(s string) string {
	if !strings.ContainsAny(s, "\t\n\r") {
		return s
	}
	return strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
}

// urlParser is one run of the basic URL parser. override is the state that a setter asks for, stNone otherwise. Where
// the standard moves a pointer over code points, this moves over bytes: every character with a meaning is ASCII.
type urlParser struct {
	u        *urlRecord
	base     *urlRecord
	in       string
	override urlState
}

func (p *urlParser) run(state urlState) error {
	u, in := p.u, p.in
	special := func() bool { return isSpecial(u.scheme) }
	for i := 0; ; {
		end := i >= len(in)
		var c byte
		if !end {
			c = in[i]
		}
		switch state {
		case stSchemeStart:
			switch {
			case !end && isAlpha(c):
				state = stScheme
			case p.override == stNone:
				state = stNoScheme
			default:
				return errURL
			}
		case stScheme:
			j := i
			for j < len(in) && (isAlpha(in[j]) || isDigit(in[j]) || strings.IndexByte("+-.", in[j]) >= 0) {
				j++
			}
			if j == len(in) || in[j] != ':' {
				if p.override != stNone {
					return errURL
				}
				state, i = stNoScheme, 0
				continue
			}
			scheme := strings.ToLower(in[i:j])
			if p.override != stNone {
				if isSpecial(u.scheme) != isSpecial(scheme) ||
					(u.hasCredentials() || u.port >= 0) && scheme == "file" ||
					u.scheme == "file" && u.host == "" {
					return nil
				}
				u.scheme = scheme
				if port, ok := specialPorts[scheme]; ok && u.port == port {
					u.port = -1
				}
				return nil
			}
			u.scheme = scheme
			i = j + 1
			switch {
			case scheme == "file":
				state = stFile
			case special() && p.base != nil && p.base.scheme == scheme:
				state = stSpecialRelativeOrAuthority
			case special():
				state = stSpecialAuthoritySlashes
			case i < len(in) && in[i] == '/':
				state = stPathOrAuthority
				i++
			default:
				u.path, u.opaque = []string{""}, true
				state = stOpaquePath
			}
		case stNoScheme:
			switch {
			case p.base == nil || p.base.opaque && (end || c != '#'):
				return errURL
			case p.base.opaque:
				b := *p.base
				*u = b
				u.fragment, u.hasFrag = "", true
				state = stFragment
				i++
			case p.base.scheme != "file":
				state = stRelative
			default:
				state = stFile
			}
		case stSpecialRelativeOrAuthority:
			if strings.HasPrefix(in[i:], "//") {
				state = stSpecialAuthorityIgnoreSlashes
				i += 2
			} else {
				state = stRelative
			}
		case stPathOrAuthority:
			if c == '/' && !end {
				state = stAuthority
				i++
			} else {
				state = stPath
			}
		case stRelative:
			u.scheme = p.base.scheme
			switch {
			case !end && c == '/':
				state = stRelativeSlash
				i++
			case special() && !end && c == '\\':
				state = stRelativeSlash
				i++
			default:
				p.inherit(true)
				u.query, u.hasQuery = p.base.query, p.base.hasQuery
				switch {
				case !end && c == '?':
					u.query, u.hasQuery = "", true
					state = stQuery
					i++
				case !end && c == '#':
					u.fragment, u.hasFrag = "", true
					state = stFragment
					i++
				case !end:
					u.query, u.hasQuery = "", false
					u.shorten()
					state = stPath
				default:
					return nil
				}
			}
		case stRelativeSlash:
			switch {
			case special() && !end && (c == '/' || c == '\\'):
				state = stSpecialAuthorityIgnoreSlashes
				i++
			case !end && c == '/':
				state = stAuthority
				i++
			default:
				p.inherit(false)
				state = stPath
			}
		case stSpecialAuthoritySlashes:
			if strings.HasPrefix(in[i:], "//") {
				i += 2
			}
			state = stSpecialAuthorityIgnoreSlashes
		case stSpecialAuthorityIgnoreSlashes:
			if !end && (c == '/' || c == '\\') {
				i++
			} else {
				state = stAuthority
			}
		case stAuthority:
			j := i
			for j < len(in) && !(strings.IndexByte("/?#", in[j]) >= 0 || in[j] == '\\' && special()) {
				j++
			}
			if at := strings.LastIndexByte(in[i:j], '@'); at >= 0 {
				user, pass, _ := strings.Cut(in[i:i+at], ":")
				u.username, u.password = encoded(user, &setUserinfo), encoded(pass, &setUserinfo)
				i += at + 1
				if i == j {
					return errURL
				}
			}
			state = stHost
		case stHost, stHostname:
			if p.override != stNone && u.scheme == "file" {
				state = stFileHost
				continue
			}
			j, inside := i, false
			for ; j < len(in); j++ {
				b := in[j]
				if b == ':' && !inside || strings.IndexByte("/?#", b) >= 0 || b == '\\' && special() {
					break
				}
				if b == '[' {
					inside = true
				} else if b == ']' {
					inside = false
				}
			}
			if j < len(in) && in[j] == ':' {
				if j == i {
					return errURL
				}
				if p.override == stHostname {
					return errURL
				}
				host, err := parseHost(in[i:j], special())
				if err != nil {
					return err
				}
				u.host, u.hasHost = host, true
				state, i = stPort, j+1
				continue
			}
			if special() && i == j {
				return errURL
			}
			if p.override != stNone && i == j && (u.hasCredentials() || u.port >= 0) {
				return errURL
			}
			host, err := parseHost(in[i:j], special())
			if err != nil {
				return err
			}
			u.host, u.hasHost = host, true
			if p.override != stNone {
				return nil
			}
			state, i = stPathStart, j
		case stPort:
			j := i
			for j < len(in) && isDigit(in[j]) {
				j++
			}
			if !(j == len(in) || strings.IndexByte("/?#", in[j]) >= 0 || in[j] == '\\' && special() || p.override != stNone) {
				return errURL
			}
			if j > i {
				digits := strings.TrimLeft(in[i:j], "0")
				if len(digits) > 5 {
					return errURL
				}
				port, _ := strconv.Atoi("0" + digits)
				if port > 65535 {
					return errURL
				}
				u.port = port
				if def, ok := specialPorts[u.scheme]; ok && def == port && def != 0 {
					u.port = -1
				}
				if p.override != stNone {
					return nil
				}
			}
			if p.override != stNone {
				return errURL
			}
			state, i = stPathStart, j
		case stFile:
			u.scheme = "file"
			u.host, u.hasHost = "", true
			switch {
			case !end && (c == '/' || c == '\\'):
				state = stFileSlash
				i++
			case p.base != nil && p.base.scheme == "file":
				u.host, u.hasHost = p.base.host, p.base.hasHost
				u.path = append([]string(nil), p.base.path...)
				u.query, u.hasQuery = p.base.query, p.base.hasQuery
				switch {
				case !end && c == '?':
					u.query, u.hasQuery = "", true
					state = stQuery
					i++
				case !end && c == '#':
					u.fragment, u.hasFrag = "", true
					state = stFragment
					i++
				case !end:
					u.query, u.hasQuery = "", false
					if !startsWithDrive(in[i:]) {
						u.shorten()
					} else {
						u.path = nil
					}
					state = stPath
				default:
					return nil
				}
			default:
				state = stPath
			}
		case stFileSlash:
			if !end && (c == '/' || c == '\\') {
				state = stFileHost
				i++
				continue
			}
			if p.base != nil && p.base.scheme == "file" {
				u.host, u.hasHost = p.base.host, p.base.hasHost
				if !startsWithDrive(in[i:]) && len(p.base.path) > 0 && isNormalDrive(p.base.path[0]) {
					u.path = append(u.path, p.base.path[0])
				}
			}
			state = stPath
		case stFileHost:
			j := i
			for j < len(in) && strings.IndexByte("/\\?#", in[j]) < 0 {
				j++
			}
			name := in[i:j]
			switch {
			case p.override == stNone && isDrive(name):
				state = stPath
			case name == "":
				u.host, u.hasHost = "", true
				if p.override != stNone {
					return nil
				}
				state = stPathStart
			default:
				host, err := parseHost(name, special())
				if err != nil {
					return err
				}
				if host == "localhost" {
					host = ""
				}
				u.host, u.hasHost = host, true
				if p.override != stNone {
					return nil
				}
				state, i = stPathStart, j
			}
		case stPathStart:
			switch {
			case special():
				state = stPath
				if !end && (c == '/' || c == '\\') {
					i++
				}
			case p.override == stNone && !end && c == '?':
				u.query, u.hasQuery = "", true
				state = stQuery
				i++
			case p.override == stNone && !end && c == '#':
				u.fragment, u.hasFrag = "", true
				state = stFragment
				i++
			case !end:
				state = stPath
				if c == '/' {
					i++
				}
			default:
				if p.override != stNone && !u.hasHost {
					u.path = append(u.path, "")
				}
				return nil
			}
		case stPath:
			j := i
			for j < len(in) && !(in[j] == '/' || in[j] == '\\' && special() || p.override == stNone && (in[j] == '?' || in[j] == '#')) {
				j++
			}
			p.segment(encoded(in[i:j], &setPath), j < len(in) && (in[j] == '/' || in[j] == '\\' && special()))
			if j == len(in) {
				return nil
			}
			i = j + 1
			switch in[j] {
			case '?':
				u.query, u.hasQuery = "", true
				state = stQuery
			case '#':
				u.fragment, u.hasFrag = "", true
				state = stFragment
			}
		case stOpaquePath:
			j := i
			for j < len(in) && in[j] != '?' && in[j] != '#' {
				j++
			}
			path := encoded(in[i:j], &setC0)
			if j < len(in) && strings.HasSuffix(path, " ") {
				path = path[:len(path)-1] + "%20"
			}
			u.path[0] = path
			if j == len(in) {
				return nil
			}
			i = j + 1
			if in[j] == '?' {
				u.query, u.hasQuery = "", true
				state = stQuery
			} else {
				u.fragment, u.hasFrag = "", true
				state = stFragment
			}
		case stQuery:
			j := len(in)
			if p.override == stNone {
				if k := strings.IndexByte(in[i:], '#'); k >= 0 {
					j = i + k
				}
			}
			set := &setQuery
			if special() {
				set = &setSpecialQuery
			}
			u.query += encoded(in[i:j], set)
			if j == len(in) {
				return nil
			}
			u.fragment, u.hasFrag = "", true
			state, i = stFragment, j+1
		case stFragment:
			u.fragment += encoded(in[min(i, len(in)):], &setFragment)
			return nil
		}
	}
}

// inherit takes the authority of the base, and its path if asked.
func (p *urlParser) inherit(path bool) {
	u, b := p.u, p.base
	u.username, u.password, u.host, u.hasHost, u.port = b.username, b.password, b.host, b.hasHost, b.port
	if path {
		u.path = append([]string(nil), b.path...)
	}
}

// segment adds one segment to the path; slash says that another one follows.
func (p *urlParser) segment(s string, slash bool) {
	u := p.u
	switch {
	case isDoubleDot(s):
		u.shorten()
		if !slash {
			u.path = append(u.path, "")
		}
	case isSingleDot(s):
		if !slash {
			u.path = append(u.path, "")
		}
	default:
		if u.scheme == "file" && len(u.path) == 0 && isDrive(s) {
			s = s[:1] + ":"
		}
		u.path = append(u.path, s)
	}
}
