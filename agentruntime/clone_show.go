package agentruntime

import (
	"bytes"
	"fmt"
)

// ShowClone renders a stored value as console.log would show it. The value may be whatever is on a disk: call it in a
// process that may end.
func ShowClone(stored []byte) (string, error) {
	if !bytes.HasPrefix(stored, []byte{cloneMagic}) {
		return "", fmt.Errorf("clone: %d bytes are not a structured clone", len(stored))
	}
	r := newRealm(new(loop))
	v, err := r.deserialize(stored)
	if err != nil {
		return "", fmt.Errorf("clone: %w", err)
	}
	return r.inspect(v), nil
}
