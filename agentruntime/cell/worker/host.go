package worker

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// ask begins a message to the gateway for this invocation. What an actor does after the event that began it has ended is
// the actor's.
func (v *invocation) ask(op byte) *wire.Encoder {
	e := wire.NewMessage(op)
	e.Uint(v.x.ID())
	if v.actor != nil {
		e.Uint(v.actor.x.ID())
	} else {
		e.Uint(0)
	}
	return e
}

// Fetch implements agentruntime.Host.
func (v *invocation) Fetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	e := v.ask(wire.OpHostFetch)
	e.Target(target)
	e.Request(req)
	f := &fetch{answered: make(chan struct{})}
	streams := e.Body(req.Body)
	x, err := v.w.conn.Begin(e, f, func(x *wire.Exchange) {
		f.x = x
		if streams {
			out := x.Send(0)
			go out.Copy(req.Body)
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-f.answered:
	case <-ctx.Done():
		x.Cancel(nil)
		x.End()
		return nil, context.Cause(ctx)
	}
	if f.result.Err != nil || f.result.Response == nil {
		x.End()
		if f.result.Err == nil {
			f.result.Err = errors.New("fetch: the gateway gave no answer")
		}
		return nil, f.result.Err
	}
	resp := f.result.Response
	if in, ok := resp.Body.(*wire.Inbound); ok {
		b := &answerBody{Inbound: in, x: x}
		b.stop = context.AfterFunc(ctx, b.cancel)
		resp.Body = b
	} else {
		x.End()
	}
	return resp, nil
}

// fetch is a request under way.
type fetch struct {
	wire.Unexpected
	x        *wire.Exchange
	result   wire.Result
	answered chan struct{}
}

func (f *fetch) Answered(payload []byte) error {
	d := wire.NewDecoder(payload)
	f.result = d.Result(f.x)
	if err := d.End(); err != nil {
		return err
	}
	close(f.answered)
	return nil
}

func (f *fetch) Lost(err error) {
	f.result.Err = err
	close(f.answered)
}

// answerBody is the body of an answer that comes as a stream. Its end ends the exchange.
type answerBody struct {
	*wire.Inbound
	x    *wire.Exchange
	once sync.Once
	stop func() bool
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.Inbound.Read(p)
	if err != nil {
		b.end()
		if err != io.EOF && b.x.Conn().Err() != nil {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (b *answerBody) Close() error {
	err := b.Inbound.Close()
	b.end()
	return err
}

// cancel is for a request that was given up.
func (b *answerBody) cancel() {
	b.x.Cancel(nil)
	b.Inbound.Fail(context.Canceled)
	b.end()
}

func (b *answerBody) end() {
	b.once.Do(func() {
		if b.stop != nil {
			b.stop()
		}
		b.x.End()
	})
}

// Call implements agentruntime.Host.
func (v *invocation) Call(ctx context.Context, target agentruntime.Target, call agentruntime.Call) (agentruntime.Value, error) {
	e := v.ask(wire.OpHostCall)
	e.Target(target)
	e.Call(v.w.conn, call)
	return v.w.conn.AskValue(ctx, e)
}

// KV implements agentruntime.Host.
func (v *invocation) KV(ctx context.Context, op agentruntime.KVOp) (agentruntime.KVResult, error) {
	e := v.ask(wire.OpHostKV)
	e.KVOp(op)
	return asked(v, ctx, e, (*wire.Decoder).KVResult)
}

// Limit implements agentruntime.Host.
func (v *invocation) Limit(ctx context.Context, binding, key string) (bool, error) {
	e := v.ask(wire.OpHostLimit)
	e.String(binding)
	e.String(key)
	return asked(v, ctx, e, (*wire.Decoder).Bool)
}

// Actors implements agentruntime.Host.
func (v *invocation) Actors(ctx context.Context, binding, after string, limit int) ([]string, error) {
	e := v.ask(wire.OpHostActors)
	e.String(binding)
	e.String(after)
	e.Uint(uint64(limit))
	return asked(v, ctx, e, (*wire.Decoder).Strings)
}

// Secret implements agentruntime.Host.
func (v *invocation) Secret(ctx context.Context, binding string) (string, error) {
	e := v.ask(wire.OpHostSecret)
	e.String(binding)
	return asked(v, ctx, e, (*wire.Decoder).String)
}

// Connect implements agentruntime.Host.
func (v *invocation) Connect(ctx context.Context, address string, opt agentruntime.ConnectOptions) (agentruntime.Conn, error) {
	e := v.ask(wire.OpHostConnect)
	e.String(address)
	e.Bool(opt.TLS)
	return asked(v, ctx, e, func(d *wire.Decoder) agentruntime.Conn { return d.Conn(v.w.conn) })
}

// Emit implements agentruntime.Host.
func (v *invocation) Emit(ev agentruntime.Event) {
	e := wire.NewMessage(wire.NoteEvent)
	e.Event(ev)
	v.x.Note(e, true)
}

// asked sends a message and reads the answer: an error, or what read reads.
func asked[T any](v *invocation, ctx context.Context, e *wire.Encoder, read func(*wire.Decoder) T) (T, error) {
	return answered(ctx, v.w.conn, e, read)
}

func answered[T any](ctx context.Context, conn *wire.Conn, e *wire.Encoder, read func(*wire.Decoder) T) (T, error) {
	var zero T
	b, err := conn.Ask(ctx, e)
	if err != nil {
		return zero, err
	}
	d := wire.NewDecoder(b)
	if d.Bool() {
		if err := d.Error(); d.End() == nil {
			return zero, err
		}
		return zero, d.Err()
	}
	r := read(&d)
	return r, d.End()
}

var _ agentruntime.Host = (*invocation)(nil)
