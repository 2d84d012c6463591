package caddymodule

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(Access))
}

// Access lets the requests of some identities pass, as the stage identity found them, and refuses all others.
type Access struct {
	// Allow are the rules; a request needs one that admits it.
	Allow []AccessRule `json:"allow,omitempty"`
	// Mode is enforce, the default, or shadow.
	Mode string `json:"mode,omitempty"`

	app   *App
	rules []access.Rule
}

// AccessRule admits identities by what their token claims.
type AccessRule struct {
	// Method is jwt, the default, service_token, web_bot_auth or mtls.
	Method string `json:"method,omitempty"`
	// Subject is the name of the service token, or the origin of the agent; if it is empty, any.
	Subject string `json:"subject,omitempty"`
	// Issuer, if it is not empty, must be the token's or the certificate's.
	Issuer string `json:"issuer,omitempty"`
	// Claims are what the token or the certificate must claim, by name. Placeholders in a value are those of the request; what they make
	// empty fits nothing.
	Claims map[string]string `json:"claims,omitempty"`
}

// String is the rule as the Caddyfile has it.
func (r AccessRule) String() string {
	switch r.Method {
	case access.MethodServiceToken:
		return strings.TrimSpace(r.Method + " " + r.Subject)
	case access.MethodWebBotAuth:
		return strings.TrimSpace(ruleVerifiedAgent + " " + r.Subject)
	}
	text := access.MethodJWT
	if r.Method == access.MethodMTLS {
		text = r.Method
	}
	if r.Issuer != "" {
		text += " issuer=" + r.Issuer
	}
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		text += " " + name + "=" + r.Claims[name]
	}
	return text
}

// CaddyModule returns the module's registration.
func (*Access) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_access", New: func() caddy.Module { return new(Access) }}
}

// Provision reads the rules.
func (a *Access) Provision(ctx caddy.Context) (err error) {
	if a.app, err = appOf(ctx); err != nil {
		return err
	}
	for _, r := range a.Allow {
		method := r.Method
		switch method {
		case "":
			method = access.MethodJWT
		case access.MethodJWT, access.MethodServiceToken, access.MethodWebBotAuth, access.MethodMTLS:
		default:
			return fmt.Errorf("access: method %s: it is %s, %s, %s or %s", method, access.MethodJWT, access.MethodServiceToken, access.MethodWebBotAuth, access.MethodMTLS)
		}
		a.rules = append(a.rules, access.Rule{Method: method, Subject: r.Subject, Issuer: r.Issuer, Claims: r.Claims})
	}
	return checkMode(a.Mode)
}

// ServeHTTP refuses a request of nobody with 401, and one of somebody whom no rule admits with 403.
func (a *Access) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := a.app.enter(w, r, "access")
	return v.through(func() error { return a.serve(v, w, r, next) })
}

func (a *Access) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	by := slices.IndexFunc(a.rules, func(rule access.Rule) bool {
		rule, ok := filled(rule, r)
		return ok && (rule.Admits(v.who) || rule.Admits(v.agent))
	})
	decided := "refuse"
	if by >= 0 {
		decided = "allow " + a.Allow[by].String()
	}
	v.rec.Write(func(e *record.Entry) { e.Decided.Access = decided })
	if by >= 0 {
		v.admitted = true
		return next.ServeHTTP(w, r)
	}
	shadow := a.Mode == modeShadow
	status, reason := http.StatusForbidden, "no rule admits this identity"
	if v.who == nil && v.agent == nil {
		status, reason = http.StatusUnauthorized, "the request comes from nobody"
		if !shadow {
			// RFC 6750, section 3.
			challenge := "Bearer"
			if v.badToken {
				challenge = `Bearer error="invalid_token"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
		}
	}
	if err := v.deny(shadow, "access", status, "%s", reason); err != nil {
		return err
	}
	return next.ServeHTTP(w, r)
}

// filled is a rule with the request's values in the place of placeholders. It is false where one of them makes a value empty.
func filled(rule access.Rule, r *http.Request) (access.Rule, bool) {
	var claims map[string]string
	for name, value := range rule.Claims {
		if !strings.Contains(value, "{") {
			continue
		}
		repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
		if !ok {
			return rule, false
		}
		text, err := repl.ReplaceOrErr(value, true, true)
		if err != nil {
			return rule, false
		}
		if claims == nil {
			claims = maps.Clone(rule.Claims)
		}
		claims[name] = text
	}
	if claims != nil {
		rule.Claims = claims
	}
	return rule, true
}

// parseAccess reads the directive.
//
//	access {
//		allow jwt [issuer=<issuer>] [<claim>=<value>...]
//		allow service_token [<name>]
//		allow verified_agent [<origin>...]
//		allow mtls [issuer=<issuer>] [<claim>=<value>...]
//		mode enforce|shadow
//	}
func parseAccess(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	a := new(Access)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "allow":
			rules, err := parseAccessRules(d)
			if err != nil {
				return nil, err
			}
			a.Allow = append(a.Allow, rules...)
		case "mode":
			var err error
			if a.Mode, err = modeArg(d); err != nil {
				return nil, err
			}
		default:
			return nil, unknownOption(d, "access", "allow and mode")
		}
	}
	if len(a.Allow) == 0 {
		return nil, d.Err("access lets nobody pass; add a rule, for example: allow jwt role=operator")
	}
	return a, nil
}

// ruleVerifiedAgent is how the Caddyfile names agents that sign their requests.
const ruleVerifiedAgent = "verified_agent"

// parseAccessRules reads what is allowed: one rule, but for several agents.
func parseAccessRules(d *caddyfile.Dispenser) ([]AccessRule, error) {
	args := d.RemainingArgs()
	if len(args) == 0 || args[0] != ruleVerifiedAgent {
		rule, err := parseAccessRule(d, args)
		return []AccessRule{rule}, err
	}
	if len(args) == 1 {
		return []AccessRule{{Method: access.MethodWebBotAuth}}, nil
	}
	var rules []AccessRule
	for _, text := range args[1:] {
		u, err := botauth.ParseOrigin(text)
		if err != nil {
			return nil, d.WrapErr(err)
		}
		rules = append(rules, AccessRule{Method: access.MethodWebBotAuth, Subject: u.Scheme + "://" + u.Host})
	}
	return rules, nil
}

func parseAccessRule(d *caddyfile.Dispenser, args []string) (r AccessRule, err error) {
	if len(args) == 0 {
		return r, d.ArgErr()
	}
	switch args[0] {
	case access.MethodJWT:
	case access.MethodServiceToken:
		if len(args) > 2 {
			return r, d.Err("allow service_token takes one name, for example: allow service_token ci")
		}
		r.Method = access.MethodServiceToken
		if len(args) == 2 {
			r.Subject = args[1]
		}
		return r, nil
	case access.MethodMTLS:
		r.Method = access.MethodMTLS
	default:
		return r, d.Errf("allow %s: what is allowed is jwt, service_token, verified_agent or mtls, for example: allow jwt role=operator", args[0])
	}
	for _, arg := range args[1:] {
		name, value, err := access.ParseClaim(arg)
		if err != nil {
			return r, d.WrapErr(err)
		}
		if strings.EqualFold(name, "issuer") {
			r.Issuer = value
			continue
		}
		if _, twice := r.Claims[name]; twice {
			return r, d.Errf("the claim %s is there twice, and a rule wants all of its claims", name)
		}
		if r.Claims == nil {
			r.Claims = map[string]string{}
		}
		r.Claims[name] = value
	}
	return r, nil
}

var (
	_ caddy.Provisioner           = (*Access)(nil)
	_ caddyhttp.MiddlewareHandler = (*Access)(nil)
)
