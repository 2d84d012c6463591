package agentruntime

import (
	"math"
	"math/big"

	"github.com/dop251/goja"
	"github.com/tetratelabs/wazero/api"

	"github.com/gatehouse-edge/gatehouse/agentruntime/wasmbinary"
)

// toWasm converts a value (https://webassembly.github.io/spec/js-api/#towebassemblyvalue).
func (w *wasmState) toWasm(v goja.Value, t wasmbinary.ValueType) uint64 {
	switch t {
	case wasmbinary.I32:
		return uint64(uint32(w.toInt32(v)))
	case wasmbinary.I64:
		return w.toInt64(v)
	case wasmbinary.F32:
		return api.EncodeF32(float32(w.toNumber(v)))
	case wasmbinary.F64:
		return api.EncodeF64(w.toNumber(v))
	case wasmbinary.ExternRef:
		return w.extern(v)
	case wasmbinary.FuncRef:
		if v != nil && goja.IsNull(v) {
			return 0
		}
		panic(w.r.typeError("A function cannot be passed as a funcref here; put it in a table."))
	}
	panic(w.r.typeError("A value of the type v128 cannot be passed to or from JavaScript."))
}

func (w *wasmState) toNumber(v goja.Value) float64 {
	switch v.(type) {
	case nil:
		return math.NaN()
	case *goja.Symbol:
		panic(w.r.typeError("Cannot convert a Symbol value to a number"))
	case *goja.Object:
	default:
		if isBigInt(v) {
			panic(w.r.typeError("Cannot convert a BigInt value to a number"))
		}
	}
	return v.ToFloat()
}

func (w *wasmState) toInt32(v goja.Value) int32 {
	f := w.toNumber(v)
	if i := int32(f); float64(i) == f {
		return i
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return int32(uint32(int64(math.Mod(math.Trunc(f), 1<<32))))
}

// toInt64 takes the low bits of a BigInt; a number is an error.
func (w *wasmState) toInt64(v goja.Value) uint64 {
	if v == nil {
		v = goja.Undefined()
	}
	if !isBigInt(v) {
		asInt, _ := goja.AssertFunction(w.r.rt.Get("BigInt").(*goja.Object).Get("asIntN"))
		low, err := asInt(goja.Undefined(), w.r.rt.ToValue(64), v)
		if thrown := thrownBy(err); thrown != nil {
			panic(thrown)
		}
		v = low
	}
	n, _ := v.Export().(*big.Int)
	var low big.Int
	low.And(n, maxUint64)
	return low.Uint64()
}

var maxUint64 = new(big.Int).SetUint64(math.MaxUint64)

// extern is the number that stands for a value.
func (w *wasmState) extern(v goja.Value) uint64 {
	if v == nil {
		v = goja.Undefined()
	}
	if goja.IsNull(v) {
		return 0
	}
	obj, ok := v.(*goja.Object)
	if ok {
		if i := w.externIndex[obj]; i > 0 {
			return i
		}
	}
	w.externs = append(w.externs, v)
	i := uint64(len(w.externs))
	if ok {
		if w.externIndex == nil {
			w.externIndex = map[*goja.Object]uint64{}
		}
		w.externIndex[obj] = i
	}
	return i
}

// fromWasm converts back.
func (w *wasmState) fromWasm(bits uint64, t wasmbinary.ValueType) goja.Value {
	switch t {
	case wasmbinary.I32:
		return w.r.rt.ToValue(int64(int32(bits)))
	case wasmbinary.I64:
		return w.r.rt.ToValue(big.NewInt(int64(bits)))
	case wasmbinary.F32:
		return w.r.rt.ToValue(float64(api.DecodeF32(bits)))
	case wasmbinary.F64:
		return w.r.rt.ToValue(api.DecodeF64(bits))
	case wasmbinary.ExternRef:
		if bits == 0 || bits > uint64(len(w.externs)) {
			return goja.Null()
		}
		return w.externs[bits-1]
	case wasmbinary.FuncRef:
		if bits == 0 {
			return goja.Null()
		}
		panic(w.r.typeError("A funcref cannot be passed to JavaScript here; read it from a table."))
	}
	panic(w.r.typeError("A value of the type v128 cannot be passed to or from JavaScript."))
}

// results converts what a function returns.
func (w *wasmState) results(stack []uint64, types []wasmbinary.ValueType) goja.Value {
	switch len(types) {
	case 0:
		return goja.Undefined()
	case 1:
		return w.fromWasm(stack[0], types[0])
	}
	list := make([]any, len(types))
	for i, t := range types {
		list[i] = w.fromWasm(stack[i], t)
	}
	return w.r.rt.NewArray(list...)
}

// wasmTypeNames are the names of the types in descriptors.
var wasmTypeNames = map[string]wasmbinary.ValueType{
	"i32": wasmbinary.I32, "i64": wasmbinary.I64, "f32": wasmbinary.F32, "f64": wasmbinary.F64, "v128": wasmbinary.V128,
	"anyfunc": wasmbinary.FuncRef, "funcref": wasmbinary.FuncRef, "externref": wasmbinary.ExternRef,
}
