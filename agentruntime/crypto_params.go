package agentruntime

import (
	"math"
	"slices"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/webcrypto"
)

// algorithmName reads an algorithm identifier: a name, or an object with one.
func (r *realm) algorithmName(v goja.Value) string {
	obj, ok := v.(*goja.Object)
	if !ok {
		return r.str(v)
	}
	name := obj.Get("name")
	if !given(name) {
		panic(r.typeError("The algorithm has no member 'name'."))
	}
	return r.str(name)
}

// algorithm normalizes an algorithm for op (https://w3c.github.io/webcrypto/#algorithm-normalization-normalize-an-algorithm).
func (r *realm) algorithm(op webcrypto.Operation, v goja.Value) *webcrypto.Params {
	name := r.algorithmName(v)
	canonical, members, ok := webcrypto.Lookup(op, name)
	if !ok {
		panic(r.domException("NotSupportedError", "Unrecognized or unimplemented algorithm for this operation: "+shortened(name)))
	}
	p := &webcrypto.Params{Name: canonical, Length: -1, TagLength: -1}
	for _, m := range members {
		member := optional(v, m.Name)
		if member == nil {
			if m.Required {
				panic(r.typeError("The algorithm " + canonical + " needs a member '" + m.Name + "'."))
			}
			continue
		}
		r.algorithmMember(p, m, member)
	}
	return p
}

// algorithmOrElse normalizes for op, or where the algorithm has no such operation for another.
func (r *realm) algorithmOrElse(op, other webcrypto.Operation, v goja.Value) *webcrypto.Params {
	if _, _, ok := webcrypto.Lookup(op, r.algorithmName(v)); ok {
		return r.algorithm(op, v)
	}
	return r.algorithm(other, v)
}

func (r *realm) algorithmMember(p *webcrypto.Params, m webcrypto.Member, v goja.Value) {
	var data []byte
	var number int
	var text string
	switch m.Kind {
	case webcrypto.KindBytes:
		data = r.buffer(v, "The member '"+m.Name+"'")
	case webcrypto.KindBigInteger:
		if obj, ok := v.(*goja.Object); !ok || !isView(obj) || obj.GetSymbol(goja.SymToStringTag).String() != "Uint8Array" {
			panic(r.typeError("The member '" + m.Name + "' is not a Uint8Array."))
		}
		data = r.buffer(v, "The member '"+m.Name+"'")
	case webcrypto.KindOctet:
		number = r.enforceRange(v, math.MaxUint8, m.Name)
	case webcrypto.KindShort:
		number = r.enforceRange(v, math.MaxUint16, m.Name)
	case webcrypto.KindLong:
		number = r.enforceRange(v, math.MaxUint32, m.Name)
	case webcrypto.KindString:
		text = r.str(v)
	case webcrypto.KindHash:
		name := r.algorithmName(v)
		var ok bool
		if text, ok = webcrypto.HashNamed(name); !ok {
			panic(r.domException("NotSupportedError", "Unrecognized or unimplemented digest algorithm requested: "+shortened(name)))
		}
	case webcrypto.KindKey:
		p.Public = r.keyOf(v, "The member '"+m.Name+"'")
	}
	switch m.Name {
	case "iv":
		p.IV = data
	case "counter":
		p.Counter = data
	case "additionalData":
		p.AdditionalData = data
	case "label":
		p.Label = data
	case "salt":
		p.Salt = data
	case "info":
		p.Info = data
	case "publicExponent":
		p.PublicExponent = data
	case "length":
		p.Length = number
	case "tagLength":
		p.TagLength = number
	case "modulusLength":
		p.ModulusLength = number
	case "iterations":
		p.Iterations = number
	case "saltLength":
		p.SaltLength = number
	case "hash":
		p.Hash = text
	case "namedCurve":
		p.NamedCurve = text
	}
}

// enforceRange converts to an integer from 0 to most (https://webidl.spec.whatwg.org/#EnforceRange).
func (r *realm) enforceRange(v goja.Value, most float64, what string) int {
	if _, ok := v.(*goja.Symbol); ok || isBigInt(v) {
		panic(r.typeError("'" + what + "' is not a number."))
	}
	f := math.Trunc(v.ToFloat())
	if math.IsNaN(f) || f < 0 || f > most {
		panic(r.typeError("'" + what + "' is outside of its range."))
	}
	return int(f)
}

// buffer copies the bytes of a BufferSource.
func (r *realm) buffer(v goja.Value, what string) []byte {
	data, ok := r.bytesOf(v)
	if !ok {
		panic(r.typeError(what + " is not an ArrayBuffer or a view of one."))
	}
	return slices.Clone(data)
}

// wantBuffers checks that arguments are BufferSources. Their bytes are copied once the algorithm is read, whose getters may
// still change them.
func (r *realm) wantBuffers(call goja.FunctionCall, list ...int) {
	for _, i := range list {
		if _, ok := r.bytesOf(call.Argument(i)); !ok {
			panic(r.typeError("Parameter " + itoa(i+1) + " is not an ArrayBuffer or a view of one."))
		}
	}
}

func (r *realm) bufferArgument(call goja.FunctionCall, i int) []byte {
	return r.buffer(call.Argument(i), "Parameter "+itoa(i+1))
}

func (r *realm) keyOf(v goja.Value, what string) *webcrypto.Key {
	k, ok := nativeOf[*cryptoKey](r, v)
	if !ok {
		panic(r.typeError(what + " is not a CryptoKey."))
	}
	return k.key
}

func (r *realm) keyArgument(call goja.FunctionCall, i int) *webcrypto.Key {
	return r.keyOf(call.Argument(i), "Parameter "+itoa(i+1))
}

func (r *realm) usages(v goja.Value) webcrypto.Usages {
	obj, ok := v.(*goja.Object)
	if !ok || !some(obj.GetSymbol(goja.SymIterator)) {
		panic(r.typeError("The key usages are not a sequence."))
	}
	var all webcrypto.Usages
	r.each(obj, func(v goja.Value) {
		name := r.str(v)
		u, ok := webcrypto.UsageNamed(name)
		if !ok {
			panic(r.typeError("'" + shortened(name) + "' is not a key usage."))
		}
		all |= u
	})
	return all
}

func (r *realm) keyFormat(v goja.Value) string {
	format := r.str(v)
	switch format {
	case "raw", "spki", "pkcs8", "jwk":
		return format
	}
	panic(r.typeError("'" + shortened(format) + "' is not a key format."))
}

// keyData reads what importKey is given: a JWK, or bytes, which are only looked at.
func (r *realm) keyData(format string, v goja.Value) webcrypto.KeyData {
	_, bytes := r.bytesOf(v)
	obj, ok := v.(*goja.Object)
	switch {
	case format == "jwk" && ok && !bytes:
		return webcrypto.KeyData{JWK: r.jwkOf(obj)}
	case format == "jwk":
		panic(r.typeError("The key data of the format 'jwk' is an object."))
	case !bytes:
		panic(r.typeError("The key data of the format '" + format + "' is an ArrayBuffer or a view of one."))
	}
	return webcrypto.KeyData{}
}
