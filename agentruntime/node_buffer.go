package agentruntime

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// maxBuffer is the most bytes that a Buffer can have: what the memory of an agent has room for.
const maxBuffer = 128 << 20

// bufferClass is a realm's Buffer (https://nodejs.org/api/buffer.html): a Uint8Array with more methods, which are native
// and made when they are first used, as those of Web APIs are.
type bufferClass struct {
	ctor  *goja.Object
	array goja.Constructor // Uint8Array
}

// buffers returns the realm's Buffer class.
func (r *realm) buffers() *bufferClass {
	s := r.nodes()
	if s.buffer != nil {
		return s.buffer
	}
	b := &bufferClass{}
	s.buffer = b
	array := r.rt.Get("Uint8Array").(*goja.Object)
	b.array, _ = goja.AssertConstructor(array)
	b.ctor = r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		if n, ok := numeric(call.Argument(0)); ok {
			return r.newBuffer(make([]byte, r.bufferSize(n)))
		}
		return r.bufferFrom(call.Arguments)
	}).(*goja.Object)
	r.nameFunction(b.ctor, r.rt.ToValue("Buffer"), 2)
	statics := r.lazyMembersOf(array, bufferStaticTable, bufferStatics)
	statics.owner = b.ctor
	_ = b.ctor.SetPrototype(statics.self)
	members := r.lazyMembersOf(array.Get("prototype").(*goja.Object), bufferTable, bufferMembers)
	proto := r.rt.CreateObject(members.self)
	members.owner = proto
	_ = b.ctor.DefineDataProperty("prototype", proto, goja.FLAG_FALSE, goja.FLAG_FALSE, goja.FLAG_FALSE)
	_ = proto.DefineDataProperty("constructor", b.ctor, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	return b
}

// newBuffer makes a Buffer around data, which it owns from now on.
func (r *realm) newBuffer(data []byte) *goja.Object {
	b := r.buffers()
	o, err := b.array(b.ctor, r.arrayBuffer(data))
	if err != nil {
		panic(err)
	}
	return o
}

// bufferOver makes a Buffer of a part of an ArrayBuffer.
func (r *realm) bufferOver(buffer goja.Value, offset, length int) *goja.Object {
	b := r.buffers()
	o, err := b.array(b.ctor, buffer, r.rt.ToValue(offset), r.rt.ToValue(length))
	if err != nil {
		panic(err)
	}
	return o
}

// isBuffer reports whether v is a Buffer.
func (r *realm) isBuffer(v goja.Value) bool {
	o, ok := v.(*goja.Object)
	if !ok || !isView(o) {
		return false
	}
	proto := r.buffers().ctor.Get("prototype")
	for p := o.Prototype(); p != nil; p = p.Prototype() {
		if p == proto {
			return true
		}
	}
	return false
}

// numeric returns v as a number if it is a primitive one.
func numeric(v goja.Value) (float64, bool) {
	if v == nil || v.ExportType() == nil {
		return 0, false
	}
	switch n := v.Export().(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// bufferSize checks a size in bytes.
func (r *realm) bufferSize(n float64) int {
	if !(n >= 0 && n <= maxBuffer) {
		panic(r.outOfRange("size", ">= 0 && <= "+itoa(maxBuffer), n))
	}
	return int(n)
}

func (r *realm) outOfRange(name, want string, got float64) *goja.Object {
	return r.nodeError("RangeError", "ERR_OUT_OF_RANGE",
		`The value of "`+name+`" is out of range. It must be `+want+". Received "+r.rt.ToValue(got).String())
}

func (r *realm) invalidType(name, want string, got goja.Value) *goja.Object {
	kind := "undefined"
	switch o, ok := got.(*goja.Object); {
	case ok:
		kind = "an instance of " + orElse((&inspector{r: r, limit: consoleLimit}).className(o), "Object")
	case given(got):
		kind = "type " + typeOf(got) + " (" + r.inspect(got) + ")"
		if goja.IsNull(got) {
			kind = "null"
		}
	}
	return r.nodeError("TypeError", "ERR_INVALID_ARG_TYPE", `The "`+name+`" argument must be `+want+". Received "+kind)
}

// typeOf is the typeof of a primitive value.
func typeOf(v goja.Value) string {
	switch v.(type) {
	case goja.String:
		return "string"
	case *goja.Symbol:
		return "symbol"
	}
	if isBigInt(v) {
		return "bigint"
	}
	if _, ok := v.Export().(bool); ok {
		return "boolean"
	}
	return "number"
}

// bytesArg reads an argument that is a Buffer or another view of bytes.
func (r *realm) bytesArg(v goja.Value, name string) []byte {
	if o, ok := v.(*goja.Object); ok && isView(o) {
		data, _ := r.bytesOrShared(v)
		return data
	}
	panic(r.invalidType(name, "an instance of Buffer or Uint8Array", v))
}

// indexArg reads an index: what is no number is missing, and one out of bounds is cut.
func indexArg(v goja.Value, missing, most int) int {
	if !given(v) {
		return missing
	}
	n := v.ToFloat()
	if math.IsNaN(n) {
		return 0
	}
	return int(max(0, min(math.Trunc(n), float64(most))))
}

// sliceArg is indexArg for bounds that count from the end where they are negative.
func sliceArg(v goja.Value, missing, most int) int {
	if given(v) {
		if n := v.ToFloat(); n < 0 {
			return int(max(0, math.Trunc(n)+float64(most)))
		}
	}
	return indexArg(v, missing, most)
}

// bufferFrom is Buffer.from.
func (r *realm) bufferFrom(args []goja.Value) *goja.Object {
	arg := func(i int) goja.Value {
		if i < len(args) {
			return args[i]
		}
		return goja.Undefined()
	}
	v := arg(0)
	if _, ok := v.(goja.String); ok {
		return r.newBuffer(r.encodingArg(arg(1)).encodedText(v))
	}
	o, ok := v.(*goja.Object)
	if !ok {
		panic(r.invalidType("first", "of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object", v))
	}
	if o.ExportType() == typeArrayBuffer {
		size := len(o.Export().(goja.ArrayBuffer).Bytes())
		offset := 0
		if given(arg(1)) && !math.IsNaN(arg(1).ToFloat()) {
			offset = int(arg(1).ToInteger())
		}
		if offset < 0 || offset > size {
			panic(r.nodeError("RangeError", "ERR_BUFFER_OUT_OF_BOUNDS", `"offset" is outside of buffer bounds`))
		}
		length := size - offset
		if given(arg(2)) {
			length = max(0, int(arg(2).ToInteger()))
			if length > size-offset {
				panic(r.nodeError("RangeError", "ERR_BUFFER_OUT_OF_BOUNDS", `"length" is outside of buffer bounds`))
			}
		}
		return r.bufferOver(o, offset, length)
	}
	if isView(o) && given(o.Get("length")) {
		if data, ok := r.bytesOrShared(o); ok && o.ExportType().Elem().Size() == 1 {
			return r.newBuffer(bytes.Clone(data))
		}
		b := r.buffers()
		of, err := b.array(b.ctor, o) // the engine's own conversion, element by element
		if err != nil {
			panic(err)
		}
		return of
	}
	if inner, ok := r.primitiveOf(o); ok {
		return r.bufferFrom(append([]goja.Value{inner}, args[1:]...))
	}
	if kind := o.Get("type"); given(kind) && kind.String() == "Buffer" {
		if list, ok := o.Get("data").(*goja.Object); ok && list.ClassName() == "Array" {
			return r.newBuffer(r.bytesOfList(list))
		}
	}
	if given(o.Get("length")) || isView(o) {
		return r.newBuffer(r.bytesOfList(o))
	}
	if p := r.symbolMember(o, goja.SymToPrimitive); p != nil {
		if s, err := p(o, r.rt.ToValue("string")); err != nil {
			panic(err)
		} else if _, ok := s.(goja.String); ok {
			return r.bufferFrom(append([]goja.Value{s}, args[1:]...))
		}
	}
	panic(r.invalidType("first", "of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object", v))
}

func (r *realm) symbolMember(o *goja.Object, sym *goja.Symbol) goja.Callable {
	fn, _ := goja.AssertFunction(o.GetSymbol(sym))
	return fn
}

// primitiveOf is the other value that an object's valueOf gives, if it gives one.
func (r *realm) primitiveOf(o *goja.Object) (goja.Value, bool) {
	fn, ok := goja.AssertFunction(o.Get("valueOf"))
	if !ok {
		return nil, false
	}
	v, err := fn(o)
	if err != nil {
		panic(err)
	}
	if !some(v) || v == o {
		return nil, false
	}
	switch v.(type) {
	case goja.String, *goja.Object:
		return v, true
	}
	return nil, false
}

// bytesOfList reads an object with a length as bytes.
func (r *realm) bytesOfList(o *goja.Object) []byte {
	n := o.Get("length").ToFloat()
	if !(n > 0) {
		return nil
	}
	if n > maxElements {
		panic(r.outOfRange("length", "<= "+itoa(maxElements), n))
	}
	data := make([]byte, r.bufferSize(n))
	for i := range data {
		if v := o.Get(itoa(i)); given(v) {
			data[i] = byte(toInt(v))
		}
	}
	return data
}

// toInt is the number that v converts to, cut to its low bits as the engine's typed arrays do.
func toInt(v goja.Value) int64 {
	f := v.ToFloat()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	if math.Abs(f) < 1<<62 {
		return int64(f)
	}
	return v.ToInteger()
}

// The members of Buffer.prototype, but those of Uint8Array, and of Buffer itself; see node_buffer_methods.go.
var (
	bufferMembers, bufferStatics   []member
	bufferTable, bufferStaticTable map[string]*member
)

func init() {
	bufferMembers = append(append(bufferMethods(), textMembers()...), numberMembers()...)
	bufferTable = tableOf(bufferMembers)
	alloc := func(r *realm, call goja.FunctionCall) goja.Value {
		n, ok := numeric(call.Argument(0))
		if !ok {
			panic(r.invalidType("size", "of type number", call.Argument(0)))
		}
		return r.newBuffer(make([]byte, r.bufferSize(n)))
	}
	bufferStatics = []member{
		{name: "alloc", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
			b := alloc(r, call)
			if v := call.Argument(1); given(v) {
				data, _ := r.bytesOrShared(b)
				r.fillBytes(data, v, call.Argument(2))
			}
			return b
		}},
		{name: "allocUnsafe", length: 1, call: alloc},
		{name: "allocUnsafeSlow", length: 1, call: alloc},
		{name: "from", length: 3, call: func(r *realm, call goja.FunctionCall) goja.Value { return r.bufferFrom(call.Arguments) }},
		{name: "of", call: func(r *realm, call goja.FunctionCall) goja.Value {
			data := make([]byte, len(call.Arguments))
			for i, v := range call.Arguments {
				data[i] = byte(toInt(v))
			}
			return r.newBuffer(data)
		}},
		{name: "copyBytesFrom", length: 3, call: func(r *realm, call goja.FunctionCall) goja.Value {
			view, ok := call.Argument(0).(*goja.Object)
			if !ok || !isView(view) {
				panic(r.invalidType("view", "an instance of TypedArray", call.Argument(0)))
			}
			data, _ := r.bytesOrShared(view)
			n := int(view.Get("length").ToInteger())
			size := 1
			if n > 0 {
				size = len(data) / n
			}
			from := indexArg(call.Argument(1), 0, n)
			to := from + indexArg(call.Argument(2), n-from, n-from)
			return r.newBuffer(bytes.Clone(data[from*size : to*size]))
		}},
		{name: "isBuffer", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(r.isBuffer(call.Argument(0)))
		}},
		{name: "isEncoding", length: 1, call: func(r *realm, call goja.FunctionCall) goja.Value {
			s, ok := call.Argument(0).(goja.String)
			known := false
			if ok {
				_, known = encodingOf(s.String())
			}
			return r.rt.ToValue(known)
		}},
		{name: "byteLength", length: 2, call: func(r *realm, call goja.FunctionCall) goja.Value {
			v := call.Argument(0)
			if _, ok := v.(goja.String); ok {
				e := encodingUTF8
				if some(call.Argument(1)) {
					e, _ = encodingOf(call.Argument(1).String())
				}
				return r.rt.ToValue(e.textSize(v))
			}
			if data, ok := r.bytesOrShared(v); ok {
				return r.rt.ToValue(len(data))
			}
			panic(r.invalidType("string", "of type string or an instance of Buffer or ArrayBuffer", v))
		}},
		{name: "concat", length: 2, call: func(r *realm, call goja.FunctionCall) goja.Value {
			list, ok := call.Argument(0).(*goja.Object)
			if !ok || list.ClassName() != "Array" {
				panic(r.invalidType("list", "an instance of Array", call.Argument(0)))
			}
			var parts [][]byte
			total := 0
			for i := range int(list.Get("length").ToInteger()) {
				part := r.bytesArg(list.Get(itoa(i)), "list["+itoa(i)+"]")
				parts = append(parts, part)
				total += len(part)
			}
			if v := call.Argument(1); given(v) {
				total = r.bufferSize(v.ToFloat())
			}
			out := make([]byte, r.bufferSize(float64(total)))
			at := 0
			for _, part := range parts {
				at += copy(out[at:], part)
			}
			return r.newBuffer(out)
		}},
		{name: "compare", length: 2, call: func(r *realm, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(bytes.Compare(r.bytesArg(call.Argument(0), "buf1"), r.bytesArg(call.Argument(1), "buf2")))
		}},
		{name: "poolSize", value: 8192},
	}
	bufferStaticTable = tableOf(bufferStatics)
	nodeModules["buffer"].native = (*realm).bufferModule
}

// bufferModule makes node:buffer.
func (r *realm) bufferModule() goja.Value {
	o := r.rt.NewObject()
	constants := r.rt.NewObject()
	_ = constants.Set("MAX_LENGTH", maxBuffer)
	_ = constants.Set("MAX_STRING_LENGTH", maxString)
	for name, v := range map[string]any{
		"Buffer": r.buffers().ctor, "constants": constants, "kMaxLength": maxBuffer, "kStringMaxLength": maxString, "INSPECT_MAX_BYTES": 50,
	} {
		_ = o.Set(name, v)
	}
	for _, name := range []string{"atob", "btoa", "Blob", "File"} {
		_ = o.Set(name, r.global(name))
	}
	slow := r.rt.ToValue(func(call goja.ConstructorCall) *goja.Object {
		return r.newBuffer(make([]byte, r.bufferSize(call.Argument(0).ToFloat())))
	}).(*goja.Object)
	r.nameFunction(slow, r.rt.ToValue("SlowBuffer"), 1)
	_ = o.Set("SlowBuffer", slow)
	bytesTest := func(name string, test func([]byte) bool) {
		_ = o.Set(name, r.function(name, 1, func(r *realm, call goja.FunctionCall) goja.Value {
			data, ok := r.bytesOrShared(call.Argument(0))
			if !ok {
				panic(r.invalidType("input", "an instance of ArrayBuffer, Buffer, or TypedArray", call.Argument(0)))
			}
			return r.rt.ToValue(test(data))
		}))
	}
	bytesTest("isUtf8", utf8.Valid)
	bytesTest("isAscii", func(data []byte) bool { return isASCII(string(data)) })
	_ = o.Set("transcode", r.function("transcode", 3, func(r *realm, call goja.FunctionCall) goja.Value {
		data := r.bytesArg(call.Argument(0), "source")
		from, ok := encodingOf(r.str(call.Argument(1)))
		to, ok2 := encodingOf(r.str(call.Argument(2)))
		if !ok || !ok2 || from == encodingHex || to == encodingHex || from == encodingBase64 || to == encodingBase64 || from == encodingBase64URL || to == encodingBase64URL {
			panic(r.nodeError("Error", "U_ILLEGAL_ARGUMENT_ERROR", "Unable to transcode Buffer [U_ILLEGAL_ARGUMENT_ERROR]"))
		}
		return r.newBuffer(transcode(data, from, to))
	}))
	return o
}

// fillBytes repeats a value over data.
func (r *realm) fillBytes(data []byte, v, encoding goja.Value) {
	if len(data) == 0 {
		return
	}
	var pattern []byte
	switch o, isObject := v.(*goja.Object); {
	case isObject:
		var ok bool
		if pattern, ok = r.bytesOrShared(o); !ok {
			pattern = []byte{byte(toInt(v))}
		}
	default:
		if s, ok := v.(goja.String); ok {
			if pattern = r.encodingArg(encoding).encodedText(s); s.Length() == 0 {
				pattern = []byte{0}
			}
		} else {
			pattern = []byte{byte(toInt(v))}
		}
	}
	if len(pattern) == 0 {
		panic(r.nodeError("TypeError", "ERR_INVALID_ARG_VALUE", "The argument 'value' is invalid."))
	}
	pattern = bytes.Clone(pattern)
	for at := copy(data, pattern); at < len(data); at *= 2 {
		copy(data[at:], data[:at])
	}
}

// inspectBuffer shows a Buffer as Node.js does.
func inspectBuffer(data []byte) string {
	const shown = 50
	var b strings.Builder
	b.WriteString("<Buffer")
	for _, c := range data[:min(len(data), shown)] {
		b.WriteByte(' ')
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	if more := len(data) - shown; more > 0 {
		b.WriteString(" ... " + itoa(more) + " more byte")
		if more > 1 {
			b.WriteByte('s')
		}
	}
	b.WriteByte('>')
	return b.String()
}

// randomBytes makes n random bytes.
func randomBytes(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}
