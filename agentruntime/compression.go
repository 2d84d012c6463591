package agentruntime

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/dop251/goja"
)

// CompressionStream and DecompressionStream (https://compression.spec.whatwg.org/).

// compressor is what the formats' writers have in common.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// compressors keeps writers that are done, by format: one has several hundred KiB of tables.
var compressors = map[string]*sync.Pool{
	"gzip":    {New: func() any { return gzip.NewWriter(io.Discard) }},
	"deflate": {New: func() any { return zlib.NewWriter(io.Discard) }},
	"deflate-raw": {New: func() any {
		w, _ := flate.NewWriter(io.Discard, flate.DefaultCompression)
		return w
	}},
	"brotli": {New: func() any { return brotli.NewWriter(io.Discard) }},
}

// compressionFormat reads the constructor's argument.
func compressionFormat(r *realm, call goja.ConstructorCall) string {
	format := r.str(call.Argument(0))
	if compressors[format] == nil {
		panic(r.typeError("The compression format must be 'brotli', 'deflate', 'deflate-raw' or 'gzip'."))
	}
	return format
}

// bytesOfChunk checks a chunk of either stream.
func (r *realm) bytesOfChunk(chunk goja.Value) []byte {
	data, ok := r.bytesOf(chunk)
	if !ok {
		panic(r.typeError("The chunk is not an ArrayBuffer or a view of one."))
	}
	return data
}

func init() {
	sides := []member{
		{name: "readable", get: getter(func(r *realm, t *transformer) goja.Value { return r.readableValue(t.out) })},
		{name: "writable", get: getter(func(r *realm, t *transformer) goja.Value { return r.writableValue(t.in) })},
	}
	(&webClass{
		name: "CompressionStream", length: 1,
		construct: nativeTransform(false, func(r *realm, t *transformer, call goja.ConstructorCall) {
			pool := compressors[compressionFormat(r, call)]
			var out bytes.Buffer
			var w compressor
			push := func() {
				if out.Len() > 0 {
					t.enqueue(r.uint8Array(bytes.Clone(out.Bytes())))
					out.Reset()
				}
			}
			open := func() {
				if w == nil {
					w = pool.Get().(compressor)
					w.Reset(&out)
				}
			}
			t.step = r.stepOf(func(chunk goja.Value) {
				data := r.bytesOfChunk(chunk)
				open()
				_, _ = w.Write(data)
				push()
			})
			t.flush = r.stepOf(func(goja.Value) {
				open()
				_ = w.Close()
				pool.Put(w)
				push()
			})
		}),
		members: sides,
	}).declare()
	(&webClass{
		name: "DecompressionStream", length: 1,
		construct: nativeTransform(false, func(r *realm, t *transformer, call goja.ConstructorCall) {
			d := newDecompressor(compressionFormat(r, call))
			t.step = func(chunk goja.Value, done func(goja.Value)) {
				if ex := r.rt.Try(func() { d.feed(r.bytesOfChunk(chunk)) }); ex != nil {
					done(ex.Value())
					return
				}
				r.decompress(t, d, done)
			}
			t.flush = r.stepOf(func(goja.Value) {
				if !d.finished() {
					panic(r.typeError("The compressed data ends too early."))
				}
			})
		}),
		members: sides,
	}).declare()
}

// decompress hands on what d makes of its input, a piece at a time, each in a turn of its own and when the reader has room
// for it: a few bytes may be gigabytes when decompressed.
func (r *realm) decompress(t *transformer, d decompressor, done func(thrown goja.Value)) {
	piece, err := d.next()
	var thrown goja.Value
	switch {
	case err != nil:
		thrown = r.typeError("Decompression failed: " + err.Error() + ".")
	case len(piece) > 0:
		if ex := r.rt.Try(func() { t.enqueue(r.uint8Array(bytes.Clone(piece))) }); ex != nil {
			thrown = ex.Value()
		}
	}
	if thrown != nil || len(piece) < inflatePiece {
		if thrown == nil && len(piece) > 0 && d.fails() {
			// What was there before the broken or the trailing data is delivered; the error comes after it.
			r.decompress(t, d, done)
			return
		}
		done(thrown)
		return
	}
	scope := r.scope()
	again := func() {
		r.deliver(scope, func() { r.inLoop(func() { r.decompress(t, d, done) }) })
	}
	if !t.backpressure {
		again()
		return
	}
	t.changed = append(t.changed, func() {
		if t.in.state == writeErroring || t.in.state == writeErrored {
			done(t.in.storedError)
			return
		}
		again()
	})
}

// decompressor takes one of the formats apart.
type decompressor interface {
	// feed adds input, which is copied.
	feed(data []byte)
	// next returns the next output, valid until it is called again: as much as inflatePiece bytes, and less when there is no
	// more without more input.
	next() ([]byte, error)
	// fails reports whether what next returned is followed by an error, though it may be less than a piece.
	fails() bool
	// finished reports whether the input that was fed is whole.
	finished() bool
}

func newDecompressor(format string) decompressor {
	if format == "brotli" {
		return newUnbrotli()
	}
	return newUnwrapper(format)
}

// unwrapper is the decompressor of the formats around deflated data: a header before it, and after it a trailer with sums of
// what it was.
type unwrapper struct {
	format   string
	z        inflater
	sum      hash.Hash32 // nil for deflate-raw
	size     uint32
	head     []byte // input before the deflated data, as long as the header is not complete
	started  bool
	tail     []byte // input after it
	complete bool
}

// headerLimit bounds the header of gzip, which has text of any length.
const headerLimit = 128 << 10

var (
	errBadHeader = errors.New("the header is not valid")
	errBadSum    = errors.New("the checksum does not match")
	errTrailing  = errors.New("there is data after the end")
)

func newUnwrapper(format string) *unwrapper {
	d := &unwrapper{format: format}
	switch format {
	case "gzip":
		d.sum = crc32.NewIEEE()
	case "deflate":
		d.sum = adler32.New()
	default:
		d.started = true
	}
	return d
}

func (d *unwrapper) feed(data []byte) {
	switch {
	case d.z.state == inflateEnd:
		d.tail = append(d.tail, data...)
	case d.started:
		d.z.in = append(bytes.Clone(d.z.in), data...)
	default:
		d.head = append(d.head, data...)
	}
}

func (d *unwrapper) fails() bool {
	return d.z.state == inflateEnd && len(d.tail) > d.trailer()
}

func (d *unwrapper) finished() bool { return d.complete }

func (d *unwrapper) trailer() int {
	switch d.format {
	case "gzip":
		return 8
	case "deflate":
		return 4
	}
	return 0
}

func (d *unwrapper) next() ([]byte, error) {
	if !d.started {
		n, err := d.header()
		if err != nil || n == 0 {
			return nil, err
		}
		d.started = true
		d.z.in, d.head = d.head[n:], nil
	}
	if d.z.state != inflateEnd {
		piece, err := d.z.next()
		if err != nil {
			return nil, err
		}
		if d.sum != nil {
			d.sum.Write(piece)
			d.size += uint32(len(piece))
		}
		if d.z.state == inflateEnd {
			d.tail = d.z.rest()
		}
		if len(piece) > 0 {
			if !d.fails() {
				return piece, d.conclude()
			}
			return piece, nil
		}
	}
	return nil, d.conclude()
}

// conclude checks the trailer once it is there.
func (d *unwrapper) conclude() error {
	if d.z.state != inflateEnd || d.complete && len(d.tail) == 0 {
		return nil
	}
	n := d.trailer()
	if d.complete || len(d.tail) > n {
		return errTrailing
	}
	if len(d.tail) < n {
		return nil
	}
	switch d.format {
	case "gzip":
		if binary.LittleEndian.Uint32(d.tail) != d.sum.Sum32() || binary.LittleEndian.Uint32(d.tail[4:]) != d.size {
			return errBadSum
		}
	case "deflate":
		if binary.BigEndian.Uint32(d.tail) != d.sum.Sum32() {
			return errBadSum
		}
	}
	d.complete, d.tail = true, nil
	return nil
}

// header returns the length of the header, 0 while it is not complete.
func (d *unwrapper) header() (int, error) {
	h := d.head
	if d.format == "deflate" {
		// RFC 1950, section 2.2. A preset dictionary cannot be given here.
		if len(h) < 2 {
			return 0, nil
		}
		if h[0]&0x0f != 8 || h[0]>>4 > 7 || (uint(h[0])<<8|uint(h[1]))%31 != 0 || h[1]&0x20 != 0 {
			return 0, errBadHeader
		}
		return 2, nil
	}
	// RFC 1952, section 2.3.
	for i, want := range []byte{0x1f, 0x8b, 8} {
		if len(h) > i && h[i] != want {
			return 0, errBadHeader
		}
	}
	if len(h) < 10 {
		return 0, nil
	}
	flags, n := h[3], 10
	if flags&0xe0 != 0 {
		return 0, errBadHeader
	}
	if len(h) > headerLimit {
		return 0, errBadHeader
	}
	if flags&4 != 0 {
		if len(h) < n+2 {
			return 0, nil
		}
		n += 2 + int(binary.LittleEndian.Uint16(h[n:]))
	}
	for _, flag := range []byte{8, 16} {
		if flags&flag == 0 {
			continue
		}
		if len(h) < n {
			return 0, nil
		}
		i := bytes.IndexByte(h[n:], 0)
		if i < 0 {
			return 0, nil
		}
		n += i + 1
	}
	if flags&2 != 0 {
		if len(h) < n+2 {
			return 0, nil
		}
		if binary.LittleEndian.Uint16(h[n:]) != uint16(crc32.ChecksumIEEE(h[:n])) {
			return 0, errBadHeader
		}
		n += 2
	}
	if len(h) < n {
		return 0, nil
	}
	return n, nil
}
