package webcrypto

// Key is a key and what may be done with it (https://w3c.github.io/webcrypto/#cryptokey-interface).
type Key struct {
	Type        string // secret, private or public
	Extractable bool
	Usages      Usages
	Algorithm   KeyAlgorithm

	// material is []byte, *rsa.PublicKey, *rsa.PrivateKey, *ecdsa.PublicKey, *ecdsa.PrivateKey, *ecdh.PublicKey,
	// *ecdh.PrivateKey, ed25519.PublicKey or ed25519.PrivateKey.
	material any
}

// KeyAlgorithm describes a key: its algorithm, and the fields that it has.
type KeyAlgorithm struct {
	Name           string
	Hash           string
	NamedCurve     string
	Length         int // bits; 0: the algorithm has no such member
	ModulusLength  int // bits
	PublicExponent []byte
}

// KeyData is a key outside of a Key: the bytes of raw, spki and pkcs8, or a JWK.
type KeyData struct {
	Bytes []byte
	JWK   *JWK
}

// secret is the key of an algorithm that has bytes as keys.
func secret(a KeyAlgorithm, extractable bool, usages Usages, material []byte) *Key {
	return &Key{Type: "secret", Extractable: extractable, Usages: usages, Algorithm: a, material: material}
}

// pair makes the two keys of a new key pair. What a key may be used for follows from what the pair may.
func pair(a KeyAlgorithm, extractable bool, usages, public, private Usages, publicMaterial, privateMaterial any) (*Key, *Key) {
	return &Key{Type: "public", Extractable: true, Usages: usages & public, Algorithm: a, material: publicMaterial},
		&Key{Type: "private", Extractable: extractable, Usages: usages & private, Algorithm: a, material: privateMaterial}
}

// Secret returns the bytes of a secret key, nil for any other. They must not be changed.
func (k *Key) Secret() []byte {
	data, _ := k.material.([]byte)
	return data
}
