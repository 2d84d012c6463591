package webcrypto

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"math/big"

	"filippo.io/bigmod"
)

var errPSS = errors.New("crypto/rsa: verification error")

// signPSS signs with a salt of the given size. The standard library takes 0 for "as long as possible", so that a
// signature without a salt is encoded here (RFC 8017, section 9.1.1).
func signPSS(key *rsa.PrivateKey, hash crypto.Hash, sum []byte, salt int) ([]byte, error) {
	if salt > key.Size() {
		return nil, errPSS
	}
	if salt > 0 {
		return rsa.SignPSS(rand.Reader, key, hash, sum, &rsa.PSSOptions{SaltLength: salt})
	}
	bits := key.N.BitLen() - 1
	em := saltless(hash, sum, bits)
	if em == nil {
		return nil, errPSS
	}
	n, err := bigmod.NewModulus(key.N.Bytes())
	if err != nil {
		return nil, err
	}
	m, err := bigmod.NewNat().SetBytes(append(make([]byte, key.Size()-len(em)), em...), n)
	if err != nil {
		return nil, err
	}
	signature := bigmod.NewNat().Exp(m, key.D.Bytes(), n)
	// A fault in the computation could give the key away: what does not verify does not leave.
	if !bytes.Equal(bigmod.NewNat().ExpShortVarTime(signature, uint(key.E), n).Bytes(n), m.Bytes(n)) {
		return nil, errPSS
	}
	return signature.Bytes(n), nil
}

func verifyPSS(key *rsa.PublicKey, hash crypto.Hash, sum, signature []byte, salt int) error {
	if salt > key.Size() {
		return errPSS
	}
	if salt > 0 {
		return rsa.VerifyPSS(key, hash, sum, signature, &rsa.PSSOptions{SaltLength: salt})
	}
	s := new(big.Int).SetBytes(signature)
	if len(signature) != key.Size() || s.Cmp(key.N) >= 0 {
		return errPSS
	}
	em := saltless(hash, sum, key.N.BitLen()-1)
	if em == nil || new(big.Int).SetBytes(em).Cmp(s.Exp(s, big.NewInt(int64(key.E)), key.N)) != 0 {
		return errPSS
	}
	return nil
}

// saltless is EMSA-PSS with an empty salt, which makes it a function of the digest. It is nil where the digest does not
// fit in so many bits.
func saltless(hash crypto.Hash, sum []byte, bits int) []byte {
	size := (bits + 7) / 8
	if size < hash.Size()+2 {
		return nil
	}
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(sum)
	digest := h.Sum(nil)
	em := make([]byte, size)
	db := em[:size-len(digest)-1]
	db[len(db)-1] = 1
	for counter, at := uint32(0), 0; at < len(db); counter++ {
		h.Reset()
		h.Write(digest)
		_ = binary.Write(h, binary.BigEndian, counter)
		for _, b := range h.Sum(nil) {
			if at < len(db) {
				db[at] ^= b
				at++
			}
		}
	}
	db[0] &= 0xff >> (8*size - bits)
	copy(em[len(db):], digest)
	em[size-1] = 0xbc
	return em
}
