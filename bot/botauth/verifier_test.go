package botauth

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// signer is an agent, with a directory that a test can spoil.
type signer struct {
	origin string
	keys   []ed25519.PrivateKey // those of the directory
	now    time.Time
	status int
	media  string
	cache  string
	proof  func(params string) string // what is put around the directory's signature parameters
	as     string                     // the authority that the directory signs for
	body   []byte                     // instead of the keys
	err    error

	mu    sync.Mutex
	asked []string
}

var (
	start  = time.Unix(1_800_000_000, 0)
	oneKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("1", 32)))
	twoKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("2", 32)))
)

func newSigner(keys ...ed25519.PrivateKey) *signer {
	return &signer{origin: "https://agent.example.com", keys: keys, now: start, status: 200, media: DirectoryType, as: "agent.example.com"}
}

func jwk(key ed25519.PrivateKey) string {
	return fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
}

// thumb is a key's thumbprint, by RFC 8037, appendix A.3: the members in this order and no space between.
func thumb(key ed25519.PrivateKey) string {
	sum := sha256.Sum256([]byte(jwk(key)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sign adds a signature's fields to a header.
func sign(h http.Header, label, params, base string, key ed25519.PrivateKey) {
	value := ed25519.Sign(key, []byte(base+`"@signature-params": `+params))
	h.Add("Signature-Input", label+"="+params)
	h.Add("Signature", label+"=:"+base64.StdEncoding.EncodeToString(value)+":")
}

func (s *signer) fetch(_ context.Context, address string) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, address)
	if s.err != nil {
		return nil, s.err
	}
	h := http.Header{"Content-Type": {s.media}}
	if s.cache != "" {
		h.Set("Cache-Control", s.cache)
	}
	texts := make([]string, len(s.keys))
	for i, key := range s.keys {
		texts[i] = jwk(key)
		params := fmt.Sprintf(`("@authority";req);created=%d;expires=%d;keyid="%s";tag="http-message-signatures-directory"`, s.now.Unix(), s.now.Add(time.Hour).Unix(), thumb(key))
		base := `"@authority";req: ` + s.as + "\n"
		if s.proof != nil {
			if params = s.proof(params); params == "" {
				continue
			}
		}
		sign(h, fmt.Sprintf("binding%d", i), params, base, key)
	}
	body := s.body
	if body == nil {
		body = []byte(`{"keys":[` + strings.Join(texts, ",") + `]}`)
	}
	return &Answer{Status: s.status, Header: h, Body: body}, nil
}

func (s *signer) verifier(t *testing.T, change func(*Config)) *Verifier {
	t.Helper()
	c := Config{Fetch: s.fetch, Nonces: NewNonces(start.Add(-time.Hour)), Now: func() time.Time { return s.now }}
	if change != nil {
		change(&c)
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// signed is a request that key signed. Its parts may be changed before it is signed.
type signed struct {
	authority, agent, component, params string
	created, expires                    time.Time
	nonce                               string
}

var nonces atomic.Int64

func (s *signer) signed() signed {
	return signed{
		authority: "site.example.com", agent: `sig1="` + s.origin + `"`, component: `"signature-agent";key="sig1"`,
		created: s.now, expires: s.now.Add(time.Minute), nonce: fmt.Sprintf(`;nonce="n%d"`, nonces.Add(1)),
	}
}

func (q signed) request(key ed25519.PrivateKey) *http.Request {
	r := httptest.NewRequest("GET", "https://site.example.com/path", nil)
	value := q.agent
	if strings.Contains(q.component, "key=") {
		_, value, _ = strings.Cut(q.agent, "=")
	}
	covered, base := `"@authority"`, `"@authority": `+q.authority+"\n"
	if q.component != "" {
		covered += " " + q.component
		base += q.component + ": " + value + "\n"
	}
	if q.agent != "" {
		r.Header.Set("Signature-Agent", q.agent)
	}
	params := q.params
	if params == "" {
		params = fmt.Sprintf(`;created=%d;expires=%d;keyid="%s";tag="web-bot-auth"`, q.created.Unix(), q.expires.Unix(), thumb(key))
	}
	sign(r.Header, "sig1", "("+covered+")"+params+q.nonce, base, key)
	return r
}

func TestVerify(t *testing.T) {
	for _, c := range []struct {
		name      string
		directory func(*signer)
		request   func(*signed)
		config    func(*Config)
		change    func(*http.Request)
		want      error
	}{
		{name: "in order"},
		{name: "by the older form", request: func(q *signed) { q.agent, q.component = `"https://agent.example.com"`, `"signature-agent"` }},
		{name: "the whole dictionary", request: func(q *signed) { q.component = `"signature-agent"` }},
		{name: "of the type directory", request: func(q *signed) { q.agent += ";type=directory" }},
		{name: "an agent that is asked", config: func(c *Config) { c.Agents = []string{"https://AGENT.example.com/"} }},
		{name: "clocks that are a little apart", request: func(q *signed) { q.created = q.created.Add(20 * time.Second) }},
		{name: "a directory with more keys", directory: func(s *signer) { s.keys = append(s.keys, twoKey) }},

		{name: "unsigned", change: func(r *http.Request) { r.Header.Del("Signature-Input") }, want: ErrUnsigned},
		{name: "of another tag", change: func(r *http.Request) {
			r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), "web-bot-auth", "other", 1))
		}, want: ErrUnsigned},
		{name: "no list", change: func(r *http.Request) { r.Header.Set("Signature-Input", "sig1=1") }, want: ErrMalformed},
		{name: "no dictionary", change: func(r *http.Request) { r.Header.Set("Signature-Input", "((") }, want: ErrMalformed},
		{name: "too long", change: func(r *http.Request) { r.Header.Set("Signature-Input", strings.Repeat("a", maxField+1)) }, want: ErrMalformed},
		{name: "no value", change: func(r *http.Request) { r.Header.Del("Signature") }, want: ErrMalformed},
		{name: "a value that is no bytes", change: func(r *http.Request) { r.Header.Set("Signature", "sig1=1") }, want: ErrMalformed},
		{name: "twice", change: func(r *http.Request) {
			r.Header.Add("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), "sig1", "sig2", 1))
			r.Header.Add("Signature", strings.Replace(r.Header.Get("Signature"), "sig1", "sig2", 1))
		}, want: ErrMalformed},
		{name: "for another authority", request: func(q *signed) { q.authority = "other.example.com" }, want: ErrSignature},
		{name: "altered", change: func(r *http.Request) {
			r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(make([]byte, 64))+":")
		}, want: ErrSignature},
		{name: "expired", request: func(q *signed) {
			q.created, q.expires = q.created.Add(-2*time.Minute), q.created.Add(-31*time.Second)
		}, want: ErrExpired},
		{name: "of the future", request: func(q *signed) { q.created = q.created.Add(31 * time.Second) }, want: ErrNotYet},
		{name: "good for too long", request: func(q *signed) { q.expires = q.created.Add(25 * time.Hour) }, want: ErrTimes},
		{name: "that ends before it begins", request: func(q *signed) { q.expires = q.created.Add(-time.Second) }, want: ErrTimes},
		{name: "without times", request: func(q *signed) { q.params = `;keyid="` + thumb(oneKey) + `";tag="web-bot-auth"` }, want: ErrTimes},
		{name: "without a key", request: func(q *signed) { q.params = `;created=1800000000;expires=1800000060;tag="web-bot-auth"` }, want: ErrMalformed},
		{name: "of another algorithm", request: func(q *signed) { q.nonce += `;alg="hmac-sha256"` }, want: ErrAlgorithm},
		{name: "without a nonce", request: func(q *signed) { q.nonce = "" }, want: ErrNonce},
		{name: "with a long nonce", request: func(q *signed) { q.nonce = `;nonce="` + strings.Repeat("n", maxNonce+1) + `"` }, want: ErrNonce},
		{name: "made before the start", config: func(c *Config) { c.Nonces = NewNonces(start.Add(time.Second)) }, want: ErrBeforeStart},
		{name: "without the agent", request: func(q *signed) { q.agent, q.component = "", "" }, want: ErrAgent},
		{name: "that leaves the agent uncovered", request: func(q *signed) { q.component = "" }, want: ErrComponents},
		{name: "an agent of no origin", request: func(q *signed) { q.agent = `sig1="https://agent.example.com/path"` }, want: ErrAgent},
		{name: "an agent over http", request: func(q *signed) { q.agent = `sig1="http://agent.example.com"` }, want: ErrAgent},
		{name: "an agent of another type", request: func(q *signed) { q.agent += ";type=jwks_uri" }, want: ErrAgent},
		{name: "an agent that is no text", request: func(q *signed) { q.agent = `sig1=5` }, want: ErrAgent},
		{name: "an agent that is not asked", config: func(c *Config) { c.Agents = []string{"https://other.example.com"} }, want: ErrNotAsked},

		{name: "a directory that cannot be had", directory: func(s *signer) { s.err = errors.New("no route") }, want: ErrUnreachable},
		{name: "a directory that redirects", directory: func(s *signer) { s.status = 302 }, want: ErrRedirects},
		{name: "a directory that is not there", directory: func(s *signer) { s.status = 404 }, want: ErrDirectory},
		{name: "a directory of another type", directory: func(s *signer) { s.media = "application/json" }, want: ErrDirectory},
		{name: "a directory that is no JSON", directory: func(s *signer) { s.body = []byte("<html>") }, want: ErrDirectory},
		{name: "a directory without keys", directory: func(s *signer) { s.body = []byte(`{"keys":[{"kty":"RSA"}]}`) }, want: ErrDirectory},
		{name: "a directory with too many keys", directory: func(s *signer) { s.body = []byte(`{"keys":[` + strings.Repeat("1,", maxKeys) + `1]}`) }, want: ErrDirectory},
		{name: "a directory of another origin", directory: func(s *signer) { s.as = "other.example.com" }, want: ErrOrigin},
		{name: "a directory that signs nothing", directory: func(s *signer) { s.proof = func(string) string { return "" } }, want: ErrOrigin},
		{name: "a directory whose signature is over", directory: func(s *signer) {
			s.proof = func(p string) string {
				return strings.NewReplacer("created=1800000000", "created=1700000000", "expires=1800003600", "expires=1700003600").Replace(p)
			}
		}, want: ErrExpired},
		{name: "a directory that signs without its authority", directory: func(s *signer) {
			s.proof = func(p string) string { return strings.Replace(p, `"@authority";req`, `"@status"`, 1) }
		}, want: ErrOrigin},
		{name: "a directory with another key", directory: func(s *signer) { s.keys = []ed25519.PrivateKey{twoKey} }, want: ErrUnknownKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSigner(oneKey)
			if c.directory != nil {
				c.directory(s)
			}
			v := s.verifier(t, c.config)
			q := s.signed()
			if c.request != nil {
				c.request(&q)
			}
			r := q.request(oneKey)
			if c.change != nil {
				c.change(r)
			}
			got, err := v.Verify(t.Context(), r)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if c.want == nil && (got == nil || got.Origin != s.origin || got.KeyID != thumb(oneKey)) {
				t.Errorf("it is of %+v", got)
			}
			if c.want != nil && got != nil {
				t.Errorf("%v, and of %+v", err, got)
			}
		})
	}
}

// TestDraftVectors verifies the signatures by Ed25519 of the protocol's draft, whose directory is its own vector too.
func TestDraftVectors(t *testing.T) {
	now := time.Unix(1735689600, 0)
	v, err := New(Config{
		Now: func() time.Time { return now }, Nonces: NewNonces(now), MaxLifetime: 200 * 365 * 24 * time.Hour,
		Fetch: func(_ context.Context, address string) (*Answer, error) {
			if address != "https://signature-agent.test"+DirectoryPath {
				return nil, fmt.Errorf("asked for %s", address)
			}
			return &Answer{Status: 200, Header: http.Header{
				"Content-Type":    {DirectoryType},
				"Content-Digest":  {"sha-256=:CADMT2aBdV/rqQr/NIru64ERQkCobVvllA4V0fLFDu0=:"},
				"Signature":       {"binding0=:yiHq0TXrbpzbmlttAQMpYoAufitFJUWuNsakB7QQMoN0EHbo5o51bZRVR8az/ptTWCwllix9clrKXfGKwdPzBg==:"},
				"Signature-Input": {`binding0=("@authority";req "content-digest");created=1735689600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";expires=4889289600;tag="http-message-signatures-directory"`},
			}, Body: []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs","use":"sig"}]}`)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "https://example.com/path/to/resource", nil)
	r.Header.Set("Signature-Agent", `agent2="https://signature-agent.test"`)
	r.Header.Set("Signature-Input", `sig2=("@authority" "signature-agent";key="agent2");created=1735689600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";expires=4889289600;nonce="n9p433xm+NJ3ph3upfBIGmsuwHw387YV7Q/F+6BSpGCVjYCqQw6rznNA8PVVLySrAWsv0hQtFioQb6E1YsauiA==";tag="web-bot-auth"`)
	r.Header.Set("Signature", "sig2=:RdNFx5Bj6au3YgAMQL/RzmUlZE8QZLIaXGRpw985hWnwPfMxT228NMk6ehRS1PSl4e8PhbNZACSanGdhEwYCCg==:")
	agent, err := v.Verify(t.Context(), r)
	if err != nil || agent.Origin != "https://signature-agent.test" {
		t.Fatalf("%+v, %v", agent, err)
	}
	if _, err := v.Verify(t.Context(), r); !errors.Is(err, ErrReplayed) {
		t.Errorf("a second time: %v", err)
	}

	// The vector without an agent is good as a signature, and nobody's as a request.
	r = httptest.NewRequest("GET", "https://example.com/path/to/resource", nil)
	r.Header.Set("Signature-Input", `sig1=("@authority");created=1735689600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519";expires=4889289600;nonce="zIW8+cdmA3vdYagbxojpONwa/l0EKJ/O3/wD486VvsQjO/RxPaSt6ZxvQaMcQzNnqKN/mQ6hpGiFro2L2qkz5A==";tag="web-bot-auth"`)
	r.Header.Set("Signature", "sig1=:QKN4fTdIYfh82fvoZCQiQA1weuozfCS/Led2zTMbewMMqH8PI2Wsy/5c4ao6B6D09nraNQdBNOADg8aM1MqfCg==:")
	found, err := signatures(r.Header, requestTag)
	if err != nil || len(found) != 1 || found[0].verify(requestMessage(r), rfcKey) != nil {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := v.Verify(t.Context(), r); !errors.Is(err, ErrAgent) {
		t.Errorf("without an agent: %v", err)
	}
	// That of an RSA key is refused for its algorithm.
	r.Header.Set("Signature-Input", strings.Replace(r.Header.Get("Signature-Input"), `"ed25519"`, `"rsa-pss-sha512"`, 1))
	if _, err := v.Verify(t.Context(), r); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("RSA: %v", err)
	}
}

// TestReplay sends one request from many at once: one is believed.
func TestReplay(t *testing.T) {
	s := newSigner(oneKey)
	v := s.verifier(t, nil)
	r := s.signed().request(oneKey)
	var good, replayed atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch _, err := v.Verify(t.Context(), r); {
			case err == nil:
				good.Add(1)
			case errors.Is(err, ErrReplayed):
				replayed.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 || replayed.Load() != 31 {
		t.Errorf("%d were believed and %d replayed", good.Load(), replayed.Load())
	}
	if len(s.asked) != 1 {
		t.Errorf("the directory was asked for %d times", len(s.asked))
	}
	// Another configuration with the same memory does not believe it either.
	if _, err := s.verifier(t, func(c *Config) { c.Nonces = v.config.Nonces }).Verify(t.Context(), r); !errors.Is(err, ErrReplayed) {
		t.Errorf("after a reload: %v", err)
	}
}

// TestNonceSpace fills the memory of one agent's nonces, which leaves room for others and empties as the signatures end.
func TestNonceSpace(t *testing.T) {
	n := NewNonces(start)
	for i := range maxNoncesOfAgent {
		if err := n.use("a", "k", fmt.Sprint(i), start, start.Add(time.Minute)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := n.use("a", "k", "more", start, start.Add(time.Minute)); !errors.Is(err, ErrNonceSpace) {
		t.Errorf("over the bound: %v", err)
	}
	if err := n.use("b", "k", "more", start, start.Add(time.Minute)); err != nil {
		t.Errorf("another agent: %v", err)
	}
	later := start.Add(2 * time.Minute)
	if err := n.use("a", "k", "more", later, later.Add(time.Minute)); err != nil {
		t.Errorf("after they have ended: %v", err)
	}
	if len(n.used) != 1 || n.count["a"] != 1 || n.count["b"] != 0 {
		t.Errorf("%d are remembered, %v", len(n.used), n.count)
	}
}

// TestRotation takes a key out of the directory, and puts another in.
func TestRotation(t *testing.T) {
	s := newSigner(oneKey)
	s.cache = "max-age=600"
	v := s.verifier(t, nil)
	verify := func(key ed25519.PrivateKey) error {
		_, err := v.Verify(t.Context(), s.signed().request(key))
		return err
	}
	if err := verify(oneKey); err != nil {
		t.Fatal(err)
	}
	s.keys = []ed25519.PrivateKey{twoKey}
	if err := verify(twoKey); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a new key a moment after the directory was fetched: %v", err)
	}
	s.now = s.now.Add(fetchRetry)
	if err := verify(twoKey); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if err := verify(oneKey); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that was rotated out: %v", err)
	}
	if len(s.asked) != 2 {
		t.Errorf("the directory was asked for %d times, want 2", len(s.asked))
	}
	// Known keys serve while the directory is away, until their time is over.
	s.err = errors.New("away")
	s.now = s.now.Add(5 * time.Minute)
	if err := verify(twoKey); err != nil {
		t.Errorf("a fresh key: %v", err)
	}
	s.now = s.now.Add(6 * time.Minute)
	for range 3 {
		if err := verify(twoKey); !errors.Is(err, ErrUnreachable) {
			t.Errorf("a key of a directory that is over: %v", err)
		}
	}
	if len(s.asked) != 3 {
		t.Errorf("the directory was asked for %d times, want 3: a failure is remembered", len(s.asked))
	}
}

// TestKeyTimes has keys that say when they are valid, in seconds and in milliseconds.
func TestKeyTimes(t *testing.T) {
	s := newSigner(oneKey)
	for _, c := range []struct {
		times string
		want  error
	}{
		{`"nbf":1799999000,"exp":1800000500`, nil},
		{`"nbf":1799999000000,"exp":1800000500000`, nil},
		{`"nbf":1800000500`, ErrKeyTime},
		{`"exp":1799999000`, ErrKeyTime},
		{`"exp":1799999000000`, ErrKeyTime},
	} {
		s.body = []byte(`{"keys":[` + strings.TrimSuffix(jwk(oneKey), "}") + "," + c.times + `}]}`)
		if _, err := s.verifier(t, nil).Verify(t.Context(), s.signed().request(oneKey)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.times, err, c.want)
		}
	}
}

// TestManyDirectories asks for more than are kept: those without keys go first.
func TestManyDirectories(t *testing.T) {
	s := newSigner(oneKey)
	v := s.verifier(t, nil)
	if _, err := v.Verify(t.Context(), s.signed().request(oneKey)); err != nil {
		t.Fatal(err)
	}
	s.err = errors.New("none")
	for i := range maxDirectories + 50 {
		q := s.signed()
		q.agent = fmt.Sprintf(`sig1="https://a%d.example.com"`, i)
		if _, err := v.Verify(t.Context(), q.request(oneKey)); !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
	}
	if len(v.directories.byOrigin) != maxDirectories || v.directories.byOrigin[s.origin] == nil {
		t.Errorf("%d directories are kept, and the good one is %v", len(v.directories.byOrigin), v.directories.byOrigin[s.origin])
	}
}

func TestFreshness(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": time.Hour, "max-age=300": 5 * time.Minute, "public, MAX-AGE=7200": 2 * time.Hour, "max-age=1": minFresh, "max-age=99999999": maxFresh,
		"no-store, max-age=600": minFresh, "max-age=x": time.Hour,
	} {
		if got := freshness(http.Header{"Cache-Control": {text}}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestClaimed(t *testing.T) {
	for text, want := range map[string]string{
		`"https://Agent.example.com"`: "https://agent.example.com", `sig1="https://agent.example.com/"`: "https://agent.example.com", "": "", "((": "", `"mailto:x"`: "",
	} {
		if got := Claimed(http.Header{"Signature-Agent": {text}}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzVerify gives header fields that must never be believed, nor make it fall.
func FuzzVerify(f *testing.F) {
	s := newSigner(oneKey)
	r := s.signed().request(twoKey)
	f.Add(r.Header.Get("Signature-Input"), r.Header.Get("Signature"), r.Header.Get("Signature-Agent"), "/p?q=1")
	f.Add(`sig1=("@query-param";name="q" "@target-uri" "date";bs "x";key="y");created=1;expires=2;keyid="";tag="web-bot-auth"`, "sig1=:AAAA:", `"https://[::1]"`, "//")
	v, err := New(Config{Fetch: s.fetch, Nonces: NewNonces(start.Add(-time.Hour)), Now: func() time.Time { return s.now }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input, value, agent, target string) {
		r := &http.Request{Method: "GET", Host: "site.example.com", URL: &url.URL{Path: "/"}, RequestURI: target, Header: http.Header{
			"Signature-Input": {input}, "Signature": {value}, "Signature-Agent": {agent},
		}}
		if got, err := v.Verify(context.Background(), r); err == nil || got != nil {
			t.Errorf("believed to be of %+v", got)
		}
		Claimed(r.Header)
		found, err := signatures(r.Header, requestTag)
		if err != nil {
			return
		}
		for _, s := range found {
			base, err := requestMessage(r).base(s.input)
			if err == nil && !strings.HasPrefix(base[strings.LastIndexByte(base, '\n')+1:], `"@signature-params": (`) {
				t.Errorf("the base is %q", base)
			}
		}
	})
}

// FuzzDirectory gives directories that did not sign that they are of this origin.
func FuzzDirectory(f *testing.F) {
	s := newSigner(oneKey)
	s.as = "other.example.com"
	a, _ := s.fetch(context.Background(), "")
	f.Add(a.Body, a.Header.Get("Signature-Input"), a.Header.Get("Signature"), "sha-256=:AAAA:", "max-age=5")
	f.Fuzz(func(t *testing.T, body []byte, input, value, digest, cache string) {
		d := &directory{origin: s.origin, authority: "agent.example.com"}
		keys, _, err := d.read(&Answer{Status: 200, Body: body, Header: http.Header{
			"Content-Type": {DirectoryType}, "Signature-Input": {input}, "Signature": {value}, "Content-Digest": {digest}, "Cache-Control": {cache},
		}}, start, DefaultLeeway)
		if err == nil || keys != nil {
			t.Errorf("%d keys are taken", len(keys))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s := newSigner(oneKey)
	v, err := New(Config{Fetch: s.fetch, Nonces: NewNonces(start.Add(-time.Hour)), Now: func() time.Time { return s.now }})
	if err != nil {
		b.Fatal(err)
	}
	requests := make([]*http.Request, min(b.N, maxNoncesOfAgent))
	for i := range requests {
		requests[i] = s.signed().request(oneKey)
	}
	b.ResetTimer()
	for i := range b.N {
		if i%maxNoncesOfAgent == 0 {
			v.config.Nonces = NewNonces(start.Add(-time.Hour))
		}
		if _, err := v.Verify(context.Background(), requests[i%maxNoncesOfAgent]); err != nil {
			b.Fatal(err)
		}
	}
}
