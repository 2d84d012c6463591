package webcrypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
)

// curves are the curves of ECDSA and ECDH by their names, with the algorithm that a JWK names for ECDSA.
var curves = map[string]struct {
	curve elliptic.Curve
	alg   string
}{
	"P-256": {elliptic.P256(), "ES256"},
	"P-384": {elliptic.P384(), "ES384"},
	"P-521": {elliptic.P521(), "ES512"},
}

func init() {
	ecdsaKeys := ecScheme("ECDSA", UseVerify, UseSign, "sig")
	ecdsaKeys.params[OpSign], ecdsaKeys.params[OpVerify] = dictHash, dictHash
	ecdsaKeys.sign = func(k *Key, p *Params, data []byte) ([]byte, error) {
		key, ok := k.material.(*ecdsa.PrivateKey)
		if !ok {
			return nil, accessError("Signing needs a private key.")
		}
		r, s, err := ecdsa.Sign(rand.Reader, key, sumOf(p.Hash, data))
		if err != nil {
			return nil, operationError("Signing failed.")
		}
		n := fieldSize(key.Curve)
		out := make([]byte, 2*n)
		r.FillBytes(out[:n])
		s.FillBytes(out[n:])
		return out, nil
	}
	ecdsaKeys.verify = func(k *Key, p *Params, signature, data []byte) (bool, error) {
		key, ok := k.material.(*ecdsa.PublicKey)
		if !ok {
			return false, accessError("Verifying needs a public key.")
		}
		n := fieldSize(key.Curve)
		if len(signature) != 2*n {
			return false, nil
		}
		r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
		return ecdsa.Verify(key, sumOf(p.Hash, data), r, s), nil
	}
	register("ECDSA", ecdsaKeys)

	ecdhKeys := ecScheme("ECDH", 0, UseDeriveKey|UseDeriveBits, "enc")
	ecdhKeys.params[OpDerive] = dictPublic
	ecdhKeys.derive = func(k *Key, p *Params, length int) ([]byte, error) {
		private, ok := k.material.(*ecdsa.PrivateKey)
		if !ok {
			return nil, accessError("Deriving needs a private key.")
		}
		if err := k.agrees(p.Public); err != nil {
			return nil, err
		}
		if p.Public.Algorithm.NamedCurve != k.Algorithm.NamedCurve {
			return nil, accessError("The public key is on another curve.")
		}
		ours, err := private.ECDH()
		if err != nil {
			return nil, operationError("Deriving failed.")
		}
		theirs, err := p.Public.material.(*ecdsa.PublicKey).ECDH()
		if err != nil {
			return nil, operationError("Deriving failed.")
		}
		shared, err := ours.ECDH(theirs)
		return cut(shared, err, length)
	}
	register("ECDH", ecdhKeys)
}

// agrees checks the other side's key before a secret is agreed on with it.
func (k *Key) agrees(public *Key) error {
	if public.Type != "public" {
		return accessError("The other side's key must be a public one.")
	}
	if public.Algorithm.Name != k.Algorithm.Name {
		return accessError("The other side's key is of %s, not %s.", public.Algorithm.Name, k.Algorithm.Name)
	}
	return nil
}

// cut returns the first bits of a shared secret, all of them for a length of -1.
func cut(shared []byte, err error, length int) ([]byte, error) {
	switch {
	case err != nil:
		return nil, operationError("Deriving failed.")
	case length < 0:
		return shared, nil
	case length > 8*len(shared):
		return nil, operationError("The shared secret has %d bits, fewer than the %d asked for.", 8*len(shared), length)
	}
	out := shared[:(length+7)/8]
	if length > 0 {
		trim(out, length)
	}
	return out, nil
}

func fieldSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// ecScheme is what ECDSA and ECDH have in common.
func ecScheme(name string, public, private Usages, use string) *algorithm {
	return &algorithm{
		params: map[Operation][]Member{OpGenerate: dictCurve, OpImport: dictCurve},
		check: func(p *Params, usages Usages) error {
			if err := usages.within(public|private, name); err != nil {
				return err
			}
			if _, ok := curves[p.NamedCurve]; !ok {
				return notSupported("The curve %q is not supported.", p.NamedCurve)
			}
			return notEmpty(usages & private)
		},
		generate: func(p *Params, extractable bool, usages Usages) (*Key, *Key, error) {
			key, err := ecdsa.GenerateKey(curves[p.NamedCurve].curve, rand.Reader)
			if err != nil {
				return nil, nil, operationError("Generating the key failed.")
			}
			publicKey, privateKey := pair(KeyAlgorithm{Name: name, NamedCurve: p.NamedCurve}, extractable, usages, public, private, &key.PublicKey, key)
			return publicKey, privateKey, nil
		},
		imports: func(format string, data KeyData, p *Params, extractable bool, usages Usages) (*Key, error) {
			k := &Key{Extractable: extractable, Usages: usages, Algorithm: KeyAlgorithm{Name: name, NamedCurve: p.NamedCurve}}
			c, known := curves[p.NamedCurve]
			if format == "raw" && !known {
				return nil, dataError("The curve %q is not supported.", p.NamedCurve)
			}
			var key *ecdsa.PublicKey
			switch format {
			case "raw", "spki":
				if err := usages.within(public, name); err != nil {
					return nil, err
				}
				key = ecPoint(c.curve, data.Bytes)
				if format == "spki" {
					key = ecPublic(data.Bytes)
				}
				if key == nil {
					return nil, dataError("The data is no public key on a known curve.")
				}
				k.Type, k.material = "public", key
			case "pkcs8":
				if err := usages.within(private, name); err != nil {
					return nil, err
				}
				parsed, err := x509.ParsePKCS8PrivateKey(data.Bytes)
				whole, ok := parsed.(*ecdsa.PrivateKey)
				if err != nil || !ok {
					return nil, dataError("The data is no private key on a known curve in PKCS #8.")
				}
				k.Type, k.material, key = "private", whole, &whole.PublicKey
			case "jwk":
				var err error
				if k.Type, k.material, err = ecFromJWK(data.JWK, name, use, p.NamedCurve, public, private, extractable, usages); err != nil {
					return nil, err
				}
				return k, nil
			default:
				return nil, notSupported("Keys of %s have no format %q.", name, format)
			}
			if !known || key.Curve != c.curve {
				return nil, dataError("The key is not on the curve %q.", p.NamedCurve)
			}
			return k, nil
		},
		export: ecExport,
	}
}

// ecPoint reads a point, compressed or not. It is nil for what is none, and for the point at infinity.
func ecPoint(c elliptic.Curve, data []byte) *ecdsa.PublicKey {
	if c == nil || len(data) == 0 {
		return nil
	}
	if data[0] == 4 {
		key, err := ecdsa.ParseUncompressedPublicKey(c, data)
		if err != nil {
			return nil
		}
		return key
	}
	x, y := elliptic.UnmarshalCompressed(c, data)
	if x == nil {
		return nil
	}
	n := fieldSize(c)
	point := make([]byte, 1+2*n)
	point[0] = 4
	x.FillBytes(point[1 : 1+n])
	y.FillBytes(point[1+n:])
	return ecPoint(c, point)
}

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	// curveOIDs are the curves of RFC 5480, section 2.1.1.1.
	curveOIDs = []struct {
		oid  asn1.ObjectIdentifier
		name string
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, "P-256"},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 34}, "P-384"},
		{asn1.ObjectIdentifier{1, 3, 132, 0, 35}, "P-521"},
	}
)

// ecPublic reads a SubjectPublicKeyInfo. The standard library does not take compressed points.
func ecPublic(data []byte) *ecdsa.PublicKey {
	var info struct {
		Algorithm struct{ Algorithm, Curve asn1.ObjectIdentifier }
		Point     asn1.BitString
	}
	rest, err := asn1.Unmarshal(data, &info)
	if err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidECPublicKey) || info.Point.BitLength%8 != 0 {
		return nil
	}
	for _, c := range curveOIDs {
		if c.oid.Equal(info.Algorithm.Curve) {
			return ecPoint(curves[c.name].curve, info.Point.Bytes)
		}
	}
	return nil
}

func ecFromJWK(j *JWK, name, use, curve string, public, private Usages, extractable bool, usages Usages) (string, any, error) {
	allowed := public
	if j.D != nil {
		allowed = private
	}
	if err := usages.within(allowed, name); err != nil {
		return "", nil, err
	}
	if !j.is(j.Kty, "EC") {
		return "", nil, dataError("The JWK's \"kty\" is not \"EC\".")
	}
	if err := j.accept(use, extractable, usages); err != nil {
		return "", nil, err
	}
	c, known := curves[curve]
	if !known || !j.is(j.Crv, curve) {
		return "", nil, dataError("The JWK's \"crv\" is not %q.", curve)
	}
	if name == "ECDSA" && j.Alg != nil && *j.Alg != c.alg {
		return "", nil, dataError("The JWK's \"alg\" is not %q.", c.alg)
	}
	n := fieldSize(c.curve)
	point := []byte{4}
	for _, m := range []struct {
		name  string
		value *string
	}{{"x", j.X}, {"y", j.Y}} {
		v, err := j.bytes(m.name, m.value)
		if err != nil {
			return "", nil, err
		}
		if len(v) != n {
			return "", nil, dataError("The JWK's member %q has %d bytes, not %d.", m.name, len(v), n)
		}
		point = append(point, v...)
	}
	key := ecPoint(c.curve, point)
	if key == nil {
		return "", nil, dataError("The JWK is no point on %s.", curve)
	}
	if j.D == nil {
		return "public", key, nil
	}
	d, err := j.bytes("d", j.D)
	if err != nil {
		return "", nil, err
	}
	whole, err := ecdsa.ParseRawPrivateKey(c.curve, d)
	if err != nil || !whole.PublicKey.Equal(key) {
		return "", nil, dataError("The private and the public part of the JWK do not belong together.")
	}
	return "private", whole, nil
}

func ecExport(format string, k *Key) (KeyData, error) {
	private, _ := k.material.(*ecdsa.PrivateKey)
	public, _ := k.material.(*ecdsa.PublicKey)
	if private != nil && (format == "raw" || format == "spki") {
		return KeyData{}, accessError("A private key has no format %q.", format)
	}
	if private == nil && format == "pkcs8" {
		return KeyData{}, accessError("A public key has no format \"pkcs8\".")
	}
	switch format {
	case "raw":
		return marshaled(public.Bytes())
	case "spki":
		return marshaled(x509.MarshalPKIXPublicKey(public))
	case "pkcs8":
		return marshaled(x509.MarshalPKCS8PrivateKey(private))
	case "jwk":
		if private != nil {
			public = &private.PublicKey
		}
		point, err := public.Bytes()
		if err != nil {
			return KeyData{}, operationError("Exporting the key failed.")
		}
		point = bytes.TrimPrefix(point, []byte{4})
		j := &JWK{Kty: text("EC"), Crv: text(k.Algorithm.NamedCurve), X: encoded(point[:len(point)/2]), Y: encoded(point[len(point)/2:])}
		if private != nil {
			d, err := private.Bytes()
			if err != nil {
				return KeyData{}, operationError("Exporting the key failed.")
			}
			j.D = encoded(d)
		}
		return KeyData{JWK: j}, nil
	}
	return KeyData{}, notSupported("Keys on elliptic curves have no format %q.", format)
}
