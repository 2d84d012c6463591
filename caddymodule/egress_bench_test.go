package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// BenchmarkEgressBody sends a streamed body of 1 MiB and reads it back, by a policy that does nothing with it, and by one that injects a
// credential, strikes it out of the answer, and looks for twenty secrets in the body. The figures are in docs/directives/egress.md.
func BenchmarkEgressBody(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}))
	defer server.Close()
	to, err := url.Parse(server.URL)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	ring, err := secrets.KeyringFile{Path: filepath.Join(dir, "keyring.json")}.Open()
	if err != nil {
		b.Fatal(err)
	}
	vault, err := secrets.OpenVault(secrets.VaultConfig{Path: filepath.Join(dir, "secrets.json"), Keyring: ring})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 20 {
		if err := vault.Put(fmt.Sprintf("s%d", i), secrets.NewValue(fmt.Sprintf("sk-live-%d-AbcDefGhiJkl%dMnoPqr", i, i*7919))); err != nil {
			b.Fatal(err)
		}
	}
	text := []byte(strings.Repeat(`{"role":"assistant","content":"A body of plain words, as a model writes them, with numbers 12345 and names."},`, 10_000)[:1<<20])
	for _, c := range []struct {
		name string
		rule egress.Rule
		dlp  *egress.DLP
	}{
		{name: "neither"},
		{"inject and dlp", egress.Rule{Inject: []egress.Injection{egress.InjectHeader{Name: "Authorization", Value: "Bearer {secret.s0}"}}, Plain: true}, &egress.DLP{Secrets: true}},
	} {
		c.rule.Host, c.rule.Port = "127.0.0.1", netip.MustParseAddrPort(server.Listener.Addr().String()).Port()
		p, err := egress.New(egress.Config{Name: "bench", Allow: []egress.Rule{c.rule}, AllowIP: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, DLP: c.dlp, Secrets: vaultSecrets{vault: vault}})
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				got, err := p.Do(b.Context(), &http.Request{Method: "POST", URL: to, Body: io.NopCloser(bytes.NewReader(text)), ContentLength: -1}, egress.Options{})
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, got.Response.Body)
				if err != nil || n != int64(len(text)) {
					b.Fatal(n, err)
				}
			}
		})
	}
	r, err := vault.Redactor()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("the search alone", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, n, _ := r.Next(text, 0, len(text)); n > 0 {
				b.Fatal("found")
			}
		}
	})
}
