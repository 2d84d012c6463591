package webcrypto

import "slices"

// Usages is a set of key usages.
type Usages uint16

const (
	UseEncrypt Usages = 1 << iota
	UseDecrypt
	UseSign
	UseVerify
	UseDeriveKey
	UseDeriveBits
	UseWrapKey
	UseUnwrapKey
)

// usageNames are the names of the usages in the order of their bits. The last four belong to algorithms that are not here: a key
// cannot be made with them, but they are known.
var usageNames = []string{"encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey",
	"encapsulateKey", "encapsulateBits", "decapsulateKey", "decapsulateBits"}

// UsageNamed returns the usage of that name, and whether there is one.
func UsageNamed(name string) (Usages, bool) {
	i := slices.Index(usageNames, name)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

// Names lists the usages in the specification's order.
func (u Usages) Names() []string {
	names := []string{}
	for i, name := range usageNames {
		if u&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// within is the check that a key is asked to do only what its algorithm can.
func (u Usages) within(allowed Usages, algorithm string) error {
	if u&^allowed != 0 {
		return syntaxError("Cannot create a key using the specified key usages: %s has no %s.", algorithm, (u &^ allowed).Names()[0])
	}
	return nil
}
