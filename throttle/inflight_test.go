package throttle

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

func TestInFlight(t *testing.T) {
	f := InFlight{Total: 3, PerClient: 2}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	enter := func(who netip.Addr, want Full) {
		t.Helper()
		if got := f.Enter(who, false); got != want {
			t.Errorf("%v: got %v, want %v", who, got, want)
		}
	}
	enter(a, NotFull)
	enter(a, NotFull)
	enter(a, FullClient)
	enter(netip.MustParseAddr("::ffff:192.0.2.1"), FullClient)
	enter(b, NotFull)
	enter(b, FullTotal)
	f.Leave(a)
	enter(b, NotFull)
	enter(a, FullTotal)
	if got := f.Enter(a, true); got != FullTotal {
		t.Errorf("in shadow: %v", got)
	}
	for range 2 {
		f.Leave(a)
		f.Leave(b)
	}
	if n := f.total.Load(); n != 0 {
		t.Errorf("%d are left", n)
	}
	if n := f.clients.Keys(); n != 0 {
		t.Errorf("%d clients are left", n)
	}
}

func TestClient(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := Client(netip.MustParseAddr(from), DefaultIPv6Prefix).String(); got != want {
			t.Errorf("%s is known as %s, want %s", from, got, want)
		}
	}
}

func TestInFlightUnderConcurrency(t *testing.T) {
	f := InFlight{PerClient: 5}
	client := netip.MustParseAddr("192.0.2.1")
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 1000 {
				if f.Enter(client, false) != NotFull {
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				inside.Add(-1)
				f.Leave(client)
			}
		})
	}
	wg.Wait()
	if most.Load() > 5 || f.total.Load() != 0 {
		t.Errorf("%d at once, want at most 5; %d left", most.Load(), f.total.Load())
	}
}

func BenchmarkInFlight(b *testing.B) {
	f := InFlight{Total: 1000, PerClient: 200}
	client := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		if f.Enter(client, false) == NotFull {
			f.Leave(client)
		}
	}
}
