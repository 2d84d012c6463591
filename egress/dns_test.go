package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/miekg/dns"
)

// dnsServer answers from a zone, over UDP.
func dnsServer(t *testing.T, zone map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		name := r.Question[0].Name
		records, known := zone[name]
		if !known {
			m.Rcode = dns.RcodeNameError
		}
		// The whole chain of names is in one answer, as resolvers give it.
		for len(records) > 0 {
			next := ""
			for _, text := range records {
				rr, err := dns.NewRR(name + " 0 IN " + text)
				if err != nil {
					t.Error(err)
					continue
				}
				if c, ok := rr.(*dns.CNAME); ok {
					next = c.Target
				} else if rr.Header().Rrtype != r.Question[0].Qtype {
					continue
				}
				m.Answer = append(m.Answer, rr)
			}
			name, records = next, zone[next]
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return &net.Resolver{PreferGo: true, StrictErrors: false, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestDNS decides by the answers of a DNS server, however they come about.
func TestDNS(t *testing.T) {
	zone := map[string][]string{
		"public.example.": {"A " + public}, "alias.example.": {"CNAME public.example."}, "chain.example.": {"CNAME alias.example."},
		"inside.example.": {"A 10.0.0.1"}, "toinside.example.": {"CNAME inside.example."}, "chaininside.example.": {"CNAME toinside.example."},
		"mixed.example.": {"A " + public, "A 192.168.1.1"}, "mixed6.example.": {"A " + public, "AAAA ::1"}, "tomixed.example.": {"CNAME mixed6.example."},
		"metadata.example.": {"CNAME metadata.inside.test."}, "metadata.inside.test.": {"A 169.254.169.254"},
		"mapped.example.": {"AAAA ::ffff:127.0.0.1"}, "nat64.example.": {"AAAA 64:ff9b::7f00:1"}, "sixtofour.example.": {"AAAA 2002:7f00:1::1"},
		"denied.test.": {"A " + public}, "todenied.example.": {"CNAME denied.test."},
	}
	server := echoServer(t)
	w := &wires{plain: server}
	p := newPolicy(t, Config{Allow: []Rule{{Host: "*.example", Port: 5432}}, Deny: []string{"denied.test"}, Resolver: dnsServer(t, zone), Dial: w.dial})
	for name, want := range map[string]string{
		"public": "", "alias": "", "chain": "", "inside": RuleAddress, "toinside": RuleAddress, "chaininside": RuleAddress, "mixed": RuleAddress,
		"mixed6": RuleAddress, "tomixed": RuleAddress, "metadata": RuleAddress, "mapped": RuleAddress, "nat64": RuleAddress, "sixtofour": RuleAddress,
		"gone":     KindDNS,
		"todenied": "", // a deny is about the name that is called
	} {
		conn, err := p.Connect(t.Context(), fmt.Sprintf("%s.example:5432", name), nil)
		if err == nil {
			conn.Close()
		}
		var refused *Refusal
		var failed *Failure
		got := ""
		switch {
		case errors.As(err, &refused):
			got = refused.Rule
		case errors.As(err, &failed):
			got = failed.Kind
		}
		if got != want {
			t.Errorf("%s: %q, want %q (%v)", name, got, want, err)
		}
	}
	for _, addr := range w.seen() {
		if addr != public+":5432" {
			t.Errorf("%s was dialled", addr)
		}
	}
}
