package caddymodule

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/sandbox"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// AgentConfig is one agent: its code, what it is bound to, and its limits.
type AgentConfig struct {
	// Main is the entry module: TypeScript or JavaScript. Main or Wrangler is required.
	Main string `json:"main,omitempty"`
	// Wrangler is a wrangler.toml, .json or .jsonc file that says main, vars and bindings.
	Wrangler string `json:"wrangler,omitempty"`
	// WranglerEnv is the environment of that file; default its top level.
	WranglerEnv string `json:"wrangler_env,omitempty"`
	// Durable are the namespaces of durable actors.
	Durable []DurableBinding `json:"durable,omitempty"`
	// Workflows are the workflows that the code begins instances of.
	Workflows []WorkflowBinding `json:"workflows,omitempty"`
	// KV, Secrets and Analytics map a binding's name to the namespace, sealed secret or dataset it stands for.
	KV        map[string]string `json:"kv,omitempty"`
	Secrets   map[string]string `json:"secrets,omitempty"`
	Analytics map[string]string `json:"analytics,omitempty"`
	// SecretStore maps the name of a binding whose get() gives a secret to the secret, and OAuth of one whose get() gives an access
	// token to the client.
	SecretStore map[string]string `json:"secret_store,omitempty"`
	OAuth       map[string]string `json:"oauth,omitempty"`
	// Services are the other agents that the code can call.
	Services []ServiceBinding `json:"services,omitempty"`
	// Callers are the agents whose code may call this one; default all of this server.
	Callers []string `json:"callers,omitempty"`
	// RateLimits are counters that the code asks by itself.
	RateLimits []RateLimitBinding `json:"rate_limits,omitempty"`
	// Assets is a folder of static files.
	Assets *AssetsConfig `json:"assets,omitempty"`
	// Vars are plain values. Placeholders in them are replaced when the configuration is loaded.
	Vars map[string]string `json:"vars,omitempty"`
	// Crons are cron expressions of five fields, in UTC.
	Crons []string `json:"crons,omitempty"`
	// Tail names the agents whose tail handler gets this agent's records.
	Tail []string `json:"tail,omitempty"`
	// Egress names the policy for what the code sends; without one nothing leaves.
	Egress string `json:"egress,omitempty"`
	// Isolation is where the code runs: process, in a process of its own, or inprocess, in the server's, for trusted code.
	// Default: process on Linux, inprocess elsewhere.
	Isolation string `json:"isolation,omitempty"`
	// RequireSandbox names the parts of the sandbox without which the agent must not run: seccomp, landlock, memory. Default:
	// what the machine offers is used.
	RequireSandbox []string `json:"require_sandbox,omitempty"`
	// Reuse is how many requests one runtime may serve, one after the other; default 1.
	Reuse int `json:"reuse,omitempty"`
	// Limits bound one invocation.
	Limits AgentLimits `json:"limits,omitzero"`
	// Place is where the Caddyfile defines the agent, for error messages.
	Place string `json:"place,omitempty"`
}

// DurableBinding binds a namespace of durable actors.
type DurableBinding struct {
	Binding string `json:"binding"`
	Class   string `json:"class"`
	// Agent is the agent that exports the class; default the agent itself.
	Agent string `json:"agent,omitempty"`
}

// WorkflowBinding binds a workflow.
type WorkflowBinding struct {
	Binding string `json:"binding"`
	Class   string `json:"class"`
	// Name is what the instances lie under; default the class's name, or the name that the agent that exports the class
	// gives it.
	Name string `json:"name,omitempty"`
	// Agent is the agent that exports the class; default the agent itself.
	Agent string `json:"agent,omitempty"`
}

// AgentLimits bound one invocation. A zero field is the default.
type AgentLimits struct {
	// CPU is time spent running JavaScript, not waiting; default 50 ms.
	CPU caddy.Duration `json:"cpu,omitempty"`
	// Wall is the time from the request to the end of the answer; default 30 s.
	Wall caddy.Duration `json:"wall,omitempty"`
	// Startup is the time that evaluating the module may take; default 1 s.
	Startup caddy.Duration `json:"startup,omitempty"`
	// Memory is what the process that runs the code may use in bytes; default 128 MiB.
	Memory int64 `json:"memory,omitempty"`
	// Subrequests is how many requests one invocation may send; default 50.
	Subrequests int `json:"subrequests,omitempty"`
	// Connections is how many requests of one invocation may wait for their answer at once; default 6.
	Connections int `json:"connections,omitempty"`
	// RequestBody is the largest request body in bytes; default 10 MiB.
	RequestBody int64 `json:"request_body,omitempty"`
	// ResponseBody is the largest body of an answer in bytes; default no limit.
	ResponseBody int64 `json:"response_body,omitempty"`
	// Logs is how much one invocation may log, in bytes; default 256 KiB.
	Logs int `json:"logs,omitempty"`
}

// same says whether two configurations differ in nothing but their place.
func (c *AgentConfig) same(other *AgentConfig) bool {
	a, b := *c, *other
	a.Place, b.Place = "", ""
	return reflect.DeepEqual(a, b)
}

// nameFromMain is the name of an agent that a site block defines on the spot: its file's name without the extension, or
// its folder's where the file has a name that agents share.
func nameFromMain(main string) string {
	base := filepath.Base(main)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	switch base {
	case "agent", "index", "main", "worker", "wrangler":
		if dir := filepath.Base(filepath.Dir(main)); dir != "." && dir != ".." && dir != string(filepath.Separator) {
			return dir
		}
	}
	return base
}

const agentOptions = "main, wrangler, durable, workflow, kv, var, secret, secret_store, oauth, service, analytics, ratelimit, assets, cron, tail, callers, egress, isolation, require_sandbox, reuse and limits"

// parseAgentBlock reads the options of an agent.
//
//	{
//		main <file> | wrangler <file> [<environment>]
//		durable <binding> <class> [<agent>]
//		workflow <binding> <class> [<agent>]
//		kv <binding> <namespace>
//		var <name> <value>
//		secret <binding> <secret>
//		secret_store <binding> <secret>
//		oauth <binding> <client>
//		service <binding> <agent> [<entrypoint>]
//		analytics <binding> <dataset>
//		ratelimit <binding> <rate>
//		assets <folder> [<binding>] {
//			html_handling auto-trailing-slash | force-trailing-slash | drop-trailing-slash | none
//			not_found_handling none | 404-page | single-page-application
//			run_worker_first [<path...>]
//		}
//		cron <expression>
//		tail <agent...>
//		callers <agent...>
//		egress <policy>
//		isolation process | inprocess
//		require_sandbox <part...>
//		reuse <requests>
//		limits {
//			cpu <duration>
//			wall <duration>
//			startup <duration>
//			memory <size>
//			subrequests <number>
//			connections <number>
//			request_body <size>
//			response_body <size>
//			logs <size>
//		}
//	}
func parseAgentBlock(d *caddyfile.Dispenser, c *AgentConfig) error {
	var err error
	bound := map[string]bool{"ORIGIN": true}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		switch option {
		case "main", "wrangler":
			if c.Main != "" || c.Wrangler != "" {
				return d.Errf("%s: the agent's code is named already; give one main or one wrangler", option)
			}
			to := &c.Main
			if option == "wrangler" {
				to = &c.Wrangler
			}
			args := d.RemainingArgs()
			switch {
			case len(args) == 2 && option == "wrangler":
				c.WranglerEnv = args[1]
			case len(args) != 1:
				return d.ArgErr()
			}
			*to = args[0]
		case "durable":
			args := d.RemainingArgs()
			if len(args) < 2 || len(args) > 3 {
				return d.Errf("durable takes BINDING CLASS [AGENT], for example: durable COUNTER Counter")
			}
			if err := bind(d, bound, args[0]); err != nil {
				return err
			}
			b := DurableBinding{Binding: args[0], Class: args[1]}
			if len(args) == 3 {
				b.Agent = args[2]
			}
			c.Durable = append(c.Durable, b)
		case "workflow":
			args := d.RemainingArgs()
			if len(args) < 2 || len(args) > 3 {
				return d.Errf("workflow takes BINDING CLASS [AGENT], for example: workflow REPORT Report")
			}
			if err := bind(d, bound, args[0]); err != nil {
				return err
			}
			b := WorkflowBinding{Binding: args[0], Class: args[1]}
			if len(args) == 3 {
				b.Agent = args[2]
			}
			c.Workflows = append(c.Workflows, b)
		case "service":
			args := d.RemainingArgs()
			if len(args) < 2 || len(args) > 3 {
				return d.Errf("service takes BINDING AGENT [ENTRYPOINT], for example: service SUMMARISER summariser")
			}
			if err := bind(d, bound, args[0]); err != nil {
				return err
			}
			s := ServiceBinding{Binding: args[0], Agent: args[1]}
			if len(args) == 3 {
				s.Entrypoint = args[2]
			}
			c.Services = append(c.Services, s)
		case "callers":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.Errf("callers takes the names of agents, for example: callers coordinator")
			}
			c.Callers = append(c.Callers, args...)
		case "ratelimit":
			args := d.RemainingArgs()
			if len(args) != 2 {
				return d.Errf("ratelimit takes BINDING RATE, for example: ratelimit LIMITER 100/m")
			}
			if err := bind(d, bound, args[0]); err != nil {
				return err
			}
			if _, err := throttle.ParseRate(args[1]); err != nil {
				return d.Errf("ratelimit %s: %v", args[0], err)
			}
			c.RateLimits = append(c.RateLimits, RateLimitBinding{Binding: args[0], Rate: args[1]})
		case "assets":
			err = parseAssets(d, bound, c)
		case "kv":
			err = parseBinding(d, bound, &c.KV, "NAMESPACE")
		case "secret":
			err = parseBinding(d, bound, &c.Secrets, "SECRET")
		case "secret_store":
			err = parseBinding(d, bound, &c.SecretStore, "SECRET")
		case "oauth":
			err = parseBinding(d, bound, &c.OAuth, "CLIENT")
		case "analytics":
			err = parseBinding(d, bound, &c.Analytics, "DATASET")
		case "var":
			err = parseBinding(d, bound, &c.Vars, "VALUE")
		case "cron":
			expr, err := oneArg(d)
			if err != nil {
				return d.Errf("cron takes one quoted expression, for example: cron \"*/5 * * * *\"")
			}
			c.Crons = append(c.Crons, expr)
		case "tail":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.ArgErr()
			}
			c.Tail = append(c.Tail, args...)
		case "egress":
			c.Egress, err = oneArg(d)
		case "isolation":
			if c.Isolation, err = oneArg(d); err != nil {
				return err
			}
			if c.Isolation != isolationProcess && c.Isolation != isolationInProcess {
				return d.Errf("isolation is process or inprocess, not %s", c.Isolation)
			}
		case "require_sandbox":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return d.ArgErr()
			}
			for _, part := range args {
				if !slices.Contains(sandbox.Parts, part) {
					return d.Errf("require_sandbox takes %s, not %s", strings.Join(sandbox.Parts, ", "), part)
				}
			}
			c.RequireSandbox = append(c.RequireSandbox, args...)
		case "reuse":
			n, err := intArg(d, 1, 1<<30)
			if err != nil {
				return err
			}
			c.Reuse = n
		case "limits":
			err = parseLimits(d, &c.Limits)
		default:
			return unknownOption(d, "agent", agentOptions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bind refuses a binding's name that is taken.
func bind(d *caddyfile.Dispenser, bound map[string]bool, name string) error {
	if bound[name] {
		return d.Errf("the binding %s is there already; each name in env can stand for one thing", name)
	}
	bound[name] = true
	return nil
}

func parseBinding(d *caddyfile.Dispenser, bound map[string]bool, to *map[string]string, what string) error {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("%s takes BINDING %s", option, what)
	}
	if err := bind(d, bound, args[0]); err != nil {
		return err
	}
	if *to == nil {
		*to = map[string]string{}
	}
	(*to)[args[0]] = args[1]
	return nil
}

func parseLimits(d *caddyfile.Dispenser, l *AgentLimits) error {
	if err := noArgs(d); err != nil {
		return err
	}
	var err error
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "cpu":
			l.CPU, err = durationArg(d)
		case "wall":
			l.Wall, err = durationArg(d)
		case "startup":
			l.Startup, err = durationArg(d)
		case "memory":
			l.Memory, err = sizeArg(d)
		case "subrequests":
			l.Subrequests, err = intArg(d, 1, 1<<20)
		case "connections":
			l.Connections, err = intArg(d, 1, 1<<10)
		case "request_body":
			l.RequestBody, err = sizeArg(d)
		case "response_body":
			l.ResponseBody, err = sizeArg(d)
		case "logs":
			var n int64
			n, err = sizeArg(d)
			l.Logs = int(n)
		default:
			return unknownOption(d, "limits", "cpu, wall, startup, memory, subrequests, connections, request_body, response_body and logs")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// runtime is the limits as the runtime takes them.
func (l AgentLimits) runtime() agentruntime.Limits {
	return agentruntime.Limits{
		CPU: time.Duration(l.CPU), Wall: time.Duration(l.Wall), Startup: time.Duration(l.Startup), Memory: l.Memory,
		Subrequests: l.Subrequests, Connections: l.Connections, RequestBody: l.RequestBody, ResponseBody: l.ResponseBody, Logs: l.Logs,
	}
}

func ext(path string) string { return strings.ToLower(filepath.Ext(path)) }

// isWrangler tells a wrangler file from code.
func isWrangler(path string) bool {
	switch ext(path) {
	case ".toml", ".json", ".jsonc":
		return true
	}
	return false
}
