package agentruntime

import (
	"context"
	"io"
)

// Call is one use of an object that lives in another runtime: an entrypoint, an actor, or what a Remote stands for.
type Call struct {
	// Path names the members to go through; the last one is called or read. It is empty only for a Remote that is itself
	// a function.
	Path []string
	// Args are the arguments, an array. Without Data the member is read and not called.
	Args Value
}

// Value is a JavaScript value on its way from one runtime to another. Whoever is given one closes it, or what it does
// not use of it.
type Value struct {
	// Data is a structured clone in the package's own format; what is passed by reference stands in it as an index into
	// Remotes or Streams.
	Data    []byte
	Remotes []Remote
	Streams []io.ReadCloser
}

// Remote is a reference to a function or an RpcTarget of another runtime
// (https://developers.cloudflare.com/workers/runtime-apis/rpc/lifecycle/). Its methods are safe for concurrent use.
//
// A Remote in a result keeps the invocation that gave it from ending until it is closed. A Remote in arguments does not:
// it serves as long as its invocation lasts, and the call that was given it closes it at its end.
type Remote interface {
	// Call uses the object. An exception of its code is a *RemoteError.
	Call(ctx context.Context, call Call) (Value, error)
	// Close gives the reference up. Closing twice does nothing.
	Close() error
}

// Entry says which of an agent's entrypoints an event is for.
type Entry struct {
	// Name is the export's name, empty for the default export.
	Name string
	// Props is ctx.props as a structured clone, nil for an empty object.
	Props []byte
	// Access is the JSON of ctx.access, empty where a request comes from nobody that is known.
	Access []byte
}

// Close gives up everything that the value holds.
func (v Value) Close() {
	for _, m := range v.Remotes {
		_ = m.Close()
	}
	for _, s := range v.Streams {
		_ = s.Close()
	}
}

// method is the name of what a call uses, for messages and records.
func (c Call) method() string {
	if len(c.Path) == 0 {
		return "the function"
	}
	return c.Path[len(c.Path)-1]
}
