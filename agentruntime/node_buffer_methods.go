package agentruntime

import (
	"bytes"
	"math"

	"github.com/dop251/goja"
)

// bufferMethod is the body of a method of Buffer: data is what the Buffer holds.
type bufferMethod func(r *realm, data []byte, call goja.FunctionCall) goja.Value

// ofBuffer adapts a bufferMethod. Any Uint8Array may be the receiver.
func ofBuffer(f bufferMethod) nativeFunc {
	return func(r *realm, call goja.FunctionCall) goja.Value { return f(r, r.bytesArg(call.This, "this"), call) }
}

// bufferMethods are the methods of Buffer.prototype but those of Uint8Array and those for numbers.
func bufferMethods() []member {
	return []member{
		{name: "toString", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			from := indexArg(call.Argument(1), 0, len(data))
			to := indexArg(call.Argument(2), len(data), len(data))
			e := r.encodingArg(call.Argument(0))
			return e.text(r, data[from:max(from, to)])
		})},
		{name: "toLocaleString", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			return r.encodingArg(call.Argument(0)).text(r, data)
		})},
		{name: "toJSON", call: ofBuffer(func(r *realm, data []byte, _ goja.FunctionCall) goja.Value {
			if len(data) > maxElements {
				panic(r.outOfRange("length", "<= "+itoa(maxElements), float64(len(data))))
			}
			list := make([]any, len(data))
			for i, c := range data {
				list[i] = r.rt.ToValue(int64(c))
			}
			o := r.rt.NewObject()
			_ = o.Set("type", "Buffer")
			_ = o.Set("data", r.rt.NewArray(list...))
			return o
		})},
		{name: "equals", length: 1, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(bytes.Equal(data, r.bytesArg(call.Argument(0), "otherBuffer")))
		})},
		{name: "compare", length: 5, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			other := r.bytesArg(call.Argument(0), "target")
			part := func(data []byte, from, to goja.Value, name string) []byte {
				for _, v := range []goja.Value{from, to} {
					if given(v) && (v.ToFloat() < 0 || v.ToFloat() > maxBuffer) {
						panic(r.outOfRange(name, ">= 0 && <= "+itoa(len(data)), v.ToFloat()))
					}
				}
				start := indexArg(from, 0, len(data))
				return data[start:max(start, indexArg(to, len(data), len(data)))]
			}
			return r.rt.ToValue(bytes.Compare(part(data, call.Argument(3), call.Argument(4), "sourceStart"), part(other, call.Argument(1), call.Argument(2), "targetStart")))
		})},
		{name: "slice", length: 2, call: subBuffer},
		{name: "subarray", length: 2, call: subBuffer},
		{name: "copy", length: 4, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			target := r.bytesArg(call.Argument(0), "target")
			at := r.offsetArg(call.Argument(1), "targetStart", math.MaxInt32)
			from := r.offsetArg(call.Argument(2), "sourceStart", len(data))
			to := indexArg(call.Argument(3), len(data), len(data))
			if at >= len(target) || from >= to {
				return r.rt.ToValue(0)
			}
			return r.rt.ToValue(copy(target[at:], data[from:to]))
		})},
		{name: "write", length: 4, call: ofBuffer(writeText)},
		{name: "fill", length: 4, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			v, from, to, encoding := call.Argument(0), call.Argument(1), call.Argument(2), call.Argument(3)
			if _, ok := from.(goja.String); ok {
				from, to, encoding = goja.Undefined(), goja.Undefined(), from
			} else if _, ok := to.(goja.String); ok {
				to, encoding = goja.Undefined(), to
			}
			start := r.offsetArg(from, "offset", len(data))
			end := len(data)
			if given(to) {
				end = r.offsetArg(to, "end", len(data))
			}
			if start < end {
				r.fillBytes(data[start:end], v, encoding)
			}
			return call.This
		})},
		{name: "indexOf", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(r.searchBytes(data, call, false))
		})},
		{name: "lastIndexOf", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(r.searchBytes(data, call, true))
		})},
		{name: "includes", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			return r.rt.ToValue(r.searchBytes(data, call, false) >= 0)
		})},
		{name: "swap16", call: swapBytes(2)},
		{name: "swap32", call: swapBytes(4)},
		{name: "swap64", call: swapBytes(8)},
		{name: "inspect", call: ofBuffer(func(r *realm, data []byte, _ goja.FunctionCall) goja.Value {
			return r.rt.ToValue(inspectBuffer(data))
		})},
		{name: "parent", get: viewMember("buffer")},
		{name: "offset", get: viewMember("byteOffset")},
	}
}

// viewMember gives a member of a Uint8Array under its older name, and undefined for a receiver that is none.
func viewMember(name string) nativeFunc {
	return func(_ *realm, call goja.FunctionCall) goja.Value {
		if o, ok := call.This.(*goja.Object); ok && isView(o) {
			return o.Get(name)
		}
		return goja.Undefined()
	}
}

// textMembers are the methods that read and write text of one encoding.
func textMembers() (list []member) {
	for name, e := range map[string]bufferEncoding{
		"utf8": encodingUTF8, "hex": encodingHex, "base64": encodingBase64, "base64url": encodingBase64URL,
		"ascii": encodingASCII, "latin1": encodingLatin1, "ucs2": encodingUTF16,
	} {
		list = append(list, member{name: name + "Slice", length: 2, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			from := indexArg(call.Argument(0), 0, len(data))
			return e.text(r, data[from:max(from, indexArg(call.Argument(1), len(data), len(data)))])
		})}, member{name: name + "Write", length: 3, call: ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
			from := r.offsetArg(call.Argument(1), "offset", len(data))
			room := indexArg(call.Argument(2), len(data)-from, len(data)-from)
			return r.rt.ToValue(copy(data[from:], e.whole(e.encodedText(call.Argument(0)), room)))
		})})
	}
	return list
}

// subBuffer is slice and subarray: a Buffer over the same memory.
func subBuffer(r *realm, call goja.FunctionCall) goja.Value {
	data := r.bytesArg(call.This, "this")
	this := call.This.(*goja.Object)
	from := sliceArg(call.Argument(0), 0, len(data))
	to := max(from, sliceArg(call.Argument(1), len(data), len(data)))
	return r.bufferOver(this.Get("buffer"), int(this.Get("byteOffset").ToInteger())+from, to-from)
}

// offsetArg reads an offset that must be in bounds.
func (r *realm) offsetArg(v goja.Value, name string, most int) int {
	if !given(v) {
		return 0
	}
	n := v.ToFloat()
	if math.IsNaN(n) {
		n = 0
	}
	if n < 0 || n > float64(most) {
		panic(r.outOfRange(name, ">= 0 && <= "+itoa(most), n))
	}
	return int(n)
}

// writeText is buf.write(string[, offset[, length]][, encoding]).
func writeText(r *realm, data []byte, call goja.FunctionCall) goja.Value {
	if _, ok := call.Argument(0).(goja.String); !ok {
		panic(r.invalidType("argument", "of type string", call.Argument(0)))
	}
	offset, length, encoding := call.Argument(1), call.Argument(2), call.Argument(3)
	if _, ok := offset.(goja.String); ok {
		offset, length, encoding = goja.Undefined(), goja.Undefined(), offset
	} else if _, ok := length.(goja.String); ok {
		length, encoding = goja.Undefined(), length
	}
	from := r.offsetArg(offset, "offset", len(data))
	room := len(data) - from
	if given(length) {
		room = min(room, r.offsetArg(length, "length", math.MaxInt32))
	}
	e := r.encodingArg(encoding)
	return r.rt.ToValue(copy(data[from:], e.whole(e.encodedText(call.Argument(0)), room)))
}

// searchBytes is indexOf and lastIndexOf.
func (r *realm) searchBytes(data []byte, call goja.FunctionCall, last bool) int {
	v, offset, encoding := call.Argument(0), call.Argument(1), call.Argument(2)
	if _, ok := offset.(goja.String); ok {
		offset, encoding = goja.Undefined(), offset
	}
	var want []byte
	step := 1
	switch _, isNumber := numeric(v); {
	case isNumber:
		want = []byte{byte(toInt(v))}
	default:
		if s, ok := v.(goja.String); ok {
			e := r.encodingArg(encoding)
			want = e.encodedText(s)
			if e == encodingUTF16 {
				step = 2
			}
		} else if o, ok := v.(*goja.Object); ok && isView(o) {
			want, _ = r.bytesOrShared(o)
		} else {
			panic(r.invalidType("value", "one of type number or string or an instance of Buffer or Uint8Array", v))
		}
	}
	start := 0.0
	if last {
		start = float64(len(data))
	}
	if given(offset) {
		if n := offset.ToFloat(); !math.IsNaN(n) {
			if start = math.Trunc(n); start < 0 {
				start += float64(len(data))
			}
		}
	}
	if last {
		if start < 0 {
			return -1
		}
		end := int(min(start+float64(len(want)), float64(len(data))))
		for end >= len(want) {
			at := bytes.LastIndex(data[:end], want)
			if at < 0 || at%step == 0 {
				return at
			}
			end = at + len(want) - 1
		}
		return -1
	}
	from := int(max(0, min(start, float64(len(data)))))
	for {
		at := bytes.Index(data[from:], want)
		if at < 0 || (from+at)%step == 0 {
			if at >= 0 {
				at += from
			}
			return at
		}
		from += at + 1
	}
}

// swapBytes turns the order of the bytes in each group of n around.
func swapBytes(n int) nativeFunc {
	return ofBuffer(func(r *realm, data []byte, call goja.FunctionCall) goja.Value {
		if len(data)%n != 0 {
			panic(r.nodeError("RangeError", "ERR_INVALID_BUFFER_SIZE", "Buffer size must be a multiple of "+itoa(8*n)+"-bits"))
		}
		for ; len(data) > 0; data = data[n:] {
			for i, j := 0, n-1; i < j; i, j = i+1, j-1 {
				data[i], data[j] = data[j], data[i]
			}
		}
		return call.This
	})
}
