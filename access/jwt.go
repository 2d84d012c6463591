package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are the ones that are taken: of public keys only, so that no published key can be used as a secret.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}

// DefaultLeeway is how far the clocks of issuer and server may be apart.
const DefaultLeeway = 30 * time.Second

const (
	maxToken    = 16 << 10 // bytes
	believed    = time.Minute
	maxBelieved = 4096
)

// Config is an issuer whose tokens are believed. Issuer, Audience and Fetch are needed.
type Config struct {
	// Issuer is what a token's iss must be, to the letter.
	Issuer string
	// Audience are the names of what this server protects; a token's aud must have one of them.
	Audience []string
	// Leeway is how far clocks may be apart; default DefaultLeeway, negative for none.
	Leeway time.Duration
	// Fetch gets the issuer's key set, a JSON Web Key Set (RFC 7517). Its context has a deadline.
	Fetch func(ctx context.Context) ([]byte, error)
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// How an identity was found.
const (
	MethodJWT          = "jwt"
	MethodServiceToken = "service_token"
	MethodWebBotAuth   = "web_bot_auth"
	MethodMTLS         = "mtls"
)

// Identity is who a request comes from.
type Identity struct {
	// Method is how that was found.
	Method string
	// Issuer says so; empty for a service token.
	Issuer string
	// Subject is the issuer's name for it, which may be empty, a service token's, or the origin of an agent that signs its requests.
	Subject string
	// Claims are all that the token says. They are not to be changed.
	Claims map[string]any
	// Expires is when it is to be believed no more.
	Expires time.Time
}

// Verifier verifies the tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	config Config
	keys   keySet

	mu   sync.Mutex
	seen map[[sha256.Size]byte]believedToken // what was verified within the last minute
}

type believedToken struct {
	identity *Identity
	until    time.Time
}

// NewVerifier checks the configuration. It fetches nothing: that is done when the first token comes.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case c.Issuer == "":
		return nil, errors.New("access: no issuer")
	case len(c.Audience) == 0:
		return nil, fmt.Errorf("access: issuer %s: no audience: every token of the issuer, whoever it is meant for, would be taken", c.Issuer)
	case c.Fetch == nil:
		return nil, fmt.Errorf("access: issuer %s: no way to its keys", c.Issuer)
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	c.Leeway = max(c.Leeway, 0)
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{config: c, keys: keySet{fetch: c.Fetch, now: c.Now}, seen: map[[sha256.Size]byte]believedToken{}}, nil
}

// Issuer is the issuer's name.
func (v *Verifier) Issuer() string { return v.config.Issuer }

// Verify tells who a token is of. Its errors are those of this package; each means that nobody is known.
func (v *Verifier) Verify(ctx context.Context, token string) (*Identity, error) {
	if len(token) > maxToken {
		return nil, ErrMalformed
	}
	sum := sha256.Sum256([]byte(token))
	now := v.config.Now()
	v.mu.Lock()
	known, ok := v.seen[sum]
	v.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.identity, nil
	}
	who, err := v.verify(ctx, token, now)
	if err != nil {
		return nil, err
	}
	until := now.Add(believed)
	if who.Expires.Before(until) {
		until = who.Expires
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.seen) >= maxBelieved {
		clear(v.seen)
	}
	v.seen[sum] = believedToken{who, until}
	return who, nil
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*Identity, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return nil, ErrMalformed
	}
	head := parsed.Headers[0]
	key, err := v.keys.key(ctx, keyID{head.KeyID, jose.SignatureAlgorithm(head.Algorithm)})
	if err != nil {
		return nil, err
	}
	var claims jwt.Claims
	var all map[string]any
	if err := parsed.Claims(key, &claims, &all); err != nil {
		if errors.Is(err, jose.ErrCryptoFailure) {
			return nil, ErrSignature
		}
		return nil, ErrMalformed
	}
	if claims.Expiry == nil {
		return nil, ErrExpired
	}
	err = claims.ValidateWithLeeway(jwt.Expected{Issuer: v.config.Issuer, AnyAudience: v.config.Audience, Time: now}, v.config.Leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return nil, ErrIssuer
	case errors.Is(err, jwt.ErrInvalidAudience):
		return nil, ErrAudience
	case errors.Is(err, jwt.ErrExpired):
		return nil, ErrExpired
	case err != nil:
		return nil, ErrNotYet
	}
	return &Identity{Method: MethodJWT, Issuer: claims.Issuer, Subject: claims.Subject, Claims: all, Expires: claims.Expiry.Time().Add(v.config.Leeway)}, nil
}

// IssuerOf is what a token says of its issuer, which is not to be believed: it chooses who verifies.
func IssuerOf(token string) (string, error) {
	if len(token) > maxToken {
		return "", ErrMalformed
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return "", ErrMalformed
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return "", ErrMalformed
	}
	return claims.Issuer, nil
}
