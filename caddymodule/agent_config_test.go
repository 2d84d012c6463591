package caddymodule

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

func TestNameFromMain(t *testing.T) {
	for main, want := range map[string]string{
		"./chat.ts":                          "chat",
		"./agent.ts":                         "agent",
		"agents/chat/agent.ts":               "chat",
		"agents/chat/index.js":               "chat",
		"../agent.ts":                        "agent",
		"/agent.ts":                          "agent",
		"./examples/chat/wrangler.jsonc":     "chat",
		"./examples/chat/summariser.ts":      "summariser",
		"./examples/chat.v2/agent.worker.ts": "agent.worker",
	} {
		if got := nameFromMain(main); got != want {
			t.Errorf("%s: %s, want %s", main, got, want)
		}
	}
}

func TestIsPath(t *testing.T) {
	for arg, want := range map[string]bool{
		"coordinator": false, "my-agent": false, "agent.ts": true, "./agent": true, "a/b": true, "wrangler.toml": true, "x.MJS": true, "v1.2": false,
	} {
		if got := isPath(arg); got != want {
			t.Errorf("%s: %v", arg, got)
		}
	}
}

func TestRootClasses(t *testing.T) {
	rename := func(pairs ...string) agentruntime.WranglerMigration {
		m := agentruntime.WranglerMigration{Tag: "r"}
		for i := 0; i < len(pairs); i += 2 {
			m.Renamed = append(m.Renamed, [2]string{pairs[i], pairs[i+1]})
		}
		return m
	}
	made := func(names ...string) agentruntime.WranglerMigration {
		return agentruntime.WranglerMigration{Tag: "n", New: names}
	}
	for _, c := range []struct {
		name  string
		steps []agentruntime.WranglerMigration
		want  map[string]string
		fails string
	}{
		{"new classes keep their names", []agentruntime.WranglerMigration{made("A", "B")}, map[string]string{}, ""},
		{"one rename", []agentruntime.WranglerMigration{made("A"), rename("A", "B")}, map[string]string{"B": "A"}, ""},
		{"a chain of renames", []agentruntime.WranglerMigration{made("A"), rename("A", "B"), rename("B", "C")}, map[string]string{"C": "A"}, ""},
		{"and back", []agentruntime.WranglerMigration{made("A"), rename("A", "B"), rename("B", "A")}, map[string]string{"A": "A"}, ""},
		{"a name that state lies under", []agentruntime.WranglerMigration{made("A"), rename("A", "B"), made("A")}, nil, "class A anew"},
		{"a deleted name", []agentruntime.WranglerMigration{made("A"), {Tag: "d", Deleted: []string{"A"}}, made("A")}, nil, "class A anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rootClasses(&agentruntime.Wrangler{Path: "wrangler.toml", Migrations: c.steps})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil || !maps.Equal(got, c.want) {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestForeignRoots(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("agent.ts", "export default {}")
	write("wrangler.jsonc", `{"main": "agent.ts", "durable_objects": {"bindings": [{"name": "HALL", "class_name": "Hall"}]},
		"migrations": [{"tag": "v1", "new_classes": ["Room"]}, {"tag": "v2", "renamed_classes": [{"from": "Room", "to": "Hall"}]}]}`)
	app := &App{Agents: map[string]*AgentConfig{"house": {Wrangler: filepath.Join(dir, "wrangler.jsonc")}}}
	guest := &AgentConfig{Main: filepath.Join(dir, "agent.ts"), Durable: []DurableBinding{{Binding: "H", Class: "Hall", Agent: "house"}}}
	full, _, err := guest.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if err := app.foreignRoots("guest", full); err != nil {
		t.Fatal(err)
	}
	if root := full.roots[full.Durable[0].rootKey("guest")]; root != "Room" {
		t.Fatalf("the class of the other agent lies under %q, want Room", root)
	}
}
