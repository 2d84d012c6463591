package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	maxKeyringBytes = 1 << 20
	// Tink's output prefix: one version byte and the key id in big endian.
	tinkPrefixVersion = 0x01
	tinkPrefixBytes   = 5
)

// Keyring is a set of AEAD keys with ids. New data is sealed with the primary
// key; data sealed with any key of the set can be opened, so keys can be
// rotated without resealing everything at once. Safe for concurrent use.
//
// The form at rest is Tink's JSON keyset of AES256-GCM keys (tink-go, package
// keyset): {"primaryKeyId": n, "key": [...]}.
type Keyring struct {
	source  string
	primary uint32
	ids     map[uint32]bool
	aead    tink.AEAD
}

// OpenKeyringFile opens the keyring at path, and makes it with one fresh key on
// first use: file mode 0600, missing parent directories 0700. Two processes
// that start together get the same keyring. A file that others than its owner
// may read is refused with ErrKeyringMode, one that is not a keyset with
// ErrCorruptKeyring; both messages say what to do.
func OpenKeyringFile(path string) (*Keyring, error) {
	k, err := readKeyring(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	err = withLock(path, func() error {
		k, err = readKeyring(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		var buf bytes.Buffer
		if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
			return err
		}
		if err := writeAtomic(path, buf.Bytes()); err != nil {
			return err
		}
		k, err = readKeyring(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making keyring %s: %w", path, err)
	}
	return k, nil
}

func readKeyring(path string) (*Keyring, error) {
	data, info, err := readLimited(path, maxKeyringBytes)
	if err != nil {
		return nil, fmt.Errorf("reading keyring: %w", err)
	}
	if openToOthers(info) {
		return nil, fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %s", ErrKeyringMode, path, info.Mode().Perm(), path)
	}
	k, err := parseKeyring(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; restore it from a backup, or, if nothing is sealed with it, remove it and a new one is made", ErrCorruptKeyring, path, err)
	}
	k.source = path
	return k, nil
}

// OpenKeyringEnv opens a keyring from the value of an environment variable: the
// content of a keyring file, as it is or in standard base64. An empty or
// unusable value gives ErrCorruptKeyring.
func OpenKeyringEnv(value string) (*Keyring, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil, fmt.Errorf("%w: the environment variable is empty; set it to the content of a keyring file", ErrCorruptKeyring)
	}
	data := []byte(value)
	if value[0] != '{' {
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("%w: the environment variable holds neither a JSON keyset nor its base64; set it to the content of a keyring file", ErrCorruptKeyring)
		}
		data = decoded
	}
	k, err := parseKeyring(data)
	if err != nil {
		return nil, fmt.Errorf("%w: the environment variable: %w; set it to the content of a keyring file", ErrCorruptKeyring, err)
	}
	k.source = "the environment variable"
	return k, nil
}

// parseKeyring returns errors that never quote the data.
func parseKeyring(data []byte) (k *Keyring, err error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, errors.New("not a JSON keyset")
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("the keyset has no usable AEAD keys")
	}
	k = &Keyring{primary: handle.KeysetInfo().GetPrimaryKeyId(), ids: map[uint32]bool{}, aead: primitive}
	for _, info := range handle.KeysetInfo().GetKeyInfo() {
		k.ids[info.GetKeyId()] = true
	}
	return k, nil
}

// PrimaryID is the id of the key that seals new data, in decimal as the keyset
// file writes it.
func (k *Keyring) PrimaryID() string { return formatKeyID(k.primary) }

// Holds tells whether a key of that id is in the keyring.
func (k *Keyring) Holds(id string) bool {
	n, err := strconv.ParseUint(id, 10, 32)
	return err == nil && k.ids[uint32(n)]
}

// Seal encrypts and authenticates plaintext with the primary key. The same
// associated data must be given to Open.
func (k *Keyring) Seal(plaintext, associated []byte) ([]byte, error) {
	sealed, err := k.aead.Encrypt(plaintext, associated)
	if err != nil {
		return nil, fmt.Errorf("sealing with key %s: %w", k.PrimaryID(), err)
	}
	return sealed, nil
}

// Open decrypts what Seal made. ErrWrongKeyring names the key id needed when
// it is not in the keyring; data that fails authentication under a key that
// is there gives ErrCorruptVault.
func (k *Keyring) Open(sealed, associated []byte) ([]byte, error) {
	id, ok := SealedKeyID(sealed)
	if !ok {
		return nil, fmt.Errorf("%w: sealed data has no key id", ErrCorruptVault)
	}
	if !k.Holds(id) {
		return nil, fmt.Errorf("%w: sealed with key %s, which %s does not hold; use the keyring that has key %s", ErrWrongKeyring, id, k.source, id)
	}
	plaintext, err := k.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, fmt.Errorf("%w: sealed data does not authenticate under key %s", ErrCorruptVault, id)
	}
	return plaintext, nil
}

// String names the keyring by source and primary key id, never its keys.
func (k *Keyring) String() string {
	return fmt.Sprintf("keyring of %s (primary key %s)", k.source, k.PrimaryID())
}

// SealedKeyID returns the id of the key that sealed the data; ok is false when
// the data can't have been made by Seal.
func SealedKeyID(sealed []byte) (id string, ok bool) {
	if len(sealed) <= tinkPrefixBytes || sealed[0] != tinkPrefixVersion {
		return "", false
	}
	return formatKeyID(binary.BigEndian.Uint32(sealed[1:tinkPrefixBytes])), true
}

func formatKeyID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
