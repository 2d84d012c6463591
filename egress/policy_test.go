package egress

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

// proxyOfTheEnvironment must never be asked for. It is set before any test,
// since net/http reads the environment once.
const proxyOfTheEnvironment = "proxy.invalid"

func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		if err := os.Setenv(name, "http://"+proxyOfTheEnvironment+":8080"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

func TestAllowedRequestIsServedAndObserved(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.URL.RequestURI(), in)
	})
	resolver := &names{answers: map[string][][]netip.Addr{"api.example.com": answer("127.0.0.1")}}
	p := newPolicy(t, Config{
		Name:     "research",
		Allow:    []Rule{{Host: "api.example.com", Port: port(server), Methods: []string{"POST"}, Paths: []string{"/v1/*"}}},
		AllowIP:  []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Resolver: resolver,
	})
	url := fmt.Sprintf("http://API.example.com.:%d/v1/x?token=abc", port(server))
	req, err := http.NewRequest("POST", url, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	var calls []Call
	result, body, err := fetch(t, p, req, Options{Observe: func(c Call) { calls = append(calls, c) }})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("POST api.example.com:%d /v1/x?token=abc hello", port(server)); body != want {
		t.Errorf("body %q, want %q", body, want)
	}
	if got, want := result.URL.String(), fmt.Sprintf("http://api.example.com:%d/v1/x?token=abc", port(server)); got != want {
		t.Errorf("url %q, want %q", got, want)
	}
	if len(calls) != 1 {
		t.Fatalf("observed %d calls, want 1", len(calls))
	}
	c := calls[0]
	if c.Decision != Allowed || c.Status != 200 || c.BytesOut != 5 || c.BytesIn != int64(len(body)) ||
		c.Host != "api.example.com" || c.Policy != "research" || c.Reason != "" ||
		c.Rule != fmt.Sprintf("allow api.example.com:%d", port(server)) {
		t.Errorf("call %+v", c)
	}
	if strings.Contains(fmt.Sprintf("%+v", c), "abc") {
		t.Error("the call holds the query")
	}
}

func TestZeroPolicyRefusesEverything(t *testing.T) {
	for name, p := range map[string]*Policy{"none": None, "nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			_, _, err := fetch(t, p, get(t, "https://api.example.com/"), Options{})
			refusal, ok := err.(*Refusal)
			if !ok || refusal.Rule != RuleNoPolicy || refusal.Code() != CodeDenied {
				t.Fatalf("error %v", err)
			}
		})
	}
}

// TestManyRequestsAtOnce uses one policy from many goroutines and closes it in
// the middle, as a reload does. No request may fail for it.
func TestManyRequestsAtOnce(t *testing.T) {
	server, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "https://two.example/to", http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}, "one.example", "two.example")
	wires := &wires{tls: address(server)}
	p := newPolicy(t, Config{
		Allow: []Rule{{Host: "one.example"}, {Host: "two.example"}}, Roots: roots, Dial: wires.dial,
		Resolver: &names{answers: map[string][][]netip.Addr{"one.example": answer(public), "two.example": answer(public)}},
	})
	var group sync.WaitGroup
	var observed atomic.Int64
	const workers, each = 8, 6
	for i := range workers {
		group.Go(func() {
			for j := range each {
				sent := fmt.Sprint(i, j)
				req, err := http.NewRequest("POST", "https://one.example/from", strings.NewReader(sent))
				if err != nil {
					t.Error(err)
					return
				}
				_, body, err := fetch(t, p, req, Options{Observe: func(Call) { observed.Add(1) }})
				if err != nil || body != sent {
					t.Errorf("body %q, want %q, error %v", body, sent, err)
				}
				if i == 0 && j == each/2 {
					p.Close()
				}
			}
		})
	}
	group.Wait()
	if got := observed.Load(); got != 2*workers*each {
		t.Errorf("observed %d hops, want %d", got, 2*workers*each)
	}
}
