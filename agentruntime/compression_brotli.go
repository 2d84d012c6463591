package agentruntime

import (
	"errors"
	"io"

	"github.com/andybalholm/brotli"
)

// unbrotli is the decompressor of brotli (RFC 7932), whose window takes up to 16 MiB.
type unbrotli struct {
	z      *brotli.Reader
	in     []byte
	piece  [inflatePiece]byte
	ended  bool
	failed error
}

func newUnbrotli() *unbrotli {
	d := &unbrotli{}
	d.z = brotli.NewReader(d)
	return d
}

// Read gives the brotli reader what was fed. It may go on after the end that it is told of: that is only the end of what there
// is so far, and the reader keeps its place.
func (d *unbrotli) Read(p []byte) (int, error) {
	if len(d.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.in)
	d.in = d.in[n:]
	return n, nil
}

func (d *unbrotli) feed(data []byte) { d.in = append(d.in, data...) }

func (d *unbrotli) next() ([]byte, error) {
	if d.ended && len(d.in) > 0 {
		d.failed = errTrailing
	}
	n := 0
	for n < len(d.piece) && d.failed == nil {
		got, err := d.z.Read(d.piece[n:])
		n += got
		switch {
		case err == io.EOF:
			d.ended = true
			return d.piece[:n], nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return d.piece[:n], nil
		case err != nil:
			d.failed = err
		}
	}
	if n > 0 {
		return d.piece[:n], nil
	}
	return nil, d.failed
}

func (d *unbrotli) fails() bool    { return d.failed != nil }
func (d *unbrotli) finished() bool { return d.ended && d.failed == nil }
