package egress

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// hop is one request on its way: decided, sent, answered, reported once.
type hop struct {
	x       *exchange
	number  int
	target  target
	method  string
	rule    string // that allowed it
	status  int
	started time.Time
	sent    atomic.Int64
	tooLong atomic.Bool             // the request body passed its limit
	url     *url.URL                // what was sent, without credentials
	match   *rule                   // that allowed it; nil for none
	strike  Search                  // what is struck out of the response; nil for nothing
	first   bool                    // the first call of its host
	bill    bill                    // what the hop costs; settled when it is reported
	leak    atomic.Pointer[Refusal] // of the request body
	mu      sync.Mutex              // guards what follows
	found   []string
	cut     *Refusal // that ended a connection
	would   verdict  // that a policy in report mode passed over
	ended   bool
	last    bool
}

func (x *exchange) newHop() *hop {
	h := &hop{x: x, number: x.hops, method: x.method, started: time.Now()}
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
	if err := h.bill.open(x.ctx, p.budgetsOf(h.match), h.spent); err != nil {
		h.drop(out)
		return nil, h.refused(err.(*Refusal))
	}
	x.body = nil // the transport closes it from here on
	pools := p.pools()
	var via http.RoundTripper = pools.secure
	if h.target.scheme == "http" && !x.opt.WebSocket {
		via = pools.plain
	}
	resp, err := via.RoundTrip(out)
	if err != nil {
		return nil, h.fail(err)
	}
	h.status = resp.StatusCode
	if err := h.strikeOut(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if conn, ok := resp.Body.(io.ReadWriteCloser); ok && x.opt.WebSocket {
			resp.Body, resp.Request = &upgraded{ReadWriteCloser: conn, hop: h}, nil
			return resp, nil
		}
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
	if err := h.guardHost(); err != nil {
		return nil, err
	}
	v := p.rules.decide(t, h.method)
	h.rule, h.match = v.rule, v.match
	if err := h.judge(v); err != nil {
		return nil, err
	}
	header, err := outgoing(x.header)
	if err != nil {
		return nil, h.refuse(RuleHeader, err.Error())
	}
	if x.opt.WebSocket {
		upgrade(header)
	}
	if x.body != nil && p.maxRequest >= 0 && x.length > p.maxRequest {
		return nil, h.requestTooLarge()
	}
	to, err := t.url()
	if err != nil {
		return nil, h.refuse(RuleURL, "the path's percent-encoding is not valid")
	}
	h.url = to
	if err := h.guardHead(header); err != nil {
		return nil, err
	}
	if err := h.meet(); err != nil {
		return nil, err
	}
	out := (&http.Request{
		Method: h.method, URL: to, Header: header, Close: p.closed.Load(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(x.ctx)
	if x.body != nil {
		if err := h.attach(out); err != nil {
			return nil, err
		}
	}
	if err := h.inspect(out); err != nil {
		return nil, err
	}
	if err := h.inject(out); err != nil {
		return nil, err
	}
	if err := h.sign(out); err != nil {
		return nil, err
	}
	return out, nil
}

// drop closes the body of a request that does not leave.
func (h *hop) drop(out *http.Request) {
	if out.Body != nil {
		out.Body.Close()
	}
	h.x.body = nil
}

// attach gives the request its body, as it is held to the policy.
func (h *hop) attach(out *http.Request) error {
	x, search := h.x, h.search()
	wrap := func(body io.ReadCloser) io.ReadCloser {
		body = h.guardBody(body, search)
		return &requestBody{ReadCloser: &costly{body, h}, limit: x.policy.maxRequest, sent: &h.sent, refused: &h.tooLong}
	}
	out.Body, out.ContentLength = wrap(x.body), x.length
	if get := x.getBody; get != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := get()
			if err != nil {
				return nil, err
			}
			return wrap(body), nil
		}
	}
	if !h.wantsWhole(search) {
		if x.policy.dlp.masks() {
			out.ContentLength = -1
		}
		return nil
	}
	whole, err := io.ReadAll(out.Body)
	out.Body.Close()
	x.body = nil
	if err != nil {
		return h.fail(err)
	}
	h.sent.Store(0)
	again := func() (io.ReadCloser, error) {
		return &requestBody{ReadCloser: &costly{io.NopCloser(bytes.NewReader(whole)), h}, limit: Unlimited, sent: &h.sent, refused: &h.tooLong}, nil
	}
	out.Body, _ = again()
	out.GetBody, out.ContentLength = again, int64(len(whole))
	return nil
}

// judge refuses what a verdict refuses, unless the policy only reports.
func (h *hop) judge(v verdict) error {
	if v.allow {
		return nil
	}
	if !h.x.policy.report {
		return h.refuse(v.rule, v.reason)
	}
	h.pass(v)
	return nil
}

// pass passes over a verdict. The first one is reported.
func (h *hop) pass(v verdict) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.would.rule == "" {
		h.would = v
	}
}

// fail turns an error of the transport into a Refusal or a Failure, and reports
// the hop.
func (h *hop) fail(err error) error {
	if h.tooLong.Load() {
		return h.requestTooLarge()
	}
	if r := h.leak.Load(); r != nil {
		return h.refused(r)
	}
	if refused, ok := errors.AsType[*dialRefusal](err); ok {
		return h.refuse(RuleAddress, refused.reason)
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
	op, ok := errors.AsType[*net.OpError](err)
	// crypto/tls reports alerts as operations of these names.
	alerted := ok && (op.Op == "remote error" || op.Op == "local error")
	return verify || record || alerted
}

func (h *hop) requestTooLarge() error {
	r := h.refusal(RuleRequest, "the request body is larger than the policy's limit")
	r.code = CodeRequestTooLarge
	return h.refused(r)
}

// refuse makes a Refusal and reports the hop.
func (h *hop) refuse(rule, reason string) error { return h.refused(h.refusal(rule, reason)) }

func (h *hop) refused(r *Refusal) error {
	h.report(decided{Refused, r.Rule, r.Reason}, 0)
	return r
}

func (h *hop) refusal(rule, reason string) *Refusal {
	r := &Refusal{Policy: h.x.policy.name, Method: h.method, Host: h.target.host, Rule: rule, Reason: reason}
	if h.target.scheme != "" {
		r.Origin = h.target.origin()
	}
	return r
}

// finish reports a hop that was allowed. A hop is reported once: by the error
// that ends it before it has a response, or else by its response's body.
func (h *hop) finish(in int64, reason string) { h.report(h.decision(reason), in) }

// decided is how a hop was decided, by which rule and why.
type decided struct{ decision, rule, reason string }

// decision is that of a hop that was sent; reason is why it failed.
func (h *hop) decision(reason string) decided {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut != nil {
		return decided{Refused, h.cut.Rule, h.cut.Reason}
	}
	if h.would.rule != "" {
		return decided{Reported, h.would.rule, cmp.Or(reason, h.would.reason)}
	}
	return decided{Allowed, h.rule, reason}
}

func (h *hop) report(d decided, in int64) {
	h.bill.settle(h.status != 0)
	if h.x.opt.Observe == nil {
		return
	}
	h.x.opt.Observe(h.call(d, in))
}

// call is the hop as it stands.
func (h *hop) call(d decided, in int64) Call {
	t := h.target
	h.mu.Lock()
	found := slices.Clone(h.found)
	h.mu.Unlock()
	var injected []string
	if h.match != nil {
		injected = h.match.refs
	}
	return Call{
		Injected: injected, Found: found, First: h.first,
		Policy: h.x.policy.name, Method: h.method, Scheme: t.scheme, Host: t.host, Port: t.port, Hop: h.number,
		Decision: d.decision, Rule: d.rule, Reason: d.reason, Status: h.status,
		BytesOut: h.sent.Load(), BytesIn: in, Duration: time.Since(h.started),
	}
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
