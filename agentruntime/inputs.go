package agentruntime

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// watchInterval is how often the files are looked at.
const watchInterval = 500 * time.Millisecond

// Watch calls changed each time one of the files inputs is changed, replaced, removed or created, once the files have
// stood still for one look. It looks every 500 ms: this works on every file system and needs no descriptors. changed
// is called on Watch's own goroutine; a file that was written after since, the time before the inputs were read, counts as
// changed when Watch begins. One call ends before the next begins. Watch returns when ctx ends.
func Watch(ctx context.Context, inputs []string, since time.Time, changed func()) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	known := look(inputs)
	last := known
	if slices.ContainsFunc(known, func(s fileState) bool { return s.after(since) }) {
		known = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := look(inputs)
		still := slices.EqualFunc(now, last, fileState.same)
		last = now
		// Files that still change are left alone: an editor or npm may be in the middle of writing them.
		if still && !slices.EqualFunc(now, known, fileState.same) {
			known = now
			changed()
		}
	}
}

// fileState is what tells a changed file from an unchanged one without reading it. info is nil for no file.
type fileState struct{ info os.FileInfo }

func (s fileState) same(o fileState) bool {
	if s.info == nil || o.info == nil {
		return s.info == nil && o.info == nil
	}
	return os.SameFile(s.info, o.info) && s.info.Size() == o.info.Size() && s.info.ModTime().Equal(o.info.ModTime())
}

// after reports whether the file has been written after t, and not in the future, as some are said to be.
func (s fileState) after(t time.Time) bool {
	return s.info != nil && !t.IsZero() && s.info.ModTime().After(t) && !s.info.ModTime().After(time.Now())
}

func look(paths []string) []fileState {
	states := make([]fileState, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			states[i].info = info
		}
	}
	return states
}

// sortedFiles returns the keys of paths that do not name a directory by ending in a separator.
func sortedFiles(paths map[string]bool) []string {
	files := slices.Sorted(maps.Keys(paths))
	return slices.DeleteFunc(files, func(p string) bool { return strings.HasSuffix(p, string(filepath.Separator)) })
}
