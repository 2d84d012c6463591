package record

import (
	"strings"
	"time"
)

// TraceItem is what a tail handler receives of one invocation, in the shape of Cloudflare's TraceItem
// (https://developers.cloudflare.com/workers/runtime-apis/handlers/tail/). Times are milliseconds since 1970.
type TraceItem struct {
	ScriptName               string           `json:"scriptName"`
	ScriptVersion            map[string]any   `json:"scriptVersion"`
	EventTimestamp           int64            `json:"eventTimestamp"`
	Event                    map[string]any   `json:"event"`
	Outcome                  string           `json:"outcome"`
	Logs                     []traceLog       `json:"logs"`
	Exceptions               []traceException `json:"exceptions"`
	DiagnosticsChannelEvents []any            `json:"diagnosticsChannelEvents"`
	CPUTime                  float64          `json:"cpuTime"`
	WallTime                 float64          `json:"wallTime"`
	Truncated                bool             `json:"truncated"`
	ExecutionModel           string           `json:"executionModel"` // stateless, durableObject or workflow
	DurableObjectID          string           `json:"durableObjectId,omitempty"`
	// Record is the whole record, beyond Cloudflare's shape.
	Record *Entry `json:"gatehouse"`
}

type traceLog struct {
	Timestamp int64    `json:"timestamp"`
	Level     string   `json:"level"`
	Message   []string `json:"message"`
}

type traceException struct {
	Timestamp int64  `json:"timestamp"`
	Name      string `json:"name"`
	Message   string `json:"message"`
	Stack     string `json:"stack,omitempty"`
}

// Item gives e in the shape of a TraceItem.
func (e *Entry) Item() TraceItem {
	t := TraceItem{
		ScriptName:               e.Agent,
		ScriptVersion:            map[string]any{"id": e.Version},
		EventTimestamp:           e.Time.UnixMilli(),
		Outcome:                  e.Out.Outcome,
		Logs:                     []traceLog{},
		Exceptions:               []traceException{},
		DiagnosticsChannelEvents: []any{},
		CPUTime:                  e.Out.CPUMillis,
		WallTime:                 e.Out.WallMillis,
		Truncated:                e.Out.LogsDropped > 0,
		Record:                   e,
		ExecutionModel:           "stateless",
		DurableObjectID:          e.Actor,
	}
	switch {
	case e.Kind == KindStep:
		t.ExecutionModel = "workflow"
	case e.Actor != "":
		t.ExecutionModel = "durableObject"
	}
	switch e.Kind {
	case KindAlarm:
		t.Event = map[string]any{"scheduledTime": e.Time.Format(time.RFC3339Nano)}
	case KindScheduled:
		t.Event = map[string]any{"cron": e.Path, "scheduledTime": e.Time.UnixMilli()}
	case KindSocket:
		t.Event = map[string]any{"getWebSocketEvent": map[string]any{"webSocketEventType": e.Method}}
	case KindCall:
		t.Event = map[string]any{"rpcMethod": e.Method}
	case KindStep:
		t.Event = map[string]any{"stepName": e.Path}
	default:
		headers := map[string]string{}
		for name, values := range e.Header {
			headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		t.Event = map[string]any{
			"request":  map[string]any{"url": "https://" + e.Site + e.Path, "method": e.Method, "headers": headers, "cf": map[string]any{}},
			"response": map[string]any{"status": e.Out.Status},
		}
	}
	for _, l := range e.Did.Logs {
		t.Logs = append(t.Logs, traceLog{l.Time.UnixMilli(), l.Level, []string{l.Message}})
	}
	for _, x := range e.Did.Exceptions {
		t.Exceptions = append(t.Exceptions, traceException{x.Time.UnixMilli(), x.Name, x.Message, x.Stack})
	}
	return t
}
