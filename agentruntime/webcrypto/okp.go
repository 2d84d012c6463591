package webcrypto

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"slices"
)

// okp is one kind of octet key pairs (RFC 8037).
type okp struct {
	name            string // of the algorithm
	curve           string // crv of a JWK
	use             string
	algs            []string // alg of a JWK; empty: not looked at
	public, private Usages
	fromPublic      func(data []byte) any
	fromSeed        func(data []byte) any // the private key
	publicBytes     func(material any) []byte
	seedBytes       func(material any) []byte
	publicOf        func(material any) any
}

func init() {
	ed := okp{
		name: "Ed25519", curve: "Ed25519", use: "sig", algs: []string{"Ed25519", "EdDSA"}, public: UseVerify, private: UseSign,
		fromPublic:  func(data []byte) any { return ed25519.PublicKey(slices.Clone(data)) },
		fromSeed:    func(data []byte) any { return ed25519.NewKeyFromSeed(data) },
		publicBytes: func(m any) []byte { return m.(ed25519.PublicKey) },
		seedBytes:   func(m any) []byte { return m.(ed25519.PrivateKey).Seed() },
		publicOf:    func(m any) any { return m.(ed25519.PrivateKey).Public() },
	}
	register("Ed25519", edScheme(ed))
	// The name from before Ed25519 was in the specification, which Workers still take.
	ed.name, ed.algs = "NODE-ED25519", []string{"EdDSA", "Ed25519"}
	register("NODE-ED25519", edScheme(ed))

	x := okp{
		name: "X25519", curve: "X25519", use: "enc", private: UseDeriveKey | UseDeriveBits,
		fromPublic:  func(data []byte) any { k, _ := ecdh.X25519().NewPublicKey(data); return k },
		fromSeed:    func(data []byte) any { k, _ := ecdh.X25519().NewPrivateKey(data); return k },
		publicBytes: func(m any) []byte { return m.(*ecdh.PublicKey).Bytes() },
		seedBytes:   func(m any) []byte { return m.(*ecdh.PrivateKey).Bytes() },
		publicOf:    func(m any) any { return m.(*ecdh.PrivateKey).PublicKey() },
	}
	a := x.scheme()
	a.params[OpDerive] = dictPublic
	a.derive = func(k *Key, p *Params, length int) ([]byte, error) {
		private, ok := k.material.(*ecdh.PrivateKey)
		if !ok {
			return nil, accessError("Deriving needs a private key.")
		}
		if err := k.agrees(p.Public); err != nil {
			return nil, err
		}
		// A public key of small order, which gives zeros, is an error there.
		shared, err := private.ECDH(p.Public.material.(*ecdh.PublicKey))
		return cut(shared, err, length)
	}
	register("X25519", a)
}

func edScheme(o okp) *algorithm {
	a := o.scheme()
	a.params[OpSign], a.params[OpVerify] = nil, nil
	if o.name == "NODE-ED25519" {
		a.params[OpGenerate], a.params[OpImport] = dictNodeCurve, dictNodeCurve
	}
	a.sign = func(k *Key, _ *Params, data []byte) ([]byte, error) {
		key, ok := k.material.(ed25519.PrivateKey)
		if !ok {
			return nil, accessError("Signing needs a private key.")
		}
		return ed25519.Sign(key, data), nil
	}
	a.verify = func(k *Key, _ *Params, signature, data []byte) (bool, error) {
		key, ok := k.material.(ed25519.PublicKey)
		if !ok {
			return false, accessError("Verifying needs a public key.")
		}
		if len(signature) == ed25519.SignatureSize && (smallOrder(key) || smallOrder(signature[:okpSize])) {
			return false, nil
		}
		return ed25519.Verify(key, data, signature), nil
	}
	return a
}

const okpSize = 32

// smallOrders are the encodings of the points of small order, the sign left out. With one of them as a key, or as the R of
// a signature, many signatures fit many messages, so that the specification refuses them.
var smallOrders = [][okpSize]byte{
	{},
	{1},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	nearPrime(0xec), nearPrime(0xed), nearPrime(0xee), // -1, and 0 and 1 again, not reduced
}

// nearPrime is 2^255 - 256 + low.
func nearPrime(low byte) (b [okpSize]byte) {
	for i := range b {
		b[i] = 0xff
	}
	b[0], b[okpSize-1] = low, 0x7f
	return b
}

func smallOrder(point []byte) bool {
	unsigned := [okpSize]byte(point)
	unsigned[okpSize-1] &= 0x7f
	return slices.Contains(smallOrders, unsigned)
}

func (o okp) described() KeyAlgorithm {
	if o.name == "NODE-ED25519" {
		return KeyAlgorithm{Name: o.name, NamedCurve: o.name}
	}
	return KeyAlgorithm{Name: o.name}
}

func (o okp) scheme() *algorithm {
	return &algorithm{
		params: map[Operation][]Member{OpGenerate: nil, OpImport: nil},
		check: func(_ *Params, usages Usages) error {
			if err := usages.within(o.public|o.private, o.name); err != nil {
				return err
			}
			return notEmpty(usages & o.private)
		},
		generate: func(_ *Params, extractable bool, usages Usages) (*Key, *Key, error) {
			seed := make([]byte, okpSize)
			_, _ = rand.Read(seed)
			private := o.fromSeed(seed)
			publicKey, privateKey := pair(o.described(), extractable, usages, o.public, o.private, o.publicOf(private), private)
			return publicKey, privateKey, nil
		},
		imports: o.imports,
		export:  o.export,
	}
}

func (o okp) imports(format string, data KeyData, _ *Params, extractable bool, usages Usages) (*Key, error) {
	k := &Key{Extractable: extractable, Usages: usages, Algorithm: o.described()}
	var err error
	switch format {
	case "raw", "spki":
		if err := usages.within(o.public, o.name); err != nil {
			return nil, err
		}
		k.Type = "public"
		if format == "raw" {
			k.material, err = o.point(data.Bytes)
			break
		}
		parsed, _ := x509.ParsePKIXPublicKey(data.Bytes)
		k.material, err = o.own(parsed)
	case "pkcs8":
		if err := usages.within(o.private, o.name); err != nil {
			return nil, err
		}
		k.Type = "private"
		parsed, _ := x509.ParsePKCS8PrivateKey(data.Bytes)
		k.material, err = o.own(parsed)
	case "jwk":
		k.Type, k.material, err = o.fromJWK(data.JWK, extractable, usages)
	default:
		return nil, notSupported("Keys of %s have no format %q.", o.name, format)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (o okp) point(data []byte) (any, error) {
	if len(data) != okpSize {
		return nil, dataError("A public key of %s has %d bytes, not %d.", o.name, okpSize, len(data))
	}
	return o.fromPublic(data), nil
}

// own checks that a key that was parsed is of this kind.
func (o okp) own(key any) (any, error) {
	switch key := key.(type) {
	case ed25519.PublicKey, ed25519.PrivateKey:
		if o.curve == "Ed25519" {
			return key, nil
		}
	case *ecdh.PublicKey:
		if o.curve == "X25519" && key.Curve() == ecdh.X25519() {
			return key, nil
		}
	case *ecdh.PrivateKey:
		if o.curve == "X25519" && key.Curve() == ecdh.X25519() {
			return key, nil
		}
	}
	return nil, dataError("The data is no key of %s.", o.name)
}

func (o okp) fromJWK(j *JWK, extractable bool, usages Usages) (string, any, error) {
	allowed := o.public
	if j.D != nil {
		allowed = o.private
	}
	if err := usages.within(allowed, o.name); err != nil {
		return "", nil, err
	}
	if !j.is(j.Kty, "OKP") {
		return "", nil, dataError("The JWK's \"kty\" is not \"OKP\".")
	}
	if !j.is(j.Crv, o.curve) {
		return "", nil, dataError("The JWK's \"crv\" is not %q.", o.curve)
	}
	if j.Alg != nil && len(o.algs) > 0 && !slices.Contains(o.algs, *j.Alg) {
		return "", nil, dataError("The JWK's \"alg\" is not %q.", o.algs[0])
	}
	if err := j.accept(o.use, extractable, usages); err != nil {
		return "", nil, err
	}
	x, err := j.bytes("x", j.X)
	if err != nil {
		return "", nil, err
	}
	public, err := o.point(x)
	if err != nil || j.D == nil {
		return "public", public, err
	}
	d, err := j.bytes("d", j.D)
	if err != nil {
		return "", nil, err
	}
	if len(d) != okpSize {
		return "", nil, dataError("A private key of %s has %d bytes, not %d.", o.name, okpSize, len(d))
	}
	private := o.fromSeed(d)
	if !slices.Equal(o.publicBytes(o.publicOf(private)), x) {
		return "", nil, dataError("The private and the public part of the JWK do not belong together.")
	}
	return "private", private, nil
}

func (o okp) export(format string, k *Key) (KeyData, error) {
	if k.Type == "private" && (format == "raw" || format == "spki") {
		return KeyData{}, accessError("A private key has no format %q.", format)
	}
	if k.Type == "public" && format == "pkcs8" {
		return KeyData{}, accessError("A public key has no format \"pkcs8\".")
	}
	switch format {
	case "raw":
		return KeyData{Bytes: slices.Clone(o.publicBytes(k.material))}, nil
	case "spki":
		return marshaled(x509.MarshalPKIXPublicKey(k.material))
	case "pkcs8":
		return marshaled(x509.MarshalPKCS8PrivateKey(k.material))
	case "jwk":
		j := &JWK{Kty: text("OKP"), Crv: text(o.curve)}
		public := k.material
		if k.Type == "private" {
			public, j.D = o.publicOf(k.material), encoded(o.seedBytes(k.material))
		}
		if len(o.algs) > 0 {
			j.Alg = text(o.algs[0])
		}
		j.X = encoded(o.publicBytes(public))
		return KeyData{JWK: j}, nil
	}
	return KeyData{}, notSupported("Keys of %s have no format %q.", o.name, format)
}
