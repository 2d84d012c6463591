package agentruntime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/dop251/goja"
)

// errClone says that bytes are not a structured clone, or one of a newer version.
var errClone = errors.New("not a structured clone")

// deserialize makes the value that serialize wrote. It never panics, whatever the bytes are, and what it makes is
// bounded by their number. On the loop only.
func (r *realm) deserialize(data []byte) (v goja.Value, err error) {
	d, err := r.cloneReader(data)
	if err != nil {
		return nil, err
	}
	if ex := r.rt.Try(func() { v = d.value(0) }); ex != nil {
		return nil, &thrown{ex.Value()}
	}
	if d.err == nil && len(d.data) > 0 {
		d.fail("bytes after the end")
	}
	return v, d.err
}

// deserializeList makes the values that serializeList wrote.
func (r *realm) deserializeList(data []byte) ([]goja.Value, error) {
	v, err := r.deserialize(data)
	if err != nil {
		return nil, err
	}
	return r.listOf(v, len(data))
}

// listOf gives the members of an array that was read from so many bytes.
func (r *realm) listOf(v goja.Value, size int) ([]goja.Value, error) {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		return nil, fmt.Errorf("%w of a list", errClone)
	}
	n := int(o.Get("length").ToInteger())
	if n > size {
		return nil, fmt.Errorf("%w of a list", errClone)
	}
	list := make([]goja.Value, n)
	for i := range list {
		if list[i] = o.Get(strconv.Itoa(i)); list[i] == nil {
			list[i] = goja.Undefined()
		}
	}
	return list, nil
}

func (r *realm) cloneReader(data []byte) (*cloneReader, error) {
	if len(data) < 2 || data[0] != cloneMagic {
		return nil, errClone
	}
	if data[1] != cloneVersion {
		return nil, fmt.Errorf("%w of a version that is known: %d", errClone, data[1])
	}
	return &cloneReader{r: r, data: data[2:]}, nil
}

// cloneReader reads what is left in data. After the first error everything is undefined.
type cloneReader struct {
	r       *realm
	in      *incoming // nil: nothing was passed by reference
	data    []byte
	objects []*goja.Object
	err     error
}

func (d *cloneReader) fail(what string) goja.Value {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errClone, what)
	}
	d.data = nil
	return goja.Undefined()
}

func (d *cloneReader) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.fail("cut short")
		return nil
	}
	b := d.data[:n:n]
	d.data = d.data[n:]
	return b
}

func (d *cloneReader) number() uint64 {
	n, size := binary.Uvarint(d.data)
	if size <= 0 {
		d.fail("bad number")
		return 0
	}
	d.data = d.data[size:]
	return n
}

// count reads how many values follow; each takes a byte at least.
func (d *cloneReader) count() int {
	n := d.number()
	if n > uint64(len(d.data)) {
		d.fail("cut short")
		return 0
	}
	return int(n)
}

func (d *cloneReader) text() string {
	b := d.take(d.number())
	if !utf8.Valid(b) {
		d.fail("not UTF-8")
		return ""
	}
	return string(b)
}

func (d *cloneReader) float() float64 {
	b := d.take(8)
	if d.err != nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (d *cloneReader) keep(o *goja.Object) *goja.Object {
	d.objects = append(d.objects, o)
	return o
}

// reserve numbers an object that is made after its parts; only set may be used for it.
func (d *cloneReader) reserve() (set func(*goja.Object)) {
	i := len(d.objects)
	d.objects = append(d.objects, nil)
	return func(o *goja.Object) { d.objects[i] = o }
}

func (d *cloneReader) construct(class string, args ...goja.Value) *goja.Object {
	o, err := d.r.rt.New(d.r.rt.Get(class), args...)
	if err != nil {
		d.fail("bad " + class)
		return d.r.rt.NewObject()
	}
	return o
}

func (d *cloneReader) value(depth int) goja.Value {
	tag := d.take(1)
	if d.err != nil {
		return goja.Undefined()
	}
	if depth > maxCloneDepth+1 {
		return d.fail("nested too deep")
	}
	r := d.r
	switch tag[0] {
	case tagUndefined:
		return goja.Undefined()
	case tagNull:
		return goja.Null()
	case tagTrue:
		return r.rt.ToValue(true)
	case tagFalse:
		return r.rt.ToValue(false)
	case tagInt:
		n, size := binary.Varint(d.data)
		if size <= 0 {
			return d.fail("bad number")
		}
		d.data = d.data[size:]
		return r.rt.ToValue(n)
	case tagFloat:
		return r.rt.ToValue(d.float())
	case tagString:
		return r.rt.ToValue(d.text())
	case tagUTF16:
		return d.utf16()
	case tagBigInt:
		return d.bigInt()
	case tagDate:
		return d.keep(d.construct("Date", r.rt.ToValue(d.float())))
	case tagRegExp:
		source, flags := d.text(), d.text()
		return d.keep(d.construct("RegExp", r.rt.ToValue(source), r.rt.ToValue(flags)))
	case tagMap:
		return d.mapping(depth)
	case tagSet:
		return d.set(depth)
	case tagArray:
		return d.array(depth)
	case tagSparse:
		o := d.keep(r.rt.NewArray())
		if n := d.number(); n < 1<<32 {
			_ = o.Set("length", n)
		}
		d.properties(o, depth)
		return o
	case tagObject:
		o := d.keep(r.rt.NewObject())
		d.properties(o, depth)
		return o
	case tagBuffer:
		return d.keep(r.arrayBuffer(bytes.Clone(d.take(d.number()))).(*goja.Object))
	case tagView:
		return d.view(depth)
	case tagError:
		return d.errorObject(depth)
	case tagBoxed:
		set := d.reserve()
		v := d.value(depth + 1)
		if _, object := v.(*goja.Object); object || d.err != nil {
			return d.fail("bad boxed value")
		}
		o := v.ToObject(r.rt)
		set(o)
		return o
	case tagBlob, tagFile:
		b := &blob{isFile: tag[0] == tagFile}
		if b.isFile {
			b.name, b.modified = d.text(), d.float()
		}
		b.contentType, b.data = d.text(), bytes.Clone(d.take(d.number()))
		return d.keep(r.blobValue(b))
	case tagDOMException:
		e := &domError{name: d.text(), message: d.text()}
		stack := d.text()
		o := d.keep(r.instance("DOMException", e))
		_ = o.DefineDataProperty("stack", r.rt.ToValue(stack), goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
		return o
	case tagService, tagWritable, tagSignal, tagHeaders:
		if d.in == nil {
			return d.fail("a reference in what is stored")
		}
		return d.passed(tag[0], depth)
	case tagRemote, tagStream, tagRequest, tagResponse:
		if d.in != nil {
			return d.reference(tag[0])
		}
	case tagRef:
		if i := d.number(); i < uint64(len(d.objects)) && d.objects[i] != nil {
			return d.objects[i]
		}
		return d.fail("bad reference")
	}
	return d.fail("unknown tag " + strconv.Itoa(int(tag[0])))
}

func (d *cloneReader) utf16() goja.Value {
	n := d.number()
	if n > uint64(len(d.data))/2 {
		return d.fail("cut short")
	}
	b := d.take(2 * n)
	units := make([]uint16, n)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return goja.StringFromUTF16(units)
}

func (d *cloneReader) bigInt() goja.Value {
	sign := d.take(1)
	n := new(big.Int).SetBytes(d.take(d.number()))
	if d.err != nil {
		return goja.Undefined()
	}
	if sign[0] == 1 {
		n.Neg(n)
	}
	return d.r.rt.ToValue(n)
}

func (d *cloneReader) properties(o *goja.Object, depth int) {
	for range d.count() {
		k := d.text()
		v := d.value(depth + 1)
		if d.err != nil {
			return
		}
		if k == "__proto__" {
			_ = o.DefineDataProperty(k, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_TRUE)
		} else {
			_ = o.Set(k, v)
		}
	}
}

func (d *cloneReader) array(depth int) goja.Value {
	o := d.keep(d.r.rt.NewArray())
	n := d.count()
	for i := range n {
		if len(d.data) > 0 && d.data[0] == tagHole {
			d.data = d.data[1:]
			continue
		}
		v := d.value(depth + 1)
		if d.err != nil {
			return o
		}
		_ = o.Set(strconv.Itoa(i), v)
	}
	_ = o.Set("length", n)
	d.properties(o, depth)
	return o
}

func (d *cloneReader) mapping(depth int) goja.Value {
	o := d.keep(d.construct("Map"))
	set, _ := goja.AssertFunction(o.Get("set"))
	for range d.count() {
		k := d.value(depth + 1)
		v := d.value(depth + 1)
		if d.err != nil {
			break
		}
		if _, err := set(o, k, v); err != nil {
			return d.fail("bad Map")
		}
	}
	return o
}

func (d *cloneReader) set(depth int) goja.Value {
	o := d.keep(d.construct("Set"))
	add, _ := goja.AssertFunction(o.Get("add"))
	for range d.count() {
		v := d.value(depth + 1)
		if d.err != nil {
			break
		}
		if _, err := add(o, v); err != nil {
			return d.fail("bad Set")
		}
	}
	return o
}

func (d *cloneReader) view(depth int) goja.Value {
	set := d.reserve()
	kind, offset, n := d.number(), d.number(), d.number()
	buf, ok := d.value(depth + 1).(*goja.Object)
	if d.err != nil || !ok || buf.ExportType() != typeArrayBuffer || kind >= uint64(len(views)) {
		return d.fail("bad view")
	}
	size := uint64(len(buf.Export().(goja.ArrayBuffer).Bytes()))
	if offset > size || n > size {
		return d.fail("bad view")
	}
	o := d.construct(views[kind], buf, d.r.rt.ToValue(int64(offset)), d.r.rt.ToValue(int64(n)))
	set(o)
	return o
}

func (d *cloneReader) errorObject(depth int) goja.Value {
	kind := d.number()
	if kind >= uint64(len(errorKinds)) {
		return d.fail("bad error")
	}
	o := d.keep(d.construct(errorKinds[kind]))
	for range d.count() {
		k := d.text()
		v := d.value(depth + 1)
		if d.err != nil {
			return o
		}
		_ = o.DefineDataProperty(k, v, goja.FLAG_TRUE, goja.FLAG_TRUE, goja.FLAG_FALSE)
	}
	return o
}
