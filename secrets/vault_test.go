package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func testVault(t *testing.T) *Vault {
	t.Helper()
	v, err := OpenVault(VaultConfig{Path: filepath.Join(t.TempDir(), "secrets.json"), Keyring: testKeyring(t)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVaultPutOpenListDelete(t *testing.T) {
	v := testVault(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v.now = func() time.Time { return now }
	if infos, err := v.List(); err != nil || len(infos) != 0 {
		t.Fatalf("new vault: %v, %v", infos, err)
	}
	for _, name := range []string{"openai", "crm"} {
		if err := v.Put(name, NewValue("value of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	created := now
	now = now.Add(time.Hour)
	if err := v.Put("openai", NewValue("second value")); err != nil {
		t.Fatal(err)
	}
	value, err := v.Open("openai")
	if err != nil || value.Reveal() != "second value" {
		t.Fatalf("open: %q, %v", value.Reveal(), err)
	}
	infos, err := v.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []Info{
		{Name: "crm", KeyID: v.keyring.PrimaryID(), Created: created, Updated: created},
		{Name: "openai", KeyID: v.keyring.PrimaryID(), Created: created, Updated: now},
	}
	if len(infos) != 2 || infos[0] != want[0] || infos[1] != want[1] {
		t.Errorf("list: %v, want %v", infos, want)
	}
	if err := v.Delete("crm"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open("crm"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if err := v.Delete("crm"); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	data, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("second value")) || NewRedactor(map[string]Value{"x": NewValue("second value")}).Redact(string(data)) != string(data) {
		t.Error("the file shows the value")
	}
	if info, _ := os.Stat(v.path); info.Mode().Perm() != 0o600 {
		t.Errorf("file has mode %o", info.Mode().Perm())
	}
}

func TestVaultRefusesNamesAndValues(t *testing.T) {
	v := testVault(t)
	for _, name := range []string{"", "A", "-a", "_a", "a.b", "a/b", "ä", strings.Repeat("a", 65)} {
		if err := v.Put(name, NewValue("x")); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for name, value := range map[string]string{"empty": "", "binary": "\xff\xfe", "long": strings.Repeat("s", MaxValueBytes+1)} {
		if err := v.Put("a", NewValue(value)); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := v.Put(strings.Repeat("a", 64), NewValue(strings.Repeat("s", MaxValueBytes))); err != nil {
		t.Error(err)
	}
}

func TestVaultSeesWhatAnotherProcessWrote(t *testing.T) {
	server := testVault(t)
	cli, err := OpenVault(VaultConfig{Path: server.path, Keyring: server.keyring})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want := fmt.Sprintf("value %02d", i) // all of one size
		if err := cli.Put("a", NewValue(want)); err != nil {
			t.Fatal(err)
		}
		r, err := server.Redactor()
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Redact("is " + want); got != "is [redacted:a]" {
			t.Fatalf("redactor is stale: %s", got)
		}
		if got, err := server.Open("a"); err != nil || got.Reveal() != want {
			t.Fatalf("round %d: %q, %v", i, got.Reveal(), err)
		}
	}
	if err := cli.Delete("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
}

func TestVaultConcurrentWritersLoseNothing(t *testing.T) {
	first := testVault(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			v, err := OpenVault(VaultConfig{Path: first.path, Keyring: first.keyring})
			if err != nil {
				t.Error(err)
				return
			}
			for j := range 5 {
				if err := v.Put(fmt.Sprintf("s-%d-%d", i, j), NewValue("value")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if infos, err := first.List(); err != nil || len(infos) != 40 {
		t.Errorf("%d secrets, %v", len(infos), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(first.path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".secrets.json") {
			t.Errorf("temporary file left: %s", e.Name())
		}
	}
}

func TestVaultVerify(t *testing.T) {
	v := testVault(t)
	if err := v.Verify(); err != nil {
		t.Fatalf("empty vault: %v", err)
	}
	if err := v.Put("a", NewValue("value one")); err != nil {
		t.Fatal(err)
	}
	if err := v.Put("b", NewValue("value two")); err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(); err != nil {
		t.Fatal(err)
	}
	other, err := OpenVault(VaultConfig{Path: v.path, Keyring: testKeyring(t)})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Verify()
	if !errors.Is(err, ErrWrongKeyring) || !strings.Contains(err.Error(), v.keyring.PrimaryID()) || !strings.Contains(err.Error(), "secret a") {
		t.Errorf("wrong keyring: %v", err)
	}

	// A sealed value moved under another name does not open.
	data, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.Replace(string(data), `"name": "a"`, `"name": "c"`, 1)
	if err := os.WriteFile(v.path, []byte(swapped), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Open("c"); !errors.Is(err, ErrCorruptVault) {
		t.Errorf("moved value: %v", err)
	}
}

func TestVaultRefusesCorruptFile(t *testing.T) {
	for name, data := range map[string]string{
		"empty": "", "truncated": `{"version":1,"secrets":[{`, "version": `{"version":2}`, "name": `{"version":1,"secrets":[{"name":"../x"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secrets.json")
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			k := testKeyring(t)
			_, err := OpenVault(VaultConfig{Path: path, Keyring: k})
			if !errors.Is(err, ErrCorruptVault) || !strings.Contains(err.Error(), path) {
				t.Errorf("open: %v", err)
			}
			v := &Vault{path: path, keyring: k, now: time.Now}
			if err := v.Put("a", NewValue("x")); !errors.Is(err, ErrCorruptVault) {
				t.Errorf("put: %v", err)
			}
			if after, _ := os.ReadFile(path); string(after) != data {
				t.Error("the corrupt file was replaced")
			}
		})
	}
}

func TestVaultGroups(t *testing.T) {
	v := testVault(t)
	if err := v.Put("crm", NewValue("a secret value")); err != nil {
		t.Fatal(err)
	}
	for _, values := range []map[string]Value{
		{"access": NewValue("first access token"), "refresh": NewValue("first refresh token")},
		{"access": NewValue("second access token")},
	} {
		if err := v.PutGroup("oauth/crm", values); err != nil {
			t.Fatal(err)
		}
		got, err := v.Group("oauth/crm")
		if err != nil || len(got) != len(values) || got["access"].Reveal() != values["access"].Reveal() {
			t.Fatalf("the group has %d values, %v", len(got), err)
		}
	}
	if err := v.PutGroup("oauth/crm2", map[string]Value{"access": NewValue("another client's")}); err != nil {
		t.Fatal(err)
	}
	if infos, err := v.List(); err != nil || len(infos) != 1 || infos[0].Name != "crm" {
		t.Errorf("the list: %v, %v", infos, err)
	}
	r, err := v.Redactor()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Redact("a second access token, and first access token"); got != "a [redacted:oauth/crm/access], and first access token" {
		t.Error(got)
	}
	if err := v.PutGroup("oauth/crm", map[string]Value{"bad name": NewValue("x")}); !errors.Is(err, ErrName) {
		t.Error(err)
	}
}
