package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// Defaults and bounds of a Config.
const (
	DefaultMemory = 256 << 20
	minMemtable   = 24 << 20 // an eighth of it holds the largest value
	maxMemtable   = 64 << 20

	valueThreshold  = 512 << 10
	valueLogBytes   = 64 << 20
	valueLogGC      = 10 * time.Minute
	valueLogGarbage = 0.5 // the share of a value log file that must be garbage for it to be rewritten
)

// Config opens a store. Dir is required.
type Config struct {
	// Dir holds the database and nothing else. It is made with mode 0700 if it is missing.
	Dir string
	// Memory hints at how much memory the database may use in all, in bytes. Zero means DefaultMemory.
	Memory int64
	// Logger gets the database's warnings. Nil means none.
	Logger *slog.Logger
}

// ErrLocked says that another process, or another store of this one, holds the directory.
var ErrLocked = errors.New("badgerstore: directory is in use")

// LockedError is the refusal to open a directory that somebody holds. It matches ErrLocked.
type LockedError struct {
	Dir string
	// PID is the process that holds it, 0 if it is not known.
	PID int
}

// Error names the directory and the process.
func (e *LockedError) Error() string {
	holder := "another process"
	switch e.PID {
	case 0:
	case os.Getpid():
		holder = "this process (pid " + strconv.Itoa(e.PID) + ")"
	default:
		holder = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("badgerstore: %s is in use by %s", e.Dir, holder)
}

// Is reports whether target is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// Open opens the store in a directory, making it if it is missing. It starts a new boot epoch, which ends every
// fence of the boots before. The directory stays locked until Close.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, errors.New("badgerstore: open: no directory given")
	}
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: open %s: %w", cfg.Dir, err)
	}
	opts := badgerOptions(cfg)
	db, err := badger.OpenManaged(opts)
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, &LockedError{Dir: cfg.Dir, PID: holder(cfg.Dir)}
		}
		return nil, fmt.Errorf("badgerstore: open %s: %w", cfg.Dir, err)
	}
	s := newStore(db, cfg.Logger, int(opts.MemTableSize/8))
	if err := s.boot(); err != nil {
		return nil, errors.Join(fmt.Errorf("badgerstore: open %s: %w", cfg.Dir, err), db.Close())
	}
	s.start()
	return s, nil
}

// badgerOptions spreads the memory hint over what Badger keeps: up to three memtables and the block cache.
func badgerOptions(cfg Config) badger.Options {
	opts := badger.DefaultOptions(cfg.Dir)
	opts.SyncWrites = true
	opts.DetectConflicts = false
	opts.NumVersionsToKeep = 1
	opts.ValueThreshold = valueThreshold
	opts.ValueLogFileSize = valueLogBytes
	opts.MemTableSize = min(max(cfg.Memory/8, minMemtable), maxMemtable)
	opts.NumMemtables = 2
	opts.BlockCacheSize = max(cfg.Memory/8, 8<<20)
	opts.Compression = options.Snappy
	opts.ChecksumVerificationMode = options.OnBlockRead
	opts.NumCompactors = 2
	opts.MetricsEnabled = false
	opts.Logger = badgerLogger{cfg.Logger}
	return opts
}

// holder reads the pid that Badger leaves in the directory it holds.
func holder(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "LOCK"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// boot reads the namespaces and begins a new boot epoch, durably.
func (s *Store) boot() error {
	s.durableTS = s.db.MaxVersion()
	txn := s.db.NewTransactionAt(math.MaxUint64, true)
	defer txn.Discard()

	if err := s.loadNamespaces(txn); err != nil {
		return err
	}
	key := []byte{bootTag}
	item, err := txn.Get(key)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
	case err != nil:
		return fmt.Errorf("read boot epoch: %w", err)
	default:
		payload, err := openFact(item, 8)
		if err != nil {
			return fmt.Errorf("read boot epoch: %w", err)
		}
		s.bootEpoch = binary.BigEndian.Uint64(payload)
	}
	s.bootEpoch++
	value := seal(nil, bind(0, key), kindFact, binary.BigEndian.AppendUint64(nil, s.bootEpoch))
	if err := txn.SetEntry(badger.NewEntry(key, value).WithMeta(kindFact)); err != nil {
		return fmt.Errorf("write boot epoch: %w", err)
	}
	if err := txn.CommitAt(s.durableTS+1, nil); err != nil {
		return fmt.Errorf("write boot epoch: %w", err)
	}
	s.durableTS++
	s.discardTS = s.durableTS
	return nil
}

func (s *Store) loadNamespaces(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{namespaceTag}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		name := string(item.Key()[1:])
		payload, err := openFact(item, 4)
		if err != nil {
			return fmt.Errorf("read namespace %q: %w", name, err)
		}
		s.addNamespace(name, binary.BigEndian.Uint32(payload))
	}
	return nil
}

// openFact returns the payload of a value bound to its database key.
func openFact(item *badger.Item, size int) (payload []byte, err error) {
	key := item.KeyCopy(nil)
	err = item.Value(func(envelope []byte) error {
		p, err := unseal(envelope, bind(0, key), item.UserMeta())
		if err == nil && (len(p) != size || item.UserMeta() != kindFact) {
			err = fmt.Errorf("%w: %d bytes instead of %d", durable.ErrCorrupt, len(p), size)
		}
		payload = append([]byte(nil), p...)
		return err
	})
	return payload, err
}

// badgerLogger passes Badger's warnings on. What it logs otherwise is about its own files.
type badgerLogger struct{ log *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any) {
	l.log.Error("badger", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l badgerLogger) Warningf(format string, args ...any) {
	l.log.Warn("badger", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (badgerLogger) Infof(string, ...any)  {}
func (badgerLogger) Debugf(string, ...any) {}
