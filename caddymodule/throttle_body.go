package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/throttle"
)

// defaultGrace lets a client pause, and one on a bad network lose some packets.
const defaultGrace = caddy.Duration(10 * time.Second)

// errSlowBody is what a reader of the body gets when it came too slowly.
var errSlowBody = fmt.Errorf("the request's body came too slowly: %w", os.ErrDeadlineExceeded)

// paced lets the request go on with a body that must come at the least rate.
func (t *Throttle) paced(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if t.BodyRate == 0 || r.Body == nil || r.Body == http.NoBody {
		return next.ServeHTTP(w, r)
	}
	body := &pacedBody{
		ReadCloser: r.Body,
		pace:       throttle.Pace{Rate: t.BodyRate, Grace: time.Duration(t.BodyGrace)},
		control:    http.NewResponseController(w),
		shadow:     t.shadow(),
	}
	if t.load.readTimeout > 0 {
		body.latest = time.Now().Add(t.load.readTimeout)
	}
	slower := *r
	slower.Body = body
	err := func() error {
		defer body.end()
		if body.fetch(&slower); body.slow.Load() {
			return errSlowBody
		}
		return next.ServeHTTP(w, &slower)
	}()
	if !body.slow.Load() {
		return err
	}
	const reason = "the body came at less than %d bytes a second"
	if t.shadow() {
		_ = v.deny(true, "throttle", http.StatusRequestTimeout, reason, t.BodyRate)
		return err
	}
	if v.writer.status != 0 {
		return err // it was answered all the same
	}
	if r.ProtoMajor == 1 { // of HTTP/2 and 3 only the stream is slow
		w.Header().Set("Connection", "close")
	}
	return v.refuse("throttle", http.StatusRequestTimeout, reason, t.BodyRate)
}

// fetched is how much of a body is read before anything runs for its request. A client that is slow only after it can still keep a
// runtime busy, for as long as the pace lets it.
const fetched = 16 << 10

// fetch reads the beginning of a body, so that a slow client keeps a goroutine busy and no code's runtime. It leaves a body of unknown
// length alone: whoever sends it may wait for an answer to its beginning. What it finds, an error too, is found again by who reads on.
func (b *pacedBody) fetch(r *http.Request) {
	if b.shadow || r.ContentLength <= 0 {
		return
	}
	head, _ := io.ReadAll(io.LimitReader(b, min(r.ContentLength, fetched)))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), b), b}
}

// pacedBody is a body that ends with errSlowBody when it comes too slowly. In shadow it only notes that it did.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	latest  time.Time // the server's own deadline; zero for none
	shadow  bool
	slow    atomic.Bool

	// mu orders the deadlines of a reader that may be another goroutine against the end of the request, after which the
	// connection is the next request's. It is not held while Read waits.
	mu    sync.Mutex
	pace  throttle.Pace
	whole bool // read to its end
	ended bool
}

// Read waits no longer than the pace allows.
func (b *pacedBody) Read(p []byte) (int, error) {
	if !b.set(func() time.Time { return time.Now().Add(max(b.pace.Left(), time.Millisecond)) }) {
		return 0, http.ErrBodyReadAfterClose
	}
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	b.pace.Got(n, time.Since(begun))
	slow := b.pace.Left() <= 0
	b.mu.Unlock()
	switch {
	case err == io.EOF:
		b.mu.Lock()
		b.whole = true
		b.mu.Unlock()
		b.set(func() time.Time { return time.Time{} })
		return n, err
	case b.shadow:
		if slow {
			b.slow.Store(true)
		}
		return n, err
	case slow || errors.Is(err, os.ErrDeadlineExceeded):
		b.slow.Store(true)
		return n, errSlowBody
	}
	return n, err
}

// set moves the deadline of the connection's or stream's reads, within the server's own; it reports whether the request
// still goes on. A server that can't do so lets a slow Read wait, and the pace is looked at after it.
func (b *pacedBody) set(deadline func() time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	b.move(deadline())
	return true
}

func (b *pacedBody) move(deadline time.Time) {
	if b.shadow {
		return
	}
	if deadline.IsZero() || !b.latest.IsZero() && b.latest.Before(deadline) {
		deadline = b.latest
	}
	_ = b.control.SetReadDeadline(deadline)
}

// end is called when the handlers are done. Of a body that they have left, the server reads on for a while to use the
// connection again; the pace holds there too.
func (b *pacedBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.whole {
		b.move(time.Now().Add(max(0, b.pace.Left())))
	}
	b.ended = true
}
