package egress

import (
	"errors"
	"io"
)

// Finder finds what is looked for in bytes. It is safe for concurrent use.
type Finder interface {
	// Next finds the first occurrence in b that begins at from or after it and before to: where it begins, how long it is, and its name.
	// The length is 0 when there is none.
	Next(b []byte, from, to int) (at, length int, name string)
	// Longest is how long an occurrence can be, in bytes; 0 where nothing is looked for.
	Longest() int
}

// scanChunk is how much a scan reads at a time.
const scanChunk = 32 << 10

// scan gives out what it reads from src, and looks for occurrences in it, also for those that are split over several reads. It holds back
// fewer bytes than the longest occurrence has, until it is known that they are none. It is for one goroutine at a time; Close may be called
// at any time.
type scan struct {
	src    io.ReadCloser
	finder Finder
	// found decides on an occurrence: what stands in its place, or nil for the occurrence itself; an error ends the reading before it.
	found func(name string) ([]byte, error)
	chunk []byte
	held  []byte // read, and not decided on; but for its first past bytes, which have been given out
	past  int
	end   int    // where in held the occurrence ends that is being replaced; 0 for none
	mark  []byte // what stands in its place
	ready []byte // decided on; given out from given on
	given int
	err   error // of src, or of found
}

func newScan(src io.ReadCloser, finder Finder, found func(name string) ([]byte, error)) io.ReadCloser {
	if finder.Longest() == 0 {
		return src
	}
	return &scan{src: src, finder: finder, found: found, chunk: make([]byte, scanChunk)}
}

func (s *scan) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.given == len(s.ready) {
		if s.err != nil {
			return 0, s.err
		}
		n, err := s.src.Read(s.chunk)
		s.held = append(s.held, s.chunk[:n]...)
		s.ready, s.given = s.ready[:0], 0
		if s.err = s.decide(err != nil); s.err == nil {
			s.err = err
		}
	}
	n := copy(p, s.ready[s.given:])
	s.given += n
	return n, nil
}

// decide moves what can be no part of an occurrence that is still to come from held to ready. Of occurrences that overlap, the mark of the
// first stands for all.
func (s *scan) decide(last bool) error {
	b, whole := s.held, len(s.held) // an occurrence that begins before whole has all its bytes in b
	if !last {
		whole = len(b) - s.finder.Longest() + 1
	}
	if whole <= s.past {
		return nil
	}
	copied := s.past
	for from := s.past; ; {
		at, n, name := s.finder.Next(b, from, whole)
		if n > 0 && at < s.end {
			s.end, from = max(s.end, at+n), at+1
			continue
		}
		if s.end > 0 && (n > 0 || s.end <= whole) {
			s.ready = append(s.ready, s.mark...)
			copied, s.end = s.end, 0
		}
		if n == 0 {
			break
		}
		s.ready = append(s.ready, b[copied:at]...)
		copied, from = at, at+1
		mark, err := s.found(name)
		if err != nil {
			s.held = nil
			return err
		}
		if mark != nil {
			s.end, s.mark = at+n, mark
		}
	}
	if s.end > 0 {
		copied = whole
	}
	s.ready = append(s.ready, b[copied:whole]...)
	s.past = min(whole, 1)
	s.held = append(b[:0], b[whole-s.past:]...)
	if s.end > 0 {
		s.end -= whole - s.past
	}
	return nil
}

func (s *scan) Close() error { return s.src.Close() }

// replaceAll is a scan of a text.
func replaceAll(text string, finder Finder, found func(name string) ([]byte, error)) (string, error) {
	if finder.Longest() == 0 || text == "" {
		return text, nil
	}
	s := &scan{finder: finder, found: found, held: []byte(text)}
	if err := s.decide(true); err != nil {
		return "", err
	}
	return string(s.ready), nil
}

// holds finds the first occurrence in a text; empty for none.
func holds(text string, finder Finder) string {
	b := []byte(text)
	_, _, name := finder.Next(b, 0, len(b))
	return name
}

var errScanned = errors.New("the request body holds what must not leave")
