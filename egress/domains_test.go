package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func blocklist(t testing.TB, text string) *Blocklist {
	t.Helper()
	b := NewBlocklistReader()
	if err := b.Read(strings.NewReader(text), "feed"); err != nil {
		t.Fatal(err)
	}
	return b.List()
}

func TestBlocklist(t *testing.T) {
	l := blocklist(t, `# a feed
! of filters
evil.example
||Ads.Example^
*.Wild.example # with its subdomains
0.0.0.0 hosts.example other.hosts.example
127.0.0.1 local.example
bücher.example
203.0.114.7
198.51.101.0/24
2001:db8:1::/48
::ffff:192.0.3.9
trailing.example.
`)
	for name, want := range map[string]bool{
		"evil.example": true, "a.b.evil.example": true, "notevil.example": false, "example": false, "ads.example": true, "wild.example": true, "x.wild.example": true,
		"hosts.example": true, "other.hosts.example": true, "local.example": true, "xn--bcher-kva.example": true, "trailing.example": true, "good.example": false, "": false,
	} {
		if got := l.Name(name); got != want {
			t.Errorf("%s is blocked: %v", name, got)
		}
	}
	for addr, want := range map[string]bool{
		"203.0.114.7": true, "::ffff:203.0.114.7": true, "203.0.114.8": false, "198.51.101.200": true, "198.51.102.1": false, "2001:db8:1:2::3": true, "2001:db8:2::1": false, "192.0.3.9": true,
	} {
		if got := l.Addr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is blocked: %v", addr, got)
		}
	}
	var none *Blocklist
	if none.Name("evil.example") || none.Addr(netip.MustParseAddr("203.0.114.7")) || none.Size() != 0 {
		t.Error("no list blocks something")
	}
	if empty := NewBlocklistReader().List(); empty.Name("evil.example") || empty.Size() != 0 {
		t.Error("an empty list blocks something")
	}
	for text, want := range map[string]string{
		"a.example\nnot a list\n": "feed:2: ", "http://evil.example/": "feed:1: ", "192.0.2.0/33": "feed:1: ", "10.0.0.1 host.example": "feed:1: ", "a..b": "feed:1: ",
	} {
		if err := NewBlocklistReader().Read(strings.NewReader(text), "feed"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestBlocklistDecides has a policy refuse what its list names, also where a rule allows it, and addresses that names lead to.
func TestBlocklistDecides(t *testing.T) {
	file := filepath.Join(t.TempDir(), "feed.txt")
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now().Add(-time.Hour)
	write("evil.example\n198.51.101.0/24\n", begun)
	feed, err := OpenFeed(file)
	if err != nil {
		t.Fatal(err)
	}
	rules, _, err := newRuleSet([]Rule{{Host: "*.example"}, {Host: "198.51.101.7"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rules.block = feed
	decide := func(text string) verdict {
		t.Helper()
		parsed, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		target, rule, err := parseTarget(parsed)
		if err != nil {
			return verdict{rule: rule, reason: err.Error()}
		}
		return rules.decide(target, "GET")
	}
	for text, want := range map[string]string{
		"https://good.example/": "allow *.example", "https://evil.example/": RuleBlocklist, "https://a.EVIL.example./": RuleBlocklist,
		"https://other.test/": RuleDefault, "https://198.51.101.7/": "allow 198.51.101.7", // its address is decided when it is dialled
	} {
		if v := decide(text); v.rule != want {
			t.Errorf("%s: %+v, want %s", text, v, want)
		}
	}
	set := &addressSet{allow: []netip.Prefix{netip.MustParsePrefix("198.51.0.0/16"), netip.MustParsePrefix("64:ff9b::/96")}, block: feed, denyPrefixes: []netip.Prefix{netip.MustParsePrefix("93.184.0.0/16")}}
	for addr, refused := range map[string]bool{
		"198.51.101.7": true, "::ffff:198.51.101.7": true, "198.51.102.7": false, "93.184.215.14": true, "93.185.0.1": false, "64:ff9b::c633:6507": true, "64:ff9b::5db9:1": false,
	} {
		if reason := set.refuse(netip.MustParseAddr(addr)); (reason != "") != refused || strings.Contains(reason, "198.51") {
			t.Errorf("%s: %q", addr, reason)
		}
	}
	// The file changes: what cannot be read changes nothing.
	for i, c := range []struct {
		text    string
		changed bool
		fails   bool
		evil    bool
	}{{"evil.example\n198.51.101.0/24\n", true, false, true}, {"not a list\n", false, true, true}, {"good.example\n", true, false, false}} {
		write(c.text, begun.Add(time.Duration(i+1)*time.Minute))
		changed, err := feed.Refresh()
		if changed != c.changed || (err != nil) != c.fails || feed.name("evil.example") != c.evil {
			t.Errorf("%q: changed %v, %v, and evil.example is blocked: %v", c.text, changed, err, feed.name("evil.example"))
		}
		if changed, err := feed.Refresh(); changed || err != nil {
			t.Errorf("%q again: changed %v, %v", c.text, changed, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Refresh(); err == nil || !feed.name("good.example") {
		t.Errorf("without the file: %v", err)
	}
}

func FuzzBlocklist(f *testing.F) {
	f.Add("evil.example\n0.0.0.0 a.example\n||b.example^\n198.51.100.0/24\n", "x.evil.example", "198.51.100.7")
	f.Fuzz(func(t *testing.T, text, name, addr string) {
		b := NewBlocklistReader()
		if err := b.Read(strings.NewReader(text), "feed"); err != nil && !strings.HasPrefix(err.Error(), "feed") {
			t.Errorf("the error does not say where: %v", err)
		}
		l := b.List()
		blocked := l.Name(name)
		if host, a, err := parseHost(name); err == nil && !a.IsValid() && host == name && !blocked {
			// What is added is blocked.
			if b.add(name) == nil && !b.List().Name(name) {
				t.Errorf("%q was added and is not blocked", name)
			}
		}
		if a, err := netip.ParseAddr(addr); err == nil {
			l.Addr(a)
		}
	})
}

// BenchmarkBlocklist decides with a list of a million names, and prints what that takes.
func BenchmarkBlocklist(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	reader := NewBlocklistReader()
	for i := range 1_000_000 {
		if err := reader.add(fmt.Sprintf("host-%d.blocked-%d.example", i, i%977)); err != nil {
			b.Fatal(err)
		}
	}
	l := reader.List()
	reader = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	feed := new(Feed)
	feed.list.Store(l)
	rules, _, err := newRuleSet([]Rule{{Host: "*.example.com"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	rules.block = feed
	var targets []target
	for i := range 1024 {
		u, err := url.Parse(fmt.Sprintf("https://api-%d.eu.example.com/v1/things", i))
		if err != nil {
			b.Fatal(err)
		}
		t, _, err := parseTarget(u)
		if err != nil {
			b.Fatal(err)
		}
		targets = append(targets, t)
	}
	b.ResetTimer()
	for i := range b.N {
		if v := rules.decide(targets[i&1023], "GET"); !v.allow {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
}
