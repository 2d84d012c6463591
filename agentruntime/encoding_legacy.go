package agentruntime

import (
	"bytes"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	xtransform "golang.org/x/text/transform"
)

// legacyDecoder decodes an encoding other than UTF-8. It keeps what a call ends in the middle of.
type legacyDecoder interface {
	// decode appends the text of data to out; last says that nothing follows. bad reports whether anything was invalid,
	// for which U+FFFD stands in the text.
	decode(out, data []byte, last bool) (text []byte, bad bool)
}

// legacyDecoders makes the decoder of an encoding by the name the Encoding Standard gives it; what is not here is
// decoded by x/text as the standard says.
var legacyDecoders = map[string]func() legacyDecoder{
	"utf-16le":    func() legacyDecoder { return &utf16Decoder{} },
	"utf-16be":    func() legacyDecoder { return &utf16Decoder{bigEndian: true} },
	"gbk":         func() legacyDecoder { return &gbDecoder{} },
	"gb18030":     func() legacyDecoder { return &gbDecoder{} },
	"iso-2022-jp": func() legacyDecoder { return &jisDecoder{} },
	// It differs from ISO-8859-8 only in the direction of the text, which is none of a decoder's business.
	"iso-8859-8-i": func() legacyDecoder { return (*byteDecoder)(charmap.ISO8859_8) },
}

// newLegacyDecoder returns a decoder of the named encoding.
func newLegacyDecoder(name string) legacyDecoder {
	if make := legacyDecoders[name]; make != nil {
		return make()
	}
	codec, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	if table, ok := codec.(*charmap.Charmap); ok {
		return (*byteDecoder)(table)
	}
	return &textDecoderOf{codec: codec.NewDecoder()}
}

// textDecoderOf is a decoder of x/text. None of the encodings that are left to it can encode U+FFFD itself.
type textDecoderOf struct {
	codec *encoding.Decoder
	kept  []byte
}

func (d *textDecoderOf) decode(out, data []byte, last bool) ([]byte, bool) {
	if len(d.kept) > 0 {
		data = append(d.kept, data...)
		d.kept = nil
	}
	start := len(out)
	for {
		if cap(out)-len(out) < 16 {
			out = append(out, make([]byte, len(out)+64)...)[:len(out)]
		}
		n, used, err := d.codec.Transform(out[len(out):cap(out)], data, last)
		out, data = out[:len(out)+n], data[used:]
		if err == xtransform.ErrShortDst {
			continue
		}
		if err == xtransform.ErrShortSrc {
			d.kept = bytes.Clone(data)
		}
		return out, bytes.ContainsRune(out[start:], utf8.RuneError)
	}
}

// byteDecoder is an encoding with one byte a character. In the standard's indexes every byte from 0x80 to 0x9f that
// has no other character is the control character of that number; x/text has none there.
type byteDecoder charmap.Charmap

func (d *byteDecoder) decode(out, data []byte, _ bool) (text []byte, bad bool) {
	for _, b := range data {
		c := (*charmap.Charmap)(d).DecodeByte(b)
		if c == utf8.RuneError {
			if b < 0xa0 {
				c = rune(b)
			} else {
				bad = true
			}
		}
		out = utf8.AppendRune(out, c)
	}
	return out, bad
}

// utf16Decoder is https://encoding.spec.whatwg.org/#shared-utf-16-decoder.
type utf16Decoder struct {
	bigEndian bool
	half      bool // lead holds the first byte of a unit
	lead      byte
	high      uint16 // a high surrogate that waits for a low one
}

func (d *utf16Decoder) decode(out, data []byte, last bool) (text []byte, bad bool) {
	fail := func() { out, bad = utf8.AppendRune(out, utf8.RuneError), true }
	for _, b := range data {
		if !d.half {
			d.half, d.lead = true, b
			continue
		}
		d.half = false
		unit := uint16(b)<<8 | uint16(d.lead)
		if d.bigEndian {
			unit = uint16(d.lead)<<8 | uint16(b)
		}
		if d.high != 0 {
			high := d.high
			if d.high = 0; unit >= 0xdc00 && unit < 0xe000 {
				out = utf8.AppendRune(out, utf16.DecodeRune(rune(high), rune(unit)))
				continue
			}
			fail()
		}
		switch {
		case isHighSurrogate(unit):
			d.high = unit
		case unit >= 0xdc00 && unit < 0xe000:
			fail()
		default:
			out = utf8.AppendRune(out, rune(unit))
		}
	}
	if last && (d.half || d.high != 0) {
		fail()
		d.half, d.high = false, 0
	}
	return out, bad
}

// gbDecoder is https://encoding.spec.whatwg.org/#gb18030-decoder, for GBK too.
type gbDecoder struct {
	held [3]byte
	n    int
}

func (d *gbDecoder) decode(out, data []byte, last bool) (text []byte, bad bool) {
	fail := func() { out, bad = utf8.AppendRune(out, utf8.RuneError), true }
	for i := 0; i < len(data); i++ {
		b := data[i]
		switch {
		case d.n == 0 && b < 0x80:
			out = append(out, b)
		case d.n == 0 && b == 0x80:
			out = utf8.AppendRune(out, 0x20ac)
		case d.n == 0 && b == 0xff:
			fail()
		case d.n == 0, d.n == 1 && isDigit(b), d.n == 2 && b >= 0x81 && b <= 0xfe:
			d.held[d.n] = b
			d.n++
		case d.n == 1:
			d.n = 0
			if c := gbPair(d.held[0], b); c != utf8.RuneError {
				out = utf8.AppendRune(out, c)
				continue
			}
			if fail(); b < 0x80 {
				i--
			}
		case d.n == 2:
			// The digit stands for itself, and what follows it is looked at again.
			d.n = 0
			fail()
			out = append(out, d.held[1])
			i--
		case !isDigit(b):
			fail()
			out = append(out, d.held[1])
			d.held[0], d.n = d.held[2], 1
			i--
		default:
			d.n = 0
			if c := gbFour([4]byte{d.held[0], d.held[1], d.held[2], b}); c != utf8.RuneError {
				out = utf8.AppendRune(out, c)
			} else {
				fail()
			}
		}
	}
	if last && d.n > 0 {
		fail()
		d.n = 0
	}
	return out, bad
}

// gbPair returns the character of two bytes, U+FFFD for none.
func gbPair(lead, trail byte) rune {
	if trail < 0x40 || trail == 0x7f || trail == 0xff {
		return utf8.RuneError
	}
	return gbPairs()[lead-0x81][trail]
}

// gbPairs is index gb18030. The 2022 edition of the standard gave 18 characters of the private use area their own code
// points, and 18 that had two encodings the one; x/text has an older edition, and lacks the last pair.
var gbPairs = sync.OnceValue(func() *[126][256]rune {
	table := new([126][256]rune)
	for lead := range table {
		for trail := 0x40; trail < 0xff; trail++ {
			table[lead][trail] = decodeOne(simplifiedchinese.GB18030, []byte{byte(lead + 0x81), byte(trail)})
		}
	}
	for _, run := range []struct {
		lead, trail byte
		chars       string
	}{
		{0xa6, 0xd9, "\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16"},
		{0xa6, 0xec, "\ufe17\ufe18"},
		{0xa6, 0xf3, "\ufe19"},
		{0xa8, 0xbc, "\u1e3f"},
		{0xfe, 0x59, "\u9fb4"}, {0xfe, 0x61, "\u9fb5"}, {0xfe, 0x66, "\u9fb6\u9fb7"}, {0xfe, 0x6d, "\u9fb8"}, {0xfe, 0x7e, "\u9fb9"},
		{0xfe, 0x90, "\u9fba"}, {0xfe, 0xa0, "\u9fbb"},
		{0xfe, 0xfe, "\ue4c5"},
	} {
		trail := run.trail
		for _, c := range run.chars {
			table[run.lead-0x81][trail] = c
			trail++
		}
	}
	return table
})

// gbFour returns the character of four bytes, U+FFFD for none.
func gbFour(b [4]byte) rune {
	pointer := ((int(b[0]-0x81)*10+int(b[1]-0x30))*126+int(b[2]-0x81))*10 + int(b[3]-0x30)
	switch {
	case pointer > 39419 && pointer < 189000 || pointer > 1237575:
		return utf8.RuneError
	case pointer >= 189000:
		return rune(pointer - 189000 + 0x10000)
	case pointer == 7457:
		return 0xe7c7
	}
	return decodeOne(simplifiedchinese.GB18030, b[:])
}

// decodeOne decodes the bytes of one character, which it gives back as U+FFFD if they are something else.
func decodeOne(codec encoding.Encoding, data []byte) rune {
	var dst [16]byte
	n, used, err := codec.NewDecoder().Transform(dst[:], data, true)
	c, size := utf8.DecodeRune(dst[:n])
	if err != nil || used != len(data) || size != n {
		return utf8.RuneError
	}
	return c
}

// jisState is a state of jisDecoder.
type jisState uint8

const (
	jisASCII jisState = iota
	jisRoman
	jisKatakana
	jisLead
	jisTrail
	jisEscapeStart
	jisEscape
)

// jisDecoder is https://encoding.spec.whatwg.org/#iso-2022-jp-decoder.
type jisDecoder struct {
	state, output jisState
	lead          byte
	written       bool // since the last escape sequence
}

func (d *jisDecoder) decode(out, data []byte, last bool) (text []byte, bad bool) {
	put := func(c rune) { out = utf8.AppendRune(out, c) }
	fail := func() { put(utf8.RuneError); bad = true }
	for i := 0; i < len(data); i++ {
		b := data[i]
		switch d.state {
		case jisASCII, jisRoman, jisKatakana, jisLead:
			if b == 0x1b {
				d.state = jisEscapeStart
				continue
			}
			d.written = false
			switch {
			case d.state == jisKatakana && b >= 0x21 && b <= 0x5f:
				put(rune(b) - 0x21 + 0xff61)
			case d.state == jisLead && b >= 0x21 && b <= 0x7e:
				d.lead, d.state = b, jisTrail
			case d.state >= jisKatakana, b >= 0x80, b == 0x0e, b == 0x0f:
				fail()
			case d.state == jisRoman && b == 0x5c:
				put(0xa5)
			case d.state == jisRoman && b == 0x7e:
				put(0x203e)
			default:
				put(rune(b))
			}
		case jisTrail:
			d.state = jisLead
			if b == 0x1b {
				d.state = jisEscapeStart
				fail()
				continue
			}
			c := utf8.RuneError
			if b >= 0x21 && b <= 0x7e {
				c = decodeOne(japanese.EUCJP, []byte{d.lead | 0x80, b | 0x80})
			}
			if put(c); c == utf8.RuneError {
				bad = true
			}
		case jisEscapeStart:
			if b == '$' || b == '(' {
				d.lead, d.state = b, jisEscape
				continue
			}
			d.written, d.state = false, d.output
			fail()
			i--
		case jisEscape:
			next, known := jisSequences[[2]byte{d.lead, b}]
			if !known {
				// The byte after the escape character stands for itself in the state before, and b too.
				d.written, d.state = false, d.output
				fail()
				more, worse := d.decode(out, []byte{d.lead}, false)
				out, bad = more, bad || worse
				i--
				continue
			}
			d.state, d.output = next, next
			if d.written {
				fail()
			}
			d.written = true
		}
	}
	if !last {
		return out, bad
	}
	switch d.state {
	case jisTrail, jisEscapeStart:
		fail()
	case jisEscape:
		d.state = d.output
		fail()
		more, worse := d.decode(out, []byte{d.lead}, true)
		out, bad = more, bad || worse
	}
	*d = jisDecoder{}
	return out, bad
}

// jisSequences are the escape sequences, after the escape character itself.
var jisSequences = map[[2]byte]jisState{
	{'(', 'B'}: jisASCII, {'(', 'J'}: jisRoman, {'(', 'I'}: jisKatakana, {'$', '@'}: jisLead, {'$', 'B'}: jisLead,
}
