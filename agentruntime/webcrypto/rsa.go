package webcrypto

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
)

// modulusLimit bounds the modulus of a key that is generated, in bits: one of 4096 takes up to some seconds.
const modulusLimit = 4096

func init() {
	pkcs1 := rsaScheme("RSASSA-PKCS1-v1_5", UseVerify, UseSign, "RS", "sig")
	pkcs1.params[OpSign], pkcs1.params[OpVerify] = nil, nil
	pkcs1.sign = func(k *Key, _ *Params, data []byte) ([]byte, error) {
		return k.rsaSigned(func(key *rsa.PrivateKey, hash crypto.Hash) ([]byte, error) {
			return rsa.SignPKCS1v15(rand.Reader, key, hash, sumOf(k.Algorithm.Hash, data))
		})
	}
	pkcs1.verify = func(k *Key, _ *Params, signature, data []byte) (bool, error) {
		return k.rsaVerified(func(key *rsa.PublicKey, hash crypto.Hash) error {
			return rsa.VerifyPKCS1v15(key, hash, sumOf(k.Algorithm.Hash, data), signature)
		})
	}
	register("RSASSA-PKCS1-v1_5", pkcs1)

	pss := rsaScheme("RSA-PSS", UseVerify, UseSign, "PS", "sig")
	pss.params[OpSign], pss.params[OpVerify] = dictPSS, dictPSS
	pss.sign = func(k *Key, p *Params, data []byte) ([]byte, error) {
		return k.rsaSigned(func(key *rsa.PrivateKey, hash crypto.Hash) ([]byte, error) {
			return signPSS(key, hash, sumOf(k.Algorithm.Hash, data), p.SaltLength)
		})
	}
	pss.verify = func(k *Key, p *Params, signature, data []byte) (bool, error) {
		return k.rsaVerified(func(key *rsa.PublicKey, hash crypto.Hash) error {
			return verifyPSS(key, hash, sumOf(k.Algorithm.Hash, data), signature, p.SaltLength)
		})
	}
	register("RSA-PSS", pss)

	oaep := rsaScheme("RSA-OAEP", UseEncrypt|UseWrapKey, UseDecrypt|UseUnwrapKey, "RSA-OAEP", "enc")
	oaep.params[OpEncrypt], oaep.params[OpDecrypt] = dictOAEP, dictOAEP
	oaep.encrypt = func(k *Key, p *Params, data []byte) ([]byte, error) {
		key, ok := k.material.(*rsa.PublicKey)
		if !ok {
			return nil, accessError("Encrypting needs a public key.")
		}
		out, err := rsa.EncryptOAEP(hashes[k.Algorithm.Hash].New(), rand.Reader, key, data, p.Label)
		if err != nil {
			return nil, operationError("Encryption failed: a key of %d bits takes fewer than %d bytes.", k.Algorithm.ModulusLength, len(data))
		}
		return out, nil
	}
	oaep.decrypt = func(k *Key, p *Params, data []byte) ([]byte, error) {
		key, ok := k.material.(*rsa.PrivateKey)
		if !ok {
			return nil, accessError("Decrypting needs a private key.")
		}
		out, err := rsa.DecryptOAEP(hashes[k.Algorithm.Hash].New(), nil, key, data, p.Label)
		if err != nil {
			return nil, operationError("Decryption failed.")
		}
		return out, nil
	}
	register("RSA-OAEP", oaep)
}

func (k *Key) rsaSigned(sign func(*rsa.PrivateKey, crypto.Hash) ([]byte, error)) ([]byte, error) {
	key, ok := k.material.(*rsa.PrivateKey)
	if !ok {
		return nil, accessError("Signing needs a private key.")
	}
	out, err := sign(key, hashes[k.Algorithm.Hash])
	if err != nil {
		return nil, operationError("Signing failed: the key of %d bits is too small for it.", k.Algorithm.ModulusLength)
	}
	return out, nil
}

func (k *Key) rsaVerified(verify func(*rsa.PublicKey, crypto.Hash) error) (bool, error) {
	key, ok := k.material.(*rsa.PublicKey)
	if !ok {
		return false, accessError("Verifying needs a public key.")
	}
	return verify(key, hashes[k.Algorithm.Hash]) == nil, nil
}

// rsaScheme is what the three schemes of RSA have in common: which usages its public and private keys take, how the
// names of its JWK algorithms begin, and their use.
func rsaScheme(name string, public, private Usages, prefix, use string) *algorithm {
	return &algorithm{
		params: map[Operation][]Member{OpGenerate: dictRSA, OpImport: dictHash},
		check: func(p *Params, usages Usages) error {
			if err := usages.within(public|private, name); err != nil {
				return err
			}
			if e := new(big.Int).SetBytes(p.PublicExponent); !e.IsInt64() || e.Int64() != 65537 {
				return operationError("The publicExponent must be 65537.")
			}
			if p.ModulusLength < 1024 || p.ModulusLength > modulusLimit || p.ModulusLength%8 != 0 {
				return operationError("The modulusLength is a multiple of 8 from 1024 to %d bits, not %d.", modulusLimit, p.ModulusLength)
			}
			return notEmpty(usages & private)
		},
		generate: func(p *Params, extractable bool, usages Usages) (*Key, *Key, error) {
			key, err := rsa.GenerateKey(rand.Reader, p.ModulusLength)
			if err != nil {
				return nil, nil, operationError("Generating the key failed.")
			}
			publicKey, privateKey := pair(rsaDescribed(name, p.Hash, &key.PublicKey), extractable, usages, public, private, &key.PublicKey, key)
			return publicKey, privateKey, nil
		},
		imports: func(format string, data KeyData, p *Params, extractable bool, usages Usages) (*Key, error) {
			k := &Key{Extractable: extractable, Usages: usages}
			var key *rsa.PublicKey
			switch format {
			case "spki":
				if err := usages.within(public, name); err != nil {
					return nil, err
				}
				parsed, err := x509.ParsePKIXPublicKey(data.Bytes)
				var ok bool
				if key, ok = parsed.(*rsa.PublicKey); err != nil || !ok {
					return nil, dataError("The data is no public key of RSA in SPKI.")
				}
				k.Type, k.material = "public", key
			case "pkcs8":
				if err := usages.within(private, name); err != nil {
					return nil, err
				}
				parsed, err := x509.ParsePKCS8PrivateKey(data.Bytes)
				whole, ok := parsed.(*rsa.PrivateKey)
				if err != nil || !ok {
					return nil, dataError("The data is no private key of RSA in PKCS #8.")
				}
				k.Type, k.material, key = "private", whole, &whole.PublicKey
			case "jwk":
				var err error
				if k.Type, k.material, key, err = rsaFromJWK(data.JWK, name, prefix, use, p.Hash, public, private, extractable, usages); err != nil {
					return nil, err
				}
			default:
				return nil, notSupported("Keys of %s have no format %q.", name, format)
			}
			k.Algorithm = rsaDescribed(name, p.Hash, key)
			return k, nil
		},
		export: func(format string, k *Key) (KeyData, error) { return rsaExport(format, k, prefix) },
	}
}

func rsaDescribed(name, hash string, key *rsa.PublicKey) KeyAlgorithm {
	return KeyAlgorithm{Name: name, Hash: hash, ModulusLength: key.N.BitLen(), PublicExponent: big.NewInt(int64(key.E)).Bytes()}
}

// rsaAlg is the alg member of a JWK.
func rsaAlg(prefix, hash string) string {
	size := hash[len("SHA-"):]
	switch {
	case prefix != "RSA-OAEP":
		return prefix + size
	case size == "1":
		return prefix
	}
	return prefix + "-" + size
}

func rsaFromJWK(j *JWK, name, prefix, use, hash string, public, private Usages, extractable bool, usages Usages) (string, any, *rsa.PublicKey, error) {
	fail := func(err error) (string, any, *rsa.PublicKey, error) { return "", nil, nil, err }
	allowed := public
	if j.D != nil {
		allowed = private
	}
	if err := usages.within(allowed, name); err != nil {
		return fail(err)
	}
	if !j.is(j.Kty, "RSA") {
		return fail(dataError("The JWK's \"kty\" is not \"RSA\"."))
	}
	if err := j.accept(use, extractable, usages); err != nil {
		return fail(err)
	}
	if want := rsaAlg(prefix, hash); j.Alg != nil && *j.Alg != want {
		return fail(dataError("The JWK's \"alg\" is not %q.", want))
	}
	key := &rsa.PrivateKey{}
	numbers := []struct {
		name   string
		member *string
		into   func(*big.Int)
	}{
		{"n", j.N, func(v *big.Int) { key.N = v }},
		{"e", j.E, func(v *big.Int) {
			if v.IsInt64() && v.Int64() < 1<<31 {
				key.E = int(v.Int64())
			}
		}},
	}
	if j.D != nil {
		if j.Oth {
			return fail(notSupported("Keys of RSA with more than two primes are not supported."))
		}
		numbers = append(numbers, []struct {
			name   string
			member *string
			into   func(*big.Int)
		}{
			{"d", j.D, func(v *big.Int) { key.D = v }},
			{"p", j.P, func(v *big.Int) { key.Primes = append(key.Primes, v) }},
			{"q", j.Q, func(v *big.Int) { key.Primes = append(key.Primes, v) }},
			{"dp", j.DP, func(v *big.Int) { key.Precomputed.Dp = v }},
			{"dq", j.DQ, func(v *big.Int) { key.Precomputed.Dq = v }},
			{"qi", j.QI, func(v *big.Int) { key.Precomputed.Qinv = v }},
		}...)
	}
	for _, n := range numbers {
		v, err := j.number(n.name, n.member)
		if err != nil {
			return fail(err)
		}
		n.into(v)
	}
	if key.E < 2 || key.N.Sign() <= 0 {
		return fail(dataError("The JWK is no key of RSA."))
	}
	if j.D == nil {
		return "public", &key.PublicKey, &key.PublicKey, nil
	}
	given := key.Precomputed
	key.Precomputed = rsa.PrecomputedValues{}
	key.Precompute()
	if err := key.Validate(); err != nil || key.Precomputed.Dp.Cmp(given.Dp) != 0 || key.Precomputed.Dq.Cmp(given.Dq) != 0 || key.Precomputed.Qinv.Cmp(given.Qinv) != 0 {
		return fail(dataError("The numbers of the JWK do not make a key of RSA."))
	}
	return "private", key, &key.PublicKey, nil
}

func rsaExport(format string, k *Key, prefix string) (KeyData, error) {
	private, _ := k.material.(*rsa.PrivateKey)
	public, _ := k.material.(*rsa.PublicKey)
	switch format {
	case "spki":
		if public == nil {
			return KeyData{}, accessError("A private key has no format \"spki\".")
		}
		return marshaled(x509.MarshalPKIXPublicKey(public))
	case "pkcs8":
		if private == nil {
			return KeyData{}, accessError("A public key has no format \"pkcs8\".")
		}
		return marshaled(x509.MarshalPKCS8PrivateKey(private))
	case "jwk":
		if private != nil {
			public = &private.PublicKey
		}
		j := &JWK{Kty: text("RSA"), Alg: text(rsaAlg(prefix, k.Algorithm.Hash)), N: encoded(public.N.Bytes()), E: encoded(k.Algorithm.PublicExponent)}
		if private != nil {
			v := private.Precomputed
			j.D, j.P, j.Q = encoded(private.D.Bytes()), encoded(private.Primes[0].Bytes()), encoded(private.Primes[1].Bytes())
			j.DP, j.DQ, j.QI = encoded(v.Dp.Bytes()), encoded(v.Dq.Bytes()), encoded(v.Qinv.Bytes())
		}
		return KeyData{JWK: j}, nil
	}
	return KeyData{}, notSupported("Keys of RSA have no format %q.", format)
}

func marshaled(data []byte, err error) (KeyData, error) {
	if err != nil {
		return KeyData{}, operationError("Exporting the key failed.")
	}
	return KeyData{Bytes: data}, nil
}
