package agentruntime

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew from what the code gives")

// golden collects the messages of a table test and compares them with a file of testdata/golden at the test's end.
// Each message stands under the name of its case.
type golden struct {
	path string
	got  strings.Builder
	want map[string]string
}

func newGolden(t *testing.T, name string) *golden {
	t.Helper()
	g := &golden{path: filepath.Join("testdata", "golden", name), want: map[string]string{}}
	data, err := os.ReadFile(g.path)
	if err != nil && !*updateGolden {
		t.Fatal(err)
	}
	for _, part := range strings.Split("\n"+string(data), "\n== ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		g.want[title] = strings.TrimSuffix(text, "\n")
	}
	t.Cleanup(func() {
		if *updateGolden && !t.Failed() {
			if err := os.MkdirAll(filepath.Dir(g.path), 0o755); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(g.path, []byte(g.got.String()), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

// check compares one message; dir, which differs from run to run, is written as DIR.
func (g *golden) check(t *testing.T, name, dir string, err error) {
	t.Helper()
	if err == nil {
		t.Error("got no error")
		return
	}
	text := strings.ReplaceAll(err.Error(), dir, "DIR")
	g.got.WriteString("== " + name + "\n" + text + "\n")
	if *updateGolden {
		return
	}
	want, ok := g.want[name]
	if !ok {
		t.Fatalf("%s has no message for this case; run the tests with -update and look at it", g.path)
	}
	if text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
}
