package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

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

// Locked returns a *LockedError if somebody holds the directory, else nil. Nothing is opened or changed.
func Locked(dir string) error {
	held, err := probeLock(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("badgerstore: look at %s: %w", dir, err)
	}
	if held {
		return &LockedError{Dir: dir, PID: holder(dir)}
	}
	return nil
}
