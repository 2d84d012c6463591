package wire

import (
	"encoding/binary"
	"math"
	"net/http"
	"sync"
	"time"
)

// Encoder makes a frame. Its methods append to the payload; the zero value is not ready, NewEncoder is. Sending a frame
// gives its encoder back, after which it must not be used.
type Encoder struct{ b []byte }

var encoders = sync.Pool{New: func() any { return &Encoder{make([]byte, headerSize, 1<<10)} }}

// NewEncoder returns an encoder with an empty payload.
func NewEncoder() *Encoder {
	e := encoders.Get().(*Encoder)
	e.b = e.b[:headerSize]
	return e
}

// NewMessage returns the encoder of a message that begins with its code: an operation or a note.
func NewMessage(code byte) *Encoder {
	e := NewEncoder()
	e.b = append(e.b, code)
	return e
}

// free gives the encoder back. Large ones are left to the collector.
func (e *Encoder) free() {
	if cap(e.b) <= 64<<10 {
		encoders.Put(e)
	}
}

func (e *Encoder) Byte(v byte)     { e.b = append(e.b, v) }
func (e *Encoder) Uint(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *Encoder) Int(v int64)     { e.b = binary.AppendVarint(e.b, v) }
func (e *Encoder) Float(v float64) { e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(v)) }

func (e *Encoder) Bool(v bool) {
	if v {
		e.Byte(1)
		return
	}
	e.Byte(0)
}

func (e *Encoder) String(s string) {
	e.Uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// Bytes keeps nil and empty apart.
func (e *Encoder) Bytes(b []byte) {
	if b == nil {
		e.Uint(0)
		return
	}
	e.Uint(uint64(len(b)) + 1)
	e.b = append(e.b, b...)
}

func (e *Encoder) Strings(list []string) {
	e.Uint(uint64(len(list)))
	for _, s := range list {
		e.String(s)
	}
}

// Time has milliseconds and keeps the zero time.
func (e *Encoder) Time(t time.Time) {
	if t.IsZero() {
		e.Bool(false)
		return
	}
	e.Bool(true)
	e.Int(t.UnixMilli())
}

func (e *Encoder) Duration(d time.Duration) { e.Int(int64(d)) }

// Header writes a block with its length before it.
func (e *Encoder) Header(h http.Header) {
	at := len(e.b)
	e.b = append(e.b, 0, 0, 0, 0)
	e.Uint(uint64(len(h)))
	for name, values := range h {
		e.String(name)
		e.Strings(values)
	}
	binary.LittleEndian.PutUint32(e.b[at:], uint32(len(e.b)-at-4))
}

// Decoder reads a payload. The first thing that is wrong makes Err, and everything after it zero. What it returns does
// not refer to the payload, except where it says so.
type Decoder struct {
	b   []byte
	err error
}

// NewDecoder reads b.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// Err is nil, or what is wrong with the payload.
func (d *Decoder) Err() error { return d.err }

// End wants the payload to be read to its end and returns what is wrong with it.
func (d *Decoder) End() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("a message with %d bytes too many", len(d.b))
	}
	return d.err
}

func (d *Decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = Malformed(format, args...)
	}
	d.b = nil
}

func (d *Decoder) Byte() byte {
	if len(d.b) < 1 {
		d.fail("a message that breaks off")
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *Decoder) Bool() bool {
	v := d.Byte()
	if v > 1 {
		d.fail("a truth value of %d", v)
	}
	return v == 1
}

func (d *Decoder) Uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("a message that breaks off")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *Decoder) Int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("a message that breaks off")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *Decoder) Float() float64 {
	if len(d.b) < 8 {
		d.fail("a message that breaks off")
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

// take takes n bytes of the payload without copying them.
func (d *Decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("a message that breaks off")
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// maxList is the most things that a list may have.
const maxList = 1 << 16

// count reads how many things of at least one byte follow, at most limit, so that a number alone cannot make anybody
// allocate.
func (d *Decoder) count(limit int) int {
	n := d.Uint()
	if n > uint64(min(limit, len(d.b))) {
		d.fail("a list of %d in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *Decoder) String() string { return string(d.take(d.Uint())) }

func (d *Decoder) Bytes() []byte {
	v := d.View()
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// View is Bytes without a copy: what it returns is part of the payload.
func (d *Decoder) View() []byte {
	n := d.Uint()
	if n == 0 {
		return nil
	}
	return d.take(n - 1)
}

func (d *Decoder) Strings() []string {
	n := d.count(maxList)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.String()
	}
	return list
}

func (d *Decoder) Time() time.Time {
	if !d.Bool() {
		return time.Time{}
	}
	return time.UnixMilli(d.Int())
}

func unixNano(n int64) time.Time { return time.Unix(0, n) }

func (d *Decoder) Duration() time.Duration { return time.Duration(d.Int()) }

// Header gives every name its canonical form, which those who decide by a header rely on. All its strings are parts of
// one.
func (d *Decoder) Header() http.Header {
	size := d.take(4)
	if len(size) < 4 {
		return http.Header{}
	}
	block := d.take(uint64(binary.LittleEndian.Uint32(size)))
	in, whole := NewDecoder(block), string(block)
	text := func() string {
		n := in.Uint()
		at := len(block) - len(in.b)
		if in.take(n); in.err != nil {
			return ""
		}
		return whole[at : at+int(n)]
	}
	n := in.count(maxList)
	h := make(http.Header, n)
	shared := make([]string, 0, n)
	for range n {
		name, at := http.CanonicalHeaderKey(text()), len(shared)
		for range in.count(maxList) {
			shared = append(shared, text())
		}
		if values := shared[at:len(shared):len(shared)]; h[name] == nil {
			h[name] = values
		} else {
			h[name] = append(h[name], values...)
		}
	}
	if err := in.End(); err != nil && d.err == nil {
		d.fail("a header: %v", err)
	}
	return h
}
