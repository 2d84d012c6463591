package egress

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a resolver over a table. Each look-up of a name takes the next
// answer; the last one repeats.
type names struct {
	mu      sync.Mutex
	answers map[string][][]netip.Addr
	asked   []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	list, ok := n.answers[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, Server: "10.9.8.7:53", IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	return list[0], nil
}

func answer(addrs ...string) [][]netip.Addr {
	var list []netip.Addr
	for _, a := range addrs {
		list = append(list, netip.MustParseAddr(a))
	}
	return [][]netip.Addr{list}
}

// wires records every address that is dialled and leads all of them to one
// server on the loopback, so that public addresses can be "reached".
type wires struct {
	mu     sync.Mutex
	to     string
	dialed []string
}

func (w *wires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, addr)
	to := w.to
	w.mu.Unlock()
	if to == "" {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

func (w *wires) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

// serve starts a server on 127.0.0.1 that ends with the test.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func address(server *httptest.Server) string { return server.Listener.Addr().String() }

func port(server *httptest.Server) uint16 {
	return netip.MustParseAddrPort(address(server)).Port()
}

func newPolicy(t *testing.T, config Config) *Policy {
	t.Helper()
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// fetch does a request and reads its whole body.
func fetch(t *testing.T, p *Policy, req *http.Request, opt Options) (*Result, string, error) {
	t.Helper()
	result, err := p.Do(t.Context(), req, opt)
	if err != nil {
		return nil, "", err
	}
	defer result.Response.Body.Close()
	body, err := io.ReadAll(result.Response.Body)
	return result, string(body), err
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
