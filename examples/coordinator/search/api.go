package main

import (
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

//go:embed corpus.json
var corpus []byte

// article is one text of the corpus, and one result of a search.
type article struct {
	Title string `json:"title"`
	URL   string `json:"url"`
	Text  string `json:"text"`
}

func readCorpus() ([]article, error) {
	var articles []article
	if err := json.Unmarshal(corpus, &articles); err != nil {
		return nil, fmt.Errorf("reading the corpus: %w", err)
	}
	return articles, nil
}

const (
	longestQuery  = 4_000 // bytes
	mostResults   = 3
	tokenLifetime = 5 * time.Minute
	mostTokens    = 1_000
)

// api answers searches.
type api struct {
	articles []article
	tokens   bool // whether a search needs a token
	now      func() time.Time

	mu sync.Mutex
	// given holds when each token ends. Guarded by mu.
	given map[string]time.Time
}

func newAPI(articles []article, tokens bool, now func() time.Time) http.Handler {
	a := &api{articles: articles, tokens: tokens, now: now, given: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", a.search)
	mux.HandleFunc("POST /token", a.token)
	return mux
}

func (a *api) search(w http.ResponseWriter, r *http.Request) {
	if a.tokens && !a.admits(r.Header.Get("Authorization")) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		answer(w, http.StatusUnauthorized, map[string]any{"error": "Get a token with POST /token."})
		return
	}
	query := r.URL.Query().Get("q")
	if query == "" || len(query) > longestQuery {
		answer(w, http.StatusBadRequest, map[string]any{"error": fmt.Sprintf("Give q, of at most %d bytes.", longestQuery)})
		return
	}
	answer(w, http.StatusOK, map[string]any{"query": query, "results": find(a.articles, query)})
}

// token gives a new token.
func (a *api) token(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for token, end := range a.given {
		if !now.Before(end) {
			delete(a.given, token)
		}
	}
	if len(a.given) >= mostTokens {
		answer(w, http.StatusTooManyRequests, map[string]any{"error": "Too many tokens are in use."})
		return
	}
	token := rand.Text()
	a.given[token] = now.Add(tokenLifetime)
	answer(w, http.StatusOK, map[string]any{"token": token, "expires_in": int(tokenLifetime.Seconds())})
}

func (a *api) admits(authorization string) bool {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	return ok && a.now().Before(a.given[token])
}

// find returns the articles that share most words with the query; a word of the title counts three times.
func find(articles []article, query string) []article {
	type hit struct {
		article
		score int
	}
	hits := []hit{}
	asked := words(query)
	for _, art := range articles {
		h := hit{article: art}
		title, text := words(art.Title), words(art.Text)
		for word := range asked {
			if title[word] {
				h.score += 3
			}
			if text[word] {
				h.score++
			}
		}
		if h.score > 0 {
			hits = append(hits, h)
		}
	}
	slices.SortStableFunc(hits, func(x, y hit) int { return y.score - x.score })
	found := []article{}
	for _, h := range hits[:min(mostResults, len(hits))] {
		found = append(found, h.article)
	}
	return found
}

// words returns the words of a text in lower case, without those of three letters and less, and without a plural's s.
func words(text string) map[string]bool {
	all := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len(word) > 3 {
			all[strings.TrimSuffix(word, "s")] = true
		}
	}
	for _, common := range []string{"what", "when", "where", "which", "that", "this", "have", "with", "about", "tell", "were", "they"} {
		delete(all, common)
	}
	return all
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // The client is gone if this fails.
}
