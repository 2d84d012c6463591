package agentruntime

import (
	"bytes"
	"math"
	"strings"

	"github.com/dop251/goja"
)

// blob is the state of a Blob and of a File (https://w3c.github.io/FileAPI/#blob-section). The bytes are never changed.
type blob struct {
	data        []byte
	contentType string
	name        string
	modified    float64
	isFile      bool
}

func (r *realm) blobValue(b *blob) *goja.Object {
	if b.isFile {
		return r.instance("File", b)
	}
	return r.instance("Blob", b)
}

// makeBlob reads the parts and the options of a constructor.
func (r *realm) makeBlob(parts, options goja.Value) *blob {
	b := &blob{}
	// Strings are put in later: the options say what becomes of their line ends.
	type text struct {
		at   int
		text string
	}
	var texts []text
	size := 0
	if given(parts) {
		list := r.sequence(parts, func(part goja.Value) {
			before := len(b.data)
			if data, ok := r.bytesOf(part); ok {
				b.data = append(b.data, data...)
			} else if other, ok := nativeOf[*blob](r, part); ok {
				b.data = append(b.data, other.data...)
			} else {
				texts = append(texts, text{before, r.str(part)})
				size += len(texts[len(texts)-1].text)
			}
			if size += len(b.data) - before; size > bodyLimit {
				panic(r.newError("RangeError", "The Blob is too large"))
			}
		})
		if !list {
			panic(r.typeError("Failed to construct 'Blob': The provided value cannot be converted to a sequence."))
		}
	}
	r.dictionary(options, "the options of a Blob")
	native := false
	if v := optional(options, "endings"); v != nil {
		switch r.str(v) {
		case "transparent":
		case "native":
			native = true
		default:
			panic(r.typeError("Failed to construct 'Blob': endings is neither 'transparent' nor 'native'."))
		}
	}
	if len(texts) > 0 {
		data := make([]byte, 0, size)
		from := 0
		for _, t := range texts {
			data = append(data, b.data[from:t.at]...)
			if from = t.at; native {
				t.text = nativeEnds.Replace(t.text)
			}
			data = append(data, t.text...)
		}
		b.data = append(data, b.data[from:]...)
	}
	if v := optional(options, "type"); v != nil {
		b.contentType = blobType(r.str(v))
	}
	return b
}

// nativeEnds makes line ends what they are on this kind of system.
var nativeEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// blobType normalises a type: lower case, or empty when it holds characters outside printable ASCII.
func blobType(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return ""
		}
	}
	return strings.ToLower(s)
}

// now is the time as code sees it, in milliseconds since 1970.
func (r *realm) now() float64 {
	d, err := r.rt.New(r.rt.Get("Date"))
	if thrown := thrownBy(err); thrown != nil {
		panic(thrown)
	}
	return d.ToFloat()
}

// sliceIndex converts an argument of slice to an index; round makes a whole number of it.
func sliceIndex(v goja.Value, size, absent int, round func(float64) float64) int {
	if !given(v) {
		return absent
	}
	f := v.ToFloat()
	switch {
	case math.IsNaN(f):
		return 0
	case f < 0:
		return int(max(float64(size)+round(f), 0))
	}
	return int(min(round(f), float64(size)))
}

func init() {
	blobMembers := []member{
		{name: "size", get: getter(func(r *realm, b *blob) goja.Value { return r.rt.ToValue(len(b.data)) })},
		{name: "type", get: getter(func(r *realm, b *blob) goja.Value { return r.rt.ToValue(b.contentType) })},
		{name: "text", call: promised(method(func(r *realm, b *blob, _ goja.FunctionCall) goja.Value {
			return r.resolved(r.rt.ToValue(decodeUTF8(b.data)))
		}))},
		{name: "arrayBuffer", call: promised(method(func(r *realm, b *blob, _ goja.FunctionCall) goja.Value {
			return r.resolved(r.arrayBuffer(bytes.Clone(b.data)))
		}))},
		{name: "bytes", call: promised(method(func(r *realm, b *blob, _ goja.FunctionCall) goja.Value {
			return r.resolved(r.uint8Array(bytes.Clone(b.data)))
		}))},
		{name: "stream", call: method(func(r *realm, b *blob, _ goja.FunctionCall) goja.Value {
			return r.readableValue(r.streamOfBytes(b.data))
		})},
		{name: "slice", call: method(func(r *realm, b *blob, call goja.FunctionCall) goja.Value {
			from, to := sliceIndex(call.Argument(0), len(b.data), 0, math.RoundToEven), sliceIndex(call.Argument(1), len(b.data), len(b.data), math.RoundToEven)
			part := &blob{}
			if from < to {
				part.data = b.data[from:to:to]
			}
			if v := call.Argument(2); given(v) {
				part.contentType = blobType(r.str(v))
			}
			return r.instance("Blob", part)
		})},
	}
	(&webClass{
		name: "Blob",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, r.makeBlob(call.Argument(0), call.Argument(1)))
			return nil
		},
		members: blobMembers,
	}).declare()
	(&webClass{
		name: "File", length: 2, parent: "Blob",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			if len(call.Arguments) < 2 {
				panic(r.typeError("Failed to construct 'File': 2 arguments required."))
			}
			b := r.makeBlob(call.Argument(0), call.Argument(2))
			b.name, b.isFile, b.modified = r.str(call.Argument(1)), true, r.now()
			if v := optional(call.Argument(2), "lastModified"); v != nil {
				b.modified = v.ToFloat()
			}
			r.attach(call.This, b)
			return nil
		},
		members: []member{
			{name: "name", get: getter(func(r *realm, b *blob) goja.Value { return r.rt.ToValue(b.name) })},
			{name: "lastModified", get: getter(func(r *realm, b *blob) goja.Value { return r.rt.ToValue(b.modified) })},
		},
	}).declare()
}
