package waf

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// countingBody counts what is read and closed.
type countingBody struct {
	r      io.Reader
	read   int
	closed bool
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += n
	return n, err
}

func (b *countingBody) Close() error {
	b.closed = true
	return nil
}

// filler is an endless stream of the letter a.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// stream returns a form request with a body of n bytes whose length the client declares or not.
func stream(n int64, declared bool) (*http.Request, *countingBody) {
	body := &countingBody{r: io.MultiReader(strings.NewReader("q="), io.LimitReader(filler{}, n-2))}
	r := browser("POST", "/", "application/x-www-form-urlencoded", "")
	r.Body = body
	r.ContentLength = n
	if !declared {
		chunked(r)
	}
	return r, body
}

func TestBodyLimit(t *testing.T) {
	const limit = 1000
	tests := []struct {
		name     string
		over     BodyOver
		mode     Mode
		size     int64
		declared bool
		action   Action
		status   int
		read     int // at most so many bytes are read before the next handler
	}{
		{"reject at the limit", Reject, ModeBlock, limit, true, Pass, 0, limit},
		{"reject at the limit, chunked", Reject, ModeBlock, limit, false, Pass, 0, limit},
		{"reject declared", Reject, ModeBlock, limit + 1, true, Block, 413, 0},
		{"reject chunked", Reject, ModeBlock, 1 << 40, false, Block, 413, limit + 1},
		{"reject in detect mode", Reject, ModeDetect, 1 << 16, true, Detect, 413, limit + 1},
		{"partial declared", Partial, ModeBlock, 1 << 16, true, Pass, 0, limit + 1},
		{"partial chunked", Partial, ModeBlock, 1 << 16, false, Pass, 0, limit + 1},
	}
	for _, crs := range []bool{false, true} {
		for _, tc := range tests {
			t.Run(tc.name, func(t *testing.T) {
				e := newEngine(t, Config{CRS: crs, BodyLimit: limit, BodyOver: tc.over, Mode: tc.mode})
				r, body := stream(tc.size, tc.declared)
				v := judge(t, e, r)
				if v.Action != tc.action || v.Status != tc.status {
					t.Errorf("crs %v: %s %d %+v, want %s %d", crs, v.Action, v.Status, v.Rules, tc.action, tc.status)
				}
				if body.read > tc.read {
					t.Errorf("crs %v: %d bytes were read, want at most %d", crs, body.read, tc.read)
				}
				if tc.action == Block {
					return
				}
				n, err := io.Copy(io.Discard, r.Body)
				if err != nil || n != tc.size {
					t.Errorf("crs %v: the next handler reads %d bytes (%v) of %d", crs, n, err, tc.size)
				}
				if err := r.Body.Close(); err != nil || !body.closed {
					t.Errorf("crs %v: close does not reach the client's body (%v)", crs, err)
				}
			})
		}
	}
}

// TestPartialInspectsThePart puts an attack before and after the limit, for every parser of bodies.
func TestPartialInspectsThePart(t *testing.T) {
	const limit = 600
	e := newEngine(t, Config{CRS: true, BodyLimit: limit, BodyOver: Partial})
	pad := strings.Repeat("lorem ipsum ", 200)
	const script = "<script>alert(document.cookie)</script>"
	part := func(value, after string) string {
		const b = "--X\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n"
		return b + value + "\r\n" + b + after + "\r\n--X--\r\n"
	}
	tests := []struct {
		name, contentType string
		early, late       string
	}{
		{"json", "application/json", `{"a":"` + sqli + `","b":"` + pad + `"}`, `{"b":"` + pad + `","a":"` + sqli + `"}`},
		{"form", "application/x-www-form-urlencoded", "a=1%27+OR+%271%27%3D%271%27+--+&b=" + strings.ReplaceAll(pad, " ", "+"), "b=" + strings.ReplaceAll(pad, " ", "+") + "&a=1%27+OR+%271%27%3D%271%27+--+"},
		{"xml", "application/xml", "<r><a>1' UNION SELECT password FROM users -- </a><b>" + pad + "</b></r>", "<r><b>" + pad + "</b><a>1' UNION SELECT password FROM users -- </a></r>"},
		{"multipart", "multipart/form-data; boundary=X", part(sqli, pad), part(pad, sqli)},
		{"json across the limit", "application/json", `{"a":"` + script + pad + `"}`, `{"b":"` + pad + script + `"}`},
		{"multipart across the limit", "multipart/form-data; boundary=X", part(script+pad, "b"), part(pad+script, "b")},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if v := judge(t, e, browser("POST", "/", tc.contentType, tc.early)); v.Action != Block || v.Status != 403 {
				t.Errorf("attack within the part: %s %d %+v", v.Action, v.Status, v.Rules)
			}
			r := browser("POST", "/", tc.contentType, tc.late)
			if v := judge(t, e, r); v.Action != Pass {
				t.Errorf("attack after the part: %s %d %+v", v.Action, v.Status, v.Rules)
			}
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != tc.late {
				t.Errorf("the body that follows differs from the one sent (%v)", err)
			}
		})
	}
}

func TestEndString(t *testing.T) {
	for text, wanted := range map[string]string{
		`{"a":"b","c":1`:    `{"a":"b","c":1`,
		`{"a":"word wor`:    `{"a":"word wo"`,
		`{"a":"say \"hi`:    `{"a":"say    "`,
		`{"a":"a \"long w`:  `{"a":"a \"long "`,
		`{"a":"\\ and then`: `{"a":"\\ and the"`,
		`{"a":"cut \u00`:    `{"a":"cut    "`,
		`{"a":"cut \`:       `{"a":"cut "`,
		`{"a":"cut\"`:       `{"a":"cut "`,
	} {
		if got := string(endString([]byte(text))); got != wanted {
			t.Errorf("%s: got %s, want %s", text, got, wanted)
		}
	}
}

func TestBrokenBodyIsAnError(t *testing.T) {
	broken := errors.New("connection reset")
	e := newEngine(t, Config{CRS: true})
	r := browser("POST", "/", "application/json", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"a":`), errReader{broken}))
	r.ContentLength = 100
	tx, err := e.Inspect(r, caller, "test")
	if tx != nil || !errors.Is(err, ErrBody) || !errors.Is(err, broken) {
		t.Errorf("got %v, %v", tx, err)
	}
}

func TestBodyOverTheServersOwnLimit(t *testing.T) {
	e := newEngine(t, Config{})
	r := browser("POST", "/", "application/json", prose)
	r.Body = http.MaxBytesReader(nil, r.Body, 10)
	var tooLarge *http.MaxBytesError
	if _, err := e.Inspect(r, caller, "test"); !errors.As(err, &tooLarge) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestGRPCBodyIsNotRead(t *testing.T) {
	e := newEngine(t, Config{})
	r := browser("POST", "/svc/Method", "application/grpc+proto", "")
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Body = io.NopCloser(neverReader{})
	r.ContentLength = -1
	if v := judge(t, e, r); v.Action != Pass {
		t.Errorf("%s", v.Action)
	}
}

func TestReadHeadStopsAtTheLimit(t *testing.T) {
	for _, declared := range []int64{-1, 0, 1, 100, 1 << 40} {
		for _, size := range []int{0, 1, 99, 100, 101, 511, 512, 513, 70000} {
			for _, limit := range []int64{1, 100, 512, 65536} {
				content := bytes.Repeat([]byte("x"), size)
				got, err := readHead(bytes.NewReader(content), declared, limit)
				if want := min(size, int(limit)); err != nil || len(got) != want {
					t.Fatalf("declared %d, size %d, limit %d: read %d bytes (%v), want %d", declared, size, limit, len(got), err, want)
				}
				if int64(cap(got)) > max(limit, 1) {
					t.Fatalf("limit %d: capacity %d", limit, cap(got))
				}
			}
		}
	}
}
