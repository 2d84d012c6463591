package agentruntime

import (
	"context"

	"github.com/dop251/goja"
)

// storedSecret is the binding of a secret that is asked for by get() (https://developers.cloudflare.com/secrets-store/integrations/workers/).
func (r *realm) storedSecret(b *Binding) goja.Value {
	return r.lazy(func(name string) goja.Value {
		if name != "get" {
			return nil
		}
		return r.function(name, 0, promised(func(r *realm, _ goja.FunctionCall) goja.Value {
			inv := r.current()
			host := inv.host()
			return r.send(inv.connected(func(ctx context.Context) (any, error) { return host.Secret(ctx, b.Name) }), func(res any) (goja.Value, error) {
				return r.rt.ToValue(res.(string)), nil
			})
		}))
	}, "get")
}
