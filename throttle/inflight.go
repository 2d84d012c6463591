package throttle

import (
	"net/netip"
	"sync/atomic"
)

// InFlight bounds how many requests are under way at one time: in all, and of each client. The zero value bounds nothing.
// It is safe for concurrent use. What it holds is bounded by the requests that are under way.
type InFlight struct {
	// Total is the most requests of all clients together, PerClient the most of one. 0 is no bound.
	Total, PerClient int
	// IPv6Prefix is how many leading bits of an IPv6 address tell clients apart; 0 is 64.
	IPv6Prefix int

	total   atomic.Int64
	clients Crowd[netip.Addr]
}

// Full says which bound a request would pass.
type Full int

// A request may enter where nothing is Full.
const (
	NotFull Full = iota
	FullTotal
	FullClient
)

// Enter lets a request of a client in, which is to leave when it has ended, or says which bound is reached. A request that is over
// a bound is counted all the same if over is set, and is to leave too.
func (f *InFlight) Enter(client netip.Addr, over bool) Full {
	full := NotFull
	if n := f.total.Add(1); f.Total > 0 && n > int64(f.Total) {
		full = FullTotal
		if !over {
			f.total.Add(-1)
			return full
		}
	}
	if f.PerClient == 0 {
		return full
	}
	client = f.client(client)
	if over {
		if f.clients.Enter(client) > f.PerClient {
			full = FullClient
		}
		return full
	}
	if !f.clients.EnterUpTo(client, f.PerClient) {
		f.total.Add(-1)
		return FullClient
	}
	return full
}

// Leave ends what Enter let in.
func (f *InFlight) Leave(client netip.Addr) {
	f.total.Add(-1)
	if f.PerClient > 0 {
		f.clients.Leave(f.client(client))
	}
}

func (f *InFlight) client(a netip.Addr) netip.Addr {
	if f.IPv6Prefix == 0 {
		return Client(a, DefaultIPv6Prefix)
	}
	return Client(a, f.IPv6Prefix)
}
