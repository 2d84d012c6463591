package secrets

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// readLimited reads a file that must not be larger than limit bytes, and
// returns what the open file's Stat said, so that content and stamp agree.
func readLimited(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() > limit {
		return nil, nil, fmt.Errorf("%s has %d bytes, more than the %d allowed", path, info.Size(), limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, info, err
}

// writeAtomic replaces path with data, mode 0600: a temporary file in the same
// directory, made with O_EXCL, is written, synced and renamed over it, and the
// directory is synced, so that a crash leaves the old or the new content whole.
func writeAtomic(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err = f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// withLock runs fn while holding the lock file beside path, which serialises
// writers of several processes. The directory is made, mode 0700, if needed.
func withLock(path string, fn func() error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockFile(f); err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	defer unlockFile(f)
	return fn()
}
