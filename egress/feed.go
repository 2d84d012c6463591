package egress

import (
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// Feed is a Blocklist of files, which are read anew when they change. It is safe for concurrent use, but for Refresh, which one goroutine calls.
type Feed struct {
	files []string
	seen  []state // of the files, when they were read last
	list  atomic.Pointer[Blocklist]
}

// state tells whether a file has changed.
type state struct {
	size     int64
	modified time.Time
}

// OpenFeed reads files. An error names the file, and the line where there is one.
func OpenFeed(files ...string) (*Feed, error) {
	f := &Feed{files: files}
	if _, err := f.Refresh(); err != nil {
		return nil, err
	}
	return f, nil
}

// Refresh reads the files anew if one of them has changed. With an error, the list that was read before stays, and the files are tried again
// when they have changed once more.
func (f *Feed) Refresh() (changed bool, err error) {
	now := make([]state, len(f.files))
	for i, name := range f.files {
		info, err := os.Stat(name)
		if err != nil {
			return false, err
		}
		now[i] = state{info.Size(), info.ModTime()}
		changed = changed || i >= len(f.seen) || now[i] != f.seen[i]
	}
	if !changed {
		return false, nil
	}
	f.seen = now
	reader := NewBlocklistReader()
	for _, name := range f.files {
		file, err := os.Open(name)
		if err != nil {
			return false, err
		}
		err = reader.Read(file, name)
		file.Close()
		if err != nil {
			return false, fmt.Errorf("blocklist: %w", err)
		}
	}
	f.list.Store(reader.List())
	return true, nil
}

// Size is how many names and prefixes the list has.
func (f *Feed) Size() int { return f.blocked().Size() }

// blocked is the list as it is now; nil for none.
func (f *Feed) blocked() *Blocklist {
	if f == nil {
		return nil
	}
	return f.list.Load()
}

func (f *Feed) name(name string) bool { return f.blocked().Name(name) }

func (f *Feed) addr(addr netip.Addr) bool { return f.blocked().Addr(addr) }
