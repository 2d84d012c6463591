package agentruntime

import (
	"slices"

	"github.com/dop251/goja"
)

// ownExports is ctx.exports: a loopback binding for each entrypoint of the module and each of its classes of durable
// actors (https://developers.cloudflare.com/workers/runtime-apis/context/#exports).
func (r *realm) ownExports() *goja.Object {
	if r.exposed == nil {
		names := r.agent.Entrypoints()
		for _, b := range r.agent.bindings {
			if b.Kind == BindingDurable && b.Agent == "" && !slices.Contains(names, b.Class) {
				names = append(names, b.Class)
			}
		}
		slices.Sort(names)
		r.exposed = r.lazy(r.ownExport, names...)
	}
	return r.exposed
}

func (r *realm) ownExport(name string) goja.Value {
	if r.agent.entries[name] != nil {
		return r.loopback(name)
	}
	for _, b := range r.agent.names {
		if b := r.agent.bindings[b]; b != nil && b.Kind == BindingDurable && b.Agent == "" && b.Class == name {
			return r.namespace(b)
		}
	}
	if slices.Contains(r.agent.classes, name) {
		panic(r.newError("Error", "ctx.exports."+name+": the class has no namespace; bind it in the agent's configuration, as in: durable "+name+" "+name))
	}
	return nil
}

// loopback makes the binding of an entrypoint of the agent itself. Called with {props} it gives one with those props.
func (r *realm) loopback(name string) goja.Value {
	entry := Entry{Name: name}
	if name == defaultEntry {
		entry.Name = ""
	}
	members := &stub{r: r, target: Target{Kind: TargetService, Entry: entry}}
	fn := r.remoteFunction(members, func(args []goja.Value) goja.Value {
		at := entry
		if len(args) > 0 {
			if props := optional(args[0], "props"); some(props) {
				if _, ok := props.(*goja.Object); !ok {
					panic(r.typeError("ctx.exports." + name + "(): props is not an object"))
				}
				data, err := r.serialize(props)
				if err != nil {
					r.throw(err)
				}
				at.Props = data
			}
		}
		return r.service(Target{Kind: TargetService, Entry: at})
	})
	r.attach(fn, members)
	return fn
}
