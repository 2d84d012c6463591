package screen

import (
	mathbits "math/bits"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
	"github.com/corazawaf/libinjection-go"
)

// Screen is what was worked out of a set of rules. It is safe for concurrent use.
type Screen struct {
	ids     []int // by rule, as bits count them
	phases  map[int]*phase
	chains  []*chain
	tiers   [len(tiers)]*words
	asked   []question
	exempt  Exemption
	spared  bits        // the exemption's rules, as far as they are judged
	judged  map[int]int // by id
	scratch sync.Pool
}

// Exemption takes values of JSON bodies out of rules that look at ARGS.
type Exemption struct {
	// Rules are the ids of the rules.
	Rules []int
	// Value tells whether a value is taken out. name is the value's, in lower case.
	Value func(name, value string) bool
}

// Remover is what of a transaction takes rules out of it, and values out of rules.
type Remover interface {
	RemoveRuleByID(id int)
	RemoveRuleTargetByID(id int, variable variables.RuleVariable, key string, keyRx *regexp.Regexp)
}

// maxExempt is how many values are taken out of a rule that runs. Each is compared with each value of the rule's.
const maxExempt = 256

// phase is the rules of one phase that can be judged, by what they look at.
type phase struct {
	rules   bits
	targets map[variables.RuleVariable]*lookers
}

// lookers are the rules that look at a variable: at all of its values, or at those of a key.
type lookers struct {
	all   bits
	byKey map[string]bits // keys in lower case
}

// chain is the rules that have the same transformations.
type chain struct {
	name  string
	steps []step
	moved mask // a value without these bytes passes unchanged
	rules bits
	multi bits // of these, the ones that look at each step's outcome
}

// words is what rules need of a tier's values.
type words struct {
	always bits // may match whatever the value holds
	find   *automaton
}

// question is the rules that one look at the value decides.
type question struct {
	ask   func(string) bool
	rules bits
}

var detectors = map[string]func(string) bool{
	"detectsqli": func(s string) bool { yes, _ := libinjection.IsSQLi(s); return yes },
	"detectxss":  libinjection.IsXSS,
}

// New works rules out. They are all rules of the engine, in its order.
func New(rules []Rule, exempt Exemption) *Screen {
	s := &Screen{phases: map[int]*phase{}, exempt: exempt, judged: map[int]int{}}
	var conditions []condition
	var demands []demand
	var phases []int
	skipped := map[int]int{} // by phase: how many of the next rules another may skip, which counts those that are there
	for _, r := range rules {
		c, ok := parse(r.Text)
		counted := skipped[r.Phase] > 0
		skipped[r.Phase] = max(skipped[r.Phase]-1, c.skips)
		if !ok || counted || r.Runs || r.ID <= 0 || slices.ContainsFunc(c.steps, unknown) {
			continue
		}
		d, ok := c.demand(r.Open)
		if !ok {
			continue
		}
		s.ids = append(s.ids, r.ID)
		conditions, demands, phases = append(conditions, c), append(demands, d), append(phases, r.Phase)
	}
	s.spared = newBits(len(s.ids))
	for i, id := range s.ids {
		s.judged[id] = i
		if slices.Contains(exempt.Rules, id) {
			s.spared.add(i)
		}
	}
	s.scratch.New = func() any { b := newBits(len(s.ids)); return &b }
	for i, c := range conditions {
		s.addTargets(i, phases[i], c)
		s.addSteps(i, c)
	}
	for t := range tiers {
		s.tiers[t] = s.newWords(t, demands)
	}
	s.addQuestions(conditions, demands)
	return s
}

// addQuestions puts rules together that ask the same.
func (s *Screen) addQuestions(conditions []condition, demands []demand) {
	at := map[string]int{}
	for i, d := range demands {
		if d.ask == nil {
			continue
		}
		key := conditions[i].operator + " " + conditions[i].argument
		if _, found := at[key]; !found {
			at[key] = len(s.asked)
			s.asked = append(s.asked, question{d.ask, newBits(len(s.ids))})
		}
		s.asked[at[key]].rules.add(i)
	}
}

func unknown(name string) bool { _, known := steps[name]; return !known }

func (s *Screen) addTargets(i, in int, c condition) {
	p := s.phases[in]
	if p == nil {
		p = &phase{newBits(len(s.ids)), map[variables.RuleVariable]*lookers{}}
		s.phases[in] = p
	}
	p.rules.add(i)
	for _, t := range c.targets {
		l := p.targets[t.variable]
		if l == nil {
			l = &lookers{newBits(len(s.ids)), map[string]bits{}}
			p.targets[t.variable] = l
		}
		if t.key == "" {
			l.all.add(i)
			continue
		}
		if l.byKey[t.key] == nil {
			l.byKey[t.key] = newBits(len(s.ids))
		}
		l.byKey[t.key].add(i)
	}
}

func (s *Screen) addSteps(i int, c condition) {
	name := strings.Join(c.steps, ",")
	at := slices.IndexFunc(s.chains, func(c *chain) bool { return c.name == name })
	if at < 0 {
		at = len(s.chains)
		s.chains = append(s.chains, &chain{name: name, rules: newBits(len(s.ids)), multi: newBits(len(s.ids))})
		for _, step := range c.steps {
			s.chains[at].steps = append(s.chains[at].steps, steps[step])
			s.chains[at].moved |= steps[step].moved
		}
	}
	s.chains[at].rules.add(i)
	if c.multiMatch {
		s.chains[at].multi.add(i)
	}
}

func (s *Screen) newWords(t int, demands []demand) *words {
	out := &words{always: newBits(len(s.ids))}
	// A piece of a string is needed where the string is, so what is too much to hold is shortened.
	for length := maxLiteral; out.find == nil; length-- {
		found := map[string]bits{}
		for i, d := range demands {
			switch {
			case d.ask != nil || d.no[t]:
			case length == 0 || slices.Contains(d.need[t], ""):
				out.always.add(i)
			default:
				for _, w := range d.need[t] {
					w = w[:min(len(w), length)]
					if found[w] == nil {
						found[w] = newBits(len(s.ids))
					}
					found[w].add(i)
				}
			}
		}
		out.find = newAutomaton(found, tiers[t].noise)
	}
	return out
}

// Apply removes each rule of the phase from tx that can match nothing of it as it is now, which must be when the phase's rules
// are about to run, and exempt values from the rules that are left.
func (s *Screen) Apply(phase int, tx plugintypes.TransactionState, from Remover) {
	p := s.phases[phase]
	exempt := s.exemptValues(phase, tx)
	run := s.scratch.Get().(*bits)
	defer s.scratch.Put(run)
	want := s.scratch.Get().(*bits)
	defer s.scratch.Put(want)
	clear(*run)
	if p != nil {
		for variable, l := range p.targets {
			collection := tx.Collection(variable)
			if collection == nil {
				continue
			}
			for _, m := range collection.FindAll() {
				copy(*want, l.all)
				if len(l.byKey) > 0 {
					want.or(l.byKey[strings.ToLower(m.Key())])
				}
				if variable == variables.Args && exempt[strings.ToLower(m.Key())] {
					want.remove(s.spared)
				}
				s.judge(m.Value(), *want, *run)
			}
		}
		for i, w := range p.rules {
			for rest := w &^ (*run)[i]; rest != 0; rest &= rest - 1 {
				from.RemoveRuleByID(s.ids[i*64+mathbits.TrailingZeros64(rest)])
			}
		}
	}
	if len(exempt) == 0 {
		return
	}
	for _, id := range s.exempt.Rules {
		if i, judged := s.judged[id]; judged && !run.has(i) {
			continue
		}
		for name := range exempt {
			from.RemoveRuleTargetByID(id, variables.Args, name, nil)
		}
	}
}

// exemptValues are the names of the values that are exempt, in lower case. A name counts if all of its values do.
func (s *Screen) exemptValues(phase int, tx plugintypes.TransactionState) map[string]bool {
	if s.exempt.Value == nil || phase != int(types.PhaseRequestBody) || !strings.EqualFold(tx.Variables().RequestBodyProcessor().Get(), "JSON") {
		return nil
	}
	names := map[string]bool{}
	for _, m := range tx.Variables().ArgsPost().FindAll() {
		name := strings.ToLower(m.Key())
		yes, seen := names[name]
		if seen && !yes {
			continue
		}
		names[name] = s.exempt.Value(name, m.Value())
	}
	// The address may have values of the same names, which are not the body's.
	for _, m := range tx.Variables().ArgsGet().FindAll() {
		delete(names, strings.ToLower(m.Key()))
	}
	for _, m := range tx.Variables().ArgsPath().FindAll() {
		delete(names, strings.ToLower(m.Key()))
	}
	n := 0
	for name, yes := range names {
		if yes {
			n++
		}
		if !yes || n > maxExempt {
			delete(names, name)
		}
	}
	return names
}

// judge adds to run those of want that may match value.
func (s *Screen) judge(value string, want, run bits) {
	pending := false
	for i := range want {
		want[i] &^= run[i]
		pending = pending || want[i] != 0
	}
	if !pending {
		return
	}
	m := maskOf(value)
	for _, c := range s.chains {
		if c.moved&m == 0 || !c.rules.meets(want) {
			continue
		}
		s.judgeMoved(c, value, m, want, run)
		for i, w := range c.rules {
			want[i] &^= w
		}
	}
	s.match(value, m, want, run)
}

// judgeMoved is judge for the rules of c, whose transformations may change text. m is the set of its bytes.
func (s *Screen) judgeMoved(c *chain, text string, m mask, want, run bits) {
	own := s.scratch.Get().(*bits)
	defer s.scratch.Put(own)
	for _, t := range c.steps {
		if t.moved&m == 0 && !t.cases {
			continue
		}
		if c.multi.meets(want) { // they look at what the step makes of it, and at what it is before
			clear(*own)
			own.orAnd(c.multi, want)
			s.match(text, m, *own, run)
		}
		after, ok := "", false
		if t.apply != nil {
			after, ok = t.apply(text)
		}
		if !ok {
			run.orAnd(c.rules, want)
			return
		}
		text, m = after, maskOf(after)
	}
	clear(*own)
	own.orAnd(c.rules, want)
	s.match(text, m, *own, run)
}

// match adds to run those of want whose operators may match text, which is as their transformations make it but for case.
func (s *Screen) match(text string, m mask, want, run bits) {
	for _, q := range s.asked {
		if q.rules.meets(want) && q.ask(text) {
			run.orAnd(q.rules, want)
		}
	}
	if m&high != 0 {
		text = fold(text)
	}
	t := s.tiers[tierOf(m)]
	run.orAnd(t.always, want)
	t.find.find(text, want, run)
}
