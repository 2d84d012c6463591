package record

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogSink writes each entry as one structured event to a zap logger: the message is the record's kind, the fields are
// the entry's parts, empty ones left out.
type LogSink struct{ Logger *zap.Logger }

// Emit writes the entry at info level, at error level when the code failed.
func (s LogSink) Emit(e *Entry) {
	level := zapcore.InfoLevel
	if len(e.Did.Exceptions) > 0 {
		level = zapcore.ErrorLevel
	}
	if c := s.Logger.Check(level, string(e.Kind)); c != nil {
		c.Write(zap.Inline(e))
	}
}

// MarshalLogObject writes the entry's fields.
func (e *Entry) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("id", e.ID)
	addString(enc, "trace_id", e.TraceID)
	addString(enc, "parent_id", e.ParentID)
	addString(enc, "site", e.Site)
	addString(enc, "method", e.Method)
	addString(enc, "path", e.Path)
	addString(enc, "agent", e.Agent)
	addString(enc, "version", e.Version)
	addString(enc, "actor", e.Actor)
	addString(enc, "client_ip", e.Who.ClientIP)
	addString(enc, "user_agent", e.Who.UserAgent)
	addString(enc, "verified_agent", e.Who.VerifiedAgent)
	addString(enc, "verified_bot", e.Who.VerifiedBot)
	addString(enc, "subject", e.Who.Subject)
	addString(enc, "ja4", e.Who.JA4)
	if e.Who.BotScore > 0 {
		enc.AddInt("bot_score", e.Who.BotScore)
		if len(e.Who.BotReasons) > 0 {
			zap.Strings("bot_reasons", e.Who.BotReasons).AddTo(enc)
		}
	}
	addString(enc, "refused_by", e.Decided.RefusedBy)
	if len(e.Decided.Shadow) > 0 {
		zap.Reflect("shadow", e.Decided.Shadow).AddTo(enc)
	}
	addString(enc, "bot", e.Decided.Bot)
	addString(enc, "bot_tag", e.Decided.BotTag)
	addString(enc, "identity", e.Decided.Identity)
	addString(enc, "access", e.Decided.Access)
	addString(enc, "challenge", e.Decided.Challenge)
	if len(e.Decided.Throttle) > 0 {
		zap.Reflect("throttle", e.Decided.Throttle).AddTo(enc)
	}
	if len(e.Decided.Budgets) > 0 {
		zap.Reflect("budgets", e.Decided.Budgets).AddTo(enc)
	}
	if e.Decided.WAF != nil {
		zap.Reflect("waf", e.Decided.WAF).AddTo(enc)
	}
	if len(e.Chain) > 0 {
		zap.Reflect("chain", e.Chain).AddTo(enc)
	}
	enc.AddBool("ran", e.Did.Ran)
	if len(e.Did.Calls) > 0 {
		zap.Objects("calls", e.Did.Calls).AddTo(enc)
	}
	if len(e.Did.Tools) > 0 {
		zap.Reflect("tools", e.Did.Tools).AddTo(enc)
	}
	if len(e.Did.Models) > 0 {
		zap.Reflect("models", e.Did.Models).AddTo(enc)
	}
	if e.Did.Storage != (Storage{}) {
		zap.Reflect("storage", e.Did.Storage).AddTo(enc)
	}
	if len(e.Did.Logs) > 0 {
		zap.Reflect("logs", e.Did.Logs).AddTo(enc)
	}
	if len(e.Did.Exceptions) > 0 {
		zap.Reflect("exceptions", e.Did.Exceptions).AddTo(enc)
	}
	if e.Did.Points > 0 {
		enc.AddInt("points", e.Did.Points)
	}
	if e.Out.Status > 0 {
		enc.AddInt("status", e.Out.Status)
	}
	enc.AddString("outcome", e.Out.Outcome)
	enc.AddFloat64("cpu_ms", e.Out.CPUMillis)
	enc.AddFloat64("wall_ms", e.Out.WallMillis)
	enc.AddInt64("bytes", e.Out.Bytes)
	if e.Out.Subrequests > 0 {
		enc.AddInt("subrequests", e.Out.Subrequests)
	}
	if e.Out.CostUSD > 0 {
		enc.AddFloat64("cost_usd", e.Out.CostUSD)
	}
	addInt(enc, "dropped", int64(e.Dropped))
	addInt(enc, "attempt", int64(e.Attempt))
	if e.Out.LogsDropped > 0 {
		enc.AddInt("logs_dropped", e.Out.LogsDropped)
	}
	return nil
}

// MarshalLogObject writes the call's fields. Nearly every record has a call, and reflection would cost as much as the rest.
func (c Call) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("kind", c.Kind)
	addString(enc, "agent", c.Agent)
	addString(enc, "host", c.Host)
	addString(enc, "method", c.Method)
	addString(enc, "actor", c.Actor)
	addString(enc, "span", c.Span)
	enc.AddFloat64("start_ms", c.Start)
	addInt(enc, "status", int64(c.Status))
	addInt(enc, "bytes_out", c.BytesOut)
	addInt(enc, "bytes_in", c.BytesIn)
	enc.AddFloat64("ms", c.Millis)
	addString(enc, "decision", c.Decision)
	addString(enc, "rule", c.Rule)
	addString(enc, "error", c.Error)
	if c.First {
		enc.AddBool("first", true)
	}
	addStrings(enc, "injected", c.Injected)
	addStrings(enc, "found", c.Found)
	return nil
}

func addStrings(enc zapcore.ObjectEncoder, key string, values []string) {
	if len(values) > 0 {
		zap.Strings(key, values).AddTo(enc)
	}
}

func addInt(enc zapcore.ObjectEncoder, key string, value int64) {
	if value != 0 {
		enc.AddInt64(key, value)
	}
}

func addString(enc zapcore.ObjectEncoder, key, value string) {
	if value != "" {
		enc.AddString(key, value)
	}
}
