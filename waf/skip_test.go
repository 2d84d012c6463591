package waf

import (
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
	"github.com/gatehouse-edge/gatehouse/waf/screen"
)

// whole returns an engine of c that evaluates every rule.
func whole(t testing.TB, c Config) *Engine {
	t.Helper()
	c.Directives += "\n# every rule"
	e := newEngine(t, c)
	e.screen = screen.New(nil, c.exempt())
	return e
}

// sameVerdict judges a request by both engines.
func sameVerdict(t *testing.T, name string, with, without *Engine, request func() *http.Request) {
	t.Helper()
	a, b := judge(t, with, request()), judge(t, without, request())
	if !reflect.DeepEqual(counts(a), counts(b)) || a.Score != b.Score || a.Action != b.Action || a.Status != b.Status {
		t.Errorf("%s: rules left out change the verdict: %v, score %d, %v; all rules: %v, score %d, %v", name, ids(a), a.Score, a.Action, ids(b), b.Score, b.Action)
	}
}

// counts is how often each rule matched. Coraza goes through values in no order, so neither do the matches.
func counts(v Verdict) map[int]int {
	n := map[int]int{}
	for _, id := range ids(v) {
		n[id]++
	}
	return n
}

// suite calls visit with the requests of the CRS's own tests for requests.
func suite(t testing.TB, visit func(rule string, id int, stage testkit.CRSStage)) {
	t.Helper()
	testkit.CRSSuite(t, crstests.FS, func(rule string, id int, stage testkit.CRSStage) {
		if rule < "950" { // the rest are for responses
			visit(rule, id, stage)
		}
	})
}

// payload is what of a test's request carries its attack, decoded as far as that goes.
func (in regressionInput) payload() string {
	if in.Data != "" {
		return in.Data
	}
	_, query, found := strings.Cut(in.URI, "?")
	if !found {
		return in.Headers["User-Agent"] + in.Headers["Cookie"] + in.URI
	}
	if _, value, ok := strings.Cut(query, "="); ok {
		query = value
	}
	if plain, err := url.QueryUnescape(query); err == nil {
		return plain
	}
	return query
}

// carriers are requests that bring a value to the rules, in each place where it may stand.
var carriers = map[string]func(value string) *http.Request{
	"query": func(v string) *http.Request { return browser("GET", "/search?q="+url.QueryEscape(v), "", "") },
	"name":  func(v string) *http.Request { return browser("GET", "/search?"+url.QueryEscape(v)+"=1", "", "") },
	"path":  func(v string) *http.Request { return browser("GET", "/"+url.PathEscape(v), "", "") },
	"cookie": func(v string) *http.Request {
		return with(browser("GET", "/", "", ""), "Cookie", "a="+url.QueryEscape(v))
	},
	"agent": func(v string) *http.Request { return with(browser("GET", "/", "", ""), "User-Agent", oneLine(v)) },
	"referer": func(v string) *http.Request {
		return with(browser("GET", "/", "", ""), "Referer", "https://example.com/?"+oneLine(v))
	},
	"form": func(v string) *http.Request {
		return browser("POST", "/", "application/x-www-form-urlencoded", "a="+url.QueryEscape(v)+"&b=1")
	},
	"json": func(v string) *http.Request {
		return browser("POST", "/", "application/json", fmt.Sprintf(`{"model":"small","messages":[{"role":"user","content":%q}]}`, v))
	},
	"xml": func(v string) *http.Request {
		return browser("POST", "/", "application/xml", `<a b="1">`+strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(v)+`</a>`)
	},
}

// places are the names of carriers, in an order that does not change.
var places = slices.Sorted(maps.Keys(carriers))

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// TestSkippedRules holds every request of the CRS's tests, and their attacks in other places and changed at random, to the
// verdict of all rules. "-crs.all" takes all of them.
func TestSkippedRules(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var attacks []string
	suite(t, func(_ string, _ int, stage testkit.CRSStage) {
		in := regressionInput(stage.Input)
		if len(in.payload()) < 2000 {
			attacks = append(attacks, in.payload())
		}
	})
	for _, c := range []Config{{CRS: true, Mode: ModeDetect}, {CRS: true, Paranoia: 4, Mode: ModeDetect}} {
		with, without := newEngine(t, c), whole(t, c)
		every, n := 40, 0
		if *crsAll {
			every = 1
		}
		suite(t, func(rule string, id int, stage testkit.CRSStage) {
			in, name := regressionInput(stage.Input), fmt.Sprintf("%s-%d", rule, id)
			if n++; n%every != 0 || in.request() == nil {
				return
			}
			sameVerdict(t, name, with, without, in.request)
			attack := in.payload()
			for _, place := range places {
				if random.IntN(3) > 0 {
					continue
				}
				carry := carriers[place]
				sameVerdict(t, fmt.Sprintf("%s as %s: %q", name, place, attack), with, without, func() *http.Request { return carry(attack) })
				changed := mutate(random, attack, attacks[random.IntN(len(attacks))])
				sameVerdict(t, fmt.Sprintf("%s changed, as %s: %q", name, place, changed), with, without, func() *http.Request { return carry(changed) })
			}
		})
	}
}

// mutate changes an attack: a piece of it, of another, escaped, in other case, with words around it.
func mutate(random *rand.Rand, s, other string) string {
	cut := func(s string) string {
		if s == "" {
			return s
		}
		from := random.IntN(len(s))
		return s[from : from+random.IntN(len(s)-from)+1]
	}
	switch random.IntN(8) {
	case 0:
		return cut(s)
	case 1:
		return cut(s) + cut(other)
	case 2:
		return strings.ToUpper(s)
	case 3:
		return url.QueryEscape(s)
	case 4:
		return "the quick brown fox, " + s + " and so on"
	case 5:
		return strings.ReplaceAll(s, " ", "/**/")
	case 6:
		return strings.NewReplacer("s", "\u017f", "k", "\u212a").Replace(s)
	}
	return strings.ReplaceAll(s, cut(s), "'")
}

// FuzzSkippedRules looks for a value with which rules that were left out would have matched.
func FuzzSkippedRules(f *testing.F) {
	n := 0
	suite(f, func(_ string, _ int, stage testkit.CRSStage) {
		in := regressionInput(stage.Input)
		if n++; n%20 == 0 && len(in.payload()) < 500 {
			f.Add(in.payload())
		}
	})
	c := Config{CRS: true, Mode: ModeDetect}
	with, without := newEngine(f, c), whole(f, c)
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 2000 {
			return
		}
		place := places[crc32.ChecksumIEEE([]byte(value))%uint32(len(places))] // each takes milliseconds
		sameVerdict(t, place, with, without, func() *http.Request { return carriers[place](value) })
	})
}
