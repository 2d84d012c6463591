package agentruntime

import (
	"fmt"
	"io"
	"strconv"
	"sync"
)

// limitAnswer holds the body of an answer to Limits.ResponseBody. One that is known to be larger is an error; one whose
// size is not known breaks off at the limit. On the loop only.
func (inv *Invocation) limitAnswer(resp *Response) error {
	limit := inv.limits.ResponseBody
	if limit <= 0 || resp.Body == nil {
		return nil
	}
	size, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	known := err == nil
	if whole, ok := resp.Body.(interface{ Len() int }); ok {
		size, known = int64(whole.Len()), true
	}
	if known && size > limit {
		_ = resp.Body.Close()
		return tooLong(limit)
	}
	if !known {
		resp.Body = &answerBody{ReadCloser: resp.Body, inv: inv, left: limit, limit: limit, release: inv.hold()}
	}
	return nil
}

func tooLong(limit int64) error {
	return &RemoteError{Name: "Error", Message: fmt.Sprintf("The body of the response is larger than the limit of %d bytes.", limit)}
}

// answerBody is a body that breaks off after so many bytes. The invocation goes on until it is closed.
type answerBody struct {
	io.ReadCloser
	inv         *Invocation
	left, limit int64
	release     func()
	once        sync.Once
}

func (b *answerBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLong(b.limit)
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left >= 0 {
		return n, err
	}
	n += int(b.left)
	err = tooLong(b.limit)
	b.inv.r.deliver(&b.inv.home, func() { b.inv.uncaught(err) })
	return n, err
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.inv.r.deliver(&b.inv.home, b.release) })
	return err
}
