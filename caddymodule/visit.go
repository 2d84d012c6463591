package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/record"
)

// visit is a request's way through the stages of one site: its one record, and the response being counted.
type visit struct {
	rec      *record.Record
	clientIP string
	writer   *countingWriter
	request  *http.Request // as the first stage got it
	log      *zap.Logger
	out      *outlets
	depth    atomic.Int32 // stages entered and not left
	queue    queueCap     // what throttle lets wait for an agent

	who      *access.Identity // by a token or a certificate; nil: nobody
	agent    *access.Identity // who signed the request; nil: no agent
	badToken bool             // a token came that is not believed
	admitted bool             // access has let the request in
}

type visitKey struct{}

// enter gives a stage the request's visit. The first stage opens it; each stage leaves it once.
func (a *App) enter(w http.ResponseWriter, r *http.Request, stage string) (*visit, http.ResponseWriter, *http.Request) {
	if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
		v.depth.Add(1)
		v.come(stage)
		return v, w, r
	}
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	v := &visit{
		rec:      a.out.open(record.KindFetch),
		clientIP: ip,
		out:      a.out,
		request:  r,
		log:      a.logger,
	}
	if a.Audit != nil && a.Audit.FailClosed {
		w = &auditedWriter{ResponseWriter: w, v: v, log: a.out.audit}
	}
	v.writer = &countingWriter{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w}}
	v.depth.Store(1)
	traced := trace.SpanContextFromContext(r.Context()) // of Caddy's own tracing
	unsampled := traced.IsValid() && !traced.IsSampled()
	if !traced.IsValid() && r.Header["Traceparent"] != nil {
		traced = trace.SpanContextFromContext(traceContext.Extract(context.Background(), propagation.HeaderCarrier(r.Header)))
	}
	v.rec.Write(func(e *record.Entry) {
		e.Site, e.Method, e.Path = hostname(r.Host), r.Method, r.URL.Path
		e.Who.ClientIP, e.Who.UserAgent = ip, r.UserAgent()
		if traced.IsValid() {
			e.TraceID, e.ParentID, e.Unsampled = traced.TraceID().String(), traced.SpanID().String(), unsampled
		}
	})
	v.come(stage)
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(v.placeholder)
	}
	return v, v.writer, r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
}

// traceContext reads and writes the headers of W3C Trace Context (https://www.w3.org/TR/trace-context/).
var traceContext propagation.TraceContext

// come notes that the request has come to a stage.
func (v *visit) come(stage string) {
	now := time.Now()
	v.rec.Write(func(e *record.Entry) {
		if len(e.Decided.Stages) < 32 {
			e.Decided.Stages = append(e.Decided.Stages, record.Stage{Name: stage, Millis: e.Since(now)})
		}
	})
}

// through runs a stage and leaves it, also when a handler below aborts the response.
func (v *visit) through(stage func() error) (err error) {
	defer func() { err = v.leave(err) }()
	return stage()
}

// leave ends a stage with the error that its handler returns, and returns what Caddy gets to know of it. The last one
// ends the visit: it answers what a stage refused.
func (v *visit) leave(err error) error {
	if v.depth.Add(-1) > 0 {
		return err
	}
	status := v.writer.status
	if failed, ok := errors.AsType[caddyhttp.HandlerError](err); ok && status == 0 {
		status = failed.StatusCode
		if by, ok := errors.AsType[stageError](failed.Err); ok && v.answer(failed, by.stage) {
			if status >= http.StatusInternalServerError {
				v.log.Error("request failed", zap.String("id", v.rec.ID()), zap.Int("status", status), zap.Error(failed.Err))
			}
			err = nil
		}
	}
	if status == 0 && err == nil {
		status = http.StatusOK
	}
	v.rec.Write(func(e *record.Entry) {
		e.Out.Status, e.Out.Bytes = status, v.writer.bytes
		if v.out.edge.headed() {
			e.Header = record.SafeHeader(v.request.Header)
		}
	})
	v.rec.Release(time.Now())
	return err
}

// outcomeShed is the outcome of a request that was refused because the server, or its client, had too many under way, in Cloudflare's word.
const outcomeShed = "loadShed"

// refuse notes that a stage ended the request, and makes the error that says so to Caddy.
func (v *visit) refuse(stage string, status int, format string, args ...any) error {
	v.rec.Write(func(e *record.Entry) { e.Decided.RefusedBy = stage })
	return v.refusal(stage, status, fmt.Errorf(stage+": "+format, args...))
}

// deny ends the request as refuse does. In shadow it writes down that the stage would have, and returns nil: the request
// goes on.
func (v *visit) deny(shadow bool, stage string, status int, format string, args ...any) error {
	if !shadow {
		return v.refuse(stage, status, format, args...)
	}
	reason := fmt.Errorf(format, args...).Error()
	v.rec.Write(func(e *record.Entry) {
		e.Decided.Shadow = append(e.Decided.Shadow, record.Refusal{Stage: stage, Status: status, Reason: reason})
	})
	return nil
}

// subject is who the request comes from, for logs; empty for nobody.
func (v *visit) subject() string {
	if who := v.caller(); who != nil {
		return who.Subject
	}
	return ""
}

// caller is who the request comes from, by a token or certificate before a signature; nil for nobody.
func (v *visit) caller() *access.Identity {
	if v.who != nil {
		return v.who
	}
	return v.agent
}

// placeholder answers the placeholders under http.gatehouse.
func (v *visit) placeholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, "http.gatehouse.")
	if !ok {
		return nil, false
	}
	if claim, ok := strings.CutPrefix(name, "identity.claim."); ok {
		return v.claim(claim), true
	}
	var value any
	v.rec.Read(func(e *record.Entry) {
		switch name {
		case "id":
			value = e.ID
		case "bot.score":
			value = e.Who.BotScore
		case "bot.verified":
			value = e.Who.VerifiedAgent != "" || e.Who.VerifiedBot != ""
		case "bot.ja4":
			value = e.Who.JA4
		case "bot.tag":
			value = e.Decided.BotTag
		case "waf.action", "waf.score", "waf.rules":
			value = wafPlaceholder(e.Decided.WAF, name)
		case "agent.name":
			value = e.Agent
		case "agent.outcome":
			value = e.Out.Outcome
		case "agent.cpu_ms":
			value = e.Out.CPUMillis
		case "identity.agent":
			value = e.Who.VerifiedAgent
		case "identity.subject":
			value = e.Who.Subject
		case "throttle.remaining":
			value = ""
			for i, z := range e.Decided.Throttle {
				if n, ok := value.(int); i == 0 || ok && z.Remaining < n {
					value = z.Remaining
				}
			}
		default:
			ok = false
		}
	})
	return value, ok
}

// claim is what the request's verified token says under a name: a text, number or truth value as text, and nothing for what is none of
// these or is not there.
func (v *visit) claim(name string) string {
	if v.who == nil {
		return ""
	}
	text, _ := access.ClaimText(v.who.Claims[name])
	return text
}

// access is the JSON of the code's ctx.access; nil for nobody.
func (v *visit) access() []byte {
	who := v.caller()
	if who == nil {
		return nil
	}
	audience, _ := who.Claims["aud"].(string)
	if list, ok := who.Claims["aud"].([]any); ok && len(list) > 0 {
		audience, _ = list[0].(string)
	}
	text, err := json.Marshal(struct {
		Audience string         `json:"aud"`
		Method   string         `json:"method"`
		Issuer   string         `json:"issuer"`
		Subject  string         `json:"subject"`
		Identity map[string]any `json:"identity,omitempty"`
	}{audience, who.Method, who.Issuer, who.Subject, who.Claims})
	if err != nil {
		return nil // claims came from JSON, or are texts
	}
	return text
}

func wafPlaceholder(d *record.WAFDecision, name string) any {
	if d == nil {
		return ""
	}
	switch name {
	case "waf.action":
		return d.Action
	case "waf.score":
		return d.Score
	}
	ids := make([]string, len(d.Rules))
	for i, r := range d.Rules {
		ids[i] = strconv.Itoa(r.ID)
	}
	return strings.Join(ids, ",")
}

// countingWriter notes the status and the size of the answer.
type countingWriter struct {
	*caddyhttp.ResponseWriterWrapper
	status int
	bytes  int64
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets the connection copy by itself where it can.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Unwrap gives http.ResponseController the writer below.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// appOf gives the gatehouse app of the configuration being provisioned.
func appOf(ctx caddy.Context) (*App, error) {
	v, err := ctx.App("gatehouse")
	if err != nil {
		return nil, err
	}
	return v.(*App), nil
}
