package screen

import "math"

// automaton finds which of many strings a text holds, in one pass over it, in any case of ASCII letters (Aho and Corasick).
type automaton struct {
	class   [256]uint8 // passed is a byte that changes nothing
	classes int
	next    []uint16 // by state and class
	ends    []uint16 // by state: the set of the strings that end there, 0 for none
	sets    []bits
}

// passed is the class of noise.
const passed = math.MaxUint8

// newAutomaton makes the automaton of strings in lower case and without noise, each with the rules that it stands for. It
// gives nil if they are too many.
func newAutomaton(strings map[string]bits, noise mask) *automaton {
	a := &automaton{classes: 1, sets: []bits{nil}}
	for s := range strings {
		for i := range len(s) {
			if a.class[s[i]] == 0 {
				a.class[s[i]] = uint8(a.classes)
				a.classes++
			}
		}
	}
	for b := 'A'; b <= 'Z'; b++ {
		a.class[b] = a.class[b+'a'-'A']
	}
	for b, group := range groupOf {
		if group&noise != 0 {
			a.class[b] = passed
		}
	}
	a.addState()
	for s, rules := range strings {
		state := 0
		for i := range len(s) {
			step := &a.next[state*a.classes+int(a.class[s[i]])]
			if *step == 0 {
				if len(a.ends) > math.MaxUint16 {
					return nil
				}
				*step = uint16(len(a.ends))
				state = len(a.ends)
				a.addState()
				continue
			}
			state = int(*step)
		}
		a.mark(state, rules)
	}
	a.link()
	return a
}

func (a *automaton) addState() {
	a.next = append(a.next, make([]uint16, a.classes)...)
	a.ends = append(a.ends, 0)
}

// mark adds rules to the set of a state. Sets are not shared before link, and not changed where they are.
func (a *automaton) mark(state int, rules bits) {
	if a.ends[state] == 0 {
		a.ends[state] = uint16(len(a.sets))
		a.sets = append(a.sets, make(bits, len(rules)))
	}
	a.sets[a.ends[state]].or(rules)
}

// link gives each state the steps of its longest proper suffix where it has none of its own, the shorter ones first.
func (a *automaton) link() {
	fallback := make([]uint16, len(a.ends))
	var queue []uint16
	for _, n := range a.next[:a.classes] {
		if n != 0 {
			queue = append(queue, n)
		}
	}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		row := a.next[int(state)*a.classes:][:a.classes]
		other := a.next[int(fallback[state])*a.classes:][:a.classes]
		for c, n := range row {
			if n == 0 {
				row[c] = other[c]
				continue
			}
			fallback[n] = other[c]
			switch suffix := a.ends[other[c]]; {
			case suffix == 0:
			case a.ends[n] == 0:
				a.ends[n] = suffix
			default:
				a.sets[a.ends[n]].or(a.sets[suffix])
			}
			queue = append(queue, n)
		}
	}
}

// find adds the rules of want whose strings text holds.
func (a *automaton) find(text string, want, found bits) {
	state := 0
	for i := range len(text) {
		class := a.class[text[i]]
		if class == passed {
			continue
		}
		state = int(a.next[state*a.classes+int(class)])
		if end := a.ends[state]; end != 0 {
			found.orAnd(a.sets[end], want)
		}
	}
}
