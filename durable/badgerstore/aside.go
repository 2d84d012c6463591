package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What Badger would cut or rewrite when it opens a database that was not closed is copied first, so that a log that
// it takes for shorter than it is can still be looked at. The copies lie in a folder of their own beside the
// database.
const (
	asideFolder = "aside"
	asideCopies = 3 // the oldest is kept, for it is the one from before the trouble
	asideKept   = 7 * 24 * time.Hour
)

// setAside copies the logs and the manifest of a database and returns where they are, "" if there is nothing to copy.
func setAside(dir string, now time.Time) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return "", err
	}
	names = append(names, filepath.Join(dir, "MANIFEST"))
	root := filepath.Join(dir, asideFolder)
	if err := makeRoom(root, now); err != nil {
		return "", err
	}
	to := filepath.Join(root, now.UTC().Format("20060102T150405.000000000Z"))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	for _, name := range names {
		if err := copySparse(name, filepath.Join(to, filepath.Base(name))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", errors.Join(err, os.RemoveAll(to))
		}
	}
	return to, nil
}

// makeRoom removes copies that are old, and the newest ones beyond the number kept.
func makeRoom(root string, now time.Time) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept []string
	for _, e := range entries {
		made, err := time.Parse("20060102T150405.000000000Z", e.Name())
		if err != nil || !e.IsDir() {
			continue // not ours
		}
		if now.Sub(made) > asideKept {
			if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
				return err
			}
			continue
		}
		kept = append(kept, e.Name())
	}
	slices.Sort(kept)
	for len(kept) >= asideCopies {
		last := kept[len(kept)-1]
		if err := os.RemoveAll(filepath.Join(root, last)); err != nil {
			return err
		}
		kept = kept[:len(kept)-1]
	}
	return nil
}

// copySparse copies a file and leaves holes where it is zero: a log's file is much longer than the log.
func copySparse(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	block, zero := make([]byte, 1<<20), make([]byte, 1<<20)
	size := int64(0)
	for {
		n, err := io.ReadFull(src, block)
		if n > 0 && !bytes.Equal(block[:n], zero[:n]) {
			if _, err := dst.WriteAt(block[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := dst.Truncate(size); err != nil {
		return err
	}
	return dst.Sync()
}

// DataLossError is the refusal to open a database that is behind what it had acknowledged, or that lacks records.
type DataLossError struct {
	Dir string
	// What is missing, as a sentence's part.
	What string
	// Aside is where the logs were copied to before they were opened, "" if they were not.
	Aside string
}

// Error names the directory, what is missing and where the copies are.
func (e *DataLossError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "badgerstore: %s has lost data: %s", e.Dir, e.What)
	if e.Aside != "" {
		fmt.Fprintf(&b, "; the logs as they were are in %s", e.Aside)
	}
	return b.String()
}

// Is reports whether target is ErrDataLoss.
func (e *DataLossError) Is(target error) bool { return target == ErrDataLoss }

// removeEmpty removes logs of no length. A process that is killed between the making of a log and the write of its head leaves one, and
// Badger takes it for an error that a file which it opens is new. If one was not empty once, what it had is missed by the checks after
// the start.
func removeEmpty(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil {
				return err
			}
			if info.Mode().IsRegular() && info.Size() == 0 {
				if err := os.Remove(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
