package bot

import (
	"hash/maphash"
	"math"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	maxClients   = 1 << 16
	clientWindow = time.Minute
	trapHold     = time.Hour
	spreadBits   = 256
	cookieTries  = 5
)

// Clients remembers what clients did a short while ago: which asked for what nobody links to, and how many pages each asked for. It keeps
// 65,536 of each, the ones that ask most, some 150 bytes each; a client that is not kept is not held anything against. It is safe for concurrent use.
type Clients struct {
	now     func() time.Time
	trapped *otter.Cache[netip.Prefix, struct{}]
	pages   *otter.Cache[netip.Prefix, *client]
	seed    maphash.Seed
}

// NewClients makes an empty memory. now is the clock; nil is time.Now.
func NewClients(now func() time.Time) *Clients {
	if now == nil {
		now = time.Now
	}
	return &Clients{
		now: now, seed: maphash.MakeSeed(),
		trapped: otter.Must(&otter.Options[netip.Prefix, struct{}]{MaximumSize: maxClients, ExpiryCalculator: otter.ExpiryWriting[netip.Prefix, struct{}](trapHold)}),
		pages:   otter.Must(&otter.Options[netip.Prefix, *client]{MaximumSize: maxClients, ExpiryCalculator: otter.ExpiryAccessing[netip.Prefix, *client](clientWindow)}),
	}
}

// client counts one client's pages within a minute.
type client struct {
	mu         sync.Mutex
	begun      time.Time
	count      int
	paths      [spreadBits / 64]uint64 // a bit for each path that was asked for, by its hash
	cookieless int                     // answers with cookies to requests without
}

// one is what counts as one client: an IPv4 address, or the /64 of an IPv6 one.
func one(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	length := addr.BitLen()
	if addr.Is6() {
		length = 64
	}
	p, _ := addr.Prefix(length)
	return p
}

// Trap marks a client that asked for a honeypot, for an hour.
func (c *Clients) Trap(addr netip.Addr) { c.trapped.Set(one(addr), struct{}{}) }

// Trapped tells whether a client is marked.
func (c *Clients) Trapped(addr netip.Addr) bool {
	_, ok := c.trapped.GetIfPresent(one(addr))
	return ok
}

// Habits are what a client does too much of.
type Habits struct{ Rate, Spread, NoCookies bool }

// Page counts a page that a client asks for, and tells its habits within the last minute: more than most pages, more than two thirds of that of
// different paths, or answers with cookies that it never sends back.
func (c *Clients) Page(addr netip.Addr, path string, most int) (h Habits) {
	of, _ := c.pages.ComputeIfAbsent(one(addr), func() (*client, bool) { return &client{begun: c.now()}, false })
	if of == nil {
		return h
	}
	bit := maphash.String(c.seed, path) % spreadBits
	of.mu.Lock()
	defer of.mu.Unlock()
	if now := c.now(); now.Sub(of.begun) > clientWindow {
		of.begun, of.count, of.paths, of.cookieless = now, 0, [spreadBits / 64]uint64{}, 0
	}
	of.count++
	of.paths[bit/64] |= 1 << (bit % 64)
	free := spreadBits
	for _, w := range of.paths {
		free -= bits.OnesCount64(w)
	}
	// Linear counting: so many different paths leave so many bits free.
	different := spreadBits * math.Log(spreadBits/float64(max(free, 1)))
	return Habits{of.count > most, different > float64(most)*2/3, of.cookieless >= cookieTries}
}

// Cookieless counts an answer that set a cookie for a request that had none.
func (c *Clients) Cookieless(addr netip.Addr) {
	if of, ok := c.pages.GetIfPresent(one(addr)); ok {
		of.mu.Lock()
		of.cookieless++
		of.mu.Unlock()
	}
}
