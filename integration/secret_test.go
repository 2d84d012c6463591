package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secretGlobal = `keyring file ./keys/keyring.json
agent secret {
	main ./secret.ts
	secret OPENAI_KEY openai
	analytics POINTS points
	durable VAULT Vault
	tail listener
}
agent listener {
	main ./listener.ts
	kv SEEN seen
}
`

func secretFiles(t *testing.T) map[string]string {
	return map[string]string{
		"Caddyfile":   site(secretGlobal, "log\nhandle_path /listener/* {\n\tagent listener\n}\nhandle {\n\tagent secret\n}\nhandle_errors {\n\trespond \"{err.status_code} {err.message}\"\n}"),
		"secret.ts":   agentFile(t, "secret.ts"),
		"listener.ts": agentFile(t, "listener.ts"),
	}
}

func (s *server) must(stdin string, args ...string) string {
	s.t.Helper()
	out, errs, err := s.command(stdin, args...)
	if err != nil {
		s.t.Fatalf("caddy %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

func digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

func TestSecretCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t, secretFiles(t))
	const value = "sk-first/value+with=signs&spaces 0123456789"
	out, errs, err := s.command("", "validate", "--config", "Caddyfile")
	if err == nil {
		t.Fatalf("a secret that is not there is accepted: %s", out)
	}
	mustContain(t, "the refusal", errs, "OPENAI_KEY", "openai", "caddy gatehouse secret put openai", "Caddyfile:")
	mustContain(t, "list of none", s.must("", "gatehouse", "secret", "list"), "There are no secrets")
	want(t, "list of none as JSON", strings.TrimSpace(s.must("", "gatehouse", "secret", "list", "--json")), "[]")
	mustContain(t, "put", s.must(value+"\n", "gatehouse", "secret", "put", "openai"), "openai is sealed")
	list := s.must("", "gatehouse", "secret", "list")
	mustContain(t, "list", list, "NAME", "AGE", "openai")
	type info struct{ Name string }
	if infos := decode[[]info](t, s.must("", "gatehouse", "secret", "list", "--json")); len(infos) != 1 || infos[0].Name != "openai" {
		t.Errorf("list as JSON: %+v", infos)
	}
	if strings.Contains(list, value) {
		t.Error("the list holds a value")
	}
	keyring, err := os.Stat(filepath.Join(s.dir, "keys", "keyring.json"))
	if err != nil || keyring.Mode().Perm() != 0o600 {
		t.Errorf("the keyring: %v, %v", keyring, err)
	}
	s.start()
	want(t, "what the code sees", s.get("/digest", 200), digest(value))
	const second = "sk-second-value-9876543210"
	s.must(second, "gatehouse", "secret", "put", "openai")
	want(t, "what the code sees after a change", s.get("/digest", 200), digest(second))
	mustContain(t, "delete", s.must("", "gatehouse", "secret", "delete", "openai"), "openai is deleted")
	if resp, _ := s.do("GET", "/digest", ""); resp.StatusCode != 500 {
		t.Errorf("the code runs without its secret: %d", resp.StatusCode)
	}
	mustContain(t, "list after delete", s.must("", "gatehouse", "secret", "list"), "There are no secrets")
	for name, args := range map[string][]string{
		"an empty value": {"put", "openai"}, "a name with a space": {"put", "open ai"}, "a secret that is not there": {"delete", "nothing"},
	} {
		if out, _, err := s.command("", append([]string{"gatehouse", "secret"}, args...)...); err == nil {
			t.Errorf("%s is accepted: %s", name, out)
		}
	}
	if out, _, err := s.command("value-on-stdin", "gatehouse", "secret", "put", "openai", "value-in-argv"); err == nil {
		t.Errorf("a value in the arguments is accepted: %s", out)
	}
}

// forms are the ways in which a value could be written down without being it.
func forms(value string) map[string][]byte {
	b := []byte(value)
	all := map[string][]byte{
		"plain": b, "hex": []byte(hex.EncodeToString(b)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(b))),
		"query": []byte(url.QueryEscape(value)), "path": []byte(url.PathEscape(value)),
	}
	for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			// What base64 writes of the value depends on where it begins; the ends also hold bits of the neighbours.
			text := enc.EncodeToString(append(make([]byte, shift), b...))
			from := (shift*8 + 5) / 6
			all[fmt.Sprintf("%s shifted by %d", name, shift)] = []byte(text[from : len(text)-1])
		}
	}
	quoted, _ := json.Marshal(value)
	all["json"] = quoted[1 : len(quoted)-1]
	return all
}

// TestSecretIsWrittenDownNowhere has code put its secret wherever something is kept, and then looks at every byte that
// was written.
func TestSecretIsWrittenDownNowhere(t *testing.T) {
	t.Parallel()
	s := newServer(t, secretFiles(t))
	const value = `sk-Q9$"zr/Tal+lo=we&n 77<x>Wq12-ü-end`
	s.must(value, "gatehouse", "secret", "put", "openai")
	s.start()
	admin := fmt.Sprintf("127.0.0.1:%d", s.admin)
	text, jsonLines := s.follow("gatehouse", "tail", "--address", admin), s.follow("gatehouse", "tail", "--address", admin, "--json")
	var seen strings.Builder
	s.wait("both tails", func() bool {
		s.get("/listener/knock", 200)
		return len(text) > 0 && len(jsonLines) > 0
	})
	want(t, "what the code sees", s.get("/digest", 200), digest(value))
	paths := []string{"/log", "/throw", "/name", "/late", "/point", "/refused", "/refused-host", "/refused-url", "/actor"}
	for _, path := range paths {
		resp, body := s.do("GET", path, "")
		fmt.Fprintln(&seen, "answer of", path, resp.StatusCode, resp.Header, body)
		s.waitFull("the record of "+path, ofPath(path))
	}
	r := s.waitFull("the record of what was logged", ofPath("/log"))
	if len(r.Logs) != 3 || !strings.Contains(r.Logs[0].Message, "[redacted:openai]") {
		t.Errorf("logs: %+v", r.Logs)
	}
	r = s.waitFull("the record of what was thrown", ofPath("/throw"))
	if len(r.Exceptions) != 1 || !strings.Contains(r.Exceptions[0].Message, "no luck with [redacted:openai]") {
		t.Errorf("exceptions: %+v", r.Exceptions)
	}
	for name, lines := range map[string]<-chan string{"tail": text, "tail --json": jsonLines} {
		for found := 0; found < len(paths); {
			line, err := next(lines)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			fmt.Fprintln(&seen, name, line)
			for _, p := range paths {
				if strings.Contains(line, " GET 127.0.0.1"+p+" ") || strings.Contains(line, `"path":"`+p+`"`) {
					found++
				}
			}
		}
	}
	sql := s.must("", "gatehouse", "sql", "secret", "SELECT * FROM points", "--address", admin, "--json")
	mustContain(t, "sql", sql, "plain", "[redacted:openai]")
	fmt.Fprintln(&seen, sql, s.must("", "gatehouse", "sql", "secret", "SELECT * FROM points", "--address", admin))
	s.wait("the tail agent", func() bool { return strings.Contains(s.get("/listener/seen", 200), "no luck with") })
	fmt.Fprintln(&seen, s.get("/listener/seen", 200))
	resp, err := http.Get(fmt.Sprintf("http://%s/config/", admin))
	if err != nil {
		t.Fatal(err)
	}
	var config bytes.Buffer
	_, _ = config.ReadFrom(resp.Body)
	resp.Body.Close()
	fmt.Fprintln(&seen, config.String())
	s.stop()

	places := map[string][]byte{"what was printed": []byte(seen.String()), "the server's log": []byte(s.logged())}
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		places[strings.TrimPrefix(path, s.dir)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	store := 0
	for name, content := range places {
		if strings.HasPrefix(name, "/data/store") {
			store++
		}
		for form, b := range forms(value) {
			if i := bytes.Index(content, b); i >= 0 {
				t.Errorf("%s holds the secret (%s): ...%q...", name, form, content[max(0, i-60):min(len(content), i+len(b)+20)])
			}
		}
	}
	if store == 0 || len(places["/data/secrets.json"]) == 0 {
		t.Errorf("the search missed the store or the sealed secrets: %d files of the store", store)
	}
}

func TestKeyringRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, s *server, keyring string)
		parts []string
	}{
		{"another", func(t *testing.T, s *server, keyring string) {
			if err := os.Remove(keyring); err != nil {
				t.Fatal(err)
			}
			other := newServer(t, map[string]string{"Caddyfile": site("keyring file ./keys/keyring.json", "respond ok")})
			other.must("some value", "gatehouse", "secret", "put", "unrelated")
			b, err := os.ReadFile(filepath.Join(other.dir, "keys", "keyring.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(keyring, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"wrong keyring", "sealed with key", "use the keyring that has key"}},
		{"removed", func(t *testing.T, s *server, keyring string) {
			if err := os.Remove(keyring); err != nil {
				t.Fatal(err)
			}
		}, []string{"wrong keyring", "use the keyring that has key"}},
		{"truncated", func(t *testing.T, s *server, keyring string) {
			if err := os.Truncate(keyring, 100); err != nil {
				t.Fatal(err)
			}
		}, []string{"keyring is corrupt", "restore it from a backup"}},
		{"readable by the group", func(t *testing.T, s *server, keyring string) {
			if err := os.Chmod(keyring, 0o640); err != nil {
				t.Fatal(err)
			}
		}, []string{"open to group or others", "chmod 600"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, secretFiles(t))
			s.must("some value", "gatehouse", "secret", "put", "openai")
			keyring := filepath.Join(s.dir, "keys", "keyring.json")
			c.spoil(t, s, keyring)
			for _, verb := range []string{"validate", "run"} {
				out, errs, err := s.command("", verb, "--config", "Caddyfile")
				if err == nil {
					t.Fatalf("caddy %s accepts the keyring: %s", verb, out)
				}
				mustContain(t, "the refusal", errs, append(c.parts, keyring, "Caddyfile:")...)
			}
		})
	}
}

// TestKeyringRotates rotates the keyring of a server that runs and uses it, and of an encrypted store.
func TestKeyringRotates(t *testing.T) {
	t.Parallel()
	files := secretFiles(t)
	files["Caddyfile"] = strings.Replace(files["Caddyfile"], "store badger ./data", "store badger ./data {\n\tencryption_key keyring:store\n}", 1)
	s := newServer(t, files)
	const value = "sk-value-that-stays-0123456789"
	s.must(value, "gatehouse", "secret", "put", "openai")
	s.start()
	want(t, "before", s.get("/digest", 200), digest(value))
	text := s.must("", "gatehouse", "secret", "rotate")
	mustContain(t, "rotate", text, "has a fresh key", "Secrets sealed with it: 1", "The store's key is sealed with it too", "secret rotate --prune")
	want(t, "after a rotation", s.get("/digest", 200), digest(value))
	type result struct {
		Primary  string
		Resealed int
		StoreKey bool `json:"store_key"`
		Removed  []string
	}
	r := decode[result](t, s.must("", "gatehouse", "secret", "rotate", "--prune", "--json"))
	if r.Primary == "" || r.Resealed != 1 || !r.StoreKey || len(r.Removed) != 2 {
		t.Errorf("rotate --prune: %+v", r)
	}
	want(t, "after the old keys are gone", s.get("/digest", 200), digest(value))
	const second = "sk-second-value-9876543210"
	s.must(second, "gatehouse", "secret", "put", "openai")
	want(t, "after a change", s.get("/digest", 200), digest(second))
	s.stop()
	s.start()
	want(t, "after a restart", s.get("/digest", 200), digest(second))
	// A keyring that is cut off is refused before anything is changed.
	keyring := filepath.Join(s.dir, "keys", "keyring.json")
	if err := os.Truncate(keyring, 100); err != nil {
		t.Fatal(err)
	}
	_, errs, err := s.command("", "gatehouse", "secret", "rotate")
	if err == nil {
		t.Error("a keyring that is cut off is rotated")
	}
	mustContain(t, "the refusal", errs, "keyring is corrupt", "restore it from a backup")
	want(t, "the server goes on", s.get("/digest", 200), digest(second))
}
