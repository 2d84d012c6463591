package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Rule allows requests to one host or to the subdomains of one. A request needs
// one rule that fits it whole: host, port, method and path.
type Rule struct {
	// Host is a name, an IP address (IPv6 in brackets), or "*." and a name,
	// which stands for every subdomain at any depth but not for the name
	// itself. Names are normalised as those of requests are. An address must be
	// named here to be called as a literal: a star never covers one and an
	// AllowIP prefix does not name it.
	Host string
	// Port is the one port that is allowed, for both schemes. 0 allows 443 for
	// https and 80 for http, and no other.
	Port uint16
	// Methods are the allowed methods, compared exactly; none means any. GET
	// does not include HEAD.
	Methods []string
	// Paths are the allowed paths; none means any. A path is exact, or a prefix
	// when it ends in a star. It is compared with the decoded path after dot
	// segments are removed; a path that can be read in two ways is refused.
	Paths []string
	// Inject are the credentials that are put into the requests that this rule allows. They leave over https only, unless Plain is set.
	Inject []Injection
	// Plain lets the credentials leave over http as well.
	Plain bool
	// Secrets are references of secrets, such as "secret.openai", that DLP lets code send to this host. Those of Inject are among them.
	Secrets []string
	// Budgets bound what the calls cost that this rule allows; several rules may share one.
	Budgets []Budget
}

// ParseRule reads "HOST", "HOST:PORT", "*.SUFFIX" or "*.SUFFIX:PORT" into a Rule
// without methods and paths. The host is checked by New.
func ParseRule(s string) (Rule, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
		return Rule{Host: "[" + s + "]"}, nil
	}
	host, port, err := splitHostPort(s)
	if err != nil {
		return Rule{}, fmt.Errorf("egress: allow %q: %w", s, err)
	}
	return Rule{Host: host, Port: port}, nil
}

// rule is a Rule made ready for matching.
type rule struct {
	text    string // as the Caddyfile spells it, for records and errors
	port    uint16
	methods []string
	paths   []pathPattern
	inject  []Injection
	plain   bool
	budgets []Budget
	refs    []string // that inject uses
	bound   []string // refs, and what else may leave to the host
}

// ruleSet finds the rules that name a host.
type ruleSet struct {
	exact  map[string][]*rule // by normalised host
	suffix map[string][]*rule // by normalised parent name
	deny   map[string]bool    // names; their subdomains are included
	block  *Feed
}

func newRuleSet(rules []Rule, deny []string) (*ruleSet, []netip.Addr, error) {
	set := &ruleSet{exact: map[string][]*rule{}, suffix: map[string][]*rule{}, deny: map[string]bool{}}
	for _, r := range rules {
		if err := set.add(r); err != nil {
			return nil, nil, err
		}
	}
	var addrs []netip.Addr
	for _, s := range deny {
		if addr, err := netip.ParseAddr(s); err == nil && addr.Is6() {
			s = "[" + s + "]"
		}
		host, addr, err := parseHost(s)
		if err != nil {
			return nil, nil, fmt.Errorf("deny %q: %w", s, err)
		}
		if addr.IsValid() {
			addrs = append(addrs, addr.Unmap())
			continue
		}
		set.deny[host] = true
	}
	return set, addrs, nil
}

func (s *ruleSet) add(r Rule) error {
	suffix, wild := strings.CutPrefix(r.Host, "*.")
	host, addr, err := parseHost(suffix)
	if err != nil {
		return fmt.Errorf("allow %q: %w", r.Host, err)
	}
	if wild && addr.IsValid() {
		return fmt.Errorf("allow %q: an address has no subdomains", r.Host)
	}
	made := &rule{text: host, port: r.Port, inject: r.Inject, plain: r.Plain, budgets: r.Budgets}
	for _, in := range r.Inject {
		refs, err := in.refs()
		if err != nil {
			return fmt.Errorf("allow %q: %w", r.Host, err)
		}
		made.refs = append(made.refs, refs...)
	}
	slices.Sort(made.refs)
	made.refs = slices.Compact(made.refs)
	made.bound = slices.Concat(made.refs, r.Secrets)
	if addr.Is6() {
		made.text = "[" + host + "]"
	}
	if wild {
		made.text = "*." + host
	}
	if r.Port != 0 {
		made.text += ":" + strconv.Itoa(int(r.Port))
	}
	made.text = "allow " + made.text
	for _, method := range r.Methods {
		method = normalMethod(method)
		if forbiddenMethod(method) {
			return fmt.Errorf("allow %q: method %q is not one a request may have", r.Host, method)
		}
		made.methods = append(made.methods, method)
	}
	for _, path := range r.Paths {
		pattern, err := parsePath(path)
		if err != nil {
			return fmt.Errorf("allow %q: %w", r.Host, err)
		}
		made.paths = append(made.paths, pattern)
	}
	if wild {
		s.suffix[host] = append(s.suffix[host], made)
	} else {
		s.exact[host] = append(s.exact[host], made)
	}
	return nil
}

// verdict is a decision on a request's URL and method.
type verdict struct {
	allow  bool
	rule   string
	reason string // empty when allowed
	match  *rule  // that allowed it
}

// decide looks for one rule that fits. A deny rule wins over every allow rule.
// Without a fit, the reason is that of the rule that came nearest.
func (s *ruleSet) decide(t target, method string) verdict {
	if !t.addr.IsValid() {
		for name := range parents(t.host) {
			if s.deny[name] {
				return verdict{rule: "deny " + name, reason: "the host is denied"}
			}
		}
		if s.block.name(t.host) {
			return verdict{rule: RuleBlocklist, reason: "the host is in a blocklist"}
		}
	}
	nearest := verdict{rule: RuleDefault, reason: "no allow rule names the host"}
	reached := 0
	consider := func(rules []*rule) bool {
		for _, r := range rules {
			stage, reason := r.fit(t, method)
			if reason == "" {
				nearest = verdict{allow: true, rule: r.text, match: r}
				return true
			}
			if stage > reached {
				reached, nearest = stage, verdict{rule: r.text, reason: reason}
			}
		}
		return false
	}
	if consider(s.exact[t.host]) || t.addr.IsValid() {
		return nearest
	}
	first := true
	for name := range parents(t.host) {
		if !first && consider(s.suffix[name]) {
			break
		}
		first = false
	}
	return nearest
}

// fit returns how far the request got through the rule, and why it got no
// further.
func (r *rule) fit(t target, method string) (stage int, reason string) {
	if r.port != t.port && (r.port != 0 || t.scheme == schemeTCP || t.port != defaultPort(t.scheme)) {
		return 1, "the rule does not allow the port"
	}
	if t.scheme == schemeTCP && len(r.methods)+len(r.paths) > 0 {
		return 2, "the rule allows HTTP requests of certain methods or paths, not connections"
	}
	if len(r.methods) > 0 && !slices.Contains(r.methods, method) {
		return 2, "the rule does not allow the method"
	}
	if len(r.paths) == 0 {
		return 4, ""
	}
	path, err := plainPath(t.path)
	if err != nil {
		return 3, err.Error()
	}
	for _, pattern := range r.paths {
		if pattern.match(path) {
			return 4, ""
		}
	}
	return 3, "the rule does not allow the path"
}

// parents yields a name, then each name it is a subdomain of.
func parents(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for rest := name; rest != ""; {
			if !yield(rest) {
				return
			}
			_, rest, _ = strings.Cut(rest, ".")
		}
	}
}

// normalMethod upper-cases the methods that the Fetch standard normalises, and
// reads the empty method as GET.
func normalMethod(method string) string {
	switch upper := strings.ToUpper(method); upper {
	case "":
		return "GET"
	case "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT":
		return upper
	}
	return method
}

// forbiddenMethod tells whether a method is no token or one of those the Fetch
// standard forbids: they open tunnels or reflect headers.
func forbiddenMethod(method string) bool {
	switch strings.ToUpper(method) {
	case "CONNECT", "TRACE", "TRACK":
		return true
	}
	return !httpguts.ValidHeaderFieldName(method)
}
