package wire

import "github.com/gatehouse-edge/gatehouse/agentruntime"

// SocketInfo writes what is kept of a socket.
func (e *Encoder) SocketInfo(s agentruntime.SocketInfo) {
	e.Uint(s.ID)
	e.Strings(s.Tags)
	e.Bytes(s.Attachment)
	e.Bool(s.Closing)
	e.Int(s.Replied)
	e.Bool(s.Partial)
}

func (d *Decoder) SocketInfo() agentruntime.SocketInfo {
	return agentruntime.SocketInfo{ID: d.Uint(), Tags: d.Strings(), Attachment: d.Bytes(), Closing: d.Bool(), Replied: d.Int(), Partial: d.Bool()}
}

// SocketInfos writes a list of sockets.
func (e *Encoder) SocketInfos(list []agentruntime.SocketInfo) {
	e.Uint(uint64(len(list)))
	for _, s := range list {
		e.SocketInfo(s)
	}
}

func (d *Decoder) SocketInfos() []agentruntime.SocketInfo {
	list := make([]agentruntime.SocketInfo, 0, 1)
	for range d.count(agentruntime.MaxSockets) {
		list = append(list, d.SocketInfo())
	}
	return list
}

// Kinds of a socket's events.
const (
	socketMessage byte = iota
	socketEnd
	socketError
)

func (e *Encoder) SocketEvent(ev agentruntime.SocketEvent) {
	e.SocketInfo(ev.Socket)
	switch {
	case ev.Message != nil:
		e.Byte(socketMessage)
		e.Message(*ev.Message)
	case ev.Close != nil:
		e.Byte(socketEnd)
		e.Uint(uint64(ev.Close.Code))
		e.String(ev.Close.Reason)
	default:
		e.Byte(socketError)
		e.String(ev.Error)
	}
}

func (d *Decoder) SocketEvent() agentruntime.SocketEvent {
	ev := agentruntime.SocketEvent{Socket: d.SocketInfo()}
	switch k := d.Byte(); k {
	case socketMessage:
		m := d.Message()
		ev.Message = &m
	case socketEnd:
		ev.Close = &agentruntime.CloseError{Code: int(d.Uint()), Reason: d.String()}
	case socketError:
		ev.Error = d.String()
	default:
		d.fail("an event of kind %d of a socket", k)
	}
	return ev
}

func (e *Encoder) Message(m agentruntime.Message) {
	e.Bool(m.Text)
	e.Bytes(m.Data)
}

func (d *Decoder) Message() agentruntime.Message {
	m := agentruntime.Message{Text: d.Bool(), Data: d.Bytes()}
	if len(m.Data) > maxMessage {
		d.fail("a message of %d bytes", len(m.Data))
	}
	return m
}

// AutoResponse writes a pair, or that there is none.
func (e *Encoder) AutoResponse(p *agentruntime.AutoResponse) {
	if e.Bool(p != nil); p != nil {
		e.String(p.Request)
		e.String(p.Response)
	}
}

// AutoResponse reads a pair and holds it to what one may be; nil if there is none.
func (d *Decoder) AutoResponse() *agentruntime.AutoResponse {
	if !d.Bool() {
		return nil
	}
	p := &agentruntime.AutoResponse{Request: d.String(), Response: d.String()}
	if err := p.Check(); err != nil {
		d.fail("%v", err)
	}
	return p
}
