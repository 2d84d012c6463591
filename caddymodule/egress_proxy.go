package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

func init() {
	caddy.RegisterModule(new(EgressProxy))
}

// EgressProxy is a forward proxy (RFC 9110, section 3.7) that holds programs to egress policies. Requests that are not for a proxy go on to
// the next handler.
type EgressProxy struct {
	// Policy is the egress policy of clients that have none of their own.
	Policy string `json:"policy,omitempty"`
	// Clients are who may use the proxy.
	Clients []ProxyClient `json:"clients,omitempty"`
	// Intercept are hosts, or *.SUFFIX, or * for all, whose TLS is ended here, so that the policy sees the requests in it. The certificates are
	// signed by an authority of each client's own, which it must trust.
	Intercept []string `json:"intercept,omitempty"`
	Place     string   `json:"place,omitempty"`

	app     *App
	tokens  access.ServiceTokens
	clients map[string]*proxyClient
}

// ProxyClient is a program that may use the proxy.
type ProxyClient struct {
	Name string `json:"name"`
	// Digest is that of its secret, as caddy gatehouse service-token prints it.
	Digest string `json:"digest"`
	// Policy is an egress policy of its own.
	Policy string `json:"policy,omitempty"`
}

type proxyClient struct {
	name      string
	policy    *egress.Policy
	authority *authority // nil: nothing is intercepted
	redact    func(string) string
}

// CaddyModule returns the module's registration.
func (*EgressProxy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_egress_proxy", New: func() caddy.Module { return new(EgressProxy) }}
}

// Provision makes the clients' policies and authorities.
func (p *EgressProxy) Provision(ctx caddy.Context) (err error) {
	if p.app, err = appOf(ctx); err != nil {
		return err
	}
	p.clients = map[string]*proxyClient{}
	for _, c := range p.Clients {
		if err := p.addClient(c); err != nil {
			return at(p.Place, "egress_proxy: client %s: %w", c.Name, err)
		}
	}
	return nil
}

func (p *EgressProxy) addClient(c ProxyClient) error {
	if !secrets.ValidName(c.Name) {
		return errors.New("a client's name has lower-case letters, digits, _ and -")
	}
	if err := p.tokens.Add(c.Name, c.Digest); err != nil {
		return err
	}
	name := c.Policy
	if name == "" {
		name = p.Policy
	}
	if p.app.Egress[name] == nil {
		return fmt.Errorf("egress %s: no such policy; define it in the global gatehouse block with: egress %s { ... } (there are: %s)", name, name, names(p.app.Egress))
	}
	client := &proxyClient{name: c.Name, redact: func(s string) string { return s }}
	var vault *secrets.Vault
	if len(p.Intercept) > 0 || p.app.Egress[name].wants() {
		var err error
		if vault, err = p.app.openVault(); err != nil {
			return err
		}
		client.redact = func(s string) string {
			r, err := vault.Redactor()
			if err != nil {
				return ""
			}
			return r.Redact(s)
		}
	}
	if len(p.Intercept) > 0 {
		client.authority = &authority{client: c.Name, vault: vault}
	}
	var err error
	if client.policy, err = p.app.egressPolicy(name, "client "+c.Name); err != nil {
		return err
	}
	p.clients[c.Name] = client
	return nil
}

// Cleanup closes the policies.
func (p *EgressProxy) Cleanup() error {
	for _, c := range p.clients {
		c.policy.Close()
	}
	return nil
}

// ServeHTTP answers requests that are for a proxy.
func (p *EgressProxy) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.Method != http.MethodConnect && r.URL.Host == "" {
		return next.ServeHTTP(w, r)
	}
	v, w, r := p.app.enter(w, r, "egress_proxy")
	return v.through(func() error { return p.serve(v, w, r) })
}

func (p *EgressProxy) serve(v *visit, w http.ResponseWriter, r *http.Request) error {
	name, secret, ok := proxyCredentials(r)
	if !ok {
		w.Header().Set("Proxy-Authenticate", `Basic realm="gatehouse", charset="UTF-8"`)
		return v.refuse("egress_proxy", http.StatusProxyAuthRequired, "no client's name and secret came with the request")
	}
	who, err := p.tokens.Verify(name, secret)
	if !v.identified("proxy client", who, err) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="gatehouse", charset="UTF-8"`)
		return v.refuse("egress_proxy", http.StatusProxyAuthRequired, "the client's name and secret do not belong together")
	}
	if err := p.app.await(r.Context()); err != nil {
		return v.refuse("egress_proxy", http.StatusServiceUnavailable, "%w", err)
	}
	t := &proxyTrip{v: v, client: p.clients[who.Subject]}
	if r.Method != http.MethodConnect {
		return t.forward(w, r, r.URL)
	}
	if r.ProtoMajor != 1 {
		return v.refuse("egress_proxy", http.StatusHTTPVersionNotSupported, "a tunnel needs HTTP/1.1")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err == nil && p.intercepts(host) {
		return t.intercept(w, r)
	}
	return t.tunnel(w, r)
}

// intercepts tells whether the host's TLS is ended here.
func (p *EgressProxy) intercepts(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(p.Intercept, func(pattern string) bool {
		suffix, wild := strings.CutPrefix(pattern, "*")
		return pattern == host || wild && strings.HasSuffix(host, suffix)
	})
}

// proxyCredentials are those of the header Proxy-Authorization (RFC 7617).
func proxyCredentials(r *http.Request) (name, secret string, ok bool) {
	asked := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return asked.BasicAuth()
}

// proxyTrip is what one request to the proxy does.
type proxyTrip struct {
	v      *visit
	client *proxyClient
}

// forward sends one request on, and its answer back. Redirects are for the client to follow, and decided anew then.
func (t *proxyTrip) forward(w http.ResponseWriter, r *http.Request, to *url.URL) error {
	out := &http.Request{Method: r.Method, URL: to, Header: r.Header.Clone(), Body: r.Body, ContentLength: r.ContentLength}
	if r.ContentLength == 0 {
		out.Body = nil
	}
	out.Header.Add("Via", "1.1 gatehouse")
	hops := map[int]int{}
	opt := egress.Options{
		Redirect: egress.RedirectManual, WebSocket: strings.EqualFold(r.Header.Get("Upgrade"), "websocket"),
		Observe: func(c egress.Call) { noteCall(t.v.rec, t.client.redact, hops, c, true, "") },
	}
	got, err := t.client.policy.Do(r.Context(), out, opt)
	if err != nil {
		return t.failed(w, err)
	}
	noteCall(t.v.rec, t.client.redact, hops, got.Call, false, "")
	header := got.Response.Header
	upgraded := got.Response.StatusCode == http.StatusSwitchingProtocols
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		if !upgraded {
			header.Del(name)
		}
	}
	header.Add("Via", "1.1 gatehouse")
	if upgraded {
		return t.upgrade(w, got)
	}
	return send(w, &agentruntime.Response{Status: got.Response.StatusCode, Header: header, Body: got.Response.Body})
}

// upgrade joins both ends of a WebSocket.
func (t *proxyTrip) upgrade(w http.ResponseWriter, got *egress.Result) error {
	far := got.Response.Body.(io.ReadWriteCloser)
	if got.Check != nil {
		far.Close()
		return t.answer(w, http.StatusForbidden, egress.CodeDenied, "the policy looks for what must not leave, and does not look into WebSockets of programs (rule: dlp)")
	}
	near, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		far.Close()
		return err
	}
	head := http.Response{StatusCode: http.StatusSwitchingProtocols, ProtoMajor: 1, ProtoMinor: 1, Header: got.Response.Header}
	t.v.writer.status = head.StatusCode
	if err := head.Write(near); err != nil {
		near.Close()
		far.Close()
		return nil
	}
	join(buffered{near, in.Reader}, far)
	return nil
}

// tunnel joins the client with the host that it names.
func (t *proxyTrip) tunnel(w http.ResponseWriter, r *http.Request) error {
	far, secure, err := t.client.policy.Tunnel(r.Context(), r.Host, func(c egress.Call) { noteCall(t.v.rec, t.client.redact, map[int]int{}, c, true, "") })
	if err != nil {
		return t.failed(w, err)
	}
	near, err := t.established(w)
	if err != nil {
		far.Close()
		return err
	}
	if secure {
		host, _, _ := net.SplitHostPort(r.Host)
		hello, name, err := readHello(near)
		if err != nil || !sameHost(name, host) {
			_ = far.Refuse(egress.RuleHost, "what the tunnel begins with is no TLS to the host that it is for")
			near.Close()
			return nil
		}
		if _, err := far.Write(hello); err != nil {
			far.Close()
			near.Close()
			return nil
		}
	}
	join(near, far)
	return nil
}

// sameHost tells whether the name that a handshake asks for is the host's; none is asked for by address (RFC 6066, section 3).
func sameHost(name, host string) bool {
	if name == "" {
		return net.ParseIP(strings.Trim(host, "[]")) != nil
	}
	return strings.EqualFold(name, strings.TrimSuffix(host, "."))
}

// established takes the connection over and tells the client that the tunnel is there.
func (t *proxyTrip) established(w http.ResponseWriter) (net.Conn, error) {
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	t.v.writer.status = http.StatusOK
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return buffered{conn, in.Reader}, nil
}

// buffered is a connection of which something has been read already.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// CloseWrite ends what is sent.
func (b buffered) CloseWrite() error { return closeWrite(b.Conn) }

func closeWrite(c io.ReadWriteCloser) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// join copies both ways until both have ended, or one has failed, and closes both.
func join(a, b io.ReadWriteCloser) {
	var both sync.WaitGroup
	one := func(to, from io.ReadWriteCloser) {
		if _, err := io.Copy(to, from); err != nil || closeWrite(to) != nil {
			a.Close()
			b.Close()
		}
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
	a.Close()
	b.Close()
}

// failed answers a request that was refused, or failed.
func (t *proxyTrip) failed(w http.ResponseWriter, err error) error {
	var refused *egress.Refusal
	if !errors.As(err, &refused) {
		if errors.Is(err, context.Canceled) {
			return t.v.refusal("egress_proxy", statusClientGone, err)
		}
		return t.answer(w, http.StatusBadGateway, egress.CodeFailed, err.Error())
	}
	t.v.rec.Write(func(e *record.Entry) { e.Decided.RefusedBy = "egress_proxy" })
	status := http.StatusForbidden
	switch refused.Code() {
	case egress.CodeBudget:
		status = http.StatusTooManyRequests
	case egress.CodeHeld:
		w.Header().Set("Retry-After", "60")
		status = http.StatusServiceUnavailable
	case egress.CodeTimeout:
		status = http.StatusGatewayTimeout
	case egress.CodeRequestTooLarge:
		status = http.StatusRequestEntityTooLarge
	case egress.CodeResponseTooLarge:
		status = http.StatusBadGateway
	}
	return t.answer(w, status, refused.Code(), refused.Error())
}

// answer writes a problem document, with the code that fetch of an agent would reject with.
func (t *proxyTrip) answer(w http.ResponseWriter, status int, code, detail string) error {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", t.v.rec.ID())
	w.WriteHeader(status)
	p := newProblem("egress_proxy", status, t.v.rec.ID())
	p.Detail = t.client.redact(detail)
	return json.NewEncoder(w).Encode(struct {
		problem
		Code string `json:"code"`
	}{p, code})
}

// parseEgressProxy reads the directive.
//
//	egress_proxy <policy> {
//		client <name> <digest> [<policy>]
//		intercept [<host...>]
//	}
func parseEgressProxy(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	p := &EgressProxy{Place: place(d)}
	var err error
	if p.Policy, err = oneArg(d); err != nil {
		return nil, d.Err("egress_proxy takes the name of an egress policy, for example: egress_proxy research")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "client":
			err = p.parseClient(d)
		case "intercept":
			hosts := d.RemainingArgs()
			if len(hosts) == 0 {
				hosts = []string{"*"}
			}
			for _, host := range hosts {
				p.Intercept = append(p.Intercept, strings.ToLower(host))
			}
		default:
			err = unknownOption(d, "egress_proxy", "client and intercept")
		}
		if err != nil {
			return nil, err
		}
	}
	if len(p.Clients) == 0 {
		return nil, d.Err("egress_proxy has no clients, so nobody could use it; make one with: caddy gatehouse service-token NAME")
	}
	return p, nil
}

func (p *EgressProxy) parseClient(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 && len(args) != 3 {
		return d.Err("client takes NAME DIGEST [POLICY]; make the first two with: caddy gatehouse service-token NAME")
	}
	if !secrets.ValidName(args[0]) {
		return d.Errf("client %s: a client's name has lower-case letters, digits, _ and -", args[0])
	}
	if err := p.tokens.Add(args[0], args[1]); err != nil {
		return d.WrapErr(err)
	}
	c := ProxyClient{Name: args[0], Digest: args[1]}
	if len(args) == 3 {
		c.Policy = args[2]
	}
	p.Clients = append(p.Clients, c)
	return nil
}

var (
	_ caddy.Provisioner           = (*EgressProxy)(nil)
	_ caddy.CleanerUpper          = (*EgressProxy)(nil)
	_ caddyhttp.MiddlewareHandler = (*EgressProxy)(nil)
)
