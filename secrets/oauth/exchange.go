package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-edge/gatehouse/secrets"
)

// Values of grant_type and of token types (RFC 7523, section 2.1; RFC 8693, sections 2.1 and 3).
const (
	typeJWTBearer     = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	typeTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken   = "urn:ietf:params:oauth:token-type:access_token"
)

// assertionLife is how long an assertion is good.
const assertionLife = 5 * time.Minute

// final are the errors that no repetition changes (RFC 6749, section 5.2; RFC 8693, section 2.2.2).
var final = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target"}

// answer is what the server gave.
type answer struct {
	access, refresh secrets.Value
	life            time.Duration
}

// exchange asks the server, again where it cannot be reached.
func (c *Client) exchange(ctx context.Context, given Given, refresh secrets.Value) (answer, error) {
	pause := firstPause
	for n := 1; ; n++ {
		got, err := c.ask(ctx, given, refresh)
		var refused *RefusedError
		if err == nil || n == attempts || errors.As(err, &refused) {
			return got, err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return got, err
		}
	}
}

// ask makes one token request.
func (c *Client) ask(ctx context.Context, given Given, refresh secrets.Value) (answer, error) {
	params := url.Values{}
	for name, value := range c.cfg.Params {
		params.Set(name, value)
	}
	switch c.cfg.Grant {
	case GrantRefreshToken:
		params.Set("grant_type", GrantRefreshToken)
		params.Set("refresh_token", refresh.Reveal())
	case GrantJWTBearer:
		assertion, err := c.assertion(given.Key)
		if err != nil {
			return answer{}, err
		}
		params.Set("grant_type", typeJWTBearer)
		params.Set("assertion", assertion)
	case GrantTokenExchange:
		params.Set("grant_type", typeTokenExchange)
		params.Set("subject_token", given.SubjectToken.Reveal())
		kind := c.cfg.SubjectTokenType
		if kind == "" {
			kind = typeAccessToken
		}
		params.Set("subject_token_type", kind)
	}
	request := clientcredentials.Config{
		ClientID: c.cfg.ClientID, ClientSecret: given.ClientSecret.Reveal(), TokenURL: c.cfg.TokenURL, Scopes: c.cfg.Scope,
		EndpointParams: params, AuthStyle: oauth2.AuthStyleInParams,
	}
	if c.cfg.Auth == AuthBasic {
		request.AuthStyle = oauth2.AuthStyleInHeader
	}
	t, err := request.Token(context.WithValue(ctx, oauth2.HTTPClient, c.cfg.HTTP))
	if err != nil {
		return answer{}, c.failure(err)
	}
	got := answer{secrets.NewValue(t.AccessToken), secrets.NewValue(t.RefreshToken), defaultLife}
	if !t.Expiry.IsZero() {
		got.life = time.Until(t.Expiry)
	}
	switch {
	case got.life <= 0:
		return answer{}, errors.New("the server gave a token whose life is over")
	case len(t.AccessToken) < secrets.MinRedacted:
		return answer{}, fmt.Errorf("the server gave a token shorter than %d bytes", secrets.MinRedacted)
	}
	return got, nil
}

// failure is what may be said about a failed request: what was asked, and what came back, hold secrets.
func (c *Client) failure(err error) error {
	var response *oauth2.RetrieveError
	if !errors.As(err, &response) {
		var failed *url.Error
		if errors.As(err, &failed) {
			return failed.Err // without the address
		}
		return errors.New(c.redact(err.Error()))
	}
	status := http.StatusOK
	if response.Response != nil {
		status = response.Response.StatusCode
	}
	if status < 500 && status != http.StatusTooManyRequests && slices.Contains(final, response.ErrorCode) {
		return &RefusedError{Client: c.cfg.Name, Code: response.ErrorCode, Description: c.redact(clip(response.ErrorDescription)), When: c.cfg.Now().UTC()}
	}
	if response.ErrorCode != "" {
		return fmt.Errorf("the server answered %d, %s", status, c.redact(clip(response.ErrorCode)))
	}
	return fmt.Errorf("the server answered %d", status)
}

// redact strikes secrets out of what a server said, and nothing stands where they cannot be looked for.
func (c *Client) redact(text string) string {
	r, err := c.cfg.Vault.Redactor()
	if err != nil {
		return ""
	}
	return r.Redact(text)
}

// clip bounds a text, and leaves nothing in it that a terminal acts on.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// assertion signs who the client is (RFC 7523, section 3).
func (c *Client) assertion(key secrets.Value) (string, error) {
	signing, err := signingKey(key.Reveal())
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if c.cfg.KeyID != "" {
		options = options.WithHeader(jose.HeaderKey("kid"), c.cfg.KeyID)
	}
	signer, err := jose.NewSigner(signing, options)
	if err != nil {
		return "", errors.New("the key cannot sign an assertion")
	}
	now := c.cfg.Now()
	claims := jwt.Claims{
		Issuer: c.cfg.ClientID, Subject: c.cfg.Subject, Audience: jwt.Audience{c.cfg.Audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)), ID: rand.Text(),
	}
	if claims.Subject == "" {
		claims.Subject = c.cfg.ClientID
	}
	if c.cfg.Audience == "" {
		claims.Audience = jwt.Audience{c.cfg.TokenURL}
	}
	b := jwt.Signed(signer).Claims(claims)
	if len(c.cfg.Scope) > 0 {
		b = b.Claims(map[string]any{"scope": strings.Join(c.cfg.Scope, " ")}) // where some servers look for it
	}
	return b.Serialize()
}

var errKey = errors.New("the key is neither a private key in PEM nor a JWK: RSA of 2048 bits or more, P-256, P-384 or Ed25519")

// CheckKey tells whether a private key can sign assertions.
func CheckKey(key secrets.Value) error {
	_, err := signingKey(key.Reveal())
	return err
}

func signingKey(text string) (jose.SigningKey, error) {
	var key any
	if block, _ := pem.Decode([]byte(text)); block != nil {
		var err error
		if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			if key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
				if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
					return jose.SigningKey{}, errKey
				}
			}
		}
	} else {
		var j jose.JSONWebKey
		if j.UnmarshalJSON([]byte(text)) != nil || !j.Valid() {
			return jose.SigningKey{}, errKey
		}
		key = j.Key
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= 2048 {
			return jose.SigningKey{Algorithm: jose.RS256, Key: k}, nil
		}
	case ed25519.PrivateKey:
		return jose.SigningKey{Algorithm: jose.EdDSA, Key: k}, nil
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return jose.SigningKey{Algorithm: jose.ES256, Key: k}, nil
		case 384:
			return jose.SigningKey{Algorithm: jose.ES384, Key: k}, nil
		}
	}
	return jose.SigningKey{}, errKey
}
