package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// workspace is an agent's code as its author has it before there is a configuration: what caddy gatehouse dev runs and
// caddy gatehouse types describes.
type workspace struct {
	// file is the module or the wrangler file, environment the wrangler file's.
	file, environment string
	// envFile holds vars, as NAME=value lines; empty for .dev.vars beside the code, if it is there.
	envFile string
	// allow are the hosts that the code may call.
	allow []string
}

// candidates are the files that a folder's agent is looked for in.
var candidates = []string{"wrangler.jsonc", "wrangler.json", "wrangler.toml", "agent.ts", "index.ts", "src/index.ts", "agent.js", "index.js", "src/index.js"}

// findCode finds the code in path: a file, or a folder with one of the usual files. A module with a wrangler file beside
// it that names it is run as that file says.
func findCode(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no file %s; name the agent's module, for example: caddy gatehouse dev ./agent.ts", path)
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range candidates {
		file := filepath.Join(path, filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("there is no agent in %s: none of %s; name its module, for example: caddy gatehouse dev ./agent.ts", path, strings.Join(candidates, ", "))
}

// plan is what a workspace comes to.
type plan struct {
	name    string
	config  *AgentConfig
	full    *resolvedAgent
	egress  *EgressConfig // nil: none
	inputs  []string      // the files that a change of changes the plan, as far as known
	classes []string      // the durable classes that were bound by themselves
}

// plan reads the workspace's files and runs the module once, to see what it exports. The inputs are given with an error
// too.
func (w *workspace) plan() (*plan, error) {
	p := &plan{config: &AgentConfig{}, inputs: []string{w.file}}
	if isWrangler(w.file) {
		p.config.Wrangler, p.config.WranglerEnv = w.file, w.environment
	} else {
		p.config.Main = w.file
		if w.environment != "" {
			return p, errors.New("an environment is one of a wrangler file; name that file instead of the module")
		}
		for _, name := range candidates[:3] {
			file := filepath.Join(filepath.Dir(w.file), name)
			p.inputs = append(p.inputs, file)
			if found, err := agentruntime.ReadWrangler(file, ""); err == nil && same(found.Main, w.file) {
				p.config.Main, p.config.Wrangler = "", file
				break
			}
		}
	}
	if absolute, err := filepath.Abs(w.file); err == nil {
		p.name = nameFromMain(absolute)
	}
	if strings.ContainsAny(p.name, "/ ") || p.name == "" {
		p.name = "agent"
	}
	if err := w.readVars(p); err != nil {
		return p, err
	}
	full, inputs, err := p.config.resolve()
	p.full, p.inputs = full, append(p.inputs, inputs...)
	if err != nil {
		return p, err
	}
	if err := w.bindClasses(p); err != nil {
		return p, err
	}
	if len(w.allow) > 0 {
		p.egress = allowing(w.allow)
		p.config.Egress = "dev"
	}
	return p, nil
}

func same(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

// readVars adds the variables of the env file.
func (w *workspace) readVars(p *plan) error {
	file, named := w.envFile, w.envFile != ""
	if !named {
		file = filepath.Join(filepath.Dir(w.file), ".dev.vars")
	}
	p.inputs = append(p.inputs, file)
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return err
	}
	vars, err := parseEnvFile(string(data))
	if err != nil {
		return fmt.Errorf("%s:%w", file, err)
	}
	// What a file says is taken as it stands: placeholders are the Caddyfile's.
	for name, value := range vars {
		vars[name] = strings.ReplaceAll(value, "{", "\\{")
	}
	p.config.Vars = vars
	return nil
}

// bindClasses builds the code and binds each exported class that extends DurableObject or WorkflowEntrypoint and that nothing binds yet, under
// its name in capitals.
func (w *workspace) bindClasses(p *plan) error {
	bundle, err := makeBundle(p.full, nil)
	if err != nil {
		if refused, ok := errors.AsType[*agentruntime.BuildError](err); ok {
			p.inputs = append(p.inputs, refused.Inputs...)
		}
		return err
	}
	p.inputs = append(p.inputs, bundle.Inputs()...)
	code, err := newCode(p.name, p.config, bundle, nil, agentruntime.Limits{}, nil)
	if err != nil {
		return err
	}
	defer p.config.dropCode(code)
	for _, class := range code.DurableClasses() {
		binding := capitals(class)
		bound := slices.ContainsFunc(p.full.Durable, func(b DurableBinding) bool { return b.Class == class && b.Agent == "" || b.Binding == binding })
		if _, taken := p.full.vars[binding]; bound || taken || p.full.KV[binding] != "" {
			continue
		}
		b := DurableBinding{Binding: binding, Class: class}
		p.config.Durable, p.full.Durable = append(p.config.Durable, b), append(p.full.Durable, b)
		p.classes = append(p.classes, class)
	}
	for _, class := range code.WorkflowClasses() {
		binding := capitals(class)
		bound := slices.ContainsFunc(p.full.Workflows, func(b WorkflowBinding) bool { return b.Class == class && b.Agent == "" || b.Binding == binding })
		if _, taken := p.full.vars[binding]; bound || taken || p.full.KV[binding] != "" {
			continue
		}
		b := WorkflowBinding{Binding: binding, Class: class}
		p.config.Workflows, p.full.Workflows = append(p.config.Workflows, b), append(p.full.Workflows, b)
		p.classes = append(p.classes, class)
	}
	return nil
}

// capitals writes a class's name as bindings are written: AgentCoordinator as AGENT_COORDINATOR.
func capitals(class string) string {
	var b strings.Builder
	runes := []rune(class)
	for i, r := range runes {
		before := i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1]))
		after := i > 0 && i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1])
		if unicode.IsUpper(r) && (before || after) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// allowing is the policy that allows the hosts. One of this machine, or an address, may be dialled as well.
func allowing(hosts []string) *EgressConfig {
	c := &EgressConfig{}
	for _, host := range hosts {
		c.Allow = append(c.Allow, EgressRule{Host: host})
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		if name == "localhost" {
			c.AllowIP = append(c.AllowIP, "127.0.0.0/8", "::1/128")
		} else if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			c.AllowIP = append(c.AllowIP, netip.PrefixFrom(addr, addr.BitLen()).String())
		}
	}
	return c
}

// parseEnvFile reads NAME=value lines. Empty lines and those that begin with # are left out; a value may stand in single
// quotes, as it is, or in double quotes, with \n, \" and \\. An error begins with the line's number.
func parseEnvFile(text string) (map[string]string, error) {
	vars := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			return nil, fmt.Errorf("%d: a line is NAME=value", i+1)
		}
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			end := strings.LastIndexByte(value, value[0])
			if rest := strings.TrimSpace(value[end+1:]); end == 0 || rest != "" && rest[0] != '#' {
				return nil, fmt.Errorf("%d: the value of %s has no closing quote", i+1, name)
			}
			quote := value[0]
			value = value[1:end]
			if quote == '"' {
				value = strings.NewReplacer(`\n`, "\n", `\"`, `"`, `\\`, `\`).Replace(value)
			}
		} else if j := strings.Index(value, " #"); j >= 0 {
			value = strings.TrimSpace(value[:j])
		}
		vars[name] = value
	}
	return vars, nil
}
