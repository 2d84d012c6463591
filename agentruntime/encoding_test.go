package agentruntime

import (
	"testing"
	"unicode/utf8"
)

func TestEncoding(t *testing.T) {
	runWebCases(t, []webCase{
		{"encode", `return new TextEncoder().encode('é€😀').join()`, "195,169,226,130,172,240,159,152,128"},
		{"encode nothing", `return new TextEncoder().encode().length + new TextEncoder().encoding`, "0utf-8"},
		{"encode a lone surrogate", `return new TextEncoder().encode('\ud800').join()`, "239,191,189"},
		{"encodeInto", `const b = new Uint8Array(4); const r = new TextEncoder().encodeInto('a€😀', b); return [r.read, r.written, b.join()]`, "2,4,97,226,130,172"},
		{"decode", `return new TextDecoder().decode(new Uint8Array([195, 169]))`, "é"},
		{"decode a buffer and a view", `const b = new Uint8Array([97, 98, 99]).buffer; return new TextDecoder().decode(b) + new TextDecoder().decode(new DataView(b, 1, 1))`, "abcb"},
		{"decode nothing", `return new TextDecoder().decode().length`, "0"},
		{"byte order mark", `const b = new Uint8Array([0xef, 0xbb, 0xbf, 97]); return [new TextDecoder().decode(b).length, new TextDecoder('utf-8', {ignoreBOM: true}).decode(b).length]`, "1,2"},
		{"invalid", `return [...new TextDecoder().decode(new Uint8Array([0xf0, 0x9f, 0x98, 97, 0xff, 0xe2, 0x82]))].map(c => c.codePointAt(0).toString(16)).join()`, "fffd,61,fffd,fffd"},
		{"fatal", `try { new TextDecoder('utf-8', {fatal: true}).decode(new Uint8Array([0xff])) } catch (e) { return e.name }`, "TypeError"},
		{"fatal and fine", `return new TextDecoder('utf-8', {fatal: true}).decode(new Uint8Array([0xef, 0xbf, 0xbd]))`, "\ufffd"},
		{"stream", `const d = new TextDecoder(); return d.decode(new Uint8Array([0xe2, 0x82]), {stream: true}) + '|' + d.decode(new Uint8Array([0xac]), {stream: true}) + '|' + d.decode()`, "|€|"},
		{"stream cut short", `const d = new TextDecoder(); d.decode(new Uint8Array([0xe2, 0x82]), {stream: true}); return d.decode()`, "\ufffd"},
		{"byte order mark across chunks", `const d = new TextDecoder(); return (d.decode(new Uint8Array([0xef, 0xbb]), {stream: true}) + d.decode(new Uint8Array([0xbf, 97]))).length`, "1"},
		{"windows-1252", `return new TextDecoder('latin1').decode(new Uint8Array([0x80, 0xe9])) + new TextDecoder('latin1').encoding`, "€éwindows-1252"},
		{"utf-16le", `return new TextDecoder('utf-16').decode(new Uint8Array([0xff, 0xfe, 0x61, 0, 0x3d, 0xd8, 0, 0xde]))`, "a😀"},
		{"shift_jis, in two parts", `const d = new TextDecoder('shift_jis'); return d.decode(new Uint8Array([0x82]), {stream: true}) + d.decode(new Uint8Array([0xa0]))`, "あ"},
		{"gb18030", `return new TextDecoder('gbk').decode(new Uint8Array([0xc4, 0xe3])) + new TextDecoder('gbk').encoding`, "你gbk"},
		{"fatal in another encoding", `try { new TextDecoder('shift_jis', {fatal: true}).decode(new Uint8Array([0x82])) } catch (e) { return e.name }`, "TypeError"},
		{"unknown label", `try { new TextDecoder('klingon') } catch (e) { return e.name }`, "RangeError"},
		{"replacement label", `try { new TextDecoder('iso-2022-kr') } catch (e) { return e.name }`, "RangeError"},
		{"btoa and atob", `return btoa('h\xe9') + atob(' aOk= ') + atob('aGk')`, "aOk=héhi"},
		{"btoa past Latin 1", `try { btoa('€') } catch (e) { return e.name + e.code }`, "InvalidCharacterError5"},
		{"atob of what is none", `return ['a', 'ab=', '====', 'a-b_', 'ab==c'].map(s => { try { return atob(s) } catch (e) { return e.name } }).join()`, "InvalidCharacterError,InvalidCharacterError,InvalidCharacterError,InvalidCharacterError,InvalidCharacterError"},
	})
}

func FuzzDecodeUTF8(f *testing.F) {
	f.Add([]byte("a\xf0\x9f\x98"), 2)
	f.Add([]byte("\xef\xbb\xbf\xe2\x82\xac\xff"), 4)
	r := newRealm(&loop{})
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole := decodeUTF8(data)
		if !utf8.ValidString(whole) {
			t.Fatalf("%q is not valid UTF-8", whole)
		}
		if cut < 0 || cut > len(data) {
			return
		}
		d := &textDecoder{label: "utf-8"}
		parts := d.decode(r, data[:cut:cut], true)
		if parts += d.decode(r, data[cut:], false); parts != whole {
			t.Fatalf("%q in parts, %q as a whole", parts, whole)
		}
	})
}
