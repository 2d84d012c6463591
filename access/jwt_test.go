package access

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// idp is an identity provider with a clock.
type idp struct {
	t    *testing.T
	mu   sync.Mutex
	keys map[string]crypto.Signer
	down bool
	asks int
	time time.Time
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{t: t, keys: map[string]crypto.Signer{}, time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.keys["rsa"] = rsaKey
	p.add("ec", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	p.add("ed", newEd25519)
	return p
}

func newEd25519() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func (p *idp) add(kid string, generate func() (crypto.Signer, error)) {
	p.t.Helper()
	key, err := generate()
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[kid] = key
}

func (p *idp) remove(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.keys, kid)
}

func (p *idp) fetch(context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asks++
	if p.down {
		return nil, errors.New("connection refused")
	}
	var set jose.JSONWebKeySet
	for kid, key := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
	}
	return json.Marshal(set)
}

func (p *idp) now() time.Time { return p.time }

func (p *idp) verifier() *Verifier {
	p.t.Helper()
	v, err := NewVerifier(Config{Issuer: "https://id.example.com", Audience: []string{"api"}, Fetch: p.fetch, Now: p.now})
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// token signs claims. change may alter them.
func (p *idp) token(kid string, change func(map[string]any)) string {
	p.t.Helper()
	claims := map[string]any{
		"iss": "https://id.example.com", "sub": "ada", "aud": "api", "role": "operator",
		"iat": p.time.Unix(), "exp": p.time.Add(5 * time.Minute).Unix(),
	}
	if change != nil {
		change(claims)
	}
	return p.sign(kid, p.keys[kid], claims)
}

func (p *idp) sign(kid string, key any, claims map[string]any) string {
	p.t.Helper()
	algorithm := map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ec": jose.ES256}[kid]
	if algorithm == "" {
		algorithm = jose.EdDSA
	}
	if _, ok := key.([]byte); ok {
		algorithm = jose.HS256
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// raw puts a token together by hand.
func raw(header, claims string, signature []byte) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(header)) + "." + e.EncodeToString([]byte(claims)) + "." + e.EncodeToString(signature)
}

func TestVerify(t *testing.T) {
	p := newIDP(t)
	v := p.verifier()
	for kid := range p.keys {
		who, err := v.Verify(t.Context(), p.token(kid, nil))
		if err != nil {
			t.Fatalf("signed by %s: %v", kid, err)
		}
		if who.Issuer != "https://id.example.com" || who.Subject != "ada" || who.Claims["role"] != "operator" {
			t.Errorf("signed by %s: %+v", kid, who)
		}
	}
	at := func(d time.Duration) int64 { return p.time.Add(d).Unix() }
	claims := `{"iss":"https://id.example.com","sub":"eve","aud":"api","exp":` + fmt.Sprint(at(time.Hour)) + `}`
	public, _ := x509.MarshalPKIXPublicKey(p.keys["rsa"].Public())
	confused := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	mac := hmac.New(sha256.New, confused)
	header := `{"alg":"HS256","kid":"rsa"}`
	mac.Write([]byte(strings.TrimSuffix(raw(header, claims, nil), ".")))
	other, _ := newEd25519()
	good := p.token("ed", nil)
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"expired":                     {p.token("ed", func(m map[string]any) { m["exp"] = at(-time.Minute) }), ErrExpired},
		"expired within the leeway":   {p.token("ed", func(m map[string]any) { m["exp"] = at(-20 * time.Second) }), nil},
		"without an expiry":           {p.token("ed", func(m map[string]any) { delete(m, "exp") }), ErrExpired},
		"not valid yet":               {p.token("ed", func(m map[string]any) { m["nbf"] = at(time.Minute) }), ErrNotYet},
		"issued in the future":        {p.token("ed", func(m map[string]any) { m["iat"] = at(time.Minute) }), ErrNotYet},
		"another audience":            {p.token("ed", func(m map[string]any) { m["aud"] = "shop" }), ErrAudience},
		"one of its audiences":        {p.token("ed", func(m map[string]any) { m["aud"] = []string{"shop", "api"} }), nil},
		"without an audience":         {p.token("ed", func(m map[string]any) { delete(m, "aud") }), ErrAudience},
		"another issuer":              {p.token("ed", func(m map[string]any) { m["iss"] = "https://id.example.com/" }), ErrIssuer},
		"alg none":                    {raw(`{"alg":"none"}`, claims, nil), ErrMalformed},
		"a public key as a secret":    {raw(header, claims, mac.Sum(nil)), ErrMalformed},
		"an RSA key's name, Ed25519":  {p.sign("rsa2", p.keys["ed"], map[string]any{}), ErrUnknownKey},
		"another's key of that name":  {p.sign("ed", other, map[string]any{"iss": "https://id.example.com", "aud": "api", "exp": at(time.Hour)}), ErrSignature},
		"a key that was never there":  {p.sign("nobody", other, map[string]any{"iss": "https://id.example.com"}), ErrUnknownKey},
		"a changed claim":             {swap(good, 1, `"sub":"ada"`, `"sub":"eve"`), ErrSignature},
		"a changed algorithm":         {swap(good, 0, "EdDSA", "RS256"), ErrUnknownKey},
		"too long":                    {good + strings.Repeat("A", maxToken), ErrMalformed},
		"nothing":                     {"", ErrMalformed},
		"two parts":                   {"a.b", ErrMalformed},
		"an expiry that is no number": {p.token("ed", func(m map[string]any) { m["exp"] = "soon" }), ErrMalformed},
	} {
		who, err := v.Verify(t.Context(), c.token)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if (who == nil) != (err != nil) {
			t.Errorf("%s: %v and %v", name, who, err)
		}
	}
}

// swap changes a part of a token.
func swap(token string, part int, from, to string) string {
	parts := strings.Split(token, ".")
	text, _ := base64.RawURLEncoding.DecodeString(parts[part])
	parts[part] = base64.RawURLEncoding.EncodeToString(bytes.Replace(text, []byte(from), []byte(to), 1))
	return strings.Join(parts, ".")
}

// TestBelievedTokens has a token that was verified a moment ago not outlive its time.
func TestBelievedTokens(t *testing.T) {
	p := newIDP(t)
	v := p.verifier()
	token := p.token("ed", func(m map[string]any) { m["exp"] = p.time.Add(10 * time.Second).Unix() })
	for _, c := range []struct {
		after time.Duration
		want  error
	}{{0, nil}, {30 * time.Second, nil}, {15 * time.Second, ErrExpired}} {
		p.time = p.time.Add(c.after)
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, c.want) {
			t.Errorf("at %v: %v, want %v", p.time, err, c.want)
		}
	}
}

func TestKeyRotation(t *testing.T) {
	p := newIDP(t)
	v := p.verifier()
	verify := func(what, token string, want error) {
		t.Helper()
		if _, err := v.Verify(t.Context(), token); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	old := p.token("ed", func(m map[string]any) { m["exp"] = p.time.Add(3 * time.Hour).Unix() })
	verify("the first key", old, nil)
	p.add("new", newEd25519)
	verify("a new key, too soon after the last fetch", p.token("new", nil), ErrUnknownKey)
	p.time = p.time.Add(keysRetry)
	verify("a new key", p.token("new", nil), nil)
	asks := p.asks
	for range 100 {
		verify("a key that is not there", p.sign("nobody", p.keys["ed"], map[string]any{}), ErrUnknownKey)
	}
	if p.asks > asks {
		t.Errorf("unknown keys had the set fetched %d times within %v", p.asks-asks, keysRetry)
	}

	p.remove("ed")
	p.time = p.time.Add(keysFresh)
	verify("a key that was taken back, when the set is renewed", old, ErrUnknownKey)

	current := p.token("new", func(m map[string]any) { m["exp"] = p.time.Add(3 * time.Hour).Unix() })
	verify("the new key", current, nil)
	p.down = true
	p.time = p.time.Add(keysFresh + keysRetry)
	verify("the issuer is down: the keys that are there serve", current, nil)
	p.time = p.time.Add(keysExpire)
	verify("until they expire", current, ErrKeys)
	p.down = false
	verify("not asked again at once", current, ErrKeys)
	p.time = p.time.Add(keysRetry)
	verify("the issuer is back", current, nil)
}

func TestKeysThatAreNotTaken(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]jose.JSONWebKey{
		"a short RSA key":       {Key: small.Public(), KeyID: "k"},
		"another curve":         {Key: p384.Public(), KeyID: "k"},
		"a key for encryption":  {Key: ed.Public(), KeyID: "k", Use: "enc"},
		"a secret":              {Key: []byte("secret"), KeyID: "k"},
		"another algorithm":     {Key: ed.Public(), KeyID: "k", Algorithm: "ES256"},
		"a set that has no key": {},
	} {
		set := jose.JSONWebKeySet{}
		if key.Key != nil {
			set.Keys = append(set.Keys, key)
		}
		s := keySet{now: time.Now, fetch: func(context.Context) ([]byte, error) { return json.Marshal(set) }}
		if got, err := s.key(t.Context(), keyID{"k", jose.EdDSA}); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestConcurrentVerification(t *testing.T) {
	p := newIDP(t)
	v := p.verifier()
	token := p.token("ec", nil)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p.asks != 1 {
		t.Errorf("the key set was fetched %d times", p.asks)
	}
}

func TestRules(t *testing.T) {
	var claims map[string]any
	if err := json.Unmarshal([]byte(`{"role":"operator","groups":["a","b"],"level":3,"admin":true,"realm":{"roles":["x"]},"https://example.com/team":"blue","odd":[["a"]]}`), &claims); err != nil {
		t.Fatal(err)
	}
	who := &Identity{Issuer: "https://id.example.com", Claims: claims}
	for _, c := range []struct {
		claim string
		want  bool
	}{
		{"role=operator", true}, {"role=oper", false}, {"role=", false}, {"groups=b", true}, {"groups=c", false}, {"level=3", true}, {"level=3.5", false},
		{"admin=true", true}, {"admin=false", false}, {"realm.roles=x", true}, {"realm=x", false}, {"https://example.com/team=blue", true}, {"none=", false}, {"odd=a", false},
	} {
		name, value, err := ParseClaim(c.claim)
		if err != nil {
			t.Fatal(err)
		}
		r := Rule{Claims: map[string]string{name: value}}
		if got := r.Admits(who); got != c.want {
			t.Errorf("%s: %v, want %v", c.claim, got, c.want)
		}
		if r.Admits(nil) {
			t.Errorf("%s: nobody passes", c.claim)
		}
	}
	if (Rule{}).Admits(nil) || !(Rule{}).Admits(who) || (Rule{Issuer: "https://other.example"}).Admits(who) {
		t.Error("the rule of an issuer")
	}
	for _, bad := range []string{"", "role", "=x"} {
		if _, _, err := ParseClaim(bad); err == nil {
			t.Errorf("%q was read as a claim", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add(raw(`{"alg":"none"}`, `{}`, nil))
	f.Add(raw(`{"alg":"EdDSA","kid":"ed"}`, `{"exp":1e300}`, make([]byte, 64)))
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "ed"}}})
	v, err := NewVerifier(Config{Issuer: "i", Audience: []string{"a"}, Fetch: func(context.Context) ([]byte, error) { return set, nil }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if who, err := v.Verify(t.Context(), token); err == nil {
			t.Errorf("%q is believed to be of %v", token, who)
		}
		_, _ = IssuerOf(token)
	})
}

func BenchmarkVerify(b *testing.B) {
	p := newIDP(&testing.T{})
	v := p.verifier()
	token := p.token("rsa", nil)
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
