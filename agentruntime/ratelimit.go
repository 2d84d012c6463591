package agentruntime

import (
	"context"

	"github.com/dop251/goja"
)

// rateLimit is a rate limiting binding (https://developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit/).
func (r *realm) rateLimit(b *Binding) goja.Value {
	return r.lazy(func(name string) goja.Value {
		if name != "limit" {
			return nil
		}
		return r.function(name, 1, promised(func(r *realm, call goja.FunctionCall) goja.Value {
			v := optional(call.Argument(0), "key")
			if v == nil {
				panic(r.typeError(b.Name + ".limit(): there is no key; give one, as in: limit({ key: userId })"))
			}
			key, host := r.str(v), r.current().host()
			return r.send(func(ctx context.Context) (any, error) { return host.Limit(ctx, b.Name, key) }, func(res any) (goja.Value, error) {
				o := r.rt.NewObject()
				return o, o.Set("success", res.(bool))
			})
		}))
	}, "limit")
}
