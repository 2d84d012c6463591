package egress

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	allow := func(r Rule) Config { return Config{Name: "research", Allow: []Rule{r}} }
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"empty host", allow(Rule{}), `allow ""`},
		{"star alone", allow(Rule{Host: "*"}), `allow "*"`},
		{"star inside", allow(Rule{Host: "a.*.example"}), `allow "a.*.example"`},
		{"two stars", allow(Rule{Host: "*.*.example"}), `allow "*.*.example"`},
		{"star and address", allow(Rule{Host: "*.0.0.1"}), "no subdomains"},
		{"host with port", allow(Rule{Host: "a.example:443"}), `allow "a.example:443"`},
		{"host with scheme", allow(Rule{Host: "https://a.example"}), `allow "https://a.example"`},
		{"host with path", allow(Rule{Host: "a.example/x"}), `allow "a.example/x"`},
		{"bad address", allow(Rule{Host: "1.2.3.256"}), `allow "1.2.3.256"`},
		{"zone", allow(Rule{Host: "[fe80::1%eth0]"}), "zone"},
		{"method with space", allow(Rule{Host: "a.example", Methods: []string{"GE T"}}), `"GE T"`},
		{"CONNECT", allow(Rule{Host: "a.example", Methods: []string{"CONNECT"}}), `"CONNECT"`},
		{"relative path", allow(Rule{Host: "a.example", Paths: []string{"v1/*"}}), `"v1/*"`},
		{"star inside a path", allow(Rule{Host: "a.example", Paths: []string{"/*/x"}}), `"/*/x"`},
		{"dots in a path", allow(Rule{Host: "a.example", Paths: []string{"/a/../b"}}), `"/a/../b"`},
		{"query in a path", allow(Rule{Host: "a.example", Paths: []string{"/a?b"}}), `"/a?b"`},
		{"encoded path", allow(Rule{Host: "a.example", Paths: []string{"/a%2fb"}}), `"/a%2fb"`},
		{"bad deny", Config{Name: "research", Deny: []string{"a..b"}}, `deny "a..b"`},
		{"star in deny", Config{Name: "research", Deny: []string{"*.evil.example"}}, `deny "*.evil.example"`},
		{"bad prefix", Config{Name: "research", AllowIP: []netip.Prefix{{}}}, "allow_ip"},
		{"negative timeout", Config{Name: "research", Timeout: -time.Second}, "timeout"},
		{"negative redirects", Config{Name: "research", Redirects: -2}, "redirects"},
		{"negative response", Config{Name: "research", MaxResponse: -2}, "size limit"},
		{"negative request", Config{Name: "research", MaxRequest: -2}, "size limit"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), `policy "research"`) {
				t.Errorf("error %v, want it to name %s", err, test.want)
			}
		})
	}
}

func TestParseRule(t *testing.T) {
	tests := []struct {
		text string
		want Rule
		bad  bool
	}{
		{text: "api.example.com", want: Rule{Host: "api.example.com"}},
		{text: "api.example.com:8443", want: Rule{Host: "api.example.com", Port: 8443}},
		{text: "*.openai.com:443", want: Rule{Host: "*.openai.com", Port: 443}},
		{text: "127.0.0.1:80", want: Rule{Host: "127.0.0.1", Port: 80}},
		{text: "[::1]:80", want: Rule{Host: "[::1]", Port: 80}},
		{text: "[::1]", want: Rule{Host: "[::1]"}},
		{text: "::1", want: Rule{Host: "[::1]"}},
		{text: "a.example:0", bad: true},
		{text: "a.example:http", bad: true},
		{text: "a.example:65536", bad: true},
		{text: "https://a.example", bad: true},
		{text: "[::1", bad: true},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			got, err := ParseRule(test.text)
			if (err != nil) != test.bad || got.Host != test.want.Host || got.Port != test.want.Port {
				t.Fatalf("rule %+v, error %v", got, err)
			}
			if test.bad {
				if !strings.Contains(err.Error(), test.text) {
					t.Errorf("error %v does not name the rule", err)
				}
				return
			}
			if _, err := New(Config{Allow: []Rule{got}}); err != nil {
				t.Error(err)
			}
		})
	}
}
