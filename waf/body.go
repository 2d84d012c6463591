package waf

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// requestBody reads the part of the body that is inspected, hands it to the rules and puts a replay in place.
func (t *Transaction) requestBody(r *http.Request, extended bool) error {
	if r.Body == nil || r.Body == http.NoBody || extended || r.Method == http.MethodConnect || isGRPC(r) {
		return nil
	}
	if !t.tx.IsRequestBodyAccessible() {
		return nil // a rule of the site switched inspection off for this request
	}
	limit := t.engine.config.BodyLimit
	enforce := t.engine.config.BodyOver == Reject
	if enforce && r.ContentLength > limit {
		t.refused = http.StatusRequestEntityTooLarge
		if t.engine.config.Mode == ModeBlock {
			return nil // refused by its declared length, so not a byte is read
		}
	}
	head, err := readHead(r.Body, r.ContentLength, limit+1)
	r.Body = replay(head, r.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBody, err)
	}
	if enforce && int64(len(head)) > limit {
		t.refused = http.StatusRequestEntityTooLarge
		if t.engine.config.Mode == ModeBlock {
			return nil
		}
	}
	if len(head) == 0 {
		return nil
	}
	// One byte past the limit tells Coraza that the body was cut; it then runs phase 2 at once.
	seen := head
	if int64(len(head)) > limit && isJSON(r) {
		seen = endString(head)
	}
	if _, _, err := t.tx.WriteRequestBody(seen); err != nil {
		return fmt.Errorf("%w: request body: %w", ErrInspect, err)
	}
	return nil
}

// isGRPC reports whether a request is a gRPC call, whose body may go on for as long as its response.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor >= 2 && strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc")
}

// isJSON reports whether Coraza reads the body as JSON.
func isJSON(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Content-Type")), "json")
}

// endString ends the string that a cut JSON text breaks off in, in a copy of the same length: a parser gives no value
// for a string without an end, so the one across the cut would go uninspected. An escape that the cut parts is blanked.
func endString(head []byte) []byte {
	inside, escape := false, -1 // escape is where the last escape begins
	for i := 0; i < len(head); i++ {
		switch {
		case head[i] == '"':
			inside = !inside
		case inside && head[i] == '\\':
			escape = i
			i++
		}
	}
	if !inside {
		return head
	}
	seen := bytes.Clone(head)
	last := len(seen) - 1
	if escape >= 0 && last-escape < len(`\u0000`) {
		for i := escape; i < last; i++ {
			seen[i] = ' '
		}
	}
	seen[last] = '"'
	return seen
}

// readHead reads up to limit bytes. declared is the length the client announced, -1 when it did not. The
// memory grows with what arrives, so an announced length costs nothing by itself beyond 64 KiB.
func readHead(body io.Reader, declared, limit int64) ([]byte, error) {
	const firstAtMost = 64 << 10
	size := int64(512)
	if declared >= 0 {
		size = min(declared+1, firstAtMost) // one spare byte lets the read that finds the end succeed
	}
	buf := make([]byte, 0, min(size, limit))
	for int64(len(buf)) < limit {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*int64(cap(buf))+512, limit))
			copy(grown, buf)
			buf = grown
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// replayBody gives back what was read, then the rest of the original body.
type replayBody struct {
	head bytes.Reader
	rest io.ReadCloser
}

func replay(head []byte, rest io.ReadCloser) *replayBody {
	b := &replayBody{rest: rest}
	b.head.Reset(head)
	return b
}

// Read implements io.Reader.
func (b *replayBody) Read(p []byte) (int, error) {
	if b.head.Len() > 0 {
		return b.head.Read(p)
	}
	return b.rest.Read(p)
}

// Close implements io.Closer.
func (b *replayBody) Close() error {
	b.head.Reset(nil)
	return b.rest.Close()
}
