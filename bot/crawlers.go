package bot

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// Origin is what is known of where a claimed crawler comes from.
type Origin int

const (
	// OriginUnknown is for what is no crawler that can be verified, and where that could not be found out.
	OriginUnknown Origin = iota
	// OriginTrue is for a crawler at an address of its operator.
	OriginTrue
	// OriginFalse is for one at an address of somebody else.
	OriginFalse
)

// crawlerDomains are the domains under which operators say that the names of their crawlers' addresses are, by a part of the user agent.
//
// Sources: the operators' pages on verifying their crawlers (Google, Bing, Apple, Yandex, Baidu, Amazon, Seznam, Naver, Qwant, Huawei, Mojeek).
var crawlerDomains = []struct {
	part, name string
	domains    []string
}{
	{"googlebot", "Googlebot", []string{"googlebot.com", "google.com", "googleusercontent.com"}},
	{"google-inspectiontool", "Google-InspectionTool", []string{"googlebot.com", "google.com"}},
	{"bingbot", "Bingbot", []string{"search.msn.com"}},
	{"applebot", "Applebot", []string{"applebot.apple.com"}},
	{"yandexbot", "YandexBot", []string{"yandex.ru", "yandex.net", "yandex.com"}},
	{"baiduspider", "Baiduspider", []string{"baidu.com", "baidu.jp"}},
	{"amazonbot", "Amazonbot", []string{"crawl.amazonbot.amazon"}},
	{"seznambot", "SeznamBot", []string{"seznam.cz"}},
	{"yeti", "Yeti", []string{"naver.com"}},
	{"qwantbot", "Qwantbot", []string{"qwant.com"}},
	{"petalbot", "PetalBot", []string{"petalsearch.com", "aspiegel.com"}},
	{"mojeekbot", "MojeekBot", []string{"mojeek.com"}},
}

const (
	crawlerPatience = 300 * time.Millisecond // of a request
	lookupTimeout   = 5 * time.Second
	maxLookups      = 32 // at a time
	maxOrigins      = 1 << 16
	originFresh     = time.Hour
	originRetry     = time.Minute // after a look-up that failed
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Crawlers verifies search engines' crawlers by forward-confirmed reverse DNS: the address has a name under the operator's domain, and that
// name has the address. It is safe for concurrent use.
type Crawlers struct {
	resolver Resolver
	patience time.Duration
	found    *otter.Cache[crawlerKey, Origin]
	flight   singleflight.Group
	slots    chan struct{}
}

type crawlerKey struct {
	addr    netip.Addr
	crawler string
}

// NewCrawlers makes a verifier that asks a resolver. It is to be closed.
func NewCrawlers(r Resolver) *Crawlers {
	return &Crawlers{
		resolver: r, patience: crawlerPatience, slots: make(chan struct{}, maxLookups),
		found: otter.Must(&otter.Options[crawlerKey, Origin]{
			MaximumSize: maxOrigins,
			ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[crawlerKey, Origin]) time.Duration {
				if e.Value == OriginUnknown {
					return originRetry
				}
				return originFresh
			}),
		}),
	}
}

// Close ends what runs beside it.
func (c *Crawlers) Close() { c.found.StopAllGoroutines() }

// Verify tells which crawler a user agent names, and whether the address is its operator's. It waits for the look-up for 300 ms; what takes
// longer is known to the next request.
func (c *Crawlers) Verify(ctx context.Context, addr netip.Addr, userAgent string) (name string, origin Origin) {
	lower := strings.ToLower(userAgent[:min(len(userAgent), maxUserAgent)])
	for _, known := range crawlerDomains {
		if !strings.Contains(lower, known.part) {
			continue
		}
		if addr = addr.Unmap(); !addr.IsValid() {
			return known.name, OriginUnknown
		}
		key := crawlerKey{addr, known.name}
		if origin, ok := c.found.GetIfPresent(key); ok {
			return known.name, origin
		}
		return known.name, c.ask(ctx, key, known.domains)
	}
	return "", OriginUnknown
}

// ask looks an address up, once for all who ask meanwhile.
func (c *Crawlers) ask(ctx context.Context, key crawlerKey, domains []string) Origin {
	answer := c.flight.DoChan(key.addr.String()+" "+key.crawler, func() (any, error) {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		default:
			return OriginUnknown, nil // not remembered: the next request may ask
		}
		lookup, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		origin := c.lookup(lookup, key.addr, domains)
		c.found.Set(key, origin)
		return origin, nil
	})
	patience := time.NewTimer(c.patience)
	defer patience.Stop()
	select {
	case r := <-answer:
		return r.Val.(Origin)
	case <-patience.C:
	case <-ctx.Done():
	}
	return OriginUnknown
}

func (c *Crawlers) lookup(ctx context.Context, addr netip.Addr, domains []string) Origin {
	names, err := c.resolver.LookupAddr(ctx, addr.String())
	if err != nil && !notFound(err) {
		return OriginUnknown
	}
	unknown := false
	for _, name := range names[:min(len(names), 8)] {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if !under(name, domains) {
			continue
		}
		addrs, err := c.resolver.LookupNetIP(ctx, "ip", name+".")
		if err != nil && !notFound(err) {
			unknown = true
			continue
		}
		for _, a := range addrs {
			if a.Unmap() == addr {
				return OriginTrue
			}
		}
	}
	if unknown {
		return OriginUnknown
	}
	return OriginFalse
}

func under(name string, domains []string) bool {
	for _, d := range domains {
		if strings.HasSuffix(name, "."+d) {
			return true
		}
	}
	return false
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
