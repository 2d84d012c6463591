package baseline

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

// Kinds of events.
const (
	FirstHost = "first_host" // a host that the agent has never called
	FirstTool = "first_tool" // a tool that it has never called
	Rate      = "rate"       // far more invocations in a minute than usual
	Cost      = "cost"       // far more money in a minute than usual
	Refusals  = "refusals"   // a burst of calls and requests that were refused
)

// Event is something unusual.
type Event struct {
	Time  time.Time `json:"time"`
	Kind  string    `json:"kind"`
	Agent string    `json:"agent"`
	What  string    `json:"what"` // a sentence for people
	// Name is the host or the tool.
	Name string `json:"name,omitempty"`
	// Value is what was counted in the minute, Usual what is usual: invocations, US dollars or refusals.
	Value float64 `json:"value,omitempty"`
	Usual float64 `json:"usual,omitempty"`
	// Record is the id of the record that it was seen in.
	Record string `json:"record"`
}

// Config says what is unusual. The zero value works.
type Config struct {
	// Learn is how long after an agent's first record nothing but refusals is unusual; default 10 minutes.
	Learn time.Duration
	// Factor is how many times the usual is too much; default 5.
	Factor float64
	// Refusals is how many refusals in a minute are a burst; default 20.
	Refusals int
}

const (
	memory   = 60 // minutes: how fast the usual follows
	leastRun = 60 // invocations in a minute that are never too many
	leastUSD = 0.10
	maxTools = 1000
)

// Baseline is what is usual for one agent, and its JSON form.
type Baseline struct {
	Since   time.Time       `json:"since"`
	Minutes int             `json:"minutes"` // that were looked at
	Rate    float64         `json:"rate"`    // invocations a minute
	Cost    float64         `json:"cost"`    // US dollars a minute
	Tools   map[string]bool `json:"tools,omitempty"`
}

// Watch follows one agent. Safe for concurrent use.
type Watch struct {
	cfg   Config
	agent string

	mu      sync.Mutex
	usual   Baseline
	minute  time.Time // the one that is counted
	run     float64
	cost    float64
	refused float64
	told    map[string]bool // kinds that this minute has told of
	changed bool
}

// NewWatch goes on from what is usual; the zero Baseline for a new agent.
func NewWatch(agent string, usual Baseline, c Config) *Watch {
	if usual.Tools == nil {
		usual.Tools = map[string]bool{}
	}
	w := &Watch{agent: agent, usual: usual, told: map[string]bool{}}
	w.Configure(c)
	return w
}

// Configure changes what counts as unusual from now on.
func (w *Watch) Configure(c Config) {
	c.Learn = cmp.Or(c.Learn, 10*time.Minute)
	c.Factor = cmp.Or(c.Factor, 5)
	c.Refusals = cmp.Or(c.Refusals, 20)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cfg = c
}

// Observe counts a record of the agent and returns what is unusual about it.
func (w *Watch) Observe(e *record.Entry) (events []Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := e.Time
	if w.usual.Since.IsZero() {
		w.usual.Since = now // worth keeping once a minute has passed
	}
	w.advance(now.Truncate(time.Minute))
	learning := now.Sub(w.usual.Since) < w.cfg.Learn
	add := func(kind, name string, value, usual float64, format string, args ...any) {
		events = append(events, Event{Time: now, Kind: kind, Agent: w.agent, Name: name, Value: value, Usual: usual, Record: e.ID, What: fmt.Sprintf(format, args...)})
	}
	w.run++
	w.cost += e.Out.CostUSD
	if e.Decided.RefusedBy != "" {
		w.refused++
	}
	for _, c := range e.Did.Calls {
		if c.Agent != "" {
			continue // it is in that agent's own record
		}
		if c.Decision == "refuse" {
			w.refused++
		}
		if c.First && !learning {
			add(FirstHost, c.Host, 0, 0, "%s has called %s for the first time", w.agent, c.Host)
		}
	}
	for _, t := range e.Did.Tools {
		if t.Direction == "in" || t.Agent != "" || t.Name == "" || w.usual.Tools[t.Name] || len(w.usual.Tools) >= maxTools {
			continue
		}
		w.usual.Tools[t.Name], w.changed = true, true
		if !learning {
			add(FirstTool, t.Name, 0, 0, "%s has called the tool %s for the first time", w.agent, t.Name)
		}
	}
	once := func(kind string, value, usual, least float64, format string) {
		if !w.told[kind] && value > math.Max(least, w.cfg.Factor*usual) {
			w.told[kind] = true
			add(kind, "", value, usual, format, w.agent, value, usual)
		}
	}
	if !learning {
		once(Rate, w.run, w.usual.Rate, leastRun, "%s has run %.0f times in this minute; %.1f are usual")
		once(Cost, w.cost, w.usual.Cost, leastUSD, "%s has cost %.4f US dollars in this minute; %.4f are usual")
	}
	if n := float64(w.cfg.Refusals); !w.told[Refusals] && w.refused >= n {
		w.told[Refusals] = true
		add(Refusals, "", w.refused, 0, "%s: %.0f requests and calls were refused in this minute", w.agent, w.refused)
	}
	return events
}

// advance ends the minutes before now's, and learns from them.
func (w *Watch) advance(minute time.Time) {
	if w.minute.IsZero() {
		w.minute = minute
	}
	for n := 0; w.minute.Before(minute); n++ {
		if n > 24*60 { // a day without a record: the usual is what it was
			w.minute = minute
			break
		}
		w.usual.Minutes++
		weight := 1 / math.Min(float64(w.usual.Minutes), memory)
		// A minute that was far off moves the usual as the most that would not have been.
		w.usual.Rate += weight * (w.bound(w.run, w.usual.Rate, leastRun) - w.usual.Rate)
		w.usual.Cost += weight * (w.bound(w.cost, w.usual.Cost, leastUSD) - w.usual.Cost)
		w.run, w.cost, w.refused = 0, 0, 0
		clear(w.told)
		w.minute = w.minute.Add(time.Minute)
		w.changed = true
	}
}

func (w *Watch) bound(value, usual, least float64) float64 {
	return math.Min(value, math.Max(least, w.cfg.Factor*usual))
}

// Changed gives what is usual, if that is different from what it gave before.
func (w *Watch) Changed() (Baseline, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.changed {
		return Baseline{}, false
	}
	w.changed = false
	usual := w.usual
	usual.Tools = map[string]bool{}
	for name := range w.usual.Tools {
		usual.Tools[name] = true
	}
	return usual, true
}
