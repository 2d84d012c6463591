package caddymodule

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/analytics"
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

// serveTail streams records as server-sent events: each event is one record as JSON. Query parameters filter, as filterOf says. An event of type dropped says how many records a slow reader has missed.
func serveTail(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("GET gives the tail")}
	}
	f, err := filterOf(r.URL.Query())
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	return streamTail(w, r, f)
}

// filterOf reads a filter: agent, outcome, method, status, ip, text, kind, actor, header, sample. A parameter that is none is refused.
func filterOf(q url.Values) (f record.Filter, err error) {
	for name := range q {
		value := q.Get(name)
		switch name {
		case "agent":
			f.Agent = value
		case "outcome":
			f.Outcome = value
		case "method":
			f.Method = value
		case "ip":
			f.IP = value
		case "text":
			f.Text = value
		case "kind":
			f.Kind = record.Kind(value)
		case "actor":
			f.Actor = strings.ToLower(value)
		case "header":
			f.Header = value
		case "sample":
			if value != "" {
				f.Sample, err = parsePercent(value)
			}
		case "status":
			if value == "" {
				break
			}
			if f.Status, err = strconv.Atoi(value); err != nil || f.Status < 1 || f.Status > 599 {
				err = fmt.Errorf("status %q: give a code such as 404 or a class such as 4", value)
			}
		default:
			err = fmt.Errorf("there is no filter %s; there are agent, outcome, method, status, ip, text, kind, actor, header and sample", name)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// streamTail streams the records that pass the filter until the reader leaves.
func streamTail(w http.ResponseWriter, r *http.Request, f record.Filter) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	watcher := tail.Watch(f)
	defer tail.Leave(watcher)
	if _, err := fmt.Fprint(w, ": watching\n\n"); err != nil || control.Flush() != nil {
		return nil
	}
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	// What comes within a moment goes out together: a write for each event would cost more than the event.
	flush := time.NewTimer(time.Hour)
	defer flush.Stop()
	pending := false
	for {
		var err error
		select {
		case <-r.Context().Done():
			return nil
		case <-beat.C:
			_, err = fmt.Fprint(w, ": alive\n\n")
		case e := <-watcher.C:
			_, err = fmt.Fprintf(w, "event: record\ndata: %s\n\n", e.Encoded())
		case <-flush.C:
			pending = false
			err = control.Flush()
		}
		if err == nil && len(watcher.C) == 0 { // what waits comes before what was lost after it
			if n := watcher.Dropped(); n > 0 {
				_, err = fmt.Fprintf(w, "event: dropped\ndata: %d\n\n", n)
			}
		}
		if err != nil {
			return nil
		}
		if !pending {
			pending = true
			flush.Reset(tailDelay)
		}
	}
}

// tailDelay is how long a record of the live tail waits for others.
const tailDelay = 50 * time.Millisecond

// sqlRequest is the body of POST /gatehouse/sql.
type sqlRequest struct {
	Agent string `json:"agent"`
	Query string `json:"query"`
	// Limit is how many rows at most, 1,000 by default.
	Limit int `json:"limit,omitempty"`
	// Format is empty for one JSON object, or jsonl or csv for a row a line, without a limit unless one is given.
	Format string `json:"format,omitempty"`
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
	p := pointsOf(q.Agent)
	if p == nil {
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: fmt.Errorf("agent %s: this server runs no such agent", q.Agent)}
	}
	db, err := p.open()
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
	}
	if q.Format != "" {
		return exportRows(w, r, db, q)
	}
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	table, err := db.Query(r.Context(), q.Agent, q.Query, q.Limit)
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(table)
}

// exportRows streams the rows of a query.
func exportRows(w http.ResponseWriter, r *http.Request, db *analytics.DB, q sqlRequest) error {
	if q.Limit <= 0 {
		q.Limit = math.MaxInt
	}
	out := &tally{to: w}
	var begin func(columns []string) error
	var row func(columns []string, values []any) error
	switch q.Format {
	case "jsonl":
		w.Header().Set("Content-Type", "application/x-ndjson")
		begin = func([]string) error { return nil }
		row = func(columns []string, values []any) error {
			line := []byte{'{'}
			for i, c := range columns {
				if i > 0 {
					line = append(line, ',')
				}
				name, _ := json.Marshal(c)
				value, err := json.Marshal(values[i])
				if err != nil {
					return err
				}
				line = append(append(append(line, name...), ':'), value...)
			}
			_, err := out.Write(append(line, '}', '\n'))
			return err
		}
	case "csv":
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		lines := csv.NewWriter(out)
		defer lines.Flush()
		begin = lines.Write
		row = func(_ []string, values []any) error {
			texts := make([]string, len(values))
			for i, v := range values {
				if v != nil {
					texts[i] = fmt.Sprint(v)
				}
			}
			return lines.Write(texts)
		}
	default:
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("format %q: it is jsonl or csv", q.Format)}
	}
	_, err := db.Each(r.Context(), q.Agent, q.Query, q.Limit, begin, row)
	if err != nil && out.n == 0 {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // rows have gone out; only a broken connection says that these are not all
	}
	return nil
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
