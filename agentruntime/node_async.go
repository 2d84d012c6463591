package agentruntime

import "github.com/dop251/goja"

// asyncFrame holds the values of AsyncLocalStorage where code runs (https://nodejs.org/api/async_context.html). Frames do
// not change: to set a value is to run in a scope with a new frame in front. A scope follows everything that code starts,
// and its frame with it.
type asyncFrame struct {
	storage *goja.Object // the AsyncLocalStorage; nil in a frame that hides all that is behind it
	value   goja.Value
	behind  *asyncFrame
}

// find returns the value that storage has, undefined for none.
func (f *asyncFrame) find(storage *goja.Object) goja.Value {
	for ; f != nil; f = f.behind {
		if f.storage == storage {
			return f.value
		}
	}
	return goja.Undefined()
}

// with returns f with another value for storage, and without the one before it, so that a chain stays as long as there
// are storages in use.
func (f *asyncFrame) with(storage *goja.Object, value goja.Value) *asyncFrame {
	return &asyncFrame{storage: storage, value: value, behind: f.without(storage)}
}

func (f *asyncFrame) without(storage *goja.Object) *asyncFrame {
	switch {
	case f == nil:
		return nil
	case f.storage == storage:
		return f.behind // each storage is there once
	}
	behind := f.behind.without(storage)
	if behind == f.behind {
		return f
	}
	return &asyncFrame{storage: f.storage, value: f.value, behind: behind}
}

// inFrame returns the running scope with another frame.
func (r *realm) inFrame(f *asyncFrame) *scope {
	return &scope{inv: r.at.inv, section: r.at.section, frame: f}
}

// capturedFrame is the native state of an object that stands for a frame: what a snapshot or an AsyncResource keeps.
type capturedFrame struct{ frame *asyncFrame }

// callIn calls fn in the frame.
func (r *realm) callIn(f *asyncFrame, fn goja.Value, this goja.Value, args []goja.Value) goja.Value {
	call, ok := goja.AssertFunction(fn)
	if !ok {
		panic(r.nodeError("TypeError", "ERR_INVALID_ARG_TYPE", "The callback is not a function"))
	}
	prev := r.enter(r.inFrame(f))
	defer r.leave(prev)
	v, err := call(this, args...)
	if err != nil {
		panic(err)
	}
	return v
}

func init() {
	storage := func(r *realm, call goja.FunctionCall) *goja.Object {
		o, ok := call.Argument(0).(*goja.Object)
		if !ok {
			panic(r.typeError("Illegal invocation"))
		}
		return o
	}
	rest := func(call goja.FunctionCall, from int) []goja.Value {
		return call.Arguments[min(from, len(call.Arguments)):]
	}
	// asyncGet(storage) is the value that storage has where the caller runs.
	nodeNatives["asyncGet"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.at.frame.find(storage(r, call))
	}
	// asyncRun(storage, value, fn, ...args) calls fn where storage has value.
	nodeNatives["asyncRun"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.callIn(r.at.frame.with(storage(r, call), call.Argument(1)), call.Argument(2), goja.Undefined(), rest(call, 3))
	}
	// asyncEnter(storage, value) sets the value for the rest of what runs, and what that starts.
	nodeNatives["asyncEnter"] = func(r *realm, call goja.FunctionCall) goja.Value {
		r.at = r.inFrame(r.at.frame.with(storage(r, call), call.Argument(1)))
		return goja.Undefined()
	}
	// asyncCapture() is an object that stands for all values where the caller runs.
	nodeNatives["asyncCapture"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		o := r.rt.NewObject()
		r.attach(o, &capturedFrame{r.at.frame})
		return o
	}
	// asyncWithin(captured, fn, this, ...args) calls fn where the captured values are.
	nodeNatives["asyncWithin"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.callIn(self[*capturedFrame](r, call.Argument(0)).frame, call.Argument(1), call.Argument(2), rest(call, 3))
	}
}
