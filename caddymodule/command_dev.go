package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/spf13/cobra"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/record"
)

func devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev [FILE]",
		Short: "Runs one agent while you write it",
		Long: "Runs one agent on this machine, without a configuration, and shows each request with what the code logged. When one of\n" +
			"its files changes it is built again; an error names the line of your file, in the terminal and in the answer.\n\n" +
			"FILE is the agent's module, or a wrangler file that says its bindings; without it, the usual files are looked for. Classes\n" +
			"that extend DurableObject or WorkflowEntrypoint are bound by themselves: Counter as env.COUNTER. Variables come from .dev.vars beside the code.\n\n" +
			"When it works, put it into a Caddyfile: example.com { agent ./agent.ts }",
		Example: `  caddy gatehouse dev ./agent.ts
  caddy gatehouse dev ./wrangler.jsonc --env staging --port 3000
  caddy gatehouse dev ./agent.ts --env-file ./local.env --allow api.example.com --allow localhost:8081
  curl 'http://127.0.0.1:8787/cdn-cgi/handler/scheduled?cron=*/5+*+*+*+*'   (runs the scheduled handler)`,
		Args:         cobra.MaximumNArgs(1),
		SilenceUsage: true,
		RunE:         runDev,
	}
	f := cmd.Flags()
	f.Int("port", 8787, "The port to listen on, of 127.0.0.1")
	f.String("env-file", "", "A file of NAME=value lines, given to the code as vars (default .dev.vars beside the code, if it is there)")
	f.String("env", "", "The environment of the wrangler file")
	f.StringArray("allow", nil, "A host that the code may call, such as api.example.com or localhost:8081; may be given several times (default none)")
	f.String("state", "", "The folder in which durable state is kept (default a new one, removed at the end)")
	return cmd
}

// developer is one run of the command.
type developer struct {
	out   io.Writer
	work  workspace
	port  int
	state string

	mu      sync.Mutex // of out
	running []byte     // the configuration that runs
}

func runDev(cmd *cobra.Command, args []string) error {
	path := "."
	if len(args) > 0 {
		path = args[0]
	}
	file, err := findCode(path)
	if err != nil {
		return err
	}
	d := &developer{out: cmd.OutOrStdout(), work: workspace{file: file}}
	f := cmd.Flags()
	d.port, _ = f.GetInt("port")
	d.work.envFile, _ = f.GetString("env-file")
	d.work.environment, _ = f.GetString("env")
	d.work.allow, _ = f.GetStringArray("allow")
	d.state, _ = f.GetString("state")
	if d.port < 1 || d.port > 65535 {
		return fmt.Errorf("--port %d is not within 1 and 65535", d.port)
	}
	if err := free(d.port); err != nil {
		return err
	}
	if d.state == "" {
		if d.state, err = os.MkdirTemp("", "gatehouse-dev-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.state)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return d.run(ctx)
}

// free reports whether nothing listens on the port yet.
func free(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d is in use; choose another one with --port", port)
	}
	return l.Close()
}

// run serves the agent, and begins anew with each change, until ctx ends.
func (d *developer) run(ctx context.Context) error {
	watcher := tail.Watch(record.Filter{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case e := <-watcher.C:
				d.print(developRecord(e))
			case <-ctx.Done():
				return
			}
		}
	}()
	told := func(version string) { d.print(fmt.Sprintf("built again: version %s is serving\n", version)) }
	develop.Store(&told)
	defer func() {
		develop.Store(nil)
		tail.Leave(watcher)
		<-done
		if d.running != nil {
			if err := caddy.Stop(); err != nil {
				d.print("stop: " + err.Error() + "\n")
			}
		}
	}()
	for ctx.Err() == nil {
		begun := time.Now()
		inputs := d.serve()
		changed, stop := context.WithCancel(ctx)
		agentruntime.Watch(changed, inputs, begun, stop)
		stop()
	}
	return nil
}

// serve runs the agent as its files are now. It returns the files to watch.
func (d *developer) serve() []string {
	p, err := d.work.plan()
	inputs := slices.Compact(slices.Sorted(slices.Values(p.inputs)))
	if err == nil {
		err = d.load(p)
	}
	if err != nil {
		d.print(d.failure(err))
	}
	return inputs
}

// load makes Caddy run the plan, unless it does already: changes of the code alone are the agent's to see.
func (d *developer) load(p *plan) error {
	config, err := d.config(p)
	if err != nil {
		return err
	}
	if string(config) == string(d.running) {
		return nil
	}
	first := d.running == nil
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	d.running = config
	if first {
		d.print(d.banner(p))
	} else {
		d.print("the bindings have changed; " + bindingsText(p) + "\n")
	}
	return nil
}

// config is the whole configuration of Caddy.
func (d *developer) config(p *plan) ([]byte, error) {
	app := &App{Store: &StoreConfig{Path: d.state}, Agents: map[string]*AgentConfig{p.name: p.config}}
	if p.egress != nil {
		app.Egress = map[string]*EgressConfig{p.config.Egress: p.egress}
	}
	handler, err := json.Marshal(map[string]any{"handler": "gatehouse_agent", "agent": p.name, "develop": true})
	if err != nil {
		return nil, err
	}
	nobody, err := json.Marshal(map[string]any{"handler": "static_response", "status_code": 404, "body": "the agent returned no response, and there is no next handler in caddy gatehouse dev\n"})
	if err != nil {
		return nil, err
	}
	server := caddyhttp.App{Servers: map[string]*caddyhttp.Server{"dev": {
		Listen:    []string{fmt.Sprintf("127.0.0.1:%d", d.port)},
		AutoHTTPS: &caddyhttp.AutoHTTPSConfig{Disabled: true},
		Protocols: []string{"h1"},
		Routes:    caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{handler, nobody}}},
	}}}
	off := false
	return json.Marshal(map[string]any{
		"admin": caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &off}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{
			"level": "ERROR", "exclude": []string{"gatehouse", "http.log.error"}, "encoder": map[string]any{"format": "console"},
		}}},
		"apps": map[string]any{"gatehouse": app, "http": server},
	})
}

func (d *developer) banner(p *plan) string {
	return fmt.Sprintf("agent %s is at http://127.0.0.1:%d; %s\nEach request is shown as it ends; files are built again when they change. Ctrl-C ends this.\n", p.name, d.port, bindingsText(p))
}

// bindingsText says what is in env.
func bindingsText(p *plan) string {
	lines := envLines(p.name, p.full)
	if len(lines) == 1 {
		return "env has nothing but ORIGIN"
	}
	var names []string
	for _, l := range lines {
		if l.name != "ORIGIN" {
			names = append(names, l.name)
		}
	}
	return "env has " + strings.Join(names, ", ")
}

// failure is an error for who develops: what Caddy says around it is left out.
func (d *developer) failure(err error) string {
	text := err.Error()
	if refused, ok := errors.AsType[*agentruntime.BuildError](err); ok {
		text = refused.Error()
	} else if _, after, ok := strings.Cut(text, "provision gatehouse: "); ok {
		text = after
	}
	next := "waiting for a change"
	if d.running != nil {
		next = "the version that ran before goes on; " + next
	}
	return text + "\n" + next + "\n"
}

func (d *developer) print(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = io.WriteString(d.out, text)
}
