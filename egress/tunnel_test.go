package egress

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

func TestTunnel(t *testing.T) {
	secret := []Injection{InjectHeader{"Authorization", "Bearer {secret.api}"}}
	for _, c := range []struct {
		name    string
		rule    Rule
		dlp     *DLP
		address string
		secure  bool
		refused string // the rule; empty: allowed
	}{
		{name: "https by name", rule: Rule{Host: "api.example.com"}, address: "api.example.com:443", secure: true},
		{name: "a star", rule: Rule{Host: "*.example.com"}, address: "API.example.com.:443", secure: true},
		{name: "the port named", rule: Rule{Host: "api.example.com", Port: 5432}, address: "api.example.com:5432"},
		{name: "another port", rule: Rule{Host: "api.example.com"}, address: "api.example.com:22", refused: "allow api.example.com"},
		{name: "port 80", rule: Rule{Host: "api.example.com"}, address: "api.example.com:80", refused: "allow api.example.com"},
		{name: "another host", rule: Rule{Host: "api.example.com"}, address: "example.com:443", refused: RuleDefault},
		{name: "methods", rule: Rule{Host: "api.example.com", Methods: []string{"GET"}}, address: "api.example.com:443", refused: "allow api.example.com"},
		{name: "paths", rule: Rule{Host: "api.example.com", Paths: []string{"/*"}}, address: "api.example.com:443", refused: "allow api.example.com"},
		{name: "credentials", rule: Rule{Host: "api.example.com", Inject: secret}, address: "api.example.com:443", refused: "allow api.example.com"},
		{name: "what is looked for", rule: Rule{Host: "api.example.com"}, dlp: &DLP{Patterns: []string{PatternCard}}, address: "api.example.com:443", refused: RuleDLP},
		{name: "a private address", rule: Rule{Host: "private.example.com"}, address: "private.example.com:443", refused: RuleAddress},
		{name: "no port", rule: Rule{Host: "api.example.com"}, address: "api.example.com", refused: RuleHost},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := tunnelPolicy(t, c.rule, c.dlp)
			var calls []Call
			conn, secure, err := p.Tunnel(t.Context(), c.address, func(call Call) { calls = append(calls, call) })
			var refused *Refusal
			if c.refused != "" {
				if !errors.As(err, &refused) || refused.Rule != c.refused || len(calls) != 1 || calls[0].Decision != Refused {
					t.Fatal(err, calls)
				}
				return
			}
			if err != nil || secure != c.secure {
				t.Fatal(secure, err)
			}
			if err := conn.Refuse(RuleHost, "no TLS"); !errors.As(err, &refused) || refused.Rule != RuleHost {
				t.Error(err)
			}
			if len(calls) != 1 || calls[0].Decision != Refused || calls[0].Rule != RuleHost || calls[0].Reason != "no TLS" {
				t.Error(calls)
			}
		})
	}
}

func tunnelPolicy(t *testing.T, rule Rule, dlp *DLP) *Policy {
	t.Helper()
	echo := echoServer(t)
	p, err := New(Config{
		Name: "tunnels", Allow: []Rule{rule}, DLP: dlp, Secrets: noSecrets{},
		Resolver: &names{answers: map[string][][]netip.Addr{"api.example.com": answer("93.184.216.34"), "private.example.com": answer("10.0.0.1")}},
		Dial:     (&wires{plain: echo, tls: echo}).dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// noSecrets are none.
type noSecrets struct{}

func (noSecrets) Open(context.Context, string) (string, error) {
	return "", errors.New("there is none")
}
func (noSecrets) Search([]string, bool) (Search, error) { return nil, errors.New("there are none") }
