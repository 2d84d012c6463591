package agentruntime

import "github.com/dop251/goja"

// workersProgram makes the base classes of cloudflare:workers
// (https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/rpc/).
var workersProgram = goja.MustCompile(internalPrefix+"workers", `({
	DurableObject: class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env } },
	WorkerEntrypoint: class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env } },
	RpcTarget: class RpcTarget {},
	WorkflowEntrypoint: class WorkflowEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env } },
})`, true)

// emailProgram makes the class of cloudflare:email, so that packages which could send mail load. There is no binding that
// sends it (https://developers.cloudflare.com/email-routing/email-workers/send-email-workers/).
var emailProgram = goja.MustCompile(internalPrefix+"email", `({
	EmailMessage: class EmailMessage {
		constructor(from, to, raw) {
			Object.defineProperties(this, { from: { value: from, enumerable: true }, to: { value: to, enumerable: true }, raw: { value: raw } });
		}
	},
})`, true)

func init() {
	globals["__modules"] = func(r *realm) goja.Value {
		return r.lazy(func(name string) goja.Value {
			switch name {
			case "cloudflare:workers":
			case "cloudflare:email":
				return r.run(emailProgram)
			case "cloudflare:workflows":
				return r.workflowErrors()
			case "cloudflare:sockets":
				return r.lazy(func(key string) goja.Value {
					if key != "connect" {
						return nil
					}
					return r.function(key, 1, func(r *realm, call goja.FunctionCall) goja.Value {
						return r.connect(call.Argument(0), call.Argument(1))
					})
				}, "connect")
			default:
				return nil
			}
			return r.lazy(r.workersExport, builtinModules[name]...)
		}, "cloudflare:workers", "cloudflare:sockets", "cloudflare:email", "cloudflare:workflows")
	}
}

// workersExport makes one export of cloudflare:workers.
func (r *realm) workersExport(name string) goja.Value {
	switch name {
	case "env":
		return r.env()
	case "exports":
		return r.ownExports()
	case "waitUntil":
		return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			r.current().waitUntil(call.Argument(0))
			return goja.Undefined()
		})
	case "RpcStub":
		return r.rpcStubClass()
	}
	if r.workers == nil {
		r.workers = r.run(workersProgram)
	}
	return r.workers.Get(name)
}

// run runs a program of our own that gives an object.
func (r *realm) run(p *goja.Program) *goja.Object {
	v, err := r.rt.RunProgram(p)
	if err != nil {
		panic(err)
	}
	return v.(*goja.Object)
}
