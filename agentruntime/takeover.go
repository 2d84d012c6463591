//go:build takeover

package agentruntime

import "github.com/dop251/goja"

// Takeover stands for what code can do that has broken out of the engine: it is given a text that the global function
// __takeover was called with, and its answer is that function's. It exists in test builds only.
var Takeover func(command string) (answer string)

func init() {
	globals["__takeover"] = func(r *realm) goja.Value {
		return r.function("__takeover", 1, func(r *realm, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(Takeover(r.str(call.Argument(0))))
		})
	}
}
