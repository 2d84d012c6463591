package caddymodule

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/baseline"
)

// UnusualConfig says what is unusual of an agent, and who is told besides the log.
type UnusualConfig struct {
	// Learn is how long after an agent's first record nothing but a burst of refusals is unusual; default 10 minutes.
	Learn caddy.Duration `json:"learn,omitempty"`
	// Factor is how many times the usual rate or cost is unusual; default 5.
	Factor float64 `json:"factor,omitempty"`
	// Refusals is how many refusals in a minute are a burst; default 20.
	Refusals int `json:"refusals,omitempty"`
	// Webhooks are addresses that each event is sent to, as JSON by POST, through the egress policy Egress.
	Webhooks []string `json:"webhooks,omitempty"`
	Egress   string   `json:"egress,omitempty"`
	Place    string   `json:"place,omitempty"`
}

// parseUnusual reads the option unusual.
//
//	unusual {
//		learn <duration>
//		factor <number>
//		refusals <number>
//		webhook <url>
//		egress <policy>
//	}
func parseUnusual(d *caddyfile.Dispenser) (*UnusualConfig, error) {
	c := &UnusualConfig{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "learn":
			c.Learn, err = durationArg(d)
		case "factor":
			var text string
			if text, err = oneArg(d); err == nil {
				if c.Factor, err = strconv.ParseFloat(text, 64); err != nil || !(c.Factor > 1 && c.Factor <= 1000) {
					err = d.Errf("factor %s: give a number over 1 and up to 1000", text)
				}
			}
		case "refusals":
			c.Refusals, err = intArg(d, 1, 1_000_000)
		case "webhook":
			var text string
			if text, err = oneArg(d); err == nil {
				c.Webhooks = append(c.Webhooks, text)
			}
		case "egress":
			c.Egress, err = oneArg(d)
		default:
			return nil, unknownOption(d, "unusual", "learn, factor, refusals, webhook and egress")
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// baselineNamespace is the namespace of the actors that keep what is usual: one for each agent.
const baselineNamespace = "gatehouse/baseline"

var baselineActors = durable.NewNamespace(baselineNamespace)

const baselineKey = "usual"

// unusual follows the agents of one configuration. What is usual for them outlives it, in the edge.
type unusual struct {
	cfg     baseline.Config
	edge    *edge
	logger  *zap.Logger
	metrics *metrics
	hooks   []string
	policy  *egress.Policy // nil: no webhooks
	queue   *record.Queue
}

// watches are the edge's, by agent.
type watches struct {
	by     sync.Map // *baseline.Watch
	mu     sync.Mutex
	events []baseline.Event // the last ones, for the page
}

// maxEvents is how many events the page can look back at.
const maxEvents = 500

func (a *App) newUnusual() (*unusual, error) {
	c := cmp.Or(a.Unusual, &UnusualConfig{})
	u := &unusual{
		cfg:  baseline.Config{Learn: time.Duration(c.Learn), Factor: c.Factor, Refusals: c.Refusals},
		edge: a.edge, logger: a.logger, hooks: c.Webhooks, queue: baselineQueue(),
	}
	for _, hook := range c.Webhooks {
		if to, err := url.Parse(hook); err != nil || to.Scheme != "https" && to.Scheme != "http" || to.Host == "" {
			return nil, at(c.Place, "unusual: webhook %s: it is no http or https address", hook)
		}
	}
	switch {
	case len(c.Webhooks) > 0 && c.Egress == "":
		return nil, at(c.Place, "unusual: a webhook goes out through an egress policy; name one that allows its host: egress NAME (there are: %s)", names(a.Egress))
	case c.Egress == "":
		return u, nil
	case a.Egress[c.Egress] == nil:
		return nil, at(c.Place, "unusual: egress %s: no such policy; define it with: egress %s { ... } (there are: %s)", c.Egress, c.Egress, names(a.Egress))
	}
	policy, err := a.egressPolicy(c.Egress, "")
	if err != nil {
		return nil, err
	}
	u.policy = policy
	a.pooled = append(a.pooled, func() error {
		policy.Close()
		return nil
	})
	return u, nil
}

// baselineQueue stands before the baselines, which are read from the store at an agent's first record.
var baselineQueue = sync.OnceValue(func() *record.Queue { return record.NewQueue(0) })

func (u *unusual) observe(e *record.Entry) {
	if e.Agent == "" || e.Kind == record.KindTail {
		return
	}
	if w, ok := u.edge.watches.by.Load(e.Agent); ok {
		u.say(w.(*baseline.Watch).Observe(e))
		return
	}
	u.queue.To(u).Emit(e)
}

// Emit looks at the first record of an agent, on the queue's goroutine: what is usual is read from the store.
func (u *unusual) Emit(e *record.Entry) {
	if w := u.edge.watch(e.Agent, u.cfg); w != nil {
		u.say(w.Observe(e))
	}
}

// say tells of events.
func (u *unusual) say(events []baseline.Event) {
	for _, ev := range events {
		u.metrics.unusuals.WithLabelValues(ev.Agent, ev.Kind).Inc()
		u.logger.Warn("unusual", zap.String("kind", ev.Kind), zap.String("agent", ev.Agent), zap.String("what", ev.What), zap.String("name", ev.Name),
			zap.Float64("value", ev.Value), zap.Float64("usual", ev.Usual), zap.String("record", ev.Record))
		u.edge.addEvent(ev)
		if u.policy != nil {
			u.edge.work.Go(func() { u.tell(ev) })
		}
	}
}

// telling bounds how many webhooks are under way.
var telling = make(chan struct{}, 16)

// tell sends an event to each webhook, and tries again twice.
func (u *unusual) tell(ev baseline.Event) {
	select {
	case telling <- struct{}{}:
		defer func() { <-telling }()
	default:
		u.logger.Error("an event was not sent: webhooks are behind", zap.String("kind", ev.Kind), zap.String("agent", ev.Agent))
		return
	}
	body, err := json.Marshal(ev)
	if err != nil {
		return
	}
	for _, hook := range u.hooks {
		for try := range 3 {
			if err = u.post(hook, body); err == nil {
				break
			}
			if _, refused := errors.AsType[*egress.Refusal](err); refused {
				break
			}
			time.Sleep(time.Duration(try) * time.Second)
		}
		if err != nil {
			u.logger.Error("an event could not be sent", zap.String("kind", ev.Kind), zap.String("agent", ev.Agent), zap.Error(err))
		}
	}
}

func (u *unusual) post(hook string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := u.policy.Do(ctx, req, egress.Options{})
	if err != nil {
		return err
	}
	defer res.Response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Response.Body, 64<<10))
	if res.Response.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook at %s answered %s", res.URL.Host, res.Response.Status)
	}
	return nil
}

// watch is the agent's, read from the store at its first use. It is nil where the store is not open.
func (e *edge) watch(agent string, c baseline.Config) *baseline.Watch {
	if w, ok := e.watches.by.Load(agent); ok {
		return w.(*baseline.Watch)
	}
	var usual baseline.Baseline
	err := e.keepBaseline(agent, func(ctx context.Context, s *durable.Storage) error {
		b, found, err := s.Get(ctx, baselineKey)
		if err != nil || !found {
			return err
		}
		return json.Unmarshal(b, &usual)
	})
	if err != nil {
		return nil
	}
	w := baseline.NewWatch(agent, usual, c)
	e.watches.by.Store(agent, w) // the queue's goroutine is the only one that comes here
	return w
}

func (e *edge) keepBaseline(agent string, f func(ctx context.Context, s *durable.Storage) error) error {
	if err := e.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return doStrict(ctx, e.directory, baselineActors, agent, "", func(s *durable.Storage) error { return f(ctx, s) })
}

// configure has the agents that are followed already be followed by another configuration.
func (e *edge) configure(c baseline.Config) {
	e.watches.by.Range(func(_, w any) bool {
		w.(*baseline.Watch).Configure(c)
		return true
	})
}

// saveBaselines writes what is usual down, where that has changed.
func (e *edge) saveBaselines() {
	e.watches.by.Range(func(key, w any) bool {
		name := key.(string)
		usual, changed := w.(*baseline.Watch).Changed()
		if !changed {
			return true
		}
		b, err := json.Marshal(usual)
		if err == nil {
			err = e.keepBaseline(name, func(_ context.Context, s *durable.Storage) error { return s.Put(baselineKey, b) })
		}
		if err != nil {
			e.log().Error("what is usual for an agent could not be kept", zap.String("agent", name), zap.Error(err))
		}
		return true
	})
}

func (e *edge) addEvent(ev baseline.Event) {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	e.watches.events = append(e.watches.events, ev)
	if n := len(e.watches.events); n > maxEvents {
		e.watches.events = append([]baseline.Event(nil), e.watches.events[n-maxEvents:]...)
	}
}

// events are the last ones, the newest last.
func (e *edge) unusualEvents() []baseline.Event {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	return append([]baseline.Event{}, e.watches.events...)
}
