package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
)

// Config makes a Store. Its zero value works.
type Config struct {
	// MaxBytes is about how much the entries may take, default 32 MiB. The least used go first.
	MaxBytes int64
	// MaxEntry is the largest body that is kept in bytes, default a quarter of MaxBytes.
	MaxEntry int64
	// Now is the clock, default time.Now.
	Now func() time.Time
}

const (
	defaultBytes = 32 << 20
	// overhead is about what an entry takes beside its body and its headers.
	overhead = 512
	// maxVariants is how many answers that differ by Vary are kept for one URL.
	maxVariants = 16
)

// What Put refuses. ErrVaryAll and ErrPartial are mistakes of the caller; an answer that is not kept is ErrNotKept.
var (
	ErrVaryAll = errors.New("an answer with Vary: * cannot be found again")
	ErrPartial = errors.New("an answer with status 206 is a part only")
	ErrNotKept = errors.New("the answer is not kept")
)

// Answer is what Match found.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // not to be changed
}

// Store keeps answers. It is safe for concurrent use.
type Store struct {
	maxEntry int64
	now      func() time.Time
	entries  *otter.Cache[key, []*entry]
}

type key struct{ cache, url string }

// entry is one answer, and for which requests it is. It does not change.
type entry struct {
	status  int
	header  http.Header
	body    []byte
	vary    []string // names of the request's headers that it depends on
	values  []string
	stored  time.Time
	expires time.Time
	size    int64
}

// New makes a store.
func New(c Config) *Store {
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultBytes
	}
	if c.MaxEntry <= 0 {
		c.MaxEntry = c.MaxBytes / 4
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Store{maxEntry: c.MaxEntry, now: c.Now}
	s.entries = otter.Must(&otter.Options[key, []*entry]{
		MaximumWeight: uint64(c.MaxBytes),
		Weigher: func(_ key, list []*entry) uint32 {
			var sum int64
			for _, e := range list {
				sum += e.size
			}
			return uint32(min(sum, 1<<31))
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[key, []*entry]) time.Duration {
			var last time.Time
			for _, x := range e.Value {
				if x.expires.After(last) {
					last = x.expires
				}
			}
			return max(last.Sub(s.now()), time.Nanosecond)
		}),
	})
	return s
}

// Close ends what the store has going on.
func (s *Store) Close() { s.entries.StopAllGoroutines() }

// Put keeps an answer to a GET of url with the request's header, in the named cache. It reads body to its end. An error
// that is ErrNotKept says why the answer may not, or cannot, be kept.
func (s *Store) Put(name, url string, request http.Header, status int, header http.Header, body io.Reader) error {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if status == http.StatusPartialContent {
		return ErrPartial
	}
	vary := varyOf(header)
	if slices.Contains(vary, "*") {
		return ErrVaryAll
	}
	life, why := lifetime(status, header, s.now())
	if why != "" {
		return fmt.Errorf("%w: %s", ErrNotKept, why)
	}
	var data []byte
	if body != nil {
		var err error
		if data, err = io.ReadAll(io.LimitReader(body, s.maxEntry+1)); err != nil {
			return err
		}
	}
	e := &entry{status: status, header: header, body: data, vary: vary, values: valuesOf(request, vary), stored: s.now()}
	e.expires, e.size = e.stored.Add(life), int64(len(data)+len(url)+overhead)
	for name, values := range header {
		e.size += int64(len(name))
		for _, v := range values {
			e.size += int64(len(v))
		}
	}
	if int64(len(data)) > s.maxEntry || e.size > int64(s.entries.GetMaximum()) {
		return fmt.Errorf("%w: it has more than %d bytes", ErrNotKept, s.maxEntry)
	}
	s.entries.Compute(key{name, url}, func(old []*entry, _ bool) ([]*entry, otter.ComputeOp) {
		list := []*entry{e}
		for _, o := range old {
			if len(list) < maxVariants && o.expires.After(e.stored) && !(slices.Equal(o.vary, e.vary) && slices.Equal(o.values, e.values)) {
				list = append(list, o)
			}
		}
		return list, otter.WriteOp
	})
	return nil
}

// Match finds the answer to a GET of url, as the request's header asks for it: whole, a part of it (Range), or 304.
func (s *Store) Match(name, url string, request http.Header) (*Answer, bool) {
	list, _ := s.entries.GetIfPresent(key{name, url})
	now := s.now()
	for _, e := range list {
		if !e.expires.After(now) || !slices.Equal(e.values, valuesOf(request, e.vary)) {
			continue
		}
		a := &Answer{Status: e.status, Header: e.header.Clone(), Body: e.body}
		a.Header.Set("Cf-Cache-Status", "HIT")
		a.Header.Set("Age", strconv.FormatInt(int64(now.Sub(e.stored)/time.Second), 10))
		return a.conditional(request), true
	}
	return nil, false
}

// Delete forgets every answer to url, and reports whether there was one.
func (s *Store) Delete(name, url string) bool {
	list, _ := s.entries.Invalidate(key{name, url})
	now := s.now()
	return slices.ContainsFunc(list, func(e *entry) bool { return e.expires.After(now) })
}

// conditional is the answer to a request that may have conditions or ask for a part (RFC 9110, sections 13 and 14).
func (a *Answer) conditional(request http.Header) *Answer {
	if a.Status != http.StatusOK || request.Get("Range") == "" && request.Get("If-None-Match") == "" && request.Get("If-Modified-Since") == "" {
		return a
	}
	w := &recorder{header: a.Header}
	modified, _ := http.ParseTime(a.Header.Get("Last-Modified"))
	r := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
		if v := request.Values(name); len(v) > 0 {
			r.Header[name] = v
		}
	}
	a.Header.Del("Content-Length")
	if a.Header.Get("Content-Type") == "" {
		a.Header["Content-Type"] = nil // not to be guessed
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(a.Body))
	return &Answer{Status: w.status, Header: w.header, Body: w.body.Bytes()}
}

// recorder keeps what is written.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// varyOf are the names of the headers that an answer depends on, sorted.
func varyOf(header http.Header) []string {
	var names []string
	for _, line := range header.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func valuesOf(request http.Header, names []string) []string {
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = strings.Join(request.Values(name), ", ")
	}
	return values
}
