package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Resolver looks up the addresses of a name. *net.Resolver is one. Answers are
// judged in the form they have, so an IPv4 address should come unmapped.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialTimeout bounds one look-up and the connection attempts that follow it.
const dialTimeout = 10 * time.Second

// maxAttempts is how many addresses of an answer are tried.
const maxAttempts = 8

// attemptTimeout is the least time one address is given while others remain.
const attemptTimeout = 2 * time.Second

// dialer opens connections only to addresses it has checked.
type dialer struct {
	resolver  Resolver
	addresses *addressSet
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
}

// dialRefusal is what an address check returns through net/http.
type dialRefusal struct{ reason string }

func (e *dialRefusal) Error() string { return e.reason }

// dialFailure is what a failed look-up or connection returns through net/http.
type dialFailure struct{ kind string }

func (e *dialFailure) Error() string { return e.kind }

// DialContext resolves the host of addr once, refuses it unless every address
// of the answer is permitted, and dials the addresses of that answer in turn. A
// pooled connection went through this when it was opened.
func (d *dialer) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	host, port, err := splitAddr(addr)
	if err != nil {
		return nil, &dialFailure{KindConnect}
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if reason := d.addresses.refuse(a); reason != "" {
			return nil, &dialRefusal{reason}
		}
	}
	addrs = addrs[:min(len(addrs), maxAttempts)]
	for i, a := range addrs {
		conn, err := d.attempt(ctx, netip.AddrPortFrom(a.Unmap(), port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
	}
	return nil, &dialFailure{KindConnect}
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return nil, &dialFailure{KindDNS}
	}
	return addrs, nil
}

// attempt dials one address with its share of the time that is left.
func (d *dialer) attempt(ctx context.Context, to netip.AddrPort, remaining int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && remaining > 1 {
		share := max(time.Until(deadline)/time.Duration(remaining), attemptTimeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return d.dial(ctx, "tcp", to.String())
}

func splitAddr(addr string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || host == "" {
		return "", 0, errors.New("address has no host or port")
	}
	return host, uint16(n), nil
}

// systemResolver asks the system's resolver. A name with a dot is looked up as
// it is, never with the search domains of this machine appended: the policy
// decided on the name as written. A single label keeps the search domains, so
// that short names of a container network work when a rule names them.
type systemResolver struct{ resolver *net.Resolver }

func (r systemResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if strings.Contains(host, ".") {
		host += "."
	}
	addrs, err := r.resolver.LookupNetIP(ctx, network, host)
	for i, a := range addrs {
		// The standard library returns IPv4 answers in either form.
		addrs[i] = a.Unmap()
	}
	return addrs, err
}
