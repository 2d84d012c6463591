package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func typesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "types [FILE|AGENT]",
		Short: "Writes TypeScript declarations of an agent's bindings",
		Long: "Writes the TypeScript interface Env with an agent's bindings: its durable classes, KV namespaces, other agents, secrets, vars\n" +
			"and the rest. AGENT is an agent of the configuration; FILE is a module or a wrangler file, as for caddy gatehouse dev.\n\n" +
			"The types themselves are those of Cloudflare: npm install -D @cloudflare/workers-types, and name that package under\n" +
			"compilerOptions.types in tsconfig.json. Write the declarations anew when the configuration changes.",
		Example: `  caddy gatehouse types coordinator > env.d.ts
  caddy gatehouse types coordinator --config /etc/caddy/Caddyfile --out src/env.d.ts
  caddy gatehouse types ./agent.ts --out env.d.ts`,
		Args:         cobra.MaximumNArgs(1),
		SilenceUsage: true,
		RunE:         runTypes,
	}
	f := cmd.Flags()
	f.StringP("config", "c", "", "The configuration that defines the agent (default ./Caddyfile if it is there)")
	f.StringP("adapter", "a", "", "The configuration's adapter (default by its name)")
	f.String("env", "", "The environment of a wrangler file that is named as FILE")
	f.StringP("out", "o", "", "The file to write (default standard output, for a file in this folder)")
	return cmd
}

func runTypes(cmd *cobra.Command, args []string) error {
	what := "."
	if len(args) > 0 {
		what = args[0]
	}
	out, _ := cmd.Flags().GetString("out")
	dir, err := filepath.Abs(filepath.Dir(out))
	if err != nil {
		return err
	}
	var text string
	if _, err := os.Stat(what); isPath(what) || err == nil && what == "." {
		text, err = typesOfFile(cmd, what, dir)
		if err != nil {
			return err
		}
	} else if text, err = typesOfAgent(cmd, what, dir); err != nil {
		return err
	}
	if out == "" {
		_, err := fmt.Fprint(cmd.OutOrStdout(), text)
		return err
	}
	if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s is written. Let tsconfig.json include it; its types come from @cloudflare/workers-types.\n", out)
	return nil
}

func typesOfFile(cmd *cobra.Command, path, dir string) (string, error) {
	file, err := findCode(path)
	if err != nil {
		return "", err
	}
	environment, _ := cmd.Flags().GetString("env")
	p, err := (&workspace{file: file, environment: environment}).plan()
	if err != nil {
		return "", err
	}
	return declarations(p.name, p.full, nil, dir)
}

func typesOfAgent(cmd *cobra.Command, name, dir string) (string, error) {
	file, _ := cmd.Flags().GetString("config")
	adapter, _ := cmd.Flags().GetString("adapter")
	raw, file, _, err := caddycmd.LoadConfig(file, adapter)
	if err != nil {
		return "", err
	}
	var config struct {
		Apps struct {
			Gatehouse *App `json:"gatehouse"`
		} `json:"apps"`
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &config); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	app := config.Apps.Gatehouse
	if app == nil {
		app = new(App)
	}
	c := app.Agents[name]
	if c == nil {
		return "", fmt.Errorf("agent %s: no such agent in the global gatehouse block of the configuration (there are: %s); name a configuration with --config, or the agent's module: caddy gatehouse types ./agent.ts", name, names(app.Agents))
	}
	full, _, err := c.resolve()
	if err != nil {
		return "", at(c.Place, "agent %s: %w", name, err)
	}
	mains := map[string]string{}
	for other, c := range app.Agents {
		if full, _, err := c.resolve(); err == nil {
			mains[other] = full.Main
		}
	}
	return declarations(name, full, mains, dir)
}

// envLine is one member of env.
type envLine struct{ name, kind, note string }

// envLines are the members of an agent's env, sorted.
func envLines(agent string, full *resolvedAgent) []envLine {
	return envTypes(agent, full, nil, "")
}

// envTypes are the members of an agent's env with their types, as seen from a file in the folder dir. mains are the
// modules of the configuration's agents.
func envTypes(agent string, full *resolvedAgent, mains map[string]string, dir string) []envLine {
	module := func(of string) string {
		main := mains[of]
		if of == "" || of == agent {
			main = full.Main
		}
		if main == "" || dir == "" {
			return ""
		}
		rel, err := filepath.Rel(dir, main)
		if err != nil {
			return ""
		}
		rel = filepath.ToSlash(strings.TrimSuffix(rel, filepath.Ext(rel)))
		if !strings.HasPrefix(rel, ".") {
			rel = "./" + rel
		}
		return rel
	}
	lines := []envLine{{"ORIGIN", "Fetcher", "the next handler of the site"}}
	for _, b := range full.Durable {
		kind, note := "DurableObjectNamespace", "durable actors of "+b.Class
		if m := module(b.Agent); m != "" {
			kind = fmt.Sprintf("DurableObjectNamespace<import(%s).%s>", strconv.Quote(m), b.Class)
		}
		if b.Agent != "" && b.Agent != agent {
			note += " of agent " + b.Agent
		}
		lines = append(lines, envLine{b.Binding, kind, note})
	}
	for _, b := range full.Workflows {
		kind, note := "Workflow", "workflow "+b.Class
		if m := module(b.Agent); m != "" {
			kind = fmt.Sprintf("Workflow<Parameters<import(%s).%s[\"run\"]>[0][\"payload\"]>", strconv.Quote(m), b.Class)
		}
		if b.Agent != "" && b.Agent != agent {
			note += " of agent " + b.Agent
		}
		lines = append(lines, envLine{b.Binding, kind, note})
	}
	for _, s := range full.Services {
		kind, entry := "Fetcher", s.Entrypoint
		if entry == "" {
			entry = "default"
		}
		if m := module(s.Agent); m != "" {
			kind = fmt.Sprintf("Service<typeof import(%s).%s>", strconv.Quote(m), entry)
		}
		lines = append(lines, envLine{s.Binding, kind, "agent " + s.Agent + entryName(s.Entrypoint)})
	}
	for name, space := range full.KV {
		lines = append(lines, envLine{name, "KVNamespace", "namespace " + space})
	}
	for name, secret := range full.Secrets {
		lines = append(lines, envLine{name, "string", "secret " + secret})
	}
	for name, secret := range full.SecretStore {
		lines = append(lines, envLine{name, "SecretsStoreSecret", "secret " + secret})
	}
	for name, client := range full.OAuth {
		lines = append(lines, envLine{name, "SecretsStoreSecret", "access token of the oauth client " + client})
	}
	for name, set := range full.Analytics {
		lines = append(lines, envLine{name, "AnalyticsEngineDataset", "dataset " + set})
	}
	for _, l := range full.RateLimits {
		lines = append(lines, envLine{l.Binding, "RateLimit", l.Rate})
	}
	if full.Assets != nil && full.Assets.Binding != "" {
		lines = append(lines, envLine{full.Assets.Binding, "Fetcher", "assets"})
	}
	for name, value := range full.vars {
		lines = append(lines, envLine{name, typeOfJSON(value), "var"})
	}
	slices.SortFunc(lines, func(a, b envLine) int { return strings.Compare(a.name, b.name) })
	return lines
}

// declarations is the text of the file.
func declarations(agent string, full *resolvedAgent, mains map[string]string, dir string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "// The bindings of agent %s, written by: caddy gatehouse types\n// The types are those of @cloudflare/workers-types.\n\n", agent)
	b.WriteString("declare namespace Cloudflare {\n\tinterface Env {\n")
	for _, l := range envTypes(agent, full, mains, dir) {
		fmt.Fprintf(&b, "\t\t/** %s */\n\t\t%s: %s;\n", strings.ReplaceAll(l.note, "*/", "* /"), propertyName(l.name), l.kind)
	}
	b.WriteString("\t}\n}\n\ninterface Env extends Cloudflare.Env {}\n")
	return b.String(), nil
}

var plainName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

func propertyName(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}

// typeOfJSON is the type of a var.
func typeOfJSON(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "unknown"
	}
	return typeOfValue(v)
}

func typeOfValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		var kinds []string
		for _, x := range v {
			if k := typeOfValue(x); !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
		if len(kinds) == 0 {
			return "unknown[]"
		}
		return "(" + strings.Join(kinds, " | ") + ")[]"
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		members := make([]string, len(keys))
		for i, k := range keys {
			members[i] = propertyName(k) + ": " + typeOfValue(v[k])
		}
		return "{ " + strings.Join(members, "; ") + " }"
	}
	return "unknown"
}
