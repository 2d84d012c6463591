package throttle

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// maxUsageBytes bounds what a Meter keeps of one event, or of one JSON body. Of longer ones no usage is read.
const maxUsageBytes = 1 << 20

// Meter reads what an answer costs from its body, as it passes: the events of a stream (text/event-stream, WHATWG HTML,
// 9.2.6) and the usage that they or a JSON body report. It holds nothing back: the byte that would end an event is the
// first to cost more, and a client drops an event that was not ended. For one goroutine.
type Meter struct {
	paths  [][]string // of the numbers that add up to the usage; none: events are counted
	stream bool

	events   int64
	usage    []int64 // the most that was reported at each path
	reported bool

	line    []byte // of a stream, as far as it is needed
	blank   bool   // nothing of the line has come
	carried bool   // the last byte was a carriage return, which a line feed may belong to
	long    bool   // the event, or the body, is longer than what is kept
	hasData bool
	data    []byte // of the event, or the whole body
}

// NewMeter makes a meter for a body of the media type, which decides how it is read. Each path names a number of a JSON
// object, with dots between the members: usage.total_tokens.
func NewMeter(mediaType string, paths []string) *Meter {
	base, _, _ := strings.Cut(mediaType, ";")
	m := &Meter{stream: strings.EqualFold(strings.TrimSpace(base), "text/event-stream"), blank: true, usage: make([]int64, len(paths))}
	for _, p := range paths {
		m.paths = append(m.paths, strings.Split(p, "."))
	}
	return m
}

// Scan reads p up to where the cost rises. The first free bytes of p cost nothing more; the one after them raises the
// total to cost, and was read too. When free is len(p), all of p was read and costs nothing more.
func (m *Meter) Scan(p []byte) (free int, cost int64) {
	before := m.running()
	if !m.stream {
		if len(m.paths) > 0 {
			m.keep(p)
		}
		return len(p), before
	}
	for i, c := range p {
		if c == '\n' && m.carried {
			m.carried = false
			continue
		}
		m.carried = c == '\r'
		if c != '\n' && c != '\r' {
			m.blank = false
			if len(m.line) < maxUsageBytes {
				m.line = append(m.line, c)
			} else {
				m.long = true
			}
			continue
		}
		if !m.blank {
			m.endLine()
			continue
		}
		m.endEvent()
		if now := m.running(); now > before {
			return i, now
		}
	}
	return len(p), before
}

// Cost is the true cost of an answer that has ended: the usage it reported, or else the events there were; ok is false
// when neither is known, as for a body that is no stream and reports nothing.
func (m *Meter) Cost() (cost int64, ok bool) {
	if !m.stream && len(m.paths) > 0 && !m.long && !m.reported {
		m.read(m.data)
	}
	if m.reported {
		return m.sum(), true
	}
	return m.events, m.stream
}

// Reported tells whether the cost is one that the answer reported.
func (m *Meter) Reported() bool { return m.reported }

// running is the least that the answer so far costs.
func (m *Meter) running() int64 { return max(m.events, m.sum()) }

func (m *Meter) sum() (n int64) {
	for _, u := range m.usage {
		n += u
	}
	return n
}

func (m *Meter) endLine() {
	if value, ok := bytes.CutPrefix(m.line, []byte("data")); ok && (len(value) == 0 || value[0] == ':') {
		m.hasData = true
		if len(m.paths) > 0 && len(value) > 0 {
			m.keep(bytes.TrimPrefix(value[1:], []byte(" ")))
		}
	}
	m.line, m.blank = m.line[:0], true
}

func (m *Meter) endEvent() {
	if m.hasData {
		m.events++
		if len(m.paths) > 0 && !m.long {
			m.read(m.data)
		}
	}
	m.hasData, m.long, m.data = false, false, m.data[:0]
}

func (m *Meter) keep(p []byte) {
	if len(m.data)+len(p) > maxUsageBytes {
		m.long = true
		return
	}
	m.data = append(m.data, p...)
}

// read looks for the usage in a JSON text. Any other text reports none.
func (m *Meter) read(text []byte) {
	var root any
	for i, path := range m.paths {
		if !bytes.Contains(text, []byte(path[len(path)-1])) {
			continue // most events report nothing, and need not be parsed
		}
		if root == nil {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if d.Decode(&root) != nil {
				return
			}
		}
		value := root
		for _, name := range path {
			object, _ := value.(map[string]any)
			value = object[name]
		}
		if number, ok := value.(json.Number); ok {
			if n, ok := ParseCost(number.String()); ok {
				m.reported = true
				m.usage[i] = max(m.usage[i], n)
			}
		}
	}
}

// MaxCost bounds one cost, so that no sum of costs overflows.
const MaxCost = 1 << 40

// ParseCost reads a cost: a whole number from 0 to MaxCost.
func ParseCost(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return int64(n), err == nil && n <= MaxCost
}
