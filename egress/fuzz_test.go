package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// everyName resolves every name to the same addresses.
type everyName []netip.Addr

func (e everyName) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return e, nil }

// forbiddenAddress is written apart from the table under test, with the
// standard library's predicates and byte comparisons.
func forbiddenAddress(a netip.Addr) bool {
	if a.Zone() != "" || a.Is4In6() {
		return true
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		switch {
		case b[0] == 0, b[0] >= 240, b[0] == 100 && b[1]&0xc0 == 64, b[0] == 198 && b[1]&0xfe == 18:
			return true
		}
		switch [3]byte(b[:3]) {
		case [3]byte{192, 0, 0}, [3]byte{192, 0, 2}, [3]byte{192, 88, 99}, [3]byte{198, 51, 100}, [3]byte{203, 0, 113}:
			return true
		}
		return b == [4]byte{168, 63, 129, 16}
	}
	b := a.As16()
	switch {
	case b[0]&0xe0 != 0x20, b[0] == 0x20 && b[1] == 0x02, b[0] == 0x20 && b[1] == 0x01 && b[2] < 2,
		b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8, b[0] == 0x3f && b[1] == 0xff && b[2] < 0x10:
		return true
	}
	return false
}

// FuzzDo sends a request for any URL, to names that resolve to any two
// addresses. Whatever happens, no forbidden address is dialled, nothing is
// dialled for a host that no rule names, and no answer with a forbidden address
// in it leads to a connection.
func FuzzDo(f *testing.F) {
	add := func(url string, addrs ...string) {
		var raw []byte
		for _, a := range addrs {
			b := netip.MustParseAddr(a).As16()
			raw = append(raw, b[:]...)
		}
		f.Add(url, raw)
	}
	for _, c := range decisionCases() {
		add(c.url, public, "10.0.0.1")
		add(c.url, "2606:4700::1111", public)
	}
	for _, addrs := range addressAnswers {
		plain := []string{}
		for _, a := range addrs {
			plain = append(plain, strings.TrimSuffix(a, "%lo"))
		}
		add("http://x.example/", plain...)
	}
	f.Fuzz(func(t *testing.T, raw string, bytes []byte) {
		u, err := url.Parse(raw)
		if err != nil {
			u = &url.URL{Scheme: "http", Host: raw, Path: "/"}
		}
		var addrs everyName
		for ; len(bytes) >= 16 && len(addrs) < 2; bytes = bytes[16:] {
			a := netip.AddrFrom16([16]byte(bytes[:16]))
			if len(bytes)%2 == 0 {
				a = a.Unmap()
			}
			addrs = append(addrs, a)
		}
		var mu sync.Mutex
		var dialled []string
		config := decisionConfig()
		config.Allow = append(config.Allow, Rule{Host: "*.example"}, Rule{Host: "0.0.0.0"}, Rule{Host: "169.254.169.254"}, Rule{Host: "[::ffff:7f00:1]"})
		config.AllowIP, config.Resolver = nil, addrs
		config.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dialled = append(dialled, addr)
			return nil, errors.New("no network")
		}
		p, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var calls []Call
		_, err = p.Do(t.Context(), &http.Request{Method: "GET", URL: u}, Options{Observe: func(c Call) { calls = append(calls, c) }})
		if err == nil {
			t.Fatal("a response without a network")
		}
		if len(calls) != 1 {
			t.Fatalf("%d calls for one hop", len(calls))
		}
		mu.Lock()
		defer mu.Unlock()
		_, refused := errors.AsType[*Refusal](err)
		if refused && len(dialled) > 0 {
			t.Fatalf("%q was refused and dialled %q", raw, dialled)
		}
		for _, d := range dialled {
			to := netip.MustParseAddrPort(d).Addr()
			if forbiddenAddress(to) {
				t.Fatalf("%q dialled %s", raw, d)
			}
			literal := calls[0].Host == to.String()
			if !literal {
				for _, a := range addrs {
					if forbiddenAddress(a) {
						t.Fatalf("%q dialled %s of an answer with %s", raw, d, a)
					}
				}
			}
			host := calls[0].Host
			named := literal || strings.HasSuffix(host, ".example") || host == "api.example.com" || host == "svc.example.com"
			if !named {
				t.Fatalf("%q dialled %s for %q, which no rule names", raw, d, host)
			}
		}
	})
}

// FuzzTarget checks that normalising is stable: the URL that is sent is read as
// the very target that was decided on.
func FuzzTarget(f *testing.F) {
	for _, c := range decisionCases() {
		f.Add(c.url)
	}
	f.Add("http://a.example/%2e%2e/./../b//../c;x?y z#f")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		first, _, err := parseTarget(u)
		if err != nil {
			return
		}
		sent, err := first.url()
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if sent.EscapedPath() != first.path {
			t.Fatalf("%q: decided on path %q, sends %q", raw, first.path, sent.EscapedPath())
		}
		if host := sent.Hostname(); host != first.host {
			t.Fatalf("%q: decided on host %q, sends %q", raw, first.host, host)
		}
		again, err := url.Parse(sent.String())
		if err != nil {
			t.Fatalf("%q sends %q: %v", raw, sent, err)
		}
		second, _, err := parseTarget(again)
		if err != nil || strings.ReplaceAll(second.query, " ", "%20") != first.query && !strings.Contains(first.query, "#") {
			t.Fatalf("%q: %+v then %+v, %v", raw, first, second, err)
		}
		second.query = first.query
		if second != first {
			t.Fatalf("%q: %+v then %+v", raw, first, second)
		}
		if path, err := plainPath(first.path); err == nil && hasDotSegment(path) {
			t.Fatalf("%q passes with path %q", raw, path)
		}
	})
}
