// Package oauth gets access tokens for a client of an OAuth 2.0 server and keeps them sealed in a vault
// (RFC 6749, RFC 7523, RFC 8693).
package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse-edge/gatehouse/secrets"
)

// Grants.
const (
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantJWTBearer         = "jwt_bearer"
	GrantTokenExchange     = "token_exchange"
)

// Grants are all of them.
var Grants = []string{GrantRefreshToken, GrantClientCredentials, GrantJWTBearer, GrantTokenExchange}

// Ways in which a client says who it is (RFC 6749, section 2.3.1).
const (
	AuthBasic = "basic"
	AuthPost  = "post"
	AuthNone  = "none" // its id alone, in the body
)

const (
	// early is how long before its end a token is replaced, at most a tenth of its life.
	early = time.Minute
	// defaultLife is how long a token is used of which the server does not say how long it lives.
	defaultLife = time.Hour
	// attempts are made before a server is taken for unreachable, with a pause that doubles in between.
	attempts   = 3
	firstPause = 200 * time.Millisecond
	// rest is how long a server that could not be reached is left alone.
	rest = 5 * time.Second
	// exchangeTime bounds one refresh with all its attempts.
	exchangeTime = time.Minute
)

// Config is a client. Name, TokenURL, Grant, Vault, HTTP and Given are required.
type Config struct {
	// Name is what its tokens are kept under in the vault: the group oauth/NAME.
	Name     string
	TokenURL string
	ClientID string
	// Auth is basic, post or none.
	Auth  string
	Grant string
	Scope []string
	// Params are further parameters of the token request, such as audience and resource.
	Params map[string]string
	// Subject, Audience and KeyID are claims of the assertion and its header (jwt_bearer). Default: the client's id, the token URL, none.
	Subject, Audience, KeyID string
	// SubjectTokenType is the type of the token that is exchanged; default that of access tokens.
	SubjectTokenType string
	// Given reads the secrets that were given by hand, as they are now.
	Given func() (Given, error)
	Vault *secrets.Vault
	HTTP  *http.Client
	// Alone runs f while no other process or configuration runs one for this client. Nil: nobody else is there.
	Alone func(ctx context.Context, f func() error) error
	// Failed is told once of each refusal for which a person is needed.
	Failed func(error)
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Given are the secrets of a client. Those that its grant does not use are zero.
type Given struct {
	ClientSecret secrets.Value
	RefreshToken secrets.Value // the first one
	Key          secrets.Value // a private key, in PEM or as a JWK
	SubjectToken secrets.Value
}

// Client gives access tokens. Safe for concurrent use.
type Client struct {
	cfg    Config
	flight singleflight.Group

	mu      sync.Mutex
	resting time.Time // until then the server is left alone
	unwell  error     // why
}

// New makes a client.
func New(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Alone == nil {
		cfg.Alone = func(_ context.Context, f func() error) error { return f() }
	}
	if cfg.Failed == nil {
		cfg.Failed = func(error) {}
	}
	if !slices.Contains(Grants, cfg.Grant) {
		return nil, fmt.Errorf("the grant is one of %s, not %q", strings.Join(Grants, ", "), cfg.Grant)
	}
	if cfg.ClientID == "" && cfg.Grant != GrantJWTBearer {
		return nil, fmt.Errorf("the grant %s needs a client_id", cfg.Grant)
	}
	switch cfg.Auth {
	case AuthBasic, AuthPost, AuthNone:
	default:
		return nil, fmt.Errorf("a client says who it is by basic, post or none, not %q", cfg.Auth)
	}
	return &Client{cfg: cfg}, nil
}

// Group is where the vault keeps the tokens of the client of that name.
func Group(name string) string { return "oauth/" + name }

// The members of a group.
const (
	keptAccess   = "access"
	keptPrevious = "previous"
	keptRefresh  = "refresh"
	keptState    = "state"
)

// Bound are the names, in the vault, of the values that a host may get which the client's token is for.
func Bound(name string) []string {
	return []string{Group(name) + "/" + keptAccess, Group(name) + "/" + keptPrevious}
}

// RefusedError is a refusal of the token server that no repetition changes. What was given by hand has to.
type RefusedError struct {
	Client string
	// Code is the error of RFC 6749, section 5.2, such as invalid_grant.
	Code        string    `json:"code"`
	Description string    `json:"description,omitempty"`
	When        time.Time `json:"when"`
	// Lost says that an earlier refresh had no answer: its token may have been used up by it.
	Lost bool `json:"lost,omitempty"`
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("oauth %s: the token server refused at %s: %s", e.Client, e.When.UTC().Format(time.RFC3339), e.Code)
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	if e.Lost {
		text += "; an earlier refresh broke off before its answer was kept, so the refresh token may have been used up"
	}
	return text
}

// state is what is kept beside the tokens.
type state struct {
	Expires time.Time `json:"expires,omitzero"`
	Early   time.Time `json:"early,omitzero"` // from then on a new one is asked for
	// Inputs is a digest of what the tokens were asked with, and Seed of the refresh token given by hand.
	Inputs string `json:"inputs"`
	Seed   string `json:"seed"`
	// Begun is when a refresh began whose answer is not kept.
	Begun   time.Time     `json:"begun,omitzero"`
	Refused *RefusedError `json:"refused,omitempty"`
}

// kept is the content of the vault's group.
type kept struct {
	state
	access, previous, refresh secrets.Value
}

func (c *Client) load(given Given) (k kept, err error) {
	values, err := c.cfg.Vault.Group(Group(c.cfg.Name))
	if err != nil {
		return k, err
	}
	if text := values[keptState].Reveal(); text != "" {
		if err := json.Unmarshal([]byte(text), &k.state); err != nil {
			return k, fmt.Errorf("oauth %s: the vault's state is damaged: %w", c.cfg.Name, err)
		}
	}
	k.access, k.previous, k.refresh = values[keptAccess], values[keptPrevious], values[keptRefresh]
	// What was given by hand since takes the place of what it led to.
	if seed := digest(given.RefreshToken.Reveal()); k.Seed != seed {
		k = kept{state: state{Seed: seed}, refresh: given.RefreshToken, previous: k.previous}
	}
	if inputs := c.inputs(given); k.Inputs != inputs {
		k.state, k.access = state{Seed: k.Seed, Inputs: inputs, Begun: k.Begun}, secrets.Value{}
	}
	return k, nil
}

func (c *Client) save(k kept) error {
	text, err := json.Marshal(k.state)
	if err != nil {
		return err
	}
	values := map[string]secrets.Value{keptState: secrets.NewValue(string(text))}
	for name, v := range map[string]secrets.Value{keptAccess: k.access, keptPrevious: k.previous, keptRefresh: k.refresh} {
		if v.Reveal() != "" {
			values[name] = v
		}
	}
	return c.cfg.Vault.PutGroup(Group(c.cfg.Name), values)
}

// inputs is a digest of all that a token depends on.
func (c *Client) inputs(given Given) string {
	text, _ := json.Marshal([]any{
		c.cfg.TokenURL, c.cfg.ClientID, c.cfg.Auth, c.cfg.Grant, c.cfg.Scope, c.cfg.Params, c.cfg.Subject, c.cfg.Audience, c.cfg.KeyID, c.cfg.SubjectTokenType,
		given.ClientSecret.Reveal(), given.Key.Reveal(), given.SubjectToken.Reveal(),
	})
	return digest(string(text))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Token gives an access token that is good for a while. However many ask at a time, the server is asked once, and goes on when whoever
// asked first has gone. Errors: *RefusedError, and others that may pass.
func (c *Client) Token(ctx context.Context) (secrets.Value, error) {
	if _, k, err := c.look(); err != nil || c.fresh(k) {
		return k.access, err
	}
	answer := c.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime)
		defer cancel()
		var token secrets.Value
		err := c.cfg.Alone(ctx, func() (err error) {
			token, err = c.refresh(ctx)
			return err
		})
		return token, err
	})
	select {
	case a := <-answer:
		return a.Val.(secrets.Value), a.Err
	case <-ctx.Done():
		return secrets.Value{}, ctx.Err()
	}
}

// look reads what is given and kept. It is an error where there is no token and the server is not to be asked for one.
func (c *Client) look() (Given, kept, error) {
	given, err := c.cfg.Given()
	if err != nil {
		return given, kept{}, err
	}
	k, err := c.load(given)
	if err != nil || c.fresh(k) {
		return given, k, err
	}
	if err := c.hopeless(k); err != nil {
		return given, kept{}, err
	}
	return given, k, nil
}

func (c *Client) fresh(k kept) bool {
	return k.access.Reveal() != "" && c.cfg.Now().Before(k.Early)
}

// hopeless is why the server is not asked at all.
func (c *Client) hopeless(k kept) error {
	if k.Refused != nil {
		refused := *k.Refused
		refused.Client = c.cfg.Name
		return &refused
	}
	if c.cfg.Grant == GrantRefreshToken && k.refresh.Reveal() == "" {
		return fmt.Errorf("oauth %s: there is no refresh token", c.cfg.Name)
	}
	if c.usable(k) {
		return nil
	}
	return c.leftAlone()
}

// leftAlone is why the server is left alone for now; nil when it is not.
func (c *Client) leftAlone() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cfg.Now().Before(c.resting) {
		return c.unwell
	}
	return nil
}

// usable tells whether the token is good, if not for long.
func (c *Client) usable(k kept) bool { return k.access.Reveal() != "" && c.cfg.Now().Before(k.Expires) }

// refresh asks the server for a token and keeps what it answers, alone.
func (c *Client) refresh(ctx context.Context) (secrets.Value, error) {
	given, k, err := c.look()
	if err != nil || c.fresh(k) {
		return k.access, err // where it is fresh, somebody was faster
	}
	if c.leftAlone() != nil {
		return k.access, nil // good for a little longer, or this would be hopeless
	}
	lost := !k.Begun.IsZero()
	if c.cfg.Grant == GrantRefreshToken && !lost {
		k.Begun = c.cfg.Now()
		if err := c.save(k); err != nil {
			return secrets.Value{}, err
		}
	}
	got, err := c.exchange(ctx, given, k.refresh)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		refused.Lost = lost && refused.Code == "invalid_grant"
		if c.usable(k) {
			// The next request after its end gets the refusal.
			c.wait(refused)
			return k.access, nil
		}
		k.Refused, k.Begun, k.access = refused, time.Time{}, secrets.Value{}
		if err := c.save(k); err != nil {
			return secrets.Value{}, err
		}
		c.cfg.Failed(refused)
		return secrets.Value{}, refused
	case err != nil:
		err = fmt.Errorf("oauth %s: no token could be had: %w", c.cfg.Name, err)
		c.wait(err)
		if c.usable(k) {
			return k.access, nil
		}
		return secrets.Value{}, err
	}
	next := kept{state: state{Inputs: k.Inputs, Seed: k.Seed}, access: got.access, previous: k.access, refresh: got.refresh}
	now, life := c.cfg.Now(), got.life
	next.Expires, next.Early = now.Add(life), now.Add(life-min(early, life/10))
	if c.cfg.Grant != GrantRefreshToken {
		next.refresh = secrets.Value{}
	}
	// The token is used only once the refresh token that came with it is safe.
	if err := c.save(next); err != nil {
		return secrets.Value{}, fmt.Errorf("oauth %s: the new token cannot be kept, so it is not used: %w", c.cfg.Name, err)
	}
	return next.access, nil
}

// wait leaves the server alone for a while.
func (c *Client) wait(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resting, c.unwell = c.cfg.Now().Add(rest), why
}
