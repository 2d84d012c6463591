package cell

import (
	"context"
	"errors"
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// maxAsks is how many requests of one cell may be under way. One that has more is ended: no code can ask for as much under
// the limits of its invocations.
const maxAsks = 20_000

// maxHeld is how many bytes the messages of the requests under way may have: several times what an agent may hold by default.
const maxHeld = 512 << 20

// heavy is how many reads of a cell, whose answers may be large, are under way at once. Others wait.
const heavy = 8

// heavily waits until one more heavy read may begin. The function returned ends it.
func (c *process) heavily() (done func()) {
	c.reads <- struct{}{}
	return func() { <-c.reads }
}

// ask is one request of a cell.
type ask struct {
	wire.Unexpected
	c      *process
	x      *wire.Exchange
	cancel context.CancelFunc
	size   int64       // of its message
	asker  *Invocation // nil for what an actor asks, which outlasts its events
}

// failing tells the cell that the invocation's caller has gone, where it has, before the cell hears that the request failed: code
// must not take the one for an error of the other.
func (q *ask) failing() {
	if q.asker != nil && q.asker.ctx.Err() != nil {
		q.asker.cancel()
	}
}

// answerBody is the body of an answer on its way to the cell.
type answerBody struct {
	io.ReadCloser
	q *ask
}

// Read implements io.Reader.
func (b answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.q.failing()
	}
	return n, err
}

// Canceled gives the request up.
func (q *ask) Canceled([]byte) error {
	q.cancel()
	return nil
}

func (q *ask) Lost(error) { q.cancel() }

// end forgets the request.
func (q *ask) end() {
	q.cancel()
	q.x.End()
	q.c.asks.Add(-1)
	q.c.held.Add(-q.size)
}

// Opened takes a request of the cell. What it is asked for decides who answers: the Host of the invocation, or the storage
// of the actor, both of which must be this cell's.
func (c *process) Opened(x *wire.Exchange, op byte, payload []byte) error {
	d := wire.NewDecoder(payload)
	if c.asks.Add(1) > maxAsks {
		return wire.Malformed("more than %d requests at once", maxAsks)
	}
	q := &ask{c: c, x: x, size: int64(len(payload))}
	if c.held.Add(q.size) > maxHeld {
		return wire.Malformed("requests of more than %d bytes at once", maxHeld)
	}
	switch op {
	case wire.OpGet, wire.OpScan, wire.OpCommit, wire.OpSocketAccept, wire.OpSocketList, wire.OpSocketLook, wire.OpSocketAuto:
		return q.storage(op, &d)
	}
	invocation, actor := d.Uint(), d.Uint()
	if invocation != 0 && !c.conn.Began(invocation) || actor != 0 && !c.conn.Began(actor) {
		return wire.Malformed("a request of invocation %d, which never was", invocation)
	}
	host, ctx, v := c.asker(invocation, actor)
	q.asker = v
	whole := ctx
	ctx, q.cancel = context.WithCancel(ctx)
	x.Accept(q)
	var answer func()
	switch op {
	case wire.OpHostFetch:
		target, req := d.Target(), d.Request()
		req.Body = d.Body(x, 0)
		if req.Header.Get("Upgrade") != "" {
			ctx = whole // the socket lasts longer than the request for it
		}
		answer = func() { q.fetch(ctx, host, target, req) }
	case wire.OpHostCall:
		target, call := d.Target(), d.Call(c.conn)
		answer = func() {
			v, err := host.Call(ctx, target, call)
			c.conn.Room(unread)
			reply(q, v, err, func(e *wire.Encoder, v agentruntime.Value) { e.Value(c.conn, v) })
		}
	case wire.OpHostConnect:
		address, opt := d.String(), agentruntime.ConnectOptions{TLS: d.Bool()}
		answer = func() {
			conn, err := host.Connect(whole, address, opt)
			reply(q, conn, err, func(e *wire.Encoder, conn agentruntime.Conn) { e.Conn(c.conn, conn) })
		}
	case wire.OpHostKV:
		kv := d.KVOp()
		answer = func() {
			defer c.heavily()()
			v, err := host.KV(ctx, kv)
			reply(q, v, err, (*wire.Encoder).KVResult)
			c.conn.Room(unread)
		}
	case wire.OpHostLimit:
		binding, key := d.String(), d.String()
		answer = func() {
			v, err := host.Limit(ctx, binding, key)
			reply(q, v, err, (*wire.Encoder).Bool)
		}
	case wire.OpHostActors:
		binding, after, limit := d.String(), d.String(), int(d.Uint())
		answer = func() {
			v, err := host.Actors(ctx, binding, after, limit)
			reply(q, v, err, (*wire.Encoder).Strings)
		}
	case wire.OpHostSecret:
		binding := d.String()
		answer = func() {
			v, err := host.Secret(ctx, binding)
			reply(q, v, err, (*wire.Encoder).String)
		}
	default:
		return wire.Malformed("operation %d", op)
	}
	if err := d.End(); err != nil {
		return err
	}
	go answer()
	return nil
}

// asker is the Host of an invocation that is under way in this cell, else that of the actor that it was an event of, with
// the context that ends what is asked, and the invocation if the context is its own.
func (c *process) asker(invocation, actor uint64) (agentruntime.Host, context.Context, *Invocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.actors[actor]
	if v := c.live[invocation]; v != nil && v.actor == a {
		if a != nil {
			return v.host, a.ctx, nil
		}
		return v.host, v.ctx, v
	}
	if a != nil {
		return a.host, a.ctx, nil
	}
	return nobody{}, context.Background(), nil
}

// reply answers with a value or an error.
func reply[T any](q *ask, v T, err error, write func(*wire.Encoder, T)) {
	q.c.suspect(err)
	e := wire.NewEncoder()
	if e.Bool(err != nil); err != nil {
		q.failing()
		e.Error(err)
	} else {
		write(e, v)
	}
	q.x.Answer(e)
	q.end()
}

// fetch sends a request of code's and passes the answer on, its body as it comes.
func (q *ask) fetch(ctx context.Context, host agentruntime.Host, target agentruntime.Target, req *agentruntime.Request) {
	defer q.end()
	resp, err := host.Fetch(ctx, target, req)
	q.c.suspect(err)
	if err != nil {
		q.failing()
	}
	e := wire.NewEncoder()
	out, body := e.Result(q.x, wire.Result{Response: resp, Err: err})
	q.x.Answer(e)
	if out != nil {
		out.Copy(answerBody{body, q})
	}
}

// storage reads or writes for an actor.
func (q *ask) storage(op byte, d *wire.Decoder) error {
	id := d.Uint()
	q.c.mu.Lock()
	a := q.c.actors[id]
	q.c.mu.Unlock()
	ctx := context.Background()
	switch {
	case a != nil:
		ctx = a.ctx
	case !q.c.conn.Began(id):
		return wire.Malformed("the storage of an actor %d that never was", id)
	default:
		q.c.lied("the storage of an actor that is not in it")
	}
	ctx, q.cancel = context.WithCancel(ctx)
	q.x.Accept(q)
	var answer func()
	switch op {
	case wire.OpGet:
		keys := d.Strings()
		answer = func() { q.get(ctx, a, keys) }
	case wire.OpScan:
		r := d.Range()
		answer = func() { q.scan(ctx, a, r) }
	case wire.OpCommit:
		b, named := d.Batch()
		if err := d.End(); err != nil {
			return err
		}
		if a == nil {
			reply(q, struct{}{}, agentruntime.ErrClosed, nothing)
			return nil
		}
		if named {
			b.Name = a.name
		}
		a.backend.Commit(b, func(err error) { reply(q, struct{}{}, err, nothing) })
		return nil
	default:
		answer = q.sockets(ctx, op, d, a)
	}
	if err := d.End(); err != nil {
		return err
	}
	if a == nil {
		reply(q, struct{}{}, agentruntime.ErrClosed, nothing)
		return nil
	}
	go answer()
	return nil
}

func nothing(*wire.Encoder, struct{}) {}

const (
	// partSize is about how many bytes of a read travel in one frame.
	partSize = 1 << 20
	// scanStep is how many entries are read at first, so that a large actor is never in memory whole. Where they are small,
	// more are read at once from then on, at most scanMost.
	scanStep = 16
	scanMost = 1024
	// unread is how many bytes may wait for a cell to read them before a read goes on.
	unread = 4 << 20
)

// get reads keys, a few at a time.
func (q *ask) get(ctx context.Context, a *Actor, keys []string) {
	defer q.c.heavily()()
	for {
		step := min(len(keys), 8)
		values, err := a.backend.Get(ctx, keys[:step])
		if keys = keys[step:]; err != nil || len(keys) == 0 {
			reply(q, values, err, (*wire.Encoder).Values)
			return
		}
		e := wire.NewMessage(wire.NotePart)
		e.Values(values)
		q.x.Note(e, false)
		q.c.conn.Room(unread)
	}
}

// scan reads a range, in steps.
func (q *ask) scan(ctx context.Context, a *Actor, r durable.Range) {
	defer q.c.heavily()()
	left, step := r.Limit, scanStep
	for {
		r.Limit = step
		if left > 0 {
			r.Limit = min(left, step)
		}
		entries, err := a.backend.Scan(ctx, r)
		last := err != nil || len(entries) < r.Limit || left > 0 && left == len(entries)
		for size, from := 0, 0; !last && from < len(entries) || last && err == nil; {
			// One part, or the answer: as many entries as make one.
			to := from
			for size = 0; to < len(entries) && size < partSize; to++ {
				size += len(entries[to].Key) + len(entries[to].Value)
			}
			if last && to == len(entries) {
				reply(q, entries[from:], nil, (*wire.Encoder).Entries)
				return
			}
			e := wire.NewMessage(wire.NotePart)
			e.Entries(entries[from:to])
			q.x.Note(e, false)
			q.c.conn.Room(unread)
			from = to
		}
		if err != nil {
			reply(q, nil, err, (*wire.Encoder).Entries)
			return
		}
		if left > 0 {
			left -= len(entries)
		}
		total := 0
		for _, x := range entries {
			total += len(x.Key) + len(x.Value)
		}
		if total < partSize/4 {
			step = min(4*step, scanMost)
		} else if total > partSize {
			step = scanStep
		}
		next := entries[len(entries)-1].Key
		if r.Reverse {
			r.End = next
		} else {
			r.Start, r.StartAfter = "", next
		}
	}
}

// nobody is the Host of an invocation that is not there, or not any more.
type nobody struct{}

var errOver = errors.New("the invocation is over")

func (nobody) Fetch(context.Context, agentruntime.Target, *agentruntime.Request) (*agentruntime.Response, error) {
	return nil, errOver
}

func (nobody) Call(_ context.Context, _ agentruntime.Target, call agentruntime.Call) (agentruntime.Value, error) {
	call.Args.Close()
	return agentruntime.Value{}, errOver
}

func (nobody) KV(context.Context, agentruntime.KVOp) (agentruntime.KVResult, error) {
	return agentruntime.KVResult{}, errOver
}

func (nobody) Connect(context.Context, string, agentruntime.ConnectOptions) (agentruntime.Conn, error) {
	return nil, errOver
}

func (nobody) Limit(context.Context, string, string) (bool, error)           { return false, errOver }
func (nobody) Actors(context.Context, string, string, int) ([]string, error) { return nil, errOver }
func (nobody) Secret(context.Context, string) (string, error)                { return "", errOver }
func (nobody) Emit(agentruntime.Event)                                       {}

var _ agentruntime.Host = nobody{}
