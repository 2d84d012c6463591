package badgerstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
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
	// EncryptionKey encrypts what lies on the disk with AES-256. It has 32 bytes, or none for a store that is not
	// encrypted. A store is made with or without one and keeps that.
	EncryptionKey []byte
	// AcceptDataLoss opens a store that has lost data, with what is left.
	AcceptDataLoss bool
	// Deferred lets Open return before the records of all actors were compared with what was stored, which takes about a second
	// for a million of them. It goes on beside the first calls: those whose answer could be that there is nothing wait for it, and
	// the store fails if something is missing. It has no effect together with AcceptDataLoss.
	Deferred bool
	// Logger gets the database's warnings. Nil means none.
	Logger *slog.Logger
}

// Errors of opening.
var (
	// ErrDataLoss says that the database lacks something that was acknowledged. See [DataLossError].
	ErrDataLoss = errors.New("badgerstore: data was lost")
	// ErrKey says that the encryption key is missing, is not wanted, or is another store's.
	ErrKey = errors.New("badgerstore: encryption key does not fit")
	// ErrFormat says that another version of the program wrote the database.
	ErrFormat = errors.New("badgerstore: other format")
)

// Open opens the store in a directory, making it if it is missing. It starts a new boot epoch, which ends every
// fence of the boots before. The directory stays locked until Close.
//
// A directory that was not closed in good order has its logs copied aside first. One that has lost what was
// acknowledged is refused with a *DataLossError, unless the config accepts that. Damage may crash the process within
// Badger: call Open in another process first where that matters.
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
	if err := Locked(cfg.Dir); err != nil {
		return nil, err
	}
	s, err := open(cfg)
	if err != nil {
		if errors.Is(err, ErrDataLoss) || errors.Is(err, ErrKey) || errors.Is(err, ErrLocked) {
			return nil, err // it names the directory
		}
		return nil, fmt.Errorf("badgerstore: open %s: %w", cfg.Dir, err)
	}
	s.start()
	return s, nil
}

func open(cfg Config) (_ *Store, err error) {
	opts := badgerOptions(cfg)
	if err := checkRoom(cfg.Dir, uint64(reserveMemtables*opts.MemTableSize)/2, freeBytes); err != nil {
		return nil, err
	}
	known, aside, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	failpoint("prepared")
	db, err := badger.OpenManaged(opts)
	failpoint("opened")
	if err != nil {
		if strings.Contains(err.Error(), "Cannot acquire directory lock") {
			return nil, &LockedError{Dir: cfg.Dir, PID: holder(cfg.Dir)}
		}
		if aside != "" {
			err = fmt.Errorf("%w (the logs as they were are in %s)", err, aside)
		}
		return nil, err
	}
	s := newStore(cfg, db)
	if s.highWater, err = openHighWater(cfg.Dir); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.boot(cfg, known, aside); err != nil {
		return nil, errors.Join(err, db.Close(), s.highWater.close())
	}
	return s, nil
}

// prepare looks at a directory before Badger does, and returns how far its database had come, and where its logs were
// copied to if it was not closed in good order.
func prepare(cfg Config) (known mark, aside string, err error) {
	existing, err := isDatabase(cfg.Dir)
	if err != nil {
		return mark{}, "", err
	}
	if err := checkKey(cfg); err != nil {
		return mark{}, "", err
	}
	if !existing {
		h, err := openHighWater(cfg.Dir)
		if err != nil {
			return mark{}, "", err
		}
		return mark{}, "", errors.Join(h.set(mark{}), h.close())
	}
	known, err = readHighWater(cfg.Dir)
	lost := err != nil
	if lost && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errHighWaterDamaged) {
		return mark{}, "", err
	}
	if lost || !known.clean {
		if aside, err = setAside(cfg.Dir, time.Now()); err != nil {
			return mark{}, "", fmt.Errorf("copy the logs aside: %w", err)
		}
		if err = removeEmpty(cfg.Dir); err != nil {
			return mark{}, "", fmt.Errorf("remove empty logs: %w", err)
		}
	}
	if lost {
		loss := &DataLossError{Dir: cfg.Dir, What: "its file " + highWaterName + ", which says how far it had come, is damaged, or missing as it is in stores of versions before the first release", Aside: aside}
		if !cfg.AcceptDataLoss {
			return mark{}, "", loss
		}
		cfg.Logger.Error("data loss accepted: the store goes on with what is there", slog.Any("error", loss))
	}
	return known, aside, nil
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
	if len(cfg.EncryptionKey) > 0 {
		opts.EncryptionKey = cfg.EncryptionKey
		opts.IndexCacheSize = max(cfg.Memory/16, 8<<20) // decrypted indexes, which are not in Badger's other caches
	}
	return opts
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
