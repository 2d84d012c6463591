package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/assets"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
	"github.com/gatehouse-edge/gatehouse/secrets/oauth"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// releasePool holds the releases by all that makes them what they are, so that a reload that changes nothing of an
// agent keeps its actors in memory.
var releasePool = caddy.NewUsagePool()

// release is one version of one agent: its compiled code with everything it is bound to. It does not change.
type release struct {
	name     string
	key      string
	config   *AgentConfig
	crons    []cron
	agent    code
	bundle   *agentruntime.Bundle
	policy   *egress.Policy
	actors   map[string]durable.Namespace // by binding
	classes  map[string]*actorClass       // by namespace: the classes this agent's code has
	datasets map[string]string            // by analytics binding
	services map[string]service           // by binding
	limits   map[string]*throttle.Zone    // by rate limit binding
	assets   *assets.Folder               // nil: none
	edge     *edge
	points   *points
	vault    *secrets.Vault           // nil: the code is given no secrets
	clients  map[string]*oauth.Client // by name

	mu       sync.Mutex
	revealed map[string][]secrets.Value // what code was given, by a name for the redactor, newest last
	redactor *secrets.Redactor
}

// service is what a service binding reaches.
type service struct {
	agent string
	entry agentruntime.Entry
}

// Destruct drops what the release holds, once no configuration uses it.
func (r *release) Destruct() error {
	r.policy.Close()
	if r.assets != nil {
		_ = r.assets.Close()
	}
	if r.agent == nil {
		return nil
	}
	return r.config.dropCode(r.agent)
}

// bodyLimit is the largest request body in bytes.
func (r *release) bodyLimit() int64 { return r.agent.Limits().RequestBody }

// handles says whether the code has a handler for the event.
func (r *release) handles(event string) bool { return slices.Contains(r.agent.Handlers(), event) }

// holds says whether the agent's own actors, without those that stand for workflows, have the class.
func (r *release) holds(class string) bool {
	for _, c := range r.classes {
		if c.name == class && !c.workflow {
			return true
		}
	}
	return false
}

func (r *release) version() string { return r.bundle.Version() }

// newRelease builds and checks the agent's code. The caller gives the release back to the pool. inputs are the files it
// was made from, and are given with an error too, as far as they are known.
func (a *App) newRelease(name string, c *AgentConfig) (rel *release, inputs []string, err error) {
	if name == "" || strings.ContainsAny(name, "/ ") {
		return nil, nil, at(c.Place, "agent %q: a name must not be empty nor hold a slash or a space", name)
	}
	full, inputs, err := c.resolve()
	if err != nil {
		return nil, inputs, at(c.Place, "agent %s: %w", name, err)
	}
	if err := a.foreignRoots(name, full); err != nil {
		return nil, inputs, at(c.Place, "agent %s: %w", name, err)
	}
	if err := a.nameWorkflows(name, full); err != nil {
		return nil, inputs, at(c.Place, "agent %s: %w", name, err)
	}
	bundle, err := makeBundle(full, func(warning string) {
		a.logger.Warn("agent's code", zap.String("agent", name), zap.String("warning", warning))
	})
	if err != nil {
		var build *agentruntime.BuildError
		if errors.As(err, &build) {
			inputs = append(inputs, build.Inputs...)
		}
		return nil, append(inputs, full.Main), at(c.Place, "agent %s: %w", name, err)
	}
	inputs = append(inputs, bundle.Inputs()...)
	key, err := a.fingerprint(name, full, bundle)
	if err != nil {
		return nil, inputs, at(c.Place, "agent %s: %w", name, err)
	}
	v, _, err := releasePool.LoadOrNew(key, func() (caddy.Destructor, error) { return a.makeRelease(name, key, full, bundle) })
	if err != nil {
		return nil, inputs, at(c.Place, "agent %s: %w", name, err)
	}
	return v.(*release), inputs, nil
}

// fingerprint is the identity of everything that a release depends on.
func (a *App) fingerprint(name string, c *resolvedAgent, bundle *agentruntime.Bundle) (string, error) {
	plain := *c
	plain.Place = ""
	var policy EgressConfig
	if c.Egress != "" {
		policy = *a.Egress[c.Egress]
		policy.Place = ""
	}
	var ring KeyringConfig
	if a.Keyring != nil {
		ring = *a.Keyring
		ring.Place = ""
	}
	clients := map[string]OAuthConfig{}
	if len(c.OAuth) > 0 || policy.usesOAuth() {
		for name, c := range a.OAuth {
			client := *c
			client.Place = ""
			clients[name] = client
		}
	}
	rules := ""
	if len(policy.WAF) > 0 {
		rules = policy.rules().Key() // with what is in the files
	}
	b, err := json.Marshal([]any{rules, a.edge.storage.dir, a.points.path, ring, name, plain, bundle.Version(), policy, clients})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func (a *App) makeRelease(name, key string, c *resolvedAgent, bundle *agentruntime.Bundle) (*release, error) {
	r := &release{
		name: name, key: key, config: &c.AgentConfig, bundle: bundle, policy: egress.None,
		actors: map[string]durable.Namespace{}, classes: map[string]*actorClass{}, datasets: c.Analytics, services: map[string]service{}, limits: map[string]*throttle.Zone{},
		edge: a.edge, points: a.points, revealed: map[string][]secrets.Value{}, clients: a.clients,
	}
	for _, text := range c.Crons {
		expr, err := agentruntime.CronSchedule(text)
		if err != nil {
			return nil, fmt.Errorf("%w; write it as minute, hour, day, month and weekday, for example: \"*/5 * * * *\"", err)
		}
		r.crons = append(r.crons, cron{text, expr})
	}
	var bindings []agentruntime.Binding
	for _, b := range c.Durable {
		owner := name
		if b.Agent != "" {
			owner = b.Agent
		}
		class := b.Class
		if root, ok := c.roots[b.rootKey(name)]; ok {
			class = root
		}
		ns := durable.NewNamespace(owner + "/" + class)
		r.actors[b.Binding] = ns
		if owner == name {
			r.classes[ns.Name()] = &actorClass{rel: r, name: b.Class}
		}
		bindings = append(bindings, agentruntime.Binding{Name: b.Binding, Kind: agentruntime.BindingDurable, Class: b.Class, Agent: b.Agent, Namespace: ns.Name()})
	}
	for _, b := range c.Workflows {
		ns := b.namespace(name)
		r.actors[b.Binding] = ns
		if b.Agent == "" {
			if other := r.classes[ns.Name()]; other != nil && other.name != b.Class {
				return nil, fmt.Errorf("workflow %s: the workflow %s is of the class %s, and %s is bound under its name; give each class a name of its own", b.Binding, b.Name, other.name, b.Class)
			}
			r.classes[ns.Name()] = &actorClass{rel: r, name: b.Class, workflow: true}
		}
		bindings = append(bindings, agentruntime.Binding{Name: b.Binding, Kind: agentruntime.BindingWorkflow, Class: b.Class, Agent: b.Agent, Namespace: ns.Name()})
	}
	for _, s := range c.Services {
		entry := agentruntime.Entry{Name: s.Entrypoint}
		if entry.Name == "default" {
			entry.Name = ""
		}
		if len(s.Props) > 0 {
			props, err := agentruntime.CloneJSON(s.Props)
			if err != nil {
				return nil, fmt.Errorf("service %s: props: %w", s.Binding, err)
			}
			entry.Props = props
		}
		r.services[s.Binding] = service{agent: s.Agent, entry: entry}
		bindings = append(bindings, agentruntime.Binding{Name: s.Binding, Kind: agentruntime.BindingService})
	}
	for _, b := range slices.Sorted(maps.Keys(c.KV)) {
		bindings = append(bindings, agentruntime.Binding{Name: b, Kind: agentruntime.BindingKV})
	}
	for _, b := range slices.Sorted(maps.Keys(c.Analytics)) {
		bindings = append(bindings, agentruntime.Binding{Name: b, Kind: agentruntime.BindingAnalytics})
	}
	for _, b := range slices.Sorted(maps.Keys(c.vars)) {
		bindings = append(bindings, agentruntime.Binding{Name: b, Kind: agentruntime.BindingJSON, Value: string(c.vars[b])})
	}
	if len(c.Secrets)+len(c.SecretStore)+len(c.OAuth) > 0 {
		vault, err := a.openVault()
		if err != nil {
			return nil, err
		}
		r.vault = vault
	}
	for _, b := range slices.Sorted(maps.Keys(c.Secrets)) {
		if _, err := r.vault.Open(c.Secrets[b]); errors.Is(err, secrets.ErrNotFound) {
			return nil, fmt.Errorf("secret %s: there is no secret %s; put it with: caddy gatehouse secret put %s", b, c.Secrets[b], c.Secrets[b])
		} else if err != nil {
			return nil, fmt.Errorf("secret %s: %w", b, err)
		}
		bindings = append(bindings, agentruntime.Binding{Name: b, Kind: agentruntime.BindingSecret})
	}
	for _, m := range []map[string]string{c.SecretStore, c.OAuth} {
		for _, b := range slices.Sorted(maps.Keys(m)) {
			bindings = append(bindings, agentruntime.Binding{Name: b, Kind: agentruntime.BindingSecretStore})
		}
	}
	if c.Egress != "" {
		p, err := a.egressPolicy(c.Egress, name)
		if err != nil {
			return nil, err
		}
		r.policy = p
	}
	limits, err := r.rateLimits(c.RateLimits)
	if err != nil {
		_ = r.Destruct()
		return nil, err
	}
	bindings = append(bindings, limits...)
	if r.assets, err = openAssets(c.Assets); err != nil {
		_ = r.Destruct()
		return nil, err
	}
	if c.Assets != nil && c.Assets.Binding != "" {
		bindings = append(bindings, agentruntime.Binding{Name: c.Assets.Binding, Kind: agentruntime.BindingAssets})
	}
	ag, err := newCode(name, r.config, bundle, bindings, c.Limits.runtime(), a.edge.shed)
	if err != nil {
		_ = r.Destruct()
		return nil, err
	}
	r.agent = ag
	if slow := ag.SlowStart(); slow != "" {
		a.logger.Warn("agent's code", zap.String("agent", name), zap.String("warning", slow))
	}
	if len(r.crons) > 0 && !r.handles("scheduled") {
		_ = r.Destruct()
		return nil, fmt.Errorf("cron %q: the code has no scheduled handler; add one to the default export, scheduled(controller, env, ctx), or remove the cron", r.crons[0].text)
	}
	return r, nil
}

// keptTokens is how many access tokens of a client are struck out: those before have ended.
const keptTokens = 8

// reveal opens a secret for code, and strikes its value out of everything written down from then on.
func (r *release) reveal(ctx context.Context, binding string) (string, error) {
	var v secrets.Value
	var err error
	secret, kept := r.config.Secrets[binding], 0
	if secret == "" {
		secret = r.config.SecretStore[binding]
	}
	switch client := r.config.OAuth[binding]; {
	case secret != "":
		if v, err = r.vault.Open(secret); err != nil {
			return "", fmt.Errorf("secret %s: %w", binding, err)
		}
	case client != "":
		if v, err = r.clients[client].Token(ctx); err != nil {
			return "", &agentruntime.HostError{Name: "Error", Message: err.Error()}
		}
		secret, kept = oauth.Group(client), keptTokens
	default:
		return "", fmt.Errorf("secret %s: %w", binding, agentruntime.ErrNoBinding)
	}
	text := v.Reveal()
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.revealed[secret]
	if slices.ContainsFunc(known, func(old secrets.Value) bool { return old.Reveal() == text }) {
		return text, nil
	}
	if known = append(known, v); kept > 0 && len(known) > kept {
		known = known[1:]
	}
	r.revealed[secret] = known
	named := map[string]secrets.Value{}
	for name, values := range r.revealed {
		for i, v := range values {
			if i > 0 {
				named[fmt.Sprintf("%s, older %d", name, i+1)] = v
			} else {
				named[name] = v
			}
		}
	}
	r.redactor = secrets.NewRedactor(named)
	return text, nil
}

// redact strikes out every secret that code of this release has seen.
func (r *release) redact(s string) string {
	if r.vault == nil {
		return s
	}
	r.mu.Lock()
	red := r.redactor
	r.mu.Unlock()
	return red.Redact(s)
}
