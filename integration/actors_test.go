package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestActors lists, shows, exports and imports actors, of a server that runs and of one that is stopped.
func TestActors(t *testing.T) {
	s := startCells(t)
	for i := range 5 {
		if err := s.call(nil, fmt.Sprint("cell-", i), "put", map[string]any{"profile": map[string]any{"name": fmt.Sprint("n", i), "tags": []int{i}}, "odd \x1b[31m": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	ask[int64](s, "cell-2", "setAlarm", int64(4_000_000_000_000))
	look := func(t *testing.T) {
		out, _ := s.tool("actors", "list")
		mustContain(t, "the namespaces", out, "NAMESPACE", "cells/Cell  5")
		out, _ = s.tool("actors", "list", "cells", "--json")
		page := decode[struct {
			Namespace, Next string
			Actors          []struct {
				ID, Name, Alarm string
				Entries, Bytes  int64
			}
		}](t, out)
		if len(page.Actors) != 5 || page.Next != "" || page.Namespace != "cells/Cell" {
			t.Fatalf("the actors: %s", out)
		}
		seen := map[string]bool{}
		after := ""
		for pages := 0; ; pages++ {
			out, errs := s.tool("actors", "list", "cells/Cell", "--limit", "2", "--after", after)
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f[0]) == 64 {
					seen[f[0]] = true
				}
			}
			if !strings.Contains(errs, "There are more") {
				want(t, "pages of two", pages, 2)
				break
			}
			_, after, _ = strings.Cut(strings.TrimSpace(errs), "--after ")
		}
		want(t, "actors on the pages", len(seen), 5)
		out, _ = s.tool("actors", "show", "cells/Cell", "cell-2")
		mustContain(t, "an actor", out, "(cell-2)", "alarm at 2096", "profile = { name: 'n2', tags: [ 2 ] }", `"odd \x1b[31m" = 'x'`)
		if strings.Contains(out, "\x1b") {
			t.Error("a key's control characters reach the terminal")
		}
		byID, _ := s.tool("actors", "show", "cells/Cell", page.Actors[0].ID, "--key", "prof", "--json")
		mustContain(t, "an actor by its id", byID, page.Actors[0].ID, "profile")
		if strings.Contains(byID, "starts") {
			t.Errorf("--key shows others: %s", byID)
		}
		s.refused([]string{"actors", "show", "cells/Cell", "nobody"}, "stores nothing")
		s.refused([]string{"actors", "list", "nobody"}, "nobody has no actors", "caddy gatehouse actors list")
	}
	s.run("of a running server", look)
	exported, _ := s.tool("actors", "export")
	one, _ := s.tool("actors", "export", "cells/Cell", "cell-1")
	if n := strings.Count(one, "\n"); n != 6 { // head, actor, three entries, end
		t.Errorf("one actor has %d lines: %s", n, one)
	}
	s.refused([]string{"actors", "import", "all.jsonl"}, "a server holds", "stop it first")
	s.stop()
	s.run("of a stopped server", look)
	stopped, _ := s.tool("actors", "export")
	if exported != stopped {
		t.Errorf("the export of a running server has %d bytes, of the stopped one %d", len(exported), len(stopped))
	}

	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("all.jsonl", exported)
	lines := strings.SplitAfter(exported, "\n")
	write("cut.jsonl", strings.Join(lines[:7], ""))
	write("hole.jsonl", strings.Join(lines[:3], "")+strings.Join(lines[4:], ""))
	write("newer.jsonl", strings.Replace(exported, `"version":1`, `"version":2`, 1))
	write("changed.jsonl", strings.Replace(exported, `"value":"x`, `"value":"!`, 1))
	s.refused([]string{"actors", "import", "all.jsonl"}, "is in the store already", "nothing was written", "--replace")
	s.refused([]string{"actors", "import", "cut.jsonl", "--replace"}, "cut short")
	s.refused([]string{"actors", "import", "hole.jsonl", "--replace"}, "line 2: the actor has 3 entries")
	s.refused([]string{"actors", "import", "newer.jsonl", "--replace"}, "version 2")
	s.refused([]string{"actors", "import", "changed.jsonl", "--replace"}, "line ")
	s.refused([]string{"actors", "import", "Caddyfile"}, "these are not exported actors")
	if again, _ := s.tool("actors", "export"); again != exported {
		t.Error("an import that was refused has changed the store")
	}
	write("one.jsonl", strings.Replace(one, `"name":"cell-1"`, `"name":"cell-1 again"`, 1))
	s.tool("actors", "import", "one.jsonl", "--replace")
	out, _ := s.tool("actors", "show", "cells/Cell", "cell-1")
	mustContain(t, "the actor that was replaced", out, "(cell-1 again)", "profile = { name: 'n1'")

	s.moveAway()
	out, _ = s.tool("actors", "import", "all.jsonl")
	mustContain(t, "what import says", out, "5 actors with 15 entries", "Next: start the server")
	if again, _ := s.tool("actors", "export"); again != exported {
		t.Error("the export of what was imported differs")
	}
	s.start()
	mustContain(t, "what the actor reads", s.post("/cell/cell-3/get", `["profile"]`), `"name":"n3"`)
}

// post sends a POST with JSON and wants 200.
func (s *server) post(path, body string) string {
	s.t.Helper()
	resp, text := s.do("POST", path, body, "Content-Type", "application/json")
	want(s.t, "status of "+path, resp.StatusCode, 200)
	return text
}
