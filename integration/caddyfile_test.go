package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCaddyfiles adapts, validates and formats every block of the documentation whose language is caddyfile,
// each of which is a whole file, and Caddyfile.example. The files that a block names are made.
func TestDocumentedCaddyfiles(t *testing.T) {
	type file struct{ name, text string }
	files := []file{{"Caddyfile.example", read(t, "../Caddyfile.example")}}
	for _, page := range pages(t) {
		for _, b := range blocksOf(t, page) {
			if b.lang == "caddyfile" {
				files = append(files, file{fmt.Sprintf("%s:%d", strings.TrimPrefix(page, "../"), b.line), strings.Join(b.lines, "\n") + "\n"})
			}
		}
	}
	if len(files) < 10 {
		t.Fatalf("there are %d Caddyfiles", len(files))
	}
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			w := newWorkshop(t)
			if formatted := w.caddy(f.text, "fmt", "-"); formatted != f.text {
				t.Errorf("caddy fmt writes it differently:\n%s", formatted)
			}
			// Paths from the root become paths within the test's folder.
			text := regexp.MustCompile(`([ "])/(var|etc)/`).ReplaceAllString(f.text, "${1}"+w.dir+"/$2/")
			w.write("Caddyfile", text)
			var config any
			if err := json.Unmarshal([]byte(w.caddy("", "adapt", "--config", "Caddyfile")), &config); err != nil {
				t.Fatal(err)
			}
			w.supply(config)
			w.caddy("", "validate", "--config", "Caddyfile")
		})
	}
}

// workshop is a folder in which the binary runs.
type workshop struct {
	t   *testing.T
	dir string
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{t, t.TempDir()}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(examples, filepath.Join(w.dir, "examples")); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *workshop) write(name, text string) {
	w.t.Helper()
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(w.dir, name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// caddy runs the binary, which must succeed, and returns what it writes to standard output.
func (w *workshop) caddy(stdin string, args ...string) string {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), binary, args...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(w.dir, "xdg"), "XDG_CONFIG_HOME="+filepath.Join(w.dir, "xdg"))
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// "caddy fmt -" ends with 1 where the input is not formatted, and prints it formatted all the same.
	if err := cmd.Run(); err != nil && args[0] != "fmt" {
		w.t.Fatalf("caddy %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// supply makes what a configuration names: code with the classes that are bound, rule files, secrets.
func (w *workshop) supply(config any) {
	w.t.Helper()
	switch c := config.(type) {
	case []any:
		for _, v := range c {
			w.supply(v)
		}
	case map[string]any:
		if main, ok := c["main"].(string); ok {
			code := "import { DurableObject } from \"cloudflare:workers\";\n"
			durable, _ := c["durable"].([]any)
			for _, d := range durable {
				code += fmt.Sprintf("export class %s extends DurableObject {}\n", d.(map[string]any)["class"])
			}
			w.writeMissing(main, code+"export default { fetch() {}, scheduled() {}, tail() {} };\n")
		}
		if c["handler"] == "gatehouse_waf" {
			rules, _ := c["rules"].([]any)
			for _, r := range rules {
				w.writeMissing(strings.ReplaceAll(r.(string), "*", "own"), "SecRule ARGS:own \"@streq x\" \"id:10,phase:2,deny,msg:'own'\"\n")
			}
		}
		if prices, ok := c["prices"].(string); ok {
			w.writeMissing(prices, "{}")
		}
		if chain, ok := c["chain"].(map[string]any); ok {
			if name, ok := chain["key"].(string); ok {
				w.caddy("a value of thirty-two bytes, or more", "gatehouse", "secret", "put", name, "--config", "Caddyfile")
			}
		}
		secrets, _ := c["secrets"].(map[string]any)
		for _, name := range secrets {
			w.caddy("a value", "gatehouse", "secret", "put", name.(string), "--config", "Caddyfile")
		}
		clients, _ := c["oauth"].(map[string]any)
		for name, client := range clients {
			if _, ok := client.(map[string]any); ok {
				w.caddy("a first refresh token", "gatehouse", "secret", "put", name, "--config", "Caddyfile")
			}
		}
		for _, v := range c {
			w.supply(v)
		}
	case string:
		for _, m := range secretReference.FindAllStringSubmatch(c, -1) {
			w.caddy("a value", "gatehouse", "secret", "put", m[1], "--config", "Caddyfile")
		}
	}
}

var secretReference = regexp.MustCompile(`\{secret\.([a-z0-9_-]+)\}`)

func (w *workshop) writeMissing(name, text string) {
	w.t.Helper()
	if _, err := os.Stat(filepath.Join(w.dir, name)); err != nil {
		w.write(name, text)
	}
}
