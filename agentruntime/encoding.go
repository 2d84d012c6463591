package agentruntime

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja"
	"golang.org/x/text/encoding/htmlindex"
)

// validUTF8 replaces what is not UTF-8 by U+FFFD, one for each maximal part of a sequence, as the Encoding Standard does.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	text, _ := repairUTF8([]byte(s), false)
	return text
}

// decodeUTF8 is the standard's UTF-8 decode: a byte order mark is dropped, what is invalid becomes U+FFFD.
func decodeUTF8(data []byte) string {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if utf8.Valid(data) {
		return string(data)
	}
	text, _ := repairUTF8(data, false)
	return text
}

// repairUTF8 decodes data. With partial it keeps back a sequence that data ends in the middle of.
func repairUTF8(data []byte, partial bool) (text string, rest []byte) {
	var b strings.Builder
	b.Grow(len(data))
	for i := 0; i < len(data); {
		if data[i] < utf8.RuneSelf {
			b.WriteByte(data[i])
			i++
			continue
		}
		if c, n := utf8.DecodeRune(data[i:]); c != utf8.RuneError || n > 1 {
			b.Write(data[i : i+n])
			i += n
			continue
		}
		n := wellBegun(data[i:])
		if partial && i+n == len(data) && n > 0 {
			return b.String(), data[i:]
		}
		b.WriteString("\ufffd")
		i += max(n, 1)
	}
	return b.String(), nil
}

// wellBegun returns how many bytes at the start of p, which is no whole character, could begin one.
func wellBegun(p []byte) int {
	var need int
	low, high := byte(0x80), byte(0xbf)
	switch c := p[0]; {
	case 0xc2 <= c && c <= 0xdf:
		need = 1
	case 0xe0 <= c && c <= 0xef:
		need = 2
		if c == 0xe0 {
			low = 0xa0
		} else if c == 0xed {
			high = 0x9f
		}
	case 0xf0 <= c && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			low = 0x90
		} else if c == 0xf4 {
			high = 0x8f
		}
	default:
		return 0
	}
	n := 1
	for n < len(p) && n <= need && p[n] >= low && p[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n
}

// textDecoder is the state of a TextDecoder (https://encoding.spec.whatwg.org/#interface-textdecoder).
type textDecoder struct {
	label     string
	fatal     bool
	ignoreBOM bool
	// The rest is there between calls with stream: what was kept back, the decoder if it isn't UTF-8, and whether the
	// start was seen.
	kept    []byte
	started bool
	decoder legacyDecoder
}

// makeDecoder reads the arguments of the constructor.
func (r *realm) makeDecoder(labelArg, options goja.Value) *textDecoder {
	d := &textDecoder{label: "utf-8"}
	if given(labelArg) {
		given := r.str(labelArg)
		var ok bool
		if d.label, ok = encodingName(given); !ok || d.label == "replacement" {
			panic(r.newError("RangeError", "Failed to construct 'TextDecoder': The encoding label provided ('"+shortened(given)+"') is invalid."))
		}
	}
	r.dictionary(options, "the options of a TextDecoder")
	if v := optional(options, "fatal"); v != nil {
		d.fatal = v.ToBoolean()
	}
	if v := optional(options, "ignoreBOM"); v != nil {
		d.ignoreBOM = v.ToBoolean()
	}
	return d
}

// encodingName returns the standard's name for an encoding that label stands for
// (https://encoding.spec.whatwg.org/#concept-encoding-get).
func encodingName(label string) (name string, ok bool) {
	label = strings.Trim(label, " \t\n\f\r")
	if strings.EqualFold(label, "utf-8") || strings.EqualFold(label, "utf8") {
		return "utf-8", true
	}
	// The table of x/text would take labels between other white space as well.
	if !isASCII(label) || strings.TrimSpace(label) != label {
		return "", false
	}
	codec, err := htmlindex.Get(label)
	if err != nil {
		return "", false
	}
	name, err = htmlindex.Name(codec)
	return name, err == nil
}

// decode decodes data; more says that the text goes on in the next call. It throws for invalid data if fatal.
func (d *textDecoder) decode(r *realm, data []byte, more bool) string {
	var text string
	var bad bool
	if d.label == "utf-8" {
		text, bad = d.decodeUTF8(data, more)
	} else {
		if d.decoder == nil {
			d.decoder = newLegacyDecoder(d.label)
		}
		var out []byte
		out, bad = d.decoder.decode(make([]byte, 0, len(data)*2+16), data, !more)
		text = string(out)
	}
	if bad && d.fatal {
		d.kept, d.started, d.decoder = nil, false, nil
		panic(r.typeError("The encoded data was not valid for encoding " + d.label))
	}
	if !d.started && text != "" {
		if !d.ignoreBOM && (d.label == "utf-8" || strings.HasPrefix(d.label, "utf-16")) {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		d.started = true
	}
	if !more {
		d.started, d.decoder = false, nil
	}
	return text
}

func (d *textDecoder) decodeUTF8(data []byte, more bool) (text string, bad bool) {
	if len(d.kept) > 0 {
		data = append(d.kept, data...)
		d.kept = nil
	}
	if utf8.Valid(data) {
		return string(data), false
	}
	text, rest := repairUTF8(data, more)
	d.kept = bytes.Clone(rest)
	return text, !utf8.Valid(data[:len(data)-len(rest)])
}

// encodeChunk converts a chunk of text to UTF-8. A high surrogate at its end waits for the next chunk.
func encodeChunk(r *realm, v goja.Value, high uint16) (data []byte, rest uint16) {
	if _, ok := v.(*goja.Symbol); ok {
		panic(r.typeError("Cannot convert a Symbol value to a string"))
	}
	s, ok := v.ToString().(goja.String)
	if !ok {
		s = r.rt.ToValue(v.String()).(goja.String) // undefined and its like are not of that type
	}
	n := s.Length()
	if n == 0 {
		return nil, high
	}
	last := s.CharAt(n - 1)
	if high == 0 && !isHighSurrogate(last) {
		return []byte(s.String()), 0
	}
	chars := make([]uint16, 0, n+1)
	if high != 0 {
		chars = append(chars, high)
	}
	for i := range n {
		chars = append(chars, s.CharAt(i))
	}
	if isHighSurrogate(last) {
		chars, rest = chars[:len(chars)-1], last
	}
	return []byte(goja.StringFromUTF16(chars).String()), rest
}

func isHighSurrogate(c uint16) bool { return c >= 0xd800 && c < 0xdc00 }

func init() {
	(&webClass{
		name: "TextEncoder",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, &textEncoder{})
			return nil
		},
		members: []member{
			{name: "encoding", get: getter(func(r *realm, _ *textEncoder) goja.Value { return r.rt.ToValue("utf-8") })},
			{name: "encode", call: method(func(r *realm, _ *textEncoder, call goja.FunctionCall) goja.Value {
				if !given(call.Argument(0)) {
					return r.uint8Array(nil)
				}
				return r.uint8Array([]byte(r.str(call.Argument(0))))
			})},
			{name: "encodeInto", length: 2, call: method(func(r *realm, _ *textEncoder, call goja.FunctionCall) goja.Value {
				dst, ok := r.bytesOrShared(call.Argument(1))
				if !ok || !isUint8Array(call.Argument(1)) {
					panic(r.typeError("Failed to execute 'encodeInto' on 'TextEncoder': parameter 2 is not of type 'Uint8Array'."))
				}
				read, written := 0, 0
				for _, c := range r.str(call.Argument(0)) {
					n := utf8.RuneLen(c)
					if written+n > len(dst) {
						break
					}
					written += utf8.EncodeRune(dst[written:], c)
					if read++; c > 0xffff {
						read++
					}
				}
				res := r.rt.NewObject()
				_ = res.Set("read", read)
				_ = res.Set("written", written)
				return res
			})},
		},
	}).declare()
	(&webClass{
		name: "TextDecoder",
		construct: func(r *realm, call goja.ConstructorCall) *goja.Object {
			r.attach(call.This, r.makeDecoder(call.Argument(0), call.Argument(1)))
			return nil
		},
		members: []member{
			{name: "encoding", get: getter(func(r *realm, d *textDecoder) goja.Value { return r.rt.ToValue(d.label) })},
			{name: "fatal", get: getter(func(r *realm, d *textDecoder) goja.Value { return r.rt.ToValue(d.fatal) })},
			{name: "ignoreBOM", get: getter(func(r *realm, d *textDecoder) goja.Value { return r.rt.ToValue(d.ignoreBOM) })},
			{name: "decode", call: method(func(r *realm, d *textDecoder, call goja.FunctionCall) goja.Value {
				var data []byte
				if v := call.Argument(0); given(v) {
					b, ok := r.bytesOrShared(v)
					if !ok {
						panic(r.typeError("Failed to execute 'decode' on 'TextDecoder': parameter 1 is not of type 'ArrayBuffer' or a view of one."))
					}
					data = b
				}
				more := optional(call.Argument(1), "stream")
				return r.rt.ToValue(d.decode(r, data, more != nil && more.ToBoolean()))
			})},
		},
	}).declare()
}

// textEncoder is the state of a TextEncoder: there is nothing to keep, the field keeps instances distinct.
type textEncoder struct{ _ byte }
