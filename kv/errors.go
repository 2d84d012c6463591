package kv

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed says that the Namespaces were closed.
	ErrClosed = errors.New("kv: closed")
	// ErrCorrupt says that a stored entry can't be read.
	ErrCorrupt = errors.New("kv: stored entry is corrupt")
	// ErrNamespace says that a namespace's name is empty or too long.
	ErrNamespace = errors.New("kv: invalid namespace name")
)

// Error is a refusal of an operation for its arguments. Its text is the one
// that Workers KV gives, since programs match on it.
type Error struct {
	// Method is GET, PUT or DELETE; a listing is a GET.
	Method string
	// Status is 400, 412, 413 or 414; 0 for what JavaScript gets as a TypeError.
	Status int
	// Reason is a full sentence.
	Reason string
}

// Error writes "KV METHOD failed: STATUS REASON", or the reason alone for a
// TypeError.
func (e *Error) Error() string {
	if e.TypeError() {
		return e.Reason
	}
	return fmt.Sprintf("KV %s failed: %d %s", e.Method, e.Status, e.Reason)
}

// TypeError tells whether JavaScript gets a TypeError instead of an Error.
func (e *Error) TypeError() bool { return e.Status == 0 }

// checkKey applies the rules for the names of keys.
func checkKey(method, key string) error {
	switch {
	case key == "":
		return &Error{Method: method, Reason: "Key name cannot be empty."}
	case key == "." || key == "..":
		return &Error{Method: method, Reason: fmt.Sprintf("%q is not allowed as a key name.", key)}
	}
	return checkLength(method, key)
}

func checkLength(method, key string) error {
	if len(key) > MaxKeyBytes {
		return &Error{method, 414, fmt.Sprintf("UTF-8 encoded length of %d exceeds key length limit of %d.", len(key), MaxKeyBytes)}
	}
	return nil
}
