package worker

import (
	"context"
	"sync"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// actor is one durable actor in the cell. Its exchange lasts as long as it does.
type actor struct {
	*invocation // what no event began: the constructor and what it started

	mu   sync.Mutex
	code *agentruntime.Actor
	told bool // the gateway believes that the actor is busy
}

// activate makes an actor.
func (w *worker) activate(agent *agentruntime.Agent, x *wire.Exchange, d *wire.Decoder) error {
	a := new(actor)
	a.invocation = &invocation{w: w, x: x, actor: a}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	x.Accept(a)
	cfg := agentruntime.ActorConfig{Class: d.String(), Name: d.String(), Host: a, Ended: a.ended, Idle: a.idle, Sockets: sockets{w.conn, x}}
	if n := copy(cfg.ID[:], d.View()); n != len(cfg.ID) {
		return wire.Malformed("an id of %d bytes", n)
	}
	state := d.State()
	if err := d.End(); err != nil {
		return err
	}
	cfg.Storage = durable.NewStorage(durable.StorageConfig{Backend: backend{w.conn, x.ID()}, State: state, Name: cfg.Name})
	go a.activate(agent, cfg)
	return nil
}

func (a *actor) activate(agent *agentruntime.Agent, cfg agentruntime.ActorConfig) {
	a.w.live.Add(1)
	defer a.w.live.Add(-1)
	code, err := agent.Activate(a.ctx, cfg)
	e := wire.NewEncoder()
	if e.Bool(err != nil); err != nil {
		e.Error(err)
		a.x.Answer(e)
		a.x.End()
		return
	}
	a.w.mu.Lock()
	a.w.actors[a.x.ID()] = a
	a.w.mu.Unlock()
	a.mu.Lock()
	a.code = code
	a.mu.Unlock()
	a.tell(func(busy bool) {
		e.Bool(busy)
		a.x.Answer(e)
	})
	if cause := context.Cause(a.ctx); cause != nil {
		a.close(cause) // it was closed meanwhile
	}
}

// tell calls send with whether the actor has something under way, for send to tell the gateway.
func (a *actor) tell(send func(busy bool)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = a.code.Busy()
	send(a.told)
}

// idle tells the gateway that the actor is not busy any more, if it believes so.
func (a *actor) idle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.told {
		a.told = false
		a.x.Note(wire.NewMessage(wire.NoteIdle), false)
	}
}

// ended tells the gateway that the actor cannot be used any more.
func (a *actor) ended(reason error) {
	e := wire.NewMessage(wire.NoteEnded)
	e.Error(reason)
	a.x.Note(e, false)
}

// Canceled closes the actor.
func (a *actor) Canceled(payload []byte) error {
	d := wire.NewDecoder(payload)
	reason := d.Error()
	if err := d.End(); err != nil {
		return err
	}
	a.cancel(reason)
	a.mu.Lock()
	active := a.code != nil
	a.mu.Unlock()
	if active {
		go a.close(reason)
	}
	return nil
}

// close ends the actor and tells the gateway once nothing of it runs any more.
func (a *actor) close(reason error) {
	a.code.Close(reason)
	a.w.mu.Lock()
	delete(a.w.actors, a.x.ID())
	a.w.mu.Unlock()
	a.x.Note(wire.NewMessage(wire.NoteGone), false)
	a.x.End()
}

// actorEvent begins an event of an actor.
func (w *worker) actorEvent(x *wire.Exchange, op byte, d *wire.Decoder) error {
	id := d.Uint()
	w.mu.Lock()
	a := w.actors[id]
	w.mu.Unlock()
	v := w.newInvocation(x, a)
	var start func() *agentruntime.Invocation
	switch op {
	case wire.OpActorFetch:
		req := d.Request()
		req.Body = d.Body(x, 0)
		start = func() *agentruntime.Invocation { return a.code.Fetch(v.ctx, v, req) }
	case wire.OpActorCall:
		call := d.Call(w.conn)
		if a == nil {
			call.Args.Close()
		}
		start = func() *agentruntime.Invocation { return a.code.Call(v.ctx, v, call) }
	case wire.OpActorSocket:
		ev := d.SocketEvent()
		start = func() *agentruntime.Invocation { return a.code.Socket(v.ctx, v, ev) }
	}
	if err := d.End(); err != nil {
		return err
	}
	switch {
	case a == nil:
		go v.refuse(agentruntime.ErrClosed)
	case start == nil:
		go v.alarm()
	default:
		w.crew.do(func() { v.run(start) })
	}
	return nil
}

// refuse answers an event of an actor that is not there any more.
func (v *invocation) refuse(err error) {
	e := wire.NewEncoder()
	e.Result(v.x, wire.Result{Err: err})
	e.Ended(true, agentruntime.Report{Outcome: agentruntime.OutcomeException}, false)
	v.x.Answer(e)
	v.end()
}

// alarm runs the alarm handler.
func (v *invocation) alarm() {
	v.w.live.Add(1)
	defer v.w.live.Add(-1)
	rep, err := v.actor.code.Alarm(v.ctx, v)
	e := wire.NewEncoder()
	e.Result(v.x, wire.Result{Err: err})
	v.answer(e, true, rep)
	v.end()
}

// backend is the actor's way to its storage, which the gateway has.
type backend struct {
	conn  *wire.Conn
	actor uint64
}

func (b backend) message(op byte) *wire.Encoder {
	e := wire.NewMessage(op)
	e.Uint(b.actor)
	return e
}

// Get implements durable.Backend.
func (b backend) Get(ctx context.Context, keys []string) ([][]byte, error) {
	e := b.message(wire.OpGet)
	e.Strings(keys)
	values, err := gathered(ctx, b.conn, e, (*wire.Decoder).Values)
	if err == nil && len(values) != len(keys) {
		err = wire.Malformed("%d values for %d keys", len(values), len(keys))
	}
	return values, err
}

// Scan implements durable.Backend.
func (b backend) Scan(ctx context.Context, r durable.Range) ([]durable.Entry, error) {
	e := b.message(wire.OpScan)
	e.Range(r)
	return gathered(ctx, b.conn, e, (*wire.Decoder).Entries)
}

// Commit implements durable.Backend.
func (b backend) Commit(batch durable.Batch, done func(error)) {
	e := b.message(wire.OpCommit)
	e.Batch(batch)
	c := &commit{done: done}
	if _, err := b.conn.Begin(e, c, func(x *wire.Exchange) { c.x = x }); err != nil {
		go done(err)
	}
}

// commit is a batch on its way.
type commit struct {
	wire.Unexpected
	x    *wire.Exchange
	done func(error)
}

func (c *commit) Answered(payload []byte) error {
	d := wire.NewDecoder(payload)
	var err error
	if d.Bool() {
		err = d.Error()
	}
	if end := d.End(); end != nil {
		return end
	}
	c.x.End()
	c.done(err)
	return nil
}

func (c *commit) Lost(err error) { go c.done(err) }

// gather is a read whose answer comes in parts.
type gather[T any] struct {
	wire.Unexpected
	read func(*wire.Decoder) []T
	list []T
	err  error
	done chan struct{}
}

func gathered[T any](ctx context.Context, conn *wire.Conn, e *wire.Encoder, read func(*wire.Decoder) []T) ([]T, error) {
	g := &gather[T]{read: read, done: make(chan struct{})}
	x, err := conn.Begin(e, g, nil)
	if err != nil {
		return nil, err
	}
	defer x.End()
	select {
	case <-g.done:
		return g.list, g.err
	case <-ctx.Done():
		x.Cancel(nil)
		return nil, context.Cause(ctx)
	}
}

func (g *gather[T]) Noted(note byte, payload []byte) error {
	if note != wire.NotePart {
		return wire.Malformed("note %d of a read", note)
	}
	d := wire.NewDecoder(payload)
	g.list = append(g.list, g.read(&d)...)
	return d.End()
}

func (g *gather[T]) Answered(payload []byte) error {
	d := wire.NewDecoder(payload)
	if d.Bool() {
		g.err = d.Error()
	} else {
		g.list = append(g.list, g.read(&d)...)
	}
	if err := d.End(); err != nil {
		return err
	}
	close(g.done)
	return nil
}

func (g *gather[T]) Lost(err error) {
	g.err = err
	close(g.done)
}
