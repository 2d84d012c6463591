package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestRotation rotates a keyring under a vault that is in use, as a running server's is.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	file := KeyringFile{Path: filepath.Join(dir, "keyring.json")}
	open := func() *Vault {
		ring, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		v, err := OpenVault(VaultConfig{Path: filepath.Join(dir, "secrets.json"), Keyring: ring})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	running := open()
	first := running.keyring.PrimaryID()
	for i := range 5 {
		if err := running.Put(fmt.Sprintf("s%d", i), NewValue(fmt.Sprintf("value-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	read := func(v *Vault) {
		t.Helper()
		for i := range 5 {
			if got, err := v.Open(fmt.Sprintf("s%d", i)); err != nil || got.Reveal() != fmt.Sprintf("value-%d", i) {
				t.Fatalf("s%d: %q, %v", i, got.Reveal(), err)
			}
		}
	}
	id, err := file.Rotate()
	if err != nil || id == first {
		t.Fatalf("rotated to %s: %v", id, err)
	}
	// What is written in between is sealed with the new key, though nothing has told the vault.
	if err := running.Put("s0", NewValue("value-0")); err != nil {
		t.Fatal(err)
	}
	command := open()
	if n, err := command.Reseal(); err != nil || n != 4 {
		t.Fatalf("resealed %d: %v", n, err)
	}
	read(running)
	for _, key := range []string{first, id} {
		if used, err := command.Uses(key); err != nil || used != (key == id) {
			t.Errorf("key %s is used: %v, %v", key, used, err)
		}
	}
	removed, err := file.Prune(func(string) bool { return false })
	if err != nil || len(removed) != 1 || removed[0] != first {
		t.Fatalf("removed %v: %v", removed, err)
	}
	read(running)
	read(open())
	if infos, _ := running.List(); infos[3].KeyID != id {
		t.Errorf("the list says key %s", infos[3].KeyID)
	}
	// A keyring that was cut off while the server runs takes nothing from it; but nothing is sealed.
	if err := os.Truncate(file.Path, 50); err != nil {
		t.Fatal(err)
	}
	read(running)
	if err := running.Put("s0", NewValue("other")); !errors.Is(err, ErrCorruptKeyring) {
		t.Errorf("sealed with a keyring that is cut off: %v", err)
	}
	read(running)
	if _, err := file.Rotate(); !errors.Is(err, ErrCorruptKeyring) {
		t.Errorf("rotated a keyring that is cut off: %v", err)
	}
}

// TestRotationUnderUse opens and puts secrets while keys are rotated, resealed and pruned.
func TestRotationUnderUse(t *testing.T) {
	dir := t.TempDir()
	file := KeyringFile{Path: filepath.Join(dir, "keyring.json")}
	ring, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	v, err := OpenVault(VaultConfig{Path: filepath.Join(dir, "secrets.json"), Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Put("a", NewValue("value-of-a")); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := v.Open("a"); err != nil || got.Reveal() != "value-of-a" {
					t.Errorf("opened %q: %v", got.Reveal(), err)
					return
				}
				if _, err := v.Redactor(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if _, err := file.Rotate(); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Reseal(); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Prune(func(id string) bool {
			used, err := v.Uses(id)
			return used || err != nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	users.Wait()
}

// transit is Vault's transit engine as far as it is used: one key that never leaves.
type transit struct {
	*httptest.Server
	aead  cipher.AEAD
	token string
	calls []string
}

func newTransit(t *testing.T) *transit {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	e := &transit{token: "hvs.the-token-of-the-gateway"}
	if e.aead, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.calls = append(e.calls, r.Method+" "+r.URL.Path)
		fail := func(status int, text string) {
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
		}
		if r.Header.Get("X-Vault-Token") != e.token {
			fail(403, "permission denied")
			return
		}
		var in struct{ Plaintext, Ciphertext string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			fail(400, "no JSON")
			return
		}
		data := map[string]string{}
		switch r.URL.Path {
		case "/v1/transit/encrypt/gatehouse":
			plain, err := base64.StdEncoding.DecodeString(in.Plaintext)
			if err != nil {
				fail(400, "no base64")
				return
			}
			nonce := make([]byte, e.aead.NonceSize())
			_, _ = rand.Read(nonce)
			data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(e.aead.Seal(nonce, nonce, plain, nil))
		case "/v1/transit/decrypt/gatehouse":
			sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
			if err == nil && len(sealed) > e.aead.NonceSize() {
				var plain []byte
				if plain, err = e.aead.Open(nil, sealed[:e.aead.NonceSize()], sealed[e.aead.NonceSize():], nil); err == nil {
					data["plaintext"] = base64.StdEncoding.EncodeToString(plain)
				}
			}
			if data["plaintext"] == "" {
				fail(400, "cipher: message authentication failed")
				return
			}
		default:
			fail(404, "unsupported path")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *transit) wrapper(token string) *Transit {
	return &Transit{Address: e.URL, Key: "gatehouse", Token: func() (Value, error) { return NewValue(token), nil }}
}

func TestTransit(t *testing.T) {
	engine := newTransit(t)
	path := filepath.Join(t.TempDir(), "keyring.json")
	file := KeyringFile{Path: path, Wrapper: engine.wrapper(engine.token)}
	ring, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal([]byte("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "primaryKeyId") || !strings.Contains(string(b), "wrapped") {
		t.Errorf("the file has %s", b)
	}
	if _, err := file.Rotate(); err != nil {
		t.Fatal(err)
	}
	again, err := file.Open()
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Open(sealed, nil); err != nil || string(plain) != "hello" {
		t.Errorf("after a rotation: %q, %v", plain, err)
	}
	if len(engine.calls) > 6 {
		t.Errorf("it was asked %d times: %v", len(engine.calls), engine.calls)
	}
	broken := func(why string, f KeyringFile, parts ...string) {
		t.Helper()
		_, err := f.Open()
		if err == nil {
			t.Errorf("%s: it is opened", why)
			return
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", why, err, part)
			}
		}
		if strings.Contains(err.Error(), "hvs.") {
			t.Errorf("%s: the error has the token: %v", why, err)
		}
	}
	broken("another token", KeyringFile{Path: path, Wrapper: engine.wrapper("hvs.wrong")}, "403", "permission denied", "the token's policy", engine.URL)
	broken("no wrapper", KeyringFile{Path: path}, "keyring transit ADDRESS KEY", path)
	other := newTransit(t)
	broken("another key", KeyringFile{Path: path, Wrapper: other.wrapper(other.token)}, "message authentication failed", path)
	plain := filepath.Join(t.TempDir(), "keyring.json")
	if _, err := (KeyringFile{Path: plain}).Open(); err != nil {
		t.Fatal(err)
	}
	broken("a file in the clear", KeyringFile{Path: plain, Wrapper: engine.wrapper(engine.token)}, "it is not wrapped")
	engine.Close()
	broken("no server", KeyringFile{Path: path, Wrapper: engine.wrapper(engine.token)}, "cannot be reached", engine.URL)
	// Who has opened it goes on without the server.
	if plain, err := again.Open(sealed, nil); err != nil || string(plain) != "hello" {
		t.Errorf("without the server: %q, %v", plain, err)
	}
}

func TestTransitAddress(t *testing.T) {
	for address, fine := range map[string]bool{
		"https://vault.example:8200": true, "http://127.0.0.1:8200": true, "http://[::1]:8200/": true, "http://localhost:8200": true,
		"http://vault.example:8200": false, "vault.example": false, "https://a:b@vault.example": false, "https://vault.example/v1": false, "ftp://127.0.0.1": false, "": false,
	} {
		if err := (&Transit{Address: address, Key: "k"}).Check(); (err == nil) != fine {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, key := range []string{"", "a?b", "../sys"} {
		if err := (&Transit{Address: "https://vault.example", Key: key}).Check(); err == nil {
			t.Errorf("the key %q is taken", key)
		}
	}
}
