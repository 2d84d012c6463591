package throttle

import (
	"net/http"
	"testing"
	"time"
)

func TestSetHeaders(t *testing.T) {
	type zoned struct {
		zone string
		d    Decision
	}
	pass := func(limit, remaining int, reset time.Duration) Decision {
		return Decision{Allowed: true, Limit: limit, Window: time.Minute, Remaining: remaining, Reset: reset}
	}
	refuse := func(limit int, retry time.Duration) Decision {
		return Decision{Limit: limit, Window: time.Minute, RetryAfter: retry, Reset: time.Minute}
	}
	tests := []struct {
		name                string
		in                  []zoned
		policy, limit, wait string
	}{
		{"allowed", []zoned{{"ip", pass(10, 9, 5500*time.Millisecond)}}, `"ip";q=10;w=60`, `"ip";r=9;t=6`, ""},
		{"refused", []zoned{{"ip", refuse(10, 5900*time.Millisecond)}}, `"ip";q=10;w=60`, `"ip";r=0;t=6`, "6"},
		{"refused for less than a second", []zoned{{"ip", refuse(10, 1)}}, `"ip";q=10;w=60`, `"ip";r=0;t=1`, "1"},
		{"tightest last", []zoned{{"ip", pass(600, 500, 0)}, {"agent", pass(10, 3, time.Second)}},
			`"ip";q=600;w=60, "agent";q=10;w=60`, `"agent";r=3;t=1`, ""},
		{"tightest first", []zoned{{"agent", pass(10, 3, time.Second)}, {"ip", pass(600, 500, 0)}},
			`"agent";q=10;w=60, "ip";q=600;w=60`, `"agent";r=3;t=1`, ""},
		{"allowed with none left, then refused", []zoned{{"a", pass(1, 0, 2*time.Second)}, {"b", refuse(5, 9*time.Second)}},
			`"a";q=1;w=60, "b";q=5;w=60`, `"b";r=0;t=9`, "9"},
		{"longest wait wins", []zoned{{"a", refuse(5, 9*time.Second)}, {"b", refuse(5, 3*time.Second)}},
			`"a";q=5;w=60, "b";q=5;w=60`, `"a";r=0;t=9`, "9"},
		{"odd zone name", []zoned{{"a\"b\\c\nd", pass(1, 0, 0)}}, `"a\"b\\c?d";q=1;w=60`, `"a\"b\\c?d";r=0;t=0`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for _, z := range test.in {
				z.d.SetHeaders(h, z.zone)
			}
			if got := h.Get("RateLimit-Policy"); got != test.policy {
				t.Errorf("RateLimit-Policy: %s, want %s", got, test.policy)
			}
			if got := h.Get("RateLimit"); got != test.limit {
				t.Errorf("RateLimit: %s, want %s", got, test.limit)
			}
			if got := h.Get("Retry-After"); got != test.wait {
				t.Errorf("Retry-After: %s, want %s", got, test.wait)
			}
		})
	}
}
