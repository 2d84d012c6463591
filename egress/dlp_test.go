package egress

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// TestDLP sends a secret in every part of a request, to a host that it is bound to and to another.
func TestDLP(t *testing.T) {
	secret := treasure["secret.crm"]
	coded := base64.StdEncoding.EncodeToString([]byte(secret))
	long := strings.Repeat("plain words. ", 20_000)
	post := func(body string) func(*http.Request) {
		return func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader(body)), int64(len(body))
		}
	}
	stream := func(body string) func(*http.Request) {
		return func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(iotest.HalfReader(strings.NewReader(body))), -1
		}
	}
	tests := []struct {
		name, part string
		change     func(*http.Request)
		mask       string // what the server gets where it is masked; empty where that cannot be
	}{
		{"path", "path", func(r *http.Request) { r.URL.Path = "/a/" + secret }, ""},
		{"encoded path", "path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/"+secret, "/%63"+secret[1:] }, ""},
		{"query", "query", func(r *http.Request) { r.URL.RawQuery = "q=" + url.QueryEscape(coded) }, ""},
		{"encoded query", "query", func(r *http.Request) { r.URL.RawQuery = "q=%63" + secret[1:] }, ""},
		{"header", "header", func(r *http.Request) { r.Header.Set("X-Note", "see "+secret) }, "see [redacted:secret.crm]"},
		{"cookie", "header", func(r *http.Request) { r.Header.Set("X-Note", "a="+coded) }, "a=[redacted:secret.crm]"},
		{"name of a header", "header", func(r *http.Request) { r.Header[secret] = []string{"1"} }, ""},
		{"body", "body", post("{\"a\":\"" + secret + "\"}"), `{"a":"[redacted:secret.crm]"}`},
		{"long body", "body", post(long + secret + long), long + "[redacted:secret.crm]" + long},
		{"stream", "body", stream(long + coded + long), long + "[redacted:secret.crm]" + long},
		{"host", "host", func(r *http.Request) { r.URL.Host = "crm-password.-of-forty.wild.example" }, ""},
	}
	for _, test := range tests {
		for _, action := range []string{DLPBlock, DLPMask, DLPReport} {
			t.Run(test.name+" "+action, func(t *testing.T) {
				var got atomic.Value
				p := reached(t, Config{Secrets: treasure, DLP: &DLP{Secrets: true, Action: action},
					Allow: []Rule{{Host: "api.example.com"}, {Host: "*.wild.example"}, {Host: "other.example.com", Secrets: []string{"secret.crm"}}}},
					func(_ http.ResponseWriter, r *http.Request) {
						b, err := io.ReadAll(r.Body)
						if err == nil {
							got.Store(r.Header.Get("X-Note") + string(b))
						}
					})
				req := get(t, "http://api.example.com/")
				test.change(req)
				var calls []Call
				_, _, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
				refused, isRefused := errors.AsType[*Refusal](err)
				switch {
				case action == DLPReport:
					if _, failed := errors.AsType[*Failure](err); err != nil && !(failed && test.part == "host") {
						t.Fatalf("reported, and not sent: %v", err)
					}
				case action == DLPMask && test.mask != "":
					if err != nil || got.Load() != test.mask {
						t.Fatalf("masked: %v; the server got %.200q", err, got.Load())
					}
				default:
					if !isRefused || refused.Rule != RuleDLP || got.Load() != nil {
						t.Fatalf("not refused: %v; the server got %.200q", err, got.Load())
					}
					if text := refused.Error(); strings.Contains(strings.ReplaceAll(text, ".", ""), "crm-password-of") {
						t.Errorf("the error tells it: %s", text)
					}
				}
				want := "the secret crm in the " + test.part
				if len(calls) != 1 || !slices.Contains(calls[0].Found, want) {
					t.Errorf("reported %+v, want %q found", calls, want)
				}
				// To the host that it is bound to it may go.
				bound := get(t, "http://other.example.com/")
				test.change(bound)
				if test.part == "host" {
					return
				}
				if _, _, err := fetch(t, p, bound, Options{}); err != nil {
					t.Errorf("to its own host: %v", err)
				}
			})
		}
	}
}

// TestDLPRedirect decides on each hop anew: what may go to one host is not taken along to another.
func TestDLPRedirect(t *testing.T) {
	secret := treasure["secret.crm"]
	reachedOther := false
	p := reached(t, Config{Secrets: treasure, DLP: &DLP{Secrets: true}, Allow: []Rule{{Host: "api.example.com", Secrets: []string{"secret.crm"}}, {Host: "other.example.com"}}},
		func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "other.example.com" {
				reachedOther = true
			}
			http.Redirect(w, r, "http://other.example.com/"+r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
		})
	for name, change := range map[string]func(*http.Request){
		"body": func(r *http.Request) {
			r.Method, r.ContentLength = "POST", int64(len(secret))
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(secret)), nil }
			r.Body, _ = r.GetBody()
		},
		"header":   func(r *http.Request) { r.Header.Set("X-Key", secret) },
		"location": func(r *http.Request) { r.URL.RawQuery = "to=" + secret },
	} {
		req := get(t, "http://api.example.com/")
		change(req)
		_, _, err := fetch(t, p, req, Options{})
		if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Rule != RuleDLP || reachedOther {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDLPFailsClosed(t *testing.T) {
	p := reached(t, Config{Secrets: chest{"broken": "yes"}, DLP: &DLP{Secrets: true}, Allow: []Rule{{Host: "api.example.com"}}}, func(http.ResponseWriter, *http.Request) {})
	if _, _, err := fetch(t, p, get(t, "http://api.example.com/"), Options{}); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("without the secrets: %v", err)
	}
	for _, bad := range []DLP{{Action: "drop"}, {Patterns: []string{"phone"}}} {
		if _, err := New(Config{DLP: &bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// TestReport sends what would be refused, and says so; what is malformed and addresses are refused all the same.
func TestReport(t *testing.T) {
	p := reached(t, Config{Secrets: treasure, Report: true, DLP: &DLP{Secrets: true}, Allow: []Rule{{Host: "api.example.com", Methods: []string{"GET"}}}, Deny: []string{"other.example.com"}},
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	for _, test := range []struct{ method, url, decision, rule string }{
		{"GET", "http://api.example.com/", Allowed, "allow api.example.com"},
		{"PUT", "http://api.example.com/", Reported, "allow api.example.com"},
		{"GET", "http://other.example.com/", Reported, "deny other.example.com"},
		{"GET", "http://deep.wild.example/", Reported, RuleDefault},
		{"GET", "http://api.example.com/" + treasure["secret.crm"], Reported, RuleDLP},
		{"GET", "http://127.0.0.1/", Refused, RuleAddress},
		{"GET", "http://a:b@api.example.com/", Refused, RuleUserinfo},
	} {
		req := get(t, test.url)
		req.Method = test.method
		var calls []Call
		_, _, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
		if len(calls) != 1 || calls[0].Decision != test.decision || calls[0].Rule != test.rule || (err != nil) != (test.decision == Refused) {
			t.Errorf("%s %s: %v, %+v; want %s by %s", test.method, test.url, err, calls, test.decision, test.rule)
		}
	}
}

// TestConcurrency lets calls wait for a place, and refuses them when the timeout is over.
func TestConcurrency(t *testing.T) {
	hold := make(chan struct{})
	p := reached(t, Config{Concurrency: 2, Timeout: 300 * time.Millisecond, Allow: []Rule{{Host: "api.example.com"}}}, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-hold
	})
	first, err := p.Do(t.Context(), get(t, "http://api.example.com/"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Do(t.Context(), get(t, "http://api.example.com/"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Do(t.Context(), get(t, "http://api.example.com/"), Options{})
	if refused, ok := errors.AsType[*Refusal](err); !ok || refused.Rule != RuleBusy || refused.Code() != CodeTimeout {
		t.Errorf("a third call: %v", err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		first.Response.Body.Close()
	}()
	third, err := p.Do(t.Context(), get(t, "http://api.example.com/"), Options{})
	if err != nil {
		t.Errorf("when a place is free: %v", err)
	} else {
		third.Response.Body.Close()
	}
	close(hold)
	second.Response.Body.Close()
}

// TestWatch stops what is split over writes before its last part.
func TestWatch(t *testing.T) {
	w := &watch{search: &dlpSearch{finders: []sought{{words{"secret-value", "another"}, false}}}}
	for i, test := range []struct{ write, want string }{
		{"some words", ""}, {"a sec", ""}, {"ret-val", ""}, {"ue and", "a secret-value"}, {" on", ""}, {"another", "a another"}, {" one", ""},
	} {
		if got := w.find([]byte(test.write)); got != test.want {
			t.Errorf("write %d, %q: found %q, want %q", i, test.write, got, test.want)
		}
	}
}
