package badgerstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// deferred reports whether the records are compared after the start.
func (s *Store) deferred() bool { return s.cfg.Deferred && !s.cfg.AcceptDataLoss }

// checkLate compares the records as they were at the start with what was stored then, and stops the store if they differ.
func (s *Store) checkLate(txn *badger.Txn) {
	err := func() (err error) {
		defer func() {
			if x := recover(); x != nil { // damage that Badger does not expect
				err = fmt.Errorf("badger: %v\n%s", x, debug.Stack())
			}
		}()
		_, err = s.compareRecords(txn, func(format string, args ...any) error {
			return &DataLossError{Dir: s.dir, What: fmt.Sprintf(format, args...)}
		})
		return err
	}()
	if err != nil && !errors.Is(err, durable.ErrClosed) {
		s.fail(err)
	}
	close(s.checked)
}

// awaitCheck waits until it is certain that what cannot be found was never stored. Called under mu, which it gives up
// meanwhile.
func (s *Store) awaitCheck(ctx context.Context) (err error) {
	s.mu.Unlock()
	select {
	case <-s.checked:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	return cmp.Or(err, s.usable())
}

// closes reports whether the store is about to close.
func (s *Store) closes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Intact reports whether the files of a directory are as they were when its store was closed in good order: Open need not be tried
// in another process first. A single damaged block of a table is not seen here.
func Intact(dir string) (bool, error) {
	m, err := readHighWater(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errHighWaterDamaged) {
		return false, nil
	}
	if err != nil || !m.clean {
		return false, err
	}
	shape, err := shapeOf(dir)
	return err == nil && shape == m.shape, err
}

// shapeOf is a checksum over which files a closed database has, how long they are, and what the one says that lists them.
func shapeOf(dir string) (uint64, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return 0, err
	}
	h := sha256.New()
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".sst", ".vlog", ".mem":
			info, err := e.Info()
			if err != nil {
				return 0, err
			}
			fmt.Fprintf(h, "%s %d\n", e.Name(), info.Size())
		}
	}
	manifest, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	if err != nil {
		return 0, err
	}
	h.Write(manifest)
	return binary.BigEndian.Uint64(h.Sum(nil)), nil
}
