package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Defaults of a Config's zero values.
const (
	DefaultRedirects   = 5
	DefaultMaxResponse = 50 << 20 // bytes
	DefaultMaxRequest  = 10 << 20 // bytes
	DefaultTimeout     = 30 * time.Second
)

// Unlimited turns a size limit off; NoRedirects makes a policy follow none.
const (
	Unlimited   = -1
	NoRedirects = -1
)

// maxIdlePerHost and maxIdle bound the connections kept for later requests: enough that requests side by side to one
// host do not each dial, few enough that a policy with many hosts keeps no crowd of sockets.
const (
	maxIdlePerHost = 64
	maxIdle        = 256
)

// idleTimeout is how long an unused connection is kept. It is short because a
// pooled connection's address was checked when it was opened.
const idleTimeout = 15 * time.Second

// maxHeaderBytes bounds a response's header.
const maxHeaderBytes = 256 << 10

// Config describes a policy. Its zero value refuses every request.
type Config struct {
	// Name is the policy's name in errors and records.
	Name string
	// Allow are the rules; a request needs one that fits it.
	Allow []Rule
	// AllowIP are prefixes whose addresses may be dialled although they are not
	// public unicast. They open addresses, not names: an allow rule must still
	// name the host.
	AllowIP []netip.Prefix
	// Deny are names that are refused with their subdomains, and IP addresses
	// that are never dialled. They win over Allow and AllowIP.
	Deny []string
	// DenyIP are prefixes whose addresses are never dialled. They win over AllowIP.
	DenyIP []netip.Prefix
	// Block is a list of names and addresses that are refused; nil for none. It wins over Allow and AllowIP.
	Block *Feed
	// Redirects is how many redirects one request may follow. 0 means
	// DefaultRedirects, NoRedirects none.
	Redirects int
	// MaxRequest is the most bytes of a request body. 0 means
	// DefaultMaxRequest, Unlimited any.
	MaxRequest int64
	// MaxResponse is the most bytes of a response body, counted after
	// transparent decompression. 0 means DefaultMaxResponse, Unlimited any.
	MaxResponse int64
	// Timeout bounds the time from Do until the headers of the final response,
	// over all redirects, with look-up, connection and sending of the request
	// body. 0 means DefaultTimeout. The response body streams after it and is
	// bounded by the caller's context.
	Timeout time.Duration
	// Secrets has the values that rules inject and DLP looks for; nil where there are none.
	Secrets Secrets
	// DLP is what must not leave; nil looks for nothing.
	DLP *DLP
	// Budgets bound what all calls cost.
	Budgets []Budget
	// Hosts remembers which hosts have been called; nil remembers nothing.
	Hosts Hosts
	// Inspector looks at requests with rules of its own; nil for none.
	Inspector Inspector
	// Signer signs requests; nil for none.
	Signer Signer
	// Concurrency is how many calls may be under way at a time, until their bodies have ended. More wait, and are refused when the timeout is
	// over. 0 means any number.
	Concurrency int
	// Report sends what the rules and DLP would refuse, and reports it. What is malformed, addresses, limits and a credential that cannot be
	// had are refused all the same.
	Report bool
	// Resolver looks names up; nil means the system's resolver.
	Resolver Resolver
	// Dial opens a connection to a checked address, always "tcp" and IP:port;
	// nil means a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Roots are the authorities that servers' certificates are verified with,
	// against the host of the URL; nil means the system's.
	Roots *x509.CertPool
}

// Policy sends the requests it allows. It is safe for concurrent use. The zero
// Policy and a nil *Policy refuse everything by the rule RuleNoPolicy.
type Policy struct {
	name        string
	rules       *ruleSet
	addresses   *addressSet
	redirects   int
	maxRequest  int64 // negative: unlimited
	maxResponse int64 // negative: unlimited
	timeout     time.Duration
	block       *Feed
	kept        atomic.Pointer[pools]
	dialer      *dialer
	roots       *x509.CertPool
	closed      atomic.Bool
	secrets     Secrets
	dlp         *guard
	report      bool
	budgets     []Budget
	hosts       Hosts
	inspector   Inspector
	signer      Signer
	busy        chan struct{} // has a place for each call under way; nil for any number
}

// None is the policy of an agent that has none: everything is refused.
var None = &Policy{}

// New makes a policy. It opens nothing. An error names the rule that is wrong.
func New(config Config) (*Policy, error) {
	fail := func(err error) (*Policy, error) {
		return nil, fmt.Errorf("egress: policy %q: %w", config.Name, err)
	}
	rules, denied, err := newRuleSet(config.Allow, config.Deny)
	if err != nil {
		return fail(err)
	}
	rules.block = config.Block
	addresses := &addressSet{deny: denied, block: config.Block}
	for _, prefix := range config.DenyIP {
		if !prefix.IsValid() {
			return fail(fmt.Errorf("deny_ip %q: the prefix is not valid", prefix))
		}
		addresses.denyPrefixes = append(addresses.denyPrefixes, unmapped(prefix))
	}
	for _, prefix := range config.AllowIP {
		if !prefix.IsValid() {
			return fail(fmt.Errorf("allow_ip %q: the prefix is not valid", prefix))
		}
		addresses.allow = append(addresses.allow, prefix.Masked())
	}
	switch {
	case config.Timeout < 0:
		return fail(fmt.Errorf("timeout %v is negative", config.Timeout))
	case config.Redirects < NoRedirects:
		return fail(fmt.Errorf("redirects %d is negative", config.Redirects))
	case config.MaxResponse < Unlimited, config.MaxRequest < Unlimited:
		return fail(errors.New("a size limit is negative"))
	}
	p := &Policy{
		name:        config.Name,
		rules:       rules,
		addresses:   addresses,
		redirects:   max(orDefault(config.Redirects, DefaultRedirects), 0),
		maxRequest:  orDefault(config.MaxRequest, DefaultMaxRequest),
		maxResponse: orDefault(config.MaxResponse, DefaultMaxResponse),
		timeout:     orDefault(config.Timeout, DefaultTimeout),
	}
	p.dialer, p.roots = newDialer(config, addresses), config.Roots
	p.block, p.secrets, p.report, p.budgets, p.hosts = config.Block, config.Secrets, config.Report, config.Budgets, config.Hosts
	p.inspector, p.signer = config.Inspector, config.Signer
	if p.dlp, err = newGuard(config.DLP, config.Secrets); err != nil {
		return fail(err)
	}
	if config.Concurrency < 0 {
		return fail(fmt.Errorf("concurrency %d is negative", config.Concurrency))
	}
	if config.Concurrency > 0 {
		p.busy = make(chan struct{}, config.Concurrency)
	}
	if config.Secrets == nil && slices.ContainsFunc(config.Allow, func(r Rule) bool { return len(r.Inject) > 0 }) {
		return fail(errors.New("a rule injects credentials, and there are no secrets"))
	}
	p.kept.Store(p.newPools())
	return p, nil
}

// pools are the connections that wait for their next request. Their addresses were decided when they were opened, by the blocklist of that
// time.
type pools struct {
	secure *http.Transport
	plain  *plainTransport
	block  *Blocklist
}

func (p *Policy) newPools() *pools {
	return &pools{newTransport(p.roots, p.dialer), &plainTransport{dial: p.dialer.DialContext}, p.block.blocked()}
}

// pools are those of the blocklist as it is now: when it has changed, no connection of before serves a request that begins.
func (p *Policy) pools() *pools {
	now := p.kept.Load()
	if now.block == p.block.blocked() {
		return now
	}
	next := p.newPools()
	if !p.kept.CompareAndSwap(now, next) {
		return p.kept.Load()
	}
	now.close()
	return next
}

func (l *pools) close() {
	l.secure.CloseIdleConnections()
	l.plain.idle.close()
}

func newDialer(config Config, addresses *addressSet) *dialer {
	d := &dialer{resolver: config.Resolver, addresses: addresses, dial: config.Dial}
	if d.resolver == nil {
		d.resolver = systemResolver{&net.Resolver{}}
	}
	if d.dial == nil {
		d.dial = (&net.Dialer{}).DialContext
	}
	return d
}

// newTransport makes the policy's own connection pool. Proxies of the
// environment are not consulted: they would dial in our place.
func newTransport(roots *x509.CertPool, d *dialer) *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxIdleConns:           maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// References are those of the secrets that its rules name, sorted.
func (p *Policy) References() []string {
	var refs []string
	for _, by := range []map[string][]*rule{p.rules.exact, p.rules.suffix} {
		for _, rules := range by {
			for _, r := range rules {
				refs = append(refs, r.bound...)
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Name is the name from the Config.
func (p *Policy) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Close drops the connections no request is using. Requests that are under way,
// or that still come from work begun before a reload, are served, each on a
// connection of its own that is closed after it.
func (p *Policy) Close() {
	if p == nil || p.dialer == nil {
		return
	}
	p.closed.Store(true)
	p.kept.Load().close()
}

func orDefault[T int | int64 | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}
