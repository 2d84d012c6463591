package record

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Recent keeps the last entries in memory, for those who look back. The oldest go first. Safe for concurrent use.
type Recent struct {
	mu    sync.RWMutex
	ring  []*Entry // of entry n at n % len
	first int64    // the number of the oldest that is kept
	next  int64    // the number of the next
	byID  map[string]int64
	bytes int64
	most  int64
}

// Defaults of Recent.
const (
	DefaultKeep  = 10_000
	DefaultBytes = 64 << 20
)

// stamp is RFC 3339 with milliseconds.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// NewRecent keeps up to so many entries, in about so many bytes; 0 for the defaults.
func NewRecent(keep int, bytes int64) *Recent {
	return &Recent{ring: make([]*Entry, cmp.Or(keep, DefaultKeep)), most: cmp.Or(bytes, DefaultBytes), byID: map[string]int64{}}
}

// Holds says whether NewRecent would make one of the same size.
func (r *Recent) Holds(keep int, bytes int64) bool {
	return len(r.ring) == cmp.Or(keep, DefaultKeep) && r.most == cmp.Or(bytes, DefaultBytes)
}

// Emit keeps e.
func (r *Recent) Emit(e *Entry) {
	size := e.size()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next-r.first == int64(len(r.ring)) {
		r.drop()
	}
	r.ring[r.next%int64(len(r.ring))] = e
	r.byID[e.ID] = r.next
	r.next++
	r.bytes += size
	for r.bytes > r.most && r.first < r.next-1 {
		r.drop()
	}
}

func (r *Recent) drop() {
	at := r.first % int64(len(r.ring))
	e := r.ring[at]
	r.ring[at] = nil
	r.bytes -= e.size()
	delete(r.byID, e.ID)
	r.first++
}

// size is about how many bytes the entry takes.
func (e *Entry) size() int64 {
	n := 1200 + len(e.Path) + len(e.Who.UserAgent) + 200*len(e.Did.Calls) + 64*len(e.Decided.Stages) + 100*len(e.Chain)
	if w := e.Decided.WAF; w != nil {
		for _, r := range w.Rules {
			n += 150 + 16*len(r.Tags)
		}
	}
	n += 64*len(e.Decided.Throttle) + 32*len(e.Who.BotReasons)
	for _, l := range e.Did.Logs {
		n += 64 + len(l.Message)
	}
	for _, x := range e.Did.Exceptions {
		n += 96 + len(x.Message) + len(x.Stack)
	}
	for _, t := range e.Did.Tools {
		n += 160 + len(t.Arguments) + len(t.Result) + len(t.Error)
	}
	for _, v := range e.Header {
		n += 64
		for _, s := range v {
			n += 16 + len(s)
		}
	}
	return int64(n)
}

// Len says how many entries are kept.
func (r *Recent) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int(r.next - r.first)
}

// Numbered is an entry with its number, which grows from entry to entry.
type Numbered struct {
	Number int64 `json:"n"`
	*Entry
}

// Page gives up to limit entries that pass the filter, the newest first, of those with a number below before; 0 for all.
func (r *Recent) Page(f Filter, before int64, limit int) []Numbered {
	var page []Numbered
	for n, e := range r.backward(before) {
		if f.Match(e) {
			page = append(page, Numbered{n, e})
			if len(page) == limit {
				break
			}
		}
	}
	return page
}

// backward goes through the entries, the newest first. Entries do not change, so the lock is held for a part of them at a time only.
func (r *Recent) backward(before int64) func(func(int64, *Entry) bool) {
	return func(yield func(int64, *Entry) bool) {
		r.mu.RLock()
		at := r.next
		r.mu.RUnlock()
		if before > 0 && before < at {
			at = before
		}
		part := make([]*Entry, 0, 512)
		for {
			part = part[:0]
			r.mu.RLock()
			for n := at - 1; n >= r.first && len(part) < cap(part); n-- {
				part = append(part, r.ring[n%int64(len(r.ring))])
			}
			r.mu.RUnlock()
			if len(part) == 0 {
				return
			}
			for _, e := range part {
				at--
				if !yield(at, e) {
					return
				}
			}
		}
	}
}

// Find gives the entry with an id, nil if it is not kept.
func (r *Recent) Find(id string) *Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if n, ok := r.byID[id]; ok {
		return r.ring[n%int64(len(r.ring))]
	}
	return nil
}

// maxTrace is how many entries of a trace are given: a client can give any number of requests the same.
const maxTrace = 200

// OfTrace gives the last entries of a trace in the order of their beginnings.
func (r *Recent) OfTrace(trace string) []*Entry {
	var list []*Entry
	for _, e := range r.backward(0) {
		if e.Trace() == trace {
			if list = append(list, e); len(list) == maxTrace {
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b *Entry) int { return a.Time.Compare(b.Time) })
	return list
}

// Edge is who called whom, how often, and with what in the end.
type Edge struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Kind    string  `json:"kind"` // client, service, actor, egress, origin, tool
	Calls   int     `json:"calls"`
	Failed  int     `json:"failed"`
	Refused int     `json:"refused"`
	Millis  float64 `json:"ms"` // in all
}

// Graph adds up who called whom in the entries that are kept.
func (r *Recent) Graph() []Edge {
	type key struct{ from, to, kind string }
	sum := map[key]*Edge{}
	add := func(k key, ms float64, failed, refused bool) {
		e := sum[k]
		if e == nil {
			if len(sum) >= 2000 {
				return
			}
			e = &Edge{From: k.from, To: k.to, Kind: k.kind}
			sum[k] = e
		}
		e.Calls++
		e.Millis += ms
		if refused {
			e.Refused++
		} else if failed {
			e.Failed++
		}
	}
	for _, e := range r.backward(0) {
		if e.Agent == "" {
			continue
		}
		if e.Kind == KindFetch && len(e.Chain) == 0 {
			who := cmp.Or(e.Who.VerifiedAgent, e.Who.VerifiedBot)
			if who == "" && e.Who.Subject != "" {
				who = "subjects"
			}
			add(key{cmp.Or(who, "clients"), e.Agent, "client"}, e.Out.WallMillis, e.Out.Outcome != "ok", false)
		}
		for _, c := range e.Did.Calls {
			if c.Agent != "" {
				continue
			}
			to := c.Host
			if c.Kind == "service" {
				to, _, _ = strings.Cut(to, "/")
			}
			add(key{e.Agent, to, c.Kind}, c.Millis, c.Error != "" || c.Status >= 500, c.Decision == "refuse")
		}
		for _, t := range e.Did.Tools {
			if t.Direction != "in" && t.Agent == "" {
				add(key{e.Agent, t.Name, "tool"}, t.Millis, t.Error != "", false)
			}
		}
	}
	return slices.SortedFunc(maps.Values(mapOf(sum)), func(a, b Edge) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From+a.To+a.Kind, b.From+b.To+b.Kind))
	})
}

func mapOf[K comparable, V any](m map[K]*V) map[K]V {
	plain := make(map[K]V, len(m))
	for k, v := range m {
		plain[k] = *v
	}
	return plain
}

// Refused is how often a rule refused, with the last that it did.
type Refused struct {
	Stage string `json:"stage"`
	Rule  string `json:"rule"`
	Agent string `json:"agent,omitempty"`
	Count int    `json:"count"`
	Last  string `json:"last"` // the record's id
	At    string `json:"at"`   // RFC 3339
}

// Refusals adds up what was refused in the entries that are kept: requests by stages, and calls by rules.
func (r *Recent) Refusals() []Refused {
	type key struct{ stage, rule, agent string }
	sum := map[key]*Refused{}
	add := func(e *Entry, stage, rule, agent string) {
		k := key{stage, rule, agent}
		x := sum[k]
		if x == nil {
			if len(sum) >= 1000 {
				return
			}
			x = &Refused{Stage: stage, Rule: rule, Agent: agent, Last: e.ID, At: e.Time.Format(stamp)}
			sum[k] = x
		}
		x.Count++
	}
	for _, e := range r.backward(0) {
		if e.Decided.RefusedBy != "" {
			for _, rule := range e.reasons() {
				add(e, e.Decided.RefusedBy, rule, e.Agent)
			}
		}
		for _, s := range e.Decided.Shadow {
			add(e, s.Stage+" (shadow)", s.Reason, e.Agent)
		}
		for _, c := range e.Did.Calls {
			if c.Decision == "refuse" && c.Agent == "" {
				add(e, c.Kind, cmp.Or(c.Rule, c.Error)+" "+c.Host, e.Agent)
			}
		}
	}
	return slices.SortedFunc(maps.Values(mapOf(sum)), func(a, b Refused) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Stage+a.Rule, b.Stage+b.Rule))
	})
}

// reasons are the rules by which the stage refused that did.
func (e *Entry) reasons() []string {
	var list []string
	switch d := e.Decided; d.RefusedBy {
	case "throttle":
		for _, z := range d.Throttle {
			if !z.Allowed {
				list = append(list, "zone "+z.Zone)
			}
		}
		for _, b := range d.Budgets {
			if !b.Allowed {
				list = append(list, "budget "+b.Budget)
			}
		}
	case "waf":
		if d.WAF != nil {
			for _, r := range d.WAF.Rules {
				list = append(list, strings.TrimSpace(strconv.Itoa(r.ID)+" "+r.Message))
			}
		}
	case "bot_score":
		list = e.Who.BotReasons
	case "access":
		list = []string{d.Access}
	case "identity":
		list = []string{d.Identity}
	}
	if len(list) == 0 {
		list = []string{""}
	}
	return list
}

// BudgetState is a throttle zone or budget as the last record of it has it.
type BudgetState struct {
	Kind      string `json:"kind"` // zone or budget
	Name      string `json:"name"`
	Limit     int    `json:"limit"`
	Least     int    `json:"least"` // the least that was left in the records that are kept, of any key
	Remaining int    `json:"remaining"`
	Asked     int    `json:"asked"`
	Refused   int    `json:"refused"`
	At        string `json:"at"`
	Last      string `json:"last"`
}

// Spent is what an agent's models cost in the entries that are kept.
type Spent struct {
	Agent   string  `json:"agent"`
	Model   string  `json:"model"`
	Answers int     `json:"answers"`
	Input   int64   `json:"input_tokens"`
	Output  int64   `json:"output_tokens"`
	CostUSD float64 `json:"cost_usd"`
}

// Budgets adds up zones, budgets and costs in the entries that are kept. Budgets of egress policies are there where they refused.
func (r *Recent) Budgets() map[string]any {
	states, spent := map[string]*BudgetState{}, map[[2]string]*Spent{}
	state := func(e *Entry, kind, name string, limit, remaining int, allowed bool) {
		k := kind + " " + name
		s := states[k]
		if s == nil {
			if len(states) >= 500 {
				return
			}
			s = &BudgetState{Kind: kind, Name: name, Limit: limit, Least: remaining, Remaining: remaining, At: e.Time.Format(stamp), Last: e.ID}
			states[k] = s
		}
		s.Asked++
		s.Least = min(s.Least, remaining)
		if !allowed {
			s.Refused++
		}
	}
	for _, e := range r.backward(0) {
		for _, z := range e.Decided.Throttle {
			state(e, "zone", z.Zone, z.Limit, z.Remaining, z.Allowed)
		}
		for _, b := range e.Decided.Budgets {
			state(e, "budget", b.Budget, b.Limit, b.Remaining, b.Allowed)
		}
		for _, c := range e.Did.Calls {
			if c.Rule == "budget" && c.Decision == "refuse" && c.Agent == "" {
				state(e, "egress budget", e.Agent+": "+c.Error, 0, 0, false)
			}
		}
		for _, m := range e.Did.Models {
			k := [2]string{e.Agent, m.Model}
			s := spent[k]
			if s == nil {
				if len(spent) >= 500 {
					continue
				}
				s = &Spent{Agent: e.Agent, Model: m.Model}
				spent[k] = s
			}
			s.Answers++
			s.Input += m.InputTokens
			s.Output += m.OutputTokens
			s.CostUSD += m.CostUSD
		}
	}
	return map[string]any{
		"budgets": slices.SortedFunc(maps.Values(mapOf(states)), func(a, b BudgetState) int { return cmp.Compare(a.Kind+a.Name, b.Kind+b.Name) }),
		"spent": slices.SortedFunc(maps.Values(mapOf(spent)), func(a, b Spent) int {
			return cmp.Or(cmp.Compare(b.CostUSD, a.CostUSD), cmp.Compare(a.Agent+a.Model, b.Agent+b.Model))
		}),
	}
}

// Version is how a version of an agent's code did in the entries that are kept.
type Version struct {
	Agent   string  `json:"agent"`
	Version string  `json:"version"`
	Runs    int     `json:"runs"`
	Failed  int     `json:"failed"`
	Millis  float64 `json:"ms"`  // in all
	CPU     float64 `json:"cpu"` // milliseconds in all
	First   string  `json:"first"`
	Last    string  `json:"last"`
}

// Versions adds up how versions did, the newest first.
func (r *Recent) Versions() []Version {
	sum := map[[2]string]*Version{}
	for _, e := range r.backward(0) {
		if e.Agent == "" || !e.Did.Ran {
			continue
		}
		k := [2]string{e.Agent, e.Version}
		at := e.Time.Format(stamp)
		v := sum[k]
		if v == nil {
			if len(sum) >= 500 {
				continue
			}
			v = &Version{Agent: e.Agent, Version: e.Version, Last: at}
			sum[k] = v
		}
		v.First = at
		v.Runs++
		v.Millis += e.Out.WallMillis
		v.CPU += e.Out.CPUMillis
		if e.Out.Outcome != "ok" && e.Out.Outcome != "canceled" {
			v.Failed++
		}
	}
	return slices.SortedFunc(maps.Values(mapOf(sum)), func(a, b Version) int { return cmp.Or(cmp.Compare(a.Agent, b.Agent), cmp.Compare(b.Last, a.Last)) })
}
