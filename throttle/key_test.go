package throttle

import (
	"net/netip"
	"testing"
)

func TestAddressKey(t *testing.T) {
	for _, test := range []struct {
		name, in string
		bits     int
		want     string
	}{
		{"IPv4", "203.0.113.9", 64, "203.0.113.9"},
		{"IPv6", "2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
		{"IPv6 of the same /64", "2001:db8:1:2:ffff::1", 64, "2001:db8:1:2::/64"},
		{"IPv6 of the next /64", "2001:db8:1:3::1", 64, "2001:db8:1:3::/64"},
		{"another spelling", "2001:0DB8:0001:0002::5", 64, "2001:db8:1:2::/64"},
		{"a shorter prefix", "2001:db8:1:2ff::1", 56, "2001:db8:1:200::/56"},
		{"the whole address", "2001:DB8::1", 128, "2001:db8::1"},
		{"IPv4 as IPv6", "::ffff:203.0.113.9", 64, "203.0.113.9"},
		{"IPv4 as IPv6 in hex", "::ffff:cb00:7109", 128, "203.0.113.9"},
		{"a link-local zone", "fe80::1%eth0", 64, "fe80::/64"},
		{"not an address", "agent:7", 64, "agent:7"},
		{"with a port", "[2001:db8::1]:443", 64, "[2001:db8::1]:443"},
		{"empty", "", 64, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := AddressKey(test.in, test.bits); got != test.want {
				t.Errorf("%q by %d bits: %q, want %q", test.in, test.bits, got, test.want)
			}
		})
	}
}

func FuzzAddressKey(f *testing.F) {
	for _, s := range []string{"203.0.113.9", "2001:db8::1", "fe80::1%eth0", "::ffff:1.2.3.4", "x:y"} {
		f.Add(s, 64)
	}
	f.Fuzz(func(t *testing.T, s string, bits int) {
		bits = min(max(bits, 1), 128)
		key := AddressKey(s, bits)
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() && !a.Is4In6() && bits < 128 {
			p, err := netip.ParsePrefix(key)
			if err != nil || !p.Contains(a.WithZone("")) || p.Bits() != bits {
				t.Fatalf("%q by %d bits is %q", s, bits, key)
			}
		}
		if again := AddressKey(key, bits); again != key {
			t.Fatalf("%q gives %q, which gives %q", s, key, again)
		}
	})
}
