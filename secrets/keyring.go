package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
// rotated without resealing everything at once. A keyring of a file follows
// it: when the file changes, new data is sealed with its new primary key, and
// what is sealed with a key that came later is opened. Safe for concurrent use.
//
// The form at rest is Tink's JSON keyset of AES256-GCM keys (tink-go, package
// keyset): {"primaryKeyId": n, "key": [...]}; see KeyringFile for a wrapped one.
type Keyring struct {
	source string
	file   *KeyringFile // nil for one that does not change

	mu    sync.Mutex // held while the file is read
	stamp fs.FileInfo
	keys  atomic.Pointer[keySet]
}

// keySet is a keyring as it was read.
type keySet struct {
	primary uint32
	ids     map[uint32]bool
	aead    tink.AEAD
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
	ring := &Keyring{source: "the environment variable"}
	ring.keys.Store(k)
	return ring, nil
}

// parseKeyring returns errors that never quote the data.
func parseKeyring(data []byte) (*keySet, error) {
	handle, err := readKeyset(data)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("the keyset has no usable AEAD keys")
	}
	k := &keySet{primary: handle.KeysetInfo().GetPrimaryKeyId(), ids: map[uint32]bool{}, aead: primitive}
	for _, info := range handle.KeysetInfo().GetKeyInfo() {
		k.ids[info.GetKeyId()] = true
	}
	return k, nil
}

func readKeyset(data []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, errors.New("not a JSON keyset")
	}
	return handle, nil
}

// follow reads the file anew if it has changed.
func (k *Keyring) follow() error {
	if k.file == nil {
		return nil
	}
	info, err := os.Stat(k.file.Path)
	if err != nil {
		return fmt.Errorf("reading keyring: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stamp != nil && os.SameFile(k.stamp, info) && k.stamp.Size() == info.Size() && k.stamp.ModTime().Equal(info.ModTime()) {
		return nil
	}
	data, info, err := k.file.read()
	if err != nil {
		return err
	}
	keys, err := parseKeyring(data)
	if err != nil {
		return k.file.corrupt(err)
	}
	k.keys.Store(keys)
	k.stamp = info
	return nil
}

// PrimaryID is the id of the key that seals new data, in decimal as the keyset
// file writes it.
func (k *Keyring) PrimaryID() string { return formatKeyID(k.keys.Load().primary) }

// Holds tells whether a key of that id is in the keyring.
func (k *Keyring) Holds(id string) bool {
	n, err := strconv.ParseUint(id, 10, 32)
	return err == nil && k.keys.Load().ids[uint32(n)]
}

// Seal encrypts and authenticates plaintext with the primary key. The same
// associated data must be given to Open.
func (k *Keyring) Seal(plaintext, associated []byte) ([]byte, error) {
	if err := k.follow(); err != nil {
		return nil, err // a key that was taken away must seal nothing any more
	}
	sealed, err := k.keys.Load().aead.Encrypt(plaintext, associated)
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
		if err := k.follow(); err != nil {
			return nil, err
		}
	}
	if !k.Holds(id) {
		return nil, fmt.Errorf("%w: sealed with key %s, which %s does not hold; use the keyring that has key %s", ErrWrongKeyring, id, k.source, id)
	}
	plaintext, err := k.keys.Load().aead.Decrypt(sealed, associated)
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
