package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrow is one import rule: none of the packages in from may depend on any of the packages in to.
//
// A name that begins with "./" is a package of this module, and "./..." is every one of them. A name that ends in
// "/..." stands for the package and all beneath it. A name without a dot in front is an import path.
type arrow struct {
	from   []string
	except []string // packages of from that the rule leaves alone
	to     []string
	// direct looks only at the import lines of the packages in from. Without it a dependency through any number of
	// other packages counts as well.
	direct bool
	// tests holds the import lines of the packages' tests to the rule too.
	tests bool
	why   string
}

// gatewayParts are the packages that each do one thing and know none of the others.
var gatewayParts = []string{"./waf/...", "./bot/...", "./throttle/...", "./access/...", "./egress/...", "./secrets/...", "./record/...", "./cache/...", "./assets/..."}

// planned are packages of the design that the tree does not hold yet. Their rules wait for them.
var planned = []string{"./internal/..."}

// arrows are the import rules of the module. docs/architecture.md draws them; this table holds them.
var arrows = slices.Concat([]arrow{
	{
		from:   []string{"./..."},
		except: []string{".", "./caddymodule/...", "./cmd/...", "./integration/...", "./bench/..."},
		to:     []string{"./caddymodule/..."},
		tests:  true,
		why:    "caddymodule wires the parts together; a part that imports the wiring cannot be used or tested without a server",
	},
	{
		from:   []string{"./..."},
		except: []string{".", "./caddymodule/...", "./cmd/...", "./integration/...", "./bench/..."},
		to:     []string{"github.com/caddyserver/..."},
		tests:  true,
		why:    "Caddy is known in one package only, so that the parts outlive a change of Caddy's and are tested without it",
	},
	{
		from: []string{"./agentruntime/..."},
		to: []string{
			"./durable/badgerstore/...", "./durable/pgstore/...",
			"./kv/...", "./egress/...", "./secrets/...", "./record/...", "./waf/...", "./bot/...", "./throttle/...", "./access/...", "./cache/...", "./assets/...",
			"github.com/dgraph-io/badger/...", "github.com/jackc/...",
		},
		why: "code asks the world for everything through Host, because it runs in another process behind it; of durable it has the actor's half, which needs no engine. SQL is of that half: SQLite runs where the code does, over pages that the actor's storage keeps",
	},
	{
		from: []string{"./agentruntime/..."},
		// The gateway's side of the cells starts processes; no code runs in it.
		except: []string{"./agentruntime/cell"},
		to:     []string{"net", "os/exec", "go.uber.org/zap/..."},
		direct: true,
		why:    "a runtime that can open a connection or start a program has a way out past the egress policy",
	},
	{
		from: []string{"./agentruntime/cell/worker", "./agentruntime/cell/wire"},
		to:   []string{"./agentruntime/cell"},
		why:  "a cell has no part of what starts and judges cells",
	},
	{
		from: []string{"./durable/..."},
		to:   []string{"github.com/dop251/goja/...", "github.com/evanw/esbuild/...", "./agentruntime/..."},
		why:  "durable keeps bytes in order and on disk; whoever runs the actor's code is its caller's affair",
	},
	{
		from:   []string{"./durable/..."},
		except: []string{"./durable/badgerstore/..."},
		to:     []string{"net/http", "github.com/dgraph-io/badger/..."},
		why:    "an actor's events are not HTTP, and the engine is behind an interface that two engines implement",
	},
	{
		from:   []string{"./durable/..."},
		to:     []string{"net/http"},
		direct: true,
		why:    "Badger drags net/http in by way of expvar; the store's own code has no use for it",
	},
	{
		from: []string{"./durable/..."},
		to:   []string{"./kv/...", "./egress/...", "./secrets/...", "./record/...", "./waf/...", "./bot/...", "./throttle/...", "./access/..."},
		why:  "the store stands at the bottom; what is built on it is above it",
	},
	{
		from: []string{"./socket/..."},
		to:   []string{"./durable/badgerstore/...", "./kv/...", "./egress/...", "./secrets/...", "./record/...", "./waf/...", "./bot/...", "./throttle/...", "./access/...", "./agentruntime/cell/..."},
		why:  "socket keeps connections; how an actor is woken for them is its caller's affair",
	},
	{
		from: []string{"./kv/..."},
		to: []string{
			"./agentruntime/...", "./egress/...", "./secrets/...", "./record/...", "./waf/...", "./bot/...", "./throttle/...", "./access/...",
			"github.com/dop251/goja/...",
		},
		why: "kv is namespaces over the store and nothing else",
	},
	{
		from: []string{"./internal/..."},
		to: []string{
			"./agentruntime/...", "./durable/...", "./kv/...", "./egress/...", "./secrets/...", "./record/...", "./waf/...", "./bot/...", "./throttle/...", "./access/...",
		},
		why: "internal holds what two packages share, so it lies beneath all of them",
	},
	onlyIn("github.com/dop251/goja/...", "the engine can be replaced as long as one package knows it", "./agentruntime/..."),
	onlyIn("github.com/evanw/esbuild/...", "bundling belongs to the runtime that reads the bundle", "./agentruntime/..."),
	onlyIn("github.com/dgraph-io/badger/...", "another engine takes Badger's place behind the Store interface", "./durable/badgerstore/..."),
	onlyIn("github.com/ncruces/go-sqlite3/...", "an actor's SQLite has its file system and its limits in one package, whose callers see rows; analytics is another database", "./durable/sqlite/...", "./record/analytics/..."),
	onlyIn("github.com/corazawaf/...", "verdicts cross the border of waf, transactions and rules do not", "./waf/...", "./bench/plaincoraza/..."),
	onlyIn("github.com/elastic/go-seccomp-bpf/...", "what holds a cell is decided in one place", "./agentruntime/cell/sandbox/..."),
	onlyIn("github.com/landlock-lsm/...", "what holds a cell is decided in one place", "./agentruntime/cell/sandbox/..."),
	onlyIn("github.com/tink-crypto/...", "keys and ciphertexts are handled in one place", "./secrets/..."),
}, siblings())

// siblings forbids each of the gateway's parts to know any of the others, or the runtime, the store or kv.
func siblings() []arrow {
	var rules []arrow
	for _, part := range gatewayParts {
		others := slices.DeleteFunc(slices.Clone(gatewayParts), func(p string) bool { return p == part })
		rules = append(rules, arrow{
			from: []string{part},
			to:   append(others, "./agentruntime/...", "./durable/...", "./kv/..."),
			why:  "the parts return verdicts and values; what follows from them is decided where they meet, in caddymodule",
		})
	}
	return rules
}

// onlyIn forbids every package but the owners to import a library by its own import lines.
func onlyIn(library, why string, owners ...string) arrow {
	return arrow{from: []string{"./..."}, except: owners, to: []string{library}, direct: true, tests: true, why: why}
}

// listed is what "go list -json" tells of a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Error        *struct{ Err string }
}

// graph holds packages by import path.
type graph map[string]listed

const modulePath = "github.com/gatehouse-edge/gatehouse"

func TestImports(t *testing.T) {
	packages, err := listPackages("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range check(packages, arrows) {
		t.Error(problem)
	}
	for _, name := range packages.own() {
		if p := packages[name]; p.Error != nil {
			t.Errorf("package %s cannot be read, so its imports are not known: %s", name, p.Error.Err)
		}
	}
}

// listPackages runs "go list" once over the module in dir and all that it depends on.
func listPackages(dir string) (graph, error) {
	cmd := exec.Command("go", "list", "-deps", "-e", "-tags", "nobadger,nomysql,nopgx",
		"-json=ImportPath,Imports,TestImports,XTestImports,Error", "./...")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("go list: %w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	packages := graph{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		packages[p.ImportPath] = p
	}
}

// check returns one sentence for each package that breaks a rule, with the way from it to what it must not reach.
func check(packages graph, rules []arrow) []string {
	var problems []string
	for _, name := range packages.own() {
		for _, rule := range rules {
			if !matchesAny(rule.from, name) || matchesAny(rule.except, name) {
				continue
			}
			p := packages[name]
			var way []string
			if rule.direct {
				way = directTo(name, p.Imports, rule.to)
			} else {
				way = packages.wayTo(name, rule.to)
			}
			if way == nil && rule.tests {
				way = directTo(name+" (test)", slices.Concat(p.TestImports, p.XTestImports), rule.to)
			}
			if way != nil {
				problems = append(problems, fmt.Sprintf("%s must not depend on %s: %s\n\tway: %s",
					name, way[len(way)-1], rule.why, strings.Join(way, " -> ")))
			}
		}
	}
	return problems
}

// own returns the import paths of this module's packages, sorted.
func (g graph) own() []string {
	var own []string
	for name := range g {
		if name == modulePath || strings.HasPrefix(name, modulePath+"/") {
			own = append(own, name)
		}
	}
	slices.Sort(own)
	return own
}

// wayTo returns the shortest chain of imports from start to a package that one of the patterns names, or nil.
func (g graph) wayTo(start string, patterns []string) []string {
	cameFrom := map[string]string{start: ""}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != start && matchesAny(patterns, at) {
			way := []string{at}
			for from := cameFrom[at]; from != ""; from = cameFrom[from] {
				way = append(way, from)
			}
			slices.Reverse(way)
			return way
		}
		for _, next := range g[at].Imports {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// directTo returns the step from name to the first of its imports that one of the patterns names, or nil.
func directTo(name string, imports, patterns []string) []string {
	for _, path := range imports {
		if matchesAny(patterns, path) {
			return []string{name, path}
		}
	}
	return nil
}

// matchesAny reports whether one of the patterns, in the form of arrow's fields, names the package.
func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if rest, ok := strings.CutPrefix(pattern, "."); ok {
			pattern = modulePath + rest
		}
		if root, ok := strings.CutSuffix(pattern, "/..."); ok {
			return path == root || strings.HasPrefix(path, root+"/")
		}
		return path == pattern
	})
}

// TestImportRulesFail holds the checker itself: on made-up graphs, each of which breaks one rule or none.
func TestImportRulesFail(t *testing.T) {
	const caddy = "github.com/caddyserver/caddy/v2"
	// module makes a graph out of lines "package: import import", with "./" for this module's packages.
	module := func(lines ...string) graph {
		expand := func(name string) string {
			if rest, ok := strings.CutPrefix(name, "."); ok {
				return modulePath + rest
			}
			return name
		}
		g := graph{}
		for _, line := range lines {
			name, imports, _ := strings.Cut(line, ":")
			name, inTest := strings.CutSuffix(name, " test")
			p := g[expand(name)]
			p.ImportPath = expand(name)
			for _, path := range strings.Fields(imports) {
				if inTest {
					p.XTestImports = append(p.XTestImports, expand(path))
				} else {
					p.Imports = append(p.Imports, expand(path))
				}
			}
			g[p.ImportPath] = p
		}
		return g
	}
	tests := []struct {
		name string
		in   graph
		want string // part of the one problem; empty for none
	}{
		{"as designed", module(".: ./caddymodule", "./caddymodule: "+caddy+" ./waf ./durable ./agentruntime", "./waf: github.com/corazawaf/coraza/v3",
			"./integration test: ./caddymodule", "./durable/badgerstore: ./durable github.com/dgraph-io/badger/v4", "github.com/dgraph-io/badger/v4: net/http"), ""},
		{"part imports the wiring", module("./waf: ./caddymodule"), "./waf -> ./caddymodule"},
		{"part reaches Caddy through a library", module("./record: example.org/logging", "example.org/logging: "+caddy), "./record -> example.org/logging -> " + caddy},
		{"test of a part imports Caddy", module("./egress test: " + caddy), "./egress (test) -> " + caddy},
		{"sibling", module("./bot: ./waf"), "./bot -> ./waf"},
		{"sibling through internal", module("./bot: ./internal/netaddr", "./internal/netaddr: ./egress"), "./bot -> ./internal/netaddr -> ./egress"},
		{"runtime reaches an engine", module("./agentruntime: ./durable/badgerstore"), "./agentruntime -> ./durable/badgerstore"},
		{"runtime has the actor's half of durable", module("./agentruntime: ./durable"), ""},
		{"runtime dials", module("./agentruntime: net"), "./agentruntime -> net"},
		{"cells are started", module("./agentruntime/cell: os/exec"), ""},
		{"a cell starts a program", module("./agentruntime/cell/worker: os/exec"), "./agentruntime/cell/worker -> os/exec"},
		{"runtime may name HTTP's types", module("./agentruntime: net/http"), ""},
		{"actors know JavaScript", module("./durable: example.org/js", "example.org/js: github.com/dop251/goja/parser"), "./durable -> example.org/js -> github.com/dop251/goja/parser"},
		{"actors know HTTP", module("./durable: net/http"), "./durable -> net/http"},
		{"engine serves HTTP", module("./durable/badgerstore: net/http"), "./durable/badgerstore -> net/http"},
		{"second owner of a library", module("./kv: github.com/dgraph-io/badger/v4"), "./kv -> github.com/dgraph-io/badger/v4"},
		{"name that only begins alike", module("./waffle: ./bottle", "./bot: ./botany"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := check(test.in, arrows)
			got := strings.ReplaceAll(strings.Join(problems, "\n"), modulePath, ".")
			if test.want == "" {
				if got != "" {
					t.Fatalf("a graph that keeps the rules is refused:\n%s", got)
				}
				return
			}
			if !strings.Contains(got, "way: "+test.want) {
				t.Fatalf("got %q, want the way %q in it", got, test.want)
			}
			for _, problem := range problems {
				if strings.Contains(problem, ": \n") {
					t.Errorf("a rule gives no reason: %s", problem)
				}
			}
		})
	}
}

// TestImportRulesAreAlive refuses rules that guard nothing: each must be about a package that is there or planned.
func TestImportRulesAreAlive(t *testing.T) {
	packages, err := listPackages("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range arrows {
		if rule.why == "" {
			t.Errorf("the rule from %v to %v gives no reason", rule.from, rule.to)
		}
		for _, pattern := range rule.from {
			if !slices.Contains(planned, pattern) && !slices.ContainsFunc(packages.own(), func(name string) bool { return matchesAny([]string{pattern}, name) }) {
				t.Errorf("no package answers to %s, which a rule is about", pattern)
			}
		}
	}
}

// TestDependenciesHaveTheirReason wants a row in docs/rationale.md for each module that go.mod requires directly, and
// no row for one that it does not.
func TestDependenciesHaveTheirReason(t *testing.T) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	direct := strings.Fields(string(out))
	page, err := os.ReadFile(filepath.Join("..", "docs", "rationale.md"))
	if err != nil {
		t.Fatal(err)
	}
	var reasoned []string
	for line := range strings.Lines(string(page)) {
		// Module paths are those in a row's first cell with a dot before their first slash.
		cells := strings.Split(line, "|")
		if len(cells) < 6 {
			continue
		}
		path := strings.Trim(cells[1], " `")
		if host, _, ok := strings.Cut(path, "/"); ok && strings.Contains(host, ".") {
			reasoned = append(reasoned, path)
		}
	}
	if len(direct) == 0 || len(reasoned) == 0 {
		t.Fatalf("%d direct dependencies, %d rows: one of them cannot be read", len(direct), len(reasoned))
	}
	for _, path := range direct {
		if !slices.Contains(reasoned, path) {
			t.Errorf("docs/rationale.md says nothing of %s", path)
		}
	}
	for _, path := range reasoned {
		if !slices.Contains(direct, path) {
			t.Errorf("docs/rationale.md has a row for %s, which go.mod does not require directly", path)
		}
	}
}
