package agentruntime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// Config makes an Agent. Script is required.
type Config struct {
	// Name is the agent's name, for messages.
	Name   string
	Script *Script
	// Bindings are what env holds beside env.ORIGIN, which is always there.
	Bindings []Binding
	Limits   Limits
	// Now is the clock that code sees. Nil means time.Now.
	Now func() time.Time
	// Rand is the source of random bytes that code sees. Nil means crypto/rand.
	Rand io.Reader
	// Host is what the module may ask while it is evaluated for the first time, in New. Nil refuses everything: a
	// module that reads a secret at its top level then fails to load.
	Host Host
	// Reuse is how many events one runtime may serve, one after the other. Zero means 1: each has a runtime of its own.
	Reuse int
	// Spares is how many runtimes may wait, the module evaluated in idle time, for the event that they will serve;
	// DefaultSpares is a good number.
	Spares int
	// Deaf is called, on a goroutine of its own, when code that is over its CPU limit goes on 50 ms of CPU time after it was
	// told to stop: it is in a native function of the engine, which cannot be stopped. It gets the Host of the invocation.
	// Nil waits until the function returns.
	Deaf func(Host)
}

// Agent is a deployed script with its bindings: it answers events, each in a fresh runtime, and makes actors. It is
// immutable and safe for concurrent use.
type Agent struct {
	name     string
	script   *Script
	bindings map[string]*Binding
	names    []string
	limits   Limits
	now      func() time.Time
	rand     io.Reader
	deaf     func(Host)
	// entries are the exports that answer events, by name.
	entries map[string]*entrypoint
	// classes are the other classes among the exports, durable those of them that extend DurableObject, workflows those that
	// extend WorkflowEntrypoint.
	classes, durable, workflows []string
	// startup is the CPU time that evaluating the module took at load.
	startup time.Duration
	// size is about what an isolate holds once it has evaluated the module, in bytes.
	size   int64
	host   Host // of evaluations that are no event's
	reuse  int
	spares int
	ready  ready
	wasm   wasmEngine
}

// quickStart is the evaluation time up to which a module is evaluated and its handler called in one measured turn.
const quickStart = time.Millisecond

// New evaluates the module once, to see that it works, and returns the agent. It fails if evaluation throws or takes
// longer than Limits.Startup, if the module exports neither a handler nor a class, and if a binding names a class that
// it does not export.
func New(cfg Config) (*Agent, error) {
	a := &Agent{
		name: cfg.Name, script: cfg.Script, limits: cfg.Limits.WithDefaults(), now: cfg.Now, rand: cfg.Rand, deaf: cfg.Deaf,
		reuse: max(cfg.Reuse, 1), spares: cfg.Spares, bindings: make(map[string]*Binding, len(cfg.Bindings)), entries: map[string]*entrypoint{},
	}
	if a.script == nil {
		return nil, fmt.Errorf("agent %q: no script", cfg.Name)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.rand == nil {
		a.rand = rand.Reader
	}
	if err := a.bind(cfg.Bindings); err != nil {
		return nil, err
	}
	host := cfg.Host
	if host == nil {
		host = noHost{}
	}
	a.host = host
	if err := a.load(host); err != nil {
		return nil, err
	}
	return a, nil
}

// Limits returns what bounds an invocation, with the defaults filled in.
func (a *Agent) Limits() Limits { return a.limits }

// Handlers returns the names of the event handlers that the default export has: fetch, scheduled, tail.
func (a *Agent) Handlers() []string {
	if e := a.entries[defaultEntry]; e != nil {
		return e.handlers
	}
	return nil
}

// Classes returns the names of the exported classes that are no entrypoints, sorted.
func (a *Agent) Classes() []string { return a.classes }

// DurableClasses returns the names of the exported classes that extend DurableObject, sorted.
func (a *Agent) DurableClasses() []string { return a.durable }

// WorkflowClasses returns the names of the exported classes that extend WorkflowEntrypoint, sorted.
func (a *Agent) WorkflowClasses() []string { return a.workflows }

// handlerNames are the events that an agent can handle. The ones that no version of this runtime delivers yet are refused
// at load, for code that waits for them would wait for ever.
var (
	handlerNames = []string{"fetch", "scheduled", "tail"}
	laterNames   = []string{"queue", "email", "test", "trace", "tailStream"}
)

// load evaluates the module and looks at what it exports.
func (a *Agent) load(host Host) error {
	limits := a.limits
	limits.CPU, limits.Wall = a.limits.Startup, a.limits.Startup*2
	r := a.newRealm()
	inv := r.newInvocation(context.Background(), host, &limits, limits.Wall)
	r.home = &inv.home
	var found error
	before := allocated()
	r.loop.run(task{scope: &inv.home, run: func() {
		r.evaluate(func(err error) {
			if err == nil {
				found = a.examine(r)
				err = found
			}
			if err != nil {
				inv.fail(err)
				return
			}
			inv.answer(nil, Value{})
		})
	}})
	_, err := inv.Response()
	a.size = allocated() - before
	a.startup = inv.Wait().CPU
	switch {
	case found != nil:
		return found
	case errors.Is(err, ErrExceededCPU), errors.Is(err, ErrExceededWall):
		return fmt.Errorf("evaluating the module takes longer than %s: do less at its top level", a.limits.Startup)
	case err != nil:
		return fmt.Errorf("evaluating the module: %w", withStack(err))
	}
	return nil
}

// withStack adds the place in the author's files to an exception of the code.
func withStack(err error) error {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return err
	}
	for _, line := range strings.Split(remote.Stack, "\n") {
		if at := strings.TrimSpace(line); strings.HasPrefix(at, "at ") {
			return fmt.Errorf("%w (%s)", err, at)
		}
	}
	return err
}

// examine finds the handlers and classes among the exports.
func (a *Agent) examine(r *realm) error {
	ns := r.exports()
	for _, name := range ns.Keys() {
		obj, ok := r.member(ns, name).(*goja.Object)
		if !ok {
			continue
		}
		e, err := r.entrypointOf(name, obj)
		if err != nil {
			return err
		}
		if e != nil {
			a.entries[name] = e
		} else if _, isFunc := goja.AssertFunction(obj); isFunc && name != defaultEntry {
			a.classes = append(a.classes, name)
			switch {
			case r.extends(obj, "DurableObject"):
				a.durable = append(a.durable, name)
			case r.extends(obj, workflowBase):
				a.workflows = append(a.workflows, name)
			}
		}
	}
	slices.Sort(a.classes)
	slices.Sort(a.durable)
	slices.Sort(a.workflows)
	if len(a.entries) == 0 && len(a.classes) == 0 {
		return errors.New("the module has neither a handler nor a class: export default { fetch(request, env, ctx) { ... } } " +
			"(or scheduled, or tail), or export a class that extends DurableObject or WorkflowEntrypoint")
	}
	for _, b := range a.bindings {
		if b.Kind == BindingDurable && b.Agent == "" && !slices.Contains(a.classes, b.Class) {
			return fmt.Errorf("the durable binding %s names the class %q, which the module does not export; it exports %s",
				b.Name, b.Class, listOr(a.classes, "no class"))
		}
		if b.Kind == BindingDurable && b.Agent == "" && slices.Contains(a.workflows, b.Class) {
			return fmt.Errorf("the durable binding %s names the class %s, which extends %s: bind it as a workflow", b.Name, b.Class, workflowBase)
		}
		if b.Kind == BindingWorkflow && b.Agent == "" && !slices.Contains(a.workflows, b.Class) {
			return fmt.Errorf("the workflow binding %s names %q, which is no class among the module's exports that extends %s; such are %s",
				b.Name, b.Class, workflowBase, listOr(a.workflows, "none"))
		}
	}
	return nil
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

// newRealm makes an isolate in which the module has not been evaluated.
func (a *Agent) newRealm() *realm {
	r := newRealm(new(loop))
	r.agent, r.meter.deaf = a, a.deaf
	r.loop.turn, r.loop.idle = r.turn, r.idle
	r.rt.SetTimeSource(a.now)
	r.rt.SetPromiseRejectionTracker(r.track)
	a.script.guards.install(r)
	for _, s := range a.script.supplies {
		s.put(r)
	}
	return r
}

// evaluate runs the module and then calls fn, in the scope that runs now.
func (r *realm) evaluate(fn func(error)) {
	v, err := r.rt.RunProgram(r.agent.script.program)
	if err != nil {
		r.failed(err, fn)
		return
	}
	r.when(v, func(_ goja.Value, err error) { fn(err) })
}

// failed hands an error of running code to fn, unless no JavaScript can catch it: that ends the turn instead.
func (r *realm) failed(err error, fn func(error)) {
	var ex *goja.Exception
	if errors.As(err, &ex) {
		fn(err)
		return
	}
	r.fault(err)
}

// exports returns the module's namespace, once it has been evaluated.
func (r *realm) exports() *goja.Object {
	if ns, ok := r.rt.GlobalObject().Get("__entry").(*goja.Object); ok {
		return ns
	}
	return r.rt.NewObject()
}
