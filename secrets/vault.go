package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	vaultVersion  = 1
	maxVaultBytes = 64 << 20
	// MaxValueBytes is the size limit of one secret, in bytes.
	MaxValueBytes = 64 << 10
	maxNameBytes  = 64
)

// VaultConfig configures a vault. Path and Keyring are needed.
type VaultConfig struct {
	// Path of the secrets file. It is made by the first Put.
	Path string
	// Keyring seals and opens the values.
	Keyring *Keyring
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Vault is the file of sealed secrets. Any number of processes may use one
// file: writers take the lock file beside it and replace it whole, readers
// notice a replaced file by its stamp and read it anew. Safe for concurrent
// use. Names are not secret; values are sealed with the name as associated
// data, so a sealed value can't be moved under another name.
type Vault struct {
	path    string
	keyring *Keyring
	now     func() time.Time

	mu       sync.Mutex // guards what follows
	stamp    fs.FileInfo
	file     vaultFile
	redactor *Redactor // nil until asked for; dropped when the file changes
}

// Info is what may be told about a secret.
type Info struct {
	Name    string    `json:"name"`
	KeyID   string    `json:"key_id"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

type vaultFile struct {
	Version int           `json:"version"`
	Secrets []vaultSecret `json:"secrets"` // sorted by name
}

type vaultSecret struct {
	Info
	Sealed []byte `json:"sealed"`
}

// OpenVault opens the secrets file, which need not exist yet. A file that is
// not one gives ErrCorruptVault. Values are not opened here; see Verify.
func OpenVault(config VaultConfig) (*Vault, error) {
	if config.Path == "" || config.Keyring == nil {
		return nil, errors.New("opening secrets: a path and a keyring are needed")
	}
	v := &Vault{path: config.Path, keyring: config.Keyring, now: config.Now}
	if v.now == nil {
		v.now = time.Now
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v, v.refresh()
}

// ValidName tells whether s can name a secret: a lower-case letter or digit,
// then up to 63 lower-case letters, digits, "_" and "-".
func ValidName(s string) bool {
	if s == "" || len(s) > maxNameBytes || s[0] == '_' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// Put seals value under name, replacing one that is there. The value must be
// UTF-8 text of 1 to MaxValueBytes bytes. It is durable when Put returns.
func (v *Vault) Put(name string, value Value) error {
	if err := checkName(name); err != nil {
		return err
	}
	sealed, err := v.seal(name, value)
	if err != nil {
		return err
	}
	return v.change(func(file *vaultFile) error {
		v.insert(file, name, sealed)
		return nil
	})
}

// PutGroup makes values, by name, the whole content of a group, in one step.
// What a group holds is found by Redactor and resealed as every secret is, as
// GROUP/NAME; List does not show it. It is for what the gateway keeps itself.
func (v *Vault) PutGroup(group string, values map[string]Value) error {
	sealed, err := v.sealGroup(group, values)
	if err != nil {
		return err
	}
	return v.change(func(file *vaultFile) error {
		kept := make([]vaultSecret, 0, len(file.Secrets)+len(sealed))
		for _, s := range file.Secrets {
			if _, again := sealed[s.Name]; again || !inGroup(s.Name, group) {
				kept = append(kept, s)
			}
		}
		file.Secrets = kept
		for name, b := range sealed {
			v.insert(file, name, b)
		}
		return nil
	})
}

// EnsureGroup gives a group its first content, unless it has one. However many processes do so at a time, all find the same.
func (v *Vault) EnsureGroup(group string, make func() (map[string]Value, error)) error {
	if values, err := v.Group(group); err != nil || len(values) > 0 {
		return err
	}
	return v.change(func(file *vaultFile) error {
		if slices.ContainsFunc(file.Secrets, func(s vaultSecret) bool { return inGroup(s.Name, group) }) {
			return nil
		}
		values, err := make()
		if err != nil {
			return err
		}
		sealed, err := v.sealGroup(group, values)
		for name, b := range sealed {
			v.insert(file, name, b)
		}
		return err
	})
}

// sealGroup seals the values of a group, by their full names.
func (v *Vault) sealGroup(group string, values map[string]Value) (map[string][]byte, error) {
	sealed := make(map[string][]byte, len(values))
	for name, value := range values {
		if err := checkName(name); err != nil {
			return nil, err
		}
		full := group + "/" + name
		var err error
		if sealed[full], err = v.seal(full, value); err != nil {
			return nil, err
		}
	}
	return sealed, nil
}

// Group opens what a group holds, by name.
func (v *Vault) Group(group string) (map[string]Value, error) {
	file, err := v.current()
	if err != nil {
		return nil, err
	}
	values := map[string]Value{}
	for _, s := range file.Secrets {
		if !inGroup(s.Name, group) {
			continue
		}
		if values[s.Name[len(group)+1:]], err = v.open(s); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// inGroup tells whether a name is of the group.
func inGroup(name, group string) bool {
	i := strings.LastIndexByte(name, '/')
	return i >= 0 && name[:i] == group
}

// seal checks a value and seals it under its name.
func (v *Vault) seal(name string, value Value) ([]byte, error) {
	text := value.Reveal()
	switch {
	case text == "":
		return nil, fmt.Errorf("%w: secret %s is empty", ErrValue, name)
	case len(text) > MaxValueBytes:
		return nil, fmt.Errorf("%w: secret %s has %d bytes, more than %d", ErrValue, name, len(text), MaxValueBytes)
	case !utf8.ValidString(text):
		return nil, fmt.Errorf("%w: secret %s is not UTF-8 text", ErrValue, name)
	}
	sealed, err := v.keyring.Seal([]byte(text), associated(name))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return sealed, nil
}

// insert puts a sealed value into the file's content, replacing one that is there.
func (v *Vault) insert(file *vaultFile, name string, sealed []byte) {
	now := v.now().UTC()
	id, _ := SealedKeyID(sealed)
	entry := vaultSecret{Info: Info{Name: name, KeyID: id, Created: now, Updated: now}, Sealed: sealed}
	i, found := file.find(name)
	if found {
		entry.Created = file.Secrets[i].Created
		file.Secrets[i] = entry
	} else {
		file.Secrets = slices.Insert(file.Secrets, i, entry)
	}
}

// Delete removes the secret; ErrNotFound when there is none.
func (v *Vault) Delete(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return v.change(func(file *vaultFile) error {
		i, found := file.find(name)
		if !found {
			return fmt.Errorf("%w: %s", ErrNotFound, name)
		}
		file.Secrets = slices.Delete(file.Secrets, i, i+1)
		return nil
	})
}

// Reseal seals every value that another key sealed with the keyring's primary key, and returns how many those were.
func (v *Vault) Reseal() (n int, err error) {
	if err := v.keyring.follow(); err != nil {
		return 0, err
	}
	err = v.change(func(file *vaultFile) error {
		n = 0
		list := slices.Clone(file.Secrets)
		for i, s := range list {
			id, _ := SealedKeyID(s.Sealed)
			if id == v.keyring.PrimaryID() {
				continue
			}
			value, err := v.open(s)
			if err != nil {
				return err
			}
			if list[i].Sealed, err = v.keyring.Seal([]byte(value.Reveal()), associated(s.Name)); err != nil {
				return err
			}
			list[i].KeyID, _ = SealedKeyID(list[i].Sealed)
			n++
		}
		file.Secrets = list
		return nil
	})
	return n, err
}

// Uses tells whether a value is sealed with the key of that id.
func (v *Vault) Uses(id string) (bool, error) {
	file, err := v.current()
	return slices.ContainsFunc(file.Secrets, func(s vaultSecret) bool {
		sealed, _ := SealedKeyID(s.Sealed)
		return sealed == id
	}), err
}

// List returns names and ages, sorted by name, never values.
func (v *Vault) List() ([]Info, error) {
	file, err := v.current()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(file.Secrets))
	for _, s := range file.Secrets {
		if ValidName(s.Name) {
			infos = append(infos, s.Info)
		}
	}
	return infos, nil
}

// Open returns the value of the secret as the file has it now. Errors:
// ErrName, ErrNotFound, ErrWrongKeyring, ErrCorruptVault.
func (v *Vault) Open(name string) (Value, error) {
	if err := checkName(name); err != nil {
		return Value{}, err
	}
	file, err := v.current()
	if err != nil {
		return Value{}, err
	}
	i, found := file.find(name)
	if !found {
		return Value{}, fmt.Errorf("%w: %s; put it with: caddy gatehouse secret put %s", ErrNotFound, name, name)
	}
	return v.open(file.Secrets[i])
}

// Verify opens every secret and returns the first error, so that a wrong
// keyring is refused when a server starts and not at a request.
func (v *Vault) Verify() error {
	_, err := v.Values()
	return err
}

// Values opens every secret, by name.
func (v *Vault) Values() (map[string]Value, error) {
	file, err := v.current()
	if err != nil {
		return nil, err
	}
	return v.openAll(file)
}

// Redactor returns a Redactor of every secret as the file has it now. It is
// built once for each state of the file, so that a call costs one Stat. Note
// that a value replaced or deleted is no longer redacted by the new one.
func (v *Vault) Redactor() (*Redactor, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refresh(); err != nil {
		return nil, err
	}
	if v.redactor == nil {
		values, err := v.openAll(v.file)
		if err != nil {
			return nil, err
		}
		v.redactor = NewRedactor(values)
	}
	return v.redactor, nil
}

func (v *Vault) open(s vaultSecret) (Value, error) {
	text, err := v.keyring.Open(s.Sealed, associated(s.Name))
	if err != nil {
		return Value{}, fmt.Errorf("secret %s of %s: %w", s.Name, v.path, err)
	}
	return NewValue(string(text)), nil
}

func (v *Vault) openAll(file vaultFile) (map[string]Value, error) {
	values := make(map[string]Value, len(file.Secrets))
	for _, s := range file.Secrets {
		value, err := v.open(s)
		if err != nil {
			return nil, err
		}
		values[s.Name] = value
	}
	return values, nil
}

// current returns the file's content, read anew when it was replaced. The
// slice is never modified in place.
func (v *Vault) current() (vaultFile, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.refresh(); err != nil {
		return vaultFile{}, err
	}
	return v.file, nil
}

// change applies edit to a fresh copy of the file under the lock file, and
// writes it.
func (v *Vault) change(edit func(*vaultFile) error) error {
	err := withLock(v.path, func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		// Read without the stamp's shortcut: a write must never start from
		// something older than what is on disk.
		file, _, err := readVault(v.path)
		if err != nil {
			return err
		}
		if err := edit(&file); err != nil {
			return err
		}
		data, err := json.MarshalIndent(file, "", "  ")
		if err != nil {
			return err
		}
		if err := writeAtomic(v.path, append(data, '\n')); err != nil {
			return err
		}
		v.stamp = nil // the next reader reads what is there
		return nil
	})
	if err != nil {
		return fmt.Errorf("changing secrets: %w", err)
	}
	return nil
}

// refresh reads the file if its stamp changed. The caller holds v.mu.
func (v *Vault) refresh() error {
	info, err := os.Stat(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		v.stamp, v.file, v.redactor = nil, vaultFile{Version: vaultVersion}, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading secrets: %w", err)
	}
	if v.stamp != nil && os.SameFile(v.stamp, info) && v.stamp.Size() == info.Size() && v.stamp.ModTime().Equal(info.ModTime()) {
		return nil
	}
	file, info, err := readVault(v.path)
	if err != nil {
		return err
	}
	v.stamp, v.file, v.redactor = info, file, nil
	return nil
}

func readVault(path string) (vaultFile, fs.FileInfo, error) {
	empty := vaultFile{Version: vaultVersion}
	data, info, err := readLimited(path, maxVaultBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil, nil
	}
	if err != nil {
		return empty, nil, fmt.Errorf("reading secrets: %w", err)
	}
	corrupt := func(why string) (vaultFile, fs.FileInfo, error) {
		return empty, nil, fmt.Errorf("%w: %s: %s; restore it from a backup, or remove it and put the secrets anew", ErrCorruptVault, path, why)
	}
	var file vaultFile
	if err := json.Unmarshal(data, &file); err != nil {
		return corrupt(err.Error())
	}
	if file.Version != vaultVersion {
		return corrupt(fmt.Sprintf("version %d is not %d", file.Version, vaultVersion))
	}
	for _, s := range file.Secrets {
		if slices.ContainsFunc(strings.Split(s.Name, "/"), func(part string) bool { return !ValidName(part) }) {
			return corrupt(fmt.Sprintf("invalid name %q", s.Name))
		}
	}
	slices.SortFunc(file.Secrets, func(a, b vaultSecret) int { return strings.Compare(a.Name, b.Name) })
	return file, info, nil
}

func (f *vaultFile) find(name string) (int, bool) {
	return slices.BinarySearchFunc(f.Secrets, name, func(s vaultSecret, name string) int {
		return strings.Compare(s.Name, name)
	})
}

func checkName(name string) error {
	if ValidName(name) {
		return nil
	}
	return fmt.Errorf("%w %q: use 1 to %d lower-case letters, digits, _ and -, the first a letter or digit", ErrName, name, maxNameBytes)
}

// associated binds a sealed value to its name and use.
func associated(name string) []byte { return []byte("gatehouse/secret/v1/" + name) }
