package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// redirectPolicy allows one.example and two.example on the port of a server on
// the loopback.
func redirectPolicy(t *testing.T, port uint16, change func(*Config)) *Policy {
	t.Helper()
	config := Config{
		Name:    "research",
		Allow:   []Rule{{Host: "one.example", Port: port}, {Host: "two.example", Port: port}},
		AllowIP: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: &names{answers: map[string][][]netip.Addr{
			"one.example": answer("127.0.0.1"), "two.example": answer("127.0.0.1"), "three.example": answer("127.0.0.1"),
		}},
	}
	if change != nil {
		change(&config)
	}
	return newPolicy(t, config)
}

// TestRedirectMethodAndBody follows the table of "HTTP-redirect fetch".
func TestRedirectMethodAndBody(t *testing.T) {
	tests := []struct {
		status             int
		method, body       string
		wantMethod, wanted string
		typed              bool // Content-Type is kept
	}{
		{301, "GET", "", "GET", "", true},
		{301, "POST", "x", "GET", "", false},
		{301, "PUT", "x", "PUT", "x", true},
		{302, "POST", "x", "GET", "", false},
		{302, "DELETE", "", "DELETE", "", true},
		{302, "HEAD", "", "HEAD", "", true},
		{303, "POST", "x", "GET", "", false},
		{303, "PUT", "x", "GET", "", false},
		{303, "HEAD", "", "HEAD", "", true},
		{303, "GET", "", "GET", "", true},
		{307, "POST", "x", "POST", "x", true},
		{307, "GET", "", "GET", "", true},
		{308, "POST", "x", "POST", "x", true},
		{308, "PUT", "x", "PUT", "x", true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.status, test.method), func(t *testing.T) {
			var seen string
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.URL.Path == "/from" {
					w.Header().Set("Location", "/to?q#fragment")
					w.WriteHeader(test.status)
					return
				}
				seen = fmt.Sprintf("%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), body)
			})
			p := redirectPolicy(t, port(server), nil)
			var body io.Reader
			if test.body != "" {
				body = strings.NewReader(test.body)
			}
			from := fmt.Sprintf("http://one.example:%d/from", port(server))
			req, err := http.NewRequest(test.method, from, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "text/x")
			var calls []Call
			result, _, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
			if err != nil {
				t.Fatal(err)
			}
			kind := ""
			if test.typed {
				kind = "text/x"
			}
			if want := fmt.Sprintf("%s /to?q %s %s", test.wantMethod, kind, test.wanted); seen != want {
				t.Errorf("second hop %q, want %q", seen, want)
			}
			if !result.Redirected || result.URL.String() != fmt.Sprintf("http://one.example:%d/to?q", port(server)) {
				t.Errorf("result %v %v", result.Redirected, result.URL)
			}
			if len(calls) != 2 || calls[0].Status != test.status || calls[0].Hop != 0 || calls[1].Status != 200 || calls[1].Hop != 1 {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

// TestRedirectStream checks that a body that can be read once is not sent again.
func TestRedirectStream(t *testing.T) {
	for status, want := range map[int]error{301: ErrReplay, 302: ErrReplay, 303: nil, 307: ErrReplay, 308: ErrReplay} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/from" {
					http.Redirect(w, r, "/to", status)
				}
			})
			p := redirectPolicy(t, port(server), nil)
			req, err := http.NewRequest("POST", fmt.Sprintf("http://one.example:%d/from", port(server)), io.MultiReader(strings.NewReader("x")))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := fetch(t, p, req, Options{}); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		})
	}
}

// TestRedirectCredentials checks which headers reach the second and third hop.
func TestRedirectCredentials(t *testing.T) {
	secrets := map[string]string{
		"authorization": "Bearer sesame", "Cookie": "a=sesame", "x-api-key": "sesame", "X-Auth-Token": "sesame",
	}
	tests := []struct {
		name string
		hops []string // hosts after one.example
		kept bool
	}{
		{"same origin", []string{"one.example"}, true},
		{"other host", []string{"two.example"}, false},
		{"there and back", []string{"two.example", "one.example"}, false},
		{"other spelling of the same", []string{"ONE.example."}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var last http.Header
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				last = r.Header
				step := strings.Count(r.URL.Path, "x")
				if step < len(test.hops) {
					w.Header().Set("Location", fmt.Sprintf("http://%s:%s/%s", test.hops[step], portOf(r.Host), strings.Repeat("x", step+1)))
					w.WriteHeader(http.StatusFound)
				}
			})
			p := redirectPolicy(t, port(server), nil)
			req := get(t, fmt.Sprintf("http://one.example:%d/", port(server)))
			for name, value := range secrets {
				req.Header[name] = []string{value} // spelled as the caller likes
			}
			req.Header.Set("X-Plain", "kept")
			if _, _, err := fetch(t, p, req, Options{}); err != nil {
				t.Fatal(err)
			}
			for name, value := range secrets {
				if got := last.Get(name) == value; got != test.kept {
					t.Errorf("%s kept: %v, want %v", name, got, test.kept)
				}
			}
			if last.Get("X-Plain") != "kept" {
				t.Error("a plain header was dropped")
			}
			if len(req.Header) != len(secrets)+1 {
				t.Error("the caller's header was changed")
			}
		})
	}
}

func portOf(host string) string { return host[strings.LastIndexByte(host, ':')+1:] }

func TestRedirectOtherPortIsAnotherOrigin(t *testing.T) {
	var auth string
	second := serve(t, func(_ http.ResponseWriter, r *http.Request) { auth = r.Header.Get("Authorization") })
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprintf("http://one.example:%d/", port(second)), http.StatusFound)
	})
	p := redirectPolicy(t, port(first), func(c *Config) {
		c.Allow = append(c.Allow, Rule{Host: "one.example", Port: port(second)})
	})
	req := get(t, fmt.Sprintf("http://one.example:%d/", port(first)))
	req.Header.Set("Authorization", "Bearer sesame")
	if _, _, err := fetch(t, p, req, Options{}); err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		t.Error("the credential went to another port")
	}
}

func TestRedirectLimit(t *testing.T) {
	tests := []struct {
		name      string
		redirects int
		chain     int
		refused   bool
	}{
		{"default follows five", 0, 5, false},
		{"default refuses six", 0, 6, true},
		{"two follows two", 2, 2, false},
		{"two refuses three", 2, 3, true},
		{"none refuses one", NoRedirects, 1, true},
		{"none needs none", NoRedirects, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			requests := 0
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				if requests <= test.chain {
					http.Redirect(w, r, "/", http.StatusFound)
				}
			})
			p := redirectPolicy(t, port(server), func(c *Config) { c.Redirects = test.redirects })
			var calls []Call
			_, _, err := fetch(t, p, get(t, fmt.Sprintf("http://one.example:%d/", port(server))),
				Options{Observe: func(c Call) { calls = append(calls, c) }})
			refusal, refused := errors.AsType[*Refusal](err)
			if refused != test.refused {
				t.Fatalf("error %v, want refused %v", err, test.refused)
			}
			if refused {
				if refusal.Rule != RuleRedirects || refusal.Code() != CodeRedirects {
					t.Errorf("refusal %+v", refusal)
				}
				last := calls[len(calls)-1]
				if last.Decision != Refused || last.Rule != RuleRedirects || last.Hop != test.chain || len(calls) != test.chain+1 {
					t.Errorf("calls %+v", calls)
				}
			}
		})
	}
}

func TestRedirectModes(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "http://three.example/", http.StatusFound)
		}
	})
	p := redirectPolicy(t, port(server), nil)
	url := fmt.Sprintf("http://one.example:%d/from", port(server))
	t.Run("manual", func(t *testing.T) {
		result, _, err := fetch(t, p, get(t, url), Options{Redirect: RedirectManual})
		if err != nil || result.Response.StatusCode != 302 || result.Redirected || result.Response.Header.Get("Location") == "" {
			t.Errorf("result %+v, error %v", result, err)
		}
	})
	t.Run("error", func(t *testing.T) {
		if _, _, err := fetch(t, p, get(t, url), Options{Redirect: RedirectError}); !errors.Is(err, ErrRedirect) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("follow to a host that is not allowed", func(t *testing.T) {
		_, _, err := fetch(t, p, get(t, url), Options{})
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Host != "three.example" {
			t.Errorf("error %v", err)
		}
	})
}

func TestRedirectLocations(t *testing.T) {
	tests := []struct {
		name      string
		locations []string
		wantPath  string // empty: a Failure
		status    int
	}{
		{"none", nil, "/from/here", 302},
		{"relative", []string{"there"}, "/from/there", 200},
		{"parent", []string{"../there"}, "/there", 200},
		{"spaces around", []string{" /there "}, "/there", 200},
		{"without scheme", []string{"//one.example:PORT/there"}, "/there", 200},
		{"two", []string{"/a", "/b"}, "", 0},
		{"broken", []string{"http://[::1/"}, "", 0},
		{"empty", []string{""}, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := ""
			served := 0
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				path = r.URL.Path
				if served++; path == "/from/here" {
					for _, l := range test.locations {
						w.Header().Add("Location", strings.ReplaceAll(l, "PORT", portOf(r.Host)))
					}
					w.WriteHeader(http.StatusFound)
				}
			})
			p := redirectPolicy(t, port(server), nil)
			result, _, err := fetch(t, p, get(t, fmt.Sprintf("http://one.example:%d/from/here", port(server))), Options{})
			if test.name == "empty" { // the same URL again, until the limit
				if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleRedirects || served != DefaultRedirects+1 {
					t.Errorf("error %v after %d requests", err, served)
				}
				return
			}
			if test.wantPath == "" {
				if failure, ok := errors.AsType[*Failure](err); !ok || failure.Kind != KindLocation {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil || path != test.wantPath || result.Response.StatusCode != test.status {
				t.Errorf("path %q, error %v", path, err)
			}
		})
	}
}
