package record

import (
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"
)

func recent(n int, keep int, bytes int64) *Recent {
	r := NewRecent(keep, bytes)
	at := time.Unix(1000, 0)
	for i := range n {
		r.Emit(&Entry{ID: fmt.Sprintf("%032x", i), Time: at.Add(time.Duration(i) * time.Second), Kind: KindFetch, Agent: "a", Path: fmt.Sprint("/", i)})
	}
	return r
}

func TestRecentKeepsTheLast(t *testing.T) {
	r := recent(25, 10, 0)
	if r.Len() != 10 || r.Find(fmt.Sprintf("%032x", 14)) != nil || r.Find(fmt.Sprintf("%032x", 15)) == nil {
		t.Errorf("%d are kept", r.Len())
	}
	page := r.Page(Filter{}, 0, 4)
	if len(page) != 4 || page[0].Path != "/24" || page[3].Path != "/21" {
		t.Fatalf("the first page: %+v", page)
	}
	page = r.Page(Filter{}, page[3].Number, 100)
	if len(page) != 6 || page[0].Path != "/20" || page[5].Path != "/15" {
		t.Errorf("the rest: %d", len(page))
	}
	if page = r.Page(Filter{Text: "/17"}, 0, 10); len(page) != 1 {
		t.Errorf("filtered: %+v", page)
	}
}

func TestRecentKeepsToItsBytes(t *testing.T) {
	r := NewRecent(1000, 100_000)
	for i := range 50 {
		r.Emit(&Entry{ID: fmt.Sprintf("%032x", i), Did: Did{Logs: []Log{{Message: string(make([]byte, 20_000))}}}})
	}
	if n := r.Len(); n != 4 {
		t.Errorf("%d entries of 21 kB in 100 kB", n)
	}
}

func TestRecentTogether(t *testing.T) {
	r := NewRecent(100, 0)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				r.Emit(&Entry{ID: NewID(), Agent: "a", Did: Did{Calls: []Call{{Kind: "egress", Host: "h"}}}})
			}
		})
		all.Go(func() {
			for range 100 {
				r.Graph()
				r.Page(Filter{Agent: "a"}, 0, 10)
			}
		})
	}
	all.Wait()
	if g := r.Graph(); r.Len() != 100 || len(g) != 1 || g[0].Calls != 100 {
		t.Errorf("%d kept, graph %+v", r.Len(), g)
	}
}

func TestSums(t *testing.T) {
	r := NewRecent(0, 0)
	r.Emit(&Entry{ID: "1", Kind: KindFetch, Agent: "front", Version: "v1", Out: Out{Outcome: "ok", WallMillis: 10}, Did: Did{Ran: true,
		Calls:  []Call{{Kind: "service", Host: "back/Tools", Millis: 5}, {Kind: "egress", Host: "x", Agent: "back", Decision: "refuse"}},
		Tools:  []Tool{{Name: "t", Agent: "back"}},
		Models: []Model{{Model: "m", InputTokens: 3, OutputTokens: 4, CostUSD: 2}}},
		Decided: Decided{Throttle: []ZoneDecision{{Zone: "z", Allowed: true, Limit: 9, Remaining: 3}}}})
	r.Emit(&Entry{ID: "2", Kind: KindFetch, Agent: "back", Version: "v1", Chain: []Hop{{Agent: "front"}}, Out: Out{Outcome: "exception"}, Did: Did{Ran: true,
		Calls: []Call{{Kind: "egress", Host: "x", Decision: "refuse", Rule: "default deny"}, {Kind: "egress", Host: "y", Decision: "refuse", Rule: "budget", Error: "spent"}}, Tools: []Tool{{Name: "t"}, {Name: "u", Direction: "in"}}}})
	r.Emit(&Entry{ID: "3", Kind: KindFetch, Decided: Decided{RefusedBy: "waf", WAF: &WAFDecision{Rules: []WAFRule{{ID: 942100, Message: "SQL"}}}}})
	r.Emit(&Entry{ID: "4", Kind: KindFetch, Decided: Decided{RefusedBy: "throttle", Throttle: []ZoneDecision{{Zone: "z", Limit: 9}}, Shadow: []Refusal{{Stage: "bot_score", Reason: "low"}}}})
	edges := ""
	for _, e := range r.Graph() {
		edges += fmt.Sprintln(e.From, e.To, e.Kind, e.Calls, e.Refused)
	}
	if want := "back t tool 1 0\nback x egress 1 1\nback y egress 1 1\nclients front client 1 0\nfront back service 1 0\n"; edges != want {
		t.Errorf("graph:\n%s", edges)
	}
	refused := ""
	for _, x := range r.Refusals() {
		refused += fmt.Sprintln(x.Stage, x.Rule, x.Count, x.Last)
	}
	if want := "bot_score (shadow) low 1 4\negress budget y 1 2\negress default deny x 1 2\nthrottle zone z 1 4\nwaf 942100 SQL 1 3\n"; refused != want {
		t.Errorf("refusals:\n%s", refused)
	}
	b := r.Budgets()
	if states := b["budgets"].([]BudgetState); len(states) != 2 || states[1].Name != "z" || states[1].Asked != 2 || states[1].Refused != 1 || states[1].Least != 0 {
		t.Errorf("budgets: %+v", states)
	}
	if spent := b["spent"].([]Spent); len(spent) != 1 || spent[0].CostUSD != 2 || spent[0].Input != 3 {
		t.Errorf("spent: %+v", spent)
	}
	if v := r.Versions(); len(v) != 2 || v[0].Agent != "back" || v[0].Failed != 1 || v[1].Runs != 1 {
		t.Errorf("versions: %+v", v)
	}
}

func TestFilters(t *testing.T) {
	e := &Entry{ID: "ffffffffffffffffffffffffffffffff", Kind: KindFetch, Header: http.Header{"X-Debug": {"level one"}}, Actor: "3e7c8e",
		Did: Did{Tools: []Tool{{Name: "search"}}, Calls: []Call{{Host: "api.example", Actor: "77aa"}}}}
	for name, c := range map[string]struct {
		f    Filter
		want bool
	}{
		"kind": {Filter{Kind: KindFetch}, true}, "another kind": {Filter{Kind: KindAlarm}, false},
		"actor": {Filter{Actor: "3e7"}, true}, "an actor that is called": {Filter{Actor: "77aa"}, true}, "another actor": {Filter{Actor: "99"}, false},
		"header": {Filter{Header: "x-debug"}, true}, "its value": {Filter{Header: "X-Debug: one"}, true}, "another value": {Filter{Header: "x-debug: two"}, false}, "no header": {Filter{Header: "x-other"}, false},
		"a tool": {Filter{Text: "search"}, true}, "a host": {Filter{Text: "api.ex"}, true}, "no text": {Filter{Text: "nothing"}, false},
		"all": {Filter{Sample: 1}, true}, "nearly none": {Filter{Sample: 0.01}, false},
	} {
		if got := c.f.Match(e); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	in := 0
	for range 10_000 {
		if (&Entry{ID: NewID()}).Sampled(0.2) {
			in++
		}
	}
	if in < 1700 || in > 2300 {
		t.Errorf("%d of 10000 are in a sample of 20 %%", in)
	}
}

func TestSafeHeaderAndRedaction(t *testing.T) {
	h := SafeHeader(http.Header{"Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"}, "Accept": {"text/html", "*/*"}})
	if fmt.Sprint(h) != "map[Accept:[text/html */*] Authorization:[REDACTED] Cookie:[REDACTED] X-Api-Key:[REDACTED]]" {
		t.Errorf("%v", h)
	}
	e := &Entry{Path: "/card/4111111111111111", Header: h, Did: Did{Logs: []Log{{Message: "paid with 4111111111111111"}}, Tools: []Tool{{Arguments: "4111111111111111"}}, Exceptions: []Exception{{Stack: "at 4111111111111111"}}}}
	Redaction{regexp.MustCompile(`\d{16}`)}.Strike(e)
	if e.Path != "/card/REDACTED" || e.Did.Logs[0].Message != "paid with REDACTED" || e.Did.Tools[0].Arguments != "REDACTED" || e.Did.Exceptions[0].Stack != "at REDACTED" {
		t.Errorf("%+v", e)
	}
}

// blocked is a sink that waits.
type blocked struct {
	keep
	open chan struct{}
}

func (b *blocked) Emit(e *Entry) {
	<-b.open
	b.keep.Emit(e)
}

func TestQueueCountsWhatItDrops(t *testing.T) {
	q := NewQueue(10)
	b := &blocked{open: make(chan struct{})}
	s := q.To(b)
	for i := range 100 {
		s.Emit(&Entry{ID: fmt.Sprint(i)})
	}
	close(b.open)
	q.Flush(10 * time.Second)
	if got := len(b.entries); got+int(q.Dropped()) != 100 || got < 10 || got > 11 {
		t.Errorf("%d came through, %d were dropped", got, q.Dropped())
	}
	s.Emit(&Entry{ID: "last"})
	q.Close()
	if last := b.entries[len(b.entries)-1].ID; last != "last" {
		t.Errorf("the last is %s", last)
	}
	q.Flush(time.Second)
}
