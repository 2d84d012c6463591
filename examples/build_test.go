// Package examples holds that every example can be built.
package examples

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

func TestAgentsBuild(t *testing.T) {
	agents, err := filepath.Glob(filepath.Join("*", "agent.ts"))
	if err != nil || len(agents) < 4 {
		t.Fatalf("found %q, %v", agents, err)
	}
	watchers, err := filepath.Glob(filepath.Join("*", "watcher.ts"))
	if err != nil || len(watchers) == 0 {
		t.Fatalf("found %q, %v", watchers, err)
	}
	for _, main := range append(agents, watchers...) {
		t.Run(filepath.ToSlash(main), func(t *testing.T) {
			_, err := agentruntime.Build(t.Context(), agentruntime.BuildOptions{Main: main, Log: func(w string) { t.Error(w) }})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWranglerFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("*", "wrangler.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			w, err := agentruntime.ReadWrangler(file, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := agentruntime.Build(t.Context(), agentruntime.BuildOptions{Main: w.Main}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
