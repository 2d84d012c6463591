package agentruntime

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/dop251/goja"
)

// webCrypto and subtleCrypto are the states of the crypto object and of its subtle member (https://w3c.github.io/webcrypto/).
type webCrypto struct{ subtle *goja.Object }

type subtleCrypto struct{ _ byte }

// randomLimit is the most bytes that one call of getRandomValues fills.
const randomLimit = 65536

// digest returns the hash of data by the named algorithm, nil for an unknown one.
func digest(name string, data []byte) []byte {
	switch strings.ToUpper(name) {
	case "SHA-1":
		h := sha1.Sum(data)
		return h[:]
	case "SHA-256":
		h := sha256.Sum256(data)
		return h[:]
	case "SHA-384":
		h := sha512.Sum384(data)
		return h[:]
	case "SHA-512":
		h := sha512.Sum512(data)
		return h[:]
	case "MD5":
		h := md5.Sum(data)
		return h[:]
	}
	return nil
}

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
				data, _ := r.bytesOf(obj)
				if len(data) > randomLimit {
					panic(r.domException("QuotaExceededError", "getRandomValues() only accepts arrays of size <= 65536 bytes"))
				}
				_, _ = rand.Read(data)
				return obj
			})},
		},
	}).declare()

	members := []member{
		{name: "digest", length: 2, call: promised(method(func(r *realm, _ *subtleCrypto, call goja.FunctionCall) goja.Value {
			name := algorithmName(r, call.Argument(0))
			data, ok := r.bytesOf(call.Argument(1))
			if !ok {
				panic(r.typeError("Failed to execute 'digest' on 'SubtleCrypto': parameter 2 is not of type 'ArrayBuffer' or a view of one."))
			}
			sum := digest(name, data)
			if sum == nil {
				panic(r.domException("NotSupportedError", "Unrecognized or unimplemented digest algorithm requested: "+shortened(name)))
			}
			return r.resolved(r.arrayBuffer(sum))
		}))},
		{name: "timingSafeEqual", length: 2, call: method(func(r *realm, _ *subtleCrypto, call goja.FunctionCall) goja.Value {
			a, ok := r.bytesOf(call.Argument(0))
			b, ok2 := r.bytesOf(call.Argument(1))
			if !ok || !ok2 {
				panic(r.typeError("Failed to execute 'timingSafeEqual' on 'SubtleCrypto': both parameters must be an ArrayBuffer or a view of one."))
			}
			if len(a) != len(b) {
				panic(r.typeError("Input buffers must have the same byte length"))
			}
			return r.rt.ToValue(subtle.ConstantTimeCompare(a, b) == 1)
		})},
	}
	for _, name := range []string{
		"encrypt", "decrypt", "sign", "verify", "generateKey", "deriveKey", "deriveBits", "importKey", "exportKey", "wrapKey", "unwrapKey",
	} {
		members = append(members, member{name: name, call: promised(func(r *realm, _ goja.FunctionCall) goja.Value {
			panic(r.domException("NotSupportedError", "crypto.subtle."+name+" is not supported by this runtime."))
		})})
	}
	(&webClass{name: "SubtleCrypto", members: members}).declare()
}

// algorithmName reads an algorithm identifier: a name, or an object with one.
func algorithmName(r *realm, v goja.Value) string {
	if name := optional(v, "name"); name != nil {
		return r.str(name)
	}
	return r.str(v)
}
