package agentruntime

import "github.com/dop251/goja"

func init() {
	declareFunction("structuredClone", 1, func(r *realm, call goja.FunctionCall) goja.Value {
		r.need(call, 1, "structuredClone")
		data, err := r.serialize(call.Argument(0))
		if err != nil {
			r.throw(err)
		}
		v, err := r.deserialize(data)
		if err != nil {
			r.throw(err)
		}
		r.each(optional(call.Argument(1), "transfer"), func(t goja.Value) {
			o, ok := t.(*goja.Object)
			if !ok || o.ExportType() != typeArrayBuffer {
				r.throw(&thrown{r.domException("DataCloneError", "Value is not transferable: only an ArrayBuffer is.")})
			}
			buffer := o.Export().(goja.ArrayBuffer)
			buffer.Detach()
		})
		return v
	})
}
