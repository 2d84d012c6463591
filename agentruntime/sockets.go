package agentruntime

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf16"
)

// Limits of the WebSockets that are kept for an actor.
const (
	// MaxSockets is how many an actor may have.
	MaxSockets = 32_768
	// MaxTags is how many tags one may have, and MaxTagLength how many UTF-16 units a tag.
	MaxTags      = 10
	MaxTagLength = 256
	// MaxAttachment is the largest attachment in bytes, serialized.
	MaxAttachment = 16 << 10
	// MaxAutoResponse is how many UTF-16 units the request and the response of an automatic answer may have.
	MaxAutoResponse = 2048
)

// Sockets is an actor's way to its WebSockets that the gateway keeps: they stay open while the actor is not in memory
// (https://developers.cloudflare.com/durable-objects/api/websockets/). Accept, List, Look and AutoResponse wait for
// the answer, the others do not wait. What is asked for is done in the order of the calls. A number that is not there any more is ignored. Safe
// for concurrent use.
type Sockets interface {
	// Accept makes a socket, whose other side is the Kept of that number in a Response.
	Accept(ctx context.Context, tags []string, attachment []byte) (id uint64, err error)
	// List returns the sockets with a tag, nil for all, in the order in which they were accepted. Those whose other side has
	// closed them are left out.
	List(ctx context.Context, tag *string) ([]SocketInfo, error)
	// Look returns one socket; one that is not there any more is closing.
	Look(ctx context.Context, id uint64) (SocketInfo, error)
	Send(id uint64, m Message)
	// End closes a socket.
	End(id uint64, code int, reason string)
	// Attach changes what is kept with a socket, nil for nothing.
	Attach(id uint64, data []byte)
	// SetAutoResponse has one message answered without waking the actor; nil ends that.
	SetAutoResponse(pair *AutoResponse)
	AutoResponse(ctx context.Context) (*AutoResponse, error)
}

// SocketInfo is what is kept of a socket.
type SocketInfo struct {
	ID   uint64
	Tags []string
	// Attachment is a structured clone, nil for none.
	Attachment []byte
	// Closing says that the actor has closed it.
	Closing bool
	// Replied is when an automatic answer was last given, in milliseconds since 1970, zero for never.
	Replied int64
	// Partial says that Tags, Attachment and Replied were left out: Look has them.
	Partial bool
}

// AutoResponse is a message and the answer that is given to it.
type AutoResponse struct{ Request, Response string }

// SocketEvent is what an actor is to hear of a socket: a message, its close, or an error.
type SocketEvent struct {
	Socket  SocketInfo
	Message *Message
	Close   *CloseError // 1006: it broke off
	Error   string      // if neither of them
}

// Name is what the event is called in records.
func (ev *SocketEvent) Name() string {
	switch {
	case ev.Message != nil:
		return "message"
	case ev.Close != nil:
		return "close"
	}
	return "error"
}

// Kept is the Socket of an actor's Response whose other end is kept for the actor. It carries nothing: whoever has the actor's
// Sockets knows the socket by its number.
type Kept struct{ ID uint64 }

var errKept = errors.New("the socket is a number, and nobody has looked it up")

// Receive always fails.
func (*Kept) Receive(context.Context) (Message, error) { return Message{}, errKept }

// Send always fails.
func (*Kept) Send(context.Context, Message) error { return errKept }

// Close does nothing.
func (*Kept) Close(int, string) error { return nil }

// Detached is a Socket that does not need the invocation it passes through: code that gives it away may end.
type Detached interface {
	Socket
	Detached()
}

// CheckTags refuses more or longer tags than there may be, and one that comes twice.
func CheckTags(tags []string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("a WebSocket may have at most %d tags, and %d were given", MaxTags, len(tags))
	}
	for i, t := range tags {
		if n := units(t); n > MaxTagLength {
			return fmt.Errorf("a tag of a WebSocket may have at most %d characters, and one has %d", MaxTagLength, n)
		}
		for _, other := range tags[:i] {
			if t == other {
				return errors.New("a tag of a WebSocket was given twice")
			}
		}
	}
	return nil
}

// CheckAttachment refuses one that is too large.
func CheckAttachment(data []byte) error {
	if len(data) > MaxAttachment {
		return fmt.Errorf("a WebSocket's attachment may have at most %d bytes, and this one has %d", MaxAttachment, len(data))
	}
	return nil
}

// Check refuses a pair that is too long.
func (p *AutoResponse) Check() error {
	for _, part := range []struct{ what, text string }{{"request", p.Request}, {"response", p.Response}} {
		if n := units(part.text); n > MaxAutoResponse {
			return fmt.Errorf("the %s of an automatic answer may have at most %d characters, and this one has %d", part.what, MaxAutoResponse, n)
		}
	}
	return nil
}

// units counts the UTF-16 units of a text, as JavaScript does.
func units(s string) int {
	if len(s) <= MaxTagLength {
		return len(s) // at most: enough for the limits
	}
	n := 0
	for _, c := range s {
		n += utf16.RuneLen(c)
	}
	return n
}

// maxSocketTimeout is the longest time that may be set for a socket's events.
const maxSocketTimeout = 7 * 24 * time.Hour
