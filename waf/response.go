package waf

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Deny writes the answer to a client whose response was refused. w carries the headers it had before the
// response began and has not been written to. Where deny writes nothing, the caller answers after Finish.
type Deny func(w http.ResponseWriter, v Verdict)

// States of a responseWriter, in the order it goes through them.
const (
	stateHeader  = iota // the handler has set no status yet
	stateSniff          // the status is set, the media type shows only in the body
	stateHold           // the body is held back for inspection; the header is not sent
	statePass           // everything goes through
	stateBlocked        // refused: what the handler writes is dropped
)

// responseWriter inspects a response on its way out. See Transaction.ResponseWriter.
type responseWriter struct {
	w      http.ResponseWriter
	t      *Transaction
	deny   Deny
	method string
	before http.Header // the headers at the start, restored for a refusal
	state  int
	status int
	body   []byte
}

var (
	_ http.Flusher  = (*responseWriter)(nil)
	_ http.Hijacker = (*responseWriter)(nil)
	_ io.ReaderFrom = (*responseWriter)(nil)
	_ http.Pusher   = (*responseWriter)(nil)
)

// ResponseWriter returns a writer that runs the rules over the response's headers (phase 3) and, for the
// configured media types alone, over its body (phase 4), which is held back until it ends or passes the
// response limit; what follows the limit is not inspected.
//
// It never holds back an event stream, gRPC, an encoded body, an upgrade, the answer to HEAD, or anything
// after Flush: Flush inspects what was held so far and streams from there on. Hijack, Push and deadlines reach
// w. The result implements http.Flusher, http.Hijacker, io.ReaderFrom, http.Pusher and Unwrap.
//
// deny is called at most once, when the rules refuse the response; nil answers with the bare status. The
// handler's own writes are dropped from then on. The caller calls Finish when the handler has returned, or
// only Close where it failed: what is held back then is dropped with the response's headers.
// In ModeDetect nothing is refused.
func (t *Transaction) ResponseWriter(w http.ResponseWriter, r *http.Request, deny Deny) http.ResponseWriter {
	if deny == nil {
		deny = denyBare
	}
	rw := &responseWriter{w: w, t: t, deny: deny, method: r.Method, before: w.Header().Clone()}
	t.response = rw
	return rw
}

func denyBare(w http.ResponseWriter, v Verdict) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(v.Status)
}

// Finish ends a response that the handler has written: it inspects what is still held back and sends it. It
// returns the verdict on request and response; the error is that of the client's connection. Without a
// ResponseWriter it only returns the verdict.
func (t *Transaction) Finish() (Verdict, error) {
	var err error
	if t.response != nil && !t.closed {
		err = t.response.release()
	}
	return t.Verdict(), err
}

// Unwrap gives http.ResponseController the writer below.
func (rw *responseWriter) Unwrap() http.ResponseWriter { return rw.w }

// Header returns the header map of the response.
func (rw *responseWriter) Header() http.Header {
	if rw.state == stateBlocked {
		return http.Header{} // the refusal's headers are not the handler's to change
	}
	return rw.w.Header()
}

// WriteHeader inspects the headers and sends them unless the body is to be held back.
func (rw *responseWriter) WriteHeader(status int) {
	if rw.state != stateHeader {
		if rw.state == statePass {
			rw.w.WriteHeader(status) // net/http reports the superfluous call
		}
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		rw.w.WriteHeader(status)
		return
	}
	rw.status = status
	if _, set := rw.w.Header()["Content-Type"]; !set && rw.mayHold() {
		rw.state = stateSniff
		return
	}
	rw.begin(nil)
}

// begin runs phase 3 and decides between holding and passing. first is the start of the body where the
// handler wrote without a header, for the media type net/http would find in it.
func (rw *responseWriter) begin(first []byte) {
	tx := rw.t.tx
	h := rw.w.Header()
	contentType := strings.TrimSpace(h.Get("Content-Type"))
	if _, set := h["Content-Type"]; !set && len(first) > 0 && h.Get("Content-Encoding") == "" {
		contentType = http.DetectContentType(first)
	}
	mediaType, params, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	for name, values := range h {
		if name == "Content-Type" {
			continue
		}
		for _, v := range values {
			tx.AddResponseHeader(name, v)
		}
	}
	if mediaType != "" {
		// Coraza compares the type byte by byte with the configured ones.
		if params != "" {
			contentType = mediaType + ";" + params
		} else {
			contentType = mediaType
		}
		tx.AddResponseHeader("Content-Type", contentType)
	}
	if tx.ProcessResponseHeaders(rw.status, rw.t.proto) != nil {
		rw.block()
		return
	}
	if rw.holds(mediaType) {
		rw.state = stateHold
		return
	}
	rw.pass()
}

// holds reports whether the body that follows is held back for inspection.
func (rw *responseWriter) holds(mediaType string) bool {
	return rw.mayHold() && slices.Contains(rw.t.engine.config.Responses, mediaType) && !isStream(mediaType)
}

// mayHold reports whether a body of the right media type would be held back.
func (rw *responseWriter) mayHold() bool {
	if len(rw.t.engine.config.Responses) == 0 || !rw.t.tx.IsResponseBodyAccessible() || rw.method == http.MethodHead {
		return false
	}
	switch {
	case rw.status < 200, rw.status == http.StatusNoContent, rw.status == http.StatusNotModified:
		return false
	}
	e := rw.w.Header().Get("Content-Encoding")
	return e == "" || strings.EqualFold(e, "identity")
}

// pass sends the header and lets everything after it through.
func (rw *responseWriter) pass() {
	rw.state = statePass
	rw.w.WriteHeader(rw.status)
}

// block drops the response and has the refusal written.
func (rw *responseWriter) block() {
	rw.state = stateBlocked
	rw.body = nil
	rw.restore()
	rw.deny(rw.w, rw.t.Verdict())
}

// Write passes, holds back or drops a part of the body.
func (rw *responseWriter) Write(p []byte) (int, error) {
	switch rw.state {
	case stateHeader:
		rw.status = http.StatusOK
		rw.begin(p)
	case stateSniff:
		rw.begin(p)
	}
	switch rw.state {
	case statePass:
		return rw.w.Write(p)
	case stateBlocked:
		return len(p), nil
	}
	rw.body = append(rw.body, p...)
	if int64(len(rw.body)) > rw.t.engine.config.ResponseLimit {
		if err := rw.release(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// release ends the holding back: it runs phase 4 over what is held and sends it, or refuses.
func (rw *responseWriter) release() error {
	if rw.state == stateSniff {
		rw.begin(nil)
	}
	if rw.state != stateHold {
		return nil
	}
	if rw.inspectBody() {
		rw.block()
		return nil
	}
	held := rw.body
	rw.body = nil
	rw.pass()
	if len(held) == 0 {
		return nil
	}
	_, err := rw.w.Write(held)
	return err
}

// inspectBody runs phase 4. A body the engine cannot evaluate is refused.
func (rw *responseWriter) inspectBody() (refused bool) {
	tx := rw.t.tx
	if in, _, err := tx.WriteResponseBody(rw.body); in != nil || err != nil {
		return rw.refusal(err)
	}
	in, err := tx.ProcessResponseBody()
	if in == nil && err == nil {
		return tx.IsInterrupted()
	}
	return rw.refusal(err)
}

func (rw *responseWriter) refusal(err error) bool {
	if err != nil {
		rw.t.refused = http.StatusInternalServerError
		rw.t.engine.log.Error("waf response body not inspected", "error", err)
	}
	return true
}

// Flush sends what is held back, after its inspection, and streams from there on.
func (rw *responseWriter) Flush() { _ = rw.FlushError() }

// FlushError is Flush for http.ResponseController.
func (rw *responseWriter) FlushError() error {
	if rw.state == stateHeader {
		rw.WriteHeader(http.StatusOK)
	}
	if err := rw.release(); err != nil {
		return err
	}
	return http.NewResponseController(rw.w).Flush()
}

// Hijack hands the connection over; nothing is inspected after it.
func (rw *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(rw.w).Hijack()
	if err == nil {
		rw.state = statePass
		rw.body = nil
	}
	return conn, buf, err
}

// Push implements http.Pusher.
func (rw *responseWriter) Push(target string, opts *http.PushOptions) error {
	if p, ok := rw.w.(http.Pusher); ok {
		return p.Push(target, opts)
	}
	return http.ErrNotSupported
}

// writerOnly hides every method but Write, so that io.Copy cannot come back to ReadFrom.
type writerOnly struct{ io.Writer }

// ReadFrom copies from r, with the system's own means where nothing is held back.
func (rw *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	if rw.state == statePass {
		if to, ok := rw.w.(io.ReaderFrom); ok {
			return to.ReadFrom(r)
		}
	}
	return io.Copy(writerOnly{rw}, r)
}

// restore puts the headers back to what they were before the response began.
func (rw *responseWriter) restore() {
	h := rw.w.Header()
	clear(h)
	maps.Copy(h, rw.before)
}

// detach drops what is still held back, so that whoever saw the handler fail can answer instead, and lets
// writes after the transaction's end through without touching it.
func (rw *responseWriter) detach() {
	if rw.state == stateSniff || rw.state == stateHold {
		rw.body = nil
		rw.restore()
		rw.state = statePass
	}
	if rw.state == stateHeader {
		rw.state = statePass
	}
}
