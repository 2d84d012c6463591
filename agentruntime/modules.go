package agentruntime

import "github.com/dop251/goja"

// workersProgram makes the base classes of cloudflare:workers
// (https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/rpc/).
var workersProgram = goja.MustCompile(internalPrefix+"workers", `({
	DurableObject: class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env } },
	WorkerEntrypoint: class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env } },
	RpcTarget: class RpcTarget {},
})`, true)

func init() {
	globals["__modules"] = func(r *realm) goja.Value {
		return r.lazy(func(name string) goja.Value {
			switch name {
			case "cloudflare:workers":
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
			v, err := r.rt.RunProgram(workersProgram)
			if err != nil {
				panic(err)
			}
			_ = v.(*goja.Object).Set("env", r.env())
			return v
		}, "cloudflare:workers", "cloudflare:sockets")
	}
}
