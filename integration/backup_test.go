package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool runs a gatehouse command on the server's configuration and wants it to succeed.
func (s *server) tool(args ...string) (stdout, stderr string) {
	s.t.Helper()
	out, errs, err := s.tryTool(args...)
	if err != nil {
		s.t.Fatalf("caddy gatehouse %q: %v\n%s%s", args, err, out, errs)
	}
	return out, errs
}

func (s *server) tryTool(args ...string) (stdout, stderr string, err error) {
	return s.command("", append(append([]string{"gatehouse"}, args...), "--config", "Caddyfile")...)
}

// refused wants a gatehouse command to fail and to say each of want.
func (s *server) refused(args []string, want ...string) {
	s.t.Helper()
	out, errs, err := s.tryTool(args...)
	if err == nil {
		s.t.Errorf("caddy gatehouse %q succeeded: %s%s", args, out, errs)
	}
	mustContain(s.t, fmt.Sprintf("caddy gatehouse %q", args), out+errs, want...)
}

// moveAway moves the store's folder out of the way.
func (s *server) moveAway() {
	s.t.Helper()
	to, err := os.MkdirTemp(s.dir, "moved-")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "data", "store"), filepath.Join(to, "store")); err != nil {
		s.t.Fatal(err)
	}
}

type backupReport struct {
	Actors, Entries, Bytes int64
	Live                   bool
	Store                  string
}

func TestBackupAndRestore(t *testing.T) {
	s := startCells(t)
	due := time.Now().Add(2 * time.Second)
	together(8, func(i int) {
		if err := s.call(nil, fmt.Sprint("cell-", i), "put", map[string]any{"greeting": fmt.Sprint("hello ", i), "large": strings.Repeat("x", 300_000)}); err != nil {
			t.Error(err)
		}
	})
	ask[int64](s, "cell-0", "setAlarm", due.UnixMilli())

	s.refused([]string{"restore", "live.backup"}, "a server holds "+filepath.Join(s.dir, "data", "store"), "stop it")
	s.refused([]string{"fsck"}, fmt.Sprintf("in use by process %d", s.cmd.Process.Pid), "stop the server")
	out, _ := s.tool("backup", "live.backup", "--json")
	live := decode[backupReport](t, out)
	want(t, "actors in the backup", live.Actors, 8)
	want(t, "made live", live.Live, true)
	s.refused([]string{"backup", "live.backup"}, "live.backup is there already")
	_, errs := s.tool("backup", "second.backup")
	mustContain(t, "what backup says", errs, "second.backup holds 8 actors", "secrets.json", "caddy gatehouse restore second.backup")

	if err := s.call(nil, "cell-1", "put", map[string]any{"greeting": "after the backup"}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	out, _ = s.tool("fsck", "--json")
	checked := decode[struct {
		Whole                    bool
		Actors, Damaged, Orphans int64
	}](t, out)
	if !checked.Whole || checked.Actors != 8 || checked.Damaged != 0 {
		t.Errorf("fsck of a whole store: %s", out)
	}
	out, _ = s.tool("backup", "stopped.backup", "--json")
	want(t, "made of files", decode[backupReport](t, out).Live, false)
	s.refused([]string{"restore", "live.backup"}, "is not empty", "move it away")

	s.moveAway()
	damaged, err := os.ReadFile(filepath.Join(s.dir, "live.backup"))
	if err != nil {
		t.Fatal(err)
	}
	// In the middle of a value: a frame's length, where the middle of the file may fall, has a refusal of its own.
	half := len(damaged) / 2
	value := bytes.Index(damaged[half:], bytes.Repeat([]byte("x"), 64))
	if value < 0 {
		t.Fatal("the backup's second half has no value")
	}
	damaged[half+value+32] ^= 1
	for name, content := range map[string][]byte{"flipped.backup": damaged, "cut.backup": damaged[:half], "other.backup": []byte("another file")} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.refused([]string{"restore", "flipped.backup"}, "damaged at byte", "checksum mismatch", "within cells/Cell/")
	s.refused([]string{"restore", "cut.backup"}, "damaged at byte", "cut short")
	s.refused([]string{"restore", "other.backup"}, "not a backup of a store")
	s.refused([]string{"fsck", "flipped.backup"}, "damaged at byte", "use an earlier one")
	if left, _ := filepath.Glob(filepath.Join(s.dir, "data", "store*")); len(left) > 0 {
		t.Errorf("a restore that failed leaves %q", left)
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "data", "store.restoring-1"), 0o700); err != nil { // as of a command that was killed
		t.Fatal(err)
	}
	out, _ = s.tool("restore", "live.backup")
	if left, _ := filepath.Glob(filepath.Join(s.dir, "data", "store.restoring-*")); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	mustContain(t, "what restore says", out, "8 actors", "Next:", "start the server")
	out, _ = s.tool("fsck")
	mustContain(t, "fsck of what was restored", out, "8 actors")

	s.start()
	for i := range 8 {
		if got := ask[string](s, fmt.Sprint("cell-", i), "get", "greeting"); got != fmt.Sprint("hello ", i) {
			t.Errorf("cell %d says %q", i, got)
		}
	}
	s.waitAlarms("cell-0", 1)
}

func TestEncryptedStore(t *testing.T) {
	plain := site("\t\tkeyring file ./keyring.json\n"+cellGlobal(""), "\tagent cells")
	encrypted := strings.Replace(plain, "store badger ./data\n", "store badger ./data {\n\t\t\tencryption_key keyring:store\n\t\t}\n", 1)
	s := newServer(t, map[string]string{"Caddyfile": encrypted, "cell.ts": agentFile(t, "cell.ts")})
	s.start()
	const text = "a sentence that nobody may read on the disk"
	if err := s.call(nil, "a", "put", map[string]any{"secret": text}); err != nil {
		t.Fatal(err)
	}
	s.stop()
	readable := func() (files []string) {
		for _, path := range storeFiles(t, s) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(text)) {
				files = append(files, path)
			}
		}
		return files
	}
	if files := readable(); len(files) > 0 {
		t.Errorf("the text can be read in %q", files)
	}
	readsText := func() {
		t.Helper()
		s.start()
		if got := ask[string](s, "a", "get", "secret"); got != text {
			t.Errorf("the actor reads %q", got)
		}
		s.stop()
	}
	readsText()
	s.tool("fsck")

	// Another key, while nothing runs.
	keyFile := filepath.Join(s.dir, "data", "store.key")
	before, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := s.tool("store-key", "rotate")
	mustContain(t, "what store-key rotate says", out, "has a new key", "Next: start the server")
	after, err := os.ReadFile(keyFile)
	if err != nil || bytes.Equal(before, after) {
		t.Errorf("the key's file did not change, %v", err)
	}
	readsText()

	// A key that does not fit, in each way.
	refuses := func(what string, want ...string) {
		t.Helper()
		out, errs, err := s.command("", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
		if err == nil {
			t.Errorf("%s: the server started", what)
		}
		mustContain(t, what, out+errs, want...)
	}
	replace := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace(keyFile, before)
	refuses("the key from before the rotation", "is encrypted with another key")
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	refuses("no key file", "store.key is missing", "bring it back")
	replace(keyFile, after)
	ring := filepath.Join(s.dir, "keyring.json")
	if err := os.Rename(ring, ring+".away"); err != nil {
		t.Fatal(err)
	}
	refuses("another keyring", "wrong keyring", "store.key")
	if err := os.Rename(ring+".away", ring); err != nil {
		t.Fatal(err)
	}
	s.write("Caddyfile", plain)
	refuses("no option", "is encrypted, and no encryption key was given")
	s.refused([]string{"store-key", "rotate"}, "no encryption_key")

	// From encrypted to plain and back by a backup.
	s.write("Caddyfile", encrypted)
	s.tool("backup", "b.backup")
	s.moveAway()
	s.write("Caddyfile", plain)
	s.tool("restore", "b.backup")
	readsText()
	if len(readable()) == 0 {
		t.Error("the test finds no text in a store that is not encrypted: it cannot fail")
	}
	s.write("Caddyfile", encrypted)
	refuses("a key for a store that is not encrypted", "is not encrypted, and an encryption key was given", "restore a backup of it into an empty folder")
	s.moveAway()
	s.tool("restore", "b.backup")
	if files := readable(); len(files) > 0 {
		t.Errorf("after the restore the text can be read in %q", files)
	}
	readsText()
}

// storeFiles are the files of the server's store.
func storeFiles(t *testing.T, s *server) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "data", "store"), func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestDamagedStore hurts the store of a stopped server in ways of its own: the server refuses to start and says what to do,
// fsck says what is hurt, and accept_data_loss goes on with what is left.
func TestDamagedStore(t *testing.T) {
	s := startCells(t)
	together(20, func(i int) {
		if err := s.call(nil, fmt.Sprint("cell-", i), "put", map[string]any{"greeting": strings.Repeat(fmt.Sprint("hello ", i), 50)}); err != nil {
			t.Error(err)
		}
	})
	s.kill()
	logs, err := filepath.Glob(filepath.Join(s.dir, "data", "store", "*.mem"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	whole, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	damaged := slices.Clone(whole)
	damaged[len(bytes.TrimRight(whole, "\x00"))/2] ^= 1
	if err := os.WriteFile(logs[0], damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := s.command("", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Fatal("the server started")
	}
	mustContain(t, "the refusal to start", out+errs, "has lost data", "was acknowledged", "aside", "caddy gatehouse restore FILE", "accept_data_loss")

	config, err := os.ReadFile(filepath.Join(s.dir, "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("Caddyfile", strings.Replace(string(config), "store badger ./data\n", "store badger ./data {\n\t\t\taccept_data_loss\n\t\t}\n", 1))
	s.start()
	s.wait("the log of the accepted loss", func() bool { return strings.Contains(s.logged(), "data loss accepted") })
	ask[any](s, "cell-new", "put", map[string]any{"greeting": "new"})
	s.stop()
	s.write("Caddyfile", string(config))
	s.tool("fsck")

	// A table that is cut short.
	tables, err := filepath.Glob(filepath.Join(s.dir, "data", "store", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables %q, %v", tables, err)
	}
	info, err := os.Stat(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(tables[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	out, errs, err = s.command("", "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Fatal("the server started")
	}
	mustContain(t, "the refusal to start", out+errs, "see what is hurt with: caddy gatehouse fsck")
	if strings.Contains(out+errs, "goroutine ") {
		t.Errorf("the server crashed:\n%s%s", out, errs)
	}
	out, errs, err = s.tryTool("fsck", "--json")
	if err == nil {
		t.Errorf("fsck finds nothing: %s%s", out, errs)
	}
	var found struct{ Whole bool }
	if json.Unmarshal([]byte(out), &found) != nil || found.Whole {
		t.Errorf("fsck says %s", out)
	}
	mustContain(t, "what fsck says", errs, "caddy gatehouse restore FILE")
}
