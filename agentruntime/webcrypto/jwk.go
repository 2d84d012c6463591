package webcrypto

import (
	"encoding/base64"
	"math/big"
	"slices"
)

// JWK is a JSON Web Key (RFC 7517). An absent member is nil.
type JWK struct {
	Alg, Crv, D, DP, DQ, E, K, Kty, N, P, Q, QI, Use, X, Y *string
	Ext                                                    *bool
	KeyOps                                                 []string // nil: absent
	// Oth says that the key has more than two primes.
	Oth bool
}

// Fields lists the string members in the order in which the dictionary of the specification has them.
func (j *JWK) Fields() []JWKField {
	return []JWKField{
		{"alg", &j.Alg}, {"crv", &j.Crv}, {"d", &j.D}, {"dp", &j.DP}, {"dq", &j.DQ}, {"e", &j.E}, {"k", &j.K}, {"kty", &j.Kty},
		{"n", &j.N}, {"p", &j.P}, {"q", &j.Q}, {"qi", &j.QI}, {"use", &j.Use}, {"x", &j.X}, {"y", &j.Y},
	}
}

// JWKField is one string member of a JWK.
type JWKField struct {
	Name  string
	Value **string
}

func text(s string) *string { return &s }

func encoded(data []byte) *string { return text(base64.RawURLEncoding.EncodeToString(data)) }

func (j *JWK) is(member *string, want string) bool { return member != nil && *member == want }

// accept is what the specification checks of every JWK: use, key_ops and ext. use is the value of the use member that
// the algorithm asks for.
func (j *JWK) accept(use string, extractable bool, usages Usages) error {
	if usages != 0 && j.Use != nil && *j.Use != use {
		return dataError("The JWK's \"use\" is not %q.", use)
	}
	if j.KeyOps != nil {
		var ops Usages
		for i, name := range j.KeyOps {
			if slices.Contains(j.KeyOps[:i], name) {
				return dataError("The JWK's \"key_ops\" has %q twice.", name)
			}
			u, _ := UsageNamed(name)
			ops |= u
		}
		if usages&^ops != 0 {
			return dataError("The JWK's \"key_ops\" lacks %q.", (usages &^ ops).Names()[0])
		}
	}
	if j.Ext != nil && !*j.Ext && extractable {
		return dataError("The JWK's \"ext\" forbids an extractable key.")
	}
	return nil
}

// bytes decodes a member that must be there.
func (j *JWK) bytes(name string, member *string) ([]byte, error) {
	if member == nil {
		return nil, dataError("The JWK has no member %q.", name)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(*member)
	if err != nil {
		return nil, dataError("The JWK's member %q is not base64url.", name)
	}
	return data, nil
}

func (j *JWK) number(name string, member *string) (*big.Int, error) {
	data, err := j.bytes(name, member)
	if err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(data), nil
}
