package wasmbinary

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

var errEnd = errors.New("unexpected end")

// reader reads what the format is made of. After the first error it gives zeros.
type reader struct {
	data []byte
	at   int
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w @+%d", err, r.at)
		r.at = len(r.data)
	}
}

func (r *reader) done() bool { return r.at >= len(r.data) }

func (r *reader) byte() byte {
	if r.at >= len(r.data) {
		r.fail(errEnd)
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.data)-r.at {
		r.fail(errEnd)
		return nil
	}
	b := r.data[r.at : r.at+n]
	r.at += n
	return b
}

// u64 reads an unsigned LEB128 number of any width up to 64 bits.
func (r *reader) u64() uint64 {
	var v uint64
	for shift := uint(0); shift < 70; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.fail(errors.New("a number is too long"))
	return 0
}

func (r *reader) u32() uint32 {
	v := r.u64()
	if v > 1<<32-1 {
		r.fail(errors.New("a number is too large"))
	}
	return uint32(v)
}

// count reads the length of a vector, whose items take at least one byte each.
func (r *reader) count() int {
	n := r.u32()
	if int64(n) > int64(len(r.data)-r.at) {
		r.fail(errors.New("a vector is longer than what is left"))
		return 0
	}
	return int(n)
}

// skipLEB skips a number, signed or not.
func (r *reader) skipLEB() {
	for range 10 {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(errors.New("a number is too long"))
}

func (r *reader) name() string {
	b := r.bytes(r.count())
	if !utf8.Valid(b) {
		r.fail(errors.New("a name is not UTF-8"))
	}
	return string(b)
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendName(b []byte, s string) []byte { return append(appendU32(b, uint32(len(s))), s...) }

func appendSection(b []byte, id byte, content []byte) []byte {
	return append(appendU32(append(b, id), uint32(len(content))), content...)
}
