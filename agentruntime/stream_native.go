package agentruntime

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/dop251/goja"
)

// goSource is the Go reader behind a stream. While code hasn't touched the stream it can be taken back, so that bytes
// which only pass through never enter the runtime.
type goSource struct {
	src     io.ReadCloser
	touched bool
}

func (g *goSource) touch() {
	if g != nil {
		g.touched = true
	}
}

// untouched takes the Go reader out of a stream that nothing was read from, nil when there is none. The stream counts
// as disturbed and locked from then on.
func (s *readable) untouched() io.ReadCloser {
	if s.source == nil || s.source.touched || s.reader != nil || s.disturbed {
		return nil
	}
	s.source.touched = true
	s.acquire(false)
	s.disturbed = true
	return passOn(s.source.src)
}

// pullSize is how much is read at once from a Go reader.
const pullSize = 32 << 10

var pullBuffers = sync.Pool{New: func() any { return new([pullSize]byte) }}

// streamOfReader makes a byte stream that reads src on demand, on a goroutine of its own each time.
func (r *realm) streamOfReader(src io.ReadCloser) *readable {
	type chunk struct {
		data []byte
		err  error
	}
	var c *byteController
	var s *readable
	s, c = r.newByteStream(0, func(_ goja.Value, done func(goja.Value)) {
		r.start(func(context.Context) (any, error) {
			buf := pullBuffers.Get().(*[pullSize]byte)
			defer pullBuffers.Put(buf)
			for {
				if n, err := src.Read(buf[:]); n > 0 || err != nil {
					return chunk{append([]byte(nil), buf[:n]...), err}, nil
				}
			}
		}, func(v any) (goja.Value, error) {
			got := v.(chunk)
			r.inLoop(func() {
				if len(got.data) > 0 {
					c.enqueue(got.data)
				}
				switch {
				case got.err == io.EOF:
					_ = src.Close()
					c.conclude()
				case got.err != nil:
					_ = src.Close()
					c.fail(r.errorValue(got.err))
				}
				done(nil)
			})
			return nil, nil
		})
	}, func(_ goja.Value, done func(goja.Value)) {
		_ = src.Close()
		done(nil)
	})
	s.source = &goSource{src: src}
	return s
}

// streamOfBytes makes a byte stream of what is in memory. data is not written to.
func (r *realm) streamOfBytes(data []byte) *readable {
	s, c := r.newByteStream(0, nil, nil)
	if len(data) > 0 {
		c.push(append([]byte(nil), data...))
	}
	c.close()
	return s
}

// handOver locks s for good and returns a stream that goes on where it stands.
func (r *realm) handOver(s *readable) *readable {
	if src := s.untouched(); src != nil {
		out := r.streamOfReader(src)
		out.length = s.length
		return out
	}
	out := *s
	out.obj, out.reader = nil, nil
	switch c := s.ctrl.(type) {
	case *defaultController:
		c.s = &out
	case *byteController:
		c.s = &out
	}
	s.state, s.disturbed, s.reader = streamClosed, true, &streamReader{s: s}
	newDefaultController(s, strategy{})
	return &out
}

// readAll gathers every byte of s.
func (r *realm) readAll(s *readable, done func(data []byte), fail func(err goja.Value)) {
	r.startSourceNow(s)
	rd := s.acquire(false)
	var data []byte
	var next func()
	busy, again := false, false
	next = func() {
		// Chunks that are there already come at once: a loop, not recursion.
		if busy {
			again = true
			return
		}
		busy = true
		for again = true; again; {
			again = false
			rd.read(&readRequest{
				chunk: func(v goja.Value) {
					b, ok := r.bytesOf(v)
					if !ok {
						err := r.typeError("This ReadableStream did not return bytes.")
						s.cancel(err, func(goja.Value) {})
						fail(err)
						return
					}
					if len(data)+len(b) > bodyLimit {
						err := r.errorValue(errBodyTooLarge)
						s.cancel(err, func(goja.Value) {})
						fail(err)
						return
					}
					data = append(data, b...)
					next()
				},
				close: func() { done(data) },
				fail:  fail,
			})
		}
		busy = false
	}
	next()
}

// drain is a JavaScript stream as a Go reader: every Read asks the stream for one chunk, through the loop, so that the
// stream runs no faster than its reader and a chunk is there as soon as it was written.
type drain struct {
	r     *realm
	scope *scope
	rd    *streamReader
	done  <-chan struct{}

	// results carries the answer of the one read under way.
	results chan drained
	rest    []byte
	err     error

	once    sync.Once
	closed  chan struct{}
	release func()
	// answers is the invocation whose answer the stream is, nil for any other body: nobody can catch what breaks it.
	answers *Invocation
}

type drained struct {
	data []byte
	err  error
}

var errDrainClosed = errors.New("read the response body: it was closed")

// drainStream locks s and returns the Go side of it. The invocation is held until the end or the close of the reader.
func (r *realm) drainStream(s *readable) io.ReadCloser {
	inv := r.current()
	return &drain{
		r: r, scope: r.scope(), rd: s.acquire(false), done: inv.ctx().Done(),
		results: make(chan drained, 1), closed: make(chan struct{}), release: inv.hold(),
	}
}

func (d *drain) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.r.deliver(d.scope, func() { d.r.inLoop(d.ask) })
		select {
		case got := <-d.results:
			d.rest, d.err = got.data, got.err
		case <-d.closed:
			d.err = errDrainClosed
		case <-d.done:
			d.err = context.Canceled
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// ask runs on the loop.
func (d *drain) ask() {
	d.rd.read(&readRequest{
		chunk: func(v goja.Value) {
			b, ok := d.r.bytesOf(v)
			if !ok {
				err := d.r.typeError("This ReadableStream did not return bytes.")
				if d.rd.s != nil {
					d.rd.s.cancel(err, func(goja.Value) {})
				}
				d.fail(err)
				return
			}
			d.hand(drained{data: append([]byte(nil), b...)})
		},
		close: func() { d.end(io.EOF) },
		fail:  d.fail,
	})
}

func (d *drain) fail(v goja.Value) {
	err := d.r.thrownError(v)
	if d.answers != nil {
		d.answers.uncaught(err)
	}
	d.end(err)
}

func (d *drain) end(err error) {
	d.release()
	d.hand(drained{err: err})
}

// hand gives the reader what its read came to, once it may leave the isolate.
func (d *drain) hand(got drained) {
	d.r.gateOutput(func(err error) {
		if err != nil {
			got = drained{err: err}
		}
		d.results <- got
	})
}

// Close cancels the stream. It does not wait for what the stream's source does about it.
func (d *drain) Close() error {
	d.once.Do(func() {
		close(d.closed)
		d.r.deliver(d.scope, func() {
			d.r.inLoop(func() {
				if s := d.rd.s; s != nil && s.state == streamReadable {
					s.cancel(goja.Undefined(), func(goja.Value) {})
				}
			})
			d.release()
		})
	})
	return nil
}

// thrownError makes a Go error of what code threw.
func (r *realm) thrownError(v goja.Value) error {
	if ex := r.rt.Try(func() { panic(v) }); ex != nil {
		return ex
	}
	return errors.New("the code threw")
}

// failure makes a Go error that code sees as a TypeError with err's message. On the loop only.
func (r *realm) failure(err error) error { return r.thrownError(r.typeError(err.Error())) }
