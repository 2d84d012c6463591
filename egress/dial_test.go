package egress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRebinding has a name that is public when it is checked and private at the
// next look-up. Only the address of the look-up that was checked is dialled.
func TestRebinding(t *testing.T) {
	private := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the private server was reached") })
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	w := &wires{plain: address(server)}
	resolver := &names{answers: map[string][][]netip.Addr{
		"rebind.example": {answer(public)[0], answer("127.0.0.1")[0]},
	}}
	p := newPolicy(t, Config{
		Allow:    []Rule{{Host: "rebind.example", Port: port(private)}},
		Resolver: resolver,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == address(private) {
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
			return w.dial(ctx, network, addr)
		},
	})
	url := fmt.Sprintf("http://rebind.example:%d/", port(private))
	if _, _, err := fetch(t, p, get(t, url), Options{}); err != nil {
		t.Fatal(err)
	}
	if len(resolver.asked) != 1 {
		t.Errorf("one connection asked %d times", len(resolver.asked))
	}
	for range 3 {
		_, _, err := fetch(t, p, get(t, url), Options{})
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleAddress {
			t.Errorf("error %v", err)
		}
	}
	if want := []string{fmt.Sprintf("%s:%d", public, port(private))}; !slices.Equal(w.seen(), want) {
		t.Errorf("dialled %q, want %q", w.seen(), want)
	}
}

// TestRebindingAThousandTimes has a name that changes between public and private addresses at each look-up, in no order, asked by many at a time.
func TestRebindingAThousandTimes(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	private := []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"}
	var lookups [][]netip.Addr
	for i := range 4000 {
		list := answer(public)[0]
		switch rand.IntN(3) {
		case 0:
			list = answer(private[i%len(private)])[0]
		case 1:
			list = answer(public, private[i%len(private)])[0]
		}
		lookups = append(lookups, list)
	}
	w := &wires{plain: address(server)}
	p := newPolicy(t, Config{Allow: []Rule{{Host: "rebind.example"}}, Resolver: &names{answers: map[string][][]netip.Addr{"rebind.example": lookups}}, Dial: w.dial})
	var all sync.WaitGroup
	var passed, refused atomic.Int64
	for range 20 {
		all.Go(func() {
			for range 50 {
				_, _, err := fetch(t, p, get(t, "http://rebind.example/"), Options{})
				refusal, ok := errors.AsType[*Refusal](err)
				switch {
				case err == nil:
					passed.Add(1)
				case ok && refusal.Rule == RuleAddress:
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() == 0 || refused.Load() == 0 || passed.Load()+refused.Load() != 1000 {
		t.Errorf("%d passed, %d were refused", passed.Load(), refused.Load())
	}
	for _, addr := range w.seen() {
		if addr != public+":80" {
			t.Fatalf("%s was dialled", addr)
		}
	}
}

// TestRebindingByRedirect has the same name redirect to itself after its answer
// changed.
func TestRebindingByRedirect(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	w := &wires{plain: address(server)}
	p := newPolicy(t, Config{
		Allow:    []Rule{{Host: "rebind.example"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"rebind.example": {answer(public)[0], answer("169.254.169.254")[0]}}},
		Dial:     w.dial,
	})
	_, _, err := fetch(t, p, get(t, "http://rebind.example/"), Options{})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleAddress {
		t.Errorf("error %v", err)
	}
	if want := []string{public + ":80"}; !slices.Equal(w.seen(), want) {
		t.Errorf("dialled %q, want %q", w.seen(), want)
	}
}

func TestDialTriesAddressesInTurn(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	var tried []string
	p := newPolicy(t, Config{
		Allow:    []Rule{{Host: "many.example"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"many.example": answer("1.1.1.1", "2606:4700::1111", "8.8.8.8")}},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if tried = append(tried, addr); len(tried) < 3 {
				return nil, errors.New("unreachable")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address(server))
		},
	})
	if _, _, err := fetch(t, p, get(t, "http://many.example/"), Options{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1.1.1.1:80", "[2606:4700::1111]:80", "8.8.8.8:80"}; !slices.Equal(tried, want) {
		t.Errorf("tried %q, want %q", tried, want)
	}
}

func TestDialBoundsItsAttempts(t *testing.T) {
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("1.1.1.%d", i))
	}
	w := &wires{}
	p := newPolicy(t, Config{
		Allow:    []Rule{{Host: "many.example"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"many.example": answer(many...)}},
		Dial:     w.dial,
	})
	_, _, err := fetch(t, p, get(t, "http://many.example/"), Options{})
	failure, ok := errors.AsType[*Failure](err)
	if !ok || failure.Kind != KindConnect || failure.Code() != CodeFailed || strings.Contains(err.Error(), "1.1.1.") {
		t.Errorf("error %v", err)
	}
	if len(w.seen()) != maxAttempts {
		t.Errorf("%d attempts, want %d", len(w.seen()), maxAttempts)
	}
}

// TestProxyOfTheEnvironmentIsIgnored runs with the variables that TestMain sets.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	proxy, err := http.ProxyFromEnvironment(get(t, "http://api.example.com/"))
	if err != nil || proxy == nil || proxy.Hostname() != proxyOfTheEnvironment {
		t.Fatalf("the environment has proxy %v, %v", proxy, err)
	}
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	w := &wires{plain: address(server)}
	resolver := &names{answers: map[string][][]netip.Addr{"api.example.com": answer(public)}}
	p := newPolicy(t, Config{Allow: []Rule{{Host: "api.example.com"}}, Resolver: resolver, Dial: w.dial})
	if _, _, err := fetch(t, p, get(t, "http://api.example.com/"), Options{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{public + ":80"}; !slices.Equal(w.seen(), want) || slices.Contains(resolver.asked, proxyOfTheEnvironment) {
		t.Errorf("asked for %q and dialled %q, want %q", resolver.asked, w.seen(), want)
	}
}

// TestPoolsAreNotShared has a second policy that must not use the connection
// that the first one is keeping.
func TestPoolsAreNotShared(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	w := &wires{plain: address(server)}
	config := Config{
		Allow:    []Rule{{Host: "api.example.com"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"api.example.com": answer(public)}},
		Dial:     w.dial,
	}
	first := newPolicy(t, config)
	for range 3 {
		if _, _, err := fetch(t, first, get(t, "http://api.example.com/"), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.seen()); n != 1 {
		t.Errorf("three requests of one policy used %d connections, want 1", n)
	}
	config.Resolver = &names{answers: map[string][][]netip.Addr{"api.example.com": answer("10.0.0.1")}}
	second := newPolicy(t, config)
	if _, _, err := fetch(t, second, get(t, "http://api.example.com/"), Options{}); err == nil {
		t.Error("the second policy used the first one's connection")
	}
	first.Close()
	for range 2 {
		if _, _, err := fetch(t, first, get(t, "http://api.example.com/"), Options{}); err != nil {
			t.Errorf("after Close: %v", err)
		}
	}
	if n := len(w.seen()); n != 3 {
		t.Errorf("%d connections, want a new one for each request after Close", n)
	}
}

// TestSystemResolver asks for a name of the hosts file, so it needs no network.
func TestSystemResolver(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	rule := []Rule{{Host: "localhost", Port: port(server)}}
	url := fmt.Sprintf("http://localhost:%d/", port(server))
	closed := newPolicy(t, Config{Allow: rule})
	_, _, err := fetch(t, closed, get(t, url), Options{})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleAddress || !strings.Contains(refusal.Reason, "loopback") {
		t.Errorf("error %v", err)
	}
	open := newPolicy(t, Config{Allow: rule, AllowIP: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
	}})
	if _, _, err := fetch(t, open, get(t, url), Options{}); err != nil {
		t.Error(err)
	}
}

func TestTLSVerifiesTheName(t *testing.T) {
	server, roots := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Proto, r.TLS.ServerName)
	}, "good.example")
	w := &wires{tls: address(server)}
	config := Config{
		Allow:    []Rule{{Host: "*.example"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"good.example": answer(public), "bad.example": answer(public)}},
		Dial:     w.dial,
	}
	trusting := config
	trusting.Roots = roots
	tests := []struct {
		name, url string
		config    Config
		want      string
	}{
		{"name and root are good", "https://good.example/", trusting, "HTTP/2.0 good.example"},
		{"name is not the certificate's", "https://bad.example/", trusting, ""},
		{"root is not trusted", "https://good.example/", config, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPolicy(t, test.config)
			_, body, err := fetch(t, p, get(t, test.url), Options{})
			if test.want != "" {
				if err != nil || body != test.want {
					t.Errorf("body %q, error %v", body, err)
				}
				return
			}
			if failure, ok := errors.AsType[*Failure](err); !ok || failure.Kind != KindTLS {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestSystemResolverKeepsSearchDomainsOut looks at the names that are asked for.
func TestSystemResolverKeepsSearchDomainsOut(t *testing.T) {
	for host, want := range map[string]string{"api.example.com": "api.example.com.", "redis": "redis"} {
		t.Run(host, func(t *testing.T) {
			r := systemResolver{&net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no network")
			}}}
			_, err := r.LookupNetIP(t.Context(), "ip", host)
			if failed, ok := errors.AsType[*net.DNSError](err); !ok || failed.Name != want {
				t.Errorf("error %v, want a look-up of %q", err, want)
			}
		})
	}
}
