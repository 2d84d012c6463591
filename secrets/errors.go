package secrets

import "errors"

// Errors of opening and using a keyring.
var (
	// ErrKeyringMode says that others than the owner may read the keyring file.
	ErrKeyringMode = errors.New("keyring file is open to group or others")
	// ErrCorruptKeyring says that the keyring does not hold a usable keyset.
	// The parser's own message is left out, since it may quote key material.
	ErrCorruptKeyring = errors.New("keyring is corrupt")
	// ErrWrongKeyring says that the key a secret was sealed with is not in the
	// keyring; the message names the key id that is needed.
	ErrWrongKeyring = errors.New("wrong keyring")
)

// Errors of the vault.
var (
	// ErrCorruptVault says that the vault file can't be read as one, or that a
	// sealed value in it fails authentication although its key is known.
	ErrCorruptVault = errors.New("secrets file is corrupt")
	// ErrNotFound says that the vault holds no secret of that name.
	ErrNotFound = errors.New("secret not found")
	// ErrName says that a name is not a valid secret name.
	ErrName = errors.New("invalid secret name")
	// ErrValue says that a value is empty, too long or not text.
	ErrValue = errors.New("invalid secret value")
)
