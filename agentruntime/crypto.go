package agentruntime

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/dop251/goja"
)

// webCrypto and subtleCrypto are the states of the crypto object and of its subtle member (https://w3c.github.io/webcrypto/).
type webCrypto struct{ subtle, digestStream *goja.Object }

type subtleCrypto struct{ _ byte }

// randomLimit is the most bytes that one call of getRandomValues fills.
const randomLimit = 65536

// uuid makes a random UUID (RFC 9562, version 4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var out [36]byte
	hex.Encode(out[:8], b[:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

func init() {
	globals["crypto"] = func(r *realm) goja.Value { return r.instance("Crypto", &webCrypto{}) }
	(&webClass{
		name: "Crypto",
		members: []member{
			{name: "subtle", get: getter(func(r *realm, c *webCrypto) goja.Value {
				if c.subtle == nil {
					c.subtle = r.instance("SubtleCrypto", &subtleCrypto{})
				}
				return c.subtle
			})},
			{name: "DigestStream", get: getter(func(r *realm, c *webCrypto) goja.Value {
				if c.digestStream == nil {
					c.digestStream = r.makeClass(webClasses[digestStreamClass]).(*goja.Object)
				}
				return c.digestStream
			})},
			{name: "randomUUID", call: method(func(r *realm, _ *webCrypto, _ goja.FunctionCall) goja.Value {
				return r.rt.ToValue(uuid())
			})},
			{name: "getRandomValues", length: 1, call: method(func(r *realm, _ *webCrypto, call goja.FunctionCall) goja.Value {
				obj, ok := call.Argument(0).(*goja.Object)
				if !ok || !isView(obj) {
					panic(r.typeError("Failed to execute 'getRandomValues' on 'Crypto': parameter 1 is not of type 'ArrayBufferView'."))
				}
				kind := obj.GetSymbol(goja.SymToStringTag).String()
				if !strings.Contains(kind, "int") && !strings.Contains(kind, "Int") {
					panic(r.domException("TypeMismatchError", "getRandomValues() only accepts integer arrays, not "+kind))
				}
				data, ok := r.bytesOf(obj)
				if !ok {
					panic(r.typeError("getRandomValues() does not accept views of a SharedArrayBuffer"))
				}
				if len(data) > randomLimit {
					panic(r.domException("QuotaExceededError", "getRandomValues() only accepts arrays of size <= 65536 bytes"))
				}
				_, _ = rand.Read(data)
				return obj
			})},
		},
	}).declare()
}
