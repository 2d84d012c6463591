package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// pipe is the ResponseWriter of a handler whose answer goes to code instead of to a client. What the handler writes
// waits until the code reads it.
type pipe struct {
	header http.Header
	once   sync.Once
	head   chan struct{} // closed when the status is known
	status int
	sent   http.Header
	failed error
	r      *io.PipeReader
	w      *io.PipeWriter
}

func newPipe() *pipe {
	p := &pipe{header: http.Header{}, head: make(chan struct{})}
	p.r, p.w = io.Pipe()
	return p
}

func (p *pipe) Header() http.Header { return p.header }

func (p *pipe) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	p.once.Do(func() {
		p.status, p.sent = status, p.header.Clone()
		close(p.head)
	})
}

func (p *pipe) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.w.Write(b)
}

// Flush does nothing: nothing is held back.
func (p *pipe) Flush() { p.WriteHeader(http.StatusOK) }

// end tells how the handler ended. A Caddy error before the head is an answer with its status, as a client would get.
func (p *pipe) end(err error) {
	select {
	case <-p.head:
		// What was sent can't be taken back: the body breaks off.
		p.w.CloseWithError(err)
		return
	default:
	}
	var he caddyhttp.HandlerError
	switch {
	case err == nil:
		p.WriteHeader(http.StatusOK)
	case errors.As(err, &he) && he.StatusCode > 0:
		p.WriteHeader(he.StatusCode)
	default:
		p.once.Do(func() {
			p.failed = err
			close(p.head)
		})
	}
	p.w.Close()
}

// response waits for the head of the answer.
func (p *pipe) response(ctx context.Context) (*agentruntime.Response, error) {
	select {
	case <-p.head:
	case <-ctx.Done():
		p.r.CloseWithError(ctx.Err())
		return nil, ctx.Err()
	}
	if p.failed != nil {
		return nil, p.failed
	}
	return &agentruntime.Response{Status: p.status, StatusText: http.StatusText(p.status), Header: p.sent, Body: p.r}, nil
}
