package caddymodule

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/audit"
)

// AuditConfig is the audit log: every record, in a log whose every change shows.
type AuditConfig struct {
	// Dir is the folder.
	Dir string `json:"dir"`
	// Rotate is the size in bytes past which another file is begun; default 256 MiB.
	Rotate int64 `json:"rotate,omitempty"`
	// FailClosed has every answer wait until the log says, on the disk, that it is given, and refuses requests while the log cannot be
	// written. By default requests go on, and what the log could not take is counted.
	FailClosed bool   `json:"fail_closed,omitempty"`
	Place      string `json:"place,omitempty"`
}

// parseAudit reads the option audit.
//
//	audit <folder> {
//		rotate <size>
//		fail closed|open
//	}
func parseAudit(d *caddyfile.Dispenser) (*AuditConfig, error) {
	c := &AuditConfig{Place: place(d)}
	var err error
	if c.Dir, err = oneArg(d); err != nil {
		return nil, d.Err("audit takes a folder, for example: audit ./audit")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "rotate":
			c.Rotate, err = sizeArg(d)
		case "fail":
			var how string
			if how, err = oneArg(d); err == nil && how != "closed" && how != "open" {
				err = d.Errf("fail %s: it is closed or open", how)
			}
			c.FailClosed = how == "closed"
		default:
			return nil, unknownOption(d, "audit", "rotate and fail")
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// auditPool holds the audit logs by folder, across reloads.
var auditPool = caddy.NewUsagePool()

// auditGroup is where the vault keeps the key that signs heads.
const auditGroup = "audit"

// auditLog is a pooled audit log, opened when the app starts.
type auditLog struct {
	dir    string
	rotate int64
	key    ed25519.PrivateKey

	once sync.Once
	log  *audit.Log
	err  error
	told time.Time // of the last head that was logged
	mu   sync.Mutex
}

// takeAudit is the audit log of the configuration, nil for none.
func (a *App) takeAudit() (*auditLog, error) {
	c := a.Audit
	if c == nil {
		return nil, nil
	}
	dir, err := a.path(c.Dir)
	if err != nil {
		return nil, at(c.Place, "audit: %w", err)
	}
	key, err := a.serverKey(auditGroup)
	if err != nil {
		return nil, at(c.Place, "audit: %w", err)
	}
	l, err := take(a, auditPool, dir, func() (*auditLog, error) { return &auditLog{dir: dir, rotate: c.Rotate, key: key}, nil })
	if err != nil {
		return nil, err
	}
	if l.rotate != c.Rotate {
		a.logger.Warn("audit: another size takes effect when the server starts anew", zap.String("dir", dir))
	}
	return l, nil
}

func (l *auditLog) open() error {
	l.once.Do(func() {
		l.log, l.err = audit.Open(audit.Config{Dir: l.dir, Key: l.key, Rotate: l.rotate, Report: func(err error) {
			caddy.Log().Named("gatehouse").Error(err.Error())
		}})
		if l.err == nil {
			caddy.Log().Named("gatehouse").Info("audit log is open", zap.String("dir", l.dir), zap.String("public_key", hex.EncodeToString(l.key.Public().(ed25519.PublicKey))))
		}
	})
	return l.err
}

// Destruct writes what waits and closes the log once no configuration uses it.
func (l *auditLog) Destruct() error {
	l.once.Do(func() { l.err = audit.ErrClosed })
	if l.log == nil {
		return nil
	}
	return l.log.Close()
}

// append hands a record over.
func (l *auditLog) append(e *record.Entry) {
	if l.open() != nil {
		return
	}
	body, err := json.Marshal(e)
	if err != nil {
		caddy.Log().Named("gatehouse").Error("a record cannot be written to the audit log", zap.String("id", e.ID), zap.Error(err))
		return
	}
	l.log.Append(body, time.Now())
}

// answering is what the log says before an answer is given.
type answering struct {
	Answering string         `json:"answering"` // the record's id
	Status    int            `json:"status"`
	Site      string         `json:"site,omitempty"`
	Method    string         `json:"method,omitempty"`
	Path      string         `json:"path,omitempty"`
	Agent     string         `json:"agent,omitempty"`
	Who       record.Who     `json:"who"`
	Decided   record.Decided `json:"decided"`
	Calls     []record.Call  `json:"calls,omitempty"`
}

// before writes that an answer is about to be given, and returns once that is on the disk.
func (l *auditLog) before(ctx context.Context, rec *record.Record, status int) error {
	if err := l.open(); err != nil {
		return err
	}
	var body []byte
	var err error
	rec.Read(func(e *record.Entry) {
		body, err = json.Marshal(answering{e.ID, status, e.Site, e.Method, e.Path, e.Agent, e.Who, e.Decided, e.Did.Calls})
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return l.log.Write(ctx, body, time.Now())
}

// auditDropped says how many entries all logs dropped.
func (e *edge) auditDropped() (n int64) {
	auditPool.Range(func(_, v any) bool {
		if l := v.(*auditLog); l.log != nil {
			n += l.log.Dropped()
		}
		return true
	})
	return n
}

// auditedWriter has the head of an answer wait for the audit log. Where the log cannot be written the answer is 503, and what the handler
// writes is thrown away.
type auditedWriter struct {
	http.ResponseWriter
	v       *visit
	log     *auditLog
	begun   bool
	refused bool
}

func (w *auditedWriter) WriteHeader(status int) {
	if w.begun || status < 200 && status != http.StatusSwitchingProtocols {
		if !w.refused {
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	w.begun = true
	if err := w.log.before(w.v.request.Context(), w.v.rec, status); err != nil {
		w.refused = true
		w.v.log.Error("an answer was refused because the audit log cannot be written", zap.String("id", w.v.rec.ID()), zap.Error(err))
		h := w.Header()
		clear(h)
		w.v.rec.Write(func(e *record.Entry) { e.Decided.RefusedBy = "audit" })
		h.Set("X-Request-Id", w.v.rec.ID())
		h.Set("Content-Type", "application/problem+json")
		h.Set("Cache-Control", "no-store")
		w.ResponseWriter.WriteHeader(http.StatusServiceUnavailable)
		body, _ := json.Marshal(newProblem("audit", http.StatusServiceUnavailable, w.v.rec.ID()))
		_, _ = w.ResponseWriter.Write(append(body, '\n'))
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *auditedWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController the writer below.
func (w *auditedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// auditFails is the refusal while the log cannot be written.
func (v *visit) auditFails(err error) error {
	return v.refuse("audit", http.StatusServiceUnavailable, "the audit log cannot be written: %w", err)
}
