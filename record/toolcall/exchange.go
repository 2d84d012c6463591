package toolcall

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

const (
	maxBody  = 1 << 20 // of a JSON body that is read; a longer one is left alone
	maxEvent = 1 << 20 // of one server-sent event
	maxFound = 256     // tools and models of one exchange
)

// Found is what an exchange was seen to hold. Times are the exchange's own, but for Start and Millis, which its caller sets.
type Found struct {
	Tools  []record.Tool
	Models []record.Model
	// Results are what tools gave that a model had asked for before: they have an ID, and a name where the body says it.
	Results []record.Tool
}

// Exchange watches one request and its answer. Its bodies may be read by two goroutines at a time.
type Exchange struct {
	// Text makes of what a tool was given, or gave, what the record holds.
	Text func(string) string
	// Redact strikes secrets out of names and errors, which the record holds as they are; nil leaves them.
	Redact func(string) string

	mu       sync.Mutex
	calls    map[string]*record.Tool // tools/call under way, by the JSON of their ids
	order    []string
	found    Found
	request  capture
	response capture
	stream   *stream
	ended    bool
}

// capture keeps the beginning of a body.
type capture struct {
	buf  bytes.Buffer
	over bool
}

func (c *capture) write(p []byte) {
	if c.over || c.buf.Len()+len(p) > maxBody {
		c.over = true
		c.buf = bytes.Buffer{}
		return
	}
	c.buf.Write(p)
}

// isJSON says whether a Content-Type is JSON, and isEvents whether it is a stream of server-sent events.
func isJSON(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

func isEvents(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	return kind == "text/event-stream"
}

// Asks says whether a request of this type can hold anything that an Exchange understands.
func Asks(contentType string) bool { return contentType != "" && isJSON(contentType) }

// Request watches a request's body. It keeps what it has of Len.
func (x *Exchange) Request(body io.ReadCloser) io.ReadCloser {
	return watched(body, func(p []byte) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.request.write(p)
	}, func() {})
}

// Response watches an answer's body. found is called once, when that has come to its end or is closed, unless there is nothing to
// tell. A body of another type than JSON or server-sent events is returned as it is, and found called at once.
func (x *Exchange) Response(contentType, encoding string, body io.ReadCloser, found func(Found)) io.ReadCloser {
	done := func(f Found) {
		if len(f.Tools)+len(f.Models)+len(f.Results) > 0 {
			found(f)
		}
	}
	events := isEvents(contentType)
	if encoding != "" || !events && !isJSON(contentType) {
		x.finish(done)
		return body
	}
	write := func(p []byte) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.response.write(p)
	}
	if events {
		x.stream = newStream(x)
		write = func(p []byte) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.stream.write(p)
		}
	}
	return watched(body, write, func() { x.finish(done) })
}

// finish reads what was kept and tells.
func (x *Exchange) finish(done func(Found)) {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return
	}
	x.ended = true
	x.readRequest()
	if x.stream != nil {
		x.stream.end()
	} else if x.response.buf.Len() > 0 {
		x.answer(x.response.buf.Bytes())
	}
	for _, id := range x.order {
		x.found.Tools = append(x.found.Tools, *x.calls[id])
	}
	found := x.found
	x.mu.Unlock()
	done(found)
}

func (x *Exchange) addTool(t record.Tool) {
	if len(x.found.Tools) < maxFound {
		x.found.Tools = append(x.found.Tools, t)
	}
}

// watched is body, with what is read of it shown to see. It has a Len where body has one.
func watched(body io.ReadCloser, see func([]byte), end func()) io.ReadCloser {
	w := &watchedBody{ReadCloser: body, see: see, end: end}
	if known, ok := body.(interface{ Len() int }); ok {
		return &knownBody{w, known}
	}
	return w
}

type watchedBody struct {
	io.ReadCloser
	see  func([]byte)
	end  func()
	once sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.see(p[:n])
	}
	if err != nil {
		b.once.Do(b.end)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.once.Do(b.end)
	return b.ReadCloser.Close()
}

type knownBody struct {
	*watchedBody
	known interface{ Len() int }
}

func (b *knownBody) Len() int { return b.known.Len() }

// Place sets where and when what was found took place.
func (f *Found) Place(direction, host string, start float64, took time.Duration) {
	for i := range f.Tools {
		t := &f.Tools[i]
		t.Direction, t.Host, t.Start = direction, host, start
		t.Millis = record.Millis(took)
		if t.Kind != KindMCP { // the model has asked for it, nobody has called it yet
			t.Start, t.Millis, t.Host = start+record.Millis(took), 0, ""
		}
	}
	for i := range f.Models {
		m := &f.Models[i]
		m.Host, m.Start, m.Millis = host, start, record.Millis(took)
	}
}
