package egress

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Codes that Refusal.Code and Failure.Code return. They are stable: agent code
// may compare them.
const (
	CodeDenied           = "EGRESS_DENIED"             // no rule allows the request, or one denies it
	CodeRedirects        = "EGRESS_REDIRECTS"          // more redirects than the policy follows
	CodeResponseTooLarge = "EGRESS_RESPONSE_TOO_LARGE" // the response body passed its limit
	CodeRequestTooLarge  = "EGRESS_REQUEST_TOO_LARGE"  // the request body passed its limit
	CodeTimeout          = "EGRESS_TIMEOUT"            // no response headers within the policy's timeout
	CodeBudget           = "EGRESS_BUDGET"             // the budget is spent
	CodeHeld             = "EGRESS_HELD"               // the host waits for approval
	CodeFailed           = "EGRESS_FAILED"             // allowed, but the network or the peer failed
)

// Errors of a request that the policy allows but that fetch itself must reject.
var (
	// ErrRedirect is returned when a redirect arrives and the request's mode is RedirectError.
	ErrRedirect = errors.New("egress: response is a redirect and the request does not follow redirects")
	// ErrReplay is returned when a redirect needs the request body again and
	// the body was a stream that can be read only once.
	ErrReplay = errors.New("egress: redirect needs the request body again and it can not be replayed")
)

// Names of the built-in rules that a Refusal can carry. The others are the text
// of the configured rule, such as "allow api.example.com" or "deny evil.example".
const (
	RuleNoPolicy  = "no egress policy"
	RuleDefault   = "default deny"
	RuleURL       = "url"
	RuleHost      = "host"
	RuleScheme    = "scheme"
	RuleUserinfo  = "userinfo"
	RuleMethod    = "method"
	RuleHeader    = "header"
	RuleAddress   = "address"
	RuleBlocklist = "blocklist"
	RuleRedirects = "redirects"
	RuleRequest   = "request"
	RuleResponse  = "response"
	RuleTimeout   = "timeout"
	RuleInject    = "inject"
	RuleDLP       = "dlp"
	RuleBusy      = "concurrency"
	RuleBudget    = "budget"
	RuleHold      = "hold"
	RuleWAF       = "waf"
	RuleSign      = "sign"
)

// Refusal is the error of a request that a policy does not let pass. It names
// the rule and the reason, and holds no path, query, header, credential or
// resolved address, so its text may be shown to agent code and written to logs.
type Refusal struct {
	Policy string // the policy's name; empty for None
	Method string // the request's method; empty when it is not a valid token
	Origin string // scheme://host[:port], normalised; empty when the URL has no valid one
	Host   string // the normalised host; empty when the URL has no valid one
	Rule   string // a Rule constant or the text of the configured rule
	Reason string // a clause that says why
	code   string
}

// Error says which policy refuses what, why, and by which rule.
func (r *Refusal) Error() string {
	return fmt.Sprintf("egress: %s refuses %s: %s (rule: %s)",
		policyName(r.Policy), request(r.Method, r.Origin), r.Reason, r.Rule)
}

// Code is one of the Code constants; CodeDenied unless a limit was passed.
func (r *Refusal) Code() string {
	if r.code == "" {
		return CodeDenied
	}
	return r.code
}

// Failure is the error of a request that the policy allows and that the network
// or the peer failed. Causes from the net package name addresses of peers and
// resolvers, so a Failure keeps only the kind. It unwraps to the context's
// error when the caller gave up, and to nothing otherwise.
type Failure struct {
	Policy string
	Method string
	Origin string
	Kind   string // a Kind constant
	ctx    error
}

// Kinds of Failure.
const (
	KindDNS       = "the name could not be resolved"
	KindConnect   = "the connection could not be opened"
	KindTLS       = "the TLS handshake failed"
	KindExchange  = "the connection failed during the exchange"
	KindCancelled = "the request was cancelled"
	KindUpgrade   = "the server switched protocols without being asked"
	KindLocation  = "the redirect's location is not a valid URL"
)

// Error says what failed, without an address.
func (f *Failure) Error() string {
	return fmt.Sprintf("egress: %s failed: %s", request(f.Method, f.Origin), f.Kind)
}

// Code is always CodeFailed.
func (f *Failure) Code() string { return CodeFailed }

// Unwrap returns context.Canceled or context.DeadlineExceeded when the caller's
// context ended, and nil otherwise.
func (f *Failure) Unwrap() error { return f.ctx }

// contextError keeps only the two errors a context can end with: a cause may
// carry anything.
func contextError(ctx context.Context) error {
	switch err := ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case err != nil:
		return context.Canceled
	}
	return nil
}

func policyName(name string) string {
	if name == "" {
		return "policy"
	}
	return "policy " + name
}

func request(method, origin string) string {
	if s := strings.TrimSpace(method + " " + origin); s != "" {
		return s
	}
	return "the request"
}
