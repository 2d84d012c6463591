package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/adhocore/gronx"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/record"
)

// develop is told the version of new code that serves, where this process is caddy gatehouse dev.
var develop atomic.Pointer[func(version string)]

// scheduledPath runs the scheduled handler by hand, as wrangler dev does
// (https://developers.cloudflare.com/workers/configuration/cron-triggers/#test-cron-triggers-locally).
const scheduledPath = "/cdn-cgi/handler/scheduled"

// runSchedule runs the scheduled handler for the cron expression and the time, in milliseconds since 1970, that the
// query gives, and answers with the outcome.
func (h *AgentHandler) runSchedule(v *visit, w http.ResponseWriter, r *http.Request, rel *release) error {
	if !rel.handles("scheduled") {
		return v.tell(w, http.StatusNotFound, "the code has no scheduled handler; add one to its default export: scheduled(controller, env, ctx)")
	}
	expr, at := r.URL.Query().Get("cron"), time.Now()
	if expr == "" {
		expr = "* * * * *"
	} else if schedule, err := agentruntime.CronSchedule(expr); err != nil || !gronx.IsValid(schedule) {
		return v.tell(w, http.StatusBadRequest, "cron %q is not a valid expression; write it as minute, hour, day, month and weekday, for example: ?cron=*/5+*+*+*+*", expr)
	}
	if text := r.URL.Query().Get("time"); text != "" {
		var millis int64
		if _, err := fmt.Sscan(text, &millis); err != nil {
			return v.tell(w, http.StatusBadRequest, "time %q is not a number of milliseconds since 1970", text)
		}
		at = time.UnixMilli(millis)
	}
	if err := h.app.await(r.Context()); err != nil {
		return err
	}
	outcome := runScheduled(context.WithoutCancel(r.Context()), h.app.edge, rel, expr, at)
	if outcome != agentruntime.OutcomeOK {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, err := fmt.Fprintln(w, outcome)
	return err
}

// tell refuses a request and says why to the client too.
func (v *visit) tell(w http.ResponseWriter, status int, format string, args ...any) error {
	v.rec.Write(func(e *record.Entry) { e.Decided.RefusedBy = "agent" })
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, err := fmt.Fprintf(w, format+"\n", args...)
	return err
}

// showError answers with what went wrong, for who develops.
func (v *visit) showError(w http.ResponseWriter, rel *release, err error) error {
	text := rel.redact(err.Error())
	if remote, ok := errors.AsType[*agentruntime.RemoteError](err); ok {
		text = rel.redact(remote.Name + ": " + remote.Message)
		if remote.Stack != "" {
			text = rel.redact(remote.Stack)
			if head := remote.Name + ": " + remote.Message; !strings.HasPrefix(text, rel.redact(head)) {
				text = rel.redact(head) + "\n" + text
			}
		}
	}
	status := http.StatusInternalServerError
	if refused, ok := errors.AsType[caddyhttp.HandlerError](v.httpError(rel, err)); ok {
		status = refused.StatusCode
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = fmt.Fprintf(w, "%s\n\n(agent %s, request %s; only caddy gatehouse dev shows this to clients)\n", strings.TrimRight(text, "\n"), rel.name, v.rec.ID())
	return err
}

// developRecord is one line of a record for who develops, and below it what the code did.
func developRecord(e *record.Entry) string {
	var b strings.Builder
	status := e.Out.Outcome
	if e.Out.Status > 0 {
		status = fmt.Sprint(e.Out.Status)
		if e.Out.Outcome != "ok" {
			status += " " + e.Out.Outcome
		}
	}
	what := strings.TrimSpace(e.Method + " " + e.Path)
	if e.Kind != record.KindFetch {
		what = string(e.Kind) + " " + what
	}
	fmt.Fprintf(&b, "%s %s %s in %.1f ms (cpu %.1f ms)\n", e.Time.Local().Format("15:04:05"), strings.TrimSpace(what), status, e.Out.WallMillis, e.Out.CPUMillis)
	printDetails(&b, e)
	return b.String()
}
