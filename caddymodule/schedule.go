package caddymodule

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/adhocore/gronx"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/record"
)

// cron is one schedule: as the configuration writes it, and as gronx evaluates it.
type cron struct{ text, expr string }

// schedule runs the scheduled handlers of the releases in charge, at the minutes that their cron expressions name. A
// minute in which no server runs is not made up for, as on Workers.
type schedule struct {
	edge *edge
	stop context.CancelFunc
	done sync.WaitGroup
}

func newSchedule(e *edge) *schedule {
	ctx, cancel := context.WithCancel(context.Background())
	s := &schedule{edge: e, stop: cancel}
	s.done.Go(func() { s.run(ctx) })
	return s
}

// close stops the schedule and waits for the handlers that run.
func (s *schedule) close() {
	s.stop()
	s.done.Wait()
}

func (s *schedule) run(ctx context.Context) {
	for {
		next := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		for _, rel := range s.edge.releases() {
			for _, c := range rel.crons {
				if due, err := gronx.New().IsDue(c.expr, next); err == nil && due {
					s.done.Go(func() { runScheduled(ctx, s.edge, rel, c.text, next) })
				}
			}
		}
	}
}

// runScheduled runs one agent's scheduled handler once, with a record of its own, and returns its outcome.
func runScheduled(ctx context.Context, e *edge, rel *release, expr string, at time.Time) agentruntime.Outcome {
	rec := e.openRecord(record.KindScheduled, rel)
	rec.Write(func(x *record.Entry) { x.Path, x.Did.Ran = expr, true })
	h := &host{rel: rel, rec: rec, leases: new(leases)}
	rep := rel.agent.Scheduled(ctx, h, expr, at).Wait()
	finish(rec, rep, true)
	h.leases.close()
	rec.Release(time.Now())
	return rep.Outcome
}

// tailAgents is the sink that hands records to the tail agents of the agent they are about.
type tailAgents struct{ edge *edge }

// tailRunning bounds how many tail handlers run at once; records past it are not handed on, and the log says so.
var tailRunning = make(chan struct{}, 64)

// Emit runs the tail handlers in the background. The record of a tail handler is not handed on.
func (t tailAgents) Emit(e *record.Entry) {
	if e.Agent == "" || e.Kind == record.KindTail {
		return
	}
	rel := t.edge.current(e.Agent)
	if rel == nil || len(rel.config.Tail) == 0 {
		return
	}
	select {
	case tailRunning <- struct{}{}:
	default:
		if t.edge.untailed.Add(1) == 1 {
			t.edge.log().Warn("tail agents are behind; records are not handed on. Their number is the metric caddy_gatehouse_tail_agent_records_dropped_total", zap.String("agent", e.Agent), zap.String("id", e.ID))
		}
		return
	}
	t.edge.work.Go(func() {
		defer func() { <-tailRunning }()
		events, err := json.Marshal([]record.TraceItem{e.Item()})
		if err != nil {
			t.edge.log().Error("record could not be handed to tail agents", zap.Error(err))
			return
		}
		for _, name := range rel.config.Tail {
			to := t.edge.current(name)
			if to == nil {
				continue
			}
			rec := t.edge.openRecord(record.KindTail, to)
			rec.Write(func(x *record.Entry) { x.Did.Ran = true })
			h := &host{rel: to, rec: rec, leases: new(leases)}
			finish(rec, to.agent.Tail(context.Background(), h, events).Wait(), true)
			h.leases.close()
			rec.Release(time.Now())
		}
	})
}

var _ agentruntime.Host = (*host)(nil)
