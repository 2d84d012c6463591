package agentruntime

import (
	"context"
	"errors"

	"github.com/dop251/goja"
)

// errorValue turns a Go error into the Error that code sees. A *RefusedError has code and rule, a *RemoteError the name,
// message and flags of the exception it stands for, the end of a context is an AbortError or TimeoutError.
func (r *realm) errorValue(err error) goja.Value {
	var (
		ex      *goja.Exception
		refused *RefusedError
		remote  *RemoteError
		hosted  *HostError
		th      *thrown
	)
	switch {
	case errors.As(err, &th):
		return th.value
	case errors.As(err, &ex):
		return ex.Value()
	case errors.As(err, &refused):
		o := r.newError("Error", refused.Message)
		_ = o.Set("name", "EgressError")
		_ = o.Set("code", refused.Code)
		_ = o.Set("rule", refused.Rule)
		return o
	case errors.As(err, &hosted):
		return r.newError(hosted.Name, hosted.Message)
	case errors.As(err, &remote):
		o := r.newError(remote.Name, remote.Message)
		_ = o.Set("remote", true)
		if remote.Retryable {
			_ = o.Set("retryable", true)
		}
		if remote.Overloaded {
			_ = o.Set("overloaded", true)
		}
		if remote.Reset {
			_ = o.Set("durableObjectReset", true)
		}
		return o
	case errors.Is(err, context.DeadlineExceeded):
		return r.domException("TimeoutError", "The operation timed out")
	case errors.Is(err, context.Canceled):
		return r.domException("AbortError", "The operation was aborted")
	}
	return r.newError("Error", err.Error())
}

// newError makes an error of the named built-in class, or an Error with that name when there is no such class.
func (r *realm) newError(name, msg string) *goja.Object {
	class := "Error"
	switch name {
	case "TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError", "URIError":
		class = name
	}
	o, err := r.rt.New(r.rt.Get(class), r.rt.ToValue(msg))
	if err != nil {
		return r.rt.NewTypeError(msg)
	}
	if class != name && name != "" {
		_ = o.DefineDataProperty("name", r.rt.ToValue(name), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return o
}

// domException makes a DOMException, or an Error of that name where there is no DOMException.
func (r *realm) domException(name, msg string) *goja.Object {
	if class := r.global("DOMException"); class != nil {
		if o, err := r.rt.New(class, r.rt.ToValue(msg), r.rt.ToValue(name)); err == nil {
			return o
		}
	}
	return r.newError(name, msg)
}

// throw throws err as code sees it. It does not return; use it inside a native function.
func (r *realm) throw(err error) { panic(r.errorValue(err)) }
