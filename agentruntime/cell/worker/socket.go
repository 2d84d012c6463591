package worker

import (
	"context"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
)

// sockets is an actor's way to the sockets that the gateway keeps for it.
type sockets struct {
	conn *wire.Conn
	x    *wire.Exchange // the actor's
}

func (s sockets) message(op byte) *wire.Encoder {
	e := wire.NewMessage(op)
	e.Uint(s.x.ID())
	return e
}

// Accept implements agentruntime.Sockets.
func (s sockets) Accept(ctx context.Context, tags []string, attachment []byte) (uint64, error) {
	e := s.message(wire.OpSocketAccept)
	e.Strings(tags)
	e.Bytes(attachment)
	return answered(ctx, s.conn, e, (*wire.Decoder).Uint)
}

// List implements agentruntime.Sockets.
func (s sockets) List(ctx context.Context, tag *string) ([]agentruntime.SocketInfo, error) {
	e := s.message(wire.OpSocketList)
	if e.Bool(tag != nil); tag != nil {
		e.String(*tag)
	}
	return answered(ctx, s.conn, e, (*wire.Decoder).SocketInfos)
}

// Look implements agentruntime.Sockets.
func (s sockets) Look(ctx context.Context, id uint64) (agentruntime.SocketInfo, error) {
	e := s.message(wire.OpSocketLook)
	e.Uint(id)
	return answered(ctx, s.conn, e, (*wire.Decoder).SocketInfo)
}

// AutoResponse implements agentruntime.Sockets.
func (s sockets) AutoResponse(ctx context.Context) (*agentruntime.AutoResponse, error) {
	return answered(ctx, s.conn, s.message(wire.OpSocketAuto), (*wire.Decoder).AutoResponse)
}

// Send implements agentruntime.Sockets.
func (s sockets) Send(id uint64, m agentruntime.Message) {
	e := wire.NewMessage(wire.NoteSocketSend)
	e.Uint(id)
	e.Message(m)
	s.x.Note(e, false)
}

// End implements agentruntime.Sockets.
func (s sockets) End(id uint64, code int, reason string) {
	e := wire.NewMessage(wire.NoteSocketEnd)
	e.Uint(id)
	e.Uint(uint64(code))
	e.String(reason)
	s.x.Note(e, false)
}

// Attach implements agentruntime.Sockets.
func (s sockets) Attach(id uint64, data []byte) {
	e := wire.NewMessage(wire.NoteSocketAttach)
	e.Uint(id)
	e.Bytes(data)
	s.x.Note(e, false)
}

// SetAutoResponse implements agentruntime.Sockets.
func (s sockets) SetAutoResponse(pair *agentruntime.AutoResponse) {
	e := wire.NewMessage(wire.NoteSocketAuto)
	e.AutoResponse(pair)
	s.x.Note(e, false)
}

var _ agentruntime.Sockets = sockets{}
