package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSearch(t *testing.T) {
	articles, err := readCorpus()
	if err != nil {
		t.Fatal(err)
	}
	handler := newAPI(articles, false, time.Now)
	for _, c := range []struct {
		name, query string
		status      int
		first       string
	}{
		{"a title", "What is a gatehouse?", 200, "Gatehouse"},
		{"another title", "And a portcullis?", 200, "Portcullis"},
		{"words of the text", "who was asked by sentries", 200, "Password"},
		{"nothing", "zeppelin", 200, ""},
		{"an empty query", "", 400, ""},
		{"a query too long", strings.Repeat("x", longestQuery+1), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", "/search?q="+url.QueryEscape(c.query), nil))
			if w.Code != c.status {
				t.Fatalf("got status %d, want %d", w.Code, c.status)
			}
			var got struct{ Results []article }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			first := ""
			if len(got.Results) > 0 {
				first = got.Results[0].Title
			}
			if first != c.first || len(got.Results) > mostResults {
				t.Fatalf("got %d results, first %q, want %q", len(got.Results), first, c.first)
			}
			if c.status == 200 && !bytes.Contains(w.Body.Bytes(), []byte(`"results":[`)) {
				t.Fatalf("results are no list: %s", w.Body)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	now := time.Unix(0, 0)
	handler := newAPI(nil, true, func() time.Time { return now })
	search := func(authorization string) int {
		r := httptest.NewRequest("GET", "/search?q=x", nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("POST", "/token", nil))
	var given struct {
		Token     string
		ExpiresIn int `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &given); err != nil || given.ExpiresIn != 300 {
		t.Fatalf("got %s, %v", w.Body, err)
	}
	for _, c := range []struct {
		name, authorization string
		after               time.Duration
		want                int
	}{
		{"no token", "", 0, http.StatusUnauthorized},
		{"another token", "Bearer x", 0, http.StatusUnauthorized},
		{"an empty token", "Bearer ", 0, http.StatusUnauthorized},
		{"another scheme", "Basic " + given.Token, 0, http.StatusUnauthorized},
		{"the token", "Bearer " + given.Token, 0, http.StatusOK},
		{"just before its end", "Bearer " + given.Token, tokenLifetime - 1, http.StatusOK},
		{"at its end", "Bearer " + given.Token, tokenLifetime, http.StatusUnauthorized},
	} {
		t.Run(c.name, func(t *testing.T) {
			now = time.Unix(0, 0).Add(c.after)
			if got := search(c.authorization); got != c.want {
				t.Fatalf("got %d, want %d", got, c.want)
			}
		})
	}
}
