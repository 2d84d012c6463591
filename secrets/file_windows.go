package secrets

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// openToOthers is always false here: Windows guards files by access lists,
// which Go's mode bits do not show.
func openToOthers(fs.FileInfo) bool { return false }

func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, new(windows.Overlapped))
}

func unlockFile(f *os.File) {
	windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, new(windows.Overlapped))
}

// syncDir does nothing: directories can't be synced on Windows.
func syncDir(string) error { return nil }
