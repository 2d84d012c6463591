package caddymodule

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/exp/zapslog"

	"github.com/gatehouse-edge/gatehouse/durable/badgerstore"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// storage is how a configuration wants its store to be opened.
type storage struct {
	dir        string // the folder that holds the store and what lies beside it
	memory     int64
	acceptLoss bool
	// keyName is the name of the key that encrypts the store, empty if nothing does.
	keyName string
	keyring func() (*secrets.Keyring, error)
}

// storage reads the store's options.
func (a *App) storage() (storage, error) {
	dir, err := a.dir()
	if err != nil {
		return storage{}, err
	}
	s := storage{dir: dir, keyring: func() (*secrets.Keyring, error) { return a.openKeyring(dir) }}
	if a.Store != nil {
		s.memory, s.acceptLoss = a.Store.Memory, a.Store.AcceptDataLoss
		if a.Store.EncryptionKey != "" {
			name, ok := strings.CutPrefix(a.Store.EncryptionKey, "keyring:")
			if !ok || !secrets.ValidName(name) {
				return storage{}, at(a.Store.Place, "store: encryption_key %s: write it like keyring:store; the name has lower-case letters, digits, _ and -", a.Store.EncryptionKey)
			}
			s.keyName = name
		}
	}
	return s, nil
}

// path is the folder of the database alone.
func (s storage) path() string { return filepath.Join(s.dir, "store") }

// keyPath is the file with the sealed key.
func (s storage) keyPath() string { return filepath.Join(s.dir, "store.key") }

// config is what the engine is opened with. It opens the keyring if the store is encrypted, and makes the key if there is
// no store yet.
func (s storage) config() (badgerstore.Config, error) {
	c := badgerstore.Config{Dir: s.path(), Memory: s.memory, AcceptDataLoss: s.acceptLoss, Logger: storeLog()}
	if s.keyName == "" {
		return c, nil
	}
	key, err := s.key()
	if err != nil {
		return c, fmt.Errorf("encryption_key: %w", err)
	}
	c.EncryptionKey = key
	return c, nil
}

// open opens the store. One that is there is opened in another process first, so that damage that crashes the engine is an
// error here.
func (s storage) open() (*badgerstore.Store, error) {
	c, err := s.config()
	if err != nil {
		return nil, err
	}
	if err := badgerstore.Locked(c.Dir); err != nil {
		return nil, adviseOnStore(err, c.Dir)
	}
	_, exists, err := badgerstore.Encrypted(c.Dir)
	if err != nil {
		return nil, adviseOnStore(err, c.Dir)
	}
	if exists {
		if c.Deferred, err = badgerstore.Intact(c.Dir); err != nil {
			return nil, adviseOnStore(err, c.Dir)
		}
		if err := runInspector(context.Background(), c, false, func(f finding) {
			if f.Log != "" {
				c.Logger.Error("durable store", slog.String("said", f.Log))
			}
		}); err != nil {
			return nil, adviseOnStore(err, c.Dir)
		}
	}
	c.Deferred = true // the inspector has compared the records, unless nothing has touched the files since they were closed
	store, err := badgerstore.Open(c)
	if err != nil {
		return nil, adviseOnStore(err, c.Dir)
	}
	return store, nil
}

func storeLog() *slog.Logger {
	return slog.New(zapslog.NewHandler(caddy.Log().Named("gatehouse").Core(), zapslog.AddStacktraceAt(slog.LevelError+1)))
}

// sealedKeys is the content of the key's file: the key, and while it is being replaced the one before it as well.
type sealedKeys struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Made    time.Time `json:"made"`
	Sealed  [][]byte  `json:"sealed"`
}

const sealedKeysVersion = 1

// key returns the key that fits the store.
func (s storage) key() ([]byte, error) {
	_, exists, err := badgerstore.Encrypted(s.path())
	if err != nil {
		return nil, err
	}
	keys, err := s.readKeys()
	if errors.Is(err, os.ErrNotExist) && !exists {
		return s.makeKey()
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: it holds the key of %s, sealed; bring it back from where the folder was copied to. If that store is not encrypted, remove encryption_key, or back it up and restore it into an empty folder", s.keyPath(), s.path())
	}
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		fits, err := badgerstore.KeyFits(s.path(), key)
		if err != nil {
			return nil, err
		}
		if fits {
			return key, nil
		}
	}
	return keys[0], nil // the engine says why it does not fit
}

// readKeys opens the keys of the file, the newest first.
func (s storage) readKeys() ([][]byte, error) {
	text, err := os.ReadFile(s.keyPath())
	if err != nil {
		return nil, err
	}
	var file sealedKeys
	if err := json.Unmarshal(text, &file); err != nil || len(file.Sealed) == 0 {
		return nil, fmt.Errorf("%s is damaged; bring it back from a copy", s.keyPath())
	}
	if file.Version != sealedKeysVersion {
		return nil, fmt.Errorf("%s has version %d, this program reads version %d", s.keyPath(), file.Version, sealedKeysVersion)
	}
	if file.Name != s.keyName {
		return nil, fmt.Errorf("%s holds the key %s, and the configuration asks for %s", s.keyPath(), file.Name, s.keyName)
	}
	ring, err := s.keyring()
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, sealed := range file.Sealed {
		key, err := ring.Open(sealed, s.associated())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.keyPath(), err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// writeKeys seals keys under the keyring's primary key and replaces the file.
func (s storage) writeKeys(keys ...[]byte) error {
	ring, err := s.keyring()
	if err != nil {
		return err
	}
	file := sealedKeys{Version: sealedKeysVersion, Name: s.keyName, Made: time.Now().UTC()}
	for _, key := range keys {
		sealed, err := ring.Seal(key, s.associated())
		if err != nil {
			return err
		}
		file.Sealed = append(file.Sealed, sealed)
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return secrets.WriteFile(s.keyPath(), append(text, '\n'))
}

// resealKeys seals the key of an encrypted store with the keyring's primary key.
func (s storage) resealKeys() (bool, error) {
	if s.keyName == "" {
		return false, nil
	}
	keys, err := s.readKeys()
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.writeKeys(keys...)
}

func (s storage) associated() []byte { return []byte("gatehouse/store-key/v1/" + s.keyName) }

func (s storage) makeKey() ([]byte, error) {
	key := newStoreKey()
	return key, s.writeKeys(key)
}

func newStoreKey() []byte {
	key := make([]byte, badgerstore.KeyBytes)
	_, _ = rand.Read(key) // it never fails
	return key
}

// rotateKey gives the store, which nobody may hold, another key. It may be interrupted anywhere: until the store has the
// new key, the file has both.
func (s storage) rotateKey() error {
	if s.keyName == "" {
		return errors.New("the configuration's store has no encryption_key, so there is nothing to rotate")
	}
	if err := badgerstore.Locked(s.path()); err != nil {
		return fmt.Errorf("%w; stop it first", err)
	}
	if _, exists, err := badgerstore.Encrypted(s.path()); err != nil {
		return err
	} else if !exists {
		return fmt.Errorf("there is no store in %s yet; the server makes one with a key of its own", s.path())
	}
	old, err := s.key()
	if err != nil {
		return err
	}
	key := newStoreKey()
	if err := s.writeKeys(key, old); err != nil {
		return err
	}
	if err := badgerstore.Rotate(s.path(), old, key); err != nil {
		return err
	}
	return s.writeKeys(key)
}
