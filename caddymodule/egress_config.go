package caddymodule

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/egress"
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
	// Redirects is how many redirects a request may follow; default 5, at least 1.
	Redirects int `json:"redirects,omitempty"`
	// NoRedirects refuses to follow any.
	NoRedirects bool `json:"no_redirects,omitempty"`
	// Response is the largest response body in bytes; default 50 MiB.
	Response int64 `json:"response,omitempty"`
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
}

// policy makes the policy of that name. block is its blocklist, nil for none.
func (c *EgressConfig) policy(name string, block *egress.Feed) (*egress.Policy, error) {
	cfg := egress.Config{
		Name:        name,
		Block:       block,
		Deny:        c.Deny,
		Redirects:   c.Redirects,
		MaxResponse: c.Response,
		Timeout:     time.Duration(c.Timeout),
	}
	if c.NoRedirects {
		cfg.Redirects = egress.NoRedirects
	}
	for _, r := range c.Allow {
		rule, err := egress.ParseRule(r.Host)
		if err != nil {
			return nil, at(c.Place, "%w; write a host like api.example.com, *.example.com or 127.0.0.1:8081, without a scheme or a path (egress %s)", err, name)
		}
		rule.Methods, rule.Paths = r.Methods, r.Paths
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
//		}
//		allow_ip <prefix...>
//		deny <host...>
//		deny_ip <prefix...>
//		blocklist <file...>
//		redirects <number>
//		response <size>
//		timeout <duration>
//		mode enforce
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
			if c.Redirects, err = intArg(d, 0, 20); err != nil {
				return "", nil, err
			}
			c.NoRedirects = c.Redirects == 0
		case "response":
			if c.Response, err = sizeArg(d); err != nil {
				return "", nil, err
			}
		case "timeout":
			if c.Timeout, err = durationArg(d); err != nil {
				return "", nil, err
			}
		case "mode":
			mode, err := oneArg(d)
			if err != nil {
				return "", nil, err
			}
			if mode != "enforce" {
				return "", nil, refuseOption(d, "mode "+mode+" of egress")
			}
		case "dlp", "waf", "budget", "inject", "limits", "hold", "sign":
			return "", nil, refuseOption(d, d.Val()+" of egress")
		default:
			return "", nil, unknownOption(d, "egress", "allow, allow_ip, deny, deny_ip, blocklist, redirects, response, timeout, mode")
		}
	}
	return name, c, nil
}

func parseEgressAllow(d *caddyfile.Dispenser) ([]EgressRule, error) {
	hosts := d.RemainingArgs()
	if len(hosts) == 0 {
		return nil, d.ArgErr()
	}
	var methods, paths []string
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "methods":
			methods = append(methods, d.RemainingArgs()...)
			if len(methods) == 0 {
				return nil, d.ArgErr()
			}
		case "paths":
			paths = append(paths, d.RemainingArgs()...)
			if len(paths) == 0 {
				return nil, d.ArgErr()
			}
		case "inject", "budget":
			return nil, refuseOption(d, d.Val()+" of allow")
		default:
			return nil, unknownOption(d, "allow", "methods and paths")
		}
	}
	rules := make([]EgressRule, 0, len(hosts))
	for _, h := range hosts {
		rules = append(rules, EgressRule{Host: h, Methods: methods, Paths: paths})
	}
	return rules, nil
}
