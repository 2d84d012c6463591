package egress

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHeadersThatMustNotLeave(t *testing.T) {
	var seen http.Header
	var host string
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen, host = r.Header, r.Host })
	p := redirectPolicy(t, port(server), nil)
	req := get(t, fmt.Sprintf("http://one.example:%d/", port(server)))
	req.Host = "evil.example"
	req.Trailer = http.Header{"X-Late": {"1"}}
	req.Header = http.Header{
		"host":                {"evil.example"},
		"Connection":          {"X-Named , close", "x-second"},
		"x-named":             {"1"},
		"X-Second":            {"1"},
		"keep-alive":          {"timeout=5"},
		"Proxy-Authorization": {"Basic x"},
		"proxy-connection":    {"keep-alive"},
		"Proxy-Anything":      {"1"},
		"TE":                  {"trailers"},
		"Trailer":             {"X-Late"},
		"Transfer-Encoding":   {"chunked"},
		"content-length":      {"5"},
		"Upgrade":             {"websocket"},
		"HTTP2-Settings":      {"x"},
		"Expect":              {"100-continue"},
		"X-Kept":              {"a", "b"},
		"Accept":              {"text/plain"},
	}
	if _, _, err := fetch(t, p, req, Options{}); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("one.example:%d", port(server)); host != want {
		t.Errorf("host %q, want %q", host, want)
	}
	got := slices.Sorted(mapKeys(seen))
	if want := []string{"Accept", "Accept-Encoding", "User-Agent", "X-Kept"}; !slices.Equal(got, want) {
		t.Errorf("headers %q, want %q", got, want)
	}
	if !slices.Equal(seen["X-Kept"], []string{"a", "b"}) {
		t.Errorf("values %q", seen["X-Kept"])
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	p := redirectPolicy(t, 80, nil)
	for name, header := range map[string]http.Header{
		"line break in a value": {"X": {"a\r\nY: b"}},
		"newline in a value":    {"X": {"a\nb"}},
		"NUL in a value":        {"X": {"sesame\x00"}},
		"line break in a name":  {"X\r\nY": {"b"}},
		"space in a name":       {"X Y": {"b"}},
		"colon in a name":       {"X:": {"b"}},
		"empty name":            {"": {"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			req := get(t, "http://one.example/")
			req.Header = header
			_, _, err := fetch(t, p, req, Options{})
			if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleHeader || strings.Contains(err.Error(), "sesame") {
				t.Errorf("error %v", err)
			}
		})
	}
}
