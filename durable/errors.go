package durable

import (
	"errors"
	"fmt"
)

// Errors of identities.
var (
	// ErrInvalidID says that a text is not 64 hexadecimal digits.
	ErrInvalidID = errors.New("durable: invalid id")
	// ErrForeignID says that an id was not made by this namespace.
	ErrForeignID = errors.New("durable: id belongs to another namespace")
)

// Errors of reads, writes and commits.
var (
	// ErrFenced says that the fence is not the actor's current one, or that a batch did not carry the
	// next sequence number: somebody else owns the actor now.
	ErrFenced = errors.New("durable: fenced")
	// ErrReset says that an actor's storage broke (a commit failed, or the actor was dropped). Every later
	// call fails with it, and it wraps the cause.
	ErrReset = errors.New("durable: actor was reset")
	// ErrTooLarge says that a key, a value or a batch is above its limit. See [LimitError].
	ErrTooLarge = errors.New("durable: too large")
	// ErrCorrupt says that stored bytes do not match their checksum.
	ErrCorrupt = errors.New("durable: stored data is corrupt")
	// ErrFailed says that the store stopped because a commit failed. It serves nothing until reopened.
	ErrFailed = errors.New("durable: store failed")
	// ErrFull says that the disk has no room for the batch. The store goes on once there is room.
	ErrFull = errors.New("durable: the disk is full")
	// ErrClosed says that the store or the directory is closed.
	ErrClosed = errors.New("durable: closed")
	// ErrTransaction says that a transaction was ended that had not begun, or had ended.
	ErrTransaction = errors.New("durable: transaction misuse")
	// ErrReserved says that a key is one of those that the storage keeps for itself.
	ErrReserved = errors.New("durable: reserved key")
	// ErrRange says that a range's bounds contradict each other.
	ErrRange = errors.New("durable: invalid range")
)

// Errors of the directory.
var (
	// ErrNoClass says that no class is registered for the actor's namespace.
	ErrNoClass = errors.New("durable: no class for the namespace")
	// ErrOverloaded says that the directory holds as many busy actors as it may.
	ErrOverloaded = errors.New("durable: too many busy actors")
	// ErrIdle is the reason an instance gets when it is dropped for idleness.
	ErrIdle = errors.New("durable: actor was idle")
	// ErrRetired is the reason an instance gets when its class was replaced.
	ErrRetired = errors.New("durable: class was replaced")
)

// LimitError is the refusal of something too large. It matches [ErrTooLarge].
type LimitError struct {
	// What was refused: "key", "value" or "batch".
	What string
	// Size is the size met and Limit the largest one allowed, in bytes.
	Size, Limit int
}

// Error names the limit and the size met.
func (e *LimitError) Error() string {
	return fmt.Sprintf("durable: %s of %d bytes exceeds the limit of %d bytes", e.What, e.Size, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }

// resetError matches both ErrReset and its cause.
type resetError struct{ cause error }

func (e *resetError) Error() string   { return ErrReset.Error() + ": " + e.cause.Error() }
func (e *resetError) Unwrap() []error { return []error{ErrReset, e.cause} }

// asReset wraps cause so that it matches ErrReset, once.
func asReset(cause error) error {
	if cause == nil || errors.Is(cause, ErrReset) {
		return cause
	}
	return &resetError{cause: cause}
}
