package challenge

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	start = time.Unix(1_800_000_000, 0)
	ann   = Client{netip.MustParseAddr("192.0.2.7"), "Browser/1"}
)

type clock struct{ now time.Time }

func newChallenger(change func(*Config)) (*Challenger, *clock) {
	at := &clock{start}
	c := Config{Solved: NewSolved(), Key: []byte(strings.Repeat("k", 32)), Difficulty: 6, Now: func() time.Time { return at.now }}
	if change != nil {
		change(&c)
	}
	return New(c), at
}

func solve(text string, difficulty int) string {
	for n := 0; ; n++ {
		if s := strconv.Itoa(n); solves(text, s, difficulty) {
			return s
		}
	}
}

// unsolving is a number that does not solve the puzzle.
func unsolving(text string, difficulty int) string {
	for n := 0; ; n++ {
		if s := strconv.Itoa(n); !solves(text, s, difficulty) {
			return s
		}
	}
}

func TestSolve(t *testing.T) {
	c, at := newChallenger(nil)
	_, text := c.issue(ann, "/path?q=1")
	cookie, back, err := c.Solve(ann, text, solve(text, 6), "")
	if err != nil || back != "/path?q=1" {
		t.Fatal(back, err)
	}
	near := Client{netip.MustParseAddr("192.0.2.200"), ann.UserAgent}
	for _, client := range []Client{ann, near} {
		if err := c.Passed(client, cookie); err != nil {
			t.Error(client, err)
		}
	}
	at.now = start.Add(DefaultLifetime)
	if err := c.Passed(ann, cookie); err != nil {
		t.Error("at its end:", err)
	}
	at.now = at.now.Add(2 * time.Second)
	if err := c.Passed(ann, cookie); !errors.Is(err, ErrExpired) {
		t.Error("after its end:", err)
	}
}

func TestQuestion(t *testing.T) {
	c, at := newChallenger(nil)
	p, text := c.issue(ann, "/")
	sum := strconv.Itoa(p.A + p.B)
	if _, _, err := c.Solve(ann, text, "", sum); !errors.Is(err, ErrEarly) {
		t.Error("at once:", err)
	}
	at.now = start.Add(questionPause)
	for _, wrong := range []string{"", "0", "seven", sum + "0"} {
		if _, _, err := c.Solve(ann, text, "", wrong); !errors.Is(err, ErrUnsolved) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, _, err := c.Solve(ann, text, "", " "+sum+" "); err != nil {
		t.Error(err)
	}
	c, at = newChallenger(func(c *Config) { c.NoQuestion = true })
	p, text = c.issue(ann, "/")
	at.now = start.Add(questionPause)
	if _, _, err := c.Solve(ann, text, "", strconv.Itoa(p.A+p.B)); !errors.Is(err, ErrUnsolved) {
		t.Error("without questions:", err)
	}
}

func TestRefused(t *testing.T) {
	c, at := newChallenger(nil)
	_, text := c.issue(ann, "/")
	number := solve(text, 6)
	body, mac, _ := strings.Cut(text, ".")
	other, _ := newChallenger(func(c *Config) { c.Key = []byte(strings.Repeat("x", 32)) })
	_, foreign := other.issue(ann, "/")
	easier, _ := newChallenger(func(c *Config) { c.Difficulty = 1 })
	_, easy := easier.issue(ann, "/")
	easyBody, _, _ := strings.Cut(easy, ".")
	cookie := c.seal(cookies, cookie{start.Unix(), ann.digest()})
	for _, test := range []struct {
		name, text, number string
		client             Client
		want               error
	}{
		{"nothing", "", number, ann, ErrMalformed},
		{"no MAC", body, number, ann, ErrMalformed},
		{"another body", easyBody + "." + mac, number, ann, ErrMalformed},
		{"of another server", foreign, solve(foreign, 6), ann, ErrMalformed},
		{"a cookie", cookie, number, ann, ErrMalformed},
		{"too long", strings.Repeat("a", maxText) + "." + mac, number, ann, ErrMalformed},
		{"another address", text, number, Client{netip.MustParseAddr("198.51.100.7"), ann.UserAgent}, ErrClient},
		{"another user agent", text, number, Client{ann.Addr, "Browser/2"}, ErrClient},
		{"not solved", text, unsolving(text, 6), ann, ErrUnsolved},
		{"a long number", text, strings.Repeat("0", 21), ann, ErrUnsolved},
	} {
		if _, _, err := c.Solve(test.client, test.text, test.number, ""); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if err := c.Passed(ann, text); !errors.Is(err, ErrMalformed) {
		t.Error("a puzzle as a cookie:", err)
	}
	if err := c.Passed(Client{ann.Addr, "Browser/2"}, cookie); !errors.Is(err, ErrClient) {
		t.Error("another client's cookie:", err)
	}
	at.now = start.Add(puzzleLifetime + time.Second)
	if _, _, err := c.Solve(ann, text, number, ""); !errors.Is(err, ErrExpired) {
		t.Error("too late:", err)
	}
}

// TestReturn has addresses that are not of this site, or too long.
func TestReturn(t *testing.T) {
	c, _ := newChallenger(nil)
	for _, back := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "", "javascript:1", "/" + strings.Repeat("x", maxReturn)} {
		_, text := c.issue(ann, back)
		if _, got, err := c.Solve(ann, text, solve(text, 6), ""); err != nil || got != "/" {
			t.Errorf("%.30q: %q, %v", back, got, err)
		}
	}
}

// TestUsedOnce solves one puzzle from many at once.
func TestUsedOnce(t *testing.T) {
	c, _ := newChallenger(nil)
	_, text := c.issue(ann, "/")
	number := solve(text, 6)
	var taken, used atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch _, _, err := c.Solve(ann, text, number, ""); {
			case err == nil:
				taken.Add(1)
			case errors.Is(err, ErrUsed):
				used.Add(1)
			}
		})
	}
	wg.Wait()
	if taken.Load() != 1 || used.Load() != 15 {
		t.Errorf("taken %d times, and used already %d times", taken.Load(), used.Load())
	}
}

// TestSolvedIsBounded solves more than are remembered: what is over is refused, until puzzles end.
func TestSolvedIsBounded(t *testing.T) {
	c, at := newChallenger(nil)
	ends := start.Add(puzzleLifetime)
	for i := range maxSolved {
		if err := c.config.Solved.add([16]byte{byte(i), byte(i >> 8), byte(i >> 16)}, start, ends); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := c.config.Solved.add([16]byte{15: 1}, start, ends); !errors.Is(err, ErrFull) {
		t.Error("over the bound:", err)
	}
	at.now = ends.Add(time.Second)
	if err := c.config.Solved.add([16]byte{15: 1}, at.now, at.now.Add(puzzleLifetime)); err != nil || len(c.config.Solved.until) != 1 {
		t.Error("after they have ended:", err, len(c.config.Solved.until))
	}
}

// TestClient has what counts as one client.
func TestClient(t *testing.T) {
	of := func(addr string) string {
		a, _ := netip.ParseAddr(addr)
		return Client{a, "Browser/1"}.digest()
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"::ffff:192.0.2.1", "192.0.2.9", true},
		{"2001:db8:1::1", "2001:db8:1:2::9", true},
		{"2001:db8:1::1", "2001:db8:2::1", false},
		{"", "192.0.2.1", false},
	} {
		if (of(c.a) == of(c.b)) != c.same {
			t.Errorf("%s and %s: same is %v", c.a, c.b, !c.same)
		}
	}
}

func TestPage(t *testing.T) {
	c, _ := newChallenger(nil)
	document, policy, err := c.Page(ann, `/?q="><script>alert(1)</script>`, "/.well-known/x", "id-1")
	if err != nil {
		t.Fatal(err)
	}
	text := string(document)
	nonce := regexp.MustCompile(`script-src 'nonce-([\w-]+)'`).FindStringSubmatch(policy)
	if nonce == nil || strings.Count(text, `nonce="`+nonce[1]+`"`) != 2 || strings.Count(text, "<script") != 1 {
		t.Errorf("the policy %q does not fit the page", policy)
	}
	for _, part := range []string{`action="/.well-known/x"`, "id-1", "plus", `data-difficulty="6"`} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	if regexp.MustCompile(`(?:src|href)=`).MatchString(text) {
		t.Error("the page loads something")
	}
	other, _, _ := c.Page(ann, "/", "/", "id")
	if string(other) == text {
		t.Error("two pages are the same")
	}
}

func FuzzSolve(f *testing.F) {
	c, at := newChallenger(nil)
	at.now = start.Add(questionPause)
	other, _ := newChallenger(func(c *Config) { c.Key = []byte("another key") })
	_, text := other.issue(ann, "/")
	f.Add(text, "12", "3")
	f.Add("e30.AAAA", "", "")
	f.Fuzz(func(t *testing.T, text, number, answer string) {
		if _, _, err := c.Solve(ann, text, number, answer); err == nil {
			t.Error("taken without the key")
		}
		if err := c.Passed(ann, text); err == nil {
			t.Error("passed without the key")
		}
	})
}

func BenchmarkPassed(b *testing.B) {
	c, _ := newChallenger(nil)
	value := c.seal(cookies, cookie{start.Unix(), ann.digest()})
	for b.Loop() {
		if err := c.Passed(ann, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	c, _ := newChallenger(nil)
	for b.Loop() {
		if _, _, err := c.Page(ann, "/", "/x", fmt.Sprint(1)); err != nil {
			b.Fatal(err)
		}
	}
}
