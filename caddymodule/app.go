package caddymodule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/secrets"
	"github.com/gatehouse-edge/gatehouse/secrets/oauth"
)

func init() {
	caddy.RegisterModule(new(App))
}

// App is the gatehouse app: the store, the keyring, the egress policies and the agents that the site blocks' directives
// use. Without a global block every part has its default.
type App struct {
	// Store is where durable state lives; default: Badger in Caddy's data folder.
	Store *StoreConfig `json:"store,omitempty"`
	// Keyring holds the keys that seal secrets; default: keyring.json in the store's folder.
	Keyring *KeyringConfig `json:"keyring,omitempty"`
	// Records says what records hold and which are written.
	Records *RecordsConfig `json:"records,omitempty"`
	// Audit is the audit log; default: none.
	Audit *AuditConfig `json:"audit,omitempty"`
	// Telemetry sends records to an OpenTelemetry collector; default: nowhere.
	Telemetry *TelemetryConfig `json:"telemetry,omitempty"`
	// Chain bounds the calls of agents by agents, and says which servers know each other's.
	Chain *ChainConfig `json:"chain,omitempty"`
	// Unusual says what is unusual of an agent, and who is told.
	Unusual *UnusualConfig `json:"unusual,omitempty"`
	// Analytics is where data points are kept; default: analytics.db in the store's folder.
	Analytics *AnalyticsConfig `json:"analytics,omitempty"`
	// Egress are the named policies for what agents send out.
	Egress map[string]*EgressConfig `json:"egress,omitempty"`
	// OAuth are the clients of OAuth servers by name.
	OAuth map[string]*OAuthConfig `json:"oauth,omitempty"`
	// Agents are the agents by name.
	Agents map[string]*AgentConfig `json:"agents,omitempty"`

	ctx    caddy.Context
	logger *zap.Logger
	edge   *edge
	points *points
	out    *outlets
	chains *chains
	before *App // that served, until this one has taken over

	vaultOnce sync.Once
	vault     *secrets.Vault
	vaultErr  error

	// agents is changed while the configuration is provisioned and only read after.
	agents  map[string]*agent
	clients map[string]*oauth.Client
	// outbound are the rules of egress policies, by the policies' names.
	outbound map[string]egress.Inspector
	feeds    map[string]*egress.Feed // the blocklists of egress policies, by the policies' names
	ready    chan struct{}           // closed when Start has ended
	pooled   []func() error          // gives back what this configuration took from pools
}

// StoreConfig says where durable state lives.
type StoreConfig struct {
	// Path is the folder; default gatehouse in Caddy's data folder.
	Path string `json:"path,omitempty"`
	// Memory is about how much the engine may use, in bytes; default 256 MiB.
	Memory int64 `json:"memory,omitempty"`
	// EncryptionKey is keyring:NAME to encrypt the store with a key of that name, which the keyring seals; default: none.
	EncryptionKey string `json:"encryption_key,omitempty"`
	// AcceptDataLoss opens a store that has lost data, with what is left.
	AcceptDataLoss bool   `json:"accept_data_loss,omitempty"`
	Place          string `json:"place,omitempty"`
}

// KeyringConfig names the keyring: a file, made on first use, or an environment variable.
type KeyringConfig struct {
	File string `json:"file,omitempty"`
	Env  string `json:"env,omitempty"`
	// Transit has the file's content encrypted by the transit engine of a Vault.
	Transit *TransitConfig `json:"transit,omitempty"`
	Place   string         `json:"place,omitempty"`
}

// TransitConfig names a key of Vault's transit engine.
type TransitConfig struct {
	Address string `json:"address"`
	Key     string `json:"key"`
	// Token is a placeholder for the token; default {env.VAULT_TOKEN}.
	Token string `json:"token,omitempty"`
	// Mount is where the engine is mounted; default transit.
	Mount string `json:"mount,omitempty"`
	// Namespace is that of Vault Enterprise.
	Namespace string `json:"namespace,omitempty"`
}

// defaultTransitToken is where the token is looked for.
const defaultTransitToken = "{env.VAULT_TOKEN}"

// wrapper is the transit engine.
func (c *TransitConfig) wrapper() (*secrets.Transit, error) {
	token := cmp.Or(c.Token, defaultTransitToken)
	t := &secrets.Transit{Address: c.Address, Key: c.Key, Mount: c.Mount, Namespace: c.Namespace, Token: func() (secrets.Value, error) {
		text, err := caddy.NewReplacer().ReplaceOrErr(token, true, true)
		if err != nil || strings.TrimSpace(text) == "" {
			return secrets.Value{}, fmt.Errorf("the token of the transit engine, %s, is empty; set it where that placeholder looks", token)
		}
		return secrets.NewValue(strings.TrimSpace(text)), nil
	}}
	if !strings.HasPrefix(token, "{") || !strings.HasSuffix(token, "}") {
		return nil, errors.New("transit: the token must be a placeholder, such as {env.VAULT_TOKEN} or {file./run/secrets/vault}, so that it stands in no configuration")
	}
	return t, t.Check()
}

// AnalyticsConfig says where data points are kept and for how long.
type AnalyticsConfig struct {
	Path string `json:"path,omitempty"`
	// Retention defaults to 90 days.
	Retention caddy.Duration `json:"retention,omitempty"`
	Place     string         `json:"place,omitempty"`
}

// CaddyModule returns the module's registration.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision checks everything that can be checked without opening the store, so that a configuration can be validated
// beside a running server: files, policies, secrets, and that every agent's code builds and runs.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.logger = ctx, ctx.Logger()
	a.agents, a.feeds, a.ready = map[string]*agent{}, map[string]*egress.Feed{}, make(chan struct{})
	a.outbound = map[string]egress.Inspector{}
	store, err := a.storage()
	if err != nil {
		return err
	}
	dir := store.dir
	if a.edge, err = take(a, edges, dir, func() (*edge, error) { return newEdge(store), nil }); err != nil {
		return err
	}
	if a.edge.storage.memory != store.memory || a.edge.storage.keyName != store.keyName {
		a.logger.Warn("store: another amount of memory or another key takes effect when the server starts anew", zap.String("dir", dir))
	}
	path, keep := filepath.Join(dir, "analytics.db"), time.Duration(0)
	if a.Analytics != nil {
		if path, err = a.path(a.Analytics.Path); err != nil {
			return at(a.Analytics.Place, "analytics: %w", err)
		}
		keep = time.Duration(a.Analytics.Retention)
	}
	if a.points, err = take(a, analyticsPool, path, func() (*points, error) { return &points{path: path, keep: keep}, nil }); err != nil {
		return err
	}
	if a.points.keep != keep {
		a.logger.Warn("analytics: another retention takes effect when the server starts anew", zap.String("path", path))
	}
	if err := a.addOAuth(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.Egress)) {
		c := a.Egress[name]
		if len(c.Blocklist) > 0 {
			if a.feeds[name], err = a.takeFeed(c.Blocklist); err != nil {
				return at(c.Place, "egress %s: %w", name, err)
			}
		}
		if err := a.addOutbound(name, c); err != nil {
			return at(c.Place, "egress %s: waf: %w", name, err)
		}
		p, err := a.egressPolicy(name, "")
		if err != nil {
			return err
		}
		p.Close()
	}
	if a.out, err = a.newOutlets(); err != nil {
		return err
	}
	if a.chains, err = a.newChains(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.Agents)) {
		if err := a.checkReferences(name, a.Agents[name]); err != nil {
			return err
		}
		if err := a.addAgent(name, a.Agents[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Agents)) {
		if err := a.checkHandlers(name, a.Agents[name]); err != nil {
			return err
		}
	}
	return nil
}

// Start opens the store, if it is not open yet, and puts the agents of this configuration in charge of their actors,
// alarms and schedules.
func (a *App) Start() error {
	defer close(a.ready)
	setCollector()
	a.before = a.edge.serving.Swap(a)
	a.edge.configure(a.out.unusual.cfg)
	if err := a.edge.open(); err != nil {
		return err
	}
	if a.out.audit != nil {
		if err := a.out.audit.open(); err != nil {
			return at(a.Audit.Place, "%w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.agents)) {
		a.agents[name].start()
	}
	return nil
}

// await waits until the app has started: Caddy starts apps in any order, so the first requests can come before. An app
// that is not up in time, because another one failed to start, is an error.
func (a *App) await(ctx context.Context) error {
	select {
	case <-a.ready:
		return a.edge.open()
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case <-a.ready:
		return a.edge.open()
	case <-ctx.Done():
		return fmt.Errorf("gatehouse has not started: %w", ctx.Err())
	}
}

// Stop takes the agents of this configuration out of charge. Where an earlier configuration is still there, because
// this one failed to start, its agents are in charge again.
func (a *App) Stop() error {
	for _, ag := range a.agents {
		ag.stop()
	}
	if a.before != nil { // this one has failed to start; else what runs out goes on by this one's word
		a.edge.serving.CompareAndSwap(a, a.before)
		a.before = nil
	}
	logQueue().Flush(2 * time.Second)
	return nil
}

// Cleanup gives back what this configuration took, even when it was provisioned only in part.
func (a *App) Cleanup() error {
	var first error
	for _, ag := range a.agents {
		if err := ag.free(); err != nil && first == nil {
			first = err
		}
	}
	for _, give := range slices.Backward(a.pooled) {
		if err := give(); err != nil && first == nil {
			first = err
		}
	}
	a.pooled = nil
	return first
}

// addAgent builds an agent and adds it. The same name with the same configuration is the same agent.
func (a *App) addAgent(name string, c *AgentConfig) error {
	if other, ok := a.agents[name]; ok {
		if c.same(other.config) {
			return nil
		}
		return at(c.Place, "agent %s: there is another agent of that name; define agents with options in the global gatehouse block and name them in the sites", name)
	}
	ag := &agent{name: name, config: c, app: a}
	if err := ag.load(); err != nil {
		return err
	}
	a.agents[name] = ag
	return nil
}

// checkReferences refuses names of policies and agents that are not there.
func (a *App) checkReferences(name string, c *AgentConfig) error {
	if c.Egress != "" && a.Egress[c.Egress] == nil {
		return at(c.Place, "agent %s: egress %s: no such policy; define it with: egress %s { ... } (there are: %s)", name, c.Egress, c.Egress, names(a.Egress))
	}
	for _, binding := range slices.Sorted(maps.Keys(c.OAuth)) {
		if client := c.OAuth[binding]; a.OAuth[client] == nil {
			return at(c.Place, "agent %s: oauth %s: there is no client %s; define it in the global gatehouse block with: oauth %s { ... } (there are: %s)", name, binding, client, client, names(a.OAuth))
		}
	}
	for _, t := range c.Tail {
		if a.Agents[t] == nil {
			return at(c.Place, "agent %s: tail %s: no such agent; define it in the global gatehouse block (there are: %s)", name, t, names(a.Agents))
		}
	}
	for _, b := range c.Durable {
		if b.Agent != "" && a.Agents[b.Agent] == nil {
			return at(c.Place, "agent %s: durable %s: no agent %s (there are: %s)", name, b.Binding, b.Agent, names(a.Agents))
		}
	}
	for _, b := range c.Workflows {
		if b.Agent != "" && a.Agents[b.Agent] == nil {
			return at(c.Place, "agent %s: workflow %s: no agent %s (there are: %s)", name, b.Binding, b.Agent, names(a.Agents))
		}
	}
	return nil
}

// checkHandlers refuses references to agents whose code does not have what is asked of it.
func (a *App) checkHandlers(name string, c *AgentConfig) error {
	full := a.agents[name].release.Load().config // with what its wrangler file says
	for _, t := range full.Tail {
		if a.agents[t] == nil {
			return at(c.Place, "agent %s: tail %s: no such agent; define it in the global gatehouse block (there are: %s)", name, t, names(a.Agents))
		}
		if !a.agents[t].release.Load().handles("tail") {
			return at(c.Place, "agent %s: tail %s: the code of %s has no tail handler; add one to its default export: tail(events, env, ctx)", name, t, t)
		}
	}
	for _, b := range full.Durable {
		if b.Agent != "" && a.agents[b.Agent] == nil {
			return at(c.Place, "agent %s: durable %s: no agent %s (there are: %s)", name, b.Binding, b.Agent, names(a.Agents))
		}
		if b.Agent != "" && !a.agents[b.Agent].release.Load().holds(b.Class) {
			return at(c.Place, "agent %s: durable %s: agent %s has no durable class %s; bind it there as well: durable %s %s", name, b.Binding, b.Agent, b.Class, b.Binding, b.Class)
		}
		if b.Agent != "" && !a.agents[b.Agent].release.Load().admits(name) {
			return at(c.Place, "agent %s: durable %s: agent %s takes no calls of it; add it to its callers", name, b.Binding, b.Agent)
		}
	}
	for _, b := range full.Workflows {
		if b.Agent == "" {
			continue
		}
		if a.agents[b.Agent] == nil {
			return at(c.Place, "agent %s: workflow %s: no agent %s (there are: %s)", name, b.Binding, b.Agent, names(a.Agents))
		}
		rel := a.agents[b.Agent].release.Load()
		if class := rel.classes[b.namespace(name).Name()]; class == nil || class.name != b.Class {
			return at(c.Place, "agent %s: workflow %s: agent %s has no workflow %s of the class %s; bind it there as well: workflow %s %s", name, b.Binding, b.Agent, b.Name, b.Class, b.Binding, b.Class)
		}
		if !rel.admits(name) {
			return at(c.Place, "agent %s: workflow %s: agent %s takes no calls of it; add it to its callers", name, b.Binding, b.Agent)
		}
	}
	return a.checkServices(name, c)
}

func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	s := ""
	for i, n := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}

// dir is the store's folder, absolute.
func (a *App) dir() (string, error) {
	if a.Store == nil || a.Store.Path == "" {
		return filepath.Join(caddy.AppDataDir(), "gatehouse"), nil
	}
	dir, err := a.path(a.Store.Path)
	if err != nil {
		return "", at(a.Store.Place, "store: %w", err)
	}
	return dir, nil
}

// path replaces the placeholders of a configured path and makes it absolute.
func (a *App) path(p string) (string, error) {
	p, err := caddy.NewReplacer().ReplaceOrErr(p, true, true)
	if err != nil {
		return "", err
	}
	return filepath.Abs(p)
}

// openVault opens the secrets at their first use. A configuration without secrets makes no keyring.
func (a *App) openVault() (*secrets.Vault, error) {
	a.vaultOnce.Do(func() {
		if a.vault, a.vaultErr = a.newVault(); a.vaultErr == nil {
			a.vaultErr = a.vault.Verify()
		}
		if a.vaultErr != nil {
			place := ""
			if a.Keyring != nil {
				place = a.Keyring.Place
			}
			a.vaultErr = at(place, "secrets: %w", a.vaultErr)
		}
	})
	return a.vault, a.vaultErr
}

func (a *App) newVault() (*secrets.Vault, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	ring, err := a.openKeyring(dir)
	if err != nil {
		return nil, err
	}
	return secrets.OpenVault(secrets.VaultConfig{Path: filepath.Join(dir, "secrets.json"), Keyring: ring})
}

func (a *App) openKeyring(dir string) (*secrets.Keyring, error) {
	switch {
	case a.Keyring != nil && a.Keyring.Env != "":
		v, ok := os.LookupEnv(a.Keyring.Env)
		if !ok {
			return nil, fmt.Errorf("keyring: the environment variable %s is not set; set it to the content of a keyring file, or name a file: keyring file ./keyring.json", a.Keyring.Env)
		}
		return secrets.OpenKeyringEnv(v)
	}
	file, err := a.keyringFile(dir)
	if err != nil {
		return nil, err
	}
	return file.Open()
}

// keyringFile is the keyring's file, for a keyring that has one.
func (a *App) keyringFile(dir string) (f secrets.KeyringFile, err error) {
	f.Path = filepath.Join(dir, "keyring.json")
	if a.Keyring == nil {
		return f, nil
	}
	if a.Keyring.Env != "" {
		return f, fmt.Errorf("the keyring is in the environment variable %s, and nothing but what sets it can change it; name a file for it: keyring file ./keyring.json", a.Keyring.Env)
	}
	if a.Keyring.File != "" {
		if f.Path, err = a.path(a.Keyring.File); err != nil {
			return f, err
		}
	}
	if a.Keyring.Transit != nil {
		f.Wrapper, err = a.Keyring.Transit.wrapper()
	}
	return f, err
}

// take takes a value from a pool, making it if nobody holds it, and remembers to give it back.
func take[T caddy.Destructor](a *App, pool *caddy.UsagePool, key string, make func() (T, error)) (T, error) {
	v, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) { return make() })
	if err != nil {
		var zero T
		return zero, err
	}
	a.pooled = append(a.pooled, func() error {
		_, err := pool.Delete(key)
		return err
	})
	return v.(T), nil
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
