package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestPipe(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name   string
		handle func(w http.ResponseWriter) error
		status int
		body   string
		fails  error // of the head
		torn   bool  // the body breaks off
	}{
		{"status and body", func(w http.ResponseWriter) error {
			w.WriteHeader(201)
			_, err := io.WriteString(w, "made")
			return err
		}, 201, "made", nil, false},
		{"body alone means 200", func(w http.ResponseWriter) error {
			_, err := io.WriteString(w, "x")
			return err
		}, 200, "x", nil, false},
		{"nothing means 200", func(http.ResponseWriter) error { return nil }, 200, "", nil, false},
		{"a hint is not the head", func(w http.ResponseWriter) error {
			w.WriteHeader(103)
			w.WriteHeader(204)
			return nil
		}, 204, "", nil, false},
		{"a Caddy error is an answer", func(http.ResponseWriter) error { return caddyhttp.Error(502, broken) }, 502, "", nil, false},
		{"another error is none", func(http.ResponseWriter) error { return broken }, 0, "", broken, false},
		{"an error after the head tears the body", func(w http.ResponseWriter) error {
			_, _ = io.WriteString(w, "half")
			return broken
		}, 200, "half", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipe()
			go func() { p.end(c.handle(p)) }()
			resp, err := p.response(context.Background())
			if !errors.Is(err, c.fails) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			b, err := io.ReadAll(resp.Body)
			if resp.Status != c.status || string(b) != c.body || (err != nil) != c.torn {
				t.Fatalf("got %d %q %v", resp.Status, b, err)
			}
		})
	}
}

func TestPipeGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := newPipe()
	if _, err := p.response(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("late")); err == nil {
		t.Fatal("a write that nobody reads went through")
	}
}
