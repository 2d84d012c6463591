package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
	"github.com/gatehouse-edge/gatehouse/secrets/oauth"
)

// OAuthConfig is a client of an OAuth 2.0 server (RFC 6749, RFC 7523, RFC 8693). Secrets are written {secret.NAME}.
type OAuthConfig struct {
	TokenURL     string `json:"token_url,omitempty"`
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// Auth is how the client says who it is: basic, post or none. Default: basic with a secret, none without one.
	Auth string `json:"auth,omitempty"`
	// Grant is refresh_token, client_credentials, jwt_bearer or token_exchange.
	Grant string   `json:"grant,omitempty"`
	Scope []string `json:"scope,omitempty"`
	// RefreshToken is the first one; default the secret that has the client's name.
	RefreshToken string `json:"refresh_token,omitempty"`
	// Key signs assertions: a private key in PEM or as a JWK.
	Key   string `json:"key,omitempty"`
	KeyID string `json:"key_id,omitempty"`
	// Subject is whom an assertion speaks of; default the client.
	Subject string `json:"subject,omitempty"`
	// SubjectToken is the token that is exchanged, and SubjectTokenType its type; default that of access tokens.
	SubjectToken     string `json:"subject_token,omitempty"`
	SubjectTokenType string `json:"subject_token_type,omitempty"`
	// Audience is whom an assertion is for, default the token URL; with other grants a parameter.
	Audience string `json:"audience,omitempty"`
	// Params are further parameters of the token request.
	Params map[string]string `json:"params,omitempty"`
	// AllowIP are addresses that the token server may have although they are not public.
	AllowIP []string `json:"allow_ip,omitempty"`
	// Place is where the Caddyfile defines the client, for error messages.
	Place string `json:"place,omitempty"`
}

// oauthNamespace is the namespace of the actors in which tokens are refreshed: one for each client.
const oauthNamespace = "gatehouse/oauth"

var oauthActors = durable.NewNamespace(oauthNamespace)

const maxNarrowAnswer = 1 << 20 // bytes

// addOAuth makes the clients of the configuration.
func (a *App) addOAuth() error {
	a.clients = map[string]*oauth.Client{}
	for _, name := range slices.Sorted(maps.Keys(a.OAuth)) {
		c := a.OAuth[name]
		vault, err := a.openVault()
		if err != nil {
			return err
		}
		if a.clients[name], err = c.client(name, vault, a.edge); err != nil {
			return at(c.Place, "oauth %s: %w", name, err)
		}
	}
	return nil
}

func (c *OAuthConfig) client(name string, vault *secrets.Vault, e *edge) (*oauth.Client, error) {
	repl := caddy.NewReplacer()
	cfg := oauth.Config{
		Name: name, Auth: c.Auth, Grant: c.Grant, Scope: c.Scope, Params: maps.Clone(c.Params), Subject: c.Subject, KeyID: c.KeyID,
		SubjectTokenType: c.SubjectTokenType, Vault: vault,
		Given: func() (oauth.Given, error) { return c.given(name, vault) },
		Alone: func(ctx context.Context, f func() error) error {
			if err := e.open(); err != nil {
				return err
			}
			return doStrict(ctx, e.directory, oauthActors, name, "", func(*durable.Storage) error { return f() })
		},
		Failed: func(err error) {
			e.log().Error("an OAuth client needs somebody's help", zap.String("client", name), zap.Error(err), zap.String("next", c.help(name)))
		},
	}
	var err error
	if cfg.TokenURL, err = repl.ReplaceOrErr(c.TokenURL, true, true); err != nil {
		return nil, fmt.Errorf("token_url: %w", err)
	}
	if cfg.ClientID, err = repl.ReplaceOrErr(c.ClientID, true, true); err != nil {
		return nil, fmt.Errorf("client_id: %w", err)
	}
	u, err := secureAddress(cfg.TokenURL, "tokens")
	if err != nil {
		return nil, fmt.Errorf("token_url: %w", err)
	}
	if cfg.Auth == "" {
		cfg.Auth = oauth.AuthNone
		if c.ClientSecret != "" {
			cfg.Auth = oauth.AuthBasic
		}
	}
	if c.Audience != "" {
		if c.Grant == oauth.GrantJWTBearer {
			cfg.Audience = c.Audience
		} else {
			if cfg.Params == nil {
				cfg.Params = map[string]string{}
			}
			cfg.Params["audience"] = c.Audience
		}
	}
	allowIP, err := parseAllowIP(c.AllowIP)
	if err != nil {
		return nil, err
	}
	cfg.HTTP = &http.Client{Transport: onlyTo{"oauth " + name, u, allowIP}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	given, err := c.given(name, vault)
	if err != nil {
		return nil, err
	}
	if c.Grant == oauth.GrantJWTBearer {
		if err := oauth.CheckKey(given.Key); err != nil {
			return nil, fmt.Errorf("key %s: %w", c.Key, err)
		}
	}
	return oauth.New(cfg)
}

// given reads the secrets that the configuration names.
func (c *OAuthConfig) given(name string, vault *secrets.Vault) (g oauth.Given, err error) {
	first := ""
	if c.Grant == oauth.GrantRefreshToken {
		first = cmp.Or(c.RefreshToken, "{secret."+name+"}")
	}
	for _, part := range []struct {
		reference string
		to        *secrets.Value
	}{{c.ClientSecret, &g.ClientSecret}, {first, &g.RefreshToken}, {c.Key, &g.Key}, {c.SubjectToken, &g.SubjectToken}} {
		if part.reference == "" {
			continue
		}
		secret, err := referred(part.reference)
		if err != nil {
			return g, err
		}
		if *part.to, err = vault.Open(secret); err != nil {
			return g, err
		}
	}
	return g, nil
}

// help is what to do about a refusal of the token server.
func (c *OAuthConfig) help(name string) string {
	if c.Grant == oauth.GrantRefreshToken {
		secret, _ := referred(cmp.Or(c.RefreshToken, "{secret."+name+"}"))
		return "log in anew, and put the refresh token with: caddy gatehouse secret put " + secret
	}
	return "mend what the server refuses: the client's registration there, or the secrets that the client is made of"
}

// referred is the name in a reference to a secret.
func referred(text string) (string, error) {
	name, begins := strings.CutPrefix(text, "{secret.")
	name, ends := strings.CutSuffix(name, "}")
	if !begins || !ends || !secrets.ValidName(name) {
		return "", fmt.Errorf("write {secret.NAME}, and put the value with: caddy gatehouse secret put NAME; it stands in no configuration")
	}
	return name, nil
}

// onlyTo sends requests to one host, through an egress policy that lets nothing else pass. A redirect is the answer.
type onlyTo struct {
	name    string
	to      *url.URL
	allowIP []netip.Prefix
}

// RoundTrip implements http.RoundTripper. The answer's body is in memory.
func (o onlyTo) RoundTrip(req *http.Request) (*http.Response, error) {
	rule, err := egress.ParseRule(o.to.Host)
	if err != nil {
		return nil, err
	}
	policy, err := egress.New(egress.Config{Name: o.name, Allow: []egress.Rule{rule}, AllowIP: o.allowIP, Redirects: egress.NoRedirects, MaxResponse: maxNarrowAnswer})
	if err != nil {
		return nil, err
	}
	defer policy.Close()
	got, err := policy.Do(req.Context(), req, egress.Options{Redirect: egress.RedirectManual})
	if err != nil {
		return nil, err
	}
	defer got.Response.Body.Close()
	body, err := io.ReadAll(got.Response.Body)
	if err != nil {
		return nil, err
	}
	got.Response.Body, got.Response.Request = io.NopCloser(bytes.NewReader(body)), req
	return got.Response, nil
}

// parseOAuth reads a client; the dispenser stands on the word oauth.
//
//	oauth <name> {
//		token_url <address>
//		client_id <id>
//		client_secret {secret.NAME}
//		auth basic | post | none
//		grant refresh_token | client_credentials | jwt_bearer | token_exchange
//		scope <scope...>
//		refresh_token {secret.NAME}
//		key {secret.NAME} [<key id>]
//		subject <subject>
//		subject_token {secret.NAME} [<type>]
//		audience <audience>
//		param <name> <value>
//		allow_ip <prefix...>
//	}
func parseOAuth(d *caddyfile.Dispenser) (name string, c *OAuthConfig, err error) {
	c = &OAuthConfig{Place: place(d)}
	if name, err = oneArg(d); err != nil {
		return "", nil, err
	}
	if !secrets.ValidName(name) {
		return "", nil, d.Errf("oauth %s: a client's name has lower-case letters, digits, _ and -", name)
	}
	only := map[string]string{} // options that one grant has, and that grant
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		switch option {
		case "token_url":
			c.TokenURL, err = oneArg(d)
		case "client_id":
			c.ClientID, err = oneArg(d)
		case "client_secret":
			c.ClientSecret, err = secretArg(d, nil)
		case "auth":
			c.Auth, err = oneArg(d)
		case "grant":
			c.Grant, err = oneArg(d)
		case "scope":
			if c.Scope = append(c.Scope, d.RemainingArgs()...); len(c.Scope) == 0 {
				err = d.ArgErr()
			}
		case "refresh_token":
			only[option] = oauth.GrantRefreshToken
			c.RefreshToken, err = secretArg(d, nil)
		case "key":
			only[option] = oauth.GrantJWTBearer
			c.Key, err = secretArg(d, &c.KeyID)
		case "subject":
			only[option] = oauth.GrantJWTBearer
			c.Subject, err = oneArg(d)
		case "subject_token":
			only[option] = oauth.GrantTokenExchange
			c.SubjectToken, err = secretArg(d, &c.SubjectTokenType)
		case "audience":
			c.Audience, err = oneArg(d)
		case "param":
			err = c.parseParam(d)
		case "allow_ip":
			if c.AllowIP = append(c.AllowIP, d.RemainingArgs()...); len(c.AllowIP) == 0 {
				err = d.ArgErr()
			} else if _, bad := parseAllowIP(c.AllowIP); bad != nil {
				err = d.WrapErr(bad)
			}
		default:
			err = unknownOption(d, "oauth", "token_url, client_id, client_secret, auth, grant, scope, refresh_token, key, subject, subject_token, audience, param and allow_ip")
		}
		if err != nil {
			return "", nil, err
		}
	}
	switch {
	case c.TokenURL == "":
		err = d.Errf("oauth %s: name the token endpoint with: token_url https://login.example.com/token", name)
	case !slices.Contains(oauth.Grants, c.Grant):
		err = d.Errf("oauth %s: the grant is one of %s", name, strings.Join(oauth.Grants, ", "))
	case c.Grant == oauth.GrantJWTBearer && c.Key == "":
		err = d.Errf("oauth %s: the grant jwt_bearer needs a key that signs: key {secret.NAME}", name)
	case c.Grant == oauth.GrantTokenExchange && c.SubjectToken == "":
		err = d.Errf("oauth %s: the grant token_exchange needs the token to exchange: subject_token {secret.NAME}", name)
	case c.ClientID == "" && c.Grant != oauth.GrantJWTBearer:
		err = d.Errf("oauth %s: the grant %s needs a client_id", name, c.Grant)
	case c.ClientSecret == "" && (c.Auth == oauth.AuthBasic || c.Auth == oauth.AuthPost):
		err = d.Errf("oauth %s: auth %s needs a client_secret", name, c.Auth)
	case c.ClientSecret != "" && c.Auth == oauth.AuthNone:
		err = d.Errf("oauth %s: auth none sends no client_secret; remove one of them", name)
	}
	for _, option := range slices.Sorted(maps.Keys(only)) {
		if err == nil && only[option] != c.Grant {
			err = d.Errf("oauth %s: %s is an option of the grant %s, not of %s", name, option, only[option], c.Grant)
		}
	}
	return name, c, err
}

// secretArg reads a reference to a secret, and what may follow it.
func secretArg(d *caddyfile.Dispenser, more *string) (string, error) {
	option, args := d.Val(), d.RemainingArgs()
	if len(args) == 2 && more != nil {
		*more, args = args[1], args[:1]
	}
	if len(args) != 1 {
		return "", d.ArgErr()
	}
	if _, err := referred(args[0]); err != nil {
		return "", d.Errf("%s: %v", option, err)
	}
	return args[0], nil
}

// reserved are parameters that the client sets itself.
var reserved = []string{"grant_type", "client_id", "client_secret", "scope", "refresh_token", "assertion", "subject_token", "subject_token_type", "audience"}

func (c *OAuthConfig) parseParam(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("param takes NAME VALUE, for example: param resource https://api.example.com")
	}
	if slices.Contains(reserved, args[0]) {
		return d.Errf("param %s: the client sets it by its own options", args[0])
	}
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params[args[0]] = args[1]
	return nil
}
