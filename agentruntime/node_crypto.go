package agentruntime

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding"
	"hash"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/crypto/scrypt"
)

// The limits on derivations that run on the loop, where nothing else runs until they end.
const (
	maxPBKDF2 = 100_000   // iterations, as Workers have it
	maxDerive = 1 << 20   // bytes
	maxScrypt = 1 << 18   // N times r times p
	maxRandom = 128 << 20 // bytes
	maxMemory = 128 << 20 // bytes of scrypt
)

// nodeHash is a hash function of node:crypto.
type nodeHash struct {
	name string
	new  func() hash.Hash
	id   crypto.Hash // for signatures; 0: none
}

var nodeHashes = []nodeHash{
	{"md5", md5.New, crypto.MD5}, {"sha1", sha1.New, crypto.SHA1}, {"sha224", sha256.New224, crypto.SHA224}, {"sha256", sha256.New, crypto.SHA256},
	{"sha384", sha512.New384, crypto.SHA384}, {"sha512", sha512.New, crypto.SHA512}, {"sha512-224", sha512.New512_224, crypto.SHA512_224},
	{"sha512-256", sha512.New512_256, crypto.SHA512_256},
	{"sha3-224", func() hash.Hash { return sha3.New224() }, crypto.SHA3_224}, {"sha3-256", func() hash.Hash { return sha3.New256() }, crypto.SHA3_256},
	{"sha3-384", func() hash.Hash { return sha3.New384() }, crypto.SHA3_384}, {"sha3-512", func() hash.Hash { return sha3.New512() }, crypto.SHA3_512},
}

// hashOf finds a hash function by any of its names: SHA256, sha-256, RSA-SHA256.
func (r *realm) hashOf(name string) *nodeHash {
	plain := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(s), "-", ""), "/", "")
	}
	want := strings.TrimPrefix(plain(name), "rsa")
	for i := range nodeHashes {
		if plain(nodeHashes[i].name) == want {
			return &nodeHashes[i]
		}
	}
	panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_DIGEST", "Invalid digest: "+shortened(name)))
}

// digestNamed is hashOf for those who ask for a digest and nothing else, with the error that they get in Node.js.
func (r *realm) digestNamed(name string) (h *nodeHash) {
	if ex := r.rt.Try(func() { h = r.hashOf(name) }); ex != nil {
		panic(r.newError("Error", "Digest method not supported"))
	}
	return h
}

// nodeDigest is the state of a Hash or a Hmac. A Hmac cannot be copied.
type nodeDigest struct {
	hash.Hash
	kind *nodeHash
}

func (r *realm) opaque(state any) *goja.Object {
	o := r.rt.NewObject()
	r.attach(o, state)
	return o
}

// data reads an argument that the JavaScript half has made a view of bytes.
func (r *realm) data(v goja.Value) []byte {
	data, _ := r.bytesOrShared(v)
	return data
}

// limited refuses what would take longer than a runtime may be held up for.
func (r *realm) limited(ok bool, text string) {
	if !ok {
		panic(r.nodeError("RangeError", "ERR_OUT_OF_RANGE", text))
	}
}

func init() {
	nodeNatives["hashNew"] = func(r *realm, call goja.FunctionCall) goja.Value {
		h := r.digestNamed(r.str(call.Argument(0)))
		return r.opaque(&nodeDigest{h.new(), h})
	}
	nodeNatives["hmacNew"] = func(r *realm, call goja.FunctionCall) goja.Value {
		h := r.hashOf(r.str(call.Argument(0)))
		return r.opaque(&nodeDigest{hmac.New(h.new, r.data(call.Argument(1))), h})
	}
	nodeNatives["hashUpdate"] = func(r *realm, call goja.FunctionCall) goja.Value {
		_, _ = self[*nodeDigest](r, call.Argument(0)).Write(r.data(call.Argument(1)))
		return goja.Undefined()
	}
	nodeNatives["hashSum"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.newBuffer(self[*nodeDigest](r, call.Argument(0)).Sum(nil))
	}
	nodeNatives["hashCopy"] = func(r *realm, call goja.FunctionCall) goja.Value {
		d := self[*nodeDigest](r, call.Argument(0))
		state, err := d.Hash.(encoding.BinaryMarshaler).MarshalBinary()
		if err == nil {
			next := d.kind.new()
			if err = next.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err == nil {
				return r.opaque(&nodeDigest{next, d.kind})
			}
		}
		panic(r.newError("Error", "this digest cannot be copied"))
	}
	nodeNatives["hashOnce"] = func(r *realm, call goja.FunctionCall) goja.Value {
		h := r.digestNamed(r.str(call.Argument(0))).new()
		_, _ = h.Write(r.data(call.Argument(1)))
		return r.newBuffer(h.Sum(nil))
	}
	nodeNatives["hashNames"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		var names []any
		for _, h := range nodeHashes {
			names = append(names, h.name)
		}
		return r.rt.NewArray(names...)
	}
	nodeNatives["randomBytes"] = func(r *realm, call goja.FunctionCall) goja.Value {
		n := call.Argument(0).ToFloat()
		r.limited(n >= 0 && n <= maxRandom, "more random bytes than there is memory for")
		return r.newBuffer(randomBytes(int(n)))
	}
	nodeNatives["randomFill"] = func(r *realm, call goja.FunctionCall) goja.Value {
		data := r.data(call.Argument(0))
		copy(data, randomBytes(len(data)))
		return goja.Undefined()
	}
	nodeNatives["timingSafeEqual"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(subtle.ConstantTimeCompare(r.data(call.Argument(0)), r.data(call.Argument(1))) == 1)
	}
	// The derivations: password or key, salt, and the rest as Node.js orders it.
	nodeNatives["pbkdf2"] = func(r *realm, call goja.FunctionCall) goja.Value {
		iterations, size := int(call.Argument(2).ToInteger()), int(call.Argument(3).ToInteger())
		h := r.hashOf(r.str(call.Argument(4)))
		r.limited(iterations <= maxPBKDF2, "pbkdf2 with more than 100000 iterations is not supported by this runtime")
		blocks := (size + h.new().Size() - 1) / h.new().Size()
		r.limited(size <= maxDerive && iterations*blocks <= 2*maxPBKDF2, "pbkdf2 of so many bytes with so many iterations is not supported by this runtime")
		key, err := pbkdf2.Key(h.new, string(r.data(call.Argument(0))), r.data(call.Argument(1)), iterations, size)
		r.cryptoFailed(err)
		return r.newBuffer(key)
	}
	nodeNatives["hkdf"] = func(r *realm, call goja.FunctionCall) goja.Value {
		h := r.hashOf(r.str(call.Argument(0)))
		size := int(call.Argument(4).ToInteger())
		if size > 255*h.new().Size() {
			panic(r.nodeError("RangeError", "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length"))
		}
		key, err := hkdf.Key(h.new, r.data(call.Argument(1)), r.data(call.Argument(2)), string(r.data(call.Argument(3))), size)
		r.cryptoFailed(err)
		return r.newBuffer(key)
	}
	nodeNatives["scrypt"] = func(r *realm, call goja.FunctionCall) goja.Value {
		n, block, parallel := call.Argument(3).ToInteger(), call.Argument(4).ToInteger(), call.Argument(5).ToInteger()
		memory := min(call.Argument(6).ToInteger(), maxMemory)
		size := call.Argument(2).ToInteger()
		if n < 2 || n&(n-1) != 0 || block < 1 || parallel < 1 || n > 1<<30 || block > 1<<20 || parallel > 1<<20 || 128*n*block > memory {
			panic(r.nodeError("RangeError", "ERR_CRYPTO_INVALID_SCRYPT_PARAMS", "Invalid scrypt params: memory limit exceeded"))
		}
		r.limited(n*block*parallel <= maxScrypt && size <= maxDerive, "scrypt with a cost over N*r*p = 262144 is not supported by this runtime")
		key, err := scrypt.Key(r.data(call.Argument(0)), r.data(call.Argument(1)), int(n), int(block), int(parallel), int(size))
		r.cryptoFailed(err)
		return r.newBuffer(key)
	}
}

// cryptoFailed throws an error of a cryptographic operation.
func (r *realm) cryptoFailed(err error) {
	if err != nil {
		panic(r.nodeError("Error", "ERR_CRYPTO_OPERATION_FAILED", strings.TrimPrefix(err.Error(), "crypto/")))
	}
}
