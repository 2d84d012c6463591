package botauth

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func testSigner(t *testing.T) *Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSigner("https://agent.example.com", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// arrived is the request as the server that it was sent to has it.
func arrived(r *http.Request) *http.Request {
	in := r.Clone(context.Background())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	return in
}

func TestSigner(t *testing.T) {
	s := testSigner(t)
	asked := 0
	v, err := New(Config{Nonces: NewNonces(time.Now().Add(-time.Minute)), Fetch: func(_ context.Context, address string) (*Answer, error) {
		asked++
		if address != "https://agent.example.com"+DirectoryPath {
			t.Errorf("%s was asked for", address)
		}
		return s.Directory()
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", "http://site.example/a?b=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Signature-Agent", `"https://somebody.example"`)
	for range 2 {
		if err := s.Sign(r); err != nil {
			t.Fatal(err)
		}
		agent, err := v.Verify(t.Context(), arrived(r))
		if err != nil || agent.Origin != "https://agent.example.com" {
			t.Fatal(agent, err)
		}
	}
	if asked != 1 {
		t.Errorf("the directory was asked for %d times", asked)
	}
	if _, err := v.Verify(t.Context(), arrived(r)); !errors.Is(err, ErrReplayed) {
		t.Errorf("a second time: %v", err)
	}
	if err := s.Sign(r); err != nil {
		t.Fatal(err)
	}
	r.URL.Host = "other.example"
	if _, err := v.Verify(t.Context(), arrived(r)); !errors.Is(err, ErrSignature) {
		t.Errorf("for another site: %v", err)
	}
	for _, origin := range []string{"", "agent.example.com", "https://agent.example.com/path", "ftp://agent.example.com"} {
		if _, err := NewSigner(origin, s.key); err == nil {
			t.Errorf("the origin %q is taken", origin)
		}
	}
}

// TestSignerByReference has the reference package verify what is signed here.
func TestSignerByReference(t *testing.T) {
	s := testSigner(t)
	r, err := http.NewRequest("POST", "https://site.example/a?b=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(r); err != nil {
		t.Fatal(err)
	}
	header := map[string]string{}
	for name := range r.Header {
		header[name] = r.Header.Get(name)
	}
	for _, url := range []string{"https://site.example/a?b=c", "https://other.example/a?b=c"} {
		in, err := json.Marshal(map[string]any{"url": url, "method": "POST", "headers": header, "key": s.public})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", "testdata/agent/verify.mjs")
		cmd.Stdin = strings.NewReader(string(in))
		out, err := cmd.CombinedOutput()
		if good := url == r.URL.String(); good != (err == nil) {
			t.Errorf("%s: %v\n%s", url, err, out)
		}
	}
}
