package caddymodule

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/gatehouse-edge/gatehouse/record/otlp"
)

// TelemetryConfig sends records to an OpenTelemetry collector. Where that is, the environment says, as for Caddy's own tracing:
// OTEL_EXPORTER_OTLP_ENDPOINT and the others of the specification
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
type TelemetryConfig struct {
	Traces bool   `json:"traces,omitempty"`
	Logs   bool   `json:"logs,omitempty"`
	Place  string `json:"place,omitempty"`
}

// parseTelemetry reads the option telemetry.
//
//	telemetry [traces] [logs]
//
// Without an argument it is both.
func parseTelemetry(d *caddyfile.Dispenser) (*TelemetryConfig, error) {
	c := &TelemetryConfig{Place: place(d)}
	args := d.RemainingArgs()
	for _, a := range args {
		switch a {
		case "traces":
			c.Traces = true
		case "logs":
			c.Logs = true
		default:
			return nil, d.Errf("telemetry %s: it takes traces and logs; where the collector is, the environment says: OTEL_EXPORTER_OTLP_ENDPOINT", a)
		}
	}
	if len(args) == 0 {
		c.Traces, c.Logs = true, true
	}
	if d.NextBlock(d.Nesting()) {
		return nil, d.Err("telemetry has no block; where the collector is, the environment says: OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	return c, nil
}

// telemetryPool holds the exporters by what they send, across reloads.
var telemetryPool = caddy.NewUsagePool()

type telemetry struct{ *otlp.Exporter }

// Destruct sends what waits.
func (t telemetry) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	t.Close(ctx)
	return nil
}

// takeTelemetry is the exporter of the configuration, nil for none.
func (a *App) takeTelemetry() (*otlp.Exporter, error) {
	c := a.Telemetry
	if c == nil {
		return nil, nil
	}
	t, err := take(a, telemetryPool, fmt.Sprintf("%t %t", c.Traces, c.Logs), func() (telemetry, error) {
		cfg := otlp.Config{Report: func(err error) { caddy.Log().Named("gatehouse").Error(err.Error()) }}
		ctx := context.Background()
		var err error
		if c.Traces {
			if cfg.Traces, err = autoexport.NewSpanExporter(ctx); err != nil {
				return telemetry{}, err
			}
		}
		if c.Logs {
			if cfg.Logs, err = autoexport.NewLogExporter(ctx); err != nil {
				return telemetry{}, err
			}
		}
		version, _ := caddy.Version()
		if cfg.Resource, err = resource.Merge(resource.Default(), resource.NewSchemaless(attribute.String("service.name", "gatehouse"), attribute.String("service.version", version))); err != nil {
			return telemetry{}, err
		}
		if env, err := resource.New(ctx, resource.WithFromEnv()); err == nil { // OTEL_SERVICE_NAME goes before
			if cfg.Resource, err = resource.Merge(cfg.Resource, env); err != nil {
				return telemetry{}, err
			}
		}
		return telemetry{otlp.New(cfg)}, nil
	})
	if err != nil {
		return nil, at(c.Place, "telemetry: %w", err)
	}
	return t.Exporter, nil
}

// telemetryDropped says how many records were not sent.
func (e *edge) telemetryDropped() (n int64) {
	telemetryPool.Range(func(_, v any) bool {
		n += v.(telemetry).Dropped()
		return true
	})
	return n
}
