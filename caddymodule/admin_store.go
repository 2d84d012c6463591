package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/durable"
)

// serveStore makes a handler of one that reads a snapshot of the store whose folder the query's store names.
func serveStore(serve func(w http.ResponseWriter, r *http.Request, v durable.Snapshot) error) caddy.AdminHandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet {
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("GET reads the store")}
		}
		dir := r.URL.Query().Get("store")
		var found *edge
		edges.Range(func(_, v any) bool {
			if e := v.(*edge); e.storage.dir == dir {
				found = e
			}
			return found == nil
		})
		if found == nil {
			return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("this server does not hold the store in %s; name its own configuration with --config, or the other server with --address", dir)}
		}
		if err := found.open(); err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		from, ok := found.store.(durable.Snapshotter)
		if !ok {
			return caddy.APIError{HTTPStatus: http.StatusNotImplemented, Err: errors.New("this store has no snapshots")}
		}
		v, err := from.Snapshot()
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		defer v.Close()
		return serve(w, r, v)
	}
}

// serveBackup streams a backup. When something is wrong the stream ends without its end, which its reader notices.
func serveBackup(w http.ResponseWriter, r *http.Request, v durable.Snapshot) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &tally{to: w}
	_, err := writeBackup(r.Context(), out, v, time.Now().UTC(), nil)
	if err != nil && out.n == 0 {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	if err != nil {
		caddy.Log().Named("gatehouse").Error("a backup was ended", zap.Error(err))
	}
	return nil
}

// tally counts what is written.
type tally struct {
	to io.Writer
	n  int64
}

func (c *tally) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}
