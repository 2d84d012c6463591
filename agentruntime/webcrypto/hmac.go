package webcrypto

import (
	"crypto/hmac"
	"crypto/rand"
	"hash"
)

// hmacLimit bounds the length in bits that a key of HMAC may be generated with.
const hmacLimit = 1 << 20

func init() {
	const allowed = UseSign | UseVerify
	register("HMAC", &algorithm{
		params: map[Operation][]Member{OpSign: nil, OpVerify: nil, OpGenerate: dictHMAC, OpImport: dictHMAC, OpLength: dictHMAC},
		check: func(p *Params, usages Usages) error {
			if err := usages.within(allowed, "HMAC"); err != nil {
				return err
			}
			if p.Length == 0 || p.Length > hmacLimit {
				return operationError("The length of a key of HMAC is from 1 to %d bits, not %d.", hmacLimit, p.Length)
			}
			return notEmpty(usages)
		},
		generate: func(p *Params, extractable bool, usages Usages) (*Key, *Key, error) {
			bits := p.Length
			if bits < 0 {
				bits = hashBits(p.Hash)
			}
			data := make([]byte, (bits+7)/8)
			_, _ = rand.Read(data)
			trim(data, bits)
			return nil, secret(KeyAlgorithm{Name: "HMAC", Hash: p.Hash, Length: bits}, extractable, usages, data), nil
		},
		imports: func(format string, data KeyData, p *Params, extractable bool, usages Usages) (*Key, error) {
			if err := usages.within(allowed, "HMAC"); err != nil {
				return nil, err
			}
			material, err := octets(format, data, "HS", p.Hash[len("SHA-"):], "sig", extractable, usages)
			if err != nil {
				return nil, err
			}
			bits := 8 * len(material)
			if bits == 0 {
				return nil, dataError("A key of HMAC cannot be empty.")
			}
			if p.Length >= 0 {
				if p.Length > bits || p.Length <= bits-8 {
					return nil, dataError("The length %d does not fit a key of %d bits.", p.Length, bits)
				}
				bits = p.Length
				trim(material, bits)
			}
			return secret(KeyAlgorithm{Name: "HMAC", Hash: p.Hash, Length: bits}, extractable, usages, material), nil
		},
		export: func(format string, k *Key) (KeyData, error) {
			return exportOctets(format, k, "HS"+k.Algorithm.Hash[len("SHA-"):])
		},
		sign: func(k *Key, _ *Params, data []byte) ([]byte, error) { return k.mac(data), nil },
		verify: func(k *Key, _ *Params, signature, data []byte) (bool, error) {
			return hmac.Equal(signature, k.mac(data)), nil
		},
		length: func(p *Params) (int, error) {
			if p.Length == 0 {
				return 0, typeError("The length of a key of HMAC cannot be 0.")
			}
			if p.Length < 0 {
				return hashBits(p.Hash), nil
			}
			return p.Length, nil
		},
	})
}

// trim clears the bits of the last byte past the length.
func trim(data []byte, bits int) {
	if rest := bits % 8; rest != 0 {
		data[len(data)-1] &= 0xff << (8 - rest)
	}
}

func (k *Key) mac(data []byte) []byte {
	h := hmac.New(func() hash.Hash { return hashes[k.Algorithm.Hash].New() }, k.Secret())
	h.Write(data)
	return h.Sum(nil)
}
