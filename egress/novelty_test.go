package egress

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
)

// hostList is a Hosts over a list: what stands for a host is said of it.
type hostList map[string]error

func (l hostList) Meet(_ context.Context, host string) (bool, error) {
	err, known := l[host]
	return !known, err
}

func TestHosts(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, report := range []bool{false, true} {
		p, err := New(Config{
			Name: "p", Allow: []Rule{{Host: "*.example"}, {Host: "held.example", Port: 5432}}, Report: report,
			Hosts:    hostList{"known.example": nil, "held.example": ErrHeld("it waits for approval"), "broken.example": errors.New("disk 7 is full")},
			Resolver: &names{answers: map[string][][]netip.Addr{"new.example": answer("93.184.216.34"), "known.example": answer("93.184.216.34"), "held.example": answer("93.184.216.34"), "broken.example": answer("93.184.216.34")}},
			Dial:     (&wires{plain: server.Listener.Addr().String()}).dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, c := range []struct {
			host, reason string
			first        bool
		}{
			{"new.example", "", true}, {"known.example", "", false}, {"held.example", "it waits for approval", false},
			{"broken.example", "it cannot be told whether the host has been called before", false}, {"other.test", "no allow rule names the host", false},
		} {
			var calls []Call
			got, err := p.Do(t.Context(), &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: c.host}}, Options{Observe: func(call Call) { calls = append(calls, call) }})
			if err == nil {
				got.Response.Body.Close()
			}
			var refused *Refusal
			switch {
			case c.host == "other.test":
				if report == errors.As(err, &refused) {
					t.Error(c.host, err)
				}
			case c.reason != "" && !report:
				if !errors.As(err, &refused) || refused.Rule != RuleHold || refused.Code() != CodeHeld || refused.Reason != c.reason {
					t.Error(c.host, err)
				}
			case err != nil || len(calls) != 1 || calls[0].First != c.first || calls[0].Reason != c.reason || (c.reason != "") != (calls[0].Decision == Reported):
				t.Error(c.host, err, calls)
			}
		}
		conn, err := p.Connect(t.Context(), "held.example:5432", nil)
		var refused *Refusal
		if report != (err == nil) || !report && (!errors.As(err, &refused) || refused.Code() != CodeHeld) {
			t.Error(err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}
