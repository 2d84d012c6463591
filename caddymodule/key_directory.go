package caddymodule

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/bot/botauth"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

func init() {
	caddy.RegisterModule(new(KeyDirectory))
}

// signingGroup is where the vault keeps the key that signs requests: one for each origin would tell nobody more.
const signingGroup = "web-bot-auth"

// signer signs as the agent of an origin, with the key of this server, which is made at its first use.
func (a *App) signer(origin string) (*botauth.Signer, error) {
	key, err := a.serverKey(signingGroup)
	if err != nil {
		return nil, err
	}
	return botauth.NewSigner(origin, key)
}

// serverKey is the Ed25519 key that the vault keeps under a group, made at its first use.
func (a *App) serverKey(group string) (ed25519.PrivateKey, error) {
	vault, err := a.openVault()
	if err != nil {
		return nil, err
	}
	if err := vault.EnsureGroup(group, func() (map[string]secrets.Value, error) {
		_, key, err := ed25519.GenerateKey(nil)
		return map[string]secrets.Value{"key": secrets.NewValue(base64.StdEncoding.EncodeToString(key.Seed()))}, err
	}); err != nil {
		return nil, err
	}
	return keyOf(vault, group)
}

// errNoKey is the error for a group that holds no key, or a damaged one.
var errNoKey = errors.New("the vault holds no key under this name, or a damaged one")

// keyOf reads a key of serverKey's.
func keyOf(vault *secrets.Vault, group string) (ed25519.PrivateKey, error) {
	values, err := vault.Group(group)
	if err != nil {
		return nil, err
	}
	seed, err := base64.StdEncoding.DecodeString(values["key"].Reveal())
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s: %w", group, errNoKey)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// KeyDirectory serves the directory with the key by which requests are signed that egress policies sign.
type KeyDirectory struct {
	// Origin is that of the agent, which this site serves.
	Origin string `json:"origin,omitempty"`
	Place  string `json:"place,omitempty"`

	app    *App
	signer *botauth.Signer
}

// CaddyModule returns the module's registration.
func (*KeyDirectory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_key_directory", New: func() caddy.Module { return new(KeyDirectory) }}
}

// Provision gets the key.
func (k *KeyDirectory) Provision(ctx caddy.Context) (err error) {
	if k.app, err = appOf(ctx); err != nil {
		return err
	}
	if k.signer, err = k.app.signer(k.Origin); err != nil {
		return at(k.Place, "key_directory: %w", err)
	}
	return nil
}

// ServeHTTP answers requests for the directory at its origin.
func (k *KeyDirectory) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if r.URL.Path != botauth.DirectoryPath || r.Host != k.signer.Authority() || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return next.ServeHTTP(w, r)
	}
	v, w, _ := k.app.enter(w, r, "key_directory")
	return v.through(func() error {
		answer, err := k.signer.Directory()
		if err != nil {
			return err
		}
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.Status)
		_, err = w.Write(answer.Body)
		return err
	})
}

// parseKeyDirectory reads the directive.
//
//	key_directory <origin>
func parseKeyDirectory(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	k := &KeyDirectory{Place: place(h.Dispenser)}
	var err error
	if k.Origin, err = oneArg(h.Dispenser); err != nil {
		return nil, h.Err("key_directory takes the origin that egress policies sign for, for example: key_directory https://agent.example.com")
	}
	if _, err := botauth.ParseOrigin(k.Origin); err != nil {
		return nil, h.Errf("key_directory: %v", err)
	}
	if h.NextBlock(h.Nesting()) {
		return nil, h.Err("key_directory has no options")
	}
	return k, nil
}

var (
	_ caddy.Provisioner           = (*KeyDirectory)(nil)
	_ caddyhttp.MiddlewareHandler = (*KeyDirectory)(nil)
)
