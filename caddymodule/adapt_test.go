package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write the golden parts of testdata anew")

// Each file of testdata/good and testdata/bad is a Caddyfile, a line of dashes, and what it adapts to or the error that
// refuses it.
const divider = "\n----------\n"

func TestAdapt(t *testing.T) {
	for _, kind := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.caddyfiletest"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in testdata/%s: %v", kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				input, want, _ := strings.Cut(string(b), divider)
				got, err := adapt(input + "\n")
				if (err != nil) != (kind == "bad") {
					t.Fatalf("error %v", err)
				}
				if err != nil {
					got = err.Error()
				}
				if *update {
					if err := os.WriteFile(file, []byte(input+divider+got+"\n"), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				if strings.TrimSpace(got) != strings.TrimSpace(want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

func adapt(input string) (string, error) {
	b, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for _, w := range warnings {
		out.WriteString("warning: " + w.String() + "\n")
	}
	if err := json.Indent(&out, b, "", "\t"); err != nil {
		return "", err
	}
	return out.String(), nil
}
