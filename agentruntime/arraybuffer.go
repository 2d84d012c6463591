package agentruntime

import (
	"math"

	"github.com/dop251/goja"
)

// bufferReceiver is the buffer that a method of ArrayBuffer.prototype works on.
func (r *realm) bufferReceiver(v goja.Value) goja.ArrayBuffer {
	if obj, ok := v.(*goja.Object); ok && obj.ExportType() == typeArrayBuffer && !r.isShared(obj) {
		if b, ok := obj.Export().(goja.ArrayBuffer); ok {
			return b
		}
	}
	panic(r.typeError("the receiver is not an ArrayBuffer"))
}

// transferBuffer is ArrayBuffer.prototype.transfer: a new buffer takes the bytes, and the old one is detached.
func (r *realm) transferBuffer(call goja.FunctionCall) goja.Value {
	b := r.bufferReceiver(call.This)
	r.refusePinned(call.This, "the receiver")
	size := float64(len(b.Bytes()))
	if v := call.Argument(0); given(v) {
		size = math.Trunc(v.ToFloat())
		if math.IsNaN(size) {
			size = 0
		}
		if size < 0 || size > math.MaxInt32 {
			panic(r.newError("RangeError", "Invalid array buffer length"))
		}
	}
	if b.Detached() {
		panic(r.typeError("Cannot perform ArrayBuffer.prototype.transfer on a detached ArrayBuffer"))
	}
	data := b.Bytes()
	if int(size) != len(data) {
		data = append(make([]byte, 0, int(size)), data[:min(len(data), int(size))]...)[:int(size)]
	}
	b.Detach()
	return r.rt.ToValue(r.rt.NewArrayBuffer(data))
}

func init() {
	const proto = "ArrayBuffer.prototype"
	transfer := func(r *realm, call goja.FunctionCall) goja.Value { return r.transferBuffer(call) }
	supplyMember(proto, "transfer", 0, transfer)
	supplyMember(proto, "transferToFixedLength", 0, transfer)
	supplyMember(proto, "resize", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		r.bufferReceiver(call.This)
		panic(r.typeError("the ArrayBuffer is not resizable: this engine has none of variable length; use transfer(length)"))
	})
	supplyAccessor(proto, "detached", func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(r.bufferReceiver(call.This).Detached())
	})
	supplyAccessor(proto, "resizable", func(r *realm, call goja.FunctionCall) goja.Value {
		r.bufferReceiver(call.This)
		return r.rt.ToValue(false)
	})
	supplyAccessor(proto, "maxByteLength", func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(len(r.bufferReceiver(call.This).Bytes()))
	})
}
