package caddymodule

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseEnvFile(t *testing.T) {
	got, err := parseEnvFile("# a comment\nPLAIN=value\n export SPACED = two words  # why\nDOUBLE=\"a \\\"b\\\" \\n c\" # after\nSINGLE='as $IT \\n is'\nEMPTY=\nHASH=a#b\r\nURL=https://x/?a=b\n")
	want := map[string]string{
		"PLAIN": "value", "SPACED": "two words", "DOUBLE": "a \"b\" \n c", "SINGLE": `as $IT \n is`, "EMPTY": "", "HASH": "a#b", "URL": "https://x/?a=b",
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for text, want := range map[string]string{
		"A=1\nnothing": "2: a line is NAME=value", "=x": "1: a line is NAME=value", `A="open`: "1: the value of A has no closing quote", `A='b' c`: "1: the value of A has no closing quote",
	} {
		if _, err := parseEnvFile(text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseEnvFile(f *testing.F) {
	for _, seed := range []string{"A=b", `A="\"`, "A='", "export A=b # c", "\"\n'"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseEnvFile(text) })
}

func TestCapitals(t *testing.T) {
	for class, want := range map[string]string{
		"Counter": "COUNTER", "AgentCoordinator": "AGENT_COORDINATOR", "HTTPServer": "HTTP_SERVER", "Room2Door": "ROOM2_DOOR", "lower": "LOWER",
	} {
		if got := capitals(class); got != want {
			t.Errorf("%s: %s, want %s", class, got, want)
		}
	}
}

func TestTypeOfJSON(t *testing.T) {
	for text, want := range map[string]string{
		`"a"`: "string", "1": "number", "true": "boolean", "null": "null", "[]": "unknown[]", `[1,"a",2]`: "(number | string)[]",
		`{"b-c":1,"a":{"x":[true]}}`: `{ a: { x: (boolean)[] }; "b-c": number }`,
	} {
		if got := typeOfJSON(json.RawMessage(text)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// write makes files and returns their folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const classes = `import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
export class Room extends DurableObject {}
export class MonthlyReport extends WorkflowEntrypoint {}
export class Plain {}
export function helper() {}
export default { fetch() { return new Response("") } };
`

func TestPlan(t *testing.T) {
	dir := write(t, map[string]string{
		"room/agent.ts": classes, "room/.dev.vars": "GREETING={hi}\n",
		"bound/src/index.ts": classes, "bound/wrangler.toml": "main = \"src/index.ts\"\n[vars]\nA = 1\n[[durable_objects.bindings]]\nname = \"ROOMS\"\nclass_name = \"Room\"\n",
		"beside/worker.ts": classes, "beside/wrangler.jsonc": `{"main": "worker.ts", "kv_namespaces": [{"binding": "KV", "id": "kv"}]}`,
		"broken/agent.ts": "export default {\n\tfetch( { }\n};\n",
	})
	for _, c := range []struct{ path, name, env string }{
		{"room", "room", "GREETING MONTHLY_REPORT ORIGIN ROOM"},
		{"bound", "bound", "A MONTHLY_REPORT ORIGIN ROOMS"},
		{"beside/worker.ts", "beside", "KV MONTHLY_REPORT ORIGIN ROOM"},
	} {
		file, err := findCode(filepath.Join(dir, filepath.FromSlash(c.path)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&workspace{file: file}).plan()
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		var names []string
		for _, l := range envLines(p.name, p.full) {
			names = append(names, l.name)
		}
		if got := strings.Join(names, " "); p.name != c.name || got != c.env {
			t.Errorf("%s: %s with %s, want %s with %s", c.path, p.name, got, c.name, c.env)
		}
		if got := string(p.full.vars["GREETING"]); c.path == "room" && got != `"{hi}"` {
			t.Errorf("a value of .dev.vars: %s", got)
		}
	}
	p, err := (&workspace{file: filepath.Join(dir, "broken", "agent.ts")}).plan()
	if err == nil || !strings.Contains(err.Error(), "agent.ts:") || len(p.inputs) == 0 {
		t.Errorf("broken code: %v, watching %q", err, p.inputs)
	}
	if _, err := findCode(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there")
	}
	if _, err := findCode(dir); err == nil || !strings.Contains(err.Error(), "there is no agent in") {
		t.Errorf("a folder without an agent: %v", err)
	}
}

func TestDeclarations(t *testing.T) {
	full := &resolvedAgent{
		AgentConfig: AgentConfig{
			Main:       "/srv/agents/coordinator/agent.ts",
			Durable:    []DurableBinding{{"ROOMS", "Room", ""}, {"OTHER", "Thing", "summariser"}, {"UNKNOWN", "Thing", "elsewhere"}},
			Workflows:  []WorkflowBinding{{Binding: "REPORT", Class: "Report"}, {Binding: "FAR", Class: "Far", Agent: "elsewhere"}},
			Services:   []ServiceBinding{{Binding: "NEXT", Agent: "summariser"}, {Binding: "NAMED", Agent: "summariser", Entrypoint: "Named"}},
			KV:         map[string]string{"KV": "kv"},
			Secrets:    map[string]string{"KEY": "open*/ai"},
			Analytics:  map[string]string{"POINTS": "points"},
			RateLimits: []RateLimitBinding{{Binding: "LIMITER", Rate: "10/m"}},
			Assets:     &AssetsConfig{Dir: "public", Binding: "ASSETS"},
		},
		vars: map[string]json.RawMessage{"MODEL": json.RawMessage(`"small"`), "odd-name": json.RawMessage("1")},
	}
	got, err := declarations("coordinator", full, map[string]string{"summariser": "/srv/agents/summariser.ts"}, "/srv/agents/coordinator/types")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`ROOMS: DurableObjectNamespace<import("../agent").Room>;`, `OTHER: DurableObjectNamespace<import("../../summariser").Thing>;`, "UNKNOWN: DurableObjectNamespace;",
		`REPORT: Workflow<Parameters<import("../agent").Report["run"]>[0]["payload"]>;`, "/** workflow Far of agent elsewhere */\n\t\tFAR: Workflow;",
		`NEXT: Service<typeof import("../../summariser").default>;`, `NAMED: Service<typeof import("../../summariser").Named>;`, "KV: KVNamespace;",
		"/** secret open* /ai */\n\t\tKEY: string;", "POINTS: AnalyticsEngineDataset;", "LIMITER: RateLimit;", "ASSETS: Fetcher;", "ORIGIN: Fetcher;", "MODEL: string;", `"odd-name": number;`,
		"interface Env extends Cloudflare.Env {}",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in:\n%s", want, got)
		}
	}
}
