package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		name string
		in   []float64
		want spread
		text string
	}{
		{"one", []float64{3}, spread{3, 3, 3}, "3.00 (3.00..3.00)"},
		{"odd", []float64{30, 10, 20}, spread{20, 10, 30}, "20.0 (10.0..30.0)"},
		{"even", []float64{4000, 1000, 3000, 2000}, spread{2500, 1000, 4000}, "2500 (1000..4000)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := spreadOf(test.in); got != test.want || got.String() != test.text {
				t.Errorf("got %v, %q, want %v, %q", got, got.String(), test.want, test.text)
			}
		})
	}
}

// measured makes rounds out of rates and CPU times.
func measured(pairs ...[2]float64) []round {
	var rounds []round
	for _, p := range pairs {
		rounds = append(rounds, round{Requests: 1, Rate: p[0], CPU: p[1], P50: 1, P99: 2, RSS: 50})
	}
	return rounds
}

func TestFloors(t *testing.T) {
	counter := scenario{name: "counter", sides: []string{"gatehouse", "workerd"}, floors: []floor{{figure: "rate", least: 4}}}
	hello := scenario{name: "hello", sides: []string{"gatehouse", "workerd", "caddy"}, floors: []floor{{figure: "cpu", most: 1.2}}}
	peer := measured([2]float64{100, 10}, [2]float64{200, 20}, [2]float64{100, 10})
	tests := []struct {
		name     string
		scenario scenario
		ours     []round
		held     bool
		line     string
	}{
		{"rate kept round by round", counter, measured([2]float64{400, 1}, [2]float64{800, 1}, [2]float64{100, 1}), true, "rate of gatehouse at least 4x the peer's: 4.00x, held"},
		{"rate missed", counter, measured([2]float64{399, 1}, [2]float64{700, 1}, [2]float64{500, 1}), false, "3.99x, MISSED"},
		{"cost kept", hello, measured([2]float64{1, 12}, [2]float64{1, 24}, [2]float64{1, 99}), true, "cpu of gatehouse at most 1.2x the peer's: 1.20x, held"},
		{"cost missed", hello, measured([2]float64{1, 13}, [2]float64{1, 26}, [2]float64{1, 1}), false, "1.30x, MISSED"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &report{Rounds: 3, Machine: map[string]string{}, Versions: map[string]string{}}
			r.add(test.scenario, map[string][]round{"gatehouse": test.ours, "workerd": peer})
			if r.held() != test.held {
				t.Errorf("held %v, want %v", r.held(), test.held)
			}
			var text, data bytes.Buffer
			if err := r.writeText(&text); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{test.line, "gatehouse / workerd", "gatehouse"} {
				if !strings.Contains(text.String(), part) {
					t.Errorf("the text lacks %q:\n%s", part, text.String())
				}
			}
			if err := r.writeJSON(&data); err != nil {
				t.Fatal(err)
			}
			var back report
			if err := json.Unmarshal(data.Bytes(), &back); err != nil {
				t.Fatal(err)
			}
			if back.held() != test.held || len(back.Scenarios[0].Sides) != 2 || back.Scenarios[0].Peer != "workerd" {
				t.Errorf("read back as %+v", back)
			}
		})
	}

	// A floor may be for another of Gatehouse's sides, and is left out when that side is.
	cells := scenario{name: "hello", sides: []string{"gatehouse", "workerd", "cells"}, floors: []floor{{side: "cells", figure: "cpu", most: 1.8}}}
	for _, test := range []struct {
		side string
		cpu  float64
		held bool
	}{{"cells", 18, true}, {"cells", 19, false}, {"gatehouse", 99, true}} {
		r := &report{}
		r.add(cells, map[string][]round{test.side: measured([2]float64{1, test.cpu}), "workerd": measured([2]float64{1, 10})})
		if r.held() != test.held {
			t.Errorf("%s at %v: held %v, want %v", test.side, test.cpu, r.held(), test.held)
		}
	}

	r := &report{}
	r.add(hello, map[string][]round{"workerd": peer})
	if !r.held() || r.Scenarios[0].Peer != "" {
		t.Errorf("without Gatehouse there is nothing to hold: %+v", r)
	}
}
