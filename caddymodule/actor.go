package caddymodule

import (
	"context"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/socket"
)

// actorClass makes the actors of one class of a release's code.
type actorClass struct {
	rel      *release
	name     string
	workflow bool
}

// Activate makes the JavaScript instance over the actor's storage.
func (c *actorClass) Activate(ctx context.Context, a durable.Activation) (durable.Instance, error) {
	rec := c.rel.edge.openRecord(record.KindActivate, c.rel)
	rec.Write(func(e *record.Entry) { e.Actor, e.Did.Ran = a.Key.ID.String(), true })
	act := &actor{rel: c.rel, key: a.Key, leases: new(leases), sockets: c.rel.edge.sockets.Actor(a.Key)}
	code, err := c.rel.agent.Activate(ctx, c.name, a, act.host(rec), act.sockets)
	// A constructor that said nothing and failed at nothing leaves no record.
	said := err != nil
	rec.Read(func(e *record.Entry) { said = said || len(e.Did.Logs)+len(e.Did.Exceptions)+len(e.Did.Calls) > 0 })
	if said {
		rec.Write(func(e *record.Entry) {
			if err != nil {
				e.Out.Outcome = string(agentruntime.OutcomeException)
			}
		})
		rec.Release(time.Now())
	}
	if err != nil {
		act.leases.close()
		act.sockets.Close()
		return nil, err
	}
	act.code = code
	return act, nil
}

// actor is one JavaScript actor in memory.
type actor struct {
	rel  *release
	key  durable.Key
	code actorCode
	// leases last from event to event.
	leases  *leases
	sockets *socket.Actor
}

// host is the way to the world of what no call from outside began.
func (a *actor) host(rec *record.Record) *host {
	return &host{rel: a.rel, rec: rec, actor: a.key.ID.String(), leases: a.leases}
}

// Alarm runs the alarm handler, with a record of its own.
func (a *actor) Alarm(ctx context.Context) error {
	rec := a.rel.edge.openRecord(record.KindAlarm, a.rel)
	rec.Write(func(e *record.Entry) { e.Actor, e.Did.Ran = a.key.ID.String(), true })
	rep, err := a.code.Alarm(ctx, a.host(rec))
	finish(rec, rep, true)
	rec.Release(time.Now())
	return err
}

func (a *actor) Broken() error { return a.code.Broken() }

// Busy keeps an actor in memory that has timers or background work under way.
func (a *actor) Busy() bool { return a.code.Busy() }

func (a *actor) Close(reason error) {
	a.code.Close(reason)
	a.leases.close()
	a.sockets.Close()
}

// shedPart is the part of a process's idle actors that leave memory at once when it runs short.
const shedPart = 0.25

// shed takes the least recently used of the idle actors in a process out of memory.
func (e *edge) shed(in func(*cell.Actor) bool) {
	e.directory.Shed(func(i durable.Instance) bool {
		act, ok := i.(*actor)
		if !ok {
			return false
		}
		code, ok := act.code.(inCellActor)
		return ok && in(code.Actor)
	}, shedPart)
}

var (
	_ durable.Class    = (*actorClass)(nil)
	_ durable.Instance = (*actor)(nil)
	_ durable.Busy     = (*actor)(nil)
)
