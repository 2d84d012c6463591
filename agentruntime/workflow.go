package agentruntime

import (
	_ "embed" // two programs

	"github.com/dop251/goja"
)

// workflowBase is the class of cloudflare:workers that a workflow's class extends.
const workflowBase = "WorkflowEntrypoint"

//go:embed workflow_instance.js
var workflowInstanceSource string

//go:embed workflow_binding.js
var workflowBindingSource string

var (
	workflowInstanceProgram = goja.MustCompile(internalPrefix+"workflow_instance", workflowInstanceSource, true)
	workflowBindingProgram  = goja.MustCompile(internalPrefix+"workflow_binding", workflowBindingSource, true)
)

// workflowsProgram makes the class of cloudflare:workflows.
var workflowsProgram = goja.MustCompile(internalPrefix+"workflows", `({
	NonRetryableError: class NonRetryableError extends Error {
		constructor(message, name = "NonRetryableError") { super(message); this.name = name }
	},
})`, true)

// workflowErrors is the module cloudflare:workflows.
func (r *realm) workflowErrors() *goja.Object {
	if r.workflows == nil {
		r.workflows = r.run(workflowsProgram)
	}
	return r.workflows
}

// makeWorkflow makes the object that stands in an actor for an instance of a workflow's class: its methods are what the
// binding calls, and its alarm runs the class.
func (x *Actor) makeWorkflow(create func(ctx goja.Value) (*goja.Object, error)) (*goja.Object, error) {
	r := x.r
	fn, _ := goja.AssertFunction(r.run(workflowInstanceProgram))
	one := r.function("make", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
		made, err := create(x.workflowContext())
		if err != nil {
			panic(err)
		}
		return made
	})
	v, err := fn(goja.Undefined(), r.storage(x), r.rt.ToValue(x.name), one, r.workflowErrors().Get("NonRetryableError"), r.told())
	if err != nil {
		return nil, err
	}
	return v.(*goja.Object), nil
}

// workflowContext is the ctx of a workflow's class: that of an actor without what belongs to the journal.
func (x *Actor) workflowContext() *goja.Object {
	members := []string{"waitUntil", "tool", "props", "exports"}
	return x.r.lazy(func(name string) goja.Value {
		for _, m := range members {
			if m == name {
				return x.state.Get(name)
			}
		}
		return nil
	}, members...)
}

// workflow makes the value of a workflow binding.
func (r *realm) workflow(b *Binding) goja.Value {
	fn, _ := goja.AssertFunction(r.run(workflowBindingProgram))
	actor := r.function("actor", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		name := r.str(call.Argument(0))
		id := b.ids.IDFromName(name)
		return r.stub(b, &actorID{id: id, text: id.String(), name: name})
	})
	id := r.function("uuid", 0, func(r *realm, _ goja.FunctionCall) goja.Value { return r.rt.ToValue(uuid()) })
	v, err := fn(goja.Undefined(), r.rt.ToValue(b.Name), actor, id)
	if err != nil {
		panic(err)
	}
	return v
}
