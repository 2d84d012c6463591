// Package otlp sends records to an OpenTelemetry collector, as spans and log lines. A record is a span with the record's own id; its
// stages, calls, tools and models are spans below it. Names and attributes are those of OpenTelemetry's conventions for HTTP
// (https://opentelemetry.io/docs/specs/semconv/http/) and for generative AI (https://opentelemetry.io/docs/specs/semconv/gen-ai/),
// and gatehouse.* for what neither has.
//
// It must not know where the collector is: its exporters are given to it.
package otlp
