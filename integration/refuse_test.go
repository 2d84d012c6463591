package integration

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// fine is an agent with nothing wrong in it.
const fine = "export default { fetch(): Response { return new Response(\"fine\"); } };\n"

// refusal is a configuration that must be refused when it is provisioned, with the message in testdata/refuse.
type refusal struct {
	global, site string
	files        map[string]string
	names        []string // what the message must name: the input at fault, and the way out
}

var refusals = map[string]refusal{
	"missing-main": {
		"agent a {\n\tmain ./nowhere.ts\n}", "agent a", nil, []string{"agent a", "nowhere.ts"},
	},
	"no-main": {
		"agent a {\n\tegress none\n}", "agent a", nil, []string{"agent a", "none"},
	},
	"neither-main-nor-wrangler": {
		"agent a", "agent a", nil, []string{"agent a", "main FILE"},
	},
	"missing-main-in-site": {
		"", "agent ./nowhere.ts", nil, []string{"nowhere.ts"},
	},
	"unknown-agent": {
		"agent one {\n\tmain ./fine.ts\n}", "agent two", nil, []string{"agent two", "there are: one"},
	},
	"unknown-egress": {
		"egress search {\n}\nagent a {\n\tmain ./fine.ts\n\tegress serach\n}", "agent a", nil, []string{"egress serach", "there are: search"},
	},
	"unknown-tail": {
		"agent a {\n\tmain ./fine.ts\n\ttail watcher\n}", "agent a", nil, []string{"tail watcher", "global gatehouse block", "there are: a"},
	},
	"tail-without-handler": {
		"agent a {\n\tmain ./fine.ts\n\ttail b\n}\nagent b {\n\tmain ./fine.ts\n}", "agent a", nil, []string{"tail b", "tail"},
	},
	"cron-without-handler": {
		"agent a {\n\tmain ./fine.ts\n\tcron \"* * * * *\"\n}", "agent a", nil, []string{"agent a", "scheduled"},
	},
	"site-agent-without-fetch": {
		"agent a {\n\tmain ./tail.ts\n}", "agent a", map[string]string{"tail.ts": "export default { tail() {} };\n"}, []string{"agent a", "fetch"},
	},
	"class-not-exported": {
		"agent a {\n\tmain ./classes.ts\n\tdurable COUNTER Conter\n}", "agent a",
		map[string]string{"classes.ts": "import { DurableObject } from \"cloudflare:workers\";\nexport class Counter extends DurableObject {}\nexport default { fetch() {} };\n"},
		[]string{"COUNTER", "Conter", "Counter"},
	},
	"class-of-another-agent-not-exported": {
		"agent a {\n\tmain ./fine.ts\n\tdurable COUNTER Counter b\n}\nagent b {\n\tmain ./fine.ts\n}", "agent a", nil, []string{"COUNTER", "Counter", "b"},
	},
	"unknown-agent-of-durable": {
		"agent a {\n\tmain ./fine.ts\n\tdurable COUNTER Counter b\n}", "agent a", nil, []string{"COUNTER", "no agent b"},
	},
	"syntax-error": {
		"agent a {\n\tmain ./broken.ts\n}", "agent a",
		map[string]string{"broken.ts": "export default {\n\tfetch() {\n\t\tconst answer = = 42;\n\t},\n};\n"}, []string{"broken.ts:3:"},
	},
	"error-at-top-level": {
		"agent a {\n\tmain ./throws.ts\n}", "agent a",
		map[string]string{"throws.ts": "type Nothing = null;\nconst nothing: Nothing = null;\nnothing.anything;\nexport default { fetch() {} };\n"}, []string{"throws.ts:3:"},
	},
	"endless-at-top-level": {
		"agent a {\n\tmain ./spins.ts\n}", "agent a",
		map[string]string{"spins.ts": "for (;;) {}\nexport default { fetch() {} };\n"}, []string{"agent a", "top level"},
	},
	"missing-package": {
		"agent a {\n\tmain ./imports.ts\n}", "agent a",
		map[string]string{"imports.ts": "import { Hono } from \"hono\";\nexport default new Hono();\n"}, []string{"imports.ts:1:", "hono", "npm install"},
	},
	"missing-module": {
		"agent a {\n\tmain ./imports.ts\n}", "agent a",
		map[string]string{"imports.ts": "import { tool } from \"./tool\";\nexport default { fetch: tool };\n"}, []string{"imports.ts:1:", "./tool"},
	},
	"node-module": {
		"agent a {\n\tmain ./imports.ts\n}", "agent a",
		map[string]string{"imports.ts": "import { open } from \"node:files\";\nexport default { fetch() { return new Response(open(\"/etc/passwd\")); } };\n"},
		[]string{"imports.ts:1:", "node:files"},
	},
	"no-handler": {
		"agent a {\n\tmain ./empty.ts\n}", "agent a", map[string]string{"empty.ts": "export const answer = 42;\n"}, []string{"agent a", "export default"},
	},
	"later-handler": {
		"agent a {\n\tmain ./queue.ts\n}", "agent a", map[string]string{"queue.ts": "export default { fetch() {}, queue() {} };\n"}, []string{"queue"},
	},
	"wrangler-missing": {
		"agent a {\n\twrangler ./wrangler.jsonc\n}", "agent a", nil, []string{"wrangler.jsonc"},
	},
	"wrangler-workflows": {
		"agent a {\n\twrangler ./wrangler.jsonc\n}", "agent a",
		map[string]string{"wrangler.jsonc": "{\n\t\"main\": \"fine.ts\",\n\t\"workflows\": [{ \"binding\": \"B\" }]\n}\n"}, []string{"wrangler.jsonc:3", "workflows[0] has no", "class_name"},
	},
	"workflow-class": {
		"agent a {\n\tmain ./fine.ts\n\tworkflow B Report\n}", "agent a", nil, []string{"Caddyfile:", "workflow binding B", "Report", "extends WorkflowEntrypoint", "such are none"},
	},
	"workflow-agent": {
		"agent a {\n\tmain ./fine.ts\n\tworkflow B Report b\n}\nagent b {\n\tmain ./fine.ts\n}", "agent a", nil, []string{"Caddyfile:", "workflow B", "agent b has no workflow Report"},
	},
	"workflow-durable": {
		"agent a {\n\tmain ./flow.ts\n\tdurable B Report\n}", "agent a",
		map[string]string{"flow.ts": "import { WorkflowEntrypoint } from \"cloudflare:workers\";\nexport class Report extends WorkflowEntrypoint {}\nexport default { fetch() {} };\n"},
		[]string{"Caddyfile:", "durable binding B", "bind it as a workflow"},
	},
	"wrangler-service-unknown": {
		"agent a {\n\twrangler ./wrangler.jsonc\n}", "agent a",
		map[string]string{"wrangler.jsonc": "{\n\t\"main\": \"fine.ts\",\n\t\"services\": [{ \"binding\": \"B\", \"service\": \"b\" }]\n}\n"}, []string{"service B", "no such agent as b", "there are: a"},
	},
	"wrangler-environment": {
		"agent a {\n\twrangler ./wrangler.jsonc staging\n}", "agent a",
		map[string]string{"wrangler.jsonc": `{"main": "fine.ts", "env": {"production": {}}}`}, []string{"staging", "There are: production"},
	},
	"unknown-entrypoint": {
		"agent a {\n\tmain ./fine.ts\n\tservice B b Admin\n}\nagent b {\n\tmain ./fine.ts\n}", "agent a", nil, []string{"service B", "no entrypoint Admin", "there are: default"},
	},
	"unknown-caller": {
		"agent a {\n\tmain ./fine.ts\n\tcallers nobody\n}", "agent a", nil, []string{"callers nobody", "there are: a"},
	},
	"not-among-the-callers": {
		"agent a {\n\tmain ./fine.ts\n\tservice B b\n}\nagent b {\n\tmain ./fine.ts\n\tcallers c\n}\nagent c {\n\tmain ./fine.ts\n}", "agent a", nil, []string{"service B", "callers c a"},
	},
	"missing-assets": {
		"agent a {\n\tmain ./fine.ts\n\tassets ./public\n}", "agent a", nil, []string{"assets", "public"},
	},
	"assets-with-redirects": {
		"agent a {\n\tmain ./fine.ts\n\tassets ./public\n}", "agent a", map[string]string{"public/_redirects": "/a /b\n"}, []string{"assets", "_redirects"},
	},
	"wrangler-typo": {
		"agent a {\n\twrangler ./wrangler.toml\n}", "agent a",
		map[string]string{"wrangler.toml": "main = \"fine.ts\"\ncompatability_date = \"2026-01-01\"\n"}, []string{"wrangler.toml", "compatability_date", "compatibility_date"},
	},
	"wrangler-broken": {
		"agent a {\n\twrangler ./wrangler.json\n}", "agent a", map[string]string{"wrangler.json": "{\n\t\"main\": \"fine.ts\",\n\t\"vars\": {\n"}, []string{"wrangler.json:"},
	},
	"bound-twice": {
		"agent a {\n\twrangler ./wrangler.json\n\tkv NOTES notes\n}", "agent a",
		map[string]string{"wrangler.json": `{"main": "fine.ts", "vars": {"NOTES": "x"}}`}, []string{"NOTES", "bound twice"},
	},
	"bad-cron": {
		"agent a {\n\tmain ./fine.ts\n\tcron \"61 * * * *\"\n}", "agent a", nil, []string{"61 * * * *", "for example"},
	},
	"cron-of-six-fields": {
		"agent a {\n\tmain ./fine.ts\n\tcron \"0 0 * * * *\"\n}", "agent a", nil, []string{"0 0 * * * *", "five"},
	},
	"bad-rule": {
		"", "waf {\n\tcrs\n\trules ./site.conf\n}\nrespond ok",
		map[string]string{"site.conf": "# Rules of this site.\nSecRule ARGS \"@rx a\" \"id:1,phase:2,deny\"\nSecRule ARGS \"@nothing a\" \"id:2,phase:2,deny\"\n"}, []string{"site.conf", "3", "nothing"},
	},
	"missing-rules": {
		"", "waf {\n\trules ./absent.conf\n}\nrespond ok", nil, []string{"absent.conf"},
	},
	"missing-secret": {
		"agent a {\n\tmain ./fine.ts\n\tsecret KEY openai\n}", "agent a", nil, []string{"KEY", "openai", "caddy gatehouse secret put openai"},
	},
	"keyring-variable-not-set": {
		"keyring env GATEHOUSE_TEST_KEYRING_THAT_IS_NOT_SET\nagent a {\n\tmain ./fine.ts\n\tsecret KEY openai\n}", "agent a", nil, []string{"GATEHOUSE_TEST_KEYRING_THAT_IS_NOT_SET", "keyring file ./keyring.json"},
	},
	"bad-egress-host": {
		"egress e {\n\tallow https://api.example.com/v1\n}", "respond ok", nil, []string{"egress e", "https://api.example.com/v1", "without a scheme"},
	},
	"egress-star-in-the-middle": {
		"egress e {\n\tallow api.*.example.com\n}", "respond ok", nil, []string{`policy "e"`, "api.*.example.com"},
	},
	"bad-deny": {
		"egress e {\n\tdeny \"evil example\"\n}", "respond ok", nil, []string{`policy "e"`, "evil example"},
	},
	"same-agent-twice": {
		"", "handle /a {\n\tagent ./fine.ts {\n\t\tvar A 1\n\t}\n}\nhandle /b {\n\tagent ./fine.ts {\n\t\tvar A 2\n\t}\n}", nil, []string{"agent fine"},
	},
	"missing-variable": {
		"agent a {\n\tmain ./fine.ts\n\tvar NAME {nothing.like.this}\n}", "agent a", nil, []string{"NAME", "nothing.like.this"},
	},
}

// TestRefusals wants each of the faults to be found by caddy validate, with a message that names the input at fault, the
// line of the Caddyfile and the way out. The whole messages are in testdata/refuse, to be read when they change.
func TestRefusals(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`\bCaddyfile:\d+`)
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"fine.ts": fine, "Caddyfile": site(c.global, c.site)}
			for file, content := range c.files {
				files[file] = content
			}
			s := newServer(t, files)
			out, errs, err := s.command("", "validate", "--config", "Caddyfile", "--adapter", "caddyfile")
			if err == nil {
				t.Fatalf("accepted: %s%s", out, errs)
			}
			message := strings.ReplaceAll(lastError(t, errs), s.dir, "{dir}")
			at := place.FindStringIndex(message)
			if at == nil {
				t.Fatalf("the message names no line of the Caddyfile: %s", message)
			}
			message = message[at[0]:] // what Caddy says before it depends on the order in which it happens to load its apps
			mustContain(t, "the message", message, c.names...)
			golden(t, filepath.Join("testdata", "refuse", name+".golden"), message+"\n")
			if _, err := os.Stat(filepath.Join(s.dir, "data", "store")); err == nil {
				t.Error("validation has opened the store")
			}
		})
	}
	stored, err := filepath.Glob(filepath.Join("testdata", "refuse", "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stored {
		if _, ok := refusals[strings.TrimSuffix(filepath.Base(file), ".golden")]; !ok {
			t.Errorf("%s belongs to no case", file)
		}
	}
}

// lastError is the message of the last error in a log of JSON lines.
func lastError(t *testing.T, log string) string {
	t.Helper()
	message := ""
	for line := range strings.Lines(log) {
		var event struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &event) == nil && event.Level == "error" {
			message = event.Msg
		}
	}
	if message == "" {
		t.Fatalf("no error is logged: %s", log)
	}
	return message
}

// golden compares got with a file, or writes the file under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	wanted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(wanted) {
		t.Errorf("got:\n%s\nwant:\n%s", got, wanted)
	}
}
