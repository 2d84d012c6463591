package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/socket"
)

// connected puts the other side of a socket that the actor accepted in the place of its number in an answer.
func (a *actor) connected(resp *agentruntime.Response) error {
	if resp == nil || resp.Socket == nil {
		return nil
	}
	kept, ok := resp.Socket.(*agentruntime.Kept)
	if !ok {
		return nil
	}
	outer, err := a.rel.edge.sockets.Take(a.key, kept.ID)
	if err != nil {
		return err
	}
	resp.Socket = outer
	return nil
}

// serveKept answers a request with a socket that is kept for an actor. The socket has the connection from then on, and the
// request is over.
func (v *visit) serveKept(w http.ResponseWriter, r *http.Request, resp *agentruntime.Response, kept *socket.Outer) error {
	conn, err := socket.Upgrade(w, r, resp.Header)
	if refused, ok := errors.AsType[*socket.HandshakeError](err); ok {
		_ = kept.Close(1006, "")
		w.Header().Set("Upgrade", "websocket")
		return v.refuse("agent", refused.Status, "%w", refused)
	}
	if err != nil {
		_ = kept.Close(1006, "")
		return nil // the connection is not there any more
	}
	return kept.Connect(conn)
}

// deliver wakes the actor of a socket for an event of it, with a record of its own. It returns once the handler has come to its end; an error says that the
// actor could not be reached.
func (e *edge) deliver(ctx context.Context, key durable.Key, ev agentruntime.SocketEvent) error {
	handle, err := e.directory.Acquire(ctx, key, "")
	if err != nil {
		if !errors.Is(err, context.Canceled) && !errors.Is(err, durable.ErrClosed) {
			e.log().Warn("a message of a WebSocket did not reach its actor",
				zap.String("namespace", key.Namespace), zap.String("id", key.ID.String()), zap.Error(err))
		}
		return err
	}
	act, ok := handle.Instance().(*actor)
	if !ok {
		handle.Release()
		return errors.New("the actor holds no code")
	}
	rec := e.openRecord(record.KindSocket, act.rel)
	rec.Write(func(x *record.Entry) { x.Actor, x.Method, x.Did.Ran = key.ID.String(), ev.Name(), true })
	inv := act.code.Socket(ctx, act.host(rec), ev)
	_, _ = inv.Response() // an exception is in the record
	e.whenEnded(inv, func(rep agentruntime.Report) {
		finish(rec, rep, true)
		rec.Release(time.Now())
		handle.Release()
	})
	return nil
}
