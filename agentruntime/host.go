package agentruntime

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Host is everything that code may ask of the world outside its runtime. A Host belongs to one invocation: what is
// asked through it is decided, and written down, for that invocation alone. All methods are safe for concurrent use
// and give up when ctx ends. Decisions are made behind Host, never in front of it: the caller is not trusted.
//
// Nothing of goja and nothing of Caddy crosses this line, only plain data and io streams.
type Host interface {
	// Fetch sends req to target and returns the answer with its headers; the body streams. The caller closes it.
	// The error of a refused request is a *RefusedError.
	Fetch(ctx context.Context, target Target, req *Request) (*Response, error)

	// Call uses a public member of the actor, or of the agent's entrypoint, that target names. An exception of its code is
	// a *RemoteError. What the value holds is given up when the invocation ends, whatever the caller does.
	Call(ctx context.Context, target Target, call Call) (Value, error)

	// KV does one operation on the key-value namespace bound as op.Binding.
	KV(ctx context.Context, op KVOp) (KVResult, error)

	// Connect opens a TCP connection to address, host and port, through the agent's egress policy. The caller closes it.
	Connect(ctx context.Context, address string, opt ConnectOptions) (Conn, error)

	// Limit counts one use of key against the rate limit bound as binding, and reports whether it is within the limit.
	Limit(ctx context.Context, binding, key string) (bool, error)

	// Actors returns the ids of up to limit actors of the namespace bound as binding that store something, ascending, after the
	// given one (empty: from the first).
	Actors(ctx context.Context, binding, after string, limit int) ([]string, error)

	// Secret opens the secret bound as binding. The value must not be kept, logged or put in an error.
	Secret(ctx context.Context, binding string) (string, error)

	// Emit hands over something that happened: a log line, an exception, a data point. It never blocks.
	Emit(Event)
}

// TargetKind says where a request made by code goes.
type TargetKind uint8

const (
	// TargetEgress is the world outside, through the agent's egress policy: the global fetch.
	TargetEgress TargetKind = iota
	// TargetOrigin is the next handler behind the agent: env.ORIGIN.
	TargetOrigin
	// TargetActor is a durable actor of a bound namespace.
	TargetActor
	// TargetService is another agent, or another entrypoint of this one, that a service binding names.
	TargetService
	// TargetAssets is the folder of static files of an assets binding.
	TargetAssets
	// TargetCache is the HTTP cache of the agent: GET matches, PUT stores and PURGE deletes. A GET that matches nothing is
	// answered with 504 (RFC 9111, only-if-cached), a PURGE of nothing with 404, and a PUT of what may not be kept with 413
	// and the reason as its status text. The header of a PUT is the answer's, with its status as CacheStatus and the
	// fields of its request beginning with CacheRequest.
	TargetCache
)

// Target names the receiver of a Fetch or a Call.
type Target struct {
	Kind TargetKind
	// Binding is the name under which the agent's configuration binds the receiver; of TargetCache the name of the cache,
	// empty for the default one. Not for TargetEgress and TargetOrigin.
	Binding string
	// Actor is the actor's id, 64 hex digits. Only for TargetActor.
	Actor string
	// Name is the name the id was made from, empty for a unique id. Only for TargetActor.
	Name string
	// Entry is an entrypoint of the agent itself, as ctx.exports gives it. Only for TargetService without a Binding: what a
	// binding reaches is in the agent's configuration.
	Entry Entry
}

// Request is an HTTP request on its way into or out of code.
type Request struct {
	Method string
	URL    string // absolute
	Header http.Header
	Body   io.ReadCloser // nil: none
	// ContentLength is the body's size in bytes, -1 when it is not known.
	ContentLength int64
	// Redirect is follow (the default when empty), manual or error.
	Redirect string
	// CF is the JSON of request.cf, empty for none. Only on the way in.
	CF []byte
}

// Response is an HTTP response on its way out of or into code.
type Response struct {
	Status     int
	StatusText string
	Header     http.Header
	Body       io.ReadCloser // nil: none
	// URL is the address that answered, after redirects. Only on the way in.
	URL        string
	Redirected bool
	// Socket is the other side's WebSocket if Status is 101, nil otherwise. Who gets the response closes it.
	Socket Socket
}

// Socket is one end of a WebSocket whose frames and handshakes another part of the program takes care of. Receive is
// called by one goroutine at a time; Send and Close are safe for concurrent use.
type Socket interface {
	// Receive waits for the next message. After the other side has closed the socket it returns a *CloseError.
	Receive(ctx context.Context) (Message, error)
	// Send queues a message and waits while too much is queued already.
	Send(ctx context.Context, m Message) error
	// Close begins, or answers, the closing handshake (RFC 6455, section 7). Closing twice does nothing.
	Close(code int, reason string) error
}

// Message is one message of a WebSocket.
type Message struct {
	Text bool // Data is UTF-8; otherwise it is binary
	Data []byte
}

// CloseError is how the other side of a WebSocket closed it.
type CloseError struct {
	Code   int // RFC 6455, section 7.4; 1006 if the connection broke
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the socket was closed with %d %s", e.Code, e.Reason)
}

// ConnectOptions say how a TCP connection begins.
type ConnectOptions struct {
	// TLS says that the connection begins with a TLS handshake, whose certificate must be valid for the host.
	TLS bool
}

// Conn is a TCP connection of code's (https://developers.cloudflare.com/workers/runtime-apis/tcp-sockets/).
type Conn interface {
	io.ReadWriteCloser
	// CloseWrite ends what is sent and goes on with what comes.
	CloseWrite() error
	// StartTLS turns the connection into a TLS one, whose certificate must be valid for the host it was opened to.
	StartTLS(ctx context.Context) error
}

// RefusedError is what Host.Fetch returns when a policy said no. Code sees an Error with this name, code and message.
type RefusedError struct {
	Code    string // such as EGRESS_DENIED
	Rule    string // the rule that refused
	Message string // a sentence without addresses or secrets
}

func (e *RefusedError) Error() string { return e.Message }

// HostError is any other failure that code sees as an Error of a certain class, such as fetch's TypeError.
type HostError struct {
	Name    string // Error, TypeError, ...
	Message string
}

func (e *HostError) Error() string { return e.Message }

// RemoteError is an exception thrown by the code of another runtime, such as an actor's method.
type RemoteError struct {
	Name    string // Error, TypeError, ...
	Message string
	Stack   string
	// Retryable, Overloaded and Reset become .retryable, .overloaded and .durableObjectReset, as in Cloudflare.
	Retryable, Overloaded, Reset bool
}

func (e *RemoteError) Error() string { return e.Name + ": " + e.Message }

// KVOp is one operation on a key-value namespace.
type KVOp struct {
	Binding string
	Verb    KVVerb
	Key     string
	Value   []byte
	// Metadata is JSON, at most 1,024 bytes, nil for none.
	Metadata []byte
	// Expiration is the absolute end of the key's life, zero for none.
	Expiration time.Time
	// If says that a put or a delete expects the key to have the version IfVersion; empty expects no key.
	If        bool
	IfVersion string
	Prefix    string
	Cursor    string
	Limit     int
}

// KVVerb is the kind of a KVOp.
type KVVerb uint8

const (
	KVGet KVVerb = iota
	KVPut
	KVDelete
	KVList
)

// KVResult is the answer to a KVOp.
type KVResult struct {
	Found    bool
	Value    []byte
	Metadata []byte
	Version  string // of what was found, or was put
	Keys     []KVKey
	Complete bool
	Cursor   string
}

// KVKey is one row of a listing.
type KVKey struct {
	Name       string
	Expiration time.Time
	Metadata   []byte
}

// Event is something that happened in an invocation. Exactly one field is set.
type Event struct {
	Log       *Log
	Exception *Exception
	Point     *DataPoint
	Tool      *ToolCall
	Step      *Step
}

// ToolCall is one ctx.tool that has ended.
type ToolCall struct {
	Time     time.Time // of its beginning
	Duration time.Duration
	Name     string
	// Input and Output are JSON, cut at 16 KiB, and empty for undefined and for what JSON cannot hold.
	Input, Output string
	Error         string // empty: it succeeded
}

// Step is one try of a workflow's step that has ended.
type Step struct {
	Time     time.Time // of its beginning
	Duration time.Duration
	Name     string
	Attempt  int    // 1 for the first
	Error    string // empty: it succeeded
}

// StorageCounts are the operations on an actor's storage: keys read and written, and statements of SQL.
type StorageCounts struct{ Reads, Writes, SQL int }

// Log is one call of console.log and its like.
type Log struct {
	Time    time.Time
	Level   string // debug, info, log, warn, error
	Message string // arguments formatted and joined by spaces
}

// Exception is an uncaught error of the code.
type Exception struct {
	Time    time.Time
	Name    string
	Message string
	Stack   string // mapped to the author's files, one frame a line
}

// DataPoint is one writeDataPoint of an analytics binding.
type DataPoint struct {
	Binding string
	Indexes []string
	Blobs   []string
	Doubles []float64
}

// Outcome says how an invocation ended, in Cloudflare's words.
type Outcome string

const (
	OutcomeOK               Outcome = "ok"
	OutcomeException        Outcome = "exception"
	OutcomeExceededCPU      Outcome = "exceededCpu"
	OutcomeExceededWallTime Outcome = "exceededWallTime"
	OutcomeExceededMemory   Outcome = "exceededMemory"
	OutcomeCanceled         Outcome = "canceled"
)

// Report is the end of an invocation, after its body was sent and its waitUntil promises settled.
type Report struct {
	Outcome Outcome
	CPU     time.Duration // spent running JavaScript, not waiting
	Wall    time.Duration
	// LogsDropped counts log lines past the limit on log volume.
	LogsDropped int
	// Subrequests counts what was sent out: fetches, calls, KV operations.
	Subrequests int
	// Storage counts what was done with the actor's storage.
	Storage StorageCounts
}
