package durable

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
)

// ID names an actor within its namespace. The first 16 bytes are random or derived from a name; the last 16
// are a truncated HMAC-SHA256 over the first, keyed by the namespace, so a namespace recognises its own ids.
type ID [32]byte

// String returns the id's 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Key names an actor within a store.
type Key struct {
	// Namespace is the namespace's name, for example a class's name.
	Namespace string
	// ID names the actor within the namespace.
	ID ID
}

// String returns the namespace and the id, joined by a slash.
func (k Key) String() string { return k.Namespace + "/" + k.ID.String() }

// Namespace makes and checks the ids of one class of actors. Its zero value is the namespace with no name.
type Namespace struct {
	name string
	key  [32]byte
	macs *sync.Pool // of hash.Hash keyed with key; nil for the zero value
}

// NewNamespace returns the namespace of that name. The same name always gives the same ids.
func NewNamespace(name string) Namespace {
	n := Namespace{name: name, key: sha256.Sum256([]byte("gatehouse durable namespace\x00" + name))}
	key := n.key
	n.macs = &sync.Pool{New: func() any { return hmac.New(sha256.New, key[:]) }}
	return n
}

// Name returns the namespace's name.
func (n Namespace) Name() string { return n.name }

// Key returns the store's key of the actor with that id.
func (n Namespace) Key(id ID) Key { return Key{Namespace: n.name, ID: id} }

// IDFromName returns the id that name always has in this namespace.
func (n Namespace) IDFromName(name string) ID {
	var id ID
	sum := n.mac("name", []byte(name))
	copy(id[:16], sum[:])
	n.seal(&id)
	return id
}

// NewUniqueID returns a new id whose first half is read from random, which must be a cryptographic source.
func (n Namespace) NewUniqueID(random io.Reader) (ID, error) {
	var id ID
	if _, err := io.ReadFull(random, id[:16]); err != nil {
		return ID{}, fmt.Errorf("durable: make id: %w", err)
	}
	n.seal(&id)
	return id, nil
}

// IDFromString reads the 64 hexadecimal digits of an id of this namespace. It returns ErrInvalidID for any
// other text and ErrForeignID for another namespace's id.
func (n Namespace) IDFromString(text string) (ID, error) {
	var id ID
	if len(text) != 2*len(id) {
		return ID{}, fmt.Errorf("%w: %d characters instead of %d", ErrInvalidID, len(text), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, fmt.Errorf("%w: not hexadecimal", ErrInvalidID)
	}
	want := id
	n.seal(&want)
	if subtle.ConstantTimeCompare(id[16:], want[16:]) != 1 {
		return ID{}, fmt.Errorf("%w: not one of %q", ErrForeignID, n.name)
	}
	return id, nil
}

func (n Namespace) seal(id *ID) {
	sum := n.mac("id", id[:16])
	copy(id[16:], sum[:])
}

// mac returns an HMAC over data; use separates what the two halves of an id are made from.
func (n Namespace) mac(use string, data []byte) (sum [32]byte) {
	var h hash.Hash
	if n.macs == nil {
		h = hmac.New(sha256.New, n.key[:])
	} else {
		h = n.macs.Get().(hash.Hash)
		defer n.macs.Put(h)
		h.Reset()
	}
	h.Write([]byte(use))
	h.Write([]byte{0})
	h.Write(data)
	h.Sum(sum[:0])
	return sum
}
