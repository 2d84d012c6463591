package egress

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// echoServer sends back what it gets, and closes when its client has ended.
func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestConnect(t *testing.T) {
	echo := echoServer(t)
	w := &wires{plain: echo}
	p, err := New(Config{
		Name: "db",
		Allow: []Rule{
			{Host: "db.example", Port: 5432}, {Host: "web.example"}, {Host: "api.example", Port: 9000, Methods: []string{"GET"}},
			{Host: "inside.example", Port: 5432}, {Host: "127.0.0.1", Port: 5432},
		},
		Resolver: &names{answers: map[string][][]netip.Addr{
			"db.example": answer("93.184.216.34"), "inside.example": answer("93.184.216.34", "10.0.0.1"), "api.example": answer("93.184.216.34"),
		}},
		Dial: w.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, address, rule string }{
		{"a rule for the port", "db.example:5432", ""},
		{"spelled otherwise", "DB.example.:5432", ""},
		{"no rule", "other.example:5432", RuleDefault},
		{"another port", "db.example:5433", "allow db.example:5432"},
		{"a rule for the web only", "web.example:443", "allow web.example"},
		{"a rule with methods", "api.example:9000", "allow api.example:9000"},
		{"an inner address among the answers", "inside.example:5432", RuleAddress},
		{"a loopback literal", "127.0.0.1:5432", RuleAddress},
		{"a loopback literal in octal", "0177.0.0.1:5432", RuleAddress},
		{"no port", "db.example", RuleHost},
		{"user information", "a@db.example:5432", RuleHost},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls []Call
			conn, err := p.Connect(t.Context(), c.address, func(c Call) { calls = append(calls, c) })
			if c.rule == "" {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write([]byte("ping")); err != nil {
					t.Fatal(err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(conn); err != nil || string(got) != "ping" {
					t.Errorf("read %q, %v", got, err)
				}
				if len(calls) != 0 {
					t.Errorf("reported before its end: %+v", calls)
				}
				_ = conn.Close()
				_ = conn.Close()
				if len(calls) != 1 || calls[0].Decision != Allowed || calls[0].BytesIn != 4 || calls[0].BytesOut != 4 || calls[0].Rule != "allow db.example:5432" {
					t.Errorf("reported %+v", calls)
				}
				return
			}
			refused, ok := errors.AsType[*Refusal](err)
			if !ok || refused.Rule != c.rule {
				t.Fatalf("%v, want a refusal by %q", err, c.rule)
			}
			if len(calls) != 1 || calls[0].Decision != Refused || calls[0].Rule != c.rule {
				t.Errorf("reported %+v", calls)
			}
		})
	}
	if _, err := (*Policy)(nil).Connect(t.Context(), "db.example:5432", nil); err == nil {
		t.Error("no policy lets a connection through")
	}
}
