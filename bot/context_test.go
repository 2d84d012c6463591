package bot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		name, text, err string
		has, lacks      []string
	}{
		{"lines", "# data centres\n192.0.2.0/24\n\n 198.51.100.7 # one\n2001:db8::/32\n", "", []string{"192.0.2.9", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1"}, []string{"192.0.3.1", "198.51.100.8", "2001:db9::1"}},
		{"a prefix of another form", "192.0.2.77/24", "", []string{"192.0.2.1"}, nil},
		{"JSON", "\n {\"creationTime\": \"now\", \"prefixes\": [{\"ipv4Prefix\": \"192.0.2.0/24\"}, {\"ipv6Prefix\": \"2001:db8::/32\"}]}", "", []string{"192.0.2.9", "2001:db8::1"}, []string{"10.0.0.1"}},
		{"nothing", "", "", nil, []string{"192.0.2.1"}},
		{"no address", "192.0.2.0/24\nexample.com\n", "list:2: \"example.com\" is no address", nil, nil},
		{"a long prefix", "192.0.2.0/33", "list:1: ", nil, nil},
		{"a zone", "fe80::1%eth0", "list:1: ", nil, nil},
		{"a mapped prefix", "::ffff:192.0.2.0/120", "list:1: ::ffff:192.0.2.0/120: write IPv4", nil, nil},
		{"broken JSON", "{\n\"prefixes\": [}", "list:2: ", nil, nil},
		{"JSON with an empty prefix", `{"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {}]}`, "list: prefix 2: ", nil, nil},
	} {
		var p Prefixes
		err := p.Read(strings.NewReader(c.text), "list")
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, a := range c.has {
			if !p.Contains(netip.MustParseAddr(a)) {
				t.Errorf("%s lacks %s", c.name, a)
			}
		}
		for _, a := range c.lacks {
			if p.Contains(netip.MustParseAddr(a)) {
				t.Errorf("%s has %s", c.name, a)
			}
		}
	}
	if new(Prefixes).Contains(netip.Addr{}) {
		t.Error("no address is in an empty list")
	}
}

func FuzzPrefixes(f *testing.F) {
	f.Add("192.0.2.0/24\n# x\n2001:db8::/32\n198.51.100.7", "192.0.2.1")
	f.Add(`{"prefixes":[{"ipv4Prefix":"192.0.2.0/24"}]}`, "2001:db8::1")
	f.Fuzz(func(t *testing.T, text, addr string) {
		var p Prefixes
		if err := p.Read(strings.NewReader(text), "list"); err != nil && !strings.HasPrefix(err.Error(), "list") {
			t.Errorf("the error does not say where: %v", err)
		}
		if a, err := netip.ParseAddr(addr); err == nil {
			p.Contains(a)
		}
	})
}

func BenchmarkPrefixes(b *testing.B) {
	var p Prefixes
	for i := range 100_000 {
		p.table.Insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 9), byte(i >> 1), byte(i << 7), 0}), 25))
	}
	addrs := []netip.Addr{netip.MustParseAddr("5.6.7.8"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::1")}
	i := 0
	for b.Loop() {
		p.Contains(addrs[i%3])
		i++
	}
}

// fakeDNS answers from tables.
type fakeDNS struct {
	names  map[string][]string
	addrs  map[string][]string
	broken bool
	delay  time.Duration
	asked  atomic.Int32
	mu     sync.Mutex
}

func (f *fakeDNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	f.asked.Add(1)
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return nil, &net.DNSError{Err: "server failure", IsTemporary: true}
	}
	if names := f.names[addr]; names != nil {
		return names, nil
	}
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (f *fakeDNS) LookupNetIP(_ context.Context, _, host string) (list []netip.Addr, err error) {
	for _, a := range f.addrs[strings.TrimSuffix(host, ".")] {
		if a == "broken" {
			return nil, errors.New("server failure")
		}
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	return list, nil
}

const (
	uaGooglebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	uaBingbot   = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"
)

func TestCrawlers(t *testing.T) {
	dns := &fakeDNS{
		names: map[string][]string{
			"192.0.2.1": {"crawl-192-0-2-1.googlebot.com."}, "192.0.2.2": {"crawl.googlebot.com.evil.example."}, "192.0.2.3": {"stolen.googlebot.com."},
			"192.0.2.4": {"googlebot.com."}, "192.0.2.5": {"half.googlebot.com."}, "192.0.2.6": {"other.example.", "Crawl-6.GoogleBot.com."}, "2001:db8::1": {"six.search.msn.com."},
		},
		addrs: map[string][]string{
			"crawl-192-0-2-1.googlebot.com": {"192.0.2.1"}, "crawl.googlebot.com.evil.example": {"192.0.2.2"}, "stolen.googlebot.com": {"192.0.2.99"},
			"googlebot.com": {"192.0.2.4"}, "half.googlebot.com": {"broken"}, "crawl-6.googlebot.com": {"203.0.113.1", "192.0.2.6"}, "six.search.msn.com": {"2001:db8::1"},
		},
	}
	c := NewCrawlers(dns)
	defer c.Close()
	for _, test := range []struct {
		what, addr, userAgent, name string
		want                        Origin
	}{
		{"confirmed", "192.0.2.1", uaGooglebot, "Googlebot", OriginTrue},
		{"confirmed, mapped", "::ffff:192.0.2.1", uaGooglebot, "Googlebot", OriginTrue},
		{"another crawler's address", "192.0.2.1", uaBingbot, "Bingbot", OriginFalse},
		{"a name that only begins so", "192.0.2.2", uaGooglebot, "Googlebot", OriginFalse},
		{"a name that is another address's", "192.0.2.3", uaGooglebot, "Googlebot", OriginFalse},
		{"the domain itself", "192.0.2.4", uaGooglebot, "Googlebot", OriginFalse},
		{"a name that cannot be looked up", "192.0.2.5", uaGooglebot, "Googlebot", OriginUnknown},
		{"the second of two names", "192.0.2.6", uaGooglebot, "Googlebot", OriginTrue},
		{"no name", "192.0.2.7", uaGooglebot, "Googlebot", OriginFalse},
		{"IPv6", "2001:db8::1", uaBingbot, "Bingbot", OriginTrue},
		{"no crawler", "192.0.2.1", "curl/8", "", OriginUnknown},
		{"no address", "", uaGooglebot, "Googlebot", OriginUnknown},
	} {
		addr, _ := netip.ParseAddr(test.addr)
		if name, got := c.Verify(t.Context(), addr, test.userAgent); name != test.name || got != test.want {
			t.Errorf("%s: %s %v, want %s %v", test.what, name, got, test.name, test.want)
		}
	}
	before := dns.asked.Load()
	c.Verify(t.Context(), netip.MustParseAddr("192.0.2.1"), uaGooglebot)
	if dns.asked.Load() != before {
		t.Error("what is known was asked for again")
	}
}

// TestCrawlersWait has a resolver that is slow, one that is broken, and many who ask at once.
func TestCrawlersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := netip.MustParseAddr("192.0.2.1")
		dns := &fakeDNS{delay: time.Second, names: map[string][]string{"192.0.2.1": {"a.googlebot.com."}}, addrs: map[string][]string{"a.googlebot.com": {"192.0.2.1"}}}
		c := NewCrawlers(dns)
		defer c.Close()
		begun := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, got := c.Verify(context.Background(), addr, uaGooglebot); got != OriginUnknown {
					t.Errorf("before it is known: %v", got)
				}
			})
		}
		wg.Wait()
		if waited := time.Since(begun); waited != crawlerPatience {
			t.Errorf("they waited for %v", waited)
		}
		time.Sleep(time.Second)
		if _, got := c.Verify(context.Background(), addr, uaGooglebot); got != OriginTrue || dns.asked.Load() != 1 {
			t.Errorf("afterwards: %v, asked %d times", got, dns.asked.Load())
		}
		// More look-ups than are made at a time are not made.
		var unknown atomic.Int32
		for i := range maxLookups + 10 {
			wg.Go(func() {
				if _, got := c.Verify(context.Background(), netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), uaGooglebot); got == OriginUnknown {
					unknown.Add(1)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Second)
		if asked := dns.asked.Load(); asked != 1+maxLookups {
			t.Errorf("%d look-ups were made, want %d", asked-1, maxLookups)
		}
	})
	c := NewCrawlers(&fakeDNS{broken: true})
	defer c.Close()
	if _, got := c.Verify(t.Context(), netip.MustParseAddr("192.0.2.1"), uaGooglebot); got != OriginUnknown {
		t.Errorf("with a broken resolver: %v", got)
	}
}

func TestClients(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := NewClients(func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	c.Trap(netip.MustParseAddr("2001:db8::1"))
	for addr, want := range map[string]bool{"2001:db8::2": true, "2001:db8:0:1::1": false, "192.0.2.1": false} {
		if got := c.Trapped(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is trapped: %v", addr, got)
		}
	}
	for i := range 60 {
		if h := c.Page(a, "/same", 60); h != (Habits{}) {
			t.Fatalf("page %d: %+v", i+1, h)
		}
	}
	if h := c.Page(a, "/same", 60); h != (Habits{Rate: true}) {
		t.Errorf("page 61: %+v", h)
	}
	if h := c.Page(b, "/same", 60); h != (Habits{}) {
		t.Errorf("another client: %+v", h)
	}
	spread := 0
	for i := range 59 {
		if h := c.Page(b, fmt.Sprint("/", i), 60); h.Spread && spread == 0 {
			spread = i + 2
		}
	}
	if spread < 35 || spread > 48 {
		t.Errorf("the spread was noticed at %d different pages, want about 41", spread)
	}
	for range cookieTries {
		c.Cookieless(b)
	}
	if h := c.Page(b, "/same", 250); !h.NoCookies {
		t.Errorf("after cookies that it did not send back: %+v", h)
	}
	now = now.Add(clientWindow + time.Second)
	if h := c.Page(a, "/same", 60); h != (Habits{}) {
		t.Errorf("a minute later: %+v", h)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				c.Page(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "/x", 100)
				c.Trapped(a)
			}
		})
	}
	wg.Wait()
}

func BenchmarkClients(b *testing.B) {
	c := NewClients(nil)
	i := 0
	for b.Loop() {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		c.Trapped(addr)
		c.Page(addr, "/a/path", 90)
		i++
	}
}

func TestIn(t *testing.T) {
	browser, crawler := Result{Score: 95}, Result{Score: scoreCrawler, Reasons: []string{ReasonClaimedCrawler}}
	for _, c := range []struct {
		name    string
		of      Result
		in      Context
		score   int
		reasons string
	}{
		{"nothing", browser, Context{}, 95, ""},
		{"a data centre", browser, Context{Datacenter: true}, 55, "datacenter"},
		{"a program in a data centre", Result{Score: 15}, Context{Datacenter: true}, 15, ""},
		{"everything", browser, Context{Datacenter: true, Habits: Habits{true, true, true}}, 2, "datacenter page-rate page-spread no-cookies"},
		{"a honeypot", browser, Context{Trapped: true}, 2, "honeypot"},
		{"an attack tool in a honeypot", Result{Score: 1}, Context{Trapped: true}, 1, "honeypot"},
		{"a verified crawler", crawler, Context{Crawler: OriginTrue, Trapped: true}, 20, "claimed-crawler verified-crawler"},
		{"a spoofed one", crawler, Context{Crawler: OriginFalse}, 1, "claimed-crawler spoofed-crawler"},
	} {
		of := c.of
		of.Reasons = slices.Clone(of.Reasons)
		r := of.In(c.in)
		if r.Score != c.score || strings.Join(r.Reasons, " ") != c.reasons || r.Verified != (c.in.Crawler == OriginTrue) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}
