package caddymodule

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/otlp"
	"github.com/gatehouse-edge/gatehouse/record/toolcall"
)

// RecordsConfig says what records hold and which are written.
type RecordsConfig struct {
	// Sample is the part of the records of what went well that is logged and exported, over 0 and up to 1; default 1. What failed or was
	// refused is always there, and so are tail, audit log, metrics and page.
	Sample float64 `json:"sample,omitempty"`
	// Redact are regular expressions (RE2); what matches is struck out of every text.
	Redact []string `json:"redact,omitempty"`
	// ToolText keeps what tools were given and gave as text, without the secrets that code has been given, in place of its digest.
	ToolText bool `json:"tool_text,omitempty"`
	// Prices is the file of models' prices; default: none, and no cost.
	Prices string `json:"prices,omitempty"`
	// Keep and Memory are how many records, and how many bytes of them, the page can look back at; default 10,000 and 64 MiB.
	Keep   int    `json:"keep,omitempty"`
	Memory int64  `json:"memory,omitempty"`
	Place  string `json:"place,omitempty"`
}

// maxKeep is the most records that the page may look back at.
const maxKeep = 1_000_000

// parseRecords reads the option records.
//
//	records {
//		sample <percent>%
//		redact <regexp>...
//		tool_text
//		prices <file>
//		keep <number>
//		memory <size>
//	}
func parseRecords(d *caddyfile.Dispenser) (*RecordsConfig, error) {
	c := &RecordsConfig{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "sample":
			c.Sample, err = percentArg(d)
		case "redact":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return nil, d.ArgErr()
			}
			for _, text := range args {
				if _, err := regexp.Compile(text); err != nil {
					return nil, d.Errf("redact %s: %v", text, err)
				}
			}
			c.Redact = append(c.Redact, args...)
		case "tool_text":
			err = noArgs(d)
			c.ToolText = true
		case "prices":
			c.Prices, err = oneArg(d)
		case "keep":
			c.Keep, err = intArg(d, 1, maxKeep)
		case "memory":
			c.Memory, err = sizeArg(d)
		default:
			return nil, unknownOption(d, "records", "sample, redact, tool_text, prices, keep and memory")
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// percentArg reads a part such as 10%, over 0 and up to 1.
func percentArg(d *caddyfile.Dispenser) (float64, error) {
	text, err := oneArg(d)
	if err != nil {
		return 0, err
	}
	n, err := parsePercent(text)
	if err != nil {
		return 0, d.WrapErr(err)
	}
	return n, nil
}

func parsePercent(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(n > 0 && n <= 100) {
		return 0, fmt.Errorf("%q is not a part over 0%% and up to 100%%; write it like 10%%", text)
	}
	return n / 100, nil
}

// logQueue stands before the log, whose reader may be slow.
var logQueue = sync.OnceValue(func() *record.Queue { return record.NewQueue(0) })

// outlets are where the records of one configuration go.
type outlets struct {
	edge     *edge
	redact   record.Redaction
	sample   float64
	toolText bool
	prices   toolcall.Prices
	log      record.Sink
	otlp     *otlp.Exporter // nil: none
	audit    *auditLog      // nil: none
	metrics  *metrics
	unusual  *unusual
}

// newOutlets makes those of the app's configuration. Nothing is written before Start.
func (a *App) newOutlets() (*outlets, error) {
	o := &outlets{edge: a.edge, sample: 1, log: logQueue().To(record.LogSink{Logger: a.logger})}
	if c := a.Records; c != nil {
		if c.Sample != 0 {
			o.sample = c.Sample
		}
		if o.sample < 0 || o.sample > 1 {
			return nil, at(c.Place, "records: sample: %v is not over 0 and up to 1", c.Sample)
		}
		if c.Keep < 0 || c.Keep > maxKeep {
			return nil, at(c.Place, "records: keep: %d is not from 1 to %d", c.Keep, maxKeep)
		}
		for _, text := range c.Redact {
			p, err := regexp.Compile(text)
			if err != nil {
				return nil, at(c.Place, "records: redact %s: %w", text, err)
			}
			o.redact = append(o.redact, p)
		}
		o.toolText = c.ToolText
		if c.Prices != "" {
			path, err := a.path(c.Prices)
			if err == nil {
				o.prices, err = toolcall.ReadPrices(path)
			}
			if err != nil {
				return nil, at(c.Place, "records: %w", err)
			}
		}
	}
	var err error
	if o.metrics, err = newMetrics(a.ctx.GetMetricsRegistry(), a.edge); err != nil {
		return nil, err
	}
	if o.audit, err = a.takeAudit(); err != nil {
		return nil, err
	}
	if o.otlp, err = a.takeTelemetry(); err != nil {
		return nil, err
	}
	if o.unusual, err = a.newUnusual(); err != nil {
		return nil, err
	}
	o.unusual.metrics = o.metrics
	return o, nil
}

// Emit hands a record to every sink. None of them waits for anything.
func (o *outlets) Emit(e *record.Entry) {
	o.redact.Strike(e)
	o.metrics.observe(e)
	tail.Emit(e)
	if recent := o.edge.recent.Load(); recent != nil {
		recent.Emit(e)
	}
	if o.audit != nil {
		o.audit.append(e)
	}
	o.unusual.observe(e)
	if o.sample == 1 || e.Decided.RefusedBy != "" || e.Out.Outcome != "ok" || e.Out.Status >= 500 || e.Sampled(o.sample) {
		o.log.Emit(e)
		if o.otlp != nil {
			o.otlp.Emit(e)
		}
	}
	tailAgents{o.edge}.Emit(e)
}

// text is what a record holds of what a tool was given, or gave.
func (o *outlets) text(redact func(string) string) func(string) string {
	return func(s string) string {
		if o.toolText {
			return redact(s)
		}
		sum := sha256.Sum256([]byte(s))
		return "sha256:" + hex.EncodeToString(sum[:8])
	}
}

// open begins a record that goes to these outlets.
func (o *outlets) open(kind record.Kind) *record.Record { return record.Open(kind, time.Now(), o) }

// watch follows one exchange of bodies for tools and models.
func (o *outlets) watch(redact func(string) string) *toolcall.Exchange {
	return &toolcall.Exchange{Text: o.text(redact), Redact: redact}
}

// note writes what an exchange was found to hold into the record. ended is when its answer did.
func (o *outlets) note(rec *record.Record, direction, host string, begun time.Time) func(toolcall.Found) {
	return func(f toolcall.Found) {
		took := time.Since(begun)
		rec.Write(func(e *record.Entry) {
			start := e.Since(begun)
			f.Place(direction, host, start, took)
			for _, t := range toolcall.Merge(e.Did.Tools, f.Results, start) {
				t.Direction, t.Start = direction, start
				e.AddTool(t)
			}
			for _, t := range f.Tools {
				e.AddTool(t)
			}
			for _, m := range f.Models {
				m.CostUSD = o.prices.Cost(m)
				e.AddModel(m)
			}
		})
	}
}
