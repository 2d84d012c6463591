package agentruntime

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"strings"

	"github.com/dop251/goja"
	"golang.org/x/crypto/chacha20poly1305"
)

// nodeCipher is the state of a Cipheriv or a Decipheriv (https://nodejs.org/api/crypto.html#class-cipheriv). Block modes
// give whole blocks and keep back the rest; sealed modes, with a tag, give nothing of a text before its tag is
// checked or made, which Node.js does not promise either.
type nodeCipher struct {
	decrypts bool
	block    cipher.BlockMode // cbc, ecb
	stream   cipher.Stream    // ctr
	aead     cipher.AEAD      // gcm, chacha20-poly1305
	iv       []byte
	rest     []byte // not yet through block; all of the text of aead
	extra    []byte // additional data
	tag      []byte
	unpadded bool
	done     bool
}

// cipherNames are the ciphers that there are, in the form of Node.js.
var cipherNames = []string{
	"aes-128-cbc", "aes-128-ctr", "aes-128-ecb", "aes-128-gcm", "aes-192-cbc", "aes-192-ctr", "aes-192-ecb", "aes-192-gcm",
	"aes-256-cbc", "aes-256-ctr", "aes-256-ecb", "aes-256-gcm", "chacha20-poly1305",
}

// ecb is the mode of operation that Go leaves out for good reasons; old formats need it.
type ecb struct {
	cipher.Block
	decrypts bool
}

func (e ecb) CryptBlocks(dst, src []byte) {
	for n := e.BlockSize(); len(src) >= n; dst, src = dst[n:], src[n:] {
		if e.decrypts {
			e.Decrypt(dst, src)
		} else {
			e.Encrypt(dst, src)
		}
	}
}

// newCipher makes the state for the named cipher.
func (r *realm) newCipher(name string, key, iv []byte, decrypts bool) *nodeCipher {
	c := &nodeCipher{decrypts: decrypts, iv: bytes.Clone(iv)}
	name = strings.ToLower(name)
	badKey := func() { panic(r.nodeError("RangeError", "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length")) }
	badIV := func() {
		panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_IV", "Invalid initialization vector"))
	}
	if name == "chacha20-poly1305" {
		aead, err := chacha20poly1305.New(key)
		if err != nil {
			badKey()
		}
		if len(iv) != aead.NonceSize() {
			badIV()
		}
		c.aead = aead
		return c
	}
	sizes := map[string]int{"128": 16, "192": 24, "256": 32}
	parts := strings.Split(strings.Replace(name, "id-aes", "aes-", 1), "-")
	if len(parts) != 3 || parts[0] != "aes" || sizes[parts[1]] == 0 {
		panic(r.nodeError("Error", "ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))
	}
	if len(key) != sizes[parts[1]] {
		badKey()
	}
	block, err := aes.NewCipher(key)
	r.cryptoFailed(err)
	switch parts[2] {
	case "cbc", "ctr":
		if len(iv) != block.BlockSize() {
			badIV()
		}
		switch {
		case parts[2] == "ctr":
			c.stream = cipher.NewCTR(block, iv)
		case decrypts:
			c.block = cipher.NewCBCDecrypter(block, iv)
		default:
			c.block = cipher.NewCBCEncrypter(block, iv)
		}
	case "ecb":
		if len(iv) != 0 {
			badIV()
		}
		c.block = ecb{block, decrypts}
	case "gcm":
		if len(iv) == 0 {
			badIV()
		}
		c.aead, err = cipher.NewGCMWithNonceSize(block, len(iv))
		r.cryptoFailed(err)
	default:
		panic(r.nodeError("Error", "ERR_CRYPTO_UNKNOWN_CIPHER", "Unknown cipher"))
	}
	return c
}

// update takes more of the text and returns what is ready.
func (c *nodeCipher) update(data []byte) []byte {
	switch {
	case c.stream != nil:
		out := make([]byte, len(data))
		c.stream.XORKeyStream(out, data)
		return out
	case c.aead != nil:
		c.rest = append(c.rest, data...)
		return nil
	}
	c.rest = append(c.rest, data...)
	size := c.block.BlockSize()
	n := len(c.rest) / size * size
	if c.decrypts && !c.unpadded && n == len(c.rest) && n > 0 {
		n -= size // the last block may hold padding
	}
	out := make([]byte, n)
	c.block.CryptBlocks(out, c.rest[:n])
	c.rest = append([]byte(nil), c.rest[n:]...)
	return out
}

// final returns the rest.
func (c *nodeCipher) final(r *realm) []byte {
	if c.done {
		panic(r.nodeError("Error", "ERR_CRYPTO_INVALID_STATE", "Unsupported state or unable to authenticate data"))
	}
	c.done = true
	switch {
	case c.stream != nil:
		return nil
	case c.aead != nil:
		return c.sealed(r)
	}
	size := c.block.BlockSize()
	if c.unpadded {
		if len(c.rest) > 0 {
			panic(r.nodeError("Error", "ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH", "wrong final block length"))
		}
		return nil
	}
	if !c.decrypts {
		pad := size - len(c.rest)%size
		text := append(c.rest, bytes.Repeat([]byte{byte(pad)}, pad)...)
		c.block.CryptBlocks(text, text)
		return text
	}
	if len(c.rest) != size {
		panic(r.nodeError("Error", "ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH", "wrong final block length"))
	}
	text := make([]byte, size)
	c.block.CryptBlocks(text, c.rest)
	pad := int(text[size-1])
	if pad == 0 || pad > size || !bytes.Equal(text[size-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		panic(r.nodeError("Error", "ERR_OSSL_BAD_DECRYPT", "bad decrypt"))
	}
	return text[:size-pad]
}

func (c *nodeCipher) sealed(r *realm) []byte {
	if !c.decrypts {
		out := c.aead.Seal(nil, c.iv, c.rest, c.extra)
		n := len(out) - c.aead.Overhead()
		c.tag = out[n:]
		return out[:n]
	}
	if len(c.tag) != c.aead.Overhead() {
		panic(r.newError("Error", "Unsupported state or unable to authenticate data"))
	}
	out, err := c.aead.Open(nil, c.iv, append(c.rest, c.tag...), c.extra)
	if err != nil {
		panic(r.newError("Error", "Unsupported state or unable to authenticate data"))
	}
	return out
}

func init() {
	nodeNatives["cipherNames"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		var names []any
		for _, name := range cipherNames {
			names = append(names, name)
		}
		return r.rt.NewArray(names...)
	}
	// cipherNew(name, key, iv, decrypts)
	nodeNatives["cipherNew"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.opaque(r.newCipher(r.str(call.Argument(0)), r.data(call.Argument(1)), r.data(call.Argument(2)), call.Argument(3).ToBoolean()))
	}
	nodeNatives["cipherUpdate"] = func(r *realm, call goja.FunctionCall) goja.Value {
		c := self[*nodeCipher](r, call.Argument(0))
		if c.done {
			panic(r.nodeError("Error", "ERR_CRYPTO_INVALID_STATE", "Unsupported state"))
		}
		return r.newBuffer(c.update(r.data(call.Argument(1))))
	}
	nodeNatives["cipherFinal"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.newBuffer(self[*nodeCipher](r, call.Argument(0)).final(r))
	}
	nodeNatives["cipherExtra"] = func(r *realm, call goja.FunctionCall) goja.Value {
		c := self[*nodeCipher](r, call.Argument(0))
		c.extra = append(c.extra, r.data(call.Argument(1))...)
		return goja.Undefined()
	}
	nodeNatives["cipherPadding"] = func(r *realm, call goja.FunctionCall) goja.Value {
		self[*nodeCipher](r, call.Argument(0)).unpadded = !call.Argument(1).ToBoolean()
		return goja.Undefined()
	}
	// cipherTag(cipher[, tag]) sets the tag to check, or gives the one that was made.
	nodeNatives["cipherTag"] = func(r *realm, call goja.FunctionCall) goja.Value {
		c := self[*nodeCipher](r, call.Argument(0))
		if given(call.Argument(1)) {
			c.tag = bytes.Clone(r.data(call.Argument(1)))
			if len(c.tag) != 16 {
				panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_AUTH_TAG", "Invalid authentication tag length: "+itoa(len(c.tag))))
			}
			return goja.Undefined()
		}
		if c.tag == nil || !c.done {
			panic(r.nodeError("Error", "ERR_CRYPTO_INVALID_STATE", "Invalid state for operation getAuthTag"))
		}
		return r.newBuffer(bytes.Clone(c.tag))
	}
	// cipherSealed reports whether a cipher makes tags.
	nodeNatives["cipherSealed"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(self[*nodeCipher](r, call.Argument(0)).aead != nil)
	}
}
