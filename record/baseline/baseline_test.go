package baseline

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func entry(at time.Time, change func(*record.Entry)) *record.Entry {
	e := &record.Entry{ID: record.NewID(), Time: at, Agent: "a"}
	if change != nil {
		change(e)
	}
	return e
}

func kinds(events []Event) (list []string) {
	for _, e := range events {
		list = append(list, e.Kind)
	}
	return list
}

func want(t *testing.T, what string, events []Event, kind ...string) {
	t.Helper()
	got := kinds(events)
	if len(got) != len(kind) || len(got) > 0 && got[0] != kind[0] {
		t.Errorf("%s: %v, want %v", what, events, kind)
	}
}

func tool(name string) func(*record.Entry) {
	return func(e *record.Entry) { e.Did.Tools = []record.Tool{{Name: name}} }
}

func host(name string) func(*record.Entry) {
	return func(e *record.Entry) { e.Did.Calls = []record.Call{{Host: name, First: true}} }
}

func TestFirstTimes(t *testing.T) {
	w := NewWatch("a", Baseline{}, Config{})
	want(t, "a tool while learning", w.Observe(entry(start, tool("search"))))
	want(t, "a host while learning", w.Observe(entry(start.Add(time.Minute), host("x"))))
	later := start.Add(time.Hour)
	want(t, "the same tool", w.Observe(entry(later, tool("search"))))
	want(t, "another tool", w.Observe(entry(later, tool("delete_all"))), FirstTool)
	want(t, "another tool again", w.Observe(entry(later, tool("delete_all"))))
	want(t, "another host", w.Observe(entry(later, host("evil"))), FirstHost)

	// What is usual outlives the watch.
	usual, changed := w.Changed()
	if !changed {
		t.Fatal("nothing to keep")
	}
	if _, again := w.Changed(); again {
		t.Error("the same twice")
	}
	data, _ := json.Marshal(usual)
	var kept Baseline
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	w = NewWatch("a", kept, Config{})
	want(t, "after a restart, the tool", w.Observe(entry(later, tool("delete_all"))))
	want(t, "after a restart, a new tool", w.Observe(entry(later, tool("other"))), FirstTool)
}

func TestRateAndCost(t *testing.T) {
	w := NewWatch("a", Baseline{}, Config{})
	at := start
	for range 60 { // an hour of 20 a minute, a cent each
		for range 20 {
			want(t, "usual", w.Observe(entry(at, func(e *record.Entry) { e.Out.CostUSD = 0.01 })))
		}
		at = at.Add(time.Minute)
	}
	var events []Event
	for range 500 {
		events = append(events, w.Observe(entry(at, nil))...)
	}
	want(t, "25 times the rate", events, Rate)
	if events[0].Value != 101 || events[0].Usual < 18 || events[0].Usual > 20 {
		t.Errorf("%+v", events[0])
	}
	at = at.Add(time.Minute)
	want(t, "an answer for two dollars", w.Observe(entry(at, func(e *record.Entry) { e.Out.CostUSD = 2 })), Cost)
}

func TestRefusals(t *testing.T) {
	w := NewWatch("a", Baseline{}, Config{Refusals: 10})
	var events []Event
	for range 30 {
		events = append(events, w.Observe(entry(start, func(e *record.Entry) {
			e.Did.Calls = []record.Call{{Decision: "refuse", Host: "x"}}
		}))...)
	}
	want(t, "a burst", events, Refusals)
	want(t, "the next minute", w.Observe(entry(start.Add(time.Minute), nil)))
}
