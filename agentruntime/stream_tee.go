package agentruntime

import (
	"bytes"

	"github.com/dop251/goja"
)

// tee is the state of a stream that was split in two (https://streams.spec.whatwg.org/#abstract-opdef-readablestreamtee).
type tee struct {
	r        *realm
	src      *readable
	reader   *streamReader
	branches [2]teeBranch
	reading  bool
	ended    []func(thrown goja.Value)
}

type teeBranch struct {
	s        *readable
	out      transformOut
	canceled bool
	reason   goja.Value
	again    bool // it asked for more while a read was under way
}

// tee splits s: both streams get every chunk, bytes are copied for the second.
func (r *realm) tee(s *readable) (one, two *readable) {
	r.startSourceNow(s)
	t := &tee{r: r, src: s}
	_, bytes := s.ctrl.(*byteController)
	for i := range t.branches {
		b := &t.branches[i]
		pull := func(_ goja.Value, done func(goja.Value)) {
			t.pull(i)
			done(nil)
		}
		stop := func(reason goja.Value, done func(goja.Value)) { t.cancel(i, reason, done) }
		if bytes {
			b.s, b.out = r.teeBytes(pull, stop)
		} else {
			stream, c := r.newDefaultStream(strategy{mark: 1}, pull, stop)
			b.s, b.out = stream, c
			c.started = false
		}
		b.s.length = s.length
	}
	t.acquire(false)
	if !bytes {
		// The branches start like any other stream.
		r.soon(func() {
			for i := range t.branches {
				c := t.branches[i].out.(*defaultController)
				c.started = true
				c.pullIfNeeded()
			}
		})
	}
	return t.branches[0].s, t.branches[1].s
}

func (r *realm) teeBytes(pull, stop algorithm) (*readable, transformOut) {
	s, c := r.newByteStream(0, pull, stop)
	return s, c
}

// acquire takes the reader that the next read needs. What ends the source in an error ends both branches.
func (t *tee) acquire(byob bool) {
	if t.reader != nil {
		t.reader.release()
	}
	reader := t.src.acquire(byob)
	t.reader = reader
	reader.closed.watch(func() {
		if t.src.state != streamErrored {
			return
		}
		t.r.soon(func() { // after the chunks that were read before
			if t.reader != reader {
				return
			}
			t.branches[0].out.fail(t.src.storedError)
			t.branches[1].out.fail(t.src.storedError)
			t.finished()
		})
	})
}

// finished ends what waits for a cancellation, unless the cancellation of both has an end of its own.
func (t *tee) finished() {
	if !t.branches[0].canceled || !t.branches[1].canceled {
		t.tellEnded(nil)
	}
}

// pull reads one chunk for the branch i that asks and for the other.
func (t *tee) pull(i int) {
	if t.reading {
		t.branches[i].again = true
		return
	}
	t.reading = true
	if c, ok := t.branches[i].out.(*byteController); ok && len(c.pulls) > 0 {
		t.readInto(i, c)
		return
	}
	if t.reader.byob {
		t.acquire(false)
	}
	t.reader.read(&readRequest{
		chunk: func(v goja.Value) { t.r.soon(func() { t.chunk(v) }) },
		close: t.close,
		fail:  func(goja.Value) { t.reading = false },
	})
}

// chunk gives both branches what was read.
func (t *tee) chunk(v goja.Value) {
	again := t.asked()
	for i := range t.branches {
		if b := &t.branches[i]; !b.canceled && b.out.open() {
			b.out.put(v)
		}
	}
	t.goOn(again)
}

// asked forgets that branches asked for more, and returns what says whether one has asked since.
func (t *tee) asked() (again func() int) {
	t.branches[0].again, t.branches[1].again = false, false
	return func() int {
		for i := range t.branches {
			if t.branches[i].again {
				return i
			}
		}
		return -1
	}
}

func (t *tee) goOn(again func() int) {
	t.reading = false
	if i := again(); i >= 0 {
		t.pull(i)
	}
}

// close is the end of the source while a default reader waits.
func (t *tee) close() {
	t.reading = false
	for i := range t.branches {
		if b := &t.branches[i]; !b.canceled {
			b.out.conclude()
		}
	}
	t.finished()
}

// readInto reads into the buffer that code gave to a reader of branch i, which is a byte stream.
func (t *tee) readInto(i int, c *byteController) {
	if !t.reader.byob {
		t.acquire(true)
	}
	c.invalidate()
	want := c.pulls[0]
	p := &pullInto{buf: want.buf, offset: want.offset + want.filled, length: want.length - want.filled, minimum: 1, element: 1}
	mine, other := &t.branches[i], &t.branches[1-i]
	// respond tells the branch that asked what its buffer holds now.
	respond := func(got *pullInto) {
		if len(c.pulls) > 0 && got != nil {
			c.pulls[0].buf = got.buf
			c.respond(got.filled)
		}
	}
	p.into = &intoRequest{
		chunk: func(got *pullInto) {
			t.r.soon(func() {
				again := t.asked()
				copied := bytes.Clone(got.bytes())
				if !mine.canceled {
					respond(got)
				}
				if o := other.out.(*byteController); !other.canceled && o.open() {
					o.enqueue(copied)
				}
				t.goOn(again)
			})
		},
		close: func(got *pullInto) {
			t.reading = false
			if !mine.canceled {
				mine.out.(*byteController).close()
			}
			if !other.canceled {
				other.out.conclude()
			}
			if !mine.canceled {
				respond(got)
			}
			t.finished()
		},
		fail: func(goja.Value) { t.reading = false },
	}
	t.src.ctrl.(*byteController).readInto(p)
}

func (t *tee) cancel(i int, reason goja.Value, done func(goja.Value)) {
	t.branches[i].canceled, t.branches[i].reason = true, reason
	t.ended = append(t.ended, done)
	if t.branches[0].canceled && t.branches[1].canceled {
		both := t.r.rt.NewArray(orUndefined(t.branches[0].reason), orUndefined(t.branches[1].reason))
		t.src.cancel(both, t.tellEnded)
	}
}

func (t *tee) tellEnded(thrown goja.Value) {
	ended := t.ended
	t.ended = nil
	for _, done := range ended {
		done(thrown)
	}
}
