package webcrypto

import (
	"crypto"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// hashes are the digests that keys and signatures use, by their canonical names.
var hashes = map[string]crypto.Hash{"SHA-1": crypto.SHA1, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

// HashNamed returns the canonical name of a digest for keys and signatures. Names are compared without case.
func HashNamed(name string) (canonical string, ok bool) {
	canonical = upper(name)
	_, ok = hashes[canonical]
	return canonical, ok
}

// NewHash returns a new digest of that name, in any case, nil for an unknown one. MD5 is there as in Workers
// (https://developers.cloudflare.com/workers/runtime-apis/web-crypto/#supported-algorithms), for old formats only.
func NewHash(name string) hash.Hash {
	switch upper(name) {
	case "SHA-1":
		return sha1.New()
	case "SHA-256":
		return sha256.New()
	case "SHA-384":
		return sha512.New384()
	case "SHA-512":
		return sha512.New()
	case "MD5":
		return md5.New()
	}
	return nil
}

// hashBits is the size in bits of the blocks that a digest works on.
func hashBits(name string) int {
	return hashes[name].New().BlockSize() * 8
}

func sumOf(name string, data []byte) []byte {
	h := hashes[name].New()
	h.Write(data)
	return h.Sum(nil)
}
