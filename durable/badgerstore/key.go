package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	badger "github.com/dgraph-io/badger/v4"
)

// KeyBytes is the length of an encryption key.
const KeyBytes = 32

// KeyError is the refusal of an encryption key, or of its absence. It matches ErrKey.
type KeyError struct {
	Dir string
	// Why the key does not fit, as a sentence's part.
	Why string
}

// Error names the directory, and never the key.
func (e *KeyError) Error() string { return fmt.Sprintf("badgerstore: %s %s", e.Dir, e.Why) }

// Is reports whether target is ErrKey.
func (e *KeyError) Is(target error) bool { return target == ErrKey }

// Encrypted reports whether the store in a directory is encrypted, and whether there is one. It needs no key.
func Encrypted(dir string) (encrypted, exists bool, err error) {
	f, err := os.Open(filepath.Join(dir, badger.KeyRegistryFileName))
	if errors.Is(err, os.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("badgerstore: %w", err)
	}
	defer f.Close()
	// An initialisation vector of 16 bytes, then this text, encrypted if anything is.
	const vector, text = 16, "Hello Badger"
	var head [vector + len(text)]byte
	if _, err := io.ReadFull(f, head[:]); err != nil {
		return false, true, fmt.Errorf("badgerstore: %s is damaged: %w", f.Name(), err)
	}
	return !bytes.Equal(head[vector:], []byte(text)), true, nil
}

// checkKey refuses a key that the store in the directory can't have.
func checkKey(cfg Config) error {
	if n := len(cfg.EncryptionKey); n != 0 && n != KeyBytes {
		return &KeyError{cfg.Dir, fmt.Sprintf("takes an encryption key of %d bytes, not of %d", KeyBytes, n)}
	}
	encrypted, exists, err := Encrypted(cfg.Dir)
	switch {
	case err != nil:
		return err
	case !exists:
		return nil
	case encrypted && len(cfg.EncryptionKey) == 0:
		return &KeyError{cfg.Dir, "is encrypted, and no encryption key was given"}
	case !encrypted && len(cfg.EncryptionKey) > 0:
		return &KeyError{cfg.Dir, "is not encrypted, and an encryption key was given; to encrypt what is in it, restore a backup of it into an empty folder with the key"}
	case !encrypted:
		return nil
	}
	registry, err := badger.OpenKeyRegistry(keyOptions(cfg.Dir, cfg.EncryptionKey, true))
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return &KeyError{cfg.Dir, "is encrypted with another key, or its file " + badger.KeyRegistryFileName + " is damaged"}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", badger.KeyRegistryFileName, err)
	}
	_ = registry // it was read whole and closed
	return nil
}

// KeyFits reports whether the store in a directory, if there is one, can be opened with a key.
func KeyFits(dir string, key []byte) (bool, error) {
	err := checkKey(Config{Dir: dir, EncryptionKey: key})
	if errors.Is(err, ErrKey) {
		return false, nil
	}
	return err == nil, err
}

func keyOptions(dir string, key []byte, readOnly bool) badger.KeyRegistryOptions {
	return badger.KeyRegistryOptions{
		Dir: dir, ReadOnly: readOnly, EncryptionKey: key,
		EncryptionKeyRotationDuration: badger.DefaultOptions("").EncryptionKeyRotationDuration,
	}
}

// Rotate encrypts the store in a directory, which nobody may hold, with another key: the keys of its files are sealed
// anew, as one change. The files themselves are encrypted with keys that Badger changes every ten days by itself.
func Rotate(dir string, from, to []byte) error {
	if len(to) != KeyBytes {
		return &KeyError{dir, fmt.Sprintf("takes an encryption key of %d bytes, not of %d", KeyBytes, len(to))}
	}
	if err := Locked(dir); err != nil {
		return err
	}
	if encrypted, _, err := Encrypted(dir); err != nil {
		return err
	} else if !encrypted {
		return &KeyError{dir, "is not encrypted"}
	}
	if err := checkKey(Config{Dir: dir, EncryptionKey: from}); err != nil {
		return err
	}
	registry, err := badger.OpenKeyRegistry(keyOptions(dir, from, true))
	if err != nil {
		return fmt.Errorf("badgerstore: read the keys of %s: %w", dir, err)
	}
	if err := badger.WriteKeyRegistry(registry, keyOptions(dir, to, false)); err != nil {
		return fmt.Errorf("badgerstore: write the keys of %s: %w", dir, err)
	}
	return nil
}
