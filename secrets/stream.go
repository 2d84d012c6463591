package secrets

import "io"

// Stream strikes secrets out of what is read from src, also those that are split over several reads. It holds back fewer bytes than the
// longest spelling of a secret has, until it is known that they are none. A nil or empty Redactor gives src.
func (r *Redactor) Stream(src io.ReadCloser) io.ReadCloser {
	if r.Empty() {
		return src
	}
	return &stream{src: src, redactor: r, chunk: make([]byte, 16<<10)}
}

type stream struct {
	src      io.ReadCloser
	redactor *Redactor
	chunk    []byte
	held     []byte // read, and not decided on
	struck   int    // how many of the next bytes belong to the occurrence that is being struck out
	mark     string // of that occurrence
	ready    []byte // decided on; given out from given on
	given    int
	err      error // of src
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.given == len(s.ready) {
		if s.err != nil && len(s.held) == 0 {
			return 0, s.err
		}
		if s.err == nil {
			var n int
			n, s.err = s.src.Read(s.chunk)
			s.held = append(s.held, s.chunk[:n]...)
		}
		s.decide()
	}
	n := copy(p, s.ready[s.given:])
	s.given += n
	return n, nil
}

// decide moves what can be no part of a secret that is still to come from held to ready. Of occurrences that overlap, the mark of the
// first stands for all, and none of their bytes are kept.
func (s *stream) decide() {
	s.ready, s.given = s.ready[:0], 0
	b, whole := s.held, len(s.held) // an occurrence that begins before whole has all its bytes in b
	if s.err == nil {
		whole = max(len(b)-s.redactor.longest+1, 0)
	}
	copied := 0
	for i := 0; i < whole; i++ {
		var p *pattern
		if i+gramBytes <= len(b) {
			p = find(s.redactor, b, i)
		}
		if p != nil {
			if s.struck == 0 {
				s.ready, s.mark = append(s.ready, b[copied:i]...), p.mark
			}
			s.struck = max(s.struck, len(p.text))
		}
		if s.struck > 0 {
			if copied = i + 1; s.struck == 1 {
				s.ready = append(s.ready, s.mark...)
			}
			s.struck--
		}
	}
	s.ready = append(s.ready, b[copied:whole]...)
	s.held = append(b[:0], b[whole:]...)
}

func (s *stream) Close() error { return s.src.Close() }
