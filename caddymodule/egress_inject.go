package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
	"github.com/gatehouse-edge/gatehouse/secrets/oauth"
)

// EgressInject is a credential that is put into the requests that a rule allows. Values of secrets are written {secret.NAME}.
type EgressInject struct {
	// Kind is header, bearer, basic, query, hmac or aws_sigv4.
	Kind string `json:"kind"`
	// Args are, by the kind: header NAME VALUE; bearer VALUE; basic USER PASSWORD; query NAME VALUE; hmac HEADER FORMAT KEY, where FORMAT has
	// {hmac} or {hmac.base64}; aws_sigv4 REGION SERVICE KEY_ID SECRET [TOKEN].
	Args []string `json:"args"`
}

// injectForms are how the kinds are written.
var injectForms = map[string]struct {
	least, most int
	form        string
	make        func(args []string) egress.Injection
}{
	"header": {2, 2, "inject header NAME \"{secret.NAME}\"", func(a []string) egress.Injection { return egress.InjectHeader{Name: a[0], Value: a[1]} }},
	"bearer": {1, 1, "inject bearer {secret.NAME}", func(a []string) egress.Injection {
		return egress.InjectHeader{Name: "Authorization", Value: "Bearer " + a[0]}
	}},
	"basic": {2, 2, "inject basic USER {secret.NAME}", func(a []string) egress.Injection { return egress.InjectBasic{User: a[0], Password: a[1]} }},
	"query": {2, 2, "inject query PARAMETER {secret.NAME}", func(a []string) egress.Injection { return egress.InjectQuery{Name: a[0], Value: a[1]} }},
	"hmac": {3, 3, "inject hmac HEADER \"sha256={hmac}\" {secret.NAME}", func(a []string) egress.Injection {
		return egress.InjectHMAC{Name: a[0], Format: a[1], Key: a[2]}
	}},
	"aws_sigv4": {4, 5, "inject aws_sigv4 REGION SERVICE KEY_ID {secret.NAME} [TOKEN]", func(a []string) egress.Injection {
		in := egress.InjectAWS{Region: a[0], Service: a[1], KeyID: a[2], Secret: a[3]}
		if len(a) > 4 {
			in.Token = a[4]
		}
		return in
	}},
}

func (c EgressInject) injection() (egress.Injection, error) {
	form, ok := injectForms[c.Kind]
	if !ok {
		return nil, fmt.Errorf("inject %s: the kinds are %s", c.Kind, names(injectForms))
	}
	if len(c.Args) < form.least || len(c.Args) > form.most {
		return nil, fmt.Errorf("inject %s: write %s", c.Kind, form.form)
	}
	return form.make(c.Args), nil
}

// parseInject reads what stands after inject: a kind and what it takes, or the name of a header and its value.
func parseInject(d *caddyfile.Dispenser) (EgressInject, error) {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return EgressInject{}, d.ArgErr()
	}
	c := EgressInject{Kind: args[0], Args: args[1:]}
	if _, ok := injectForms[c.Kind]; !ok && len(args) == 2 {
		c = EgressInject{Kind: "header", Args: args}
	}
	if _, err := c.injection(); err != nil {
		return c, d.WrapErr(err)
	}
	return c, nil
}

// vaultSecrets are the vault's secrets, and the tokens of OAuth clients, for egress policies, as they are at each moment.
type vaultSecrets struct {
	vault   *secrets.Vault
	clients map[string]*oauth.Client
}

// secretName is the name of the secret that a reference names.
func secretName(reference string) string { return strings.TrimPrefix(reference, "secret.") }

// inVault are the names that the values of a reference have in the vault.
func inVault(reference string) []string {
	if client, ok := strings.CutPrefix(reference, "oauth."); ok {
		return oauth.Bound(client)
	}
	return []string{secretName(reference)}
}

// Open implements egress.Secrets. What it says may be shown to code: names, and not why.
func (s vaultSecrets) Open(ctx context.Context, reference string) (string, error) {
	if name, ok := strings.CutPrefix(reference, "oauth."); ok {
		client := s.clients[name]
		if client == nil {
			return "", fmt.Errorf("there is no oauth client %s", name)
		}
		token, err := client.Token(ctx)
		return token.Reveal(), err
	}
	v, err := s.vault.Open(secretName(reference))
	switch {
	case errors.Is(err, secrets.ErrNotFound):
		return "", fmt.Errorf("there is no secret %s", secretName(reference))
	case err != nil:
		return "", fmt.Errorf("the secret %s cannot be opened", secretName(reference))
	case len(v.Reveal()) < secrets.MinRedacted:
		return "", fmt.Errorf("the secret %s is shorter than %d bytes, and could not be struck out of answers", secretName(reference), secrets.MinRedacted)
	}
	return v.Reveal(), nil
}

// Search implements egress.Secrets.
func (s vaultSecrets) Search(references []string, except bool) (egress.Search, error) {
	r, err := s.vault.Redactor()
	if err != nil {
		return nil, errors.New("the secrets cannot be opened")
	}
	var list []string
	for _, ref := range references {
		list = append(list, inVault(ref)...)
	}
	if except {
		return r.Except(list...), nil
	}
	return r.Only(list...), nil
}

// wants tells whether the policy uses secrets.
func (c *EgressConfig) wants() bool {
	if c.DLP != nil && c.DLP.Secrets {
		return true
	}
	for _, r := range c.Allow {
		if len(r.Inject) > 0 {
			return true
		}
	}
	return false
}

// usesOAuth tells whether the policy puts access tokens into requests.
func (c *EgressConfig) usesOAuth() bool {
	return slices.ContainsFunc(c.Allow, func(r EgressRule) bool {
		return slices.ContainsFunc(r.Inject, func(i EgressInject) bool {
			return slices.ContainsFunc(i.Args, func(arg string) bool { return strings.Contains(arg, "{oauth.") })
		})
	})
}

// egressPolicy makes a policy of the configuration for an agent. Secrets that it names must be there.
func (a *App) egressPolicy(name, owner string) (*egress.Policy, error) {
	c, parts := a.Egress[name], policyParts{name: name, owner: owner, block: a.feeds[name], edge: a.edge}
	if c.wants() {
		vault, err := a.openVault()
		if err != nil {
			return nil, err
		}
		parts.values = &vaultSecrets{vault, a.clients}
	}
	if c.Sign != "" {
		signer, err := a.signer(c.Sign)
		if err != nil {
			return nil, at(c.Place, "egress %s: sign: %w", name, err)
		}
		parts.signer = signer
	}
	parts.rules = a.outbound[name]
	return c.policy(parts)
}

// check refuses a name that no secret and no client has. No token is asked for.
func (s vaultSecrets) check(reference string) error {
	if name, ok := strings.CutPrefix(reference, "oauth."); ok {
		if s.clients[name] == nil {
			return fmt.Errorf("there is no oauth client %s; define it in the global gatehouse block (there are: %s)", name, names(s.clients))
		}
		return nil
	}
	if _, err := s.Open(context.Background(), reference); err != nil {
		return fmt.Errorf("%w; put it with: caddy gatehouse secret put %s", err, secretName(reference))
	}
	return nil
}
