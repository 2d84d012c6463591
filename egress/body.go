package egress

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// requestBody counts what is sent and stops at the limit.
type requestBody struct {
	io.ReadCloser
	limit   int64 // negative: unlimited
	read    int64
	sent    *atomic.Int64
	refused *atomic.Bool
}

var errRequestTooLarge = errors.New("the request body passed its limit")

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.limit >= 0 && b.read > b.limit {
		b.refused.Store(true)
		return 0, errRequestTooLarge
	}
	b.sent.Add(int64(n))
	return n, err
}

// responseBody streams the response of one hop. It ends once, at EOF, at an
// error or at Close, and then reports the hop. Read must not be called
// concurrently; Close may be called at any time.
type responseBody struct {
	body  io.ReadCloser
	limit int64 // negative: unlimited
	known int64 // Content-Length, or -1
	read  atomic.Int64
	hop   *hop
	once  sync.Once
}

// Read returns a *Refusal with the rule RuleResponse once the body passes its
// limit, and a *Failure when the connection fails.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.limit >= 0 && b.known > b.limit {
		return 0, b.tooLarge()
	}
	if len(p) == 0 {
		return 0, nil
	}
	left := b.limit - b.read.Load()
	if b.limit >= 0 && int64(len(p)) > left+1 {
		p = p[:left+1]
	}
	n, err := b.body.Read(p)
	if err := b.hop.cover(n); err != nil {
		return 0, b.refuse(err.(*Refusal))
	}
	if b.limit >= 0 && int64(n) > left {
		b.read.Add(left)
		return int(left), b.tooLarge()
	}
	b.read.Add(int64(n))
	switch {
	case err == io.EOF:
		b.end("")
	case err != nil:
		failure := b.hop.failure(err)
		b.end(reasonOf(failure))
		err = failure
	}
	return n, err
}

// Close ends the hop; the connection is reused when the body was read to its
// end.
func (b *responseBody) Close() error {
	err := b.body.Close()
	b.end("")
	if err != nil {
		return b.hop.failure(err)
	}
	return nil
}

func (b *responseBody) tooLarge() error {
	r := b.hop.refusal(RuleResponse, "the response body is larger than the policy's limit")
	r.code = CodeResponseTooLarge
	return b.refuse(r)
}

// refuse ends the hop with a refusal.
func (b *responseBody) refuse(r *Refusal) error {
	b.once.Do(func() {
		b.hop.report(decided{Refused, r.Rule, r.Reason}, b.read.Load())
		b.hop.release()
	})
	return r
}

// end reports the hop once and lets go of its context.
func (b *responseBody) end(reason string) {
	b.once.Do(func() {
		b.hop.finish(b.read.Load(), reason)
		b.hop.release()
	})
}

// reasonOf returns the clause that a record keeps of an error.
func reasonOf(err error) string {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Kind
	}
	return KindExchange
}
