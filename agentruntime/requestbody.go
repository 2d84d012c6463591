package agentruntime

import (
	"fmt"
	"io"
)

// limitBody lets at most limit bytes of a request's body through; what follows is an error.
func limitBody(body io.ReadCloser, limit int64) io.ReadCloser {
	if body == nil {
		return nil
	}
	return &limitedBody{body: body, left: limit, limit: limit}
}

type limitedBody struct {
	body        io.ReadCloser
	left, limit int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n + int(b.left), fmt.Errorf("the body is larger than the limit of %d bytes", b.limit)
	}
	return n, err
}

func (b *limitedBody) Close() error { return b.body.Close() }
