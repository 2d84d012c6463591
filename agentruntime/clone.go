package agentruntime

import (
	"encoding/json"
	"fmt"

	"github.com/dop251/goja"
)

// CloneJSON makes a structured clone, in the package's own format, of a value as encoding/json has it.
func CloneJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("clone: %w", err)
	}
	r := newRealm(new(loop))
	return r.serialize(r.jsonValue(string(text)))
}

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
			if !ok || o.ExportType() != typeArrayBuffer || r.isPinned(o) {
				r.throw(&thrown{r.domException("DataCloneError", "Value is not transferable: only an ArrayBuffer is.")})
			}
			buffer := o.Export().(goja.ArrayBuffer)
			buffer.Detach()
		})
		return v
	})
}
