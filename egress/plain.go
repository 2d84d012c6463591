package egress

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// plainTransport sends requests over HTTP/1.1 without TLS. It does what http.Transport does for them, by its parser and
// its writer, on the caller's own goroutine: that one has two goroutines for each connection, and handing each request
// and each read over to them costs a gateway that proxies more than the request itself. Only a request's body gets a
// goroutine, because an answer may come before the body has ended. https stays with http.Transport, for HTTP/2's sake.
type plainTransport struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	idle idleConns
}

// sentWait is how long an answer's end waits for the end of its request's body.
const sentWait = 50 * time.Millisecond

// bufferSize is the size of a connection's buffers, one each way.
const bufferSize = 4 << 10

// plainConn is a connection to one origin. One request at a time uses it.
type plainConn struct {
	net.Conn
	origin string
	in     *bufio.Reader
	out    *bufio.Writer
	// headLeft is what may still be read of an answer's head and of the informational ones before it, negative while a
	// body is read.
	headLeft int64
	answered bool // a byte of the present answer has come
	used     bool // it has carried a request before
	since    time.Time
}

var errHeadTooLong = errors.New("the response's header is too long")

// Read reads what the server sends, and bounds heads.
func (c *plainConn) Read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeadTooLong
	}
	if c.headLeft > 0 && int64(len(p)) > c.headLeft {
		p = p[:c.headLeft]
	}
	n, err := c.Conn.Read(p)
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	c.answered = c.answered || n > 0
	return n, err
}

// RoundTrip implements http.RoundTripper. The body of its response is to be read to its end or closed.
func (t *plainTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	decode := wantsDecoding(req)
	if decode {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	for {
		var c *plainConn
		err := req.Context().Err() // an idle connection would take the request, whoever waits for the answer
		if err == nil {
			c, err = t.conn(req)
		}
		if err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
		resp, err := t.exchange(c, req)
		if err == nil {
			if decode {
				decoded(resp)
			}
			return resp, nil
		}
		// The server may have closed the connection while nobody used it, and never have seen the request.
		if !c.used || c.answered || req.Context().Err() != nil || !repeatable(req) {
			return nil, err
		}
		again := *req // the sending of the first one may not have ended yet
		if req.Body != nil {
			if again.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		req = &again
	}
}

// wantsDecoding tells whether an answer in gzip is to be decoded before anybody sees it: where the request did not say
// what it takes.
func wantsDecoding(req *http.Request) bool {
	return req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == "" && req.Method != http.MethodHead
}

// repeatable tells whether a request that may have been seen can be sent again (RFC 9110, section 9.2.2).
func repeatable(req *http.Request) bool {
	if req.Body != nil && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return req.Header.Get("Idempotency-Key") != ""
}

// conn is an idle connection to the request's origin, or a new one.
func (t *plainTransport) conn(req *http.Request) (*plainConn, error) {
	origin := req.URL.Host
	for c := t.idle.take(origin); c != nil; c = t.idle.take(origin) {
		if open(c.Conn) {
			return c, nil
		}
		c.Close()
	}
	addr := origin
	if req.URL.Port() == "" {
		addr += ":80"
	}
	conn, err := t.dial(req.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &plainConn{Conn: conn, origin: origin, out: bufio.NewWriterSize(conn, bufferSize)}
	c.in = bufio.NewReaderSize(c, bufferSize)
	return c, nil
}

// exchange sends the request and reads the head of its answer. Where it fails the connection is closed.
func (t *plainTransport) exchange(c *plainConn, req *http.Request) (*http.Response, error) {
	x := &plainExchange{transport: t, conn: c}
	// A deadline that has passed ends the reads and writes that are under way.
	x.stop = context.AfterFunc(req.Context(), x.interrupt)
	if req.Body == nil {
		if err := c.send(req); err != nil {
			return nil, x.fail(err)
		}
	} else {
		x.upload(req)
	}
	resp, err := c.head(req)
	if err != nil {
		return nil, x.fail(err)
	}
	x.keep = !resp.Close && !req.Close && resp.StatusCode != http.StatusSwitchingProtocols
	if resp.Body == http.NoBody {
		x.end()
		return resp, nil
	}
	x.body, resp.Body = resp.Body, x
	return resp, nil
}

// send writes the request.
func (c *plainConn) send(req *http.Request) error {
	if err := req.Write(c.out); err != nil {
		return err
	}
	return c.out.Flush()
}

// head reads heads until that of the answer.
func (c *plainConn) head(req *http.Request) (*http.Response, error) {
	c.answered, c.headLeft = c.in.Buffered() > 0, maxHeaderBytes
	for {
		resp, err := http.ReadResponse(c.in, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			c.headLeft = -1
			return resp, nil
		}
	}
}

// plainExchange is a request under way on a connection, and then the body of its answer. Read must not be called
// concurrently; Close may be called at any time.
type plainExchange struct {
	transport *plainTransport
	conn      *plainConn
	stop      func() bool
	body      io.ReadCloser
	keep      bool // the connection may carry another request
	over      atomic.Bool
	sending   *sending
}

// sending is a request's body on its way out.
type sending struct {
	io.ReadCloser
	failed atomic.Pointer[error] // why the body could not be read
	done   chan error
}

// Read notes what the body fails with.
func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		s.failed.Store(&err)
	}
	return n, err
}

// upload sends the request beside the wait for its answer.
func (x *plainExchange) upload(req *http.Request) {
	s := &sending{ReadCloser: req.Body, done: make(chan error, 1)}
	x.sending, req.Body = s, s
	go func() {
		err := x.conn.send(req)
		if s.failed.Load() != nil {
			x.interrupt() // no answer is to be expected to half a request
		}
		s.done <- err
	}()
}

func (x *plainExchange) interrupt() { x.conn.SetDeadline(time.Unix(1, 0)) }

// fail ends an exchange that has no answer, and gives the reason: what the body failed with, if it did.
func (x *plainExchange) fail(err error) error {
	x.abandon()
	if s := x.sending; s != nil {
		if failed := s.failed.Load(); failed != nil {
			return *failed
		}
	}
	return err
}

// Read reads the answer's body. At its end the connection is free for another request.
func (x *plainExchange) Read(p []byte) (int, error) {
	n, err := x.body.Read(p)
	switch {
	case err == io.EOF:
		x.end()
	case err != nil:
		err = x.fail(err)
	}
	return n, err
}

// Close gives the answer up. A connection whose answer has not ended is closed.
func (x *plainExchange) Close() error {
	x.abandon()
	return nil
}

func (x *plainExchange) abandon() {
	if x.over.Swap(true) {
		return
	}
	x.stop()
	x.conn.Close()
	if x.sending != nil {
		x.sending.Close()
	}
}

// end keeps the connection, if the request was sent whole and nothing has come after the answer.
func (x *plainExchange) end() {
	if !x.keep || !x.sent() || x.conn.in.Buffered() > 0 {
		x.abandon()
		return
	}
	if x.over.Swap(true) {
		return
	}
	if !x.stop() {
		x.conn.Close() // the call was cancelled, and its deadline may come yet
		return
	}
	x.conn.used = true
	x.transport.idle.put(x.conn)
}

// sent reports whether the request was sent whole. Its end may be about to be noted when the answer's is.
func (x *plainExchange) sent() bool {
	if x.sending == nil {
		return true
	}
	select {
	case err := <-x.sending.done:
		return err == nil
	case <-time.After(sentWait):
		return false
	}
}

// decoded makes an answer in gzip one that says nothing of it.
func decoded(resp *http.Response) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") || resp.Body == http.NoBody {
		return
	}
	resp.Body = &gunzip{ReadCloser: resp.Body}
	resp.Header.Del("Content-Encoding")
	resp.Header.Del("Content-Length")
	resp.ContentLength, resp.Uncompressed = -1, true
}

// gunzip decodes a body as it is read.
type gunzip struct {
	io.ReadCloser
	from *gzip.Reader
}

func (g *gunzip) Read(p []byte) (int, error) {
	if g.from == nil {
		from, err := gzip.NewReader(g.ReadCloser)
		if err != nil {
			return 0, err
		}
		g.from = from
	}
	return g.from.Read(p)
}
