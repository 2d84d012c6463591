package webcrypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"strconv"
)

func init() {
	const data, wrap = UseEncrypt | UseDecrypt, UseWrapKey | UseUnwrapKey
	register("AES-CBC", aesMode("CBC", data|wrap, dictCBC, encryptCBC, decryptCBC))
	register("AES-CTR", aesMode("CTR", data|wrap, dictCTR, cryptCTR, cryptCTR))
	register("AES-GCM", aesMode("GCM", data|wrap, dictGCM, encryptGCM, decryptGCM))
	kw := aesMode("KW", wrap, nil, wrapAES, unwrapAES)
	delete(kw.params, OpEncrypt)
	delete(kw.params, OpDecrypt)
	kw.params[OpWrap], kw.params[OpUnwrap] = nil, nil
	register("AES-KW", kw)
}

// aesMode is what the four modes of AES have in common. suffix ends the names of its JWK algorithms.
func aesMode(suffix string, allowed Usages, params []Member, encrypt, decrypt func(*Key, *Params, []byte) ([]byte, error)) *algorithm {
	name := "AES-" + suffix
	return &algorithm{
		params: map[Operation][]Member{OpEncrypt: params, OpDecrypt: params, OpGenerate: dictLength, OpImport: nil, OpLength: dictLength},
		check: func(p *Params, usages Usages) error {
			if err := usages.within(allowed, name); err != nil {
				return err
			}
			if _, err := aesLength(p); err != nil {
				return err
			}
			return notEmpty(usages)
		},
		generate: func(p *Params, extractable bool, usages Usages) (*Key, *Key, error) {
			data := make([]byte, p.Length/8)
			_, _ = rand.Read(data)
			return nil, secret(KeyAlgorithm{Name: name, Length: p.Length}, extractable, usages, data), nil
		},
		imports: func(format string, data KeyData, _ *Params, extractable bool, usages Usages) (*Key, error) {
			if err := usages.within(allowed, name); err != nil {
				return nil, err
			}
			material, err := octets(format, data, "A", suffix, "enc", extractable, usages)
			if err != nil {
				return nil, err
			}
			switch len(material) {
			case 16, 24, 32:
				return secret(KeyAlgorithm{Name: name, Length: 8 * len(material)}, extractable, usages, material), nil
			}
			return nil, dataError("A key of AES has 128, 192 or 256 bits, not %d.", 8*len(material))
		},
		export: func(format string, k *Key) (KeyData, error) {
			return exportOctets(format, k, "A"+strconv.Itoa(k.Algorithm.Length)+suffix)
		},
		encrypt: encrypt,
		decrypt: decrypt,
		length:  aesLength,
	}
}

func notEmpty(usages Usages) error {
	if usages == 0 {
		return syntaxError("Usages cannot be empty when creating a key.")
	}
	return nil
}

func aesLength(p *Params) (int, error) {
	switch p.Length {
	case 128, 192, 256:
		return p.Length, nil
	}
	return 0, operationError("A key of AES has 128, 192 or 256 bits, not %d.", p.Length)
}

// octets reads a secret key. The alg member of a JWK, if there, is prefix, the size in bits, and suffix; of HMAC, whose
// prefix is HS, there is no size.
func octets(format string, data KeyData, prefix, suffix, use string, extractable bool, usages Usages) ([]byte, error) {
	switch format {
	case "raw":
		return slices.Clone(data.Bytes), nil
	case "jwk":
	default:
		return nil, notSupported("Secret keys have no format %q.", format)
	}
	j := data.JWK
	if !j.is(j.Kty, "oct") {
		return nil, dataError("The JWK's \"kty\" is not \"oct\".")
	}
	material, err := j.bytes("k", j.K)
	if err != nil {
		return nil, err
	}
	want := prefix + suffix
	if prefix == "A" {
		switch len(material) {
		case 16, 24, 32:
		default:
			return nil, dataError("A key of AES has 128, 192 or 256 bits, not %d.", 8*len(material))
		}
		want = prefix + strconv.Itoa(8*len(material)) + suffix
	}
	if j.Alg != nil && *j.Alg != want {
		return nil, dataError("The JWK's \"alg\" is not %q.", want)
	}
	return material, j.accept(use, extractable, usages)
}

func exportOctets(format string, k *Key, alg string) (KeyData, error) {
	material := k.Secret()
	switch format {
	case "raw":
		return KeyData{Bytes: slices.Clone(material)}, nil
	case "jwk":
		return KeyData{JWK: &JWK{Kty: text("oct"), K: encoded(material), Alg: text(alg)}}, nil
	}
	return KeyData{}, notSupported("Secret keys have no format %q.", format)
}

func (k *Key) block() cipher.Block {
	b, err := aes.NewCipher(k.Secret())
	if err != nil {
		panic(err) // the size was checked when the key was made
	}
	return b
}

func encryptCBC(k *Key, p *Params, data []byte) ([]byte, error) {
	if len(p.IV) != aes.BlockSize {
		return nil, operationError("The iv of AES-CBC has 16 bytes, not %d.", len(p.IV))
	}
	pad := aes.BlockSize - len(data)%aes.BlockSize
	out := append(slices.Clip(data), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(k.block(), p.IV).CryptBlocks(out, out)
	return out, nil
}

func decryptCBC(k *Key, p *Params, data []byte) ([]byte, error) {
	if len(p.IV) != aes.BlockSize {
		return nil, operationError("The iv of AES-CBC has 16 bytes, not %d.", len(p.IV))
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, operationError("Decryption failed.")
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(k.block(), p.IV).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad == 0 || pad > aes.BlockSize || !bytes.Equal(out[len(out)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, operationError("Decryption failed.")
	}
	return out[:len(out)-pad], nil
}

// cryptCTR encrypts and decrypts. Only the last p.Length bits of the block count, and wrap around.
func cryptCTR(k *Key, p *Params, data []byte) ([]byte, error) {
	if len(p.Counter) != aes.BlockSize {
		return nil, operationError("The counter of AES-CTR has 16 bytes, not %d.", len(p.Counter))
	}
	if p.Length < 1 || p.Length > 128 {
		return nil, operationError("The length of AES-CTR's counter is from 1 to 128 bits, not %d.", p.Length)
	}
	blocks := (uint64(len(data)) + aes.BlockSize - 1) / aes.BlockSize
	if p.Length < 64 && blocks > 1<<p.Length {
		return nil, operationError("The data is longer than a counter of %d bits can count.", p.Length)
	}
	counter, out := slices.Clone(p.Counter), make([]byte, len(data))
	left := untilWrap(counter, p.Length)
	first := len(data)
	if left != 0 && left < blocks {
		first = int(left) * aes.BlockSize
	}
	b := k.block()
	cipher.NewCTR(b, counter).XORKeyStream(out[:first], data[:first])
	if first < len(data) {
		clearLow(counter, p.Length)
		cipher.NewCTR(b, counter).XORKeyStream(out[first:], data[first:])
	}
	return out, nil
}

// untilWrap is how many blocks there are until the low bits of the counter are zero again, 0 for more than 2^63.
func untilWrap(counter []byte, bits int) uint64 {
	if bits > 63 {
		// A counter this wide wraps within any real message only when its upper bits are all set.
		high := binary.BigEndian.Uint64(counter[:8])
		if mask := uint64(1)<<(bits-64) - 1; bits < 128 && high&mask != mask || bits == 128 && high != 1<<64-1 {
			return 0
		}
		return -binary.BigEndian.Uint64(counter[8:])
	}
	mask := uint64(1)<<bits - 1
	return mask - binary.BigEndian.Uint64(counter[8:])&mask + 1
}

func clearLow(counter []byte, bits int) {
	for i := aes.BlockSize - 1; i >= 0 && bits > 0; i, bits = i-1, bits-8 {
		if bits >= 8 {
			counter[i] = 0
		} else {
			counter[i] &^= 1<<bits - 1
		}
	}
}

// gcm returns the mode for an iv of any size, and the tag's size in bytes.
func gcm(k *Key, p *Params) (cipher.AEAD, int, error) {
	tag := 128
	if p.TagLength >= 0 {
		tag = p.TagLength
	}
	switch tag {
	case 32, 64, 96, 104, 112, 120, 128:
	default:
		return nil, 0, operationError("The tagLength of AES-GCM is 32, 64, 96, 104, 112, 120 or 128 bits, not %d.", tag)
	}
	if len(p.IV) == 0 {
		return nil, 0, operationError("The iv of AES-GCM is empty.")
	}
	aead, err := cipher.NewGCMWithNonceSize(k.block(), len(p.IV))
	if err != nil {
		return nil, 0, operationError("Encryption failed.")
	}
	return aead, tag / 8, nil
}

func encryptGCM(k *Key, p *Params, data []byte) ([]byte, error) {
	aead, tag, err := gcm(k, p)
	if err != nil {
		return nil, err
	}
	out := aead.Seal(nil, p.IV, data, p.AdditionalData)
	return out[:len(data)+tag], nil
}

func decryptGCM(k *Key, p *Params, data []byte) ([]byte, error) {
	aead, tag, err := gcm(k, p)
	if err != nil {
		return nil, err
	}
	if len(data) < tag {
		return nil, operationError("Decryption failed.")
	}
	var out []byte
	if tag == aead.Overhead() {
		if out, err = aead.Open(nil, p.IV, data, p.AdditionalData); err != nil {
			return nil, operationError("Decryption failed.")
		}
	} else {
		// The library opens only whole tags. Encrypting again gives the plain text, the mode being a stream cipher, and
		// encrypting that once more gives the tag it would have.
		body := data[:len(data)-tag]
		out = aead.Seal(nil, p.IV, body, nil)[:len(body)]
		whole := aead.Seal(nil, p.IV, out, p.AdditionalData)[len(body):]
		if subtle.ConstantTimeCompare(whole[:tag], data[len(body):]) != 1 {
			return nil, operationError("Decryption failed.")
		}
	}
	if out == nil {
		out = []byte{}
	}
	return out, nil
}

// keyWrapIV is the check value of RFC 3394, section 2.2.3.1.
var keyWrapIV = []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

// wrapAES is the key wrap of RFC 3394.
func wrapAES(k *Key, _ *Params, data []byte) ([]byte, error) {
	if len(data) < 16 || len(data)%8 != 0 {
		return nil, operationError("AES-KW wraps multiples of 8 bytes, and at least 16, not %d.", len(data))
	}
	b, n := k.block(), len(data)/8
	out := append(slices.Clone(keyWrapIV), data...)
	var buf [16]byte
	copy(buf[:8], keyWrapIV)
	for t := range 6 * n {
		r := out[8+8*(t%n):][:8]
		copy(buf[8:], r)
		b.Encrypt(buf[:], buf[:])
		copy(r, buf[8:])
		binary.BigEndian.PutUint64(buf[:8], binary.BigEndian.Uint64(buf[:8])^uint64(t+1))
	}
	copy(out, buf[:8])
	return out, nil
}

func unwrapAES(k *Key, _ *Params, data []byte) ([]byte, error) {
	if len(data) < 24 || len(data)%8 != 0 {
		return nil, operationError("Unwrapping failed.")
	}
	b, n := k.block(), len(data)/8-1
	out := slices.Clone(data)
	var buf [16]byte
	copy(buf[:8], out)
	for t := 6*n - 1; t >= 0; t-- {
		r := out[8+8*(t%n):][:8]
		binary.BigEndian.PutUint64(buf[:8], binary.BigEndian.Uint64(buf[:8])^uint64(t+1))
		copy(buf[8:], r)
		b.Decrypt(buf[:], buf[:])
		copy(r, buf[8:])
	}
	if subtle.ConstantTimeCompare(buf[:8], keyWrapIV) != 1 {
		return nil, operationError("Unwrapping failed.")
	}
	return out[8:], nil
}
