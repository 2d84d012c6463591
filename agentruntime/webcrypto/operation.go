package webcrypto

// may is the check before an operation that a key is of the algorithm and made for the use.
func (k *Key) may(p *Params, use Usages) error {
	if k.Algorithm.Name != p.Name {
		return accessError("The requested operation is not valid for the provided key: its algorithm is %s, not %s.", k.Algorithm.Name, p.Name)
	}
	if k.Usages&use == 0 {
		return accessError("The requested operation is not valid for the provided key: its usages lack %s.", use.Names()[0])
	}
	return nil
}

// Generate makes a secret key, or a pair: then public is not nil. p is normalized for OpGenerate.
func Generate(p *Params, extractable bool, usages Usages) (public, key *Key, err error) {
	if err := CheckGenerate(p, usages); err != nil {
		return nil, nil, err
	}
	return algorithms[p.Name].generate(p, extractable, usages)
}

// CheckGenerate finds what Generate would refuse, without the work of making a key.
func CheckGenerate(p *Params, usages Usages) error { return algorithms[p.Name].check(p, usages) }

// Import makes a key of data. p is normalized for OpImport.
func Import(format string, data KeyData, p *Params, extractable bool, usages Usages) (*Key, error) {
	k, err := algorithms[p.Name].imports(format, data, p, extractable, usages)
	if err != nil {
		return nil, err
	}
	if k.Type != "public" && usages == 0 {
		return nil, syntaxError("Usages cannot be empty when importing a %s key.", k.Type)
	}
	return k, nil
}

// Export writes k in the format raw, spki, pkcs8 or jwk.
func Export(format string, k *Key) (KeyData, error) {
	a := algorithms[k.Algorithm.Name]
	if a.export == nil {
		return KeyData{}, notSupported("Keys of %s cannot be exported.", k.Algorithm.Name)
	}
	if !k.Extractable {
		return KeyData{}, accessError("The key is not extractable.")
	}
	data, err := a.export(format, k)
	if err == nil && data.JWK != nil {
		data.JWK.KeyOps, data.JWK.Ext = k.Usages.Names(), &k.Extractable
	}
	return data, err
}

// Encrypt encrypts data. p is normalized for OpEncrypt.
func Encrypt(k *Key, p *Params, data []byte) ([]byte, error) {
	if err := k.may(p, UseEncrypt); err != nil {
		return nil, err
	}
	return algorithms[p.Name].encrypt(k, p, data)
}

// Decrypt decrypts data. p is normalized for OpDecrypt.
func Decrypt(k *Key, p *Params, data []byte) ([]byte, error) {
	if err := k.may(p, UseDecrypt); err != nil {
		return nil, err
	}
	return algorithms[p.Name].decrypt(k, p, data)
}

// Sign signs data. p is normalized for OpSign.
func Sign(k *Key, p *Params, data []byte) ([]byte, error) {
	if err := k.may(p, UseSign); err != nil {
		return nil, err
	}
	return algorithms[p.Name].sign(k, p, data)
}

// Verify reports whether signature is one of data. p is normalized for OpVerify.
func Verify(k *Key, p *Params, signature, data []byte) (bool, error) {
	if err := k.may(p, UseVerify); err != nil {
		return false, err
	}
	return algorithms[p.Name].verify(k, p, signature, data)
}

// DeriveBits derives length bits, or as many as the algorithm has when length is -1. p is normalized for OpDerive.
func DeriveBits(k *Key, p *Params, length int) ([]byte, error) {
	if err := k.may(p, UseDeriveBits); err != nil {
		return nil, err
	}
	return algorithms[p.Name].derive(k, p, length)
}

// DeriveKey derives a key for the algorithm into, which is normalized for OpImport; length is into normalized for
// OpLength.
func DeriveKey(k *Key, p, into, length *Params, extractable bool, usages Usages) (*Key, error) {
	if err := k.may(p, UseDeriveKey); err != nil {
		return nil, err
	}
	n, err := algorithms[length.Name].length(length)
	if err != nil {
		return nil, err
	}
	bits, err := algorithms[p.Name].derive(k, p, n)
	if err != nil {
		return nil, err
	}
	return Import("raw", KeyData{Bytes: bits}, into, extractable, usages)
}

// MayWrap is the check that comes before a key is exported in order to be wrapped by k.
func MayWrap(k *Key, p *Params) error { return k.may(p, UseWrapKey) }

// Wrap encrypts an exported key. p is normalized for OpWrap, or for OpEncrypt where the algorithm has no OpWrap.
func Wrap(k *Key, p *Params, data []byte) ([]byte, error) {
	if err := k.may(p, UseWrapKey); err != nil {
		return nil, err
	}
	return algorithms[p.Name].encrypt(k, p, data)
}

// Unwrap is the reverse of Wrap.
func Unwrap(k *Key, p *Params, data []byte) ([]byte, error) {
	if err := k.may(p, UseUnwrapKey); err != nil {
		return nil, err
	}
	return algorithms[p.Name].decrypt(k, p, data)
}

// Slow reports whether an operation takes so long that it should not be waited for: it may be a second.
func Slow(op Operation, p *Params) bool {
	switch op {
	case OpGenerate:
		return p.ModulusLength > 0
	case OpDerive:
		return p.Iterations > 1000
	}
	return false
}
