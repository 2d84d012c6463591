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
			if name != "cloudflare:workers" {
				return nil
			}
			v, err := r.rt.RunProgram(workersProgram)
			if err != nil {
				panic(err)
			}
			_ = v.(*goja.Object).Set("env", r.env())
			return v
		}, "cloudflare:workers")
	}
}
