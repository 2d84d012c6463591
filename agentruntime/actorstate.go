package agentruntime

import (
	"time"

	"github.com/dop251/goja"
)

// blockedFor is how long a critical section may keep events away.
const blockedFor = 30 * time.Second

// actorState is an actor's ctx (https://developers.cloudflare.com/durable-objects/api/state/).
func (r *realm) actorState(x *Actor) *goja.Object {
	return r.lazy(func(name string) goja.Value {
		switch name {
		case "facets":
			panic(r.newError("Error", "ctx.facets: facets of durable actors are not built yet in this version"))
		case "id":
			return r.idValue(&actorID{id: x.id, text: x.id.String(), name: x.name})
		case "storage":
			return r.storage(x)
		case "props":
			return r.rt.NewObject()
		case "exports":
			return r.ownExports()
		case "waitUntil":
			return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				r.current().waitUntil(call.Argument(0))
				return goja.Undefined()
			})
		case "tool":
			return r.function(name, 2, (*realm).tool)
		case "blockConcurrencyWhile":
			return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				fn, ok := goja.AssertFunction(call.Argument(0))
				if !ok {
					panic(r.typeError("blockConcurrencyWhile: the argument is not a function"))
				}
				return x.block(fn)
			})
		case "step":
			return r.function(name, 2, func(r *realm, call goja.FunctionCall) goja.Value { return x.step(call.Argument(0), call.Argument(1)) })
		case "abort":
			return r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
				msg := "Application called abort() to reset Durable Object."
				if v := call.Argument(0); !goja.IsUndefined(v) {
					msg = r.describe(v, "").Message
				}
				x.end(&RemoteError{Name: "Error", Message: msg, Reset: true})
				return goja.Undefined()
			})
		}
		return x.socketMember(name)
	}, "id", "storage", "waitUntil", "blockConcurrencyWhile", "abort", "step", "tool", "props", "exports", "acceptWebSocket", "getWebSockets", "getTags",
		"setWebSocketAutoResponse", "getWebSocketAutoResponse", "getWebSocketAutoResponseTimestamp",
		"setHibernatableWebSocketEventTimeout", "getHibernatableWebSocketEventTimeout")
}

// block is blockConcurrencyWhile: no event is delivered while what fn started is under way. An exception resets the
// actor, for its state may be half made.
func (x *Actor) block(fn goja.Callable) goja.Value {
	r := x.r
	promise, resolve, reject := r.newPromise()
	x.critical(func(done func()) {
		late := time.AfterFunc(blockedFor, func() {
			x.end(&RemoteError{Name: "Error", Message: "A call to blockConcurrencyWhile() waited for too long. The call was canceled and the actor was reset.", Retryable: true, Reset: true})
		})
		fail := func(err error) {
			late.Stop()
			e := r.at.inv.emitException(err)
			reject(r.errorValue(err))
			x.end(&RemoteError{Name: e.Name, Message: e.Message, Stack: e.Stack, Reset: true})
		}
		v, err := fn(goja.Undefined())
		if err != nil {
			r.failed(err, fail)
			return
		}
		r.when(v, func(v goja.Value, err error) {
			if err != nil {
				r.failedWith(err, fail)
				return
			}
			late.Stop()
			done()
			resolve(v)
		})
	})
	return promise
}
