package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// schemeTCP is the scheme of a target that is a connection and not a request.
const schemeTCP = "tcp"

// Conn is a connection that a policy has opened. It is reported once, when it is closed.
type Conn struct {
	net.Conn
	host    string
	policy  *Policy
	call    Call
	begun   time.Time
	observe func(Call)
	in, out *atomic.Int64
	once    *sync.Once
	bill    *bill
	watch   *watch // what is written; nil where nothing is looked for
	seen    *seen
}

// Connect opens a TCP connection to address, a host and a port. One allow rule must name the host together with the port
// and be without methods and paths; the addresses are decided as those of requests are. observe, when set, is called once:
// when the connection was refused, has failed or was closed. The error is a *Refusal or a *Failure.
func (p *Policy) Connect(ctx context.Context, address string, observe func(Call)) (*Conn, error) {
	c, _, err := p.connect(ctx, address, false, observe)
	return c, err
}

// Tunnel opens a connection for a program that asks a proxy for it (RFC 9110, section 9.3.6). It is allowed where Connect is, and besides
// where a rule allows https to the host and port and asks for nothing that a tunnel hides: methods, paths, credentials, DLP. Then secure
// is true, and the caller lets nothing pass but TLS to that host.
func (p *Policy) Tunnel(ctx context.Context, address string, observe func(Call)) (c *Conn, secure bool, err error) {
	return p.connect(ctx, address, true, observe)
}

// overTLS decides about a tunnel in which there is TLS.
func (p *Policy) overTLS(t target) verdict {
	t.scheme, t.path = "https", "/"
	v := p.rules.decide(t, "CONNECT")
	hidden := ""
	switch {
	case !v.allow:
		return v
	case len(v.match.paths) > 0:
		hidden = "the paths of requests"
	case len(v.match.inject) > 0:
		hidden = "the requests that credentials are put into"
	case p.dlp != nil:
		return verdict{rule: RuleDLP, reason: "a tunnel hides what leaves; the proxy has to intercept it"}
	default:
		return v
	}
	return verdict{rule: v.rule, reason: "a tunnel hides " + hidden + "; the proxy has to intercept it"}
}

func (p *Policy) connect(ctx context.Context, address string, tunnel bool, observe func(Call)) (_ *Conn, secure bool, _ error) {
	begun := time.Now()
	report := func(c Call) {
		if observe != nil {
			c.Duration = time.Since(begun)
			observe(c)
		}
	}
	call := Call{Policy: p.Name(), Method: "CONNECT", Scheme: schemeTCP, Decision: Refused}
	refuse := func(rule, reason string) (*Conn, bool, error) {
		call.Rule, call.Reason = rule, reason
		report(call)
		r := &Refusal{Policy: call.Policy, Method: call.Method, Host: call.Host, Rule: rule, Reason: reason}
		if call.Host != "" {
			r.Origin = target{scheme: schemeTCP, host: call.Host, port: call.Port}.origin()
		}
		switch rule {
		case RuleBudget:
			r.code = CodeBudget
		case RuleHold:
			r.code = CodeHeld
		}
		return nil, false, r
	}
	if p == nil || p.dialer == nil {
		return refuse(RuleNoPolicy, "the agent has no egress policy")
	}
	host, port, err := splitHostPort(address)
	if err == nil && port == 0 {
		err = errors.New("the address has no port")
	}
	if err != nil {
		return refuse(RuleHost, err.Error())
	}
	name, addr, err := parseHost(host)
	if err != nil {
		return refuse(RuleHost, err.Error())
	}
	t := target{scheme: schemeTCP, host: name, addr: addr, port: port}
	call.Host, call.Port = name, port
	v := p.rules.decide(t, call.Method)
	if !v.allow && tunnel {
		v, secure = p.overTLS(t), true
	}
	passed := decided{Allowed, v.rule, ""}
	if !v.allow {
		if !p.report {
			return refuse(v.rule, v.reason)
		}
		passed = decided{Reported, v.rule, v.reason}
	}
	call.Rule = v.rule
	var held string
	if call.First, held = p.meet(ctx, name); held != "" {
		if !p.report {
			return refuse(RuleHold, held)
		}
		passed = decided{Reported, RuleHold, held}
	}
	bill := new(bill)
	spent := func(reason string) error {
		if p.report {
			passed = decided{Reported, RuleBudget, reason}
			return nil
		}
		return errors.New(reason)
	}
	if err := bill.open(ctx, p.budgetsOf(v.match), spent); err != nil {
		return refuse(RuleBudget, err.Error())
	}
	opened := false
	defer func() {
		if !opened {
			bill.settle(false)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := p.dialer.DialContext(ctx, "tcp", net.JoinHostPort(name, strconv.Itoa(int(port))))
	if err != nil {
		if refused, ok := errors.AsType[*dialRefusal](err); ok {
			return refuse(RuleAddress, refused.reason)
		}
		f := &Failure{Policy: call.Policy, Method: call.Method, Origin: t.origin(), Kind: KindConnect}
		if failed, ok := errors.AsType[*dialFailure](err); ok {
			f.Kind = failed.kind
		}
		call.Decision, call.Reason = passed.decision, f.Kind
		report(call)
		return nil, false, f
	}
	call.Decision, call.Reason = passed.decision, passed.reason
	c := &Conn{Conn: conn, host: name, policy: p, call: call, begun: begun, observe: observe,
		in: new(atomic.Int64), out: new(atomic.Int64), once: new(sync.Once), seen: new(seen), bill: bill}
	if s := p.dlp.search(v.match); s != nil && !secure {
		if s.err != nil {
			conn.Close()
			return refuse(RuleDLP, "the secrets that may not leave cannot be read")
		}
		c.watch = &watch{search: s}
	}
	opened = true
	return c, secure, nil
}

// Refuse closes the connection and notes that a rule did.
func (c *Conn) Refuse(rule, reason string) error {
	c.seen.refuse(rule, reason)
	_ = c.Close()
	return c.refusal(rule, reason)
}

// seen is what DLP found in what was written, and what ended the connection.
type seen struct {
	mu      sync.Mutex
	found   []string
	refused decided
}

func (s *seen) refuse(rule, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = decided{Refused, rule, reason}
}

func (s *seen) add(thing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.found, thing) && len(s.found) < maxFound {
		s.found = append(s.found, thing)
	}
}

// tell writes into a call what was found.
func (s *seen) tell(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Found = slices.Clone(s.found); s.refused.rule != "" {
		c.Decision, c.Rule, c.Reason = s.refused.decision, s.refused.rule, s.refused.reason
	}
}

// StartTLS does the client's part of a TLS handshake over c, which must not be used any more. The certificate must be
// valid for the host that c was opened to.
func (c *Conn) StartTLS(ctx context.Context) (*Conn, error) {
	over := *c
	secured := tls.Client(c, &tls.Config{ServerName: c.host, RootCAs: c.policy.roots, MinVersion: tls.VersionTLS12})
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, &Failure{Policy: c.call.Policy, Method: c.call.Method, Origin: target{scheme: schemeTCP, host: c.host, port: c.call.Port}.origin(), Kind: KindTLS}
	}
	over.Conn = secured
	over.in, over.out = new(atomic.Int64), new(atomic.Int64) // the bytes are counted beneath
	c.watch, over.bill = nil, new(bill)                      // what is written is looked at above, and paid for beneath
	return &over, nil
}

// CloseWrite ends what is sent.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err := c.pay(n); err != nil {
		return 0, err
	}
	c.in.Add(int64(n))
	return n, err
}

// pay pays for bytes that pass. A connection that costs more than there is is closed.
func (c *Conn) pay(n int) error {
	return c.bill.cover(context.Background(), n, func(reason string) error {
		if c.policy.report {
			return nil
		}
		c.seen.refuse(RuleBudget, reason)
		_ = c.Conn.Close()
		return c.refusal(RuleBudget, reason)
	})
}

func (c *Conn) refusal(rule, reason string) *Refusal {
	t := target{scheme: schemeTCP, host: c.host, port: c.call.Port}
	r := &Refusal{Policy: c.call.Policy, Method: c.call.Method, Host: c.host, Origin: t.origin(), Rule: rule, Reason: reason}
	if rule == RuleBudget {
		r.code = CodeBudget
	}
	return r
}

// Write sends p, unless it completes what must not leave: then the connection is closed, and the error is a *Refusal.
func (c *Conn) Write(p []byte) (int, error) {
	if c.watch != nil {
		if thing := c.watch.find(p); thing != "" {
			refused := c.policy.dlp.action != DLPReport && !c.policy.report
			c.seen.add(thing + " in the stream")
			if refused {
				reason := "the stream holds " + thing + ", which may not leave to this host"
				c.seen.refuse(RuleDLP, reason)
				_ = c.Conn.Close()
				return 0, c.refusal(RuleDLP, reason)
			}
		}
	}
	if err := c.pay(len(p)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

// Close ends the connection and reports it.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.bill.settle(true)
		if c.observe != nil {
			done := c.call
			done.BytesIn, done.BytesOut, done.Duration = c.in.Load(), c.out.Load(), time.Since(c.begun)
			c.seen.tell(&done)
			c.observe(done)
		}
	})
	return err
}

// upgraded is the connection of a WebSocket. Its hop is reported when it is closed.
type upgraded struct {
	io.ReadWriteCloser
	hop  *hop
	in   atomic.Int64
	once sync.Once
}

func (u *upgraded) Read(p []byte) (int, error) {
	n, err := u.ReadWriteCloser.Read(p)
	if err := u.hop.cover(n); err != nil {
		return 0, u.refuse(err.(*Refusal))
	}
	u.in.Add(int64(n))
	return n, err
}

// refuse ends a connection that costs more than there is.
func (u *upgraded) refuse(r *Refusal) error {
	u.hop.mu.Lock()
	u.hop.cut = r
	u.hop.mu.Unlock()
	_ = u.ReadWriteCloser.Close()
	return r
}

func (u *upgraded) Write(p []byte) (int, error) {
	if err := u.hop.cover(len(p)); err != nil {
		return 0, u.refuse(err.(*Refusal))
	}
	n, err := u.ReadWriteCloser.Write(p)
	u.hop.sent.Add(int64(n))
	return n, err
}

func (u *upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	u.once.Do(func() {
		u.hop.finish(u.in.Load(), "")
		u.hop.release()
	})
	return err
}
