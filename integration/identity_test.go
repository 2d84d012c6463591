package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

const whoAgent = `export default { async fetch(request, env, ctx) {
	if (!ctx.access) return Response.json(null);
	const { aud, method, subject } = ctx.access, identity = await ctx.access.getIdentity();
	try { ctx.access.subject = "forged"; } catch {}
	return Response.json({ aud, method, subject, after: ctx.access.subject, role: identity?.role, cn: identity?.cn });
} }`

// TestCtxAccess has code find who a request comes from, in a process of its own and in the gateway's; and rules that bind a claim to a part of
// the request.
func TestCtxAccess(t *testing.T) {
	twins(t, func(t *testing.T, isolation string) {
		p := newProvider(t)
		s := startServer(t, map[string]string{
			"Caddyfile": site("agent who {\n main ./who.ts\n isolation "+isolation+"\n}", strings.Replace(p.identity(), "identity {", "identity {\n\tservice_token ci sha256:"+strings.Repeat("0", 64), 1)+
				"@own path /users/*\naccess @own {\n\tallow jwt sub={path.1} role=user\n\tallow jwt role=admin\n}\nagent who"),
			"who.ts": whoAgent,
		})
		ask := func(path, token string) (int, string) {
			t.Helper()
			header := []string{"X-None", "1"}
			if token != "" {
				header = []string{"Authorization", "Bearer " + token}
			}
			resp, body := s.do("GET", path, "", header...)
			return resp.StatusCode, body
		}
		user := p.token(map[string]any{"role": "user"})
		_, body := ask("/", user)
		want(t, "a user", body, `{"aud":"api","method":"jwt","subject":"ada","after":"ada","role":"user"}`)
		_, body = ask("/", "")
		want(t, "nobody", body, "null")
		_, body = ask("/", p.token(map[string]any{"aud": "other"}))
		want(t, "a token for somebody else", body, "null")
		for _, c := range []struct {
			path, token string
			status      int
		}{
			{"/users/ada", user, 200}, {"/users/ada/actor", user, 200}, {"/users/bob", user, 403}, {"/users/", user, 403}, {"/users/%7Bpath.1%7D", user, 403}, {"/users/bob", p.token(map[string]any{"role": "admin"}), 200},
			{"/users/ada", p.token(map[string]any{"sub": "", "role": "user"}), 403}, {"/users/", p.token(map[string]any{"sub": "", "role": "user"}), 403}, {"/users/ada", "", 401},
		} {
			if status, body := ask(c.path, c.token); status != c.status {
				t.Errorf("%s: status %d, want %d: %s", c.path, status, c.status, body)
			}
		}
	})
}

// newCertificate is a certificate and its key: an authority's where by is nil, else that of a client or of the server of that name, which by issued.
func newCertificate(t *testing.T, name string, by *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: []string{name},
	}
	parent, signer := template, any(key)
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage, template.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	} else {
		parent, signer = by.Leaf, by.PrivateKey
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

// TestClientCertificate has clients with certificates of the site's authority, of another's, and with none.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	authority, other := newCertificate(t, "authority", nil), newCertificate(t, "other", nil)
	s := startServer(t, map[string]string{
		"Caddyfile": strings.Replace(secureSite("agent who {\n main ./who.ts\n}", "identity {\n\tmtls {\n\t\tca ./ca.pem\n\t}\n}\n@closed path /closed\naccess @closed {\n\tallow mtls cn=ann\n}\nagent who"),
			"tls internal\n", "tls internal {\n\tclient_auth {\n\t\tmode request\n\t}\n}\n", 1),
		"who.ts": whoAgent,
		"ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate[0]})),
	})
	s.waitSecure()
	for _, c := range []struct {
		name     string
		cert     *tls.Certificate
		status   int
		body     string
		identity string
		subject  string
	}{
		{"ann", newCertificate(t, "ann", authority), 200, `{"aud":"","method":"mtls","subject":"ann","after":"ann","cn":"ann"}`, "mtls", "ann"},
		{"bob", newCertificate(t, "bob", authority), 403, "", "mtls", "bob"},
		{"another ann", newCertificate(t, "ann", other), 401, "", "mtls: the certificate is of no authority that is believed", ""},
		{"nobody", nil, 401, "", "", ""},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		if c.cert != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*c.cert}
		}
		path := "/closed?" + fmt.Sprintf("%x", c.name)
		resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Get(s.secureURL(path))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		transport.CloseIdleConnections()
		if err != nil || resp.StatusCode != c.status || c.body != "" && string(body) != c.body {
			t.Errorf("%s: status %d, want %d: %s, %v", c.name, resp.StatusCode, c.status, body, err)
		}
		s.waitFull("the record of "+c.name, func(r fullRecord) bool {
			return r.Path == "/closed" && r.Identity == c.identity && r.Subject == c.subject
		})
	}
}
