package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func testKeyring(t *testing.T) *Keyring {
	t.Helper()
	k, err := KeyringFile{Path: filepath.Join(t.TempDir(), "keyring.json")}.Open()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyringIsMadeOnFirstUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "deeper", "keyring.json")
	first, err := KeyringFile{Path: path}.Open()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("keyring has mode %o", info.Mode().Perm())
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if dir.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %o", dir.Mode().Perm())
	}
	sealed, err := first.Seal([]byte("hello"), []byte("ad"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := KeyringFile{Path: path}.Open()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := second.Open(sealed, []byte("ad")); err != nil || string(plain) != "hello" {
		t.Errorf("reopened keyring: %q, %v", plain, err)
	}
	if _, err := second.Open(sealed, []byte("other")); !errors.Is(err, ErrCorruptVault) {
		t.Errorf("other associated data: %v", err)
	}
}

func TestKeyringMadeByManyAtOnceIsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			k, err := KeyringFile{Path: path}.Open()
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.PrimaryID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("ids differ: %v", ids)
		}
	}
}

func TestKeyringRefusals(t *testing.T) {
	valid, err := os.ReadFile(testKeyring(t).source)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		mode os.FileMode
		want error
		hint string
	}{
		{"group readable", valid, 0o640, ErrKeyringMode, "chmod 600 "},
		{"world readable", valid, 0o604, ErrKeyringMode, "chmod 600 "},
		{"empty", nil, 0o600, ErrCorruptKeyring, "restore it from a backup"},
		{"truncated", valid[:len(valid)/2], 0o600, ErrCorruptKeyring, "restore it from a backup"},
		{"not a keyset", []byte(`{"some":"json"}`), 0o600, ErrCorruptKeyring, "restore it from a backup"},
		{"key of no type", []byte(`{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"x","value":"c2VjcmV0","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`), 0o600, ErrCorruptKeyring, "restore"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyring.json")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			_, err := KeyringFile{Path: path}.Open()
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if !strings.Contains(err.Error(), test.hint) || !strings.Contains(err.Error(), path) {
				t.Errorf("error names no path or way out: %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, test.data) {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestKeyringErrorQuotesNoKeyMaterial(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.json")
	data := []byte(`{"primaryKeyId":1,"key":[{"keyData":"VERYSECRETMATERIAL"}]}`)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (KeyringFile{Path: path}).Open(); err == nil || strings.Contains(err.Error(), "VERYSECRET") {
		t.Errorf("error: %v", err)
	}
}

func TestKeyringFromEnvironment(t *testing.T) {
	file := testKeyring(t)
	data, err := os.ReadFile(file.source)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"json":   string(data),
		"spaces": " \n" + string(data) + "\n",
		"base64": base64.StdEncoding.EncodeToString(data),
	} {
		k, err := OpenKeyringEnv(value)
		if err != nil || k.PrimaryID() != file.PrimaryID() || !k.Holds(file.PrimaryID()) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	for name, value := range map[string]string{"empty": "", "junk": "hunter2hunter2!", "junk json": "{", "base64 of junk": "aHVudGVyMg=="} {
		if _, err := OpenKeyringEnv(value); !errors.Is(err, ErrCorruptKeyring) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrongKeyringNamesTheKeyNeeded(t *testing.T) {
	a, b := testKeyring(t), testKeyring(t)
	sealed, err := a.Seal([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Open(sealed, nil)
	if !errors.Is(err, ErrWrongKeyring) || !strings.Contains(err.Error(), a.PrimaryID()) {
		t.Errorf("got %v", err)
	}
	for _, junk := range [][]byte{nil, {1}, []byte("plain text"), sealed[:5]} {
		if _, err := a.Open(junk, nil); !errors.Is(err, ErrCorruptVault) {
			t.Errorf("%q: %v", junk, err)
		}
	}
}
