package agentruntime

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dop251/goja"
)

// entrypoint is an export that answers events: an object with handlers, or a class whose instance answers one event.
type entrypoint struct {
	class bool
	// calls says that the class extends WorkerEntrypoint, so that its methods can be called from outside.
	calls    bool
	handlers []string
}

const defaultEntry = "default"

func (e Entry) export() string {
	if e.Name == "" {
		return defaultEntry
	}
	return e.Name
}

// Entrypoints returns the names of the exports that a service binding can reach, sorted; the default export is called
// default.
func (a *Agent) Entrypoints() []string { return slices.Sorted(maps.Keys(a.entries)) }

// Entries returns the names of each entrypoint's handlers, by the name of the export.
func (a *Agent) Entries() map[string][]string {
	all := make(map[string][]string, len(a.entries))
	for name, e := range a.entries {
		all[name] = e.handlers
	}
	return all
}

// Handles reports whether the entrypoint, empty for the default export, has a handler of that name.
func (a *Agent) Handles(entry, handler string) bool {
	e := a.entries[Entry{Name: entry}.export()]
	return e != nil && slices.Contains(e.handlers, handler)
}

// FetchAt is Fetch for one entrypoint.
func (a *Agent) FetchAt(ctx context.Context, host Host, entry Entry, req *Request) *Invocation {
	return a.handle(ctx, host, entry, "fetch", func(r *realm) goja.Value {
		bounded := *req
		bounded.Body = limitBody(req.Body, a.limits.RequestBody)
		return r.requestValue(&bounded)
	}, func(inv *Invocation, v goja.Value) {
		if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
			inv.answer(nil, Value{})
			return
		}
		resp, err := inv.r.responseFrom(v)
		if err != nil {
			inv.fail(err)
			return
		}
		inv.answer(resp, Value{})
	})
}

// Call uses a public member of an entrypoint, a class that extends WorkerEntrypoint. Result of the invocation has what
// it came to.
func (a *Agent) Call(ctx context.Context, host Host, entry Entry, call Call) *Invocation {
	return a.run(ctx, host, func(r *realm, inv *Invocation) {
		obj := r.instanceFor(inv, entry)
		if obj == nil {
			call.Args.Close()
			return
		}
		if e := a.entries[entry.export()]; !e.calls {
			call.Args.Close()
			inv.fail(&RemoteError{Name: "TypeError", Message: fmt.Sprintf(
				"The entrypoint %s has no methods to be called: let it be a class that extends WorkerEntrypoint.", entry.export())})
			return
		}
		r.serve(inv, obj, call)
	})
}

// instanceFor makes the object that answers an event of the entrypoint. If there is none, or the class's constructor
// threw, that is the invocation's answer, and nil is returned.
func (r *realm) instanceFor(inv *Invocation, entry Entry) *goja.Object {
	name := entry.export()
	e := r.agent.entries[name]
	obj, ok := r.member(r.exports(), name).(*goja.Object)
	if e == nil || !ok {
		what := "the module has no entrypoint " + name
		if name == defaultEntry {
			what = "the module has no default export that answers events"
		}
		inv.fail(&RemoteError{Name: "Error", Message: what})
		return nil
	}
	if !e.class {
		return obj
	}
	// Unlike Runtime.New, a constructor called so is followed by the promise jobs it made.
	create, ok := goja.AssertConstructor(obj)
	if !ok {
		inv.fail(&RemoteError{Name: "Error", Message: name + " is not a class"})
		return nil
	}
	made, err := create(obj, r.executionContext(inv, entry), r.env())
	if err != nil {
		r.failed(err, inv.fail)
		return nil
	}
	return made
}

// entrypointOf looks at an export; nil means that it answers no events.
func (r *realm) entrypointOf(name string, obj *goja.Object) (*entrypoint, error) {
	e := &entrypoint{}
	from := obj
	if _, e.class = goja.AssertFunction(obj); e.class {
		e.calls = r.extends(obj, "WorkerEntrypoint")
		if !e.calls && name != defaultEntry {
			return nil, nil
		}
		var ok bool
		if from, ok = r.member(obj, "prototype").(*goja.Object); !ok {
			return nil, nil
		}
	}
	for _, h := range handlerNames {
		if _, ok := goja.AssertFunction(r.member(from, h)); ok {
			e.handlers = append(e.handlers, h)
		}
	}
	for _, h := range laterNames {
		if _, ok := goja.AssertFunction(r.member(from, h)); ok && name == defaultEntry && !e.class {
			return nil, fmt.Errorf("the default export has a %s handler, whose events this version does not deliver yet", h)
		}
	}
	if !e.calls && len(e.handlers) == 0 {
		return nil, nil
	}
	return e, nil
}

// extends reports whether class is the named one of cloudflare:workers, or extends it.
func (r *realm) extends(class *goja.Object, base string) bool {
	if r.workers == nil {
		return false
	}
	of := r.workers.Get(base)
	for c := class.Prototype(); c != nil; c = c.Prototype() {
		if c.SameAs(of) {
			return true
		}
	}
	return false
}
