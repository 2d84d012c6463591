package agentruntime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

func TestReadWrangler(t *testing.T) {
	files := map[string]string{
		"wrangler.toml": `name = "coordinator"
main = "src/agent.ts"
compatibility_date = "2026-01-01"
compatibility_flags = ["nodejs_compat"]
workers_dev = true

[vars]
MODEL = "small"
LIMIT = 10
NESTED = { a = [1, 2.5, true], b.c = "x" }

[observability]
enabled = true

[[workflows]]
binding = "REPORT"
name = "report"
class_name = "Report"

[[workflows]]
binding = "FAR"
name = "far"
class_name = "Far"
script_name = "reviewer"

[[durable_objects.bindings]]
name = "ROOM"
class_name = "Room"

[[migrations]]
tag = "v1"
new_classes = ["Hall"]

[[migrations]]
tag = "v2"
new_sqlite_classes = ["Old"]
renamed_classes = [{ from = "Hall", to = "Room" }]
deleted_classes = ["Old"]

[[kv_namespaces]]
binding = "TOKENS"
id = "tokens"

[[analytics_engine_datasets]]
binding = "TOOLS"
dataset = "tool_calls"

[[analytics_engine_datasets]]
binding = "OTHER"

[[secrets_store_secrets]]
binding = "KEY"
store_id = "s1"
secret_name = "openai"

[[services]]
binding = "REVIEW"
service = "reviewer"
entrypoint = "Reviewer"
props = { level = 2, tags = ["a"] }

[[ratelimits]]
name = "LIMITER"
namespace_id = "1001"
simple = { limit = 100, period = 60 }

[[tail_consumers]]
service = "watcher"

[assets]
directory = "./public"
binding = "ASSETS"
html_handling = "none"
not_found_handling = "single-page-application"
run_worker_first = ["/api/*", "!/api/docs"]

[limits]
cpu_ms = 100
subrequests = 20

[triggers]
crons = ["*/5 * * * *", "0 17 * * sun"]
`,
		"wrangler.jsonc": `{
	"$schema": "node_modules/wrangler/config-schema.json",
	// The agent itself.
	"name": "coordinator",
	"main": "src/agent.ts",
	"compatibility_date": "2026-01-01",
	"compatibility_flags": ["nodejs_compat"],
	"vars": { "MODEL": "small", "LIMIT": 10, "NESTED": { "a": [1, 2.5, true], "b": { "c": "x" } } },
	"observability": { "enabled": true },
	"durable_objects": { "bindings": [{ "name": "ROOM", "class_name": "Room" }] },
	"migrations": [
		{ "tag": "v1", "new_classes": ["Hall"] },
		/* The hall is a room now. */
		{ "tag": "v2", "new_sqlite_classes": ["Old"], "renamed_classes": [{ "from": "Hall", "to": "Room" }], "deleted_classes": ["Old"] },
	],
	"kv_namespaces": [{ "binding": "TOKENS", "id": "tokens" }],
	"analytics_engine_datasets": [{ "binding": "TOOLS", "dataset": "tool_calls" }, { "binding": "OTHER" }],
	"secrets_store_secrets": [{ "binding": "KEY", "store_id": "s1", "secret_name": "openai" }],
	"services": [{ "binding": "REVIEW", "service": "reviewer", "entrypoint": "Reviewer", "props": { "level": 2, "tags": ["a"] } }],
	"workflows": [{ "binding": "REPORT", "name": "report", "class_name": "Report" }, { "binding": "FAR", "name": "far", "class_name": "Far", "script_name": "reviewer" }],
	"ratelimits": [{ "name": "LIMITER", "namespace_id": "1001", "simple": { "limit": 100, "period": 60 } }],
	"tail_consumers": [{ "service": "watcher" }],
	"assets": { "directory": "./public", "binding": "ASSETS", "html_handling": "none", "not_found_handling": "single-page-application", "run_worker_first": ["/api/*", "!/api/docs"] },
	"limits": { "cpu_ms": 100, "subrequests": 20 },
	"triggers": { "crons": ["*/5 * * * *", "0 17 * * sun"] },
}
`,
	}
	dir := testkit.Folder(t, files)
	for name := range files {
		t.Run(name, func(t *testing.T) {
			got, err := ReadWrangler(filepath.Join(dir, name), "")
			if err != nil {
				t.Fatal(err)
			}
			want := &Wrangler{
				Path: filepath.Join(dir, name), Name: "coordinator", Main: filepath.Join(dir, "src", "agent.ts"),
				CompatibilityDate: "2026-01-01", CompatibilityFlags: []string{"nodejs_compat"},
				Vars: map[string]json.RawMessage{
					"MODEL": json.RawMessage(`"small"`), "LIMIT": json.RawMessage(`10`), "NESTED": json.RawMessage(`{"a":[1,2.5,true],"b":{"c":"x"}}`),
				},
				Durable:    []WranglerDurable{{"ROOM", "Room", ""}},
				Workflows:  []WranglerWorkflow{{"REPORT", "report", "Report", ""}, {"FAR", "far", "Far", "reviewer"}},
				KV:         []WranglerKV{{"TOKENS", "tokens"}},
				Analytics:  []WranglerAnalytics{{"TOOLS", "tool_calls"}, {"OTHER", "OTHER"}},
				Stored:     []WranglerStored{{"KEY", "openai"}},
				RateLimits: []WranglerRateLimit{{"LIMITER", "1001", 100, time.Minute}},
				Tail:       []string{"watcher"},
				CPU:        100 * time.Millisecond, Subrequests: 20,
				Assets: &WranglerAssets{
					Directory: filepath.Join(dir, "public"), Binding: "ASSETS", HTML: "none", NotFound: "single-page-application",
					RunWorkerFirst: []string{"/api/*", "!/api/docs"},
				},
				Crons: []string{"*/5 * * * *", "0 17 * * sun"},
				Migrations: []WranglerMigration{
					{Tag: "v1", New: []string{"Hall"}},
					{Tag: "v2", New: []string{"Old"}, Deleted: []string{"Old"}, Renamed: [][2]string{{"Hall", "Room"}}},
				},
			}
			if len(got.Services) != 1 || fmt.Sprint(got.Services[0]) != "{REVIEW reviewer Reviewer map[level:2 tags:[a]]}" {
				t.Errorf("services: %+v", got.Services)
			}
			got.Services = nil
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestEnvironments wants an environment to have what it says, what it takes over from the top level, and no more.
func TestEnvironments(t *testing.T) {
	dir := testkit.Folder(t, map[string]string{"wrangler.toml": `name = "coordinator"
main = "agent.ts"
compatibility_flags = ["nodejs_compat"]

[vars]
MODEL = "small"

[[kv_namespaces]]
binding = "TOKENS"
id = "tokens"

[triggers]
crons = ["0 0 * * *"]

[env.staging]
name = "coordinator-staging"
vars = { MODEL = "tiny" }

[env.production]
main = "production.ts"
triggers = { crons = ["*/5 * * * *"] }

[[env.production.kv_namespaces]]
binding = "TOKENS"
id = "production-tokens"
`})
	file := filepath.Join(dir, "wrangler.toml")
	for _, c := range []struct{ environment, name, main, vars, kv, crons string }{
		{"", "coordinator", "agent.ts", `map[MODEL:"small"]`, "[{TOKENS tokens}]", "[0 0 * * *]"},
		{"staging", "coordinator-staging", "agent.ts", `map[MODEL:"tiny"]`, "[]", "[0 0 * * *]"},
		{"production", "coordinator", "production.ts", "map[]", "[{TOKENS production-tokens}]", "[*/5 * * * *]"},
	} {
		w, err := ReadWrangler(file, c.environment)
		if err != nil {
			t.Fatalf("%s: %v", c.environment, err)
		}
		vars := map[string]string{}
		for name, v := range w.Vars {
			vars[name] = string(v)
		}
		got := []string{w.Name, filepath.Base(w.Main), fmt.Sprint(vars), fmt.Sprint(w.KV), fmt.Sprint(w.Crons), fmt.Sprint(w.CompatibilityFlags)}
		want := []string{c.name, c.main, c.vars, c.kv, c.crons, "[nodejs_compat]"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", c.environment, got, want)
		}
	}
	if _, err := ReadWrangler(file, "testing"); err == nil || !strings.Contains(err.Error(), "There are: production, staging.") {
		t.Errorf("an environment that is not there: %v", err)
	}
}

func TestReadWranglerRefuses(t *testing.T) {
	messages := newGolden(t, "wrangler.txt")
	const head = "main = \"a.ts\"\n"
	for _, c := range []struct{ name, file, text string }{
		{"bad TOML", "wrangler.toml", head + "name = \n"},
		{"bad JSON", "wrangler.json", "{\n  \"main\": \"a.ts\",\n  \"name\" \"x\"\n}"},
		{"JSON that ends early", "wrangler.json", "{\n  \"main\": \"a.ts\",\n"},
		{"JSON with text after it", "wrangler.json", "{\"main\": \"a.ts\"}\n{}"},
		{"a key twice in TOML", "wrangler.toml", head + "name = \"a\"\nname = \"b\"\n"},
		{"a key twice in JSON", "wrangler.json", "{\n  \"main\": \"a.ts\",\n  \"main\": \"b.ts\"\n}"},
		{"no table", "wrangler.json", "[]"},
		{"no main", "wrangler.toml", "name = \"x\"\n"},
		{"an empty main", "wrangler.toml", "main = \"\"\n"},
		{"another type", "wrangler.toml", "main = 5\n"},
		{"a bad name", "wrangler.toml", head + "name = \"a b\"\n"},
		{"a bad date", "wrangler.toml", head + "compatibility_date = \"soon\"\n"},
		{"an unknown key", "wrangler.toml", head + "colour = \"red\"\n"},
		{"a mistyped key", "wrangler.jsonc", "{\n  \"main\": \"a.ts\",\n  // A comment.\n  \"kv_namespace\": []\n}"},
		{"an unknown key in a row", "wrangler.toml", head + "[[kv_namespaces]]\nbinding = \"A\"\nid = \"a\"\n[[kv_namespaces]]\nbinding = \"B\"\nid = \"b\"\ntitle = \"b\"\n"},
		{"a service without an agent", "wrangler.toml", head + "[[services]]\nbinding = \"S\"\nenvironment = \"e\"\n"},
		{"a service with props that are no table", "wrangler.toml", head + "[[services]]\nbinding = \"S\"\nservice = \"s\"\nprops = 1\n"},
		{"a workflow without a class", "wrangler.json", "{\n  \"main\": \"a.ts\",\n  \"workflows\": [{ \"binding\": \"W\", \"name\": \"a b\", \"remote\": true }]\n}"},
		{"buckets", "wrangler.toml", head + "r2_buckets = [{ binding = \"B\", bucket_name = \"b\" }]\n"},
		{"queues", "wrangler.toml", head + "[[queues.producers]]\nqueue = \"q\"\nbinding = \"Q\"\n"},
		{"AI", "wrangler.toml", head + "[ai]\nbinding = \"AI\"\n"},
		{"databases", "wrangler.toml", head + "[[d1_databases]]\nbinding = \"DB\"\n"},
		{"assets without a folder", "wrangler.toml", head + "[assets]\nbinding = \"A\"\nrun_worker_first = 1\n"},
		{"a rate limit without a rate", "wrangler.toml", head + "[[ratelimits]]\nname = \"R\"\nnamespace_id = \"1\"\nsimple = { limit = 0 }\n"},
		{"a tail consumer's environment", "wrangler.toml", head + "[[tail_consumers]]\nservice = \"watcher\"\nenvironment = \"e\"\n"},
		{"environments that are no tables", "wrangler.toml", head + "env = [\"staging\"]\n"},
		{"limits that are no numbers", "wrangler.toml", head + "[limits]\ncpu_ms = \"50\"\nmemory = 1\n"},
		{"a compatibility flag that is not built", "wrangler.toml", head + "compatibility_flags = [\"nodejs_compat\", \"python_workers\", \"global_navigatr\"]\n"},
		{"a bundler's rules", "wrangler.toml", head + "no_bundle = true\n[[rules]]\ntype = \"Text\"\n"},
		{"routes", "wrangler.toml", head + "routes = [\"example.com/*\"]\n"},
		{"a class of another script's environment", "wrangler.toml", head + "[[durable_objects.bindings]]\nname = \"A\"\nclass_name = \"A\"\nscript_name = \"other\"\nenvironment = \"e\"\n"},
		{"a binding without a class", "wrangler.toml", head + "[[durable_objects.bindings]]\nname = \"A\"\n"},
		{"a namespace without an id", "wrangler.json", "{\n  \"main\": \"a.ts\",\n  \"kv_namespaces\": [\n    { \"binding\": \"A\" }\n  ]\n}"},
		{"a binding that is no name", "wrangler.toml", head + "vars = { \"a-b\" = \"x\" }\n"},
		{"a binding given twice", "wrangler.toml", head + "[vars]\nA = 1\n[[kv_namespaces]]\nbinding = \"A\"\nid = \"a\"\n"},
		{"a var that is no JSON", "wrangler.toml", head + "[vars]\nA = nan\n"},
		{"a bad cron", "wrangler.toml", head + "[triggers]\ncrons = [\n  \"* * * * *\",\n  \"61 * * * *\",\n]\n"},
		{"a cron of six fields", "wrangler.toml", head + "triggers = { crons = [\"0 * * * * *\"] }\n"},
		{"a cron with a weekday of 0", "wrangler.toml", head + "triggers.crons = [\"0 0 * * 0\"]\n"},
		{"a cron that never comes due", "wrangler.toml", head + "triggers.crons = [\"0 0 31 2 *\"]\n"},
		{"a class that no migration makes", "wrangler.toml", head + "[[durable_objects.bindings]]\nname = \"A\"\nclass_name = \"A\"\n[[migrations]]\ntag = \"v1\"\nnew_classes = [\"B\"]\n"},
		{"a class made twice", "wrangler.toml", head + "[[migrations]]\ntag = \"v1\"\nnew_classes = [\"B\"]\n[[migrations]]\ntag = \"v1\"\nnew_sqlite_classes = [\"B\"]\n"},
		{"a class that ends before it begins", "wrangler.toml", head + "[[migrations]]\ntag = \"v1\"\ndeleted_classes = [\"B\"]\nrenamed_classes = [{ from = \"C\", to = \"D\" }]\n"},
		{"a migration without a tag", "wrangler.toml", head + "[[migrations]]\nnew_classes = [\"B\"]\n"},
		{"a transferred class", "wrangler.toml", head + "[[migrations]]\ntag = \"v1\"\ntransferred_classes = [{ from = \"A\", from_script = \"o\", to = \"B\" }]\n"},
		{"another extension", "wrangler.yaml", "main: a.ts\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := testkit.Folder(t, map[string]string{c.file: c.text})
			_, err := parseWrangler(c.file, filepath.Join(dir, c.file), "", []byte(c.text))
			messages.check(t, c.name, dir, err)
		})
	}
	t.Run("a missing file", func(t *testing.T) {
		dir := t.TempDir()
		_, err := ReadWrangler(filepath.Join(dir, "wrangler.toml"), "")
		messages.check(t, "a missing file", dir, err)
	})
}

func TestWranglerWithoutNode(t *testing.T) {
	for _, c := range []struct {
		name, date string
		flags      []string
		want       bool
	}{
		{"neither", "", nil, false},
		{"a date before the default", "2026-08-03", nil, true},
		{"the date of the default", "2026-08-04", nil, false},
		{"an old date with the flag", "2024-09-23", []string{"nodejs_compat"}, false},
		{"the older flag", "2024-01-01", []string{"nodejs_compat_v2"}, false},
		{"left out", "2026-11-01", []string{"no_nodejs_compat", "no_nodejs_compat_v2"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&Wrangler{CompatibilityDate: c.date, CompatibilityFlags: c.flags}).WithoutNode(); got != c.want {
				t.Fatal(got)
			}
		})
	}
}

func TestCronSchedule(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"no weekday", "*/5 * * * *", "*/5 * * * *"},
		{"Sunday is 1", "0 0 * * 1", "0 0 * * 0"},
		{"Saturday is 7", "0 0 * * 7", "0 0 * * 6"},
		{"a range, a list and a step", "0 0 * * 2-6/2,1", "0 0 * * 1-5/2,0"},
		{"names stay", "0 0 1 jan mon-fri", "0 0 1 JAN MON-FRI"},
		{"the last Friday", "0 0 * * 6L", "0 0 * * 5L"},
		{"the first Friday", "0 0 * * 6#1", "0 0 * * 5#1"},
		{"a step over all days", "0 0 * * */2", "0 0 * * */2"},
		{"blanks", "  0  0 * *\t* ", "0 0 * * *"},
		{"a tag", "@daily", ""},
		{"a weekday of 8", "0 0 * * 8", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := CronSchedule(c.in)
			if (err != nil) != (c.want == "") || got != c.want {
				t.Fatalf("got %q and %v, want %q", got, err, c.want)
			}
		})
	}
}

func FuzzWrangler(f *testing.F) {
	f.Add("wrangler.toml", "main = \"a.ts\"\n[[kv_namespaces]]\nbinding = \"A\"\nid = \"a\"\n[vars.a]\nb.c = [{d = 1}, [2]]\n[[migrations]]\ntag = \"v1\"\n[[migrations.x.y]]\n")
	f.Add("wrangler.jsonc", "{ // c\n \"main\": \"a.ts\", \"triggers\": {\"crons\": [\"* * * * 1-5\",]}, \"vars\": {\"a\": [null]} }")
	f.Add("wrangler.json", "{\"durable_objects\":{\"bindings\":[[],{}]}")
	f.Fuzz(func(t *testing.T, file, text string) {
		got, err := parseWrangler(file, "/agents/"+file, "", []byte(text))
		if (got == nil) == (err == nil) {
			t.Fatalf("got %v and %v", got, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without a message")
		}
	})
}

func TestReadWranglerUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "wrangler.toml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadWrangler(filepath.Join(dir, "wrangler.toml"), ""); err == nil {
		t.Fatal("got no error for a directory")
	}
}
