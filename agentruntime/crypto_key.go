package agentruntime

import (
	"slices"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/webcrypto"
)

// cryptoKey is the state of a CryptoKey. The objects that describe it are made once, at their first touch.
type cryptoKey struct {
	key               *webcrypto.Key
	algorithm, usages *goja.Object
}

func (r *realm) cryptoKey(k *webcrypto.Key) goja.Value {
	return r.instance("CryptoKey", &cryptoKey{key: k})
}

func init() {
	(&webClass{name: "CryptoKey", members: []member{
		{name: "type", get: getter(func(r *realm, k *cryptoKey) goja.Value { return r.rt.ToValue(k.key.Type) })},
		{name: "extractable", get: getter(func(r *realm, k *cryptoKey) goja.Value { return r.rt.ToValue(k.key.Extractable) })},
		{name: "algorithm", get: getter(func(r *realm, k *cryptoKey) goja.Value {
			if k.algorithm == nil {
				k.algorithm = r.describeKey(&k.key.Algorithm)
			}
			return k.algorithm
		})},
		{name: "usages", get: getter(func(r *realm, k *cryptoKey) goja.Value {
			if k.usages == nil {
				k.usages = r.strings(k.key.Usages.Names())
			}
			return k.usages
		})},
	}}).declare()
}

func (r *realm) strings(list []string) *goja.Object {
	values := make([]any, len(list))
	for i, s := range list {
		values[i] = s
	}
	return r.rt.NewArray(values...)
}

func (r *realm) describeKey(a *webcrypto.KeyAlgorithm) *goja.Object {
	o := r.rt.NewObject()
	_ = o.Set("name", a.Name)
	if a.ModulusLength > 0 {
		_ = o.Set("modulusLength", a.ModulusLength)
		_ = o.Set("publicExponent", r.uint8Array(slices.Clone(a.PublicExponent)))
	}
	if a.Hash != "" {
		hash := r.rt.NewObject()
		_ = hash.Set("name", a.Hash)
		_ = o.Set("hash", hash)
	}
	if a.Length > 0 {
		_ = o.Set("length", a.Length)
	}
	if a.NamedCurve != "" {
		_ = o.Set("namedCurve", a.NamedCurve)
	}
	return o
}
