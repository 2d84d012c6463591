package agentruntime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Wrangler is what an agent takes from its wrangler file, as
// https://developers.cloudflare.com/workers/wrangler/configuration/ describes it.
type Wrangler struct {
	// Path is the file's absolute path.
	Path string
	// Name is the agent's name, empty where the file gives none.
	Name string
	// Main is the absolute path of the agent's module.
	Main string
	// CompatibilityDate (YYYY-MM-DD) and CompatibilityFlags say whether there are modules of Node.js (see WithoutNode), and
	// change nothing else: flags whose effect is not there are refused.
	CompatibilityDate  string
	CompatibilityFlags []string
	// Vars are the plain values of env, each as JSON.
	Vars       map[string]json.RawMessage
	Durable    []WranglerDurable
	Workflows  []WranglerWorkflow
	KV         []WranglerKV
	Analytics  []WranglerAnalytics
	Stored     []WranglerStored
	Services   []WranglerService
	RateLimits []WranglerRateLimit
	// Assets is the folder of static files, nil for none.
	Assets *WranglerAssets
	// Tail names the agents that get this one's records.
	Tail []string
	// CPU and Subrequests are the limits that the file gives, zero for none.
	CPU         time.Duration
	Subrequests int
	// Crons are the schedules as the file writes them; CronSchedule says what they mean.
	Crons []string
	// Migrations are the steps in the life of the classes of durable actors, in order.
	Migrations []WranglerMigration
}

// WranglerDurable binds, as Name, a class of the agent as a namespace of durable actors; or, with Agent, one of another
// agent.
type WranglerDurable struct{ Name, Class, Agent string }

// WranglerWorkflow binds the workflow called Name, a class of the agent or, with Agent, of another one.
type WranglerWorkflow struct{ Binding, Name, Class, Agent string }

// WranglerService binds an entrypoint of another agent.
type WranglerService struct {
	Binding, Agent, Entrypoint string
	Props                      map[string]any
}

// WranglerRateLimit binds a rate limit of Limit uses in Period. Bindings of one Namespace count together.
type WranglerRateLimit struct {
	Name, Namespace string
	Limit           int
	Period          time.Duration
}

// WranglerAssets is a folder of static files, as an absolute path, and how it is served.
type WranglerAssets struct {
	Directory, Binding, HTML, NotFound string
	// RunWorkerFirst are the paths for which the code runs first; /* for all.
	RunWorkerFirst []string
}

// WranglerKV binds a key-value namespace.
type WranglerKV struct{ Binding, ID string }

// WranglerAnalytics binds a set of data points. Dataset is the binding's name where the file gives none.
type WranglerAnalytics struct{ Binding, Dataset string }

// WranglerStored binds a secret that code asks for with get().
type WranglerStored struct{ Binding, Secret string }

// WranglerMigration is one step in the life of an agent's classes of durable actors. New holds those of new_classes and
// of new_sqlite_classes alike. Each pair of Renamed is the old name and the new.
type WranglerMigration struct {
	Tag          string
	New, Deleted []string
	Renamed      [][2]string
}

// maxWranglerSize is the largest wrangler file read, in bytes.
const maxWranglerSize = 256 << 10

// ReadWrangler reads a wrangler.toml, .json or .jsonc file, as the named environment of it has it, or as the top level
// has if the name is empty. Keys that would change what the code sees and are not
// built, and keys that no wrangler file has, are errors. What is wrong with the file is a *BuildError with every
// problem, in the order of the file.
func ReadWrangler(path, environment string) (*Wrangler, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the wrangler file %q: %w", path, err)
	}
	data, err := os.ReadFile(absolute)
	if err != nil {
		problem := Problem{File: path, Text: "there is no such file", Help: "Correct the path."}
		if !errors.Is(err, os.ErrNotExist) {
			problem.Text, problem.Help = err.Error(), "Make the file readable for the user that runs the server."
		}
		return nil, &BuildError{Problems: []Problem{problem}, Inputs: []string{absolute}}
	}
	return parseWrangler(path, absolute, environment, data)
}

// parseWrangler reads the text of a wrangler file; shown is its path for messages.
func parseWrangler(shown, absolute, environment string, data []byte) (*Wrangler, error) {
	r := &wranglerReader{shown: shown, lines: strings.Split(string(data), "\n"), bound: map[string]*setting{}, out: &Wrangler{Path: absolute}}
	if len(data) > maxWranglerSize {
		r.fail(&setting{}, fmt.Sprintf("the file has %d bytes, over the limit of %d", len(data), maxWranglerSize), "Name the wrangler file itself.")
		return nil, r.refusal()
	}
	parse := settingsOfJSON
	switch filepath.Ext(shown) {
	case ".toml":
		parse = settingsOfTOML
	case ".json", ".jsonc":
	default:
		r.fail(&setting{}, "a wrangler file ends in .toml, .json or .jsonc", "Name the wrangler file itself.")
		return nil, r.refusal()
	}
	top, err := parse(data)
	if err != nil {
		at := &setting{}
		var placed *placedError
		if errors.As(err, &placed) {
			at.line, at.col = placed.line, placed.col
		}
		r.fail(at, err.Error(), "")
		return nil, r.refusal()
	}
	r.top(r.environment(top, environment))
	if err := r.refusal(); err != nil {
		return nil, err
	}
	return r.out, nil
}

// wranglerReader collects a file's values and its problems.
type wranglerReader struct {
	shown string
	lines []string
	out   *Wrangler
	// bound holds where each name of env was given.
	bound    map[string]*setting
	problems []Problem
}

func (r *wranglerReader) fail(at *setting, text, help string) {
	p := Problem{File: r.shown, Line: at.line, Column: at.col, Text: text, Help: help}
	if at.line > 0 && at.line <= len(r.lines) {
		p.Source = strings.TrimSuffix(r.lines[at.line-1], "\r")
	}
	r.problems = append(r.problems, p)
}

func (r *wranglerReader) refusal() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
	return &BuildError{Problems: r.problems, Inputs: []string{r.out.Path}}
}

var (
	agentName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
	bindingName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)
)

// top reads the file's top level.
func (r *wranglerReader) top(top *setting) {
	readers := map[string]func(*setting){
		"name": func(s *setting) {
			if r.out.Name = r.text(s); r.out.Name != "" && !agentName.MatchString(r.out.Name) {
				r.fail(s, fmt.Sprintf("name %q has other characters than letters, digits, - and _, or more than 63", r.out.Name), "")
			}
		},
		"main": func(s *setting) {
			if main := r.text(s); main != "" {
				r.out.Main = filepath.Join(filepath.Dir(r.out.Path), filepath.FromSlash(main))
			}
		},
		"compatibility_date": func(s *setting) {
			r.out.CompatibilityDate = r.text(s)
			if _, err := time.Parse(time.DateOnly, r.out.CompatibilityDate); r.out.CompatibilityDate != "" && err != nil {
				r.fail(s, fmt.Sprintf("compatibility_date %q is not a date", r.out.CompatibilityDate), "Write it as YYYY-MM-DD.")
			}
		},
		"compatibility_flags":       r.flags,
		"vars":                      r.vars,
		"durable_objects":           r.durable,
		"migrations":                func(*setting) {}, // Read last: it is checked against the bindings.
		"workflows":                 r.workflows,
		"kv_namespaces":             r.kv,
		"triggers":                  r.triggers,
		"analytics_engine_datasets": r.analytics,
		"secrets_store_secrets":     r.stored,
		"services":                  r.services,
		"ratelimits":                r.rateLimits,
		"assets":                    r.assets,
		"tail_consumers":            r.tail,
		"limits":                    r.limits,
		"env":                       func(*setting) {}, // Read before, for the environment that was asked for.
	}
	fields := r.table(top, func(key string, s *setting) bool {
		if help, ok := wranglerRefused[key]; ok {
			r.fail(s, key+" is not built yet", help)
			return true
		}
		return wranglerIdle[key]
	}, readers)
	if fields == nil {
		return
	}
	if s := fields["migrations"]; s != nil {
		r.migrations(s, fields["durable_objects"])
	}
	if fields["main"] == nil {
		r.fail(&setting{}, "main is missing", "Name the agent's module, as in: main = \"src/index.ts\"")
	}
}

// table calls the reader of each key of a table. other is asked about a key without one, and says whether it is known.
func (r *wranglerReader) table(s *setting, other func(string, *setting) bool, readers map[string]func(*setting)) map[string]*setting {
	fields, ok := s.value.(map[string]*setting)
	if !ok {
		r.wrongKind(s, "a table")
		return nil
	}
	for _, key := range s.keys() {
		if read := readers[key]; read != nil {
			read(fields[key])
			continue
		}
		if other != nil && other(key, fields[key]) {
			continue
		}
		known := make([]string, 0, len(readers))
		for name := range readers {
			known = append(known, name)
		}
		if s.path == "" {
			for name := range wranglerRefused {
				known = append(known, name)
			}
		}
		slices.Sort(known)
		help := "The keys here are " + strings.Join(known, ", ") + "."
		if meant := nearest(key, known); meant != "" {
			help = "Is " + meant + " meant?"
		} else if s.path == "" {
			help = "Remove it, or correct its name."
		}
		r.fail(fields[key], fmt.Sprintf("there is no key %s in a wrangler file", joinPath(s.path, key)), help)
	}
	return fields
}

func (r *wranglerReader) wrongKind(s *setting, want string) {
	name := s.path
	if name == "" {
		name = "the file"
	}
	r.fail(s, fmt.Sprintf("%s is %s, not %s", name, s.kind(), want), "")
}

// text reads a string that is not empty.
func (r *wranglerReader) text(s *setting) string {
	text, ok := s.value.(string)
	if !ok {
		r.wrongKind(s, "a string")
		return ""
	}
	if text == "" {
		r.fail(s, s.path+" is empty", "")
	}
	return text
}

// number reads a whole number of at least 1.
func (r *wranglerReader) number(s *setting) int {
	var n int64
	var err error
	switch v := s.value.(type) {
	case int64:
		n = v
	case json.Number:
		n, err = v.Int64()
	default:
		r.wrongKind(s, "a number")
		return 0
	}
	if err != nil || n < 1 || n > 1<<31 {
		r.fail(s, s.path+" is not a whole number of at least 1", "")
		return 0
	}
	return int(n)
}

// list calls read for each item of a list.
func (r *wranglerReader) list(s *setting, read func(*setting)) {
	items, ok := s.value.([]*setting)
	if !ok {
		r.wrongKind(s, "a list")
		return
	}
	for _, item := range items {
		read(item)
	}
}

// row reads a table of strings. Keys in need must be there; keys in may can be.
func (r *wranglerReader) row(s *setting, need, may []string, refused map[string]string) map[string]string {
	values := map[string]string{}
	readers := map[string]func(*setting){}
	for _, key := range slices.Concat(need, may) {
		readers[key] = func(field *setting) { values[key] = r.text(field) }
	}
	r.needs(s, r.table(s, r.refusing(refused), readers), need...)
	return values
}

// bind takes a name of env; each name may be given once.
func (r *wranglerReader) bind(name string, at *setting) {
	if name == "" {
		return
	}
	if !bindingName.MatchString(name) {
		r.fail(at, fmt.Sprintf("the binding %q is no JavaScript name", name), "Use letters, digits and _, with no digit first.")
	}
	if first := r.bound[name]; first != nil {
		r.fail(at, fmt.Sprintf("the binding %s is given twice, first by %s on line %d", name, first.path, first.line), "")
		return
	}
	r.bound[name] = at
}

// nodeByDefault is the first compatibility date with the modules of Node.js unless a flag leaves them out
// (https://developers.cloudflare.com/workers/configuration/compatibility-flags/).
const nodeByDefault = "2026-08-04"

// WithoutNode reports whether the file leaves out the modules of Node.js: by the flag no_nodejs_compat, or by a
// compatibility date before they became the default without the flag nodejs_compat.
func (w *Wrangler) WithoutNode() bool {
	switch {
	case slices.Contains(w.CompatibilityFlags, "no_nodejs_compat"):
		return true
	case slices.Contains(w.CompatibilityFlags, "nodejs_compat"), slices.Contains(w.CompatibilityFlags, "nodejs_compat_v2"):
		return false
	}
	return w.CompatibilityDate != "" && w.CompatibilityDate < nodeByDefault
}
