package otlp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-edge/gatehouse/record"
)

// scope is the name of the instrumentation.
const scope = "github.com/gatehouse-edge/gatehouse"

// Config says what is sent where. An exporter that is nil sends nothing.
type Config struct {
	Traces   sdktrace.SpanExporter
	Logs     sdklog.Exporter
	Resource *resource.Resource
	// Queue is how many records may wait, 4,096 by default; more are dropped and counted.
	Queue int
	// Every is how often what waits is sent, a second by default.
	Every time.Duration
	// Report is told of what went wrong; nil: nobody is.
	Report func(error)
}

// Exporter is a record.Sink. Close ends it.
type Exporter struct {
	cfg     Config
	queue   chan *record.Entry
	stop    chan struct{}
	done    sync.WaitGroup
	dropped atomic.Int64

	// Of the goroutine that sends.
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	logs     *sdklog.LoggerProvider
	logger   log.Logger
	spans    []sdktrace.ReadOnlySpan
	lines    []sdklog.Record
	entries  int
}

// maxSend is how many records one message tells of.
const maxSend = 512

// New starts an exporter.
func New(c Config) *Exporter {
	if c.Queue == 0 {
		c.Queue = 4096
	}
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Report == nil {
		c.Report = func(error) {}
	}
	if c.Resource == nil {
		c.Resource = resource.Default()
	}
	x := &Exporter{cfg: c, queue: make(chan *record.Entry, c.Queue), stop: make(chan struct{})}
	x.provider = sdktrace.NewTracerProvider(sdktrace.WithIDGenerator(givenIDs{}), sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(c.Resource), sdktrace.WithSpanProcessor(spanCollector{x}))
	x.tracer = x.provider.Tracer(scope)
	x.logs = sdklog.NewLoggerProvider(sdklog.WithResource(c.Resource), sdklog.WithProcessor(lineCollector{x}))
	x.logger = x.logs.Logger(scope)
	x.done.Go(x.run)
	return x
}

// Emit takes an entry, or drops it where too many wait.
func (x *Exporter) Emit(e *record.Entry) {
	if e.Unsampled {
		return
	}
	select {
	case x.queue <- e:
	default:
		x.dropped.Add(1)
	}
}

// Dropped says how many records were not sent since the start.
func (x *Exporter) Dropped() int64 { return x.dropped.Load() }

// Close sends what waits and ends the exporter and those it was given.
func (x *Exporter) Close(ctx context.Context) {
	close(x.stop)
	x.done.Wait()
	_ = x.provider.Shutdown(ctx)
	_ = x.logs.Shutdown(ctx)
	if x.cfg.Traces != nil {
		_ = x.cfg.Traces.Shutdown(ctx)
	}
	if x.cfg.Logs != nil {
		_ = x.cfg.Logs.Shutdown(ctx)
	}
}

func (x *Exporter) run() {
	every := time.NewTicker(x.cfg.Every)
	defer every.Stop()
	for {
		select {
		case e := <-x.queue:
			x.add(e)
			if x.entries >= maxSend {
				x.send()
			}
		case <-every.C:
			x.send()
		case <-x.stop:
			for {
				select {
				case e := <-x.queue:
					x.add(e)
					continue
				default:
				}
				break
			}
			x.send()
			return
		}
	}
}

// add makes an entry's spans and lines; the collectors take them.
func (x *Exporter) add(e *record.Entry) {
	x.entries++
	if x.cfg.Traces != nil {
		x.span(e)
	}
	if x.cfg.Logs != nil {
		x.line(e)
	}
}

// send hands over what was made. The exporters try again by themselves; what they give up is dropped.
func (x *Exporter) send() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	failed := false
	if len(x.spans) > 0 {
		if err := x.cfg.Traces.ExportSpans(ctx, x.spans); err != nil {
			failed = true
			x.cfg.Report(fmt.Errorf("telemetry: %d spans of %d records were not taken: %w", len(x.spans), x.entries, err))
		}
	}
	if len(x.lines) > 0 {
		if err := x.cfg.Logs.Export(ctx, x.lines); err != nil {
			failed = true
			x.cfg.Report(fmt.Errorf("telemetry: %d log lines of %d records were not taken: %w", len(x.lines), x.entries, err))
		}
	}
	if failed {
		x.dropped.Add(int64(x.entries))
	}
	clear(x.spans)
	clear(x.lines)
	x.spans, x.lines, x.entries = x.spans[:0], x.lines[:0], 0
}

// idKey has the ids of the span that is begun next.
type idKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// givenIDs gives spans the ids that records have already told others.
type givenIDs struct{}

func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	given, _ := ctx.Value(idKey{}).(ids)
	return given.trace, given.span
}

func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	given, _ := ctx.Value(idKey{}).(ids)
	return given.span
}

// spanCollector takes spans as they end.
type spanCollector struct{ x *Exporter }

func (spanCollector) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c spanCollector) OnEnd(s sdktrace.ReadOnlySpan)                 { c.x.spans = append(c.x.spans, s) }
func (spanCollector) Shutdown(context.Context) error                  { return nil }
func (spanCollector) ForceFlush(context.Context) error                { return nil }

// lineCollector takes log lines.
type lineCollector struct{ x *Exporter }

func (c lineCollector) OnEmit(_ context.Context, r *sdklog.Record) error {
	c.x.lines = append(c.x.lines, r.Clone())
	return nil
}
func (lineCollector) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }
func (lineCollector) Shutdown(context.Context) error                         { return nil }
func (lineCollector) ForceFlush(context.Context) error                       { return nil }
