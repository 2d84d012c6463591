package secrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Wrapper encrypts keyrings with a key that does not leave where it is kept: a KMS, or Vault's transit engine.
type Wrapper interface {
	Wrap(ctx context.Context, keyring []byte) (wrapped []byte, err error)
	Unwrap(ctx context.Context, wrapped []byte) (keyring []byte, err error)
}

// wrapTimeout bounds one call of a Wrapper.
const wrapTimeout = 15 * time.Second

// KeyringFile is a keyring in a file. With a Wrapper the file holds {"wrapped": base64}, and is of no use without it.
type KeyringFile struct {
	Path    string
	Wrapper Wrapper // nil leaves the keyring in the clear, with mode 0600
}

// wrappedKeyring is the file of a wrapped keyring.
type wrappedKeyring struct {
	Wrapped []byte `json:"wrapped"`
}

// Open opens the keyring, and makes it with one fresh key on first use: file mode 0600, missing parent directories 0700. Two processes that
// start together get the same keyring. A file that others than its owner may read is refused with ErrKeyringMode, one that holds no keyring
// with ErrCorruptKeyring; both messages say what to do.
func (f KeyringFile) Open() (*Keyring, error) {
	k, err := f.existing()
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	err = withLock(f.Path, func() error {
		k, err = f.existing()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		if err := f.write(handle); err != nil {
			return err
		}
		k, err = f.existing()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making keyring %s: %w", f.Path, err)
	}
	return k, nil
}

func (f KeyringFile) existing() (*Keyring, error) {
	k := &Keyring{source: f.Path, file: &f}
	if err := k.follow(); err != nil {
		return nil, err
	}
	return k, nil
}

// read gives the keyset in the clear.
func (f KeyringFile) read() ([]byte, fs.FileInfo, error) {
	data, info, err := readLimited(f.Path, maxKeyringBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading keyring: %w", err)
	}
	if openToOthers(info) {
		return nil, nil, fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrKeyringMode, f.Path, info.Mode().Perm(), f.Path)
	}
	var file wrappedKeyring
	wrapped := json.Unmarshal(data, &file) == nil && len(file.Wrapped) > 0
	switch {
	case !wrapped && f.Wrapper == nil:
		return data, info, nil
	case wrapped && f.Wrapper == nil:
		return nil, nil, fmt.Errorf("%w: %s is wrapped by another key; name where that is kept: keyring transit ADDRESS KEY", ErrCorruptKeyring, f.Path)
	case !wrapped:
		return nil, nil, f.corrupt(errors.New("it is not wrapped, and the configuration says that it is"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), wrapTimeout)
	defer cancel()
	plain, err := f.Wrapper.Unwrap(ctx, file.Wrapped)
	if err != nil {
		return nil, nil, fmt.Errorf("opening keyring %s: %w", f.Path, err)
	}
	return plain, info, nil
}

func (f KeyringFile) corrupt(err error) error {
	return fmt.Errorf("%w: %s: %w; restore it from a backup, or, if nothing is sealed with it, remove it and a new one is made", ErrCorruptKeyring, f.Path, err)
}

func (f KeyringFile) write(handle *keyset.Handle) error {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return err
	}
	data := buf.Bytes()
	if f.Wrapper != nil {
		ctx, cancel := context.WithTimeout(context.Background(), wrapTimeout)
		defer cancel()
		wrapped, err := f.Wrapper.Wrap(ctx, data)
		if err != nil {
			return err
		}
		if data, err = json.Marshal(wrappedKeyring{wrapped}); err != nil {
			return err
		}
	}
	return writeAtomic(f.Path, data)
}

// change edits the keyset under the file's lock.
func (f KeyringFile) change(edit func(*keyset.Manager, *keyset.Handle) error) error {
	return withLock(f.Path, func() error {
		data, _, err := f.read()
		if err != nil {
			return err
		}
		handle, err := readKeyset(data)
		if err != nil {
			return f.corrupt(err)
		}
		manager := keyset.NewManagerFromHandle(handle)
		if err := edit(manager, handle); err != nil {
			return err
		}
		if handle, err = manager.Handle(); err != nil {
			return err
		}
		return f.write(handle)
	})
}

// Rotate adds a fresh key and makes it the primary one. The keys before it stay, so that what they sealed can be opened.
func (f KeyringFile) Rotate() (id string, err error) {
	err = f.change(func(m *keyset.Manager, _ *keyset.Handle) error {
		n, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		id = formatKeyID(n)
		return m.SetPrimary(n)
	})
	if err != nil {
		return "", fmt.Errorf("rotating keyring %s: %w", f.Path, err)
	}
	return id, nil
}

// Prune removes the keys that are neither primary nor used, and returns their ids.
func (f KeyringFile) Prune(used func(id string) bool) (removed []string, err error) {
	err = f.change(func(m *keyset.Manager, h *keyset.Handle) error {
		info := h.KeysetInfo()
		for _, key := range info.GetKeyInfo() {
			id := formatKeyID(key.GetKeyId())
			if key.GetKeyId() == info.GetPrimaryKeyId() || used(id) {
				continue
			}
			if err := m.Delete(key.GetKeyId()); err != nil {
				return err
			}
			removed = append(removed, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pruning keyring %s: %w", f.Path, err)
	}
	slices.Sort(removed)
	return removed, nil
}
