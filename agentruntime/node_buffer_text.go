package agentruntime

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode/utf16"

	"github.com/dop251/goja"
)

// bufferEncoding is a way to write bytes as text (https://nodejs.org/api/buffer.html#buffers-and-character-encodings).
type bufferEncoding uint8

const (
	encodingUTF8 bufferEncoding = iota
	encodingHex
	encodingBase64
	encodingBase64URL
	encodingASCII
	encodingLatin1
	encodingUTF16
)

// encodingOf finds an encoding by its name, in any case.
func encodingOf(name string) (bufferEncoding, bool) {
	switch strings.ToLower(name) {
	case "utf8", "utf-8":
		return encodingUTF8, true
	case "hex":
		return encodingHex, true
	case "base64":
		return encodingBase64, true
	case "base64url":
		return encodingBase64URL, true
	case "ascii":
		return encodingASCII, true
	case "latin1", "binary":
		return encodingLatin1, true
	case "ucs2", "ucs-2", "utf16le", "utf-16le":
		return encodingUTF16, true
	}
	return 0, false
}

// encodingArg reads an argument that names an encoding; UTF-8 where there is none.
func (r *realm) encodingArg(v goja.Value) bufferEncoding {
	if !some(v) {
		return encodingUTF8
	}
	e, ok := encodingOf(v.String())
	if !ok && v.String() != "" {
		panic(r.nodeError("TypeError", "ERR_UNKNOWN_ENCODING", "Unknown encoding: "+shortened(r.text(v))))
	}
	return e
}

// unitsOf returns a string's UTF-16 units.
func unitsOf(v goja.Value) []uint16 {
	s, ok := v.ToString().(goja.String)
	if !ok {
		return nil
	}
	units := make([]uint16, s.Length())
	for i := range units {
		units[i] = s.CharAt(i)
	}
	return units
}

// encodedText is the bytes that the text v stands for.
func (e bufferEncoding) encodedText(v goja.Value) []byte {
	switch e {
	case encodingHex:
		return decodeHex(v.String())
	case encodingBase64, encodingBase64URL:
		return decodeBase64(v.String())
	case encodingASCII, encodingLatin1:
		s := v.String()
		if isASCII(s) {
			return []byte(s)
		}
		units := unitsOf(v)
		data := make([]byte, len(units))
		for i, u := range units {
			data[i] = byte(u)
		}
		return data
	case encodingUTF16:
		units := unitsOf(v)
		data := make([]byte, 2*len(units))
		for i, u := range units {
			data[2*i], data[2*i+1] = byte(u), byte(u>>8)
		}
		return data
	}
	return []byte(v.String())
}

// text writes data as text.
func (e bufferEncoding) text(r *realm, data []byte) goja.Value {
	switch e {
	case encodingHex:
		return r.rt.ToValue(hex.EncodeToString(data))
	case encodingBase64:
		return r.rt.ToValue(base64.StdEncoding.EncodeToString(data))
	case encodingBase64URL:
		return r.rt.ToValue(base64.RawURLEncoding.EncodeToString(data))
	case encodingASCII:
		low := make([]byte, len(data))
		for i, c := range data {
			low[i] = c & 0x7f
		}
		return r.rt.ToValue(string(low))
	case encodingLatin1:
		return r.fromBytes(string(data))
	case encodingUTF16:
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = uint16(data[2*i]) | uint16(data[2*i+1])<<8
		}
		return goja.StringFromUTF16(units)
	}
	return r.rt.ToValue(validUTF8(string(data)))
}

// decodeHex decodes pairs of digits up to the first that is none.
func decodeHex(s string) []byte {
	data := make([]byte, len(s)/2)
	n, _ := hex.Decode(data, []byte(s[:len(s)&^1]))
	return data[:n]
}

// decodeBase64 decodes either alphabet, leaves out what belongs to neither, and ends at the padding.
func decodeBase64(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s) && s[i] != '='; i++ {
		switch c := s[i]; {
		case c == '-':
			clean = append(clean, '+')
		case c == '_':
			clean = append(clean, '/')
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
			clean = append(clean, c)
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	data := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(data, clean)
	return data[:n]
}

// textSize is how many bytes the text takes.
func (e bufferEncoding) textSize(v goja.Value) int {
	switch e {
	case encodingHex:
		return len(unitsOf(v)) / 2
	case encodingBase64, encodingBase64URL:
		return len(strings.TrimRight(v.String(), "=")) * 3 / 4
	case encodingUTF8:
		return len(v.String())
	}
	return len(e.encodedText(v))
}

// whole cuts data to at most n bytes without a part of a character at the end.
func (e bufferEncoding) whole(data []byte, n int) []byte {
	if len(data) <= n {
		return data
	}
	switch e {
	case encodingUTF8:
		for n > 0 && data[n]&0xc0 == 0x80 {
			n--
		}
	case encodingUTF16:
		n &^= 1
	}
	return data[:n]
}

// transcode turns data from one encoding into another, what the other lacks into question marks.
func transcode(data []byte, from, to bufferEncoding) []byte {
	var runes []rune
	switch from {
	case encodingUTF8:
		runes = []rune(validUTF8(string(data)))
	case encodingUTF16:
		units := make([]uint16, len(data)/2)
		for i := range units {
			units[i] = uint16(data[2*i]) | uint16(data[2*i+1])<<8
		}
		runes = utf16.Decode(units)
	default:
		for _, c := range data {
			runes = append(runes, rune(c))
		}
	}
	var out []byte
	switch to {
	case encodingUTF8:
		return []byte(string(runes))
	case encodingUTF16:
		for _, u := range utf16.Encode(runes) {
			out = append(out, byte(u), byte(u>>8))
		}
	default:
		last := rune(0xff)
		if to == encodingASCII {
			last = 0x7f
		}
		for _, c := range runes {
			if c > last {
				c = '?'
			}
			out = append(out, byte(c))
		}
	}
	return out
}
