package agentruntime

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/dop251/goja"
)

// The format of structured clones: two bytes of header, then one value. A value is a tag and what the tag says.
// Lengths, counts and indexes are unsigned varints. Objects are numbered in the order in which they begin, so that a
// later occurrence is a reference. It is the format of stored values: a change needs a new version, and the old one
// must still be read.
const (
	cloneMagic   = 0xC7
	cloneVersion = 1
)

const (
	tagUndefined byte = iota
	tagNull
	tagTrue
	tagFalse
	tagInt    // zigzag varint
	tagFloat  // 8 bytes, little endian
	tagString // UTF-8
	tagUTF16  // number of units, units in little endian: a string with lone surrogates
	tagBigInt // sign byte, length, magnitude in big endian
	tagDate   // 8 bytes: milliseconds as a float
	tagRegExp // source, flags: two strings without tags
	tagMap    // count, keys and values
	tagSet    // count, values
	tagArray  // length, values, tagHole for a missing one; then properties
	tagSparse // length, then properties, the indexes among them
	tagObject // properties
	tagBuffer // length, bytes
	tagView   // kind, byte offset, length in elements, then the buffer as a value
	tagError  // kind, then properties: message, stack, cause, as far as there are
	tagBoxed  // the primitive as a value
	tagRef    // index
	tagHole
	// What follows passes by reference and occurs only on the way from one runtime to another, never in stored values.
	tagRemote   // index into Value.Remotes
	tagStream   // index into Value.Streams, 0 for none and counted from 1
	tagRequest  // JSON of its head, then its body as tagStream has it
	tagResponse // the same
	// What follows may be stored again.
	tagBlob // type, bytes
	tagFile // name, 8 bytes: last modified in milliseconds as a float, type, bytes
	// By reference.
	tagService  // index into Value.Remotes: the stub of an actor or an agent
	tagWritable // index into Value.Remotes
	tagSignal   // tagTrue and the reason, or tagFalse and an index into Value.Remotes
	tagHeaders  // JSON
	// Stored.
	tagDOMException // name, message, stack
)

// maxCloneDepth bounds the nesting of a value.
const maxCloneDepth = 5000

// views are the kinds of tagView; an index is stored, so the order must not change.
var views = []string{
	"DataView", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
	"Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
}

// errorKinds are the kinds of tagError, in an order that must not change.
var errorKinds = []string{"Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError"}

var (
	typePromise       = reflect.TypeFor[*goja.Promise]()
	typeProxy         = reflect.TypeFor[goja.Proxy]()
	typeDynamicObject = reflect.TypeFor[goja.DynamicObject]()
	// What the engine exports a Map and a Set as, by which they are told from plain objects.
	typeMapEntries = reflect.TypeFor[[][2]any]()
	typeSetMembers = reflect.TypeFor[[]any]()
)

// uncloneable are the built-in objects that only their tag tells from plain ones.
var uncloneable = map[string]bool{
	"WeakMap": true, "WeakSet": true, "WeakRef": true, "Generator": true, "FinalizationRegistry": true,
	"Array Iterator": true, "Map Iterator": true, "Set Iterator": true, "String Iterator": true, "RegExp String Iterator": true,
}

// sizeError is the refusal of something that is larger than it may be.
func sizeError(what string, size, limit int) error {
	return fmt.Errorf("%s: %d bytes, the limit is %d", what, size, limit)
}

// serialize writes a structured clone of v (https://html.spec.whatwg.org/multipage/structured-data.html). A value that
// can't be cloned is a DataCloneError, returned as a *thrown. On the loop only.
func (r *realm) serialize(v goja.Value) ([]byte, error) {
	w := cloneWriter{r: r, buf: make([]byte, 0, 64)}
	w.buf = append(w.buf, cloneMagic, cloneVersion)
	if err := w.guarded(func() { w.value(v, 0) }); err != nil {
		return nil, err
	}
	return w.buf, nil
}

// serializeList is serialize for an array of the values.
func (r *realm) serializeList(list []goja.Value) ([]byte, error) {
	w := cloneWriter{r: r, buf: make([]byte, 0, 64)}
	w.buf = append(w.buf, cloneMagic, cloneVersion, tagArray)
	w.objects = 1
	w.count(len(list))
	err := w.guarded(func() {
		for _, v := range list {
			w.value(v, 1)
		}
		w.count(0)
	})
	return w.buf, err
}

type cloneWriter struct {
	r       *realm
	out     *outgoing // nil: nothing is passed by reference
	buf     []byte
	objects int
	seen    map[*goja.Object]int
}

// guarded runs fn, in which getters may throw.
func (w *cloneWriter) guarded(fn func()) error {
	if ex := w.r.rt.Try(fn); ex != nil {
		return &thrown{ex.Value()}
	}
	return nil
}

func (w *cloneWriter) count(n int) { w.buf = binary.AppendUvarint(w.buf, uint64(n)) }

func (w *cloneWriter) float(f float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(f))
}

func (w *cloneWriter) bytes(s string) {
	w.count(len(s))
	w.buf = append(w.buf, s...)
}

func (w *cloneWriter) tag(t byte) { w.buf = append(w.buf, t) }

func (w *cloneWriter) refuse(what string) {
	panic(w.r.domException("DataCloneError", what+" could not be cloned."))
}

func (w *cloneWriter) value(v goja.Value, depth int) {
	switch x := v.(type) {
	case nil:
		w.tag(tagUndefined)
		return
	case *goja.Object:
		w.object(x, depth)
		return
	case *goja.Symbol:
		w.refuse("Symbol(" + x.String() + ")")
	case goja.String:
		w.text(x)
		return
	}
	switch {
	case goja.IsUndefined(v):
		w.tag(tagUndefined)
		return
	case goja.IsNull(v):
		w.tag(tagNull)
		return
	}
	switch x := v.Export().(type) {
	case bool:
		if x {
			w.tag(tagTrue)
		} else {
			w.tag(tagFalse)
		}
	case int64:
		w.tag(tagInt)
		w.buf = binary.AppendVarint(w.buf, x)
	case float64:
		w.tag(tagFloat)
		w.float(x)
	case *big.Int:
		w.tag(tagBigInt)
		sign := byte(0)
		if x.Sign() < 0 {
			sign = 1
		}
		w.buf = append(w.buf, sign)
		w.bytes(string(x.Bytes()))
	default:
		w.refuse("A value of an unknown kind")
	}
}

func (w *cloneWriter) text(s goja.String) {
	str := s.String()
	if len(str) == s.Length() || !strings.ContainsRune(str, '\uFFFD') {
		w.tag(tagString)
		w.bytes(str)
		return
	}
	w.tag(tagUTF16)
	n := s.Length()
	w.count(n)
	for i := range n {
		w.buf = binary.LittleEndian.AppendUint16(w.buf, s.CharAt(i))
	}
}

func (w *cloneWriter) object(o *goja.Object, depth int) {
	if i, ok := w.seen[o]; ok {
		w.tag(tagRef)
		w.count(i)
		return
	}
	if depth > maxCloneDepth {
		w.refuse("A value that is nested more than " + strconv.Itoa(maxCloneDepth) + " levels deep")
	}
	if w.seen == nil {
		w.seen = make(map[*goja.Object]int, 8)
	}
	w.seen[o] = w.objects
	w.objects++
	switch class := o.ClassName(); class {
	case "Array":
		w.array(o, depth)
	case "Object":
		w.plain(o, depth)
	case "Date":
		w.tag(tagDate)
		w.float(o.ToFloat())
	case "RegExp":
		w.tag(tagRegExp)
		w.bytes(o.Get("source").String())
		w.bytes(o.Get("flags").String())
	case "Error":
		w.err(o, depth)
	case "Boolean", "Number", "String":
		w.boxed(o, class, depth)
	case "Function", "AsyncFunction", "GeneratorFunction":
		w.function(o)
	default:
		w.refuse("#<" + class + ">")
	}
}

func isFunction(o *goja.Object) bool {
	_, ok := goja.AssertFunction(o)
	return ok
}

// function writes a function as a reference, if that may be.
func (w *cloneWriter) function(o *goja.Object) {
	if w.out == nil {
		w.refuse(functionText(o))
	}
	w.remote(o)
}

// boxed writes the primitive in an object such as Object(1).
func (w *cloneWriter) boxed(o *goja.Object, class string, depth int) {
	w.tag(tagBoxed)
	valueOf, ok := goja.AssertFunction(w.r.rt.Get(class).(*goja.Object).Get("prototype").(*goja.Object).Get("valueOf"))
	if !ok {
		w.refuse("#<" + class + ">")
	}
	v, err := valueOf(o)
	if err != nil {
		panic(err)
	}
	w.value(v, depth+1)
}

// functionText is the beginning of a function's source, as messages show it.
func functionText(o *goja.Object) string {
	s := o.String()
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return s
}

// plain writes what has the class Object: plain objects, and others that only their export type tells.
func (w *cloneWriter) plain(o *goja.Object, depth int) {
	switch t := o.ExportType(); {
	case t == typeArrayBuffer:
		if w.r.isShared(o) {
			w.refuse("A SharedArrayBuffer")
		}
		b := o.Export().(goja.ArrayBuffer)
		if b.Detached() {
			w.refuse("An ArrayBuffer is detached and")
		}
		w.tag(tagBuffer)
		w.bytes(string(b.Bytes()))
		return
	case t == typeMapEntries:
		w.mapping(o, depth)
		return
	case t == typeSetMembers:
		w.set(o, depth)
		return
	case t == typeBigInt:
		w.boxed(o, "BigInt", depth)
		return
	case t != typeProxy && isFunction(o): // asynchronous arrow functions have no class of their own
		w.function(o)
		return
	case w.blob(o), w.domException(o):
		return
	case w.out != nil && w.reference(o, t):
		return
	case t == typePromise:
		w.refuse("#<Promise>")
	case t == typeProxy, t != nil && t.Implements(typeDynamicObject), w.r.stateOf(o) != nil:
		w.refuse("#<" + orElse((&inspector{r: w.r}).className(o), "Object") + ">")
	}
	if w.out != nil && w.r.isInstance(o) {
		panic(w.r.domException("DataCloneError", "An instance of the class "+orElse((&inspector{r: w.r}).className(o), "Object")+
			" cannot be sent: let the class extend RpcTarget to send it by reference, or send a plain object."))
	}
	if isView(o) {
		w.view(o, depth)
		return
	}
	if tag, ok := o.GetSymbol(goja.SymToStringTag).(goja.String); ok && uncloneable[tag.String()] {
		w.refuse("#<" + tag.String() + ">")
	}
	w.tag(tagObject)
	w.properties(o, o.Keys(), depth)
}

// isInstance reports whether an object without state of the runtime's is the instance of a class, or of a function like one.
func (r *realm) isInstance(o *goja.Object) bool {
	proto := o.Prototype()
	if proto == nil || proto.SameAs(r.rt.GlobalObject().Prototype().Prototype()) || isView(o) {
		return false
	}
	tag, ok := o.GetSymbol(goja.SymToStringTag).(goja.String)
	return !ok || !uncloneable[tag.String()]
}

func (w *cloneWriter) domException(o *goja.Object) bool {
	e, ok := nativeOf[*domError](w.r, o)
	if !ok {
		return false
	}
	w.tag(tagDOMException)
	w.bytes(e.name)
	w.bytes(e.message)
	w.r.readableStack(o)
	stack := ""
	if v := o.Get("stack"); some(v) {
		stack = v.String()
	}
	w.bytes(stack)
	return true
}

// blob writes a Blob or a File, and reports whether o is one.
func (w *cloneWriter) blob(o *goja.Object) bool {
	b, ok := nativeOf[*blob](w.r, o)
	if !ok {
		return false
	}
	if b.isFile {
		w.tag(tagFile)
		w.bytes(b.name)
		w.float(b.modified)
	} else {
		w.tag(tagBlob)
	}
	w.bytes(b.contentType)
	w.count(len(b.data))
	w.buf = append(w.buf, b.data...)
	return true
}

func (w *cloneWriter) properties(o *goja.Object, keys []string, depth int) {
	w.count(len(keys))
	for _, k := range keys {
		w.bytes(k)
		w.value(o.Get(k), depth+1)
	}
}

func (w *cloneWriter) view(o *goja.Object, depth int) {
	name := o.GetSymbol(goja.SymToStringTag).String()
	size, kind := 1, -1
	for i, v := range views {
		if v == name {
			kind = i
		}
	}
	if kind < 0 {
		w.refuse("#<" + name + ">")
	}
	n := o.Get("byteLength").ToInteger()
	if name != "DataView" {
		size = int(o.Get("BYTES_PER_ELEMENT").ToInteger())
	}
	w.tag(tagView)
	w.count(kind)
	w.count(int(o.Get("byteOffset").ToInteger()))
	w.count(int(n) / size)
	w.value(o.Get("buffer"), depth+1)
}

func (w *cloneWriter) array(o *goja.Object, depth int) {
	n := int(o.Get("length").ToInteger())
	keys := o.Keys()
	indexes := 0
	for _, k := range keys {
		if !isIndex(k) {
			break // indexes come first
		}
		indexes++
	}
	if n > 2*indexes+64 {
		w.tag(tagSparse)
		w.count(n)
		w.properties(o, keys, depth)
		return
	}
	w.tag(tagArray)
	w.count(n)
	next := 0
	for i := range n {
		k := strconv.Itoa(i)
		if next < indexes && keys[next] == k {
			next++
			w.value(o.Get(k), depth+1)
		} else {
			w.tag(tagHole)
		}
	}
	w.properties(o, keys[indexes:], depth)
}

func (w *cloneWriter) mapping(o *goja.Object, depth int) {
	var pairs []goja.Value
	w.r.rt.ForOf(o, func(e goja.Value) bool {
		pair := e.(*goja.Object)
		pairs = append(pairs, pair.Get("0"), pair.Get("1"))
		return true
	})
	w.tag(tagMap)
	w.count(len(pairs) / 2)
	for _, v := range pairs {
		w.value(v, depth+1)
	}
}

func (w *cloneWriter) set(o *goja.Object, depth int) {
	var members []goja.Value
	w.r.rt.ForOf(o, func(e goja.Value) bool {
		members = append(members, e)
		return true
	})
	w.tag(tagSet)
	w.count(len(members))
	for _, v := range members {
		w.value(v, depth+1)
	}
}

func (w *cloneWriter) err(o *goja.Object, depth int) {
	w.r.readableStack(o) // who reads it may be another agent, with another source map
	kind := 0
	name := o.Get("name")
	for i, k := range errorKinds {
		if name != nil && name.String() == k {
			kind = i
		}
	}
	w.tag(tagError)
	w.count(kind)
	var keys []string
	for _, k := range []string{"message", "stack", "cause"} {
		if v := o.Get(k); v != nil && !goja.IsUndefined(v) {
			keys = append(keys, k)
		}
	}
	w.properties(o, keys, depth)
}
