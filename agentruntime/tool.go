package agentruntime

import (
	"fmt"
	"time"

	"github.com/dop251/goja"
)

// maxToolText is how many bytes are handed over of what a tool was given and of what it gave, each.
const maxToolText = 16 << 10

// tool is ctx.tool(name, callback) and ctx.tool(name, input, callback), which Workers do not have: it runs the callback, which is
// given the input, and has the record of the invocation say what was called, how long it took and how it failed. The promise
// is the callback's. Calls of MCP tools and what models ask for need it not: those are seen in the bodies that pass.
func (r *realm) tool(call goja.FunctionCall) goja.Value {
	name, ok := call.Argument(0).Export().(string)
	if !ok || name == "" || len(name) > 256 {
		panic(r.typeError("ctx.tool(): the name is not a text of 1 to 256 bytes"))
	}
	given, callback := goja.Value(goja.Undefined()), call.Argument(1)
	if len(call.Arguments) > 2 {
		given, callback = callback, call.Argument(2)
	}
	fn, ok := goja.AssertFunction(callback)
	if !ok {
		panic(r.typeError(fmt.Sprintf("ctx.tool(%q): the callback is not a function", name)))
	}
	inv := r.current()
	t := &ToolCall{Time: r.agent.now(), Name: name, Input: r.toolText(given)}
	done := func(v goja.Value, err error) {
		t.Duration = max(0, r.agent.now().Sub(t.Time))
		if err != nil {
			t.Error = r.describe(r.errorValue(err), "").Message
		} else {
			t.Output = r.toolText(v)
		}
		inv.hosted.Emit(Event{Tool: t})
	}
	promise, resolve, reject := r.newPromise()
	v, err := fn(goja.Undefined(), given)
	if err != nil {
		r.failed(err, func(err error) {
			done(nil, err)
			reject(r.errorValue(err))
		})
		return promise
	}
	r.when(v, func(v goja.Value, err error) {
		if err != nil {
			r.failedWith(err, func(err error) {
				done(nil, err)
				reject(r.errorValue(err))
			})
			return
		}
		done(v, nil)
		resolve(v)
	})
	return promise
}

// toolText is a value as JSON, cut where it is long, and empty for what JSON cannot hold.
func (r *realm) toolText(v goja.Value) string {
	if v == nil || goja.IsUndefined(v) {
		return ""
	}
	text, err := r.stringifyJSON(v)
	if err != nil {
		return ""
	}
	return text[:min(len(text), maxToolText)]
}

// told is how a workflow's instance says that a step was tried.
func (r *realm) told() goja.Value {
	return r.function("tell", 5, func(r *realm, call goja.FunctionCall) goja.Value {
		begun := time.UnixMilli(call.Argument(2).ToInteger())
		s := &Step{Time: begun, Duration: max(0, r.agent.now().Sub(begun)), Name: r.str(call.Argument(0)), Attempt: int(call.Argument(1).ToInteger())}
		if e := call.Argument(3); some(e) {
			s.Error = r.describe(e, "").Message
		}
		r.current().hosted.Emit(Event{Step: s})
		return goja.Undefined()
	})
}
