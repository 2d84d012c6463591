package assets

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"
)

// HTML says at which addresses a page is served
// (https://developers.cloudflare.com/workers/static-assets/routing/advanced/html-handling/).
type HTML string

const (
	// AutoTrailingSlash serves page.html at /page and page/index.html at /page/. It is the default.
	AutoTrailingSlash HTML = "auto-trailing-slash"
	// ForceTrailingSlash serves both at /page/.
	ForceTrailingSlash HTML = "force-trailing-slash"
	// DropTrailingSlash serves both at /page.
	DropTrailingSlash HTML = "drop-trailing-slash"
	// AsNamed serves files at their names only.
	AsNamed HTML = "none"
)

// NotFound says what is answered where there is no file
// (https://developers.cloudflare.com/workers/static-assets/routing/).
type NotFound string

const (
	// NotFoundNone answers 404 without a body. It is the default.
	NotFoundNone NotFound = "none"
	// NotFoundPage answers 404 with the nearest 404.html above the path.
	NotFoundPage NotFound = "404-page"
	// SinglePage answers 200 with /index.html.
	SinglePage NotFound = "single-page-application"
)

// Config makes a Folder. Dir is required.
type Config struct {
	// Dir is the folder.
	Dir string
	// HTML defaults to AutoTrailingSlash, NotFound to NotFoundNone.
	HTML     HTML
	NotFound NotFound
}

// maxFile is the largest file that is served, in bytes, as at Cloudflare.
const maxFile = 25 << 20

// Folder is an open folder of files. It is safe for concurrent use.
type Folder struct {
	root     *os.Root
	html     HTML
	notFound NotFound

	mu   sync.Mutex
	tags map[string]tag
}

// tag is a file's ETag, and what tells that the file is still the same.
type tag struct {
	size int64
	mod  time.Time
	text string
}

// Open opens a folder. A file in it that would change how files are served, and that is not built, is an error.
func Open(c Config) (*Folder, error) {
	root, err := os.OpenRoot(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder %s", c.Dir)
	}
	if err != nil {
		return nil, err
	}
	f := &Folder{root: root, html: c.HTML, notFound: c.NotFound, tags: map[string]tag{}}
	if f.html == "" {
		f.html = AutoTrailingSlash
	}
	if f.notFound == "" {
		f.notFound = NotFoundNone
	}
	if err := f.check(); err != nil {
		_ = root.Close()
		return nil, err
	}
	return f, nil
}

func (f *Folder) check() error {
	switch f.html {
	case AutoTrailingSlash, ForceTrailingSlash, DropTrailingSlash, AsNamed:
	default:
		return fmt.Errorf("html_handling %q: it is %s, %s, %s or %s", f.html, AutoTrailingSlash, ForceTrailingSlash, DropTrailingSlash, AsNamed)
	}
	switch f.notFound {
	case NotFoundNone, NotFoundPage, SinglePage:
	default:
		return fmt.Errorf("not_found_handling %q: it is %s, %s or %s", f.notFound, NotFoundNone, NotFoundPage, SinglePage)
	}
	for _, name := range []string{"_headers", "_redirects", ".assetsignore"} {
		if _, err := f.root.Lstat(name); err == nil {
			return fmt.Errorf("%s: rules in such a file are not built yet; give headers and redirects in the Caddyfile, and remove the file", name)
		}
	}
	return nil
}

// Close closes the folder. Files that are being served stay open.
func (f *Folder) Close() error { return f.root.Close() }

// Match is what a path stands for: a file, or the address to be redirected to.
type Match struct {
	file     string
	Redirect string // path, escaped; empty for none
}

// Find tells what the path of a URL, unescaped, stands for. It reports false where there is no file.
func (f *Folder) Find(urlPath string) (Match, bool) {
	if !strings.HasPrefix(urlPath, "/") || strings.ContainsAny(urlPath, "\x00\\") {
		return Match{}, false
	}
	clean := path.Clean(urlPath)
	slash := strings.HasSuffix(urlPath, "/") && clean != "/"
	at := clean
	if slash {
		at += "/"
	}
	if at != urlPath {
		// Another name of the same file: it is served at one address only.
		if m, ok := f.find(clean, slash); ok && m.Redirect == "" {
			return Match{Redirect: escape(at)}, true
		} else {
			return m, ok
		}
	}
	return f.find(clean, slash)
}

func (f *Folder) find(clean string, slash bool) (Match, bool) {
	name := strings.TrimPrefix(clean, "/")
	if f.html == AsNamed {
		if !slash && f.is(name) {
			return Match{file: name}, true
		}
		return Match{}, false
	}
	if clean == "/" {
		if f.is("index.html") {
			return Match{file: "index.html"}, true
		}
		return Match{}, false
	}
	page, inner := name+".html", name+"/index.html"
	// The names of the files themselves lead to the address of the page.
	if base, ok := strings.CutSuffix(name, ".html"); ok && !slash && f.is(name) {
		if dir, ok := strings.CutSuffix("/"+base, "/index"); ok {
			return Match{Redirect: escape(f.addressOf(dir, true))}, true
		}
		return Match{Redirect: escape(f.addressOf("/"+base, false))}, true
	}
	if dir, ok := strings.CutSuffix(clean, "/index"); ok && !f.is(name) && f.is(page) {
		return Match{Redirect: escape(f.addressOf(dir, true))}, true
	}
	if !slash && f.is(name) {
		return Match{file: name}, true
	}
	switch {
	case slash && f.is(inner):
		return f.at(inner, clean, true, f.html != DropTrailingSlash)
	case f.is(page) && !slash:
		return f.at(page, clean, false, f.html != ForceTrailingSlash)
	case f.is(inner):
		return f.at(inner, clean, true, f.html == DropTrailingSlash)
	case f.is(page):
		return f.at(page, clean, false, f.html == ForceTrailingSlash)
	}
	return Match{}, false
}

// at serves a file where that is its address, and else leads there.
func (f *Folder) at(file, clean string, index, here bool) (Match, bool) {
	if here {
		return Match{file: file}, true
	}
	return Match{Redirect: escape(f.addressOf(clean, index))}, true
}

// addressOf is where the page of a path is served; index says that it is the index of a folder.
func (f *Folder) addressOf(clean string, index bool) string {
	if clean == "" {
		return "/"
	}
	if f.html == ForceTrailingSlash || index && f.html == AutoTrailingSlash {
		return clean + "/"
	}
	return clean
}

// is reports whether there is such a file.
func (f *Folder) is(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() <= maxFile
}

// ServeHTTP answers a request from the folder: the file, a redirect, or what there is where there is no file.
func (f *Folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	m, ok := f.Find(r.URL.Path)
	if !ok {
		m, ok = f.Missing(r.URL.Path)
		if !ok || f.notFound == NotFoundPage {
			f.missing(w, r, m)
			return
		}
	}
	f.Serve(w, r, m)
}

// Missing is the file that is served where there is none, if there is to be one.
func (f *Folder) Missing(urlPath string) (Match, bool) {
	switch f.notFound {
	case SinglePage:
		if f.is("index.html") {
			return Match{file: "index.html"}, true
		}
	case NotFoundPage:
		for dir := path.Clean("/" + urlPath); ; dir = path.Dir(dir) {
			if name := strings.TrimPrefix(path.Join(dir, "404.html"), "/"); f.is(name) {
				return Match{file: name}, true
			}
			if dir == "/" {
				break
			}
		}
	}
	return Match{}, false
}

// NotFound says what is answered where there is no file.
func (f *Folder) NotFound() NotFound { return f.notFound }

// Serve answers a request with what its path was found to stand for.
func (f *Folder) Serve(w http.ResponseWriter, r *http.Request, m Match) {
	if m.Redirect != "" {
		to := m.Redirect
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	file, info, etag, err := f.open(m.file)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	defer file.Close()
	h := w.Header()
	h.Set("Content-Type", typeOf(m.file))
	h.Set("ETag", etag)
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "public, max-age=0, must-revalidate")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	// The time is left out: files of one content have one ETag on every server, and times differ.
	http.ServeContent(w, r, info.Name(), time.Time{}, file)
}

// missing answers 404, with the page m if there is one.
func (f *Folder) missing(w http.ResponseWriter, r *http.Request, m Match) {
	if m.file == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	file, info, _, err := f.open(m.file)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", typeOf(m.file))
	w.Header().Set("Content-Length", fmt.Sprint(info.Size()))
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = io.Copy(w, file)
	}
}

// open opens a file with its ETag, the hash of its content.
func (f *Folder) open(name string) (*os.File, os.FileInfo, string, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return nil, nil, "", err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, "", err
	}
	f.mu.Lock()
	known, ok := f.tags[name]
	f.mu.Unlock()
	if ok && known.size == info.Size() && known.mod.Equal(info.ModTime()) {
		return file, info, known.text, nil
	}
	sum := sha256.New()
	if _, err = io.Copy(sum, file); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, "", err
	}
	text := `"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`
	f.mu.Lock()
	f.tags[name] = tag{info.Size(), info.ModTime(), text}
	f.mu.Unlock()
	return file, info, text, nil
}
