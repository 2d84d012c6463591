package agentruntime

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"

	"github.com/dop251/goja"
)

// nodeKey is the state of a KeyObject (https://nodejs.org/api/crypto.html#class-keyobject).
type nodeKey struct {
	kind string // secret, public or private
	// material is []byte, or what crypto/x509 gives: *rsa.PublicKey, *ecdsa.PrivateKey and so on.
	material any
}

// algorithm is the asymmetricKeyType of the key.
func (k *nodeKey) algorithm() string {
	switch m := k.material.(type) {
	case *rsa.PublicKey, *rsa.PrivateKey:
		return "rsa"
	case *ecdsa.PublicKey, *ecdsa.PrivateKey:
		return "ec"
	case ed25519.PublicKey, ed25519.PrivateKey:
		return "ed25519"
	case *ecdh.PublicKey, *ecdh.PrivateKey:
		_ = m
		return "x25519"
	}
	return ""
}

// public returns the key that others may know.
func (k *nodeKey) public() *nodeKey {
	switch m := k.material.(type) {
	case *rsa.PrivateKey:
		return &nodeKey{"public", &m.PublicKey}
	case *ecdsa.PrivateKey:
		return &nodeKey{"public", &m.PublicKey}
	case ed25519.PrivateKey:
		return &nodeKey{"public", m.Public()}
	case *ecdh.PrivateKey:
		return &nodeKey{"public", m.PublicKey()}
	}
	return k
}

var errKeyFormat = errors.New("the key has another format, or an algorithm that is not supported")

// The bounds of keys that are read: longer ones take too long to check and to use. 8192 bits of RSA are 4.7 KB.
const (
	maxKeyBits  = 8192
	maxKeyBytes = 6 << 10
)

// parseKey reads a key from DER of any of the forms that Node.js takes; label is that of the PEM block, empty for none.
func parseKey(der []byte, label string) (*nodeKey, error) {
	if len(der) > maxKeyBytes && label != "CERTIFICATE" {
		return nil, errors.New("the key is longer than any that is supported")
	}
	private := func(m any, err error) (*nodeKey, error) { return &nodeKey{"private", m}, err }
	public := func(m any, err error) (*nodeKey, error) { return &nodeKey{"public", m}, err }
	switch label {
	case "PRIVATE KEY":
		return private(x509.ParsePKCS8PrivateKey(der))
	case "RSA PRIVATE KEY":
		return private(x509.ParsePKCS1PrivateKey(der))
	case "EC PRIVATE KEY":
		return private(x509.ParseECPrivateKey(der))
	case "PUBLIC KEY":
		return public(x509.ParsePKIXPublicKey(der))
	case "RSA PUBLIC KEY":
		return public(x509.ParsePKCS1PublicKey(der))
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		return &nodeKey{"public", c.PublicKey}, nil
	case "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("a key with a passphrase is not supported by this runtime: decrypt it before it is stored")
	}
	for _, label := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY", "RSA PUBLIC KEY"} {
		if k, err := parseKey(der, label); err == nil {
			return k, nil
		}
	}
	return nil, errKeyFormat
}

func parsePEM(text []byte) (*nodeKey, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errKeyFormat
		}
		if block.Type != "EC PARAMETERS" {
			if block.Headers["Proc-Type"] != "" {
				return parseKey(nil, "ENCRYPTED PRIVATE KEY")
			}
			return parseKey(block.Bytes, block.Type)
		}
		text = rest
	}
}

var ecCurves = []struct {
	curve       elliptic.Curve
	ecdh        ecdh.Curve
	openssl     string // as Node.js names it
	jwk, second string
}{
	{elliptic.P256(), ecdh.P256(), "prime256v1", "P-256", "secp256r1"},
	{elliptic.P384(), ecdh.P384(), "secp384r1", "P-384", ""},
	{elliptic.P521(), ecdh.P521(), "secp521r1", "P-521", ""},
}

// keyJWK are the members of a JSON Web Key (RFC 7517, RFC 7518, RFC 8037).
type keyJWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	N   string `json:"n,omitempty"`
	E   string `json:"e,omitempty"`
	D   string `json:"d,omitempty"`
	P   string `json:"p,omitempty"`
	Q   string `json:"q,omitempty"`
	DP  string `json:"dp,omitempty"`
	DQ  string `json:"dq,omitempty"`
	QI  string `json:"qi,omitempty"`
	K   string `json:"k,omitempty"`
}

var b64 = base64.RawURLEncoding

func bigOf(text string) (*big.Int, error) {
	data, err := b64.DecodeString(text)
	return new(big.Int).SetBytes(data), err
}

func parseJWK(text []byte) (*nodeKey, error) {
	var j keyJWK
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, err
	}
	x, err := b64.DecodeString(j.X)
	y, err2 := b64.DecodeString(j.Y)
	d, err3 := b64.DecodeString(j.D)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	switch {
	case j.Kty == "oct":
		k, err := b64.DecodeString(j.K)
		return &nodeKey{"secret", k}, err
	case j.Kty == "OKP" && j.Crv == "Ed25519" && j.D == "" && len(x) == ed25519.PublicKeySize:
		return &nodeKey{"public", ed25519.PublicKey(x)}, nil
	case j.Kty == "OKP" && j.Crv == "Ed25519" && len(d) == ed25519.SeedSize:
		return &nodeKey{"private", ed25519.NewKeyFromSeed(d)}, nil
	case j.Kty == "OKP" && j.Crv == "X25519" && j.D == "":
		k, err := ecdh.X25519().NewPublicKey(x)
		return &nodeKey{"public", k}, err
	case j.Kty == "OKP" && j.Crv == "X25519":
		k, err := ecdh.X25519().NewPrivateKey(d)
		return &nodeKey{"private", k}, err
	case j.Kty == "EC":
		for _, c := range ecCurves {
			if c.jwk != j.Crv {
				continue
			}
			size := (c.curve.Params().BitSize + 7) / 8
			if j.D != "" {
				k, err := ecdsa.ParseRawPrivateKey(c.curve, append(make([]byte, max(0, size-len(d))), d...))
				return &nodeKey{"private", k}, err
			}
			if len(x) > size || len(y) > size {
				return nil, errKeyFormat
			}
			point := make([]byte, 1+2*size)
			point[0] = 4
			copy(point[1+size-len(x):], x)
			copy(point[1+2*size-len(y):], y)
			k, err := ecdsa.ParseUncompressedPublicKey(c.curve, point)
			return &nodeKey{"public", k}, err
		}
	case j.Kty == "RSA":
		return parseRSA(&j)
	}
	return nil, errKeyFormat
}

func parseRSA(j *keyJWK) (*nodeKey, error) {
	n, err := bigOf(j.N)
	e, err2 := bigOf(j.E)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	if !e.IsInt64() || e.Int64() > 1<<31-1 || n.BitLen() > maxKeyBits {
		return nil, errKeyFormat
	}
	public := rsa.PublicKey{N: n, E: int(e.Int64())}
	if j.D == "" {
		return &nodeKey{"public", &public}, nil
	}
	d, err := bigOf(j.D)
	p, err2 := bigOf(j.P)
	q, err3 := bigOf(j.Q)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	if d.BitLen() > maxKeyBits || p.BitLen() > maxKeyBits || q.BitLen() > maxKeyBits {
		return nil, errKeyFormat
	}
	k := &rsa.PrivateKey{PublicKey: public, D: d, Primes: []*big.Int{p, q}}
	if err := k.Validate(); err != nil {
		return nil, err
	}
	k.Precompute()
	return &nodeKey{"private", k}, nil
}

// jwk writes the key as a JSON Web Key.
func (k *nodeKey) jwk() (*keyJWK, error) {
	num := func(n *big.Int) string { return b64.EncodeToString(n.Bytes()) }
	switch m := k.material.(type) {
	case []byte:
		return &keyJWK{Kty: "oct", K: b64.EncodeToString(m)}, nil
	case ed25519.PublicKey:
		return &keyJWK{Kty: "OKP", Crv: "Ed25519", X: b64.EncodeToString(m)}, nil
	case *ecdh.PublicKey:
		return &keyJWK{Kty: "OKP", Crv: "X25519", X: b64.EncodeToString(m.Bytes())}, nil
	case *rsa.PublicKey:
		return &keyJWK{Kty: "RSA", N: num(m.N), E: num(big.NewInt(int64(m.E)))}, nil
	case *ecdsa.PublicKey:
		point, err := m.Bytes()
		if err != nil {
			return nil, err
		}
		size := (len(point) - 1) / 2
		return &keyJWK{Kty: "EC", Crv: m.Curve.Params().Name, X: b64.EncodeToString(point[1 : 1+size]), Y: b64.EncodeToString(point[1+size:])}, nil
	}
	j, err := k.public().jwk()
	if err != nil {
		return nil, err
	}
	switch m := k.material.(type) {
	case ed25519.PrivateKey:
		j.D = b64.EncodeToString(m.Seed())
	case *ecdh.PrivateKey:
		j.D = b64.EncodeToString(m.Bytes())
	case *ecdsa.PrivateKey:
		d, err := m.Bytes()
		if err != nil {
			return nil, err
		}
		j.D = b64.EncodeToString(d)
	case *rsa.PrivateKey:
		m.Precompute()
		j.D, j.P, j.Q = num(m.D), num(m.Primes[0]), num(m.Primes[1])
		j.DP, j.DQ, j.QI = num(m.Precomputed.Dp), num(m.Precomputed.Dq), num(m.Precomputed.Qinv)
	default:
		return nil, errKeyFormat
	}
	return j, nil
}

// der writes the key in the form that kind names: pkcs1, pkcs8, spki or sec1.
func (k *nodeKey) der(kind string) (der []byte, label string, err error) {
	switch kind {
	case "spki":
		der, err = x509.MarshalPKIXPublicKey(k.material)
		return der, "PUBLIC KEY", err
	case "pkcs8":
		der, err = x509.MarshalPKCS8PrivateKey(k.material)
		return der, "PRIVATE KEY", err
	case "pkcs1":
		switch m := k.material.(type) {
		case *rsa.PublicKey:
			return x509.MarshalPKCS1PublicKey(m), "RSA PUBLIC KEY", nil
		case *rsa.PrivateKey:
			return x509.MarshalPKCS1PrivateKey(m), "RSA PRIVATE KEY", nil
		}
	case "sec1":
		if m, ok := k.material.(*ecdsa.PrivateKey); ok {
			der, err = x509.MarshalECPrivateKey(m)
			return der, "EC PRIVATE KEY", err
		}
	}
	return nil, "", errKeyFormat
}

func (r *realm) keyHandle(k *nodeKey, err error) goja.Value {
	if err != nil || k == nil {
		text := errKeyFormat.Error()
		if err != nil {
			text = err.Error()
		}
		panic(r.nodeError("Error", "ERR_OSSL_UNSUPPORTED", "error:1E08010C:DECODER routines::unsupported: "+text))
	}
	if m, ok := k.public().material.(*rsa.PublicKey); ok && m.N.BitLen() > maxKeyBits {
		panic(r.nodeError("Error", "ERR_OSSL_UNSUPPORTED", "an RSA key of more than "+itoa(maxKeyBits)+" bits is not supported by this runtime"))
	}
	if k.algorithm() == "" && k.kind != "secret" {
		panic(r.nodeError("Error", "ERR_OSSL_UNSUPPORTED", errKeyFormat.Error()))
	}
	o := r.opaque(k)
	_ = o.Set("kind", k.kind)
	_ = o.Set("algorithm", k.algorithm())
	switch m := k.material.(type) {
	case []byte:
		_ = o.Set("size", len(m))
	case *rsa.PublicKey:
		_ = o.Set("modulusLength", m.N.BitLen())
		_ = o.Set("publicExponent", big.NewInt(int64(m.E)))
	case *rsa.PrivateKey:
		_ = o.Set("modulusLength", m.N.BitLen())
		_ = o.Set("publicExponent", big.NewInt(int64(m.E)))
	case *ecdsa.PublicKey:
		_ = o.Set("namedCurve", opensslCurve(m.Curve))
	case *ecdsa.PrivateKey:
		_ = o.Set("namedCurve", opensslCurve(m.Curve))
	}
	return o
}

func opensslCurve(curve elliptic.Curve) string {
	for _, c := range ecCurves {
		if c.curve == curve {
			return c.openssl
		}
	}
	return curve.Params().Name
}

func init() {
	key := func(r *realm, v goja.Value) *nodeKey { return self[*nodeKey](r, v) }
	nodeNatives["keySecret"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.keyHandle(&nodeKey{"secret", bytes.Clone(r.data(call.Argument(0)))}, nil)
	}
	// keyParse(data, form) with the form pem, der or jwk.
	nodeNatives["keyParse"] = func(r *realm, call goja.FunctionCall) goja.Value {
		data := r.data(call.Argument(0))
		switch call.Argument(1).String() {
		case "der":
			return r.keyHandle(parseKey(data, ""))
		case "jwk":
			return r.keyHandle(parseJWK(data))
		}
		return r.keyHandle(parsePEM(data))
	}
	nodeNatives["keyPublic"] = func(r *realm, call goja.FunctionCall) goja.Value {
		return r.keyHandle(key(r, call.Argument(0)).public(), nil)
	}
	nodeNatives["keyBytes"] = func(r *realm, call goja.FunctionCall) goja.Value {
		data, _ := key(r, call.Argument(0)).material.([]byte)
		return r.newBuffer(bytes.Clone(data))
	}
	// keyExport(key, form, kind) with the form pem, der or jwk, as JSON.
	nodeNatives["keyExport"] = func(r *realm, call goja.FunctionCall) goja.Value {
		k := key(r, call.Argument(0))
		if call.Argument(1).String() == "jwk" {
			j, err := k.jwk()
			r.cryptoFailed(err)
			text, err := json.Marshal(j)
			r.cryptoFailed(err)
			return r.rt.ToValue(string(text))
		}
		der, label, err := k.der(call.Argument(2).String())
		if err != nil {
			panic(r.nodeError("Error", "ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS", "the key cannot be exported as "+shortened(call.Argument(2).String())))
		}
		if call.Argument(1).String() == "der" {
			return r.newBuffer(der)
		}
		return r.rt.ToValue(string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})))
	}
	nodeNatives["keyEqual"] = func(r *realm, call goja.FunctionCall) goja.Value {
		a, b := key(r, call.Argument(0)), key(r, call.Argument(1))
		if x, ok := a.material.([]byte); ok {
			y, ok := b.material.([]byte)
			return r.rt.ToValue(ok && bytes.Equal(x, y))
		}
		same := false
		if x, ok := a.material.(interface{ Equal(crypto.PrivateKey) bool }); ok && a.kind == "private" {
			same = b.kind == "private" && x.Equal(b.material)
		} else if x, ok := a.material.(interface{ Equal(crypto.PublicKey) bool }); ok {
			same = b.kind == "public" && x.Equal(b.material)
		}
		return r.rt.ToValue(same)
	}
}
