package agentruntime

import (
	"time"

	"github.com/dop251/goja"
)

func init() {
	globals["performance"] = func(r *realm) goja.Value {
		origin := r.agent.now()
		return r.lazy(func(name string) goja.Value {
			switch name {
			case "timeOrigin":
				return r.rt.ToValue(float64(origin.UnixMicro()) / 1000)
			case "now":
				return r.function("now", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
					return r.rt.ToValue(float64(r.agent.now().Sub(origin)/time.Microsecond) / 1000)
				})
			case "toJSON":
				return r.function("toJSON", 0, func(r *realm, _ goja.FunctionCall) goja.Value {
					o := r.rt.NewObject()
					_ = o.Set("timeOrigin", float64(origin.UnixMicro())/1000)
					return o
				})
			}
			return nil
		}, "timeOrigin", "now", "toJSON")
	}
	globals["navigator"] = func(r *realm) goja.Value {
		o := r.rt.NewObject()
		_ = o.Set("userAgent", "Cloudflare-Workers") // the value by which packages know the Workers API
		_ = o.Set("language", "en")
		_ = o.Set("hardwareConcurrency", 1)
		return o
	}
	globals["self"] = func(r *realm) goja.Value { return r.rt.GlobalObject() }
}
