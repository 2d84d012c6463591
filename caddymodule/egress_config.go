package caddymodule

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// EgressConfig is one named egress policy. Its zero value refuses everything.
type EgressConfig struct {
	// Allow are the hosts that may be called.
	Allow []EgressRule `json:"allow,omitempty"`
	// AllowIP are address prefixes that may be dialled although they are not public, such as 127.0.0.1/32.
	AllowIP []string `json:"allow_ip,omitempty"`
	// Deny are hosts that are refused with their subdomains, whatever Allow says.
	Deny []string `json:"deny,omitempty"`
	// DenyIP are address prefixes that are never dialled, whatever AllowIP says.
	DenyIP []string `json:"deny_ip,omitempty"`
	// Blocklist are files with names and addresses that are refused, whatever Allow and AllowIP say. They are read anew when they change.
	Blocklist []string `json:"blocklist,omitempty"`
	// Budget are amounts that all calls of an agent may cost in a period: calls (100/m), bytes of both bodies (10MiB/h), money (5usd/d).
	Budget []string `json:"budget,omitempty"`
	// Price is what a call costs, such as 0.002usd, where no rule says it.
	Price string `json:"price,omitempty"`
	// DLP is what must not leave.
	DLP *EgressDLP `json:"dlp,omitempty"`
	// Mode is enforce, the default, or report: what the rules and DLP would refuse is sent, and recorded.
	Mode string `json:"mode,omitempty"`
	// Hold keeps calls of hosts that have never been called from leaving until somebody has granted them. HoldWait is how long a call waits for
	// that; default: not at all.
	Hold     bool           `json:"hold,omitempty"`
	HoldWait caddy.Duration `json:"hold_wait,omitempty"`
	// WAF are files of rules for ModSecurity that requests are held to.
	WAF []string `json:"waf,omitempty"`
	// Sign is the origin as whose agent requests are signed (Web Bot Auth).
	Sign string `json:"sign,omitempty"`
	// Redirects is how many redirects a request may follow; default 5, at least 1.
	Redirects int `json:"redirects,omitempty"`
	// NoRedirects refuses to follow any.
	NoRedirects bool `json:"no_redirects,omitempty"`
	// Response is the largest response body in bytes; default 50 MiB.
	Response int64 `json:"response,omitempty"`
	// Request is the largest request body in bytes; default 10 MiB.
	Request int64 `json:"request,omitempty"`
	// Concurrency is how many calls may be under way at a time; default any number.
	Concurrency int `json:"concurrency,omitempty"`
	// Timeout bounds the time to the response's headers; default 30 s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Place is where the Caddyfile defines the policy, for error messages.
	Place string `json:"place,omitempty"`
}

// EgressRule allows requests to one host.
type EgressRule struct {
	// Host is a name, an address, or *.SUFFIX, each with an optional :PORT.
	Host    string   `json:"host"`
	Methods []string `json:"methods,omitempty"`
	Paths   []string `json:"paths,omitempty"`
	// Inject are credentials that are put into the requests.
	Inject []EgressInject `json:"inject,omitempty"`
	// InjectOverHTTP lets them leave over http as well as https.
	InjectOverHTTP bool `json:"inject_over_http,omitempty"`
	// Secrets are secrets that DLP lets code send to this host; those that Inject uses are among them.
	Secrets []string `json:"secrets,omitempty"`
	// Budget are amounts that the calls which this rule allows may cost in a period. Rules of one allow share them.
	Budget []string `json:"budget,omitempty"`
	// Price is what such a call costs, such as 0.002usd.
	Price string `json:"price,omitempty"`
	// Group is what the rule's budgets are kept under; default its host.
	Group string `json:"group,omitempty"`
}

// EgressDLP is what must not leave to a host.
type EgressDLP struct {
	// Secrets looks for the values of all secrets that are not bound to the host.
	Secrets bool `json:"secrets,omitempty"`
	// Patterns are email, card and key.
	Patterns []string `json:"patterns,omitempty"`
	// Action is block, the default, mask or report.
	Action string `json:"action,omitempty"`
}

// policyParts is what a policy is made of besides its configuration.
type policyParts struct {
	name   string
	owner  string // the agent that it is for
	block  *egress.Feed
	values *vaultSecrets // nil where it uses none
	edge   *edge
	rules  egress.Inspector // nil without waf
	signer egress.Signer    // nil without sign
}

// policy makes the policy.
func (c *EgressConfig) policy(parts policyParts) (*egress.Policy, error) {
	name, values := parts.name, parts.values
	cfg := egress.Config{
		Name:        name,
		Block:       parts.block,
		Deny:        c.Deny,
		Redirects:   c.Redirects,
		MaxResponse: c.Response,
		MaxRequest:  c.Request,
		Concurrency: c.Concurrency,
		Inspector:   parts.rules,
		Signer:      parts.signer,
		Report:      c.Mode == "report",
		Timeout:     time.Duration(c.Timeout),
	}
	if parts.owner != "" {
		cfg.Hosts = policyHosts{parts.edge.book(parts.owner), c.Hold, time.Duration(c.HoldWait)}
	}
	if values != nil {
		cfg.Secrets = values
	}
	if c.DLP != nil {
		cfg.DLP = &egress.DLP{Secrets: c.DLP.Secrets, Patterns: c.DLP.Patterns, Action: c.DLP.Action}
	}
	if c.NoRedirects {
		cfg.Redirects = egress.NoRedirects
	}
	fail := func(err error) (*egress.Policy, error) { return nil, at(c.Place, "egress %s: %w", name, err) }
	var err error
	if cfg.Budgets, err = parts.edge.budgets(c.Budget, c.Price, parts.owner, name); err != nil {
		return fail(err)
	}
	shared := map[string][]egress.Budget{}
	for _, r := range c.Allow {
		rule, err := egress.ParseRule(r.Host)
		if err != nil {
			return nil, at(c.Place, "%w; write a host like api.example.com, *.example.com or 127.0.0.1:8081, without a scheme or a path (egress %s)", err, name)
		}
		rule.Methods, rule.Paths, rule.Plain = r.Methods, r.Paths, r.InjectOverHTTP
		for _, i := range r.Inject {
			in, err := i.injection()
			if err != nil {
				return nil, at(c.Place, "egress %s: allow %s: %w", name, r.Host, err)
			}
			rule.Inject = append(rule.Inject, in)
		}
		group := cmp.Or(r.Group, r.Host)
		if _, made := shared[group]; !made {
			if shared[group], err = parts.edge.budgets(r.Budget, cmp.Or(r.Price, c.Price), parts.owner, name+" "+group); err != nil {
				return fail(fmt.Errorf("allow %s: %w", r.Host, err))
			}
		}
		rule.Budgets = shared[group]
		for _, s := range r.Secrets {
			rule.Secrets = append(rule.Secrets, "secret."+s)
		}
		cfg.Allow = append(cfg.Allow, rule)
	}
	for _, s := range c.AllowIP {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, at(c.Place, "egress %s: allow_ip: %w", name, err)
		}
		cfg.AllowIP = append(cfg.AllowIP, p)
	}
	for _, s := range c.DenyIP {
		list, err := parseDenyIP(s)
		if err != nil {
			return nil, at(c.Place, "egress %s: deny_ip: %w", name, err)
		}
		cfg.DenyIP = append(cfg.DenyIP, list...)
	}
	p, err := egress.New(cfg)
	if err != nil {
		return nil, at(c.Place, "%w", err)
	}
	for _, ref := range p.References() {
		if values == nil {
			break // nothing looks for them
		}
		if err := values.check(ref); err != nil {
			p.Close()
			return nil, at(c.Place, "egress %s: %w", name, err)
		}
	}
	return p, nil
}

// deniedNames are groups of addresses that deny_ip knows by name (RFC 1918, RFC 4193, RFC 3927, RFC 4291).
var deniedNames = map[string][]netip.Prefix{
	"private":    {netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7")},
	"link_local": {netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")},
	"loopback":   {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
}

// parseDenyIP reads a prefix, an address, or the name of a group of them.
func parseDenyIP(s string) ([]netip.Prefix, error) {
	if list, ok := deniedNames[s]; ok {
		return list, nil
	}
	p, err := parsePrefix(s)
	if err != nil {
		return nil, fmt.Errorf("%w, or private, link_local or loopback", err)
	}
	return []netip.Prefix{p}, nil
}

// parsePrefix reads a prefix, or an address as the prefix that holds it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address prefix; write it like 10.0.0.0/8 or 127.0.0.1/32", s)
	}
	return p, nil
}

// parseEgress reads a policy; the dispenser stands on the word egress.
//
//	egress <name> {
//		allow <host[:port]> {
//			methods <method...>
//			paths <path...>
//			inject <header> <value>
//			inject bearer <value>
//			inject basic <user> <password>
//			inject query <parameter> <value>
//			inject hmac <header> <format> <key>
//			inject aws_sigv4 <region> <service> <key id> <secret> [<token>]
//			inject_over_http
//			secrets <name...>
//			budget <amount/period...>
//			price <amount>
//		}
//		allow_ip <prefix...>
//		deny <host...>
//		deny_ip <prefix...>
//		blocklist <file...>
//		redirects <number>
//		response <size>
//		timeout <duration>
//		limits [body <size>] [response <size>] [timeout <duration>] [redirects <number>] [concurrency <number>]
//		budget <amount/period...>
//		price <amount>
//		dlp [secrets] [email] [card] [key] [block|mask|report]
//		waf <file...>
//		sign <origin>
//		hold [<duration>]
//		mode enforce|report
//	}
func parseEgress(d *caddyfile.Dispenser) (string, *EgressConfig, error) {
	c := &EgressConfig{Place: place(d)}
	name, err := oneArg(d)
	if err != nil {
		return "", nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "allow":
			rules, err := parseEgressAllow(d)
			if err != nil {
				return "", nil, err
			}
			c.Allow = append(c.Allow, rules...)
		case "allow_ip":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return "", nil, d.ArgErr()
			}
			for _, a := range args {
				if _, err := parsePrefix(a); err != nil {
					return "", nil, d.WrapErr(err)
				}
			}
			c.AllowIP = append(c.AllowIP, args...)
		case "deny":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return "", nil, d.ArgErr()
			}
			c.Deny = append(c.Deny, args...)
		case "deny_ip":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return "", nil, d.ArgErr()
			}
			for _, a := range args {
				if _, err := parseDenyIP(a); err != nil {
					return "", nil, d.WrapErr(err)
				}
			}
			c.DenyIP = append(c.DenyIP, args...)
		case "blocklist":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return "", nil, d.ArgErr()
			}
			c.Blocklist = append(c.Blocklist, args...)
		case "redirects":
			value, err := oneArg(d)
			if err != nil {
				return "", nil, err
			}
			if err := c.limit(d, "redirects", value); err != nil {
				return "", nil, err
			}
		case "response", "timeout":
			option := d.Val()
			value, err := oneArg(d)
			if err != nil {
				return "", nil, err
			}
			if err := c.limit(d, option, value); err != nil {
				return "", nil, err
			}
		case "limits":
			args := d.RemainingArgs()
			if len(args) == 0 || len(args)%2 != 0 {
				return "", nil, d.Err("limits takes pairs, such as: limits body 10MiB response 50MiB timeout 30s redirects 5 concurrency 6")
			}
			for i := 0; i < len(args); i += 2 {
				if err := c.limit(d, args[i], args[i+1]); err != nil {
					return "", nil, err
				}
			}
		case "dlp":
			if err := c.parseDLP(d); err != nil {
				return "", nil, err
			}
		case "mode":
			if c.Mode, err = oneArg(d); err != nil {
				return "", nil, err
			}
			if c.Mode != "enforce" && c.Mode != "report" {
				return "", nil, d.Errf("mode %s: it is enforce or report", c.Mode)
			}
		case "budget", "price":
			if err := parseBudget(d, &c.Budget, &c.Price); err != nil {
				return "", nil, err
			}
		case "hold":
			c.Hold = true
			if args := d.RemainingArgs(); len(args) > 1 {
				return "", nil, d.ArgErr()
			} else if len(args) == 1 {
				if c.HoldWait, err = parseDuration(args[0]); err != nil {
					return "", nil, d.WrapErr(err)
				}
			}
		case "waf":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return "", nil, d.ArgErr()
			}
			c.WAF = append(c.WAF, args...)
		case "sign":
			if c.Sign, err = oneArg(d); err != nil {
				return "", nil, err
			}
			if _, err := botauth.ParseOrigin(c.Sign); err != nil {
				return "", nil, d.Errf("sign: %v", err)
			}
		case "inject":
			return "", nil, refuseOption(d, d.Val()+" of egress")
		default:
			return "", nil, unknownOption(d, "egress", "allow, allow_ip, deny, deny_ip, blocklist, budget, price, dlp, limits, redirects, response, timeout, waf, sign, hold, mode")
		}
	}
	return name, c, nil
}

func parseEgressAllow(d *caddyfile.Dispenser) ([]EgressRule, error) {
	hosts := d.RemainingArgs()
	if len(hosts) == 0 {
		return nil, d.ArgErr()
	}
	var made EgressRule
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "methods":
			made.Methods = append(made.Methods, d.RemainingArgs()...)
			if len(made.Methods) == 0 {
				return nil, d.ArgErr()
			}
		case "paths":
			made.Paths = append(made.Paths, d.RemainingArgs()...)
			if len(made.Paths) == 0 {
				return nil, d.ArgErr()
			}
		case "inject":
			in, err := parseInject(d)
			if err != nil {
				return nil, err
			}
			made.Inject = append(made.Inject, in)
		case "inject_over_http":
			if err := noArgs(d); err != nil {
				return nil, err
			}
			made.InjectOverHTTP = true
		case "secrets":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return nil, d.ArgErr()
			}
			for _, name := range args {
				if !secrets.ValidName(name) {
					return nil, d.Errf("secrets: %q is not the name of a secret", name)
				}
			}
			made.Secrets = append(made.Secrets, args...)
		case "budget", "price":
			if err := parseBudget(d, &made.Budget, &made.Price); err != nil {
				return nil, err
			}
		default:
			return nil, unknownOption(d, "allow", "methods, paths, inject, inject_over_http, secrets, budget and price")
		}
	}
	if len(made.Budget) > 0 && len(hosts) > 1 {
		made.Group = strings.Join(hosts, " ")
	}
	rules := make([]EgressRule, 0, len(hosts))
	for _, h := range hosts {
		made.Host = h
		rules = append(rules, made)
	}
	return rules, nil
}

// limit sets one limit.
func (c *EgressConfig) limit(d *caddyfile.Dispenser, name, value string) (err error) {
	switch name {
	case "body":
		c.Request, err = parseSize(value)
	case "response":
		c.Response, err = parseSize(value)
	case "timeout":
		c.Timeout, err = parseDuration(value)
	case "redirects":
		c.Redirects, err = parseInt(d, value, 0, 20)
		c.NoRedirects = c.Redirects == 0
		return err
	case "concurrency":
		c.Concurrency, err = parseInt(d, value, 1, 100_000)
		return err
	default:
		return d.Errf("limits: unknown limit %s; there are body, response, timeout, redirects and concurrency", name)
	}
	if err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// parseDLP reads what is looked for and the action, in one line.
func (c *EgressConfig) parseDLP(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if c.DLP != nil {
		return d.Err("dlp is there already; name all of it in one line")
	}
	c.DLP = new(EgressDLP)
	for _, a := range args {
		switch a {
		case "secrets":
			c.DLP.Secrets = true
		case egress.PatternEmail, egress.PatternCard, egress.PatternKey:
			c.DLP.Patterns = append(c.DLP.Patterns, a)
		case egress.DLPBlock, egress.DLPMask, egress.DLPReport:
			if c.DLP.Action != "" {
				return d.Errf("dlp: the actions %s and %s exclude each other", c.DLP.Action, a)
			}
			c.DLP.Action = a
		default:
			return d.Errf("dlp: unknown word %s; it looks for secrets, email, card and key, and the actions are block, mask and report", a)
		}
	}
	if !c.DLP.Secrets && len(c.DLP.Patterns) == 0 {
		return d.Err("dlp needs something to look for: secrets, email, card or key")
	}
	return nil
}

// parseBudget reads a budget or a price.
func parseBudget(d *caddyfile.Dispenser, budget *[]string, price *string) error {
	option, args := d.Val(), d.RemainingArgs()
	if option == "price" {
		if len(args) != 1 {
			return d.ArgErr()
		}
		*price = args[0]
		if _, err := parseUSD(*price); err != nil {
			return d.Errf("price: %v", err)
		}
		return nil
	}
	if len(args) == 0 {
		return d.ArgErr()
	}
	for _, a := range args {
		if _, err := parseSpend(a); err != nil {
			return d.WrapErr(err)
		}
	}
	*budget = append(*budget, args...)
	return nil
}
