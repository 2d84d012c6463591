package egress

import (
	"bufio"
	"fmt"
	"hash/maphash"
	"io"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

// Blocklist is a set of names, each with its subdomains, and of addresses, none of which a request may name or reach. It is safe for
// concurrent use once it is filled.
//
// A name takes 8 bytes and a half, its fingerprint in a sorted table that an index of its first bits leads into: a million take some 9 MB. Two
// names of the same fingerprint of 64 bits would be taken for each other, which happens by chance once in about 18 million million look-ups of a list of a
// million, and cannot be brought about, since the hash has a key of its own in each process.
type Blocklist struct {
	seed   maphash.Seed
	names  []uint64 // sorted fingerprints
	index  []uint32 // by the first bits of a fingerprint: where those that begin so start
	shift  int
	ranges bart.Lite
}

// maxBlocked bounds a list.
const maxBlocked = 16 << 20

// BlocklistReader fills a Blocklist.
type BlocklistReader struct{ list *Blocklist }

// NewBlocklistReader begins an empty list.
func NewBlocklistReader() *BlocklistReader {
	return &BlocklistReader{&Blocklist{seed: maphash.MakeSeed()}}
}

// Read adds a feed: a name, an address or a prefix a line, with # before comments. Lines of a hosts file, which begin with an address such as
// 0.0.0.0, and of filters, such as ||example.com^, are read too. An error begins with file and the line.
func (b *BlocklistReader) Read(r io.Reader, file string) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "!") {
			continue
		}
		fields := strings.Fields(text)
		if len(fields) > 1 {
			if to, err := netip.ParseAddr(fields[0]); err != nil || !to.IsUnspecified() && !to.IsLoopback() {
				return fmt.Errorf("%s:%d: %.100q is no name, address or prefix, and no line of a hosts file", file, n, text)
			}
			fields = fields[1:]
		}
		for _, one := range fields {
			if err := b.add(strings.TrimSuffix(strings.TrimPrefix(one, "||"), "^")); err != nil {
				return fmt.Errorf("%s:%d: %w", file, n, err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (b *BlocklistReader) add(text string) error {
	if len(b.list.names)+b.list.ranges.Size() >= maxBlocked {
		return fmt.Errorf("more than %d names and prefixes", maxBlocked)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		b.list.ranges.Insert(unmapped(p))
		return nil
	}
	literal := text
	if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() {
		literal = "[" + text + "]"
	}
	host, addr, err := parseHost(strings.TrimPrefix(literal, "*."))
	switch {
	case err != nil:
		return fmt.Errorf("%.100q is no name, address or prefix: %w", text, err)
	case addr.IsValid():
		addr = addr.Unmap()
		b.list.ranges.Insert(netip.PrefixFrom(addr, addr.BitLen()))
	default:
		b.list.names = append(b.list.names, b.list.fingerprint(host))
	}
	return nil
}

func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// List ends the reading.
func (b *BlocklistReader) List() *Blocklist {
	l := b.list
	slices.Sort(l.names)
	l.names = slices.Clip(slices.Compact(l.names))
	width := max(bits.Len(uint(len(l.names))), 1) - 1 // one or two names for each place of the index
	l.shift = 64 - width
	l.index = make([]uint32, 1<<width+1)
	for _, f := range l.names {
		l.index[l.place(f)+1]++
	}
	for i := 1; i < len(l.index); i++ {
		l.index[i] += l.index[i-1]
	}
	return l
}

// place is where the index leads for a fingerprint.
func (l *Blocklist) place(f uint64) int { return int(f >> l.shift) } // a shift by 64 gives 0

func (l *Blocklist) fingerprint(name string) uint64 { return maphash.String(l.seed, name) }

// Name tells whether a normalised name, or one that it is a subdomain of, is in the list.
func (l *Blocklist) Name(name string) bool {
	if l == nil || len(l.names) == 0 {
		return false
	}
	for rest := range parents(name) {
		f := l.fingerprint(rest)
		at := l.place(f)
		for _, other := range l.names[l.index[at]:l.index[at+1]] {
			if other == f {
				return true
			}
		}
	}
	return false
}

// Addr tells whether an address is in the list.
func (l *Blocklist) Addr(addr netip.Addr) bool {
	if l == nil {
		return false
	}
	return l.ranges.Contains(addr.Unmap())
}

// Size is how many names and prefixes the list has, without those within others.
func (l *Blocklist) Size() int {
	if l == nil {
		return 0
	}
	return len(l.names) + l.ranges.Size()
}
