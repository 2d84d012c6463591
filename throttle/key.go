package throttle

import (
	"crypto/sha256"
	"net/netip"
	"strings"
)

// Keys longer than this are kept by their SHA-256, so that a client that chooses its key can't choose how much memory it takes.
const maxKeyBytes = 64

// boundedKey is what a key is kept as.
func boundedKey(key string) string {
	if len(key) <= maxKeyBytes {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}

// DefaultIPv6Prefix is how many leading bits of an IPv6 address tell one client from another. A /64 is what one
// subscriber or host is given at the least (RFC 6177, RFC 7421), and whoever has one can send from any of its addresses.
const DefaultIPv6Prefix = 64

// AddressKey is the key that an address is counted under: an IPv6 address gives its first bits as a prefix, such as
// 2001:db8:1:2::/64, an IPv4 address written as IPv6 (RFC 4291, 2.5.5.2) the IPv4 address, and a zone of a
// link-local address is dropped. With 128 bits the address stands for itself. Whatever is no IPv6 address is returned as it is.
func AddressKey(s string, bits int) string {
	if strings.IndexByte(s, ':') < 0 {
		return s
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	client := Client(addr, bits)
	if client.Is4() || bits >= 128 {
		return client.String()
	}
	return netip.PrefixFrom(client, bits).String()
}

// Client is the address that a client is known by: of an IPv6 address the first one that has the same leading bits.
func Client(a netip.Addr, bits int) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return a
	}
	return p.Addr()
}
