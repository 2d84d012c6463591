package cell

import (
	"context"
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// noSockets stands for the sockets of an actor that is not there any more.
type noSockets struct{}

func (noSockets) Accept(context.Context, []string, []byte) (uint64, error) {
	return 0, agentruntime.ErrClosed
}

func (noSockets) List(context.Context, *string) ([]agentruntime.SocketInfo, error) {
	return nil, agentruntime.ErrClosed
}

func (noSockets) Look(context.Context, uint64) (agentruntime.SocketInfo, error) {
	return agentruntime.SocketInfo{}, agentruntime.ErrClosed
}

func (noSockets) AutoResponse(context.Context) (*agentruntime.AutoResponse, error) {
	return nil, agentruntime.ErrClosed
}
func (noSockets) Send(uint64, agentruntime.Message)          {}
func (noSockets) End(uint64, int, string)                    {}
func (noSockets) Attach(uint64, []byte)                      {}
func (noSockets) SetAutoResponse(*agentruntime.AutoResponse) {}

var _ agentruntime.Sockets = noSockets{}

// sockets answers what a cell asks about the sockets of one of its actors. a is nil if the actor is not there any more.
func (q *ask) sockets(ctx context.Context, op byte, d *wire.Decoder, a *Actor) (answer func()) {
	var s agentruntime.Sockets = noSockets{}
	if a != nil && a.sockets != nil {
		s = a.sockets
	}
	switch op {
	case wire.OpSocketAccept:
		tags, attachment := d.Strings(), d.Bytes()
		return func() {
			id, err := s.Accept(ctx, tags, attachment)
			reply(q, id, err, (*wire.Encoder).Uint)
		}
	case wire.OpSocketList:
		var tag *string
		if d.Bool() {
			t := d.String()
			tag = &t
		}
		return func() {
			defer q.c.heavily()()
			list, err := s.List(ctx, tag)
			reply(q, list, err, (*wire.Encoder).SocketInfos)
			q.c.conn.Room(unread)
		}
	case wire.OpSocketLook:
		id := d.Uint()
		return func() {
			info, err := s.Look(ctx, id)
			reply(q, info, err, (*wire.Encoder).SocketInfo)
		}
	}
	return func() {
		pair, err := s.AutoResponse(ctx)
		reply(q, pair, err, (*wire.Encoder).AutoResponse)
	}
}

// socketNote takes what an actor does with one of its sockets. It reports false for another note.
func (x *Actor) socketNote(note byte, d *wire.Decoder) bool {
	var do func(s agentruntime.Sockets)
	switch note {
	case wire.NoteSocketSend:
		id, m := d.Uint(), d.Message()
		do = func(s agentruntime.Sockets) { s.Send(id, m) }
	case wire.NoteSocketEnd:
		id, code, reason := d.Uint(), int(d.Uint()), d.String()
		do = func(s agentruntime.Sockets) { s.End(id, code, reason) }
	case wire.NoteSocketAttach:
		id, data := d.Uint(), d.Bytes()
		do = func(s agentruntime.Sockets) { s.Attach(id, data) }
	case wire.NoteSocketAuto:
		pair := d.AutoResponse()
		do = func(s agentruntime.Sockets) { s.SetAutoResponse(pair) }
	default:
		return false
	}
	if d.Err() == nil && x.sockets != nil {
		do(x.sockets)
	}
	return true
}

// Socket has the actor handle an event of one of its sockets.
func (x *Actor) Socket(ctx context.Context, host agentruntime.Host, ev agentruntime.SocketEvent) *Invocation {
	return x.event(ctx, host, wire.OpActorSocket, func(e *wire.Encoder) io.ReadCloser {
		e.SocketEvent(ev)
		return nil
	})
}
