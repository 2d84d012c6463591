package dashboard

import (
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

//go:embed page
var files embed.FS

// Policy is the page's Content-Security-Policy: everything from here, and nothing in the markup itself.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Config says what the page shows.
type Config struct {
	Recent *record.Recent
	Tail   *record.Tail
	Source Source
	// Filter reads a filter from a query, as the live tail does.
	Filter func(r *http.Request) (record.Filter, error)
	// Who is who asks, for decisions; nil: nobody is known.
	Who func(r *http.Request) string
}

// Handler serves the page. Its paths begin with a slash; who mounts it takes the mount's path away.
type Handler struct {
	cfg   Config
	mux   *http.ServeMux
	etags map[string]string
}

// New makes the handler.
func New(c Config) *Handler {
	h := &Handler{cfg: c, mux: http.NewServeMux(), etags: map[string]string{}}
	_ = fs.WalkDir(files, "page", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, _ := files.ReadFile(name) // it is embedded
			sum := sha256.Sum256(data)
			h.etags[name] = `"` + hex.EncodeToString(sum[:8]) + `"`
		}
		return err
	})
	h.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { h.file(w, r, "index.html") })
	h.mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) { h.file(w, r, r.PathValue("name")) })
	h.mux.HandleFunc("GET /api/records", h.records)
	h.mux.HandleFunc("GET /api/records/{id}", h.record)
	h.mux.HandleFunc("GET /api/live", h.live)
	h.json("GET /api/graph", func(*http.Request) (any, error) { return c.Recent.Graph(), nil })
	h.json("GET /api/refusals", func(*http.Request) (any, error) { return c.Recent.Refusals(), nil })
	h.json("GET /api/budgets", func(*http.Request) (any, error) { return c.Recent.Budgets(), nil })
	h.json("GET /api/agents", func(*http.Request) (any, error) {
		return map[string]any{"agents": c.Source.Agents(), "versions": c.Recent.Versions()}, nil
	})
	h.json("GET /api/unusual", func(*http.Request) (any, error) {
		return map[string]any{"events": c.Source.Events(), "health": c.Source.Health()}, nil
	})
	h.json("GET /api/namespaces", func(r *http.Request) (any, error) { return c.Source.Namespaces(r.Context()) })
	h.json("GET /api/actors", func(r *http.Request) (any, error) {
		return c.Source.Actors(r.Context(), r.FormValue("namespace"), r.FormValue("after"), 100)
	})
	h.json("GET /api/workflow", func(r *http.Request) (any, error) {
		return c.Source.Workflow(r.Context(), r.FormValue("namespace"), r.FormValue("id"))
	})
	h.json("GET /api/approvals", func(r *http.Request) (any, error) {
		return c.Source.Approvals(r.Context(), r.FormValue("all") != "")
	})
	h.json("POST /api/approvals", h.decide)
	return h
}

// ServeHTTP answers a request. Every answer has the page's policies.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", Policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	h.mux.ServeHTTP(w, r)
}

var types = map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (h *Handler) file(w http.ResponseWriter, r *http.Request, name string) {
	full := "page/" + name
	etag, ok := h.etags[full]
	if !ok {
		http.NotFound(w, r)
		return
	}
	data, err := files.ReadFile(full)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Type", types[path.Ext(name)])
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(data)
}

// answer writes v as JSON, compressed where the client takes that.
func answer(w http.ResponseWriter, r *http.Request, v any) {
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Vary", "Accept-Encoding")
		z := zippers.Get().(*gzip.Writer)
		defer zippers.Put(z)
		z.Reset(w)
		_ = json.NewEncoder(z).Encode(v)
		_ = z.Close()
		return
	}
	_ = json.NewEncoder(w).Encode(v)
}

var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

// Error is an error with what HTTP calls it.
type Error struct {
	Status int
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

func (h *Handler) json(pattern string, f func(r *http.Request) (any, error)) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, r, v)
	})
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if e, ok := errors.AsType[*Error](err); ok {
		status = e.Status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// row is a record in a list.
type row struct {
	Number  int64       `json:"n,omitempty"`
	ID      string      `json:"id"`
	Time    time.Time   `json:"time"`
	Kind    record.Kind `json:"kind"`
	Site    string      `json:"site,omitempty"`
	Method  string      `json:"method,omitempty"`
	Path    string      `json:"path,omitempty"`
	Agent   string      `json:"agent,omitempty"`
	From    string      `json:"from,omitempty"` // the agent that called it
	IP      string      `json:"ip,omitempty"`
	Score   int         `json:"score,omitempty"`
	Refused string      `json:"refused,omitempty"` // the stage
	Status  int         `json:"status,omitempty"`
	Outcome string      `json:"outcome"`
	Millis  float64     `json:"ms"`
	Calls   int         `json:"calls,omitempty"`
	Tools   int         `json:"tools,omitempty"`
	Cost    float64     `json:"cost,omitempty"`
	Held    int         `json:"refusals,omitempty"` // calls that were refused
}

func rowOf(n int64, e *record.Entry) row {
	r := row{
		Number: n, ID: e.ID, Time: e.Time, Kind: e.Kind, Site: e.Site, Method: e.Method, Path: e.Path, Agent: e.Agent, IP: e.Who.ClientIP,
		Score: e.Who.BotScore, Refused: e.Decided.RefusedBy, Status: e.Out.Status, Outcome: e.Out.Outcome, Millis: e.Out.WallMillis,
		Calls: len(e.Did.Calls), Tools: len(e.Did.Tools), Cost: e.Out.CostUSD,
	}
	if n := len(e.Chain); n > 0 {
		r.From = e.Chain[n-1].Agent
	}
	for _, c := range e.Did.Calls {
		if c.Decision == "refuse" {
			r.Held++
		}
	}
	return r
}

// page is how many records a list has.
const page = 100

func (h *Handler) records(w http.ResponseWriter, r *http.Request) {
	before, err := int64(0), error(nil)
	if text := r.FormValue("before"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			fail(w, &Error{http.StatusBadRequest, fmt.Errorf("before %q: give a record's number", text)})
			return
		}
	}
	f, err := h.cfg.Filter(r)
	if err != nil {
		fail(w, &Error{http.StatusBadRequest, err})
		return
	}
	rows := []row{}
	for _, e := range h.cfg.Recent.Page(f, before, page) {
		rows = append(rows, rowOf(e.Number, e.Entry))
	}
	answer(w, r, map[string]any{"rows": rows, "kept": h.cfg.Recent.Len()})
}

// record gives one record, and those of its trace.
func (h *Handler) record(w http.ResponseWriter, r *http.Request) {
	e := h.cfg.Recent.Find(r.PathValue("id"))
	if e == nil {
		fail(w, &Error{http.StatusNotFound, errors.New("this record is not kept any more; the log has it, and the audit log if there is one")})
		return
	}
	answer(w, r, map[string]any{"record": e, "trace": h.cfg.Recent.OfTrace(e.Trace())})
}

// live streams rows as server-sent events, several in one message where they come quickly.
func (h *Handler) live(w http.ResponseWriter, r *http.Request) {
	f, err := h.cfg.Filter(r)
	if err != nil {
		fail(w, &Error{http.StatusBadRequest, err})
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	watcher := h.cfg.Tail.Watch(f)
	defer h.cfg.Tail.Leave(watcher)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	if _, err := fmt.Fprint(w, ": watching\n\n"); err != nil || control.Flush() != nil {
		return
	}
	const most = 100 // rows a message: nobody reads faster
	var rows []row
	missed, quiet := int64(0), 0
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-watcher.C:
			if len(rows) == most {
				rows = rows[1:]
				missed++
			}
			rows = append(rows, rowOf(0, e))
			continue
		case <-tick.C:
		}
		missed += watcher.Dropped()
		if len(rows) == 0 && missed == 0 {
			if quiet++; quiet < 75 {
				continue
			}
			quiet = 0
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil || control.Flush() != nil {
				return
			}
			continue
		}
		b, err := json.Marshal(map[string]any{"rows": rows, "missed": missed})
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil || control.Flush() != nil {
			return
		}
		rows, missed, quiet = rows[:0], 0, 0
	}
}

// decide takes a decision about a host. It must come from the page: browsers say where a request is from, and no other site can send
// this header.
func (h *Handler) decide(r *http.Request) (any, error) {
	if site := r.Header.Get("Sec-Fetch-Site"); r.Header.Get("X-Gatehouse") != "decide" || site != "" && site != "same-origin" {
		return nil, &Error{http.StatusForbidden, errors.New("a decision must come from the page itself")}
	}
	var q struct{ Agent, Host, Decision string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&q); err != nil {
		return nil, &Error{http.StatusBadRequest, fmt.Errorf("read the decision: %w", err)}
	}
	by := ""
	if h.cfg.Who != nil {
		by = h.cfg.Who(r)
	}
	return q, h.cfg.Source.Decide(r.Context(), q.Agent, q.Host, q.Decision, by)
}
