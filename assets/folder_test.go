package assets

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func folder(t *testing.T, c Config) *Folder {
	t.Helper()
	c.Dir = t.TempDir()
	for name, content := range map[string]string{
		"index.html": "home", "about.html": "about", "docs/index.html": "docs", "docs/deep/page.html": "page", "both.html": "both page",
		"both/index.html": "both index", "style.css": "css", "app.js": "js", "data": "raw", "404.html": "gone", "docs/404.html": "docs gone",
		"a b.txt": "blank", "big.bin": strings.Repeat("x", 1000),
	} {
		file := filepath.Join(c.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(c.Dir, "out.txt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("style.css", filepath.Join(c.Dir, "in.css")); err != nil {
		t.Fatal(err)
	}
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func ask(f http.Handler, method, target string, headers ...string) (*http.Response, string) {
	r := httptest.NewRequest(method, "https://a.example/", nil)
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	resp := w.Result()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		html       HTML
		path, want string // the body, or -> and the address led to, or the status
	}{
		{"", "/", "home"}, {"", "/index.html", "-> /"}, {"", "/index", "-> /"},
		{"", "/about", "about"}, {"", "/about/", "-> /about"}, {"", "/about.html", "-> /about"},
		{"", "/docs/", "docs"}, {"", "/docs", "-> /docs/"}, {"", "/docs/index.html", "-> /docs/"}, {"", "/docs/index", "-> /docs/"},
		{"", "/docs?a=b", "-> /docs/?a=b"},
		{"", "/both", "both page"}, {"", "/both/", "both index"},
		{"", "/docs/deep/page", "page"}, {"", "/docs/deep", "404"},
		{"", "/style.css", "css"}, {"", "/style.css/", "404"}, {"", "/data", "raw"}, {"", "/a b.txt", "blank"},
		{"", "//about", "-> /about"}, {"", "/docs/../about", "-> /about"}, {"", "/./docs/", "-> /docs/"},
		{ForceTrailingSlash, "/about", "-> /about/"}, {ForceTrailingSlash, "/about/", "about"}, {ForceTrailingSlash, "/about.html", "-> /about/"},
		{ForceTrailingSlash, "/docs", "-> /docs/"}, {ForceTrailingSlash, "/docs/", "docs"}, {ForceTrailingSlash, "/docs/index.html", "-> /docs/"},
		{DropTrailingSlash, "/about", "about"}, {DropTrailingSlash, "/about/", "-> /about"}, {DropTrailingSlash, "/about.html", "-> /about"},
		{DropTrailingSlash, "/docs", "docs"}, {DropTrailingSlash, "/docs/", "-> /docs"}, {DropTrailingSlash, "/docs/index.html", "-> /docs"}, {DropTrailingSlash, "/", "home"},
		{AsNamed, "/", "404"}, {AsNamed, "/index.html", "home"}, {AsNamed, "/about", "404"}, {AsNamed, "/about.html", "about"}, {AsNamed, "/docs/", "404"},
	} {
		t.Run(string(c.html)+c.path, func(t *testing.T) {
			resp, body := ask(folder(t, Config{HTML: c.html}), "GET", c.path)
			got := body
			switch {
			case resp.StatusCode == http.StatusTemporaryRedirect:
				got = "-> " + resp.Header.Get("Location")
			case resp.StatusCode != http.StatusOK:
				got = resp.Status[:3]
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestOutside wants nothing outside of the folder to be found, and nothing odd either.
func TestOutside(t *testing.T) {
	f := folder(t, Config{})
	for _, path := range []string{
		"/../secret.txt", "/../../etc/passwd", "/docs/../../secret.txt", "/out.txt", "/..\\secret.txt", "/\x00", "/style.css\x00.html", "", "about", "/docs", "/%2e%2e/secret.txt",
	} {
		if resp, body := ask(f, "GET", path); resp.StatusCode == http.StatusOK || strings.Contains(body, "secret") {
			t.Errorf("%q: %d %q", path, resp.StatusCode, body)
		}
	}
	if resp, body := ask(f, "GET", "/in.css"); resp.StatusCode != http.StatusOK || body != "css" {
		t.Errorf("a link within the folder: %d %q", resp.StatusCode, body)
	}
	if resp, _ := ask(f, "GET", "//evil.example/about/"); strings.HasPrefix(resp.Header.Get("Location"), "//") {
		t.Errorf("led to another host: %q", resp.Header.Get("Location"))
	}
}

func TestHeaders(t *testing.T) {
	f := folder(t, Config{})
	resp, body := ask(f, "GET", "/app.js")
	etag := resp.Header.Get("ETag")
	if body != "js" || etag == "" || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || resp.Header.Get("Cache-Control") != "public, max-age=0, must-revalidate" {
		t.Errorf("%q %v", body, resp.Header)
	}
	if resp, body := ask(f, "GET", "/app.js", "If-None-Match", etag); resp.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("with its ETag: %d %q", resp.StatusCode, body)
	}
	if resp, body := ask(f, "HEAD", "/app.js"); resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("Content-Length") != "2" {
		t.Errorf("HEAD: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if resp, body := ask(f, "GET", "/big.bin", "Range", "bytes=10-19"); resp.StatusCode != http.StatusPartialContent || len(body) != 10 {
		t.Errorf("a range: %d %q", resp.StatusCode, body)
	}
	if resp, _ := ask(f, "POST", "/app.js"); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := ask(f, "GET", "/data"); resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("a file without an extension: %v", resp.Header)
	}
}

func TestETagFollowsContent(t *testing.T) {
	f := folder(t, Config{})
	first, _ := ask(f, "GET", "/style.css")
	if err := os.WriteFile(filepath.Join(f.root.Name(), "style.css"), []byte("other css"), 0o644); err != nil {
		t.Fatal(err)
	}
	second, body := ask(f, "GET", "/style.css")
	if body != "other css" || first.Header.Get("ETag") == second.Header.Get("ETag") {
		t.Errorf("%q %v", body, second.Header)
	}
}

func TestNotFound(t *testing.T) {
	for _, c := range []struct {
		handling NotFound
		path     string
		status   int
		body     string
	}{
		{"", "/nowhere", 404, ""},
		{NotFoundPage, "/nowhere", 404, "gone"},
		{NotFoundPage, "/docs/nowhere/at/all", 404, "docs gone"},
		{SinglePage, "/nowhere", 200, "home"},
		{SinglePage, "/about", 200, "about"},
	} {
		resp, body := ask(folder(t, Config{NotFound: c.handling}), "GET", c.path)
		if resp.StatusCode != c.status || body != c.body {
			t.Errorf("%s %s: %d %q", c.handling, c.path, resp.StatusCode, body)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for want, c := range map[string]Config{
		"there is no folder":  {Dir: filepath.Join(dir, "absent")},
		"html_handling":       {Dir: dir, HTML: "sometimes"},
		"not_found_handling ": {Dir: dir, NotFound: "maybe"},
	} {
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "_redirects"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "_redirects") {
		t.Errorf("_redirects: %v", err)
	}
}
