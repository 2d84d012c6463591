package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// resolvedAgent is an agent's configuration with its wrangler file read in and placeholders replaced.
type resolvedAgent struct {
	AgentConfig
	vars map[string]json.RawMessage
	// roots gives a renamed class its first name, under which its actors' state lies; classes of other agents are
	// there as AGENT/CLASS.
	roots map[string]string
	// withoutNode says that the wrangler file leaves out the modules of Node.js.
	withoutNode bool
}

// MarshalJSON includes the resolved variables, for the release's fingerprint.
func (r resolvedAgent) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.AgentConfig, r.vars, r.roots, r.withoutNode})
}

// resolve reads the wrangler file, if there is one, under what the Caddyfile says, and replaces placeholders. inputs
// are the files read.
func (c *AgentConfig) resolve() (full *resolvedAgent, inputs []string, err error) {
	full = &resolvedAgent{AgentConfig: *c, vars: map[string]json.RawMessage{}, roots: map[string]string{}}
	if c.Wrangler != "" {
		w, err := agentruntime.ReadWrangler(c.Wrangler, c.WranglerEnv)
		if err != nil {
			return nil, []string{c.Wrangler}, err
		}
		if err := full.under(w); err != nil {
			return nil, []string{c.Wrangler}, err
		}
		inputs = append(inputs, c.Wrangler)
	}
	if full.Main == "" {
		return nil, inputs, errors.New("there is no code: name the entry module with main FILE or wrangler FILE")
	}
	repl := caddy.NewReplacer()
	for name, v := range c.Vars {
		v, err := repl.ReplaceOrErr(v, true, true)
		if err != nil {
			return nil, inputs, fmt.Errorf("var %s: %w", name, err)
		}
		if full.vars[name], err = json.Marshal(v); err != nil {
			return nil, inputs, fmt.Errorf("var %s: %w", name, err)
		}
	}
	full.Vars = nil
	if full.Main, err = filepath.Abs(full.Main); err != nil {
		return nil, inputs, err
	}
	return full, inputs, nil
}

// under adds what the wrangler file says and the Caddyfile does not. A name that both bind is refused.
func (r *resolvedAgent) under(w *agentruntime.Wrangler) error {
	taken := map[string]bool{"ORIGIN": true}
	for _, b := range r.Durable {
		taken[b.Binding] = true
	}
	for _, b := range r.Workflows {
		taken[b.Binding] = true
	}
	for _, s := range r.Services {
		taken[s.Binding] = true
	}
	for _, l := range r.RateLimits {
		taken[l.Binding] = true
	}
	if r.Assets != nil && r.Assets.Binding != "" {
		taken[r.Assets.Binding] = true
	}
	for _, m := range []map[string]string{r.KV, r.Secrets, r.SecretStore, r.OAuth, r.Analytics, r.Vars} {
		for name := range m {
			taken[name] = true
		}
	}
	var err error
	claim := func(name string) {
		if taken[name] {
			err = errors.Join(err, fmt.Errorf("%s: the binding %s is bound twice; each name in env can stand for one thing", r.Wrangler, name))
		}
		taken[name] = true
	}
	r.Main, r.withoutNode = w.Main, w.WithoutNode()
	r.Durable = slices.Clone(r.Durable)
	for _, d := range w.Durable {
		claim(d.Name)
		r.Durable = append(r.Durable, DurableBinding{Binding: d.Name, Class: d.Class, Agent: d.Agent})
	}
	r.Workflows = slices.Clone(r.Workflows)
	for _, x := range w.Workflows {
		claim(x.Binding)
		r.Workflows = append(r.Workflows, WorkflowBinding{Binding: x.Binding, Name: x.Name, Class: x.Class, Agent: x.Agent})
	}
	r.KV, r.Analytics = cloneMap(r.KV), cloneMap(r.Analytics)
	for _, k := range w.KV {
		claim(k.Binding)
		r.KV[k.Binding] = k.ID
	}
	for _, x := range w.Analytics {
		claim(x.Binding)
		r.Analytics[x.Binding] = x.Dataset
	}
	r.SecretStore = cloneMap(r.SecretStore)
	for _, x := range w.Stored {
		claim(x.Binding)
		r.SecretStore[x.Binding] = x.Secret
	}
	r.Services = slices.Clone(r.Services)
	for _, s := range w.Services {
		claim(s.Binding)
		r.Services = append(r.Services, ServiceBinding{Binding: s.Binding, Agent: s.Agent, Entrypoint: s.Entrypoint, Props: s.Props})
	}
	r.RateLimits = slices.Clone(r.RateLimits)
	for _, l := range w.RateLimits {
		claim(l.Name)
		r.RateLimits = append(r.RateLimits, RateLimitBinding{Binding: l.Name, Rate: fmt.Sprintf("%d/%s", l.Limit, l.Period), Namespace: l.Namespace})
	}
	if w.Assets != nil {
		if r.Assets != nil {
			err = errors.Join(err, fmt.Errorf("%s: assets are named in the file and in the Caddyfile; an agent has one folder of them", r.Wrangler))
		} else if w.Assets.Binding != "" {
			claim(w.Assets.Binding)
		}
		r.Assets = &AssetsConfig{
			Dir: w.Assets.Directory, Binding: w.Assets.Binding, HTML: w.Assets.HTML, NotFound: w.Assets.NotFound,
			RunWorkerFirst: w.Assets.RunWorkerFirst,
		}
	}
	r.Tail = slices.Clone(r.Tail)
	for _, name := range w.Tail {
		if !slices.Contains(r.Tail, name) {
			r.Tail = append(r.Tail, name)
		}
	}
	if r.Limits.CPU == 0 {
		r.Limits.CPU = caddy.Duration(w.CPU)
	}
	if r.Limits.Subrequests == 0 {
		r.Limits.Subrequests = w.Subrequests
	}
	for name, v := range w.Vars {
		// A var of the Caddyfile changes the file's: that is how one file serves several servers.
		if _, ours := r.Vars[name]; !ours {
			claim(name)
			r.vars[name] = v
		}
	}
	roots, rerr := rootClasses(w)
	r.roots = roots
	err = errors.Join(err, rerr)
	r.Crons = append(slices.Clone(r.Crons), w.Crons...)
	return err
}

func cloneMap(m map[string]string) map[string]string {
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// rootClasses follows the renames of a file's migrations.
func rootClasses(w *agentruntime.Wrangler) (map[string]string, error) {
	roots, used := map[string]string{}, map[string]bool{}
	for _, m := range w.Migrations {
		for _, class := range m.New {
			if used[class] {
				return nil, fmt.Errorf("%s: migration %s makes the class %s anew, whose name another class's state lies under; choose another name", w.Path, m.Tag, class)
			}
			used[class] = true
		}
		for _, pair := range m.Renamed {
			root := pair[0]
			if r, ok := roots[root]; ok {
				delete(roots, root)
				root = r
			}
			roots[pair[1]], used[root], used[pair[1]] = root, true, true
		}
		for _, class := range m.Deleted {
			used[class] = true
		}
	}
	return roots, nil
}

// rootKey is the binding's class as the key of roots, in the configuration of the agent of that name.
func (b DurableBinding) rootKey(agent string) string {
	if b.Agent == "" || b.Agent == agent {
		return b.Class
	}
	return b.Agent + "/" + b.Class
}

// nameWorkflows gives the workflows of c the names that their instances lie under.
func (a *App) nameWorkflows(name string, c *resolvedAgent) error {
	c.Workflows = slices.Clone(c.Workflows)
	for i := range c.Workflows {
		b := &c.Workflows[i]
		if b.Agent == name {
			b.Agent = ""
		}
		if other := a.Agents[b.Agent]; b.Agent != "" && b.Name == "" && other != nil {
			full, _, err := other.resolve()
			if err != nil {
				return fmt.Errorf("workflow %s: agent %s: %w", b.Binding, b.Agent, err)
			}
			for _, theirs := range full.Workflows {
				if theirs.Class == b.Class && theirs.Agent == "" {
					b.Name = theirs.Name
				}
			}
		}
		if b.Name == "" {
			b.Name = b.Class
		}
	}
	return nil
}

// namespace is where the instances of the workflow lie, as the agent of that name binds it.
func (b WorkflowBinding) namespace(agent string) durable.Namespace {
	if b.Agent != "" {
		agent = b.Agent
	}
	return durable.NewNamespace(agent + "/workflow:" + b.Name)
}

// foreignRoots adds the renames of the classes that c binds from other agents.
func (a *App) foreignRoots(name string, c *resolvedAgent) error {
	for _, b := range c.Durable {
		other := a.Agents[b.Agent]
		if b.rootKey(name) == b.Class || other == nil {
			continue
		}
		full, _, err := other.resolve()
		if err != nil {
			return fmt.Errorf("durable %s: agent %s: %w", b.Binding, b.Agent, err)
		}
		if root, ok := full.roots[b.Class]; ok {
			c.roots[b.rootKey(name)] = root
		}
	}
	return nil
}
