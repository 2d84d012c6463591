package egress

import "net/netip"

// special lists the blocks that are not public unicast, from the IANA IPv4 and
// IPv6 special-purpose address registries (RFC 6890 and its updates), and the
// metadata address of one cloud that lies outside them. What is IPv6 and not in
// 2000::/3 is reserved without being listed.
var special = []struct {
	prefix netip.Prefix
	class  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud metadata"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a reserved"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "a broadcast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved"},

	{netip.MustParsePrefix("::/128"), "an unspecified"},
	{netip.MustParsePrefix("::1/128"), "a loopback"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "an IPv4-mapped"},
	{nat64WellKnown, "a NAT64"},
	{nat64Local, "a NAT64"},
	{teredo, "a Teredo"},
	{netip.MustParsePrefix("2001::/23"), "a reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation"},
	{sixToFour, "a 6to4"},
	{netip.MustParsePrefix("3fff::/20"), "a documentation"},
	{netip.MustParsePrefix("fc00::/7"), "a private"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast"},
}

var (
	nat64WellKnown = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052
	nat64Local     = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	teredo         = netip.MustParsePrefix("2001::/32")      // RFC 4380
	sixToFour      = netip.MustParsePrefix("2002::/16")      // RFC 3056
	globalUnicast  = netip.MustParsePrefix("2000::/3")       // RFC 4291
)

// classify names the special block an address lies in, with its article, or
// returns "" for public unicast.
func classify(addr netip.Addr) string {
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return s.class
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "a reserved"
	}
	return ""
}

// addressSet decides which addresses may be dialled.
type addressSet struct {
	allow []netip.Prefix
	deny  []netip.Addr // unmapped
	// denyPrefixes are unmapped.
	denyPrefixes []netip.Prefix
	block        *Feed
}

// refuse says why addr may not be dialled, as a clause, or returns "" when it
// may. An IPv4-mapped address is permitted when its own form or its IPv4 address
// is covered by a prefix. A NAT64, 6to4 or Teredo address must be covered itself
// and each IPv4 address inside it must be permitted as well.
func (s *addressSet) refuse(addr netip.Addr) (reason string) {
	if !addr.IsValid() || addr.Zone() != "" {
		return "the host has an address with a zone id or none"
	}
	for _, denied := range s.deny {
		if denied == addr.Unmap() {
			// The rule's text would tell agent code the address.
			return "the host's address is denied"
		}
	}
	for _, prefix := range s.denyPrefixes {
		if prefix.Contains(addr.Unmap()) {
			return "the host's address is denied"
		}
	}
	if s.block.addr(addr) {
		return "the host's address is in a blocklist"
	}
	class := classify(addr)
	if class == "" {
		return ""
	}
	bits, covered := s.covers(addr)
	if addr.Is4In6() {
		_, inner := s.covers(addr.Unmap())
		covered = covered || inner
	}
	if !covered {
		return "the host has " + class + " address and no allow_ip covers it"
	}
	inner, known := embedded(addr, bits)
	if !known {
		return "the host has " + class + " address and the allow_ip that covers it does not say where its IPv4 address lies"
	}
	for _, v4 := range inner {
		if reason := s.refuse(v4); reason != "" {
			return reason
		}
	}
	return ""
}

// covers returns the length of the longest allow_ip prefix that holds addr.
func (s *addressSet) covers(addr netip.Addr) (bits int, ok bool) {
	for _, prefix := range s.allow {
		if prefix.Contains(addr) && (!ok || prefix.Bits() > bits) {
			bits, ok = prefix.Bits(), true
		}
	}
	return bits, ok
}

// embedded returns the IPv4 addresses inside a transition address. In the local
// NAT64 block their place follows from the operator's prefix length (RFC 6052,
// section 2.2), which the length of the covering allow_ip must therefore be;
// known is false when it is none of the lengths that exist.
func embedded(addr netip.Addr, bits int) (inner []netip.Addr, known bool) {
	b := addr.As16()
	v4 := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	switch {
	case nat64WellKnown.Contains(addr):
		return []netip.Addr{v4(12, 13, 14, 15)}, true
	case nat64Local.Contains(addr):
		switch {
		case bits == 48:
			return []netip.Addr{v4(6, 7, 9, 10)}, true
		case bits == 56:
			return []netip.Addr{v4(7, 9, 10, 11)}, true
		case bits == 64:
			return []netip.Addr{v4(9, 10, 11, 12)}, true
		case bits >= 96:
			return []netip.Addr{v4(12, 13, 14, 15)}, true
		}
		return nil, false
	case sixToFour.Contains(addr):
		return []netip.Addr{v4(2, 3, 4, 5)}, true
	case teredo.Contains(addr):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{v4(4, 5, 6, 7), client}, true
	}
	return nil, true
}
