package caddymodule

import (
	"errors"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-edge/gatehouse/record"
)

// metrics are in Caddy's registry, and so at its /metrics. Labels are names of the configuration, outcomes and stages: no client can
// make more of them.
type metrics struct {
	records  *prometheus.CounterVec
	refused  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	cpu      *prometheus.CounterVec
	calls    *prometheus.CounterVec
	tools    *prometheus.CounterVec
	tokens   *prometheus.CounterVec
	cost     *prometheus.CounterVec
	unusuals *prometheus.CounterVec

	ended sync.Map // *endings by ending: finding a metric by its labels costs more than counting
}

// ending is how a record can end, and endings what counts that.
type ending struct {
	agent   string
	kind    record.Kind
	outcome string
}

type endings struct {
	records prometheus.Counter
	seconds prometheus.Observer
	cpu     prometheus.Counter
}

func (m *metrics) endings(k ending) *endings {
	if found, ok := m.ended.Load(k); ok {
		return found.(*endings)
	}
	made, _ := m.ended.LoadOrStore(k, &endings{
		m.records.WithLabelValues(k.agent, string(k.kind), k.outcome), m.seconds.WithLabelValues(k.agent, string(k.kind)), m.cpu.WithLabelValues(k.agent),
	})
	return made.(*endings)
}

// newMetrics registers them. Several configurations that share a registry share the metrics.
func newMetrics(r *prometheus.Registry, e *edge) (*metrics, error) {
	const ns, sub = "caddy", "gatehouse"
	opts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}
	}
	m := &metrics{
		records:  prometheus.NewCounterVec(opts("records_total", "Requests, alarms, crons, steps and socket events, by how they ended."), []string{"agent", "kind", "outcome"}),
		refused:  prometheus.NewCounterVec(opts("refused_total", "Requests that a stage ended."), []string{"stage"}),
		cpu:      prometheus.NewCounterVec(opts("cpu_seconds_total", "Processor time that agents' code took."), []string{"agent"}),
		calls:    prometheus.NewCounterVec(opts("calls_total", "What agents called, by kind (egress, actor, service, origin, assets) and result (ok, failed, refused)."), []string{"agent", "kind", "result"}),
		tools:    prometheus.NewCounterVec(opts("tool_calls_total", "Calls of tools, by where they were seen and result (ok, failed)."), []string{"agent", "kind", "result"}),
		tokens:   prometheus.NewCounterVec(opts("tokens_total", "Tokens of models, by direction (input, output)."), []string{"agent", "direction"}),
		cost:     prometheus.NewCounterVec(opts("cost_usd_total", "What models cost by the price table, in US dollars."), []string{"agent"}),
		unusuals: prometheus.NewCounterVec(opts("unusual_total", "Unusual calls, by kind."), []string{"agent", "kind"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "duration_seconds", Help: "From a record's beginning to its end.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"agent", "kind"}),
	}
	var err error
	register := func(c prometheus.Collector) prometheus.Collector {
		if failed := r.Register(c); failed != nil {
			if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](failed); ok {
				return there.ExistingCollector
			}
			err = errors.Join(err, failed)
		}
		return c
	}
	for _, v := range []**prometheus.CounterVec{&m.records, &m.refused, &m.cpu, &m.calls, &m.tools, &m.tokens, &m.cost, &m.unusuals} {
		*v = register(*v).(*prometheus.CounterVec)
	}
	m.seconds = register(m.seconds).(*prometheus.HistogramVec)
	register(prometheus.NewCounterFunc(opts("log_records_dropped_total", "Records that were not logged because the log was behind."), func() float64 { return float64(logQueue().Dropped()) }))
	register(prometheus.NewCounterFunc(opts("tail_records_dropped_total", "Records that readers of the live tail were too slow for."), func() float64 { return float64(tail.DroppedAll()) }))
	register(prometheus.NewCounterFunc(opts("tail_agent_records_dropped_total", "Records that were not handed to tail agents because those were behind."), func() float64 { return float64(e.untailed.Load()) }))
	register(prometheus.NewCounterFunc(opts("audit_entries_dropped_total", "Entries that are not in the audit log."), func() float64 { return float64(e.auditDropped()) }))
	register(prometheus.NewCounterFunc(opts("telemetry_records_dropped_total", "Records that were not sent to the collector."), func() float64 { return float64(e.telemetryDropped()) }))
	return m, err
}

// kinds are those that a call may have, so that the label stays bounded.
var kinds = []string{"egress", "actor", "service", "origin", "assets"}

func (m *metrics) observe(e *record.Entry) {
	ended := m.endings(ending{e.Agent, e.Kind, e.Out.Outcome})
	ended.records.Inc()
	ended.seconds.Observe(e.Out.WallMillis / 1000)
	ended.cpu.Add(e.Out.CPUMillis / 1000)
	if e.Decided.RefusedBy != "" {
		m.refused.WithLabelValues(e.Decided.RefusedBy).Inc()
	}
	if e.Agent == "" {
		return
	}
	for i := range e.Did.Calls {
		c := &e.Did.Calls[i]
		if c.Agent != "" {
			continue // it is in that agent's own record
		}
		result, kind := "ok", c.Kind
		switch {
		case c.Decision == "refuse":
			result = "refused"
		case c.Error != "" || c.Status >= 500:
			result = "failed"
		}
		if !slices.Contains(kinds, kind) {
			kind = "other"
		}
		m.calls.WithLabelValues(e.Agent, kind, result).Inc()
	}
	for _, t := range e.Did.Tools {
		if t.Agent != "" {
			continue
		}
		result := "ok"
		if t.Error != "" {
			result = "failed"
		}
		m.tools.WithLabelValues(e.Agent, t.Kind, result).Inc()
	}
	for _, x := range e.Did.Models {
		m.tokens.WithLabelValues(e.Agent, "input").Add(float64(x.InputTokens))
		m.tokens.WithLabelValues(e.Agent, "output").Add(float64(x.OutputTokens))
	}
	if e.Out.CostUSD > 0 {
		m.cost.WithLabelValues(e.Agent).Add(e.Out.CostUSD)
	}
}
