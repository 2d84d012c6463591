package agentruntime

import (
	"github.com/dop251/goja"
)

// navigator is the state of the navigator object (https://developers.cloudflare.com/workers/runtime-apis/web-standards/#navigatoruseragent).
type navigator struct{ _ byte }

func init() {
	globals["self"] = func(r *realm) goja.Value { return r.rt.GlobalObject() }
	globals["navigator"] = func(r *realm) goja.Value { return r.instance("Navigator", &navigator{}) }
	constant := func(name string, v any) member {
		return member{name: name, get: getter(func(r *realm, _ *navigator) goja.Value { return r.rt.ToValue(v) })}
	}
	(&webClass{
		name: "Navigator",
		members: []member{
			constant("userAgent", "Cloudflare-Workers"), // the value by which packages know the Workers API
			constant("language", "en"),
			constant("hardwareConcurrency", 1),
			constant("platform", ""),
			{name: "languages", get: getter(func(r *realm, _ *navigator) goja.Value { return r.strings([]string{"en"}) })},
			// sendBeacon posts in the background, as a fetch that the invocation waits for (https://w3c.github.io/beacon/).
			{name: "sendBeacon", length: 1, call: method(func(r *realm, _ *navigator, call goja.FunctionCall) goja.Value {
				r.need(call, 1, "'sendBeacon' on 'Navigator'")
				r.mustURL(r.str(call.Argument(0)), nil)
				init := r.rt.NewObject()
				_ = init.Set("method", "POST")
				if body := call.Argument(1); some(body) {
					_ = init.Set("body", body)
				}
				sent := r.fetch(Target{Kind: TargetEgress}, call.Argument(0), init)
				inv := r.current()
				done, resolve, _ := r.newPromise()
				r.upon(sent, func(v goja.Value) {
					if res, ok := nativeOf[*response](r, v); ok {
						if reader, _ := r.bodyReader(&res.content); reader != nil {
							_ = reader.Close()
						}
					}
					resolve(goja.Undefined())
				}, func(err goja.Value) {
					inv.emitException(&thrown{err})
					resolve(goja.Undefined())
				})
				inv.waitUntil(done)
				return r.rt.ToValue(true)
			})},
		},
	}).declare()
}
