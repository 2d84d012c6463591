package agentruntime

import (
	"encoding/json"
	"slices"

	"github.com/dop251/goja"

	"github.com/gatehouse-edge/gatehouse/agentruntime/webcrypto"
)

// jwkOf reads a JsonWebKey dictionary.
func (r *realm) jwkOf(obj *goja.Object) *webcrypto.JWK {
	j := &webcrypto.JWK{}
	for _, f := range j.Fields() {
		if v := optional(obj, f.Name); v != nil {
			s := r.str(v)
			*f.Value = &s
		}
	}
	if v := optional(obj, "ext"); v != nil {
		ext := v.ToBoolean()
		j.Ext = &ext
	}
	if v := optional(obj, "key_ops"); v != nil {
		ops, ok := v.(*goja.Object)
		if !ok || !some(ops.GetSymbol(goja.SymIterator)) {
			panic(r.typeError("The JWK's \"key_ops\" is not a sequence."))
		}
		j.KeyOps = []string{}
		r.each(ops, func(v goja.Value) { j.KeyOps = append(j.KeyOps, r.str(v)) })
	}
	j.Oth = optional(obj, "oth") != nil
	return j
}

// jwkMembers calls fn with the members that a JWK has, in the order of their names.
func jwkMembers(j *webcrypto.JWK, fn func(name string, value any)) {
	members := map[string]any{}
	for _, f := range j.Fields() {
		if *f.Value != nil {
			members[f.Name] = **f.Value
		}
	}
	if j.Ext != nil {
		members["ext"] = *j.Ext
	}
	if j.KeyOps != nil {
		members["key_ops"] = j.KeyOps
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fn(name, members[name])
	}
}

func (r *realm) jwkObject(j *webcrypto.JWK) goja.Value {
	o := r.rt.NewObject()
	jwkMembers(j, func(name string, value any) {
		if list, ok := value.([]string); ok {
			value = r.strings(list)
		}
		_ = o.Set(name, value)
	})
	return o
}

// jwkJSON writes a JWK as wrapKey encrypts it.
func jwkJSON(j *webcrypto.JWK) []byte {
	out := []byte{'{'}
	jwkMembers(j, func(name string, value any) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		member, _ := json.Marshal(name)
		text, _ := json.Marshal(value)
		out = append(append(append(out, member...), ':'), text...)
	})
	return append(out, '}')
}

// jwkOfJSON reads the JWK that unwrapKey has decrypted.
func jwkOfJSON(data []byte) (*webcrypto.JWK, error) {
	var members struct {
		Alg, Crv, D, DP, DQ, E, K, Kty, N, P, Q, QI, Use, X, Y *string
		Ext                                                    *bool
		KeyOps                                                 []string        `json:"key_ops"`
		Oth                                                    json.RawMessage `json:"oth"`
	}
	if err := json.Unmarshal(data, &members); err != nil || members.Kty == nil {
		return nil, &webcrypto.Error{Name: "DataError", Message: "The unwrapped data is no JWK."}
	}
	m := &members
	return &webcrypto.JWK{
		Alg: m.Alg, Crv: m.Crv, D: m.D, DP: m.DP, DQ: m.DQ, E: m.E, K: m.K, Kty: m.Kty, N: m.N, P: m.P, Q: m.Q, QI: m.QI,
		Use: m.Use, X: m.X, Y: m.Y, Ext: m.Ext, KeyOps: m.KeyOps, Oth: m.Oth != nil,
	}, nil
}
