package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-edge/gatehouse/secrets"
)

// tokenServer is an OAuth server that gives each refresh token once.
type tokenServer struct {
	*httptest.Server
	mu      sync.Mutex
	refresh string // the one that is good; empty: any request is answered
	asked   []url.Values
	auth    []string
	answers []func(w http.ResponseWriter) // to the next requests, instead of tokens
	life    int                           // of access tokens, in seconds; 0 is not said
	made    int
}

func newTokenServer(t *testing.T) *tokenServer {
	s := &tokenServer{life: 3600}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = r.ParseForm()
		s.asked, s.auth = append(s.asked, r.PostForm), append(s.auth, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		if len(s.answers) > 0 {
			f := s.answers[0]
			s.answers = s.answers[1:]
			f(w)
			return
		}
		if s.refresh != "" && r.PostForm.Get("refresh_token") != s.refresh {
			refuse("invalid_grant", "no token "+r.PostForm.Get("refresh_token"))(w)
			return
		}
		s.made++
		answer := map[string]any{"access_token": fmt.Sprintf("access-token-%d", s.made), "token_type": "Bearer"}
		if s.life != 0 {
			answer["expires_in"] = s.life
		}
		if s.refresh != "" {
			s.refresh = fmt.Sprintf("refresh-token-%d", s.made)
			answer["refresh_token"] = s.refresh
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func refuse(code, description string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
	}
}

func fail(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(status) }
}

func (s *tokenServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// fixture is a client with its clock, vault and what was given to it.
type fixture struct {
	t      *testing.T
	server *tokenServer
	vault  *secrets.Vault
	cfg    Config
	given  Given
	now    time.Time
	failed []error
}

func newFixture(t *testing.T, grant string) *fixture {
	f := &fixture{t: t, server: newTokenServer(t), now: time.Now()}
	ring, err := secrets.KeyringFile{Path: filepath.Join(t.TempDir(), "keyring.json")}.Open()
	if err != nil {
		t.Fatal(err)
	}
	if f.vault, err = secrets.OpenVault(secrets.VaultConfig{Path: filepath.Join(t.TempDir(), "secrets.json"), Keyring: ring}); err != nil {
		t.Fatal(err)
	}
	f.given.ClientSecret = secrets.NewValue("the-client's secret&")
	if grant == GrantRefreshToken {
		f.server.refresh = "refresh-token-seed"
		f.given.RefreshToken = secrets.NewValue("refresh-token-seed")
	}
	f.cfg = Config{
		Name: "crm", TokenURL: f.server.URL + "/token", ClientID: "abc", Auth: AuthBasic, Grant: grant, Scope: []string{"read", "write"},
		Vault: f.vault, HTTP: http.DefaultClient,
		Given:  func() (Given, error) { return f.given, nil },
		Now:    func() time.Time { return f.now },
		Failed: func(err error) { f.failed = append(f.failed, err) },
	}
	return f
}

func (f *fixture) client() *Client {
	f.t.Helper()
	c, err := New(f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) token(c *Client, want string) {
	f.t.Helper()
	got, err := c.Token(f.t.Context())
	if err != nil || got.Reveal() != want {
		f.t.Fatalf("got %s, %v; want %s", got.Reveal(), err, want)
	}
}

func TestRefresh(t *testing.T) {
	f := newFixture(t, GrantRefreshToken)
	c := f.client()
	f.token(c, "access-token-1")
	f.token(c, "access-token-1")
	if got := f.server.asked[0]; got.Get("grant_type") != "refresh_token" || got.Get("scope") != "read write" || f.server.auth[0] != "Basic YWJjOnRoZS1jbGllbnQlMjdzK3NlY3JldCUyNg==" {
		t.Error(got, f.server.auth[0])
	}
	f.now = f.now.Add(58 * time.Minute)
	f.token(c, "access-token-1")
	f.now = f.now.Add(90 * time.Second)
	f.token(f.client(), "access-token-2") // another process goes on with what was kept
	if n := f.server.count(); n != 2 || f.server.asked[1].Get("refresh_token") != "refresh-token-1" {
		t.Error(n, f.server.asked[1])
	}
	values, err := f.vault.Group("oauth/crm")
	if err != nil || values["previous"].Reveal() != "access-token-1" || values["refresh"].Reveal() != "refresh-token-2" {
		t.Error(values, err)
	}
}

func TestOneRefresh(t *testing.T) {
	f := newFixture(t, GrantRefreshToken)
	c := f.client()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if got, err := c.Token(context.Background()); err != nil || got.Reveal() != "access-token-1" {
				t.Error(got.Reveal(), err)
			}
		})
	}
	all.Wait()
	if n := f.server.count(); n != 1 {
		t.Errorf("%d refreshes", n)
	}
}

func TestTheFirstCallerGoes(t *testing.T) {
	f := newFixture(t, GrantClientCredentials)
	reached, goOn := make(chan struct{}), make(chan struct{})
	f.server.answers = append(f.server.answers, func(w http.ResponseWriter) {
		close(reached)
		<-goOn
		fmt.Fprint(w, `{"access_token":"access-token-slow","expires_in":60}`)
	})
	c := f.client()
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.Token(ctx)
		first <- err
	}()
	<-reached
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(goOn)
	f.token(c, "access-token-slow")
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, GrantRefreshToken)
	f.server.refresh = "another"
	c := f.client()
	for range 5 {
		_, err := c.Token(t.Context())
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Code != "invalid_grant" || refused.Lost || strings.Contains(err.Error(), "seed") || !strings.Contains(err.Error(), "[redacted:oauth/crm/refresh]") {
			t.Fatal(err)
		}
		c = f.client()
	}
	if n := f.server.count(); n != 1 || len(f.failed) != 1 {
		t.Errorf("asked %d times, reported %d times", n, len(f.failed))
	}
	f.given.RefreshToken = secrets.NewValue("another")
	f.token(c, "access-token-1")

	// What the answer depends on is changed.
	f = newFixture(t, GrantClientCredentials)
	f.server.answers = append(f.server.answers, refuse("invalid_client", ""))
	c = f.client()
	for range 2 {
		if _, err := c.Token(t.Context()); err == nil || f.server.count() != 1 {
			t.Fatal(err, f.server.count())
		}
	}
	f.given.ClientSecret = secrets.NewValue("the right secret")
	f.token(c, "access-token-1")
}

func TestTransientErrors(t *testing.T) {
	f := newFixture(t, GrantRefreshToken)
	f.server.answers = append(f.server.answers, fail(503), fail(429))
	c := f.client()
	f.token(c, "access-token-1")
	f.now = f.now.Add(59*time.Minute + 30*time.Second)
	for range 3 {
		f.server.answers = append(f.server.answers, fail(500))
	}
	f.token(c, "access-token-1") // still good
	f.token(c, "access-token-1")
	if n := f.server.count(); n != 6 {
		t.Errorf("asked %d times", n)
	}
	f.now = f.now.Add(time.Minute) // over
	for range 3 {
		f.server.answers = append(f.server.answers, func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") })
	}
	for range 10 {
		if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "oauth crm: no token could be had") {
			t.Fatal(err)
		}
	}
	if n := f.server.count(); n != 9 {
		t.Errorf("asked %d times", n)
	}
	f.now = f.now.Add(2 * rest)
	f.token(c, "access-token-2")
	if len(f.failed) != 0 {
		t.Error(f.failed)
	}
}

// A refresh breaks off between the server's answer and the vault.
func TestLostAnswer(t *testing.T) {
	for _, lenient := range []bool{true, false} {
		f := newFixture(t, GrantRefreshToken)
		crashed := errors.New("crashed")
		ctx, crash := context.WithCancelCause(t.Context())
		f.server.answers = append(f.server.answers, func(http.ResponseWriter) {
			if !lenient {
				f.server.refresh = "refresh-token-nobody-got"
			}
			crash(crashed)
			panic(http.ErrAbortHandler)
		})
		c := f.client()
		if _, err := c.refresh(ctx); err == nil {
			t.Fatal("no error")
		}
		_, err := f.client().Token(t.Context())
		var refused *RefusedError
		switch {
		case lenient && err != nil:
			t.Error(err)
		case !lenient && (!errors.As(err, &refused) || !refused.Lost || len(f.failed) != 1):
			t.Error(err, f.failed)
		}
	}
}

func TestGrants(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "jwk": string(jwk)} {
		f := newFixture(t, GrantJWTBearer)
		f.given.Key, f.cfg.KeyID, f.cfg.Subject, f.cfg.Auth = secrets.NewValue(text), "k1", "somebody@example.com", AuthNone
		f.given.ClientSecret = secrets.Value{}
		f.token(f.client(), "access-token-1")
		asked := f.server.asked[0]
		token, err := jwt.ParseSigned(asked.Get("assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(name, err)
		}
		var claims jwt.Claims
		if err := token.Claims(&key.PublicKey, &claims); err != nil {
			t.Fatal(name, err)
		}
		if err := claims.Validate(jwt.Expected{Issuer: "abc", Subject: "somebody@example.com", AnyAudience: jwt.Audience{f.server.URL + "/token"}, Time: time.Now()}); err != nil {
			t.Error(name, err)
		}
		if token.Headers[0].KeyID != "k1" || asked.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || asked.Get("client_id") != "abc" || asked.Has("client_secret") {
			t.Error(name, asked)
		}
	}
	f := newFixture(t, GrantTokenExchange)
	f.given.SubjectToken, f.cfg.Auth, f.cfg.Params = secrets.NewValue("the subject's token"), AuthPost, map[string]string{"audience": "crm"}
	f.token(f.client(), "access-token-1")
	for name, want := range map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": "the subject's token", "audience": "crm",
		"subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "client_secret": "the-client's secret&", "client_id": "abc", "scope": "read write",
	} {
		if got := f.server.asked[0].Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	f = newFixture(t, GrantClientCredentials)
	f.server.life = 0
	c := f.client()
	f.token(c, "access-token-1")
	f.now = f.now.Add(time.Hour)
	f.token(c, "access-token-2")
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", `{"kty":"oct","k":"c2VjcmV0"}`} {
		if err := CheckKey(secrets.NewValue(bad)); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
}
