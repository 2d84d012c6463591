package agentruntime

import (
	"context"
	"errors"
)

// errOutsideEvent is what code gets that asks the world for something while its module is evaluated.
var errOutsideEvent = errors.New("this is possible only while an event is handled, not while the module is evaluated")

// noHost refuses everything.
type noHost struct{}

func (noHost) Fetch(context.Context, Target, *Request) (*Response, error) {
	return nil, errOutsideEvent
}

func (noHost) Call(context.Context, Target, Call) (Value, error) {
	return Value{}, errOutsideEvent
}
func (noHost) Connect(context.Context, string, ConnectOptions) (Conn, error) {
	return nil, errOutsideEvent
}
func (noHost) Limit(context.Context, string, string) (bool, error) { return false, errOutsideEvent }
func (noHost) Actors(context.Context, string, string, int) ([]string, error) {
	return nil, errOutsideEvent
}
func (noHost) KV(context.Context, KVOp) (KVResult, error)     { return KVResult{}, errOutsideEvent }
func (noHost) Secret(context.Context, string) (string, error) { return "", errOutsideEvent }
func (noHost) Emit(Event)                                     {}
