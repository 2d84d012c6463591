package cache

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clock is a clock that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

const page = "https://a.example/page"

func TestLifetime(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		life   time.Duration // 0: not kept
	}{
		{"max-age", 200, header("Cache-Control", "public, max-age=60"), time.Minute},
		{"s-maxage comes first", 200, header("Cache-Control", "max-age=60, s-maxage=120"), 2 * time.Minute},
		{"max-age in quotes", 200, header("Cache-Control", `max-age="60"`), time.Minute},
		{"max-age=0", 200, header("Cache-Control", "max-age=0"), 0},
		{"max-age of no number", 200, header("Cache-Control", "max-age=soon"), 0},
		{"a huge max-age", 200, header("Cache-Control", "max-age=99999999999999"), maxLife},
		{"no-store", 200, header("Cache-Control", "no-store, max-age=60"), 0},
		{"private", 200, header("Cache-Control", "Private"), 0},
		{"no-cache", 200, header("Cache-Control", "no-cache"), 0},
		{"a cookie", 200, header("Set-Cookie", "a=b", "Cache-Control", "max-age=60"), 0},
		{"a cookie set apart", 200, header("Set-Cookie", "a=b", "Cache-Control", "private=Set-Cookie, max-age=60"), time.Minute},
		{"a cookie set apart in quotes", 200, header("Set-Cookie", "a=b", "Cache-Control", `max-age=60, private="Set-Cookie, X-User"`), time.Minute},
		{"Expires", 200, header("Expires", start.Add(time.Hour).Format(http.TimeFormat)), time.Hour},
		{"Expires of the past", 200, header("Expires", start.Add(-time.Hour).Format(http.TimeFormat)), 0},
		{"Expires of no date", 200, header("Expires", "0"), 0},
		{"200 by itself", 200, header(), 2 * time.Hour},
		{"404 by itself", 404, header(), 3 * time.Minute},
		{"302 by itself", 302, header(), 20 * time.Minute},
		{"500 by itself", 500, header(), 0},
		{"500 that says", 500, header("Cache-Control", "max-age=5"), 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := &clock{start}
			s := New(Config{Now: at.now})
			defer s.Close()
			err := s.Put("", page, nil, c.status, c.header, strings.NewReader("body"))
			if c.life == 0 {
				if _, ok := s.Match("", page, nil); !errors.Is(err, ErrNotKept) || ok {
					t.Fatalf("kept: %v %v", ok, err)
				}
				return
			}
			at.at = start.Add(c.life - time.Second)
			a, ok := s.Match("", page, nil)
			if err != nil || !ok || string(a.Body) != "body" || a.Status != c.status || a.Header.Get("Set-Cookie") != "" || a.Header.Get("Cf-Cache-Status") != "HIT" {
				t.Fatalf("before its end: %v %+v %v", err, a, ok)
			}
			at.at = start.Add(c.life)
			if _, ok := s.Match("", page, nil); ok {
				t.Error("it is there after its end")
			}
		})
	}
}

func TestPutRefuses(t *testing.T) {
	s := New(Config{MaxEntry: 10})
	defer s.Close()
	for want, c := range map[error]struct {
		status int
		header http.Header
		body   string
	}{
		ErrPartial: {206, header(), "x"},
		ErrVaryAll: {200, header("Vary", "accept, *"), "x"},
		ErrNotKept: {200, header(), strings.Repeat("x", 11)},
	} {
		if err := s.Put("", page, nil, c.status, c.header, strings.NewReader(c.body)); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestVary(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	put := func(language, body string) {
		if err := s.Put("", page, header("Accept-Language", language), 200, header("Vary", "accept-language"), strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(language string) string {
		if a, ok := s.Match("", page, header("Accept-Language", language)); ok {
			return string(a.Body)
		}
		return "nothing"
	}
	put("de", "Guten Tag")
	put("en", "Good day")
	if get("de") != "Guten Tag" || get("en") != "Good day" || get("fr") != "nothing" {
		t.Error(get("de"), get("en"), get("fr"))
	}
	put("de", "Hallo")
	if get("de") != "Hallo" || get("en") != "Good day" {
		t.Error("another answer for the same request:", get("de"), get("en"))
	}
	if !s.Delete("", page) || get("de") != "nothing" || get("en") != "nothing" || s.Delete("", page) {
		t.Error("after its deletion")
	}
}

func TestConditions(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	if err := s.Put("", page, nil, 200, header("Etag", `"v1"`, "Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT", "Content-Length", "10"), strings.NewReader("0123456789")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header http.Header
		status int
		body   string
	}{
		{"none", header(), 200, "0123456789"},
		{"the ETag", header("If-None-Match", `"v1"`), 304, ""},
		{"a weak one", header("If-None-Match", `"v0", W/"v1"`), 304, ""},
		{"another", header("If-None-Match", `"v2"`), 200, "0123456789"},
		{"not modified since", header("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"), 304, ""},
		{"modified since", header("If-Modified-Since", "Wed, 31 Dec 2025 00:00:00 GMT"), 200, "0123456789"},
		{"a range", header("Range", "bytes=2-4"), 206, "234"},
		{"the end", header("Range", "bytes=-3"), 206, "789"},
		{"beyond the end", header("Range", "bytes=20-"), 416, "invalid range: failed to overlap\n"},
		{"a range of another version", header("Range", "bytes=2-4", "If-Range", `"v0"`), 200, "0123456789"},
	} {
		a, ok := s.Match("", page, c.header)
		if !ok || a.Status != c.status || string(a.Body) != c.body {
			t.Errorf("%s: %+v", c.name, a)
		}
		if c.status == 206 && (a.Header.Get("Content-Range") == "" || a.Header.Get("Content-Length") != "3") {
			t.Errorf("%s: %v", c.name, a.Header)
		}
	}
}

func TestCachesAreApart(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	_ = s.Put("one", page, nil, 200, header(), strings.NewReader("x"))
	if _, ok := s.Match("two", page, nil); ok {
		t.Error("found in another cache")
	}
	if _, ok := s.Match("one", page+"?q", nil); ok {
		t.Error("found under another URL")
	}
}

// TestBound wants the least used to go when there is too much.
func TestBound(t *testing.T) {
	s := New(Config{MaxBytes: 64 << 10, MaxEntry: 8 << 10})
	defer s.Close()
	for i := range 100 {
		if err := s.Put("", page+strings.Repeat("x", i), nil, 200, header(), strings.NewReader(strings.Repeat("y", 4<<10))); err != nil {
			t.Fatal(err)
		}
	}
	s.entries.CleanUp()
	if n := s.entries.WeightedSize(); n > 64<<10 {
		t.Errorf("%d bytes are kept", n)
	}
}

// FuzzDirectives wants any Cache-Control to be read without harm.
func FuzzDirectives(f *testing.F) {
	for _, seed := range []string{"max-age=1", `private="a, b", max-age="`, "=,=,,", `"`, `a="b`, `no-cache="Set-Cookie"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		life, why := lifetime(200, header("Cache-Control", text), time.Unix(0, 0))
		if (life == 0) == (why == "") || life < 0 || life > maxLife {
			t.Fatalf("%q: %v %q", text, life, why)
		}
	})
}
