package integration

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// directivePages says which page tells of which parser.
var directivePages = map[string]string{
	"throttle_caddyfile.go": "throttle", "botscore_caddyfile.go": "bot_score", "identity.go": "identity", "identity_agent.go": "identity", "identity_mtls.go": "identity", "access.go": "access", "waf.go": "waf", "handler.go": "agent",
	"agent_config.go": "agent", "assets.go": "agent", "egress_config.go": "egress", "oauth.go": "oauth", "egress_proxy.go": "egress_proxy", "key_directory.go": "key_directory", "app_caddyfile.go": "gatehouse",
	"records.go": "records", "audit.go": "records", "telemetry.go": "records", "chain.go": "records", "unusual.go": "records", "dashboard.go": "agent_dashboard",
}

func directivePage(name string) string { return "../docs/directives/" + name + ".md" }

var (
	unknownOption = regexp.MustCompile(`unknownOption\(d, "(\w+)", (?:"([^"]*)"|(\w+))\)`)
	refusedCase   = regexp.MustCompile(`case ((?:"\w+"(?:, )?)+):\n\s*return [^\n]*refuseOption`)
	quoted        = regexp.MustCompile(`"(\w+)"`)
	ticked        = regexp.MustCompile("`([^`]+)`")
	between       = regexp.MustCompile(`, | and `)
)

// TestOptionsAreDocumented holds the tables of the directives' pages to the parsers: each option that a parser knows
// has a row, each row is an option that a parser knows, and each option that is refused by name is named as such.
func TestOptionsAreDocumented(t *testing.T) {
	known, documented := map[string][]string{}, map[string][]string{}
	for file, page := range directivePages {
		source, text := read(t, "../caddymodule/"+file), read(t, directivePage(page))
		for _, m := range unknownOption.FindAllStringSubmatch(source, -1) {
			list := m[2]
			if m[3] != "" {
				list = constant(t, source, m[3])
			}
			known[page+" "+m[1]] = slices.Sorted(slices.Values(between.Split(list, -1)))
		}
		var refused []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "Refused by name in this version:") {
				for _, m := range ticked.FindAllStringSubmatch(line, -1) {
					refused = append(refused, strings.Fields(m[1])...)
				}
			}
		}
		for _, m := range refusedCase.FindAllStringSubmatch(source, -1) {
			for _, name := range quoted.FindAllStringSubmatch(m[1], -1) {
				if !slices.Contains(refused, name[1]) {
					t.Errorf("%s refuses %s; %s does not say so", file, name[1], directivePage(page))
				}
			}
		}
	}
	for _, page := range slices.Compact(slices.Sorted(maps.Values(directivePages))) {
		for section, rows := range tablesOf(read(t, directivePage(page)), "option") {
			// A section that is named after a part of the directive tells of that part, any other of the whole.
			key := page + " " + page
			if known[page+" "+section] != nil {
				key = page + " " + section
			}
			for _, row := range rows {
				documented[key] = append(documented[key], strings.Fields(ticked.FindStringSubmatch(row[0])[1])[0])
			}
		}
	}
	if len(known) < 9 {
		t.Fatalf("found only the options of %v", known)
	}
	for key, options := range known {
		rows := documented[key]
		slices.Sort(rows)
		if !slices.Equal(options, rows) {
			t.Errorf("%s: the parser knows %v, the table has %v", key, options, rows)
		}
	}
	for key := range documented {
		if known[key] == nil {
			t.Errorf("%s: there is a table of options and no parser", key)
		}
	}
}

func constant(t *testing.T, source, name string) string {
	t.Helper()
	m := regexp.MustCompile(`const ` + name + ` = "([^"]*)"`).FindStringSubmatch(source)
	if m == nil {
		t.Fatalf("there is no constant %s", name)
	}
	return m[1]
}

// syntaxComment finds the syntax in the doc comment of a parser.
var syntaxComment = regexp.MustCompile(`(?m)((?:^//.*\n)+)func (?:\(\w+ \*?\w+\) )?parse\w+\(`)

// TestSyntaxIsDocumented holds the syntax blocks of the pages to those of the parsers' comments, line by line.
func TestSyntaxIsDocumented(t *testing.T) {
	found := 0
	for file, page := range directivePages {
		var have []string
		for _, b := range blocksOf(t, directivePage(page)) {
			for _, line := range b.lines {
				have = append(have, strings.ReplaceAll(strings.TrimSpace(line), " [<matcher>]", ""))
			}
		}
		for _, m := range syntaxComment.FindAllStringSubmatch(read(t, "../caddymodule/"+file), -1) {
			for line := range strings.Lines(m[1]) {
				text, ok := strings.CutPrefix(line, "//\t")
				text = strings.TrimSpace(text)
				if !ok || text == "{" {
					continue
				}
				found++
				if !slices.Contains(have, text) {
					t.Errorf("%s has the line %q in its syntax; %s does not", file, text, directivePage(page))
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d lines of syntax", found)
	}
}

// TestPlaceholdersAreDocumented holds docs/placeholders.md to what visits answer.
func TestPlaceholdersAreDocumented(t *testing.T) {
	source := read(t, "../caddymodule/visit.go")
	_, source, _ = strings.Cut(source, ") placeholder(")
	source, _, _ = strings.Cut(source, "\n}\n")
	var known, documented []string
	for _, m := range regexp.MustCompile(`case (".*"):`).FindAllStringSubmatch(source, -1) {
		for _, name := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(m[1], -1) {
			known = append(known, "{http.gatehouse."+name[1]+"}")
		}
	}
	for _, m := range regexp.MustCompile(`CutPrefix\(name, "([^"]+)"\)`).FindAllStringSubmatch(source, -1) {
		known = append(known, "{http.gatehouse."+m[1]+"NAME}")
	}
	for _, rows := range tablesOf(read(t, "../docs/placeholders.md"), "placeholder") {
		for _, row := range rows {
			documented = append(documented, strings.Trim(row[0], "`"))
		}
	}
	slices.Sort(known)
	slices.Sort(documented)
	if len(known) < 10 || !slices.Equal(known, documented) {
		t.Errorf("there are %v, and docs/placeholders.md has %v", known, documented)
	}
	for _, page := range pages(t) {
		for _, name := range regexp.MustCompile(`\{http\.gatehouse\.[^}]*\}`).FindAllString(read(t, page), -1) {
			open := regexp.MustCompile(`\.[^.]*\}$`).ReplaceAllString(name, ".NAME}")
			if !slices.Contains(known, name) && !slices.Contains(known, open) {
				t.Errorf("%s names %s, which is no placeholder", page, name)
			}
		}
	}
}

// TestCommandsAreDocumented holds docs/commands.md to what the binary's help says.
func TestCommandsAreDocumented(t *testing.T) {
	text := read(t, "../docs/commands.md")
	w := newWorkshop(t)
	flag := regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[\w-]+)`)
	subcommand := regexp.MustCompile(`(?m)^  ([\w-]+) {2,}\S`)
	for _, m := range subcommand.FindAllStringSubmatch(w.caddy("", "gatehouse", "--help"), -1) {
		name := "caddy gatehouse " + m[1]
		_, section, ok := strings.Cut(text, "## "+name+"\n")
		if !ok {
			t.Errorf("docs/commands.md does not tell of %s", name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		help := w.caddy("", "gatehouse", m[1], "--help")
		for _, sub := range subcommand.FindAllStringSubmatch(help, -1) {
			if !strings.Contains(section, name+" "+sub[1]) {
				t.Errorf("docs/commands.md does not tell of %s %s", name, sub[1])
			}
			help += w.caddy("", "gatehouse", m[1], sub[1], "--help")
		}
		var has, told []string
		for _, f := range flag.FindAllStringSubmatch(help, -1) {
			if f[1] != "--help" {
				has = append(has, f[1])
			}
		}
		for _, rows := range tablesOf(section, "flag") {
			for _, row := range rows {
				told = append(told, strings.Trim(row[0], "`"))
			}
		}
		slices.Sort(has)
		slices.Sort(told)
		if has = slices.Compact(has); len(has) == 0 || !slices.Equal(has, told) {
			t.Errorf("%s has the flags %v, and docs/commands.md tells of %v", name, has, told)
		}
	}
}

// TestRuntimeIsDocumented asks a running agent for every name in the tables of docs/runtime.md.
func TestRuntimeIsDocumented(t *testing.T) {
	text := read(t, "../docs/runtime.md")
	type question struct {
		Name  string `json:"name"`  // an expression
		Of    string `json:"of"`    // what it is a member of, if it is one
		There bool   `json:"there"` // what the page says
	}
	var questions []question
	for _, rows := range tablesOf(text, "there") {
		for _, row := range rows {
			of := ticked.FindStringSubmatch(row[0])[1]
			questions = append(questions, question{Name: of, There: true})
			for _, m := range ticked.FindAllStringSubmatch(row[1], -1) {
				questions = append(questions, question{Name: m[1], Of: of, There: true})
			}
		}
	}
	for _, rows := range tablesOf(text, "absent") {
		for _, row := range rows {
			for _, m := range ticked.FindAllStringSubmatch(row[0], -1) {
				questions = append(questions, question{Name: m[1]})
			}
		}
	}
	if len(questions) < 300 {
		t.Fatalf("docs/runtime.md names only %d things", len(questions))
	}
	asked, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent asked {\n main ./agent.ts\n durable ACTORS Asked\n workflow WORKFLOW Flow\n kv KV kv\n service AGENT other\n ratelimit LIMITER 10/m\n assets . ASSETS\n analytics POINTS points\n limits {\n cpu 10s\n }\n }\n agent other {\n main ./agent.ts\n durable ACTORS Asked\n }", "agent asked"),
		// What the language lacks is supplied where the bundle names it.
		"agent.ts": "export const names = " + string(asked) + `, common = [".try", ".escape"];
import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";

export class Flow extends WorkflowEntrypoint {}

function there(q: { name: string; of: string }, env: unknown, actor: unknown): boolean {
	const value = (text: string) => text.startsWith("node:")
		? process.getBuiltinModule(text)
		: new Function("env", "actor", "return " + text)(env, actor);
	try {
		if (q.of === "") {
			return q.name.startsWith("node:") ? value(q.name) !== undefined : value("typeof (" + q.name + ")") !== "undefined";
		}
		const of = value(q.of);
		return q.name in of || (typeof of === "function" && q.name in of.prototype) || of[q.name] !== undefined;
	} catch {
		return false;
	}
}

export class Asked extends DurableObject {
	answer(questions: { name: string; of: string }[]): boolean[] {
		return questions.map((q) => there(q, this.env, { ctx: this.ctx }));
	}
}

export default {
	async fetch(request: Request, env: any): Promise<Response> {
		const questions = await request.json<{ name: string; of: string }[]>();
		const inActor = await env.ACTORS.getByName("a").answer(questions);
		return Response.json(questions.map((q, i) => (q.of + q.name).includes("actor.") ? inActor[i] : there(q, env, undefined)));
	},
};
`,
	})
	_, body := s.do("POST", "/", string(asked), "Content-Type", "application/json")
	var answers []bool
	if err := json.Unmarshal([]byte(body), &answers); err != nil || len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions: %v: %s", len(answers), len(questions), err, body)
	}
	for i, q := range questions {
		if answers[i] != q.There {
			t.Errorf("docs/runtime.md says that %s %s is there: %v; it is: %v", q.Of, q.Name, q.There, answers[i])
		}
	}
}

// TestLinks follows the links between the repository's pages.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor == "" || info.IsDir() {
				continue
			}
			if !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s links to %s, and there is no such section", page, m[1])
			}
		}
	}
}

// TestGrafanaKnowsTheMetrics holds the dashboard for Grafana to the metrics that there are: it names all of them, and no others.
func TestGrafanaKnowsTheMetrics(t *testing.T) {
	var known, named []string
	for _, m := range regexp.MustCompile(`(?:opts\(|Name: )"(\w+)"`).FindAllStringSubmatch(read(t, "../caddymodule/metrics.go"), -1) {
		known = append(known, "caddy_gatehouse_"+m[1])
	}
	text := read(t, "../docs/grafana.json")
	if !json.Valid([]byte(text)) {
		t.Fatal("docs/grafana.json is no JSON")
	}
	for _, name := range regexp.MustCompile(`caddy_gatehouse_\w+`).FindAllString(text, -1) {
		named = append(named, strings.TrimSuffix(name, "_bucket"))
	}
	slices.Sort(known)
	slices.Sort(named)
	if named = slices.Compact(named); len(known) < 10 || !slices.Equal(known, named) {
		t.Errorf("the metrics are %v, Grafana's dashboard names %v", known, named)
	}
}
