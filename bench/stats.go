package main

import "slices"

// spread is the median of some values, and between what they lie.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of at least one value. The median of an even number is the mean of the middle two.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// figure is one kind of number that a round yields.
type figure struct {
	name  string
	title string
	of    func(round) float64
}

var figures = []figure{
	{"rate", "req/s", func(r round) float64 { return r.Rate }},
	{"p50", "p50 ms", func(r round) float64 { return r.P50 }},
	{"p99", "p99 ms", func(r round) float64 { return r.P99 }},
	{"cpu", "us CPU/req", func(r round) float64 { return r.CPU }},
	{"rss", "MiB", func(r round) float64 { return r.RSS }},
	{"others", "others", func(r round) float64 { return r.Others }},
}

// spreads returns each figure's spread over the rounds.
func spreads(rounds []round) map[string]spread {
	out := map[string]spread{}
	for _, f := range figures {
		var values []float64
		for _, r := range rounds {
			values = append(values, f.of(r))
		}
		out[f.name] = spreadOf(values)
	}
	return out
}

// ratios returns the spread of each figure's ratio of ours to theirs, taken round by round: the two turns of a round
// lie next to each other in time, so what the machine did besides falls on both.
func ratios(ours, theirs []round) map[string]spread {
	out := map[string]spread{}
	for _, f := range figures {
		var values []float64
		for i := range min(len(ours), len(theirs)) {
			if below := f.of(theirs[i]); below > 0 {
				values = append(values, f.of(ours[i])/below)
			}
		}
		if f.name != "others" && len(values) > 0 {
			out[f.name] = spreadOf(values)
		}
	}
	return out
}

// keeps reports whether a ratio keeps the floor.
func (f floor) keeps(ratio float64) bool {
	return (f.least == 0 || ratio >= f.least) && (f.most == 0 || ratio <= f.most)
}
