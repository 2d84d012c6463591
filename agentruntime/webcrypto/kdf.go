package webcrypto

import (
	"crypto/hkdf"
	"crypto/pbkdf2"
	"hash"
	"slices"
)

const (
	// iterationLimit is the most iterations of PBKDF2, as in Workers.
	iterationLimit = 100_000
	// derivationLimit bounds iterations times blocks of output, so that one call takes at most about a second.
	derivationLimit = 2_000_000
)

func init() {
	register("HKDF", kdf("HKDF", dictHKDF, func(k *Key, p *Params, size int) ([]byte, error) {
		data, err := hkdf.Key(func() hash.Hash { return hashes[p.Hash].New() }, k.Secret(), p.Salt, string(p.Info), size)
		if err != nil {
			return nil, operationError("HKDF with %s gives at most %d bytes.", p.Hash, 255*hashes[p.Hash].Size())
		}
		return data, nil
	}))
	register("PBKDF2", kdf("PBKDF2", dictPBKDF2, func(k *Key, p *Params, size int) ([]byte, error) {
		blocks := (size + hashes[p.Hash].Size() - 1) / hashes[p.Hash].Size()
		switch {
		case p.Iterations == 0:
			return nil, operationError("PBKDF2 needs at least one iteration.")
		case p.Iterations > iterationLimit:
			return nil, notSupported("PBKDF2 with more than %d iterations is not supported (requested %d).", iterationLimit, p.Iterations)
		case blocks*p.Iterations > derivationLimit:
			return nil, notSupported("PBKDF2 with %d iterations for %d bytes takes too long; ask for fewer bytes and use HKDF for more.", p.Iterations, size)
		}
		if size == 0 {
			return []byte{}, nil
		}
		data, err := pbkdf2.Key(func() hash.Hash { return hashes[p.Hash].New() }, string(k.Secret()), p.Salt, p.Iterations, size)
		if err != nil {
			return nil, operationError("Deriving failed.")
		}
		return data, nil
	}))
}

// kdf is what HKDF and PBKDF2 have in common.
func kdf(name string, params []Member, derive func(k *Key, p *Params, size int) ([]byte, error)) *algorithm {
	return &algorithm{
		params: map[Operation][]Member{OpDerive: params, OpImport: nil, OpLength: nil},
		imports: func(format string, data KeyData, _ *Params, extractable bool, usages Usages) (*Key, error) {
			if format != "raw" {
				return nil, notSupported("Keys of %s have the format \"raw\" only.", name)
			}
			if err := usages.within(UseDeriveKey|UseDeriveBits, name); err != nil {
				return nil, err
			}
			if extractable {
				return nil, syntaxError("Keys of %s cannot be extractable.", name)
			}
			return secret(KeyAlgorithm{Name: name}, false, usages, slices.Clone(data.Bytes)), nil
		},
		derive: func(k *Key, p *Params, length int) ([]byte, error) {
			if length < 0 || length%8 != 0 {
				return nil, operationError("%s needs a length that is a multiple of 8 bits.", name)
			}
			return derive(k, p, length/8)
		},
		length: func(*Params) (int, error) { return -1, nil },
	}
}
