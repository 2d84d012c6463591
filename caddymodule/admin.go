package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(Admin))
}

// Admin serves what Gatehouse's commands ask of a running server, under /gatehouse/ on Caddy's admin endpoint. Caddy
// guards that endpoint: by default it listens on the loopback interface alone and checks the Host and Origin headers.
type Admin struct{}

// CaddyModule returns the module's registration.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.gatehouse", New: func() caddy.Module { return new(Admin) }}
}

// Routes are the admin routes.
func (*Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/gatehouse/tail", Handler: caddy.AdminHandlerFunc(serveTail)},
		{Pattern: "/gatehouse/sql", Handler: caddy.AdminHandlerFunc(serveSQL)},
		{Pattern: "/gatehouse/approvals", Handler: caddy.AdminHandlerFunc(serveApprovals)},
		{Pattern: "/gatehouse/kv", Handler: caddy.AdminHandlerFunc(serveKV)},
		{Pattern: "/gatehouse/backup", Handler: serveStore(serveBackup)},
		{Pattern: "/gatehouse/actors", Handler: serveStore(serveActors)},
	}
}

// serveTail streams records as server-sent events: each event is one record as JSON. Query parameters filter: agent,
// outcome, method, status, ip, text. An event of type dropped says how many records a slow reader has missed.
func serveTail(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("GET gives the tail")}
	}
	q := r.URL.Query()
	f := record.Filter{Agent: q.Get("agent"), Outcome: q.Get("outcome"), Method: q.Get("method"), IP: q.Get("ip"), Text: q.Get("text")}
	if s := q.Get("status"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 599 {
			return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("status %q: give a code such as 404 or a class such as 4", s)}
		}
		f.Status = n
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	watcher := tail.Watch(f)
	defer tail.Leave(watcher)
	if _, err := fmt.Fprint(w, ": watching\n\n"); err != nil {
		return nil
	}
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	for {
		if err := control.Flush(); err != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-beat.C:
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil {
				return nil
			}
		case e := <-watcher.C:
			b, err := json.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "event: record\ndata: %s\n\n", b); err != nil {
				return nil
			}
			if n := watcher.Dropped(); n > 0 {
				if _, err := fmt.Fprintf(w, "event: dropped\ndata: %d\n\n", n); err != nil {
					return nil
				}
			}
		}
	}
}

// sqlRequest is the body of POST /gatehouse/sql.
type sqlRequest struct {
	Agent string `json:"agent"`
	Query string `json:"query"`
	// Limit is how many rows at most, 1,000 by default.
	Limit int `json:"limit,omitempty"`
}

// serveSQL answers a query over an agent's data points.
func serveSQL(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("POST a query")}
	}
	var q sqlRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("read the query: %w", err)}
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	p := pointsOf(q.Agent)
	if p == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("agent %s: this server runs no such agent", q.Agent)}
	}
	db, err := p.open()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	table, err := db.Query(r.Context(), q.Agent, q.Query, q.Limit)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(table)
}

// pointsOf is the analytics database of the agent in charge of that name, nil if there is none.
func pointsOf(agent string) *points {
	var found *points
	edges.Range(func(_, v any) bool {
		if rel := v.(*edge).current(agent); rel != nil {
			found = rel.points
		}
		return found == nil
	})
	return found
}

var _ caddy.AdminRouter = (*Admin)(nil)
