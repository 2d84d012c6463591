package bot

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Prefixes is a set of address prefixes. It is safe for concurrent use once it is filled.
type Prefixes struct{ table bart.Lite }

// maxPrefixes bounds a list: the largest published ones have some tens of thousands.
const maxPrefixes = 1 << 20

// Read adds the prefixes of a list: one a line, or an address, with # before comments; or the JSON in which search engines publish theirs,
// {"prefixes": [{"ipv4Prefix": "192.0.2.0/24"}, {"ipv6Prefix": "2001:db8::/32"}]}. An error begins with name and the line.
func (p *Prefixes) Read(r io.Reader, name string) error {
	in := bufio.NewReader(r)
	for {
		b, err := in.Peek(1)
		if err == nil && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
			_, _ = in.Discard(1)
			continue
		}
		if err == nil && b[0] == '{' {
			return p.readJSON(in, name)
		}
		break
	}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := p.add(text); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *Prefixes) readJSON(r io.Reader, name string) error {
	text, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var list struct {
		Prefixes []struct {
			IPv4 string `json:"ipv4Prefix"`
			IPv6 string `json:"ipv6Prefix"`
		} `json:"prefixes"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		line := 1
		if syntax, ok := err.(*json.SyntaxError); ok {
			line += bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		}
		return fmt.Errorf("%s:%d: %w", name, line, err)
	}
	for i, one := range list.Prefixes {
		if err := p.add(one.IPv4 + one.IPv6); err != nil {
			return fmt.Errorf("%s: prefix %d: %w", name, i+1, err)
		}
	}
	return nil
}

func (p *Prefixes) add(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return fmt.Errorf("%.100q is no address and no prefix like 192.0.2.0/24", text)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return fmt.Errorf("%s: write IPv4 prefixes in the form of IPv4", text)
	}
	if p.table.Size() >= maxPrefixes {
		return fmt.Errorf("more than %d prefixes", maxPrefixes)
	}
	p.table.Insert(prefix.Masked())
	return nil
}

// Contains tells whether an address is in the set.
func (p *Prefixes) Contains(addr netip.Addr) bool {
	return addr.IsValid() && p.table.Contains(addr.Unmap())
}

// Size is how many prefixes there are.
func (p *Prefixes) Size() int { return p.table.Size() }
