package caddymodule

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/bot/challenge"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// ChallengeConfig asks low scores for a proof of work.
type ChallengeConfig struct {
	// Below is the score below which it is asked for.
	Below int `json:"below"`
	// Difficulty is how many leading bits of a digest must be zero; default 17, at most 24.
	Difficulty int `json:"difficulty,omitempty"`
	// Lifetime is how long who passed is not asked again; default 24 h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
	// NoQuestion leaves out the question for browsers without scripts.
	NoQuestion bool   `json:"no_question,omitempty"`
	Place      string `json:"place,omitempty"`
}

// challenger serves the challenges of one configuration.
type challenger struct {
	config challenge.Config
	key    func() ([]byte, error)

	once sync.Once
	c    *challenge.Challenger
	err  error
}

// solvedPuzzles are those that were solved with this server, whatever its configuration.
var solvedPuzzles = challenge.NewSolved()

const (
	// challengeQuery marks the request that brings a solution: a POST to the address that was asked for.
	challengeQuery = "gatehouse-challenge"
	maxSolution    = 16 << 10 // bytes of its body

	// Names of the cookie: over TLS no other host and no plain connection can set it (RFC 6265bis, section 4.1.3).
	secureCookie = "__Host-gatehouse-challenge"
	plainCookie  = "gatehouse-challenge"
)

func (c *ChallengeConfig) challenger(a *App) (*challenger, error) {
	if c.Below < 1 || c.Below > 99 || c.Difficulty < 0 || c.Difficulty > challenge.MaxDifficulty || c.Lifetime < 0 {
		return nil, fmt.Errorf("below is a score from 1 to 99, difficulty from 1 to %d", challenge.MaxDifficulty)
	}
	return &challenger{
		config: challenge.Config{Difficulty: c.Difficulty, Lifetime: time.Duration(c.Lifetime), NoQuestion: c.NoQuestion, Solved: solvedPuzzles},
		key:    a.challengeKey,
	}, nil
}

// open makes the challenger at its first use: a configuration that challenges nobody makes no key.
func (c *challenger) open() (*challenge.Challenger, error) {
	c.once.Do(func() {
		if c.config.Key, c.err = c.key(); c.err == nil {
			c.c = challenge.New(c.config)
		}
	})
	return c.c, c.err
}

// challengeKey is the key of this server's cookies, which it makes once. It lies in the store's folder, sealed.
func (a *App) challengeKey() ([]byte, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	ring, err := a.openKeyring(dir)
	if err != nil {
		return nil, err
	}
	path, associated := filepath.Join(dir, "challenge.key"), []byte("gatehouse/challenge-key/v1")
	sealed, err := os.ReadFile(path)
	if err == nil {
		key, err := ring.Open(sealed, associated)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove the file to make a new key, with which everybody is asked again", path, err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it does not fail
	if sealed, err = ring.Seal(key, associated); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return key, secrets.WriteFile(path, sealed)
}

func clientOf(v *visit, r *http.Request) challenge.Client {
	addr, _ := netip.ParseAddr(v.clientIP)
	return challenge.Client{Addr: addr, UserAgent: r.UserAgent()}
}

func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return secureCookie
	}
	return plainCookie
}

// passed tells whether the request has a cookie that says that its client passed.
func (c *challenger) passed(v *visit, r *http.Request) bool {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return false
	}
	by, err := c.open()
	if err != nil {
		v.log.Error("challenge: the key cannot be had", zap.Error(err))
		return false
	}
	if err = by.Passed(clientOf(v, r), cookie.Value); err != nil {
		v.rec.Write(func(e *record.Entry) { e.Decided.Challenge = "cookie: " + err.Error() })
		return false
	}
	v.rec.Write(func(e *record.Entry) { e.Decided.Challenge = "passed" })
	return true
}

// serve answers a request that has to be challenged: a browser that asks for a page gets the puzzle, one that brings a solution
// its cookie, and everything else a refusal. done is false where the request goes on.
func (c *challenger) serve(v *visit, w http.ResponseWriter, r *http.Request, shadow bool) (done bool, err error) {
	if shadow {
		return false, v.deny(true, "challenge", http.StatusForbidden, "a proof of work would be asked for")
	}
	by, err := c.open()
	if err != nil {
		return true, v.refuse("challenge", http.StatusInternalServerError, "the key cannot be had: %w", err)
	}
	if isSolution(r) {
		return true, c.solve(v, w, r, by)
	}
	if (r.Method != http.MethodGet && r.Method != http.MethodHead) || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return true, v.refuse("challenge", http.StatusForbidden, "only a browser that asks for a page can be given one")
	}
	return true, c.page(v, w, r, by, asked(r).RequestURI(), "asked")
}

// asked is the address as the client sent it, also where the site has rewritten it.
func asked(r *http.Request) *url.URL {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.URL
	}
	return r.URL
}

// isSolution tells whether a request brings a solution.
func isSolution(r *http.Request) bool {
	return r.Method == http.MethodPost && asked(r).RawQuery == challengeQuery
}

// page answers with a puzzle.
func (c *challenger) page(v *visit, w http.ResponseWriter, r *http.Request, by *challenge.Challenger, back, decided string) error {
	path := asked(r).EscapedPath()
	if strings.HasPrefix(path, "//") || !strings.HasPrefix(path, "/") {
		path = "/"
	}
	document, policy, err := by.Page(clientOf(v, r), back, path+"?"+challengeQuery, v.rec.ID())
	if err != nil {
		return v.refuse("challenge", http.StatusInternalServerError, "%w", err)
	}
	v.rec.Write(func(e *record.Entry) { e.Decided.Challenge, e.Decided.RefusedBy = decided, "challenge" })
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Request-Id", v.rec.ID())
	w.WriteHeader(http.StatusForbidden)
	if r.Method != http.MethodHead {
		_, _ = w.Write(document) // who does not read it is gone
	}
	return nil
}

// solve takes a solution: back to the address that was asked for with a cookie, or another puzzle.
func (c *challenger) solve(v *visit, w http.ResponseWriter, r *http.Request, by *challenge.Challenger) error {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return v.refuse("challenge", http.StatusForbidden, "a solution comes as a form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxSolution)
	if err := r.ParseForm(); err != nil {
		return v.refuse("challenge", http.StatusForbidden, "the form cannot be read")
	}
	form := r.PostForm
	value, back, err := by.Solve(clientOf(v, r), form.Get("puzzle"), form.Get("number"), form.Get("answer"))
	if err != nil {
		return c.page(v, w, r, by, asked(r).EscapedPath(), "solution: "+err.Error())
	}
	v.rec.Write(func(e *record.Entry) { e.Decided.Challenge = "solved" })
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(by.Lifetime() / time.Second), Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", back)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}
