package egress

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// decisionCase is a URL and what must become of it.
type decisionCase struct {
	name   string
	url    string
	method string // GET when empty
	want   string // "ok", "no url" where it can not even be parsed, or the rule of the refusal
	reason string // a part of the refusal's reason
	dial   string // the address that is dialled when it is allowed
}

const (
	nameless = "no allow rule names the host"
	public   = "93.184.216.34"
)

// decisionConfig is the policy of the table below.
func decisionConfig() Config {
	prefix := netip.MustParsePrefix
	return Config{
		Name: "research",
		Allow: []Rule{
			{Host: "start.example"},
			{Host: "api.example.com"},
			{Host: "svc.example.com", Port: 8443},
			{Host: "*.openai.example", Port: 443},
			{Host: "limited.example", Methods: []string{"GET", "POST"}, Paths: []string{"/v1/*", "/exact"}},
			{Host: "two.example", Methods: []string{"GET"}},
			{Host: "two.example", Methods: []string{"PUT"}, Paths: []string{"/put/*"}},
			{Host: "MÜNCHEN.example"},
			{Host: "under_score.example"},
			{Host: "r3---sn-a.example"},
			{Host: "*.addr.example"},
			{Host: "127.0.0.1"},
			{Host: public},
			{Host: "10.1.2.3"},
			{Host: "10.1.2.9"},
			{Host: "[2606:4700::1111]"},
			{Host: "[::1]"},
			{Host: "[::ffff:93.184.216.34]"},
			{Host: "[::ffff:10.1.2.3]"},
			{Host: "[64:ff9b::a01:203]"},
			{Host: "[64:ff9b::7f00:1]"},
		},
		AllowIP: []netip.Prefix{prefix("10.1.2.0/24"), prefix("fd00:1::/64"), prefix("64:ff9b::/96"),
			prefix("64:ff9b:1:a01::/64"), prefix("2002:a01:200::/40"), prefix("2002:7f00::/24")},
		Deny: []string{"evil.openai.example", "10.1.2.9", "addr.denied.addr.example"},
	}
}

// addressAnswers are names under addr.example and what they resolve to.
var addressAnswers = map[string][]string{
	"public4":      {public},
	"public6":      {"2606:4700::1111"},
	"both":         {public, "2606:4700::1111"},
	"loopback":     {"127.0.0.1"},
	"loopback2":    {"127.255.255.254"},
	"loopback6":    {"::1"},
	"zero":         {"0.0.0.0"},
	"zeronet":      {"0.1.2.3"},
	"unspecified6": {"::"},
	"ten":          {"10.0.0.1"},
	"allowedten":   {"10.1.2.7"},
	"deniedten":    {"10.1.2.9"},
	"private172":   {"172.16.0.1"},
	"edge172":      {"172.31.255.255"},
	"after172":     {"172.32.0.1"},
	"private192":   {"192.168.1.1"},
	"metadata":     {"169.254.169.254"},
	"azure":        {"168.63.129.16"},
	"cgnat":        {"100.64.0.1"},
	"cgnatend":     {"100.127.255.255"},
	"aftercgnat":   {"100.128.0.1"},
	"ietf":         {"192.0.0.8"},
	"relay":        {"192.88.99.1"},
	"bench":        {"198.19.255.255"},
	"doc1":         {"192.0.2.1"},
	"doc2":         {"198.51.100.1"},
	"doc3":         {"203.0.113.1"},
	"multicast":    {"224.0.0.1"},
	"class-e":      {"240.0.0.1"},
	"broadcast":    {"255.255.255.255"},
	"mapped":       {"::ffff:93.184.216.34"},
	"mappedloop":   {"::ffff:127.0.0.1"},
	"mappedten":    {"::ffff:10.1.2.3"},
	"linklocal6":   {"fe80::1"},
	"zoned":        {"fe80::1%lo"},
	"ula":          {"fd00::1"},
	"allowedula":   {"fd00:1::1"},
	"awsmeta6":     {"fd00:ec2::254"},
	"sitelocal":    {"fec0::1"},
	"multicast6":   {"ff02::1"},
	"doc6":         {"2001:db8::1"},
	"doc6new":      {"3fff::1"},
	"discard":      {"100::1"},
	"compatible":   {"::7f00:1"},
	"teredo":       {"2001:0:5ef5:79fb::1"},
	"nat64pub":     {"64:ff9b::5db8:d822"},
	"nat64loop":    {"64:ff9b::7f00:1"},
	"nat64ten":     {"64:ff9b::a01:203"},
	"nat64local":   {"64:ff9b:1::a01:203"},
	"nat64len64":   {"64:ff9b:1:a01:a:102:300::"},
	"nat64len64lo": {"64:ff9b:1:a01:7f:0:100::"},
	"sixtofour":    {"2002:5db8:d822::1"},
	"sixtofourten": {"2002:a01:203::1"},
	"sixtofourlo":  {"2002:7f00:1::1"},
	"mixed":        {public, "10.0.0.1"},
	"mixed2":       {"127.0.0.1", public},
	"mixed6":       {public, "::1"},
	"mixedallowed": {public, "10.1.2.7"},
	"empty":        {},
	"addr.denied":  {public},
}

func decisionCases() []decisionCase {
	cases := []decisionCase{
		// Names and ports.
		{name: "https on its port", url: "https://api.example.com/", want: "ok", dial: public + ":443"},
		{name: "http on its port", url: "http://api.example.com/", want: "ok", dial: public + ":80"},
		{name: "no path", url: "http://api.example.com", want: "ok", dial: public + ":80"},
		{name: "upper case", url: "HTTP://API.EXAMPLE.COM/", want: "ok", dial: public + ":80"},
		{name: "trailing dot", url: "http://api.example.com./", want: "ok", dial: public + ":80"},
		{name: "port written out", url: "https://api.example.com:443/", want: "ok", dial: public + ":443"},
		{name: "port with zeros", url: "http://api.example.com:00080/", want: "ok", dial: public + ":80"},
		{name: "port left empty", url: "http://api.example.com:/", want: "ok", dial: public + ":80"},
		{name: "http on the port of https", url: "http://api.example.com:443/", want: "allow api.example.com", reason: "port"},
		{name: "https on the port of http", url: "https://api.example.com:80/", want: "allow api.example.com", reason: "port"},
		{name: "other port", url: "http://api.example.com:8080/", want: "allow api.example.com", reason: "port"},
		{name: "port of the rule", url: "http://svc.example.com:8443/", want: "ok", dial: public + ":8443"},
		{name: "default port beside the rule's", url: "http://svc.example.com/", want: "allow svc.example.com:8443", reason: "port"},
		{name: "port zero", url: "http://api.example.com:0/", want: RuleHost, reason: "port"},
		{name: "port too high", url: "http://api.example.com:65536/", want: RuleHost, reason: "port"},
		{name: "port with sign", url: "http://api.example.com:+80/", want: "no url"},
		{name: "two ports", url: "http://api.example.com:80:80/", want: "no url"},
		{name: "unnamed host", url: "https://evil.example/", want: RuleDefault, reason: nameless},
		{name: "parent of an exact rule", url: "https://example.com/", want: RuleDefault, reason: nameless},
		{name: "child of an exact rule", url: "https://x.api.example.com/", want: RuleDefault, reason: nameless},
		{name: "name that ends like the rule", url: "https://xapi.example.com/", want: RuleDefault, reason: nameless},
		{name: "rule's name as a label", url: "https://api.example.com.evil.example/", want: RuleDefault, reason: nameless},
		{name: "child of a suffix rule", url: "https://api.openai.example/", want: "ok", dial: public + ":443"},
		{name: "grandchild of a suffix rule", url: "https://a.b.openai.example/", want: "ok", dial: public + ":443"},
		{name: "suffix itself", url: "https://openai.example/", want: RuleDefault, reason: nameless},
		{name: "name that ends like the suffix", url: "https://xopenai.example/", want: RuleDefault, reason: nameless},
		{name: "suffix rule's port only", url: "http://api.openai.example/", want: "allow *.openai.example:443", reason: "port"},
		{name: "denied", url: "https://evil.openai.example/", want: "deny evil.openai.example", reason: "denied"},
		{name: "child of the denied", url: "https://x.evil.openai.example/", want: "deny evil.openai.example", reason: "denied"},
		{name: "denied with trailing dot", url: "https://EVIL.openai.example./", want: "deny evil.openai.example", reason: "denied"},
		{name: "name that ends like the denied", url: "https://notevil.openai.example/", want: "ok", dial: public + ":443"},
		{name: "underscore", url: "http://under_score.example/", want: "ok", dial: public + ":80"},
		{name: "hyphens in third place", url: "http://r3---sn-a.example/", want: "ok", dial: public + ":80"},
		{name: "star as a host", url: "http://*.openai.example/", want: RuleHost, reason: "character"},
		{name: "two trailing dots", url: "http://api.example.com../", want: RuleHost, reason: "empty label"},
		{name: "leading dot", url: "http://.api.example.com/", want: RuleHost, reason: "empty label"},
		{name: "empty host", url: "http:///path", want: RuleHost, reason: "no host"},
		{name: "host is a dot", url: "http://./", want: RuleHost, reason: "no host"},
		{name: "label too long", url: "http://" + strings.Repeat("a", 64) + ".openai.example/", want: RuleHost, reason: "63"},
		{name: "name too long", url: "http://" + strings.Repeat("abcdefghi.", 26) + "openai.example/", want: RuleHost, reason: "253"},
		{name: "unresolvable", url: "https://gone.openai.example/", want: KindDNS},

		// IDNA.
		{name: "unicode name", url: "http://münchen.example/", want: "ok", dial: public + ":80"},
		{name: "unicode upper case", url: "http://MÜNCHEN.EXAMPLE/", want: "ok", dial: public + ":80"},
		{name: "decomposed", url: "http://mu\u0308nchen.example/", want: "ok", dial: public + ":80"},
		{name: "punycode", url: "http://xn--mnchen-3ya.example/", want: "ok", dial: public + ":80"},
		{name: "ideographic dots", url: "http://api。example．com/", want: "ok", dial: public + ":80"},
		{name: "ideographic trailing dot", url: "http://api.example.com。/", want: "ok", dial: public + ":80"},
		{name: "full-width letters", url: "http://ａｐｉ.example.com/", want: "ok", dial: public + ":80"},
		{name: "soft hyphen", url: "http://a\u00adpi.example.com/", want: "ok", dial: public + ":80"},
		{name: "percent-encoded unicode", url: "http://m%C3%BCnchen.example/", want: "ok", dial: public + ":80"},
		{name: "cyrillic look-alike", url: "http://аpi.example.com/", want: RuleDefault, reason: nameless},
		{name: "bad punycode", url: "http://xn--a.example/", want: RuleHost, reason: "internationalised"},
		{name: "full-width slash", url: "http://api.example.com／x.evil.example/", want: RuleHost, reason: "internationalised"},
		{name: "full-width at", url: "http://api.example.com＠evil.example/", want: RuleHost, reason: "internationalised"},
		{name: "denied in full width", url: "https://ｅｖｉｌ.openai.example/", want: "deny evil.openai.example", reason: "denied"},
		{name: "zero-width joiner", url: "http://api\u200d.example.com/", want: RuleHost, reason: "internationalised"},

		// Schemes, userinfo, authority tricks.
		{name: "ftp", url: "ftp://api.example.com/", want: RuleScheme, reason: "http"},
		{name: "file", url: "file:///etc/passwd", want: RuleScheme, reason: "http"},
		{name: "gopher", url: "gopher://api.example.com/", want: RuleScheme, reason: "http"},
		{name: "ws", url: "ws://api.example.com/", want: RuleScheme, reason: "http"},
		{name: "unix", url: "unix:///var/run/docker.sock", want: RuleScheme, reason: "http"},
		{name: "data", url: "data:text/plain,hello", want: RuleScheme, reason: "http"},
		{name: "opaque", url: "http:api.example.com/", want: RuleURL, reason: "no host"},
		{name: "user", url: "http://user@api.example.com/", want: RuleUserinfo, reason: "user name"},
		{name: "user and password", url: "http://user:sesame@api.example.com/", want: RuleUserinfo, reason: "user name"},
		{name: "empty user", url: "http://@api.example.com/", want: RuleUserinfo, reason: "user name"},
		{name: "rule's host as user", url: "http://api.example.com@evil.example/", want: RuleUserinfo, reason: "user name"},
		{name: "backslash in the authority", url: `http://api.example.com\@evil.example/`, want: "no url"},
		{name: "space in the host", url: "http://api example.com/", want: "no url"},
		{name: "encoded dot in the host", url: "http://api%2eexample.com/", want: "no url"},
		{name: "encoded NUL in the host", url: "http://api.example.com%00.evil.example/", want: "no url"},
		{name: "line break in the host", url: "http://api.example.com\r\nX: y/", want: "no url"},

		// Methods and paths.
		{name: "method allowed", url: "http://limited.example/v1/a", method: "POST", want: "ok", dial: public + ":80"},
		{name: "method in lower case", url: "http://limited.example/v1/a", method: "post", want: "ok", dial: public + ":80"},
		{name: "method not allowed", url: "http://limited.example/v1/a", method: "DELETE", want: "allow limited.example", reason: "method"},
		{name: "HEAD is not GET", url: "http://limited.example/v1/a", method: "HEAD", want: "allow limited.example", reason: "method"},
		{name: "CONNECT", url: "http://api.example.com/", method: "CONNECT", want: RuleMethod},
		{name: "TRACE", url: "http://api.example.com/", method: "TRACE", want: RuleMethod},
		{name: "track in lower case", url: "http://api.example.com/", method: "track", want: RuleMethod},
		{name: "second rule fits", url: "http://two.example/put/x", method: "PUT", want: "ok", dial: public + ":80"},
		{name: "no rule fits whole", url: "http://two.example/other", method: "PUT", want: "allow two.example", reason: "path"},
		{name: "exact path", url: "http://limited.example/exact", want: "ok", dial: public + ":80"},
		{name: "below an exact path", url: "http://limited.example/exact/x", want: "allow limited.example", reason: "path"},
		{name: "prefix without its slash", url: "http://limited.example/v1", want: "allow limited.example", reason: "path"},
		{name: "prefix alone", url: "http://limited.example/v1/", want: "ok", dial: public + ":80"},
		{name: "other path", url: "http://limited.example/admin", want: "allow limited.example", reason: "path"},
		{name: "path in upper case", url: "http://limited.example/V1/a", want: "allow limited.example", reason: "path"},
		{name: "path only in the query", url: "http://limited.example/admin?/v1/a", want: "allow limited.example", reason: "path"},
		{name: "dots leave the prefix", url: "http://limited.example/v1/../admin", want: "allow limited.example", reason: "path"},
		{name: "dots stay in the prefix", url: "http://limited.example/v1/a/../b", want: "ok", dial: public + ":80"},
		{name: "dots enter the prefix", url: "http://limited.example/admin/../v1/a", want: "ok", dial: public + ":80"},
		{name: "encoded dots", url: "http://limited.example/v1/%2e%2e/admin", want: "allow limited.example", reason: "dot segment"},
		{name: "half-encoded dots", url: "http://limited.example/v1/.%2E/admin", want: "allow limited.example", reason: "dot segment"},
		{name: "encoded slash", url: "http://limited.example/v1/..%2fadmin", want: "allow limited.example", reason: "slash"},
		{name: "encoded backslash", url: "http://limited.example/v1/..%5cadmin", want: "allow limited.example", reason: "backslash"},
		{name: "raw backslash", url: `http://limited.example/v1/..\admin`, want: "allow limited.example", reason: "backslash"},
		{name: "twice encoded dots", url: "http://limited.example/v1/%252e%252e/admin", want: "allow limited.example", reason: "dot segment"},
		{name: "twice encoded slash", url: "http://limited.example/v1/x%252fadmin", want: "allow limited.example", reason: "slash"},
		{name: "five times encoded", url: "http://limited.example/v1/%252525252e", want: "allow limited.example", reason: "too many"},
		{name: "overlong dots", url: "http://limited.example/v1/%c0%ae%c0%ae/admin", want: "allow limited.example", reason: "UTF-8"},
		{name: "dots with parameters", url: "http://limited.example/v1/..;x/admin", want: "allow limited.example", reason: "dot segment"},
		{name: "NUL in the path", url: "http://limited.example/v1/a%00", want: "allow limited.example", reason: "control"},
		{name: "encoded prefix", url: "http://limited.example/%76%31/a", want: "ok", dial: public + ":80"},
		{name: "encoded percent", url: "http://limited.example/v1/100%25", want: "ok", dial: public + ":80"},
		{name: "encoded slash without paths in the rule", url: "http://api.example.com/a%2fb", want: "ok", dial: public + ":80"},
	}
	// Every spelling of an address that a rule names, but whose address is not
	// allowed: each must be refused for its address and so be read the same.
	for _, host := range []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.1",
		"017700000001", "127.0.0.1.", "0x7f.1.", "127.0x0.1", "00000000177.0.0.1", "0x00000000007f.1", "１２７.０.０.１", "127。0。0。1", "①②⑦.1",
	} {
		cases = append(cases, decisionCase{name: "loopback as " + host, url: "http://" + host + "/", want: RuleAddress, reason: "a loopback"})
	}
	for _, host := range []string{
		"256.0.0.1", "1.2.3.4.5", "127.0.0.08", "0x7g.1", "4294967296", "127.0.65536", "08", "0x1ffffffff", "a.1", "example.0x1",
	} {
		cases = append(cases, decisionCase{name: "no address " + host, url: "http://" + host + "/", want: RuleHost, reason: "IPv4"})
	}
	cases = append(cases,
		decisionCase{name: "empty hexadecimal is zero", url: "http://127.0.0.0x/", want: RuleDefault, reason: nameless},
		decisionCase{name: "three parts and a dot", url: "http://1.2.3./", want: RuleDefault, reason: nameless},
		decisionCase{name: "exponent is a name", url: "http://127.0.0.1e1/", want: RuleDefault, reason: nameless},
		decisionCase{name: "named public literal", url: "http://" + public + "/", want: "ok", dial: public + ":80"},
		decisionCase{name: "named public literal over TLS", url: "https://" + public + "/", want: "ok", dial: public + ":443"},
		decisionCase{name: "named public literal as a number", url: "http://1572395042/", want: "ok", dial: public + ":80"},
		decisionCase{name: "unnamed public literal", url: "http://93.184.216.35/", want: RuleDefault, reason: nameless},
		decisionCase{name: "named private literal with allow_ip", url: "http://10.1.2.3/", want: "ok", dial: "10.1.2.3:80"},
		decisionCase{name: "allow_ip does not name a literal", url: "http://10.1.2.4/", want: RuleDefault, reason: nameless},
		decisionCase{name: "named literal that is denied", url: "http://10.1.2.9/", want: RuleAddress, reason: "denied"},
		decisionCase{name: "unnamed metadata literal", url: "http://169.254.169.254/latest/", want: RuleDefault, reason: nameless},
		decisionCase{name: "IPv6 named", url: "http://[2606:4700::1111]/", want: "ok", dial: "[2606:4700::1111]:80"},
		decisionCase{name: "IPv6 written out", url: "http://[2606:4700:0:0:0:0:0:1111]/", want: "ok", dial: "[2606:4700::1111]:80"},
		decisionCase{name: "IPv6 in upper case with port", url: "http://[2606:4700::1111]:80/", want: "ok", dial: "[2606:4700::1111]:80"},
		decisionCase{name: "IPv6 unnamed", url: "http://[2606:4700::1112]/", want: RuleDefault, reason: nameless},
		decisionCase{name: "IPv6 loopback", url: "http://[::1]/", want: RuleAddress, reason: "a loopback"},
		decisionCase{name: "IPv6 loopback written out", url: "http://[0:0:0:0:0:0:0:1]/", want: RuleAddress, reason: "a loopback"},
		decisionCase{name: "IPv6 with zone", url: "http://[fe80::1%25lo]/", want: RuleHost, reason: "zone"},
		decisionCase{name: "loopback with zone", url: "http://[::1%25lo]/", want: RuleHost, reason: "zone"},
		decisionCase{name: "mapped public", url: "http://[::ffff:93.184.216.34]/", want: RuleAddress, reason: "IPv4-mapped"},
		decisionCase{name: "mapped in hexadecimal", url: "http://[::ffff:5db8:d822]/", want: RuleAddress, reason: "IPv4-mapped"},
		decisionCase{name: "mapped loopback unnamed", url: "http://[::ffff:127.0.0.1]/", want: RuleDefault, reason: nameless},
		decisionCase{name: "mapped under allow_ip", url: "http://[::ffff:10.1.2.3]/", want: "ok", dial: "10.1.2.3:80"},
		decisionCase{name: "NAT64 literal under allow_ip", url: "http://[64:ff9b::a01:203]/", want: "ok", dial: "[64:ff9b::a01:203]:80"},
		decisionCase{name: "NAT64 literal of loopback", url: "http://[64:ff9b::7f00:1]/", want: RuleAddress, reason: "a loopback"},
		decisionCase{name: "IPv4 in brackets", url: "http://[127.0.0.1]/", want: "no url"},
		decisionCase{name: "bracket not closed", url: "http://[::1/", want: "no url"},
		decisionCase{name: "text after the bracket", url: "http://[::1]x/", want: "no url"},
		decisionCase{name: "IPv6 without brackets", url: "http://::1/", want: "no url"},
	)
	outcome := map[string]string{
		"public4": "", "public6": "", "both": "", "after172": "", "aftercgnat": "", "allowedten": "", "allowedula": "",
		"mappedten": "", "nat64pub": "", "nat64ten": "", "sixtofourten": "", "nat64len64": "", "mixedallowed": "",
		"loopback": "a loopback", "loopback2": "a loopback", "loopback6": "a loopback", "mixed2": "a loopback", "mixed6": "a loopback",
		"zero": "an unspecified", "zeronet": "an unspecified", "unspecified6": "an unspecified",
		"ten": "a private", "private172": "a private", "edge172": "a private", "private192": "a private", "ula": "a private",
		"awsmeta6": "a private", "mixed": "a private", "deniedten": "denied",
		"metadata": "a link-local", "linklocal6": "a link-local", "zoned": "zone", "azure": "metadata",
		"cgnat": "carrier-grade", "cgnatend": "carrier-grade",
		"ietf": "a reserved", "relay": "a reserved", "bench": "a reserved", "class-e": "a reserved", "sitelocal": "a reserved",
		"discard": "a reserved", "compatible": "a reserved",
		"doc1": "a documentation", "doc2": "a documentation", "doc3": "a documentation", "doc6": "a documentation", "doc6new": "a documentation",
		"multicast": "a multicast", "multicast6": "a multicast", "broadcast": "a broadcast",
		"mapped": "IPv4-mapped", "mappedloop": "IPv4-mapped", "teredo": "a Teredo", "nat64local": "a NAT64",
		"nat64loop": "a loopback", "nat64len64lo": "a loopback", "sixtofour": "a 6to4", "sixtofourlo": "a loopback",
	}
	for _, label := range slices.Sorted(mapKeys(addressAnswers)) {
		c := decisionCase{name: "resolves to " + label, url: "http://" + label + ".addr.example/"}
		reason, known := outcome[label]
		switch {
		case label == "empty":
			c.want = KindDNS
		case label == "addr.denied":
			c.want, c.reason = "deny addr.denied.addr.example", "denied"
		case !known:
			c.want = "an outcome in the table"
		case reason == "":
			first := netip.MustParseAddr(addressAnswers[label][0]).Unmap()
			c.want, c.dial = "ok", netip.AddrPortFrom(first, 80).String()
		default:
			c.want, c.reason = RuleAddress, reason
		}
		cases = append(cases, c)
	}
	return cases
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// decisionResolver answers every name of the table.
func decisionResolver() *names {
	resolver := &names{answers: map[string][][]netip.Addr{}}
	for _, host := range []string{"start.example", "api.example.com", "svc.example.com", "api.openai.example", "a.b.openai.example",
		"notevil.openai.example", "limited.example", "two.example", "xn--mnchen-3ya.example", "under_score.example", "r3---sn-a.example",
		// These must not be reached by their names; they resolve so that a
		// wrong decision would show as a connection.
		"evil.example", "example.com", "x.api.example.com", "xapi.example.com", "api.example.com.evil.example", "openai.example",
		"xopenai.example", "evil.openai.example", "x.evil.openai.example", "127.0.0.1e1"} {
		resolver.answers[host] = answer(public)
	}
	for label, addrs := range addressAnswers {
		resolver.answers[label+".addr.example"] = answer(addrs...)
	}
	return resolver
}

// TestDecision asks for every URL of the table, once as it is and once through
// a redirect from an allowed host. What is refused must not be dialled.
func TestDecision(t *testing.T) {
	cases := decisionCases()
	if len(cases) < 150 {
		t.Fatalf("%d cases, want at least 150", len(cases))
	}
	t.Logf("%d cases", len(cases))
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "start.example" {
			w.Header()["Location"] = []string{r.Header.Get("X-To")}
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	}
	plain := serve(t, handler)
	secure, roots := serveTLS(t, handler, "start.example", "api.example.com", "*.openai.example", "a.b.openai.example", public)
	check := func(t *testing.T, c decisionCase, redirect bool) {
		w := &wires{plain: address(plain), tls: address(secure)}
		config := decisionConfig()
		config.Resolver, config.Dial, config.Roots = decisionResolver(), w.dial, roots
		p := newPolicy(t, config)
		defer p.Close()

		req := get(t, "http://start.example/")
		want := []string{}
		if redirect {
			if strings.ContainsAny(c.url, "\r\n") {
				return // no header can hold it
			}
			req.Header.Set("X-To", c.url)
			want = append(want, public+":80")
		} else {
			u, err := url.Parse(c.url)
			if (err != nil) != (c.want == "no url") {
				t.Fatalf("parsing: %v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			req.URL = u
		}
		if c.method != "" {
			if redirect && (c.want == RuleMethod || !slices.Contains([]string{"GET", "POST", "PUT", "DELETE", "HEAD"}, strings.ToUpper(c.method))) {
				return // refused before the first hop
			}
			req.Method = c.method
		}
		_, _, err := fetch(t, p, req, Options{})
		var refusal *Refusal
		var failure *Failure
		switch {
		case err == nil:
			if c.want != "ok" {
				t.Errorf("allowed, want %q", c.want)
			}
			// The pool may serve the second hop when it leads to the same place.
			if c.dial != "" && !slices.Contains(want, c.dial) {
				want = append(want, c.dial)
			}
		case errors.As(err, &refusal):
			if refusal.Rule != c.want || !strings.Contains(refusal.Reason, c.reason) {
				t.Errorf("refused by %q because %q, want %q, %q", refusal.Rule, refusal.Reason, c.want, c.reason)
			}
		case errors.As(err, &failure):
			if failure.Kind != c.want && !(failure.Kind == KindLocation && c.want == "no url") {
				t.Errorf("failed with %q, want %q", failure.Kind, c.want)
			}
		default:
			t.Errorf("error %v", err)
		}
		got := w.seen()
		if redirect && c.want == "ok" && len(got) == 2 {
			got = slices.Compact(got) // two hosts at one address
		}
		if !slices.Equal(got, want) {
			t.Errorf("dialled %q, want %q", got, want)
		}
		if err != nil {
			leaks(t, err.Error(), c)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Run("direct", func(t *testing.T) { check(t, c, false) })
			t.Run("redirect", func(t *testing.T) { check(t, c, true) })
		})
	}
}

// leaks fails when an error's text has a resolved address, a password or a query.
func leaks(t *testing.T, text string, c decisionCase) {
	t.Helper()
	for label, addrs := range addressAnswers {
		if !strings.Contains(c.url, "//"+label+".addr.example") {
			continue
		}
		for _, addr := range addrs {
			if strings.Contains(text, addr) {
				t.Errorf("the error tells the address: %s", text)
			}
		}
	}
	if strings.Contains(text, "sesame") || strings.Contains(text, "?") || strings.Contains(text, "10.9.8.7") {
		t.Errorf("the error tells too much: %s", text)
	}
}

// TestRefusalText pins the sentence that agent code sees.
func TestRefusalText(t *testing.T) {
	p := newPolicy(t, Config{Name: "research"})
	_, _, err := fetch(t, p, get(t, "https://evil.example/a?b=c"), Options{})
	want := "egress: policy research refuses GET https://evil.example: no allow rule names the host (rule: default deny)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	_, _, err = fetch(t, None, get(t, "https://evil.example:8443/a"), Options{})
	want = fmt.Sprintf("egress: policy refuses GET https://evil.example:8443: the agent has no egress policy (rule: %s)", RuleNoPolicy)
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
