package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// provider is an identity provider on the loopback.
type provider struct {
	*httptest.Server
	t    *testing.T
	mu   sync.Mutex
	key  crypto.Signer
	kid  string
	down bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{t: t}
	p.rotate("first")
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.down:
			w.WriteHeader(500)
		case r.URL.Path == "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, p.URL, p.URL+"/keys")
		case r.URL.Path == "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: p.kid}}})
		default:
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// rotate replaces the key.
func (p *provider) rotate(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.kid = key, kid
}

func (p *provider) token(claims map[string]any) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, (&jose.SignerOptions{}).WithHeader("kid", p.kid))
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]any{"iss": p.URL, "sub": "ada", "aud": "api", "exp": time.Now().Add(5 * time.Minute).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	text, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func (p *provider) identity() string {
	return "identity {\n\tjwt " + p.URL + " {\n\t\taudience api\n\t\tallow_ip 127.0.0.1\n\t}\n}\n"
}

func TestAccess(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, p.identity()+"access {\n\tallow jwt role=operator\n}\nheader >X-Subject {http.gatehouse.identity.subject}\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	operator := p.token(map[string]any{"role": "operator"})
	for _, c := range []struct {
		name, header, value string
		status              int
		challenge           string
		identity            string
	}{
		{"nobody", "X-None", "", 401, "Bearer", ""},
		{"an operator", "Authorization", "Bearer " + operator, 200, "", "jwt"},
		{"an operator by a proxy", "Cf-Access-Jwt-Assertion", operator, 200, "", "jwt"},
		{"a visitor", "Authorization", "Bearer " + p.token(map[string]any{"role": "visitor"}), 403, "", "jwt"},
		{"an expired one", "Authorization", "bearer " + p.token(map[string]any{"role": "operator", "exp": time.Now().Add(-time.Hour).Unix()}), 401, `Bearer error="invalid_token"`, "jwt: expired, or without an expiry"},
		{"for somebody else", "Authorization", "Bearer " + p.token(map[string]any{"role": "operator", "aud": "shop"}), 401, `Bearer error="invalid_token"`, "jwt: meant for another audience"},
		{"of another issuer", "Authorization", "Bearer " + p.token(map[string]any{"role": "operator", "iss": "https://other.example"}), 401, `Bearer error="invalid_token"`, "jwt: of another issuer"},
		{"a key of an API", "Authorization", "Bearer sk-1234", 401, `Bearer error="invalid_token"`, "jwt: no token that could be verified, or of an algorithm that is not taken"},
		{"a password", "Authorization", "Basic YTpi", 401, "Bearer", ""},
	} {
		path := "/" + fmt.Sprintf("%x", c.name)
		resp, body := s.do("GET", path, "", c.header, c.value, "X-Case", c.name)
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, resp.StatusCode, c.status, body)
		}
		want(t, c.name+": challenge", resp.Header.Get("WWW-Authenticate"), c.challenge)
		if c.status != 200 {
			mustContain(t, c.name+": the answer", body, "#access", fmt.Sprintf(`"status":%d`, c.status))
		}
		r := s.waitFull("the record of "+c.name, ofPath(path))
		want(t, c.name+": identity", r.Identity, c.identity)
		want(t, c.name+": ran", r.Ran, c.status == 200)
		if c.status == 200 {
			want(t, "access", r.Access, "allow jwt role=operator")
			want(t, "subject in the record", r.Subject, "ada")
			want(t, "subject in a placeholder", resp.Header.Get("X-Subject"), "ada")
		}
	}
}

// TestAccessWhenKeysCannotBeHad has an issuer that does not answer: nobody is believed, and everybody is once it does.
func TestAccessWhenKeysCannotBeHad(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.down = true
	s := startServer(t, map[string]string{
		"Caddyfile": site("", p.identity()+"access {\n\tallow jwt\n}\nrespond hello"),
	})
	token := p.token(nil)
	resp, _ := s.do("GET", "/down", "", "Authorization", "Bearer "+token)
	want(t, "status while the issuer is down", resp.StatusCode, 401)
	mustContain(t, "the record", s.waitFull("the record", ofPath("/down")).Identity, "the issuer's keys cannot be had", "status 500")
	p.mu.Lock()
	p.down = false
	p.mu.Unlock()
	s.wait("the token to be believed", func() bool {
		resp, _ := s.do("GET", "/up", "", "Authorization", "Bearer "+token)
		return resp.StatusCode == 200
	})
}

// TestServiceTokens makes a token by the command, as an operator does, and uses it.
func TestServiceTokens(t *testing.T) {
	t.Parallel()
	s := newServer(t, map[string]string{"agent.ts": `export default {
	fetch(request) { return Response.json([...request.headers.keys()].filter((name) => name.startsWith("cf-access"))); },
};`})
	type token struct{ Name, Secret, Digest string }
	made := func(name string) (k token) {
		out, errs, err := s.command("", "gatehouse", "service-token", name, "--json")
		if err != nil {
			t.Fatalf("%v: %s", err, errs)
		}
		return decode[token](t, out)
	}
	ci, cron := made("ci"), made("cron")
	text, _, err := s.command("", "gatehouse", "service-token", "ci")
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, "the form for people", text, "Cf-Access-Client-Secret: ", "service_token ci sha256:", "allow service_token ci")
	s.write("Caddyfile", site("agent echo {\n\tmain ./agent.ts\n}", fmt.Sprintf("identity {\n\tservice_token ci %s\n\tservice_token cron %s\n}\naccess {\n\tallow service_token ci\n}\nagent echo", ci.Digest, cron.Digest)))
	s.start()
	for name, c := range map[string]struct {
		id, secret string
		status     int
	}{
		"the token": {"ci", ci.Secret, 200}, "a token that may not": {"cron", cron.Secret, 403}, "another's secret": {"ci", cron.Secret, 401},
		"no secret": {"ci", "", 401}, "the digest": {"ci", ci.Digest, 401},
	} {
		resp, body := s.do("GET", "/", "", "CF-Access-Client-Id", c.id, "CF-Access-Client-Secret", c.secret)
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", name, resp.StatusCode, c.status, body)
		}
		if c.status == 200 {
			want(t, "what code sees of it", body, `["cf-access-client-id"]`)
		}
	}
	r := s.waitFull("the record", func(r fullRecord) bool { return r.Status == 200 })
	want(t, "subject", r.Subject, "ci")
	want(t, "identity", r.Identity, "service_token")
	want(t, "access", r.Access, "allow service_token ci")
	for _, secret := range []string{ci.Secret, cron.Secret} {
		if strings.Contains(s.logged(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestAccessInShadow(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := startServer(t, map[string]string{
		"Caddyfile": site("", p.identity()+"access {\n\tallow jwt role=operator\n\tmode shadow\n}\nrespond hello"),
	})
	want(t, "nobody", s.get("/nobody", 200), "hello")
	refusals := s.shadowOf("/nobody")
	if len(refusals) != 1 || refusals[0].Stage != "access" || refusals[0].Status != 401 {
		t.Errorf("refused in shadow: %+v", refusals)
	}
}
