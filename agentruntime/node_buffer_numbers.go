package agentruntime

import (
	"encoding/binary"
	"math"
	"math/big"
	"strings"

	"github.com/dop251/goja"
)

// bufferNumber is a kind of number that a Buffer reads and writes.
type bufferNumber struct {
	name   string // as in readUInt16LE
	size   int    // bytes; 0: the caller says
	signed bool
	little bool
	float  bool
	big    bool
}

// numberMembers are the methods that read and write numbers.
func numberMembers() (list []member) {
	var kinds []bufferNumber
	for _, order := range []string{"LE", "BE"} {
		little := order == "LE"
		for _, size := range []int{2, 4} {
			kinds = append(kinds, bufferNumber{name: "Int" + itoa(8*size) + order, size: size, signed: true, little: little},
				bufferNumber{name: "UInt" + itoa(8*size) + order, size: size, little: little})
		}
		kinds = append(kinds,
			bufferNumber{name: "Int" + order, signed: true, little: little}, bufferNumber{name: "UInt" + order, little: little},
			bufferNumber{name: "BigInt64" + order, size: 8, signed: true, little: little, big: true},
			bufferNumber{name: "BigUInt64" + order, size: 8, little: little, big: true},
			bufferNumber{name: "Float" + order, size: 4, little: little, float: true},
			bufferNumber{name: "Double" + order, size: 8, little: little, float: true})
	}
	kinds = append(kinds, bufferNumber{name: "Int8", size: 1, signed: true}, bufferNumber{name: "UInt8", size: 1})
	for _, k := range kinds {
		names := []string{k.name}
		if strings.Contains(k.name, "UInt") {
			names = append(names, strings.Replace(k.name, "UInt", "Uint", 1))
		}
		for _, name := range names {
			list = append(list, member{name: "read" + name, length: 1, call: ofBuffer(k.read)}, member{name: "write" + name, length: 2, call: ofBuffer(k.write)})
		}
	}
	return list
}

// place finds the bytes of the number: its offset is an argument, and after it its size where the name gives none.
func (k bufferNumber) place(r *realm, data []byte, offset, size goja.Value) []byte {
	n := k.size
	if n == 0 {
		f, ok := numeric(size)
		if !ok {
			panic(r.invalidType("byteLength", "of type number", size))
		}
		if f != math.Trunc(f) || f < 1 || f > 6 {
			panic(r.outOfRange("byteLength", ">= 1 and <= 6", f))
		}
		n = int(f)
	}
	at := 0
	if given(offset) {
		f, ok := numeric(offset)
		if !ok {
			panic(r.invalidType("offset", "of type number", offset))
		}
		switch {
		case f != math.Trunc(f):
			panic(r.outOfRange("offset", "an integer", f))
		case len(data) < n:
			panic(r.nodeError("RangeError", "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds"))
		case f < 0 || f > float64(len(data)-n):
			panic(r.outOfRange("offset", ">= 0 and <= "+itoa(len(data)-n), f))
		}
		at = int(f)
	}
	if len(data) < n {
		panic(r.nodeError("RangeError", "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds"))
	}
	return data[at : at+n]
}

func (k bufferNumber) read(r *realm, data []byte, call goja.FunctionCall) goja.Value {
	p := k.place(r, data, call.Argument(0), call.Argument(1))
	var bits uint64
	for i := range p {
		c := p[i]
		if k.little {
			c = p[len(p)-1-i]
		}
		bits = bits<<8 | uint64(c)
	}
	switch {
	case k.float && k.size == 4:
		return r.rt.ToValue(float64(math.Float32frombits(uint32(bits))))
	case k.float:
		return r.rt.ToValue(math.Float64frombits(bits))
	case k.big && k.signed:
		return r.rt.ToValue(big.NewInt(int64(bits)))
	case k.big:
		return r.rt.ToValue(new(big.Int).SetUint64(bits))
	case k.signed:
		shift := 64 - 8*len(p)
		return r.rt.ToValue(int64(bits<<shift) >> shift)
	}
	return r.rt.ToValue(int64(bits))
}

// write stores a number and returns the offset behind it.
func (k bufferNumber) write(r *realm, data []byte, call goja.FunctionCall) goja.Value {
	bits, size := k.bits(r, call)
	p := k.place(r, data, call.Argument(1), call.Argument(2))
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], bits)
	from := raw[8-len(p):]
	for i := range p {
		if k.little {
			p[i] = from[len(p)-1-i]
		} else {
			p[i] = from[i]
		}
	}
	at := 0
	if given(call.Argument(1)) {
		at = int(call.Argument(1).ToInteger())
	}
	return r.rt.ToValue(at + size)
}

// bits converts the value to write and checks that it fits.
func (k bufferNumber) bits(r *realm, call goja.FunctionCall) (bits uint64, size int) {
	v := call.Argument(0)
	size = k.size
	if k.big {
		n, ok := v.Export().(*big.Int)
		if !ok || !isBigInt(v) {
			panic(r.typeError("Cannot convert " + r.text(v) + " to a BigInt"))
		}
		if k.signed && !n.IsInt64() || !k.signed && !n.IsUint64() {
			panic(r.nodeError("RangeError", "ERR_OUT_OF_RANGE", `The value of "value" is out of range. Received `+n.String()+"n"))
		}
		if k.signed {
			return uint64(n.Int64()), size
		}
		return n.Uint64(), size
	}
	f := v.ToFloat()
	switch {
	case k.float && size == 4:
		return uint64(math.Float32bits(float32(f))), size
	case k.float:
		return math.Float64bits(f), size
	case size == 0:
		size = max(1, min(6, int(call.Argument(2).ToInteger())))
	}
	if math.IsNaN(f) {
		f = 0
	}
	low, high := 0.0, math.Ldexp(1, 8*size)-1
	if k.signed {
		low, high = -math.Ldexp(1, 8*size-1), math.Ldexp(1, 8*size-1)-1
	}
	if f < low || f > high {
		panic(r.nodeError("RangeError", "ERR_OUT_OF_RANGE", `The value of "value" is out of range. It must be >= `+
			r.rt.ToValue(low).String()+" and <= "+r.rt.ToValue(high).String()+". Received "+v.String()))
	}
	return uint64(int64(f)), size
}
