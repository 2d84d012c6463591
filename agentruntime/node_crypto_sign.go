package agentruntime

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"strings"

	"github.com/dop251/goja"
)

// The paddings of RSA, by OpenSSL's numbers.
const (
	paddingPKCS1 = 1
	paddingOAEP  = 4
	paddingPSS   = 6
)

// signature are the options of one signature, or its check.
type signature struct {
	hash    *nodeHash // nil for Ed25519
	key     *nodeKey
	padding int
	salt    int // bytes; rsa.PSSSaltLengthAuto, rsa.PSSSaltLengthEqualsHash
	p1363   bool
}

// signatureArgs reads (hash name or null, key, padding, salt length, dsa encoding) from the second argument on.
func (r *realm) signatureArgs(call goja.FunctionCall) *signature {
	s := &signature{key: self[*nodeKey](r, call.Argument(1)), padding: paddingPKCS1, salt: rsa.PSSSaltLengthAuto}
	if name := call.Argument(0); some(name) {
		s.hash = r.hashOf(r.str(name))
	}
	if v := call.Argument(3); some(v) {
		s.padding = int(v.ToInteger())
	}
	if v := call.Argument(4); some(v) {
		switch n := int(v.ToInteger()); n {
		case -1:
			s.salt = rsa.PSSSaltLengthEqualsHash
		case -2:
			s.salt = rsa.PSSSaltLengthAuto
		default:
			s.salt = n
		}
	}
	s.p1363 = some(call.Argument(5)) && call.Argument(5).String() == "ieee-p1363"
	if s.hash == nil && s.key.algorithm() != "ed25519" {
		s.hash = r.hashOf("sha256")
	}
	return s
}

func (s *signature) digest(data []byte) []byte {
	h := s.hash.new()
	_, _ = h.Write(data)
	return h.Sum(nil)
}

// ecPoint is an ECDSA signature in DER (RFC 3279).
type ecPoint struct{ R, S *big.Int }

func (s *signature) sign(data []byte) ([]byte, error) {
	switch k := s.key.material.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, data), nil
	case *rsa.PrivateKey:
		if s.padding == paddingPSS {
			return rsa.SignPSS(rand.Reader, k, s.hash.id, s.digest(data), &rsa.PSSOptions{SaltLength: s.salt})
		}
		return rsa.SignPKCS1v15(rand.Reader, k, s.hash.id, s.digest(data))
	case *ecdsa.PrivateKey:
		der, err := ecdsa.SignASN1(rand.Reader, k, s.digest(data))
		if err != nil || !s.p1363 {
			return der, err
		}
		var p ecPoint
		if _, err := asn1.Unmarshal(der, &p); err != nil {
			return nil, err
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		p.R.FillBytes(out[:size])
		p.S.FillBytes(out[size:])
		return out, nil
	}
	return nil, errKeyFormat
}

func (s *signature) verify(data, sig []byte) bool {
	switch k := s.key.public().material.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, data, sig)
	case *rsa.PublicKey:
		if s.padding == paddingPSS {
			return rsa.VerifyPSS(k, s.hash.id, s.digest(data), sig, &rsa.PSSOptions{SaltLength: s.salt}) == nil
		}
		return rsa.VerifyPKCS1v15(k, s.hash.id, s.digest(data), sig) == nil
	case *ecdsa.PublicKey:
		if s.p1363 {
			size := (k.Curve.Params().BitSize + 7) / 8
			if len(sig) != 2*size {
				return false
			}
			der, err := asn1.Marshal(ecPoint{new(big.Int).SetBytes(sig[:size]), new(big.Int).SetBytes(sig[size:])})
			if err != nil {
				return false
			}
			sig = der
		}
		return ecdsa.VerifyASN1(k, s.digest(data), sig)
	}
	return false
}

// rsaCrypt encrypts or decrypts with RSA.
func (r *realm) rsaCrypt(call goja.FunctionCall, encrypt bool) goja.Value {
	key, data, padding := self[*nodeKey](r, call.Argument(0)), r.data(call.Argument(1)), paddingOAEP
	if v := call.Argument(2); some(v) {
		padding = int(v.ToInteger())
	}
	hash := r.hashOf("sha1")
	if v := call.Argument(3); some(v) {
		hash = r.hashOf(v.String())
	}
	label := r.data(call.Argument(4))
	var out []byte
	var err error = errKeyFormat
	if encrypt {
		if k, ok := key.public().material.(*rsa.PublicKey); ok {
			switch padding {
			case paddingOAEP:
				out, err = rsa.EncryptOAEP(hash.new(), rand.Reader, k, data, label)
			case paddingPKCS1:
				out, err = rsa.EncryptPKCS1v15(rand.Reader, k, data)
			}
		}
	} else if k, ok := key.material.(*rsa.PrivateKey); ok {
		switch padding {
		case paddingOAEP:
			out, err = rsa.DecryptOAEP(hash.new(), nil, k, data, label)
		case paddingPKCS1:
			out, err = rsa.DecryptPKCS1v15(nil, k, data)
		}
	}
	r.cryptoFailed(err)
	return r.newBuffer(out)
}

// asECDH turns a key into one for key agreement.
func asECDH(material any) (any, error) {
	switch k := material.(type) {
	case *ecdsa.PrivateKey:
		return k.ECDH()
	case *ecdsa.PublicKey:
		return k.ECDH()
	}
	return material, nil
}

func agree(private, public any) ([]byte, error) {
	a, err := asECDH(private)
	if err != nil {
		return nil, err
	}
	b, err := asECDH(public)
	if err != nil {
		return nil, err
	}
	ours, ok := a.(*ecdh.PrivateKey)
	theirs, ok2 := b.(*ecdh.PublicKey)
	if !ok || !ok2 {
		return nil, errKeyFormat
	}
	return ours.ECDH(theirs)
}

func curveNamed(name string) (elliptic.Curve, ecdh.Curve) {
	for _, c := range ecCurves {
		if name == c.openssl || name == c.jwk || name == c.second {
			return c.curve, c.ecdh
		}
	}
	return nil, nil
}

func init() {
	// sign(hash, key, data, padding, salt, encoding), and verify with the signature behind.
	nodeNatives["sign"] = func(r *realm, call goja.FunctionCall) goja.Value {
		s := r.signatureArgs(call)
		if s.key.kind != "private" {
			panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", "Invalid key object type "+s.key.kind+", expected private."))
		}
		out, err := s.sign(r.data(call.Argument(2)))
		r.cryptoFailed(err)
		return r.newBuffer(out)
	}
	nodeNatives["verify"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.rt.ToValue(r.signatureArgs(call).verify(r.data(call.Argument(2)), r.data(call.Argument(6))))
	}
	// rsaEncrypt(key, data, padding, hash, label) and rsaDecrypt.
	nodeNatives["rsaEncrypt"] = func(r *realm, call goja.FunctionCall) goja.Value { return r.rsaCrypt(call, true) }
	nodeNatives["rsaDecrypt"] = func(r *realm, call goja.FunctionCall) goja.Value { return r.rsaCrypt(call, false) }
	nodeNatives["agree"] = func(r *realm, call goja.FunctionCall) goja.Value {
		out, err := agree(self[*nodeKey](r, call.Argument(0)).material, self[*nodeKey](r, call.Argument(1)).material)
		r.cryptoFailed(err)
		return r.newBuffer(out)
	}
	// keyGenerate(kind, option) makes a private key; the option is the bits of rsa or the curve of ec.
	nodeNatives["keyGenerate"] = func(r *realm, call goja.FunctionCall) goja.Value {
		var material any
		var err error
		switch kind := call.Argument(0).String(); kind {
		case "rsa", "rsa-pss":
			bits := call.Argument(1).ToInteger()
			r.limited(bits >= 1024 && bits <= 2048, "an RSA key of other than 1024 to 2048 bits takes too long to make here: call crypto.subtle.generateKey")
			material, err = rsa.GenerateKey(rand.Reader, int(bits))
		case "ec":
			curve, _ := curveNamed(call.Argument(1).String())
			if curve == nil {
				panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_CURVE", "Invalid EC curve name"))
			}
			material, err = ecdsa.GenerateKey(curve, rand.Reader)
		case "ed25519":
			_, material, err = ed25519.GenerateKey(rand.Reader)
		case "x25519":
			material, err = ecdh.X25519().GenerateKey(rand.Reader)
		default:
			panic(r.nodeError("TypeError", "ERR_INVALID_ARG_VALUE", "The argument 'type' must be rsa, ec, ed25519 or x25519. Received '"+shortened(kind)+"'"))
		}
		return r.keyHandle(&nodeKey{"private", material}, err)
	}
	// ecdhKey(curve, private bytes or undefined) is [private, public] as bytes, ecdhSecret(curve, private, public) what they
	// agree on.
	nodeNatives["ecdhKey"] = func(r *realm, call goja.FunctionCall) goja.Value {
		_, curve := curveNamed(call.Argument(0).String())
		if curve == nil {
			panic(r.nodeError("TypeError", "ERR_CRYPTO_INVALID_CURVE", "Invalid EC curve name"))
		}
		var k *ecdh.PrivateKey
		var err error
		if given(call.Argument(1)) {
			k, err = curve.NewPrivateKey(r.data(call.Argument(1)))
		} else {
			k, err = curve.GenerateKey(rand.Reader)
		}
		if err != nil {
			panic(r.nodeError("Error", "ERR_CRYPTO_INVALID_KEYTYPE", "Private key is not valid for specified curve."))
		}
		return r.rt.NewArray(r.newBuffer(k.Bytes()), r.newBuffer(k.PublicKey().Bytes()))
	}
	nodeNatives["ecdhSecret"] = func(r *realm, call goja.FunctionCall) goja.Value {
		_, curve := curveNamed(call.Argument(0).String())
		private, err := curve.NewPrivateKey(r.data(call.Argument(1)))
		r.cryptoFailed(err)
		public, err := curve.NewPublicKey(r.data(call.Argument(2)))
		if err != nil {
			panic(r.nodeError("Error", "ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY", "Public key is not valid for specified curve"))
		}
		out, err := private.ECDH(public)
		r.cryptoFailed(err)
		return r.newBuffer(out)
	}
	nodeNatives["curveNames"] = func(r *realm, _ goja.FunctionCall) goja.Value {
		var names []any
		for _, c := range ecCurves {
			names = append(names, strings.ToLower(c.openssl))
		}
		return r.rt.NewArray(names...)
	}
}
