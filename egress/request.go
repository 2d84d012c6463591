package egress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
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
	// WebSocket says that the request is a WebSocket's handshake (RFC 6455, section 4.1): its fields pass. A response with
	// status 101 then has a Body that is an io.ReadWriteCloser; the policy's size limits do not bound it.
	WebSocket bool
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
	// Check looks at a message that is about to be sent over a WebSocket, one after the other. A *Refusal says that it must not leave; the
	// caller then closes the connection. It is nil where nothing is looked for.
	Check func(message []byte) error
	// Call is the last hop as it stood when the response's head arrived. Observe gets it as it ends.
	Call Call
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
	if p == nil || p.dialer == nil {
		x.policy = None
		x.closeBody()
		h := x.newHop()
		h.target, _, _ = parseTarget(req.URL)
		return nil, h.refuse(RuleNoPolicy, "the agent has no egress policy")
	}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	timer := time.AfterFunc(p.timeout, func() { x.cancel(errTimeout) })
	result, err := x.admit()
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

// admit waits for a place among the calls under way, and keeps it for as long as the exchange's context lives.
func (x *exchange) admit() (*Result, error) {
	if x.policy.busy == nil {
		return x.run()
	}
	select {
	case x.policy.busy <- struct{}{}:
		context.AfterFunc(x.ctx, func() { <-x.policy.busy })
		return x.run()
	case <-x.ctx.Done():
		x.closeBody()
		h := x.newHop()
		h.target, _, _ = parseTarget(x.url)
		if context.Cause(x.ctx) != errTimeout {
			return nil, h.fail(x.ctx.Err())
		}
		r := h.refusal(RuleBusy, "as many calls as the policy allows at a time are under way")
		r.code = CodeTimeout
		return nil, h.refused(r)
	}
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
			return &Result{Response: resp, URL: h.url, Redirected: x.hops > 0, Call: h.call(h.decision(""), 0), Check: h.checker()}, nil
		}
		drain(resp.Body)
		x.url = location
		x.hops++
		if x.hops > x.policy.redirects {
			return nil, x.tooMany()
		}
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
