package agentruntime

import (
	"math"
	"math/big"
	"reflect"

	"github.com/dop251/goja"
)

var (
	typeBigInt   = reflect.TypeFor[*big.Int]()
	negativeZero = goja.New().ToValue(math.Copysign(0, -1))
)

// isBigInt reports whether a value is a primitive BigInt.
func isBigInt(v goja.Value) bool {
	_, object := v.(*goja.Object)
	return !object && v.ExportType() == typeBigInt
}
