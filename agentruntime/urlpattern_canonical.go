package agentruntime

import (
	"strings"
)

// The canonical forms of components, in which patterns and what they match are compared
// (https://urlpattern.spec.whatwg.org/#canon-encoding-callbacks).

func dummyURL() *urlRecord {
	return &urlRecord{scheme: "https", host: "dummy.invalid", hasHost: true, port: -1}
}

// override runs the URL parser over value from one state on.
func (u *urlRecord) override(state urlState, value string) error {
	p := urlParser{u: u, in: dropTabs(value), override: state}
	return p.run(state)
}

func canonicalProtocol(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := parseURL(s+"://dummy.invalid/", nil)
	if err != nil {
		return "", err
	}
	return u.scheme, nil
}

func canonicalUserinfo(s string) (string, error) { return encoded(s, &setUserinfo), nil }

// canonicalDomain is for hosts of special schemes.
func canonicalDomain(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := dummyURL()
	err := u.override(stHostname, s)
	return u.host, err
}

// canonicalHostname is for hosts of any other scheme.
func canonicalHostname(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := &urlRecord{scheme: "dummy", port: -1}
	err := u.override(stHostname, s)
	return u.host, err
}

func canonicalIPv6(s string) (string, error) {
	for i := range len(s) {
		if unhex(s[i]) < 0 && strings.IndexByte("[]:", s[i]) < 0 {
			return "", errPattern
		}
	}
	return strings.ToLower(s), nil
}

// canonicalPort drops the port that the protocol has anyway.
func canonicalPort(s, protocol string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := dummyURL()
	if u.scheme = protocol; protocol == "" {
		u.scheme = "dummy"
	}
	if err := u.override(stPort, s); err != nil {
		return "", err
	}
	if u.port < 0 {
		return "", nil
	}
	return itoa(u.port), nil
}

func canonicalPathname(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := dummyURL()
	if strings.HasPrefix(s, "/") {
		err := u.override(stPathStart, s)
		return u.pathname(), err
	}
	// A piece of a path: what is put in front keeps it from being taken for a whole one, and is taken off again.
	err := u.override(stPathStart, "/-"+s)
	return u.pathname()[2:], err
}

func canonicalOpaquePathname(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := &urlRecord{scheme: "dummy", port: -1, opaque: true, path: []string{""}}
	err := u.override(stOpaquePath, s)
	return u.path[0], err
}

func canonicalSearch(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := dummyURL()
	err := u.override(stQuery, s)
	return u.query, err
}

func canonicalHash(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u := dummyURL()
	err := u.override(stFragment, s)
	return u.fragment, err
}

// components are the canonical components of a URL.
func (u *urlRecord) components() [componentCount]string {
	port := ""
	if u.port >= 0 {
		port = itoa(u.port)
	}
	return [componentCount]string{u.scheme, u.username, u.password, u.host, port, u.pathname(), u.query, u.fragment}
}

// process fills an init from its base URL (https://urlpattern.spec.whatwg.org/#process-a-urlpatterninit). For a pattern
// the values stay as they are; otherwise they are components of a URL, are made canonical, and those that are missing are
// empty.
func (i *patternInit) process(pattern bool) (*patternInit, error) {
	out := &patternInit{}
	if !pattern {
		for name := range componentCount {
			out.set(name, "")
		}
	}
	inherited := func(s string) string {
		if pattern {
			return escapePattern(s)
		}
		return s
	}
	var base *urlRecord
	if i.base != nil {
		var err error
		if base, err = parseURL(*i.base, nil); err != nil {
			return nil, err
		}
		from := base.components()
		// What is given cuts off what comes after it in the base URL, and the credentials before it.
		given := []componentName{inProtocol, inHostname, inPort, inPathname, inSearch, inHash}
		for n, name := range given {
			if i.lacks(given[:n+1]...) {
				out.set(name, inherited(from[name]))
			}
		}
		if !pattern && i.lacks(inProtocol, inHostname, inPort, inUsername) {
			out.set(inUsername, from[inUsername])
			if i.lacks(inPassword) {
				out.set(inPassword, from[inPassword])
			}
		}
	}
	for name := range componentCount {
		if i.part[name] == nil {
			continue
		}
		value := *i.part[name]
		protocol := ""
		if out.part[inProtocol] != nil {
			protocol = *out.part[inProtocol]
		}
		switch name {
		case inProtocol:
			value = strings.TrimSuffix(value, ":")
		case inSearch:
			value = strings.TrimPrefix(value, "?")
		case inHash:
			value = strings.TrimPrefix(value, "#")
		case inPathname:
			if base != nil && !base.opaque && !absolutePath(value, pattern) {
				path := inherited(base.pathname())
				value = path[:strings.LastIndexByte(path, '/')+1] + value
			}
		}
		if !pattern {
			var err error
			if value, err = canonicalPart(name, value, protocol); err != nil {
				return nil, err
			}
		}
		out.set(name, value)
	}
	return out, nil
}

func absolutePath(s string, pattern bool) bool {
	return strings.HasPrefix(s, "/") || pattern && (strings.HasPrefix(s, `\/`) || strings.HasPrefix(s, "{/"))
}

// canonicalPart makes one component of a URL canonical.
func canonicalPart(name componentName, value, protocol string) (string, error) {
	special := protocol == "" || isSpecial(protocol)
	switch name {
	case inProtocol:
		return canonicalProtocol(value)
	case inUsername, inPassword:
		return canonicalUserinfo(value)
	case inHostname:
		if special {
			return canonicalDomain(value)
		}
		return canonicalHostname(value)
	case inPort:
		return canonicalPort(value, protocol)
	case inPathname:
		if special {
			return canonicalPathname(value)
		}
		return canonicalOpaquePathname(value)
	case inSearch:
		return canonicalSearch(value)
	}
	return canonicalHash(value)
}
