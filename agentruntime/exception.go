package agentruntime

import (
	"errors"
	"time"

	"github.com/dop251/goja"
)

// emitException writes down an exception that the code did not catch, and returns it as the caller is to see it.
func (inv *Invocation) emitException(err error) *RemoteError {
	e := inv.r.remoteError(err)
	inv.hosted.Emit(Event{Exception: &Exception{Time: time.Now(), Name: e.Name, Message: e.Message, Stack: e.Stack}})
	return e
}

// remoteError describes what code threw, or what went wrong around it, with a stack mapped to the author's files. On
// the loop only.
func (r *realm) remoteError(err error) *RemoteError {
	var (
		remote *RemoteError
		ex     *goja.Exception
		th     *thrown
	)
	switch {
	case errors.As(err, &th):
		return r.describe(th.value, "")
	case errors.As(err, &ex):
		return r.describe(ex.Value(), ex.String())
	case errors.As(err, &remote):
		return remote
	}
	return &RemoteError{Name: "Error", Message: err.Error()}
}

// describe reads an exception's value; stack is used when the value has none of its own.
func (r *realm) describe(v goja.Value, stack string) *RemoteError {
	e := &RemoteError{Name: "Error"}
	obj, ok := v.(*goja.Object)
	if !ok {
		e.Message, e.Stack = r.text(v), r.mapStack(stack)
		return e
	}
	if obj.ClassName() != "Error" && r.member(obj, "message") == nil {
		e.Message, e.Stack = r.inspect(obj), r.mapStack(stack)
		return e
	}
	if v := r.member(obj, "name"); v != nil {
		e.Name = r.text(v)
	}
	if v := r.member(obj, "message"); v != nil {
		e.Message = r.text(v)
	}
	if v := r.member(obj, "stack"); v != nil {
		stack = r.text(v)
	}
	e.Stack = r.mapStack(stack)
	e.Retryable = r.flag(obj, "retryable")
	e.Overloaded = r.flag(obj, "overloaded")
	e.Reset = r.flag(obj, "durableObjectReset")
	return e
}

// member reads a property without letting a getter's exception through. It is nil when there is none.
func (r *realm) member(obj *goja.Object, name string) (v goja.Value) {
	if ex := r.rt.Try(func() { v = obj.Get(name) }); ex != nil || v == nil || goja.IsUndefined(v) {
		return nil
	}
	return v
}

func (r *realm) flag(obj *goja.Object, name string) bool {
	v := r.member(obj, name)
	return v != nil && v.ToBoolean()
}

// text is String(v), or what can be said of a value whose conversion throws.
func (r *realm) text(v goja.Value) (s string) {
	if sym, ok := v.(*goja.Symbol); ok {
		return "Symbol(" + sym.String() + ")"
	}
	if ex := r.rt.Try(func() { s = v.String() }); ex != nil {
		return "[value]"
	}
	return s
}
