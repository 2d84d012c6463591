package agentruntime

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/dop251/goja"
)

// bodyLimit is the most bytes that text(), json() and their like gather in memory.
const bodyLimit = 128 << 20

// body is the body of a Request or a Response (https://fetch.spec.whatwg.org/#body-mixin). Strings and bytes stay what
// they are, and what comes from Go stays a reader: a stream is made only when code touches .body.
type body struct {
	kind bodyKind
	text string
	data []byte
	// reader is closed once: by whoever consumed it.
	reader io.ReadCloser
	stream *readable
	// length is the size in bytes of a reader or a stream, -1 when it isn't known.
	length int64
	used   bool
}

type bodyKind uint8

const (
	bodyNone bodyKind = iota
	bodyText
	bodyData
	bodyReader
	bodyStream
)

// bodyOwner is a native state with a body: of a Request or a Response.
type bodyOwner interface {
	held() *body
	head() *headers
}

// disturbed reports whether something has been read from the body.
func (b *body) disturbed() bool {
	if b.kind == bodyStream {
		return b.stream.disturbed
	}
	return b.used
}

// unusable reports whether the body can't be read any more: it was, or a reader holds it.
func (b *body) unusable() bool {
	if b.kind == bodyStream {
		return b.stream.disturbed || b.stream.reader != nil
	}
	return b.used
}

// extractBody makes a body of a value that code gave, and the Content-Type that goes with it, empty for none.
func (r *realm) extractBody(v goja.Value) (b body, contentType string) {
	b.length = -1
	if obj, ok := v.(*goja.Object); ok {
		if s, ok := nativeOf[*readable](r, obj); ok {
			if s.reader != nil || s.disturbed {
				panic(r.typeError("This ReadableStream is disturbed (has already been read from), and cannot be used as a body."))
			}
			b.kind, b.stream, b.length = bodyStream, s, s.length
			return b, ""
		}
		if data, ok := r.bytesOf(obj); ok {
			b.kind, b.data = bodyData, bytes.Clone(data)
			return b, ""
		}
		if p, ok := nativeOf[*searchParams](r, obj); ok {
			b.kind, b.text = bodyText, p.encode()
			return b, "application/x-www-form-urlencoded;charset=UTF-8"
		}
		if bl, ok := nativeOf[*blob](r, obj); ok {
			b.kind, b.data = bodyData, bl.data
			return b, bl.contentType
		}
		if f, ok := nativeOf[*formData](r, obj); ok {
			b.kind = bodyData
			b.data, contentType = f.encode()
			return b, contentType
		}
	}
	b.kind, b.text = bodyText, r.str(v)
	return b, "text/plain;charset=UTF-8"
}

// bytes returns the content of a body that is in memory.
func (b *body) bytes() []byte {
	if b.kind == bodyText {
		return []byte(b.text)
	}
	return b.data
}

// gather reads the whole body and calls convert with it; the promise settles with what convert makes.
func (r *realm) gather(b *body, convert func(data []byte) (goja.Value, error)) goja.Value {
	if b.unusable() {
		panic(r.typeError("Body has already been used. It can only be used once. Use tee() first if you need to read it twice."))
	}
	switch b.kind {
	case bodyNone:
		return r.converted(convert, nil)
	case bodyText, bodyData:
		b.used = true
		return r.converted(convert, b.bytes())
	case bodyReader:
		b.used = true
		src := b.reader
		return r.start(func(ctx context.Context) (any, error) {
			defer src.Close()
			stop := context.AfterFunc(ctx, func() { src.Close() })
			defer stop()
			return readBounded(src, b.length)
		}, func(res any) (goja.Value, error) { return convert(res.([]byte)) })
	}
	promise, resolve, reject := r.newPromise()
	r.readAll(b.stream, func(data []byte) {
		var v goja.Value
		var err error
		switch ex := r.rt.Try(func() { v, err = convert(data) }); {
		case ex != nil:
			reject(ex.Value())
		case err != nil:
			reject(r.errorValue(err))
		default:
			resolve(v)
		}
	}, reject)
	return promise
}

func (r *realm) converted(convert func([]byte) (goja.Value, error), data []byte) goja.Value {
	v, err := convert(data)
	if err != nil {
		return r.rejected(r.errorValue(err))
	}
	return r.resolved(v)
}

// readBounded reads src to its end, at most bodyLimit bytes. size is a hint, -1 for none.
func readBounded(src io.Reader, size int64) ([]byte, error) {
	if size > bodyLimit {
		return nil, errBodyTooLarge
	}
	buf := make([]byte, 0, max(512, min(size+1, 1<<20)))
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > bodyLimit {
			return nil, errBodyTooLarge
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// toReader gives the body away as plain bytes, nil for none. After it the body counts as used.
func (r *realm) bodyReader(b *body) (io.ReadCloser, int64) {
	switch b.kind {
	case bodyNone:
		return nil, 0
	case bodyText:
		b.used = true
		return &memoryBody{Reader: strings.NewReader(b.text)}, int64(len(b.text))
	case bodyData:
		b.used = true
		return &memoryBody{Reader: bytes.NewReader(b.data)}, int64(len(b.data))
	case bodyReader:
		b.used = true
		if w, ok := b.reader.(*rewriting); ok {
			w.held()
		}
		return passOn(b.reader), b.length
	}
	if src := b.stream.untouched(); src != nil {
		return src, b.length
	}
	return r.drainStream(b.stream), b.length
}

// memoryBody is a body in memory. Its size is known: Len says what is left of it.
type memoryBody struct {
	Reader interface {
		io.Reader
		io.WriterTo
		Len() int
	}
}

func (m *memoryBody) Read(p []byte) (int, error)         { return m.Reader.Read(p) }
func (m *memoryBody) WriteTo(w io.Writer) (int64, error) { return m.Reader.WriteTo(w) }
func (m *memoryBody) Len() int                           { return m.Reader.Len() }
func (*memoryBody) Close() error                         { return nil }

// duplicate makes a second body with the same content for clone().
func (r *realm) duplicate(b *body) body {
	if b.unusable() {
		panic(r.typeError("Failed to execute 'clone': the body has already been used."))
	}
	switch b.kind {
	case bodyReader, bodyStream:
		s := r.bodyStreamOf(b)
		one, two := r.tee(s)
		b.kind, b.stream, b.reader = bodyStream, one, nil
		return body{kind: bodyStream, stream: two, length: b.length}
	}
	return *b
}

// bodyStreamOf turns the body into a stream, whatever it was.
func (r *realm) bodyStreamOf(b *body) *readable {
	switch b.kind {
	case bodyNone:
		return nil
	case bodyStream:
		return b.stream
	case bodyReader:
		b.stream = r.streamOfReader(b.reader)
	default:
		b.length = int64(len(b.text) + len(b.data))
		b.stream = r.streamOfBytes(b.bytes())
	}
	if b.used { // whoever took the content would have locked the stream for good
		b.stream.acquire(false)
		b.stream.disturbed = true
		b.stream.finish()
	}
	b.stream.length = b.length
	b.kind, b.text, b.data, b.reader = bodyStream, "", nil, nil
	return b.stream
}

// bodyMembers are the members of the Body mixin.
var bodyMembers = []member{
	{name: "body", get: getter(func(r *realm, o bodyOwner) goja.Value {
		s := r.bodyStreamOf(o.held())
		if s == nil {
			return goja.Null()
		}
		return r.readableValue(s)
	})},
	{name: "bodyUsed", get: getter(func(r *realm, o bodyOwner) goja.Value {
		return r.rt.ToValue(o.held().disturbed())
	})},
	{name: "text", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		if b := o.held(); b.kind == bodyText && !b.used {
			b.used = true
			return r.resolved(r.rt.ToValue(strings.TrimPrefix(b.text, "\ufeff")))
		}
		return r.gather(o.held(), func(data []byte) (goja.Value, error) { return r.rt.ToValue(decodeUTF8(data)), nil })
	}))},
	{name: "json", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		return r.gather(o.held(), func(data []byte) (goja.Value, error) { return r.parseJSON(decodeUTF8(data)) })
	}))},
	{name: "arrayBuffer", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		return r.gather(o.held(), func(data []byte) (goja.Value, error) { return r.arrayBuffer(bytes.Clone(data)), nil })
	}))},
	{name: "bytes", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		return r.gather(o.held(), func(data []byte) (goja.Value, error) { return r.uint8Array(bytes.Clone(data)), nil })
	}))},
	{name: "blob", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		contentType, _ := o.head().get("Content-Type")
		return r.gather(o.held(), func(data []byte) (goja.Value, error) {
			return r.blobValue(&blob{data: data, contentType: blobType(contentType)}), nil
		})
	}))},
	{name: "formData", call: promised(method(func(r *realm, o bodyOwner, _ goja.FunctionCall) goja.Value {
		contentType, _ := o.head().get("Content-Type")
		return r.gather(o.held(), func(data []byte) (goja.Value, error) {
			f, err := parseForm(data, contentType)
			if err != nil {
				return nil, r.failure(err)
			}
			for i := range f.list {
				if file := f.list[i].file; file != nil {
					file.modified = r.now()
				}
			}
			return r.instance("FormData", f), nil
		})
	}))},
}
