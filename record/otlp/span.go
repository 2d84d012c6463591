package otlp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-edge/gatehouse/record"
)

// span makes the spans of an entry.
func (x *Exporter) span(e *record.Entry) {
	traceID, _ := trace.TraceIDFromHex(e.Trace())
	own, _ := trace.SpanIDFromHex(e.Span())
	ctx := context.Background()
	if parent, err := trace.SpanIDFromHex(e.ParentID); err == nil {
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: parent, TraceFlags: trace.FlagsSampled, Remote: true}))
	}
	at := func(ms float64) time.Time { return e.Time.Add(time.Duration(ms * float64(time.Millisecond))) }
	ctx = context.WithValue(ctx, idKey{}, ids{traceID, own})
	ctx, root := x.tracer.Start(ctx, rootName(e), trace.WithTimestamp(e.Time), trace.WithSpanKind(rootKind(e)), trace.WithAttributes(rootAttributes(e)...))
	for _, f := range e.Did.Exceptions {
		root.AddEvent("exception", trace.WithTimestamp(f.Time), trace.WithAttributes(
			attribute.String("exception.type", f.Name), attribute.String("exception.message", f.Message), attribute.String("exception.stacktrace", f.Stack)))
	}
	n := 0
	child := func(name string, id string, kind trace.SpanKind, start, ms float64, failure string, attributes ...attribute.KeyValue) {
		n++
		span, err := trace.SpanIDFromHex(id)
		if err != nil { // nobody else knows of it: any id will do that is the same each time
			sum := sha256.Sum256([]byte(e.ID + " " + strconv.Itoa(n)))
			span = trace.SpanID(sum[:8])
		}
		_, s := x.tracer.Start(context.WithValue(ctx, idKey{}, ids{traceID, span}), name,
			trace.WithTimestamp(at(start)), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
		if failure != "" {
			s.SetStatus(codes.Error, failure)
		}
		s.End(trace.WithTimestamp(at(start + ms)))
	}
	for i, s := range e.Decided.Stages {
		end := e.Out.WallMillis
		if i+1 < len(e.Decided.Stages) {
			end = e.Decided.Stages[i+1].Millis
		}
		failure := ""
		if s.Name == e.Decided.RefusedBy {
			failure = "refused"
		}
		child(s.Name, "", trace.SpanKindInternal, s.Millis, max(0, end-s.Millis), failure, stageAttributes(e, s.Name)...)
	}
	for _, c := range e.Did.Calls {
		if c.Agent != "" {
			continue // it is in that agent's own record
		}
		child(callName(c), c.Span, callKind(c), c.Start, c.Millis, callFailure(c), callAttributes(c)...)
	}
	for _, t := range e.Did.Tools {
		if t.Agent != "" {
			continue
		}
		child("execute_tool "+t.Name, "", trace.SpanKindInternal, t.Start, t.Millis, t.Error, toolAttributes(t)...)
	}
	for _, m := range e.Did.Models {
		child("chat "+m.Model, "", trace.SpanKindClient, m.Start, m.Millis, "",
			attribute.String("gen_ai.operation.name", "chat"), attribute.String("gen_ai.provider.name", m.Provider),
			attribute.String("gen_ai.request.model", m.Model), attribute.String("gen_ai.response.model", m.Model), attribute.String("server.address", m.Host),
			attribute.Int64("gen_ai.usage.input_tokens", m.InputTokens), attribute.Int64("gen_ai.usage.output_tokens", m.OutputTokens),
			attribute.Float64("gatehouse.cost_usd", m.CostUSD))
	}
	if o := e.Out.Outcome; o != "ok" && o != "refused" && o != "canceled" {
		root.SetStatus(codes.Error, o)
	}
	root.End(trace.WithTimestamp(at(e.Out.WallMillis)))
}

func rootName(e *record.Entry) string {
	switch {
	case e.Agent != "":
		return "invoke_agent " + e.Agent
	case e.Method != "":
		return e.Method
	}
	return string(e.Kind)
}

func rootKind(e *record.Entry) trace.SpanKind {
	if e.Kind == record.KindFetch {
		return trace.SpanKindServer
	}
	return trace.SpanKindInternal
}

func rootAttributes(e *record.Entry) []attribute.KeyValue {
	a := []attribute.KeyValue{attribute.String("gatehouse.record.id", e.ID), attribute.String("gatehouse.kind", string(e.Kind)), attribute.String("gatehouse.outcome", e.Out.Outcome)}
	text := func(key, value string) {
		if value != "" {
			a = append(a, attribute.String(key, value))
		}
	}
	if e.Agent != "" {
		a = append(a, attribute.String("gen_ai.operation.name", "invoke_agent"), attribute.String("gen_ai.agent.name", e.Agent))
		text("gen_ai.agent.version", e.Version)
	}
	if e.Kind == record.KindFetch {
		text("http.request.method", e.Method)
		text("url.path", e.Path)
		text("server.address", e.Site)
		text("client.address", e.Who.ClientIP)
		text("user_agent.original", e.Who.UserAgent)
		if e.Out.Status > 0 {
			a = append(a, attribute.Int("http.response.status_code", e.Out.Status))
		}
	}
	text("gatehouse.actor.id", e.Actor)
	text("gatehouse.step", stepName(e))
	text("enduser.id", e.Who.Subject)
	text("gatehouse.verified_agent", e.Who.VerifiedAgent)
	text("gatehouse.refused_by", e.Decided.RefusedBy)
	var chain []string
	for _, h := range e.Chain {
		chain = append(chain, h.Agent)
	}
	text("gatehouse.chain", strings.Join(chain, " -> "))
	a = append(a, attribute.Float64("gatehouse.cpu_ms", e.Out.CPUMillis))
	if e.Out.CostUSD > 0 {
		a = append(a, attribute.Float64("gatehouse.cost_usd", e.Out.CostUSD))
	}
	return a
}

func stepName(e *record.Entry) string {
	if e.Kind == record.KindStep {
		return e.Path
	}
	return ""
}

// stageAttributes are what a stage decided.
func stageAttributes(e *record.Entry, stage string) (a []attribute.KeyValue) {
	text := func(key, value string) {
		if value != "" {
			a = append(a, attribute.String(key, value))
		}
	}
	switch d := e.Decided; stage {
	case "throttle":
		for _, z := range d.Throttle {
			a = append(a, attribute.Int("gatehouse.throttle."+z.Zone+".remaining", z.Remaining))
		}
	case "identity":
		text("gatehouse.identity", d.Identity)
	case "bot_score":
		text("gatehouse.bot", d.Bot)
		if e.Who.BotScore > 0 {
			a = append(a, attribute.Int("gatehouse.bot.score", e.Who.BotScore), attribute.StringSlice("gatehouse.bot.reasons", e.Who.BotReasons))
		}
	case "waf":
		if d.WAF != nil {
			a = append(a, attribute.String("gatehouse.waf.action", d.WAF.Action), attribute.Int("gatehouse.waf.score", d.WAF.Score))
			var rules []int
			for _, r := range d.WAF.Rules {
				rules = append(rules, r.ID)
			}
			if rules != nil {
				a = append(a, attribute.IntSlice("gatehouse.waf.rules", rules))
			}
		}
	case "access":
		text("gatehouse.access", d.Access)
	}
	return a
}

func callName(c record.Call) string {
	switch c.Kind {
	case "actor":
		return "actor " + c.Host + " " + c.Method
	case "service":
		return "call " + c.Host + " " + c.Method
	}
	return c.Method + " " + c.Host
}

func callKind(c record.Call) trace.SpanKind {
	if c.Kind == "egress" || c.Kind == "origin" || c.Kind == "service" {
		return trace.SpanKindClient
	}
	return trace.SpanKindInternal
}

func callFailure(c record.Call) string {
	if c.Decision == "refuse" {
		return "refused: " + cmp.Or(c.Rule, c.Error)
	}
	return c.Error
}

func callAttributes(c record.Call) []attribute.KeyValue {
	a := []attribute.KeyValue{attribute.String("gatehouse.call.kind", c.Kind)}
	if c.Kind == "egress" || c.Kind == "origin" {
		a = append(a, attribute.String("http.request.method", c.Method), attribute.String("server.address", c.Host))
	}
	if c.Status > 0 {
		a = append(a, attribute.Int("http.response.status_code", c.Status))
	}
	if c.Decision != "" {
		a = append(a, attribute.String("gatehouse.egress.decision", c.Decision), attribute.String("gatehouse.egress.rule", c.Rule))
	}
	if c.Error != "" {
		a = append(a, attribute.String("error.type", "error"))
	}
	if c.Actor != "" {
		a = append(a, attribute.String("gatehouse.actor.id", c.Actor))
	}
	return a
}

func toolAttributes(t record.Tool) []attribute.KeyValue {
	a := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "execute_tool"), attribute.String("gen_ai.tool.name", t.Name),
		attribute.String("gen_ai.tool.type", "function"), attribute.String("gatehouse.tool.kind", t.Kind),
	}
	if t.ID != "" {
		a = append(a, attribute.String("gen_ai.tool.call.id", t.ID))
	}
	if t.Host != "" {
		a = append(a, attribute.String("server.address", t.Host))
	}
	if t.Error != "" {
		a = append(a, attribute.String("error.type", "tool_error"))
	}
	return a
}

// severities are the levels of console's methods in OpenTelemetry's numbers.
var severities = map[string]log.Severity{"debug": log.SeverityDebug, "info": log.SeverityInfo, "log": log.SeverityInfo, "warn": log.SeverityWarn, "error": log.SeverityError}

// line makes the log lines of an entry: what its code logged, and the exceptions.
func (x *Exporter) line(e *record.Entry) {
	traceID, _ := trace.TraceIDFromHex(e.Trace())
	own, _ := trace.SpanIDFromHex(e.Span())
	ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: own, TraceFlags: trace.FlagsSampled}))
	emit := func(at time.Time, level log.Severity, text, body string, more ...attribute.KeyValue) {
		var r log.Record
		r.SetTimestamp(at)
		r.SetObservedTimestamp(at)
		r.SetSeverity(level)
		r.SetSeverityText(text)
		r.SetBody(attribute.StringValue(body))
		r.AddAttributes(attribute.String("gen_ai.agent.name", e.Agent), attribute.String("gatehouse.record.id", e.ID))
		r.AddAttributes(more...)
		x.logger.Emit(ctx, r)
	}
	for _, l := range e.Did.Logs {
		emit(l.Time, severities[l.Level], l.Level, l.Message)
	}
	for _, f := range e.Did.Exceptions {
		emit(f.Time, log.SeverityError, "error", f.Name+": "+f.Message,
			attribute.String("exception.type", f.Name), attribute.String("exception.message", f.Message), attribute.String("exception.stacktrace", f.Stack))
	}
}
