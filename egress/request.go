package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// RedirectMode is what Do does with a redirect, as the redirect mode of fetch.
type RedirectMode int

// Redirect modes; following is the default.
const (
	RedirectFollow RedirectMode = iota // decide on the next URL anew and follow
	RedirectManual                     // return the redirect as the response
	RedirectError                      // return ErrRedirect
)

// Options change how one request is sent. The zero value follows redirects.
type Options struct {
	// Redirect is the mode; RedirectFollow by default.
	Redirect RedirectMode
	// Observe, when set, is called once for each hop, when it was refused, when
	// it failed, or when its response body ended: read to its end, failed, or
	// closed. It is called from the goroutine that does so and must not block.
	Observe func(Call)
}

// Result is the answer to a request.
type Result struct {
	// Response is the final response. Its Body is never nil, streams, and must
	// be closed by the caller. Its Request is nil.
	Response *http.Response
	// URL is the URL that answered, normalised and without a fragment.
	URL *url.URL
	// Redirected tells whether a redirect was followed.
	Redirected bool
}

// Do decides on req, sends it when it is allowed, and follows redirects as the
// Fetch standard does, each decided anew. Of req only Method, URL, Header, Body,
// GetBody and ContentLength count: the Host field and header are ignored, and
// req is not changed. Its Body is closed in every case, possibly after Do
// returned.
//
// The error is a *Refusal when the policy does not let the request pass, a
// *Failure when the network failed, or ErrRedirect or ErrReplay. A response with
// an error status is no error.
func (p *Policy) Do(ctx context.Context, req *http.Request, opt Options) (*Result, error) {
	body := req.Body
	if body == http.NoBody {
		body = nil
	}
	x := &exchange{policy: p, opt: opt, method: normalMethod(req.Method), url: req.URL,
		header: req.Header, body: body, getBody: req.GetBody, length: req.ContentLength, hadBody: body != nil}
	if p == nil || p.transport == nil {
		x.policy = None
		x.closeBody()
		h := x.newHop()
		h.target, _, _ = parseTarget(req.URL)
		return nil, h.refuse(RuleNoPolicy, "the agent has no egress policy")
	}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	timer := time.AfterFunc(p.timeout, func() { x.cancel(errTimeout) })
	result, err := x.run()
	timer.Stop()
	if err != nil {
		x.cancel(nil)
	}
	return result, err
}

var errTimeout = errors.New("no response in time")

// exchange is one call of Do: the request as it stands before the next hop.
// Its context lives exactly as long as the call and its response body.
type exchange struct {
	policy  *Policy
	opt     Options
	ctx     context.Context
	cancel  context.CancelCauseFunc
	method  string
	url     *url.URL
	header  http.Header
	body    io.ReadCloser
	getBody func() (io.ReadCloser, error)
	length  int64
	hadBody bool // the request has a body, which the last hop may have used up
	hops    int
}

func (x *exchange) run() (*Result, error) {
	for {
		h := x.newHop()
		resp, err := h.send()
		if err != nil {
			return nil, err
		}
		location, follow, err := x.next(h, resp)
		if err != nil {
			resp.Body.Close()
			return nil, err
		}
		if !follow {
			// The last hop's body keeps the context until it ends.
			h.detach()
			return &Result{Response: resp, URL: h.url, Redirected: x.hops > 0}, nil
		}
		drain(resp.Body)
		x.url = location
		x.hops++
	}
}

func (x *exchange) closeBody() {
	if x.body != nil {
		x.body.Close()
		x.body = nil
	}
}

// drain reads a little of a redirect's body, so that its connection can be
// used again, and closes it.
func drain(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 4<<10)
	body.Close()
}

// hop is one request on its way: decided, sent, answered, reported once.
type hop struct {
	x       *exchange
	target  target
	method  string
	rule    string
	status  int
	started time.Time
	sent    atomic.Int64
	tooLong atomic.Bool // the request body passed its limit
	once    sync.Once
	url     *url.URL   // what was sent
	mu      sync.Mutex // guards ended and last
	ended   bool
	last    bool
}

func (x *exchange) newHop() *hop {
	h := &hop{x: x, method: x.method, started: time.Now()}
	if forbiddenMethod(x.method) {
		h.method = ""
	}
	return h
}

// send decides on the hop and performs it. The response's body is a
// *responseBody.
func (h *hop) send() (*http.Response, error) {
	x, p := h.x, h.x.policy
	out, err := h.prepare()
	if err != nil {
		x.closeBody()
		return nil, err
	}
	x.body = nil // the transport closes it from here on
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		return nil, h.fail(err)
	}
	h.status = resp.StatusCode
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		failure := h.newFailure(KindUpgrade)
		h.finish(0, failure.Kind)
		return nil, failure
	}
	known := resp.ContentLength
	if h.method == http.MethodHead {
		known = -1
	}
	wrapped := &responseBody{body: resp.Body, limit: p.maxResponse, known: known, hop: h}
	if resp.Body == http.NoBody {
		defer wrapped.end("")
	}
	resp.Body, resp.Request = wrapped, nil
	return resp, nil
}

// prepare decides on the hop's URL, method and header, and builds the request
// to send from the parts that were decided on.
func (h *hop) prepare() (*http.Request, error) {
	x, p := h.x, h.x.policy
	t, rule, err := parseTarget(x.url)
	h.target = t
	if err != nil {
		return nil, h.refuse(rule, err.Error())
	}
	if h.method == "" {
		return nil, h.refuse(RuleMethod, "the method is not one a request may have")
	}
	v := p.rules.decide(t, h.method)
	h.rule = v.rule
	if !v.allow {
		return nil, h.refuse(v.rule, v.reason)
	}
	if t.addr.IsValid() {
		if rule, reason := p.addresses.refuse(t.addr); rule != "" {
			return nil, h.refuse(rule, reason)
		}
	}
	header, err := outgoing(x.header)
	if err != nil {
		return nil, h.refuse(RuleHeader, err.Error())
	}
	if x.body != nil && p.maxRequest >= 0 && x.length > p.maxRequest {
		return nil, h.requestTooLarge()
	}
	to, err := t.url()
	if err != nil {
		return nil, h.refuse(RuleURL, "the path's percent-encoding is not valid")
	}
	h.url = to
	out := (&http.Request{
		Method: h.method, URL: to, Header: header, Close: p.closed.Load(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(x.ctx)
	if x.body != nil {
		out.Body, out.ContentLength = h.wrap(x.body), x.length
		if get := x.getBody; get != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := get()
				if err != nil {
					return nil, err
				}
				return h.wrap(body), nil
			}
		}
	}
	return out, nil
}

func (h *hop) wrap(body io.ReadCloser) io.ReadCloser {
	return &requestBody{ReadCloser: body, limit: h.x.policy.maxRequest, sent: &h.sent, refused: &h.tooLong}
}

// fail turns an error of the transport into a Refusal or a Failure, and reports
// the hop.
func (h *hop) fail(err error) error {
	if h.tooLong.Load() {
		return h.requestTooLarge()
	}
	if refused, ok := errors.AsType[*dialRefusal](err); ok {
		return h.refuse(refused.rule, refused.reason)
	}
	failure := h.failure(err)
	if r, ok := errors.AsType[*Refusal](failure); ok {
		return h.refused(r)
	}
	h.finish(0, reasonOf(failure))
	return failure
}

// failure maps an error to one without addresses.
func (h *hop) failure(err error) error {
	if context.Cause(h.x.ctx) == errTimeout {
		r := h.refusal(RuleTimeout, "no response arrived within the policy's timeout")
		r.code = CodeTimeout
		return r
	}
	f := h.newFailure(KindExchange)
	if f.ctx = contextError(h.x.ctx); f.ctx != nil {
		f.Kind = KindCancelled
		return f
	}
	if dial, ok := errors.AsType[*dialFailure](err); ok {
		f.Kind = dial.kind
	} else if isTLS(err) {
		f.Kind = KindTLS
	}
	return f
}

func (h *hop) newFailure(kind string) *Failure {
	return &Failure{Policy: h.x.policy.name, Method: h.method, Origin: h.target.origin(), Kind: kind}
}

func isTLS(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	return verify || record || alert || name
}

func (h *hop) requestTooLarge() error {
	r := h.refusal(RuleRequest, "the request body is larger than the policy's limit")
	r.code = CodeRequestTooLarge
	return h.refused(r)
}

// refuse makes a Refusal and reports the hop.
func (h *hop) refuse(rule, reason string) error { return h.refused(h.refusal(rule, reason)) }

func (h *hop) refused(r *Refusal) error {
	h.rule = r.Rule
	h.report(Refused, 0, r.Reason)
	return r
}

func (h *hop) refusal(rule, reason string) *Refusal {
	r := &Refusal{Policy: h.x.policy.name, Method: h.method, Host: h.target.host, Rule: rule, Reason: reason}
	if h.target.scheme != "" {
		r.Origin = h.target.origin()
	}
	return r
}

// finish reports a hop that was allowed.
func (h *hop) finish(in int64, reason string) { h.report(Allowed, in, reason) }

func (h *hop) report(decision string, in int64, reason string) {
	h.once.Do(func() {
		if h.x.opt.Observe == nil {
			return
		}
		t := h.target
		h.x.opt.Observe(Call{
			Policy: h.x.policy.name, Method: h.method, Scheme: t.scheme, Host: t.host, Port: t.port, Hop: h.x.hops,
			Decision: decision, Rule: h.rule, Reason: reason, Status: h.status,
			BytesOut: h.sent.Load(), BytesIn: in, Duration: time.Since(h.started),
		})
	})
}

// detach makes this the last hop: the exchange's context ends with its body.
func (h *hop) detach() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = true
	if h.ended {
		h.x.cancel(nil)
	}
}

// release tells that the hop's body has ended.
func (h *hop) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.last {
		h.x.cancel(nil)
	}
}
