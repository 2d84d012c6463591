package agentruntime

import (
	"github.com/dop251/goja"
)

// rejectionData is what a PromiseRejectionEvent holds
// (https://html.spec.whatwg.org/multipage/webappapis.html#promiserejectionevent).
type rejectionData struct{ promise, reason goja.Value }

func init() {
	// reportError (https://html.spec.whatwg.org/multipage/webappapis.html#dom-reporterror) writes an exception down as if
	// it had not been caught. The invocation goes on and its outcome stays what it is.
	declareFunction("reportError", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		r.need(call, 1, "'reportError'")
		r.current().emitException(&thrown{call.Argument(0)})
		return goja.Undefined()
	})
	eventClass("PromiseRejectionEvent", func(r *realm, init goja.Value) any {
		promise := optional(init, "promise")
		if promise == nil {
			panic(r.typeError("Failed to construct 'PromiseRejectionEvent': the init needs a member 'promise'."))
		}
		if obj, ok := promise.(*goja.Object); !ok || promiseOf(obj) == nil {
			promise = r.resolved(promise)
		}
		return &rejectionData{promise, orUndefined(optional(init, "reason"))}
	},
		eventMember("promise", func(_ *realm, d *rejectionData) any { return d.promise }),
		eventMember("reason", func(_ *realm, d *rejectionData) any { return d.reason }),
	)
}
