package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// noisy is how many cores of other programs make a run's rates and latencies doubtful.
const noisy = 0.3

// report is everything a run measured, in the form that --json prints.
type report struct {
	When      time.Time         `json:"when"`
	Machine   map[string]string `json:"machine"`
	Versions  map[string]string `json:"versions"`
	Rounds    int               `json:"rounds"`
	Seconds   float64           `json:"seconds_per_turn"`
	Scenarios []scenarioReport  `json:"scenarios"`
}

type scenarioReport struct {
	Name        string       `json:"name"`
	About       string       `json:"about"`
	Connections int          `json:"connections"`
	Sides       []sideReport `json:"sides"`
	Peer        string       `json:"peer,omitempty"` // whom the ratios are to
	// Ratios are Gatehouse's figures over the peer's, for each way in which Gatehouse took part.
	Ratios map[string]map[string]spread `json:"ratios,omitempty"`
	Floors []floorReport                `json:"floors,omitempty"`
}

type sideReport struct {
	Name    string            `json:"name"`
	Figures map[string]spread `json:"figures"`
	Rounds  []round           `json:"rounds"`
}

type floorReport struct {
	Side   string  `json:"side"`
	Figure string  `json:"figure"`
	Least  float64 `json:"at_least,omitempty"`
	Most   float64 `json:"at_most,omitempty"`
	Ratio  float64 `json:"ratio"` // the median over the rounds
	Held   bool    `json:"held"`
}

func newReport(ctx context.Context, b *bench) *report {
	r := &report{
		When: time.Now().UTC().Truncate(time.Second), Machine: describeMachine(), Versions: b.versions(ctx),
		Rounds: b.rounds, Seconds: b.length.Seconds(),
	}
	return r
}

// add takes in what a scenario measured.
func (r *report) add(s scenario, results map[string][]round) {
	out := scenarioReport{Name: s.name, About: s.about, Connections: s.connections}
	for _, name := range s.sides {
		if rounds, ok := results[name]; ok {
			out.Sides = append(out.Sides, sideReport{Name: name, Figures: spreads(rounds), Rounds: rounds})
		}
	}
	theirs := results[s.sides[1]]
	for _, name := range s.sides {
		if ours := results[name]; isGatehouse(name) && len(ours) > 0 && len(theirs) > 0 {
			if out.Peer = s.sides[1]; out.Ratios == nil {
				out.Ratios = map[string]map[string]spread{}
			}
			out.Ratios[name] = ratios(ours, theirs)
		}
	}
	for _, f := range s.floors {
		name := cmp.Or(f.side, "gatehouse")
		if measured, ok := out.Ratios[name]; ok {
			ratio := measured[f.figure].Median
			out.Floors = append(out.Floors, floorReport{name, f.figure, f.least, f.most, ratio, f.keeps(ratio)})
		}
	}
	r.Scenarios = append(r.Scenarios, out)
}

// held reports whether every floor that was measured is kept.
func (r *report) held() bool {
	for _, s := range r.Scenarios {
		for _, f := range s.Floors {
			if !f.Held {
				return false
			}
		}
	}
	return true
}

func (r *report) writeJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// writeText prints tables for people: medians, and in brackets the least and the most.
func (r *report) writeText(out io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s; %s cores, %s, Linux %s\n", r.When.Format("2006-01-02 15:04 UTC"), r.Machine["cores"], r.Machine["cpu"], r.Machine["kernel"])
	fmt.Fprintf(&text, "gatehouse %s (%s), workerd %s, Caddy %s, Coraza %s, CRS %s\n", r.Versions["gatehouse"], r.Versions["go"],
		r.Versions["workerd"], r.Versions["caddy"], r.Versions["coraza"], r.Versions["crs"])
	fmt.Fprintf(&text, "medians (least..most) of %d rounds of %g s, the sides taking turns\n", r.Rounds, r.Seconds)
	for _, s := range r.Scenarios {
		s.write(&text)
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (s scenarioReport) write(text *strings.Builder) {
	fmt.Fprintf(text, "\n%s: %s; %d connections\n", s.Name, s.About, s.Connections)
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "  ")
	for _, f := range figures {
		fmt.Fprintf(table, "\t%s", f.title)
	}
	fmt.Fprintln(table)
	loud := false
	for _, side := range s.Sides {
		fmt.Fprintf(table, "  %s", side.Name)
		for _, f := range figures {
			fmt.Fprintf(table, "\t%s", side.Figures[f.name])
		}
		fmt.Fprintln(table)
		loud = loud || side.Figures["others"].Median > noisy
	}
	for _, side := range s.Sides {
		measured, ok := s.Ratios[side.Name]
		if !ok {
			continue
		}
		fmt.Fprintf(table, "  %s / %s", side.Name, s.Peer)
		for _, f := range figures {
			if ratio, ok := measured[f.name]; ok {
				fmt.Fprintf(table, "\t%.2f (%.2f..%.2f)", ratio.Median, ratio.Min, ratio.Max)
			}
		}
		fmt.Fprintln(table)
	}
	table.Flush() // writes to memory
	for _, f := range s.Floors {
		fmt.Fprintf(text, "  floor: %s\n", f)
	}
	if loud {
		fmt.Fprintln(text, "  note: other programs kept the machine busy; trust CPU per request rather than rates and latencies")
	}
}

// String writes a spread with as many digits as its size deserves.
func (s spread) String() string {
	digits := 2
	switch {
	case s.Median >= 1000:
		digits = 0
	case s.Median >= 10:
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f..%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

func (f floorReport) String() string {
	verdict := "held"
	if !f.Held {
		verdict = "MISSED"
	}
	bound := fmt.Sprintf("at most %gx", f.Most)
	if f.Least > 0 {
		bound = fmt.Sprintf("at least %gx", f.Least)
	}
	return fmt.Sprintf("%s of %s %s the peer's: %.2fx, %s", f.Figure, f.Side, bound, f.Ratio, verdict)
}

// describeMachine names what the figures were taken on, without anything that identifies the machine.
func describeMachine() map[string]string {
	machine := map[string]string{"cores": fmt.Sprint(runtime.NumCPU()), "arch": runtime.GOARCH}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		machine["kernel"] = strings.TrimSpace(string(release))
	}
	machine["cpu"] = lineOf("/proc/cpuinfo", "model name")
	machine["memory"] = lineOf("/proc/meminfo", "MemTotal")
	return machine
}

// lineOf returns the value of the first line "name : value" of a file, or "unknown".
func lineOf(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// versions names what was measured.
func (b *bench) versions(ctx context.Context) map[string]string {
	ask := func(name string, args ...string) string {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = b.root
		out, err := cmd.Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	module := func(path string) string { return ask("go", "list", "-m", "-f", "{{.Version}}", path) }
	workerd, err := packageVersion(b.source + "/package.json")
	if err != nil {
		workerd = "unknown"
	}
	return map[string]string{
		"gatehouse": ask("git", "describe", "--always", "--dirty"),
		"go":        ask("go", "env", "GOVERSION"),
		"workerd":   workerd,
		"caddy":     module("github.com/caddyserver/caddy/v2"),
		"coraza":    module("github.com/corazawaf/coraza/v3"),
		"crs":       module("github.com/corazawaf/coraza-coreruleset/v4"),
	}
}
