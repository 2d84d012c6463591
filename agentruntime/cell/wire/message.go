package wire

import (
	"bytes"
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// Operations that a gateway asks of a cell.
const (
	OpLoad      byte = 1 + iota // code to run from now on: Load; answered with Loaded
	OpFetch                     // an HTTP request for the code
	OpScheduled                 // a cron that is due
	OpTail                      // records for the tail handler
	OpCall                      // a member of an entrypoint
	OpActivate                  // an actor to make; the exchange lasts as long as the actor
	OpActorFetch
	OpActorCall
	OpActorAlarm
	OpActorSocket // an event of a socket that is kept for the actor: SocketEvent
)

// Operations that a cell asks of its gateway. All but the storage's begin with the invocation they are asked for, the
// storage's with the actor: the number of the exchange that it is.
const (
	OpHostFetch byte = 64 + iota
	OpHostCall
	OpHostKV
	OpHostConnect
	OpHostLimit
	OpHostSecret
	OpGet
	OpScan
	OpCommit
	OpSocketAccept // like the storage's, those of an actor's sockets begin with the actor
	OpSocketList
	OpSocketLook
	OpSocketAuto
	OpHostActors // begins with the invocation again
)

// Notes within an exchange.
const (
	NoteEvent        byte = 1 + iota // of an invocation: something that its code emitted
	NoteReport                       // of an invocation: its end
	NotePart                         // of a read: a part of the answer
	NoteEnded                        // of an actor: it cannot be used any more, and why
	NoteIdle                         // of an actor that was busy: it is not any more
	NoteGone                         // of an actor: nothing of it runs any more
	NoteSocketSend                   // of an actor: a message for one of its sockets
	NoteSocketEnd                    // of an actor: the close of one
	NoteSocketAttach                 // of an actor: what is kept with one
	NoteSocketAuto                   // of an actor: its automatic answer
)

// Notes that belong to no exchange.
const (
	NoteReady byte = 64 + iota // of a cell: what it has put itself under
	NotePing
	NotePong
	NoteDying    // of a cell: it is about to end, and why
	NoteCompiled // of a cell: it has compiled the code, and evaluates it from now on
	NotePressure // of a cell: its memory is nearly used up
)

// WholeBody is the most bytes of a body that travel with the head.
const WholeBody = 32 << 10

// A body in a message is one of these.
const (
	bodyNone byte = iota
	bodyWhole
	bodyStream
)

// Whole is a body that came with its head.
type Whole struct{ bytes.Reader }

// Close does nothing.
func (*Whole) Close() error { return nil }

// Body writes a body, or that it is to come as a stream: then it reports true.
func (e *Encoder) Body(body io.ReadCloser) (stream bool) {
	if body == nil {
		e.Byte(bodyNone)
		return false
	}
	known, ok := body.(interface{ Len() int })
	if !ok || known.Len() > WholeBody {
		e.Byte(bodyStream)
		return true
	}
	e.Byte(bodyWhole)
	e.Whole(body, known.Len())
	_ = body.Close()
	return false
}

// Short writes the n bytes of a body that are on their way, waiting for them. If they do not come, what has come and the error
// are returned as the stream that follows.
func (e *Encoder) Short(body io.Reader, n int) io.ReadCloser {
	at := len(e.b)
	e.Byte(bodyWhole)
	e.Uint(uint64(n) + 1)
	from := len(e.b)
	e.b = append(e.b, make([]byte, n)...)
	got, err := io.ReadFull(body, e.b[from:])
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	begun := append([]byte(nil), e.b[from:from+got]...)
	e.b = append(e.b[:at], bodyStream)
	return &broken{bytes.NewReader(begun), err}
}

// broken is a body that broke off.
type broken struct {
	*bytes.Reader
	err error
}

func (b *broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (*broken) Close() error { return nil }

// Whole writes the n bytes that src has.
func (e *Encoder) Whole(src io.Reader, n int) {
	e.Uint(uint64(n) + 1)
	at := len(e.b)
	e.b = append(e.b, make([]byte, n)...)
	if _, err := io.ReadFull(src, e.b[at:]); err != nil {
		clear(e.b[at:]) // a reader that does not have what it says: nothing of this module's
	}
}

// Body reads a body; a stream of x if it is one, with so large a window.
func (d *Decoder) Body(x *Exchange, window int) io.ReadCloser {
	switch k := d.Byte(); k {
	case bodyNone:
		return nil
	case bodyWhole:
		w := new(Whole)
		w.Reset(d.Bytes())
		return w
	case bodyStream:
		if d.err == nil {
			return x.Receive(window)
		}
	default:
		d.fail("a body of kind %d", k)
	}
	return nil
}

// Request writes a request's head. Its body follows.
func (e *Encoder) Request(r *agentruntime.Request) {
	e.String(r.Method)
	e.String(r.URL)
	e.Header(r.Header)
	e.Int(r.ContentLength)
	e.String(r.Redirect)
	e.Bytes(r.CF)
}

func (d *Decoder) Request() *agentruntime.Request {
	return &agentruntime.Request{
		Method: d.String(), URL: d.String(), Header: d.Header(), ContentLength: d.Int(), Redirect: d.String(), CF: d.Bytes(),
	}
}

// Response writes a response's head. Its body follows.
func (e *Encoder) Response(c *Conn, r *agentruntime.Response) {
	e.Int(int64(r.Status))
	e.String(r.StatusText)
	e.Header(r.Header)
	e.String(r.URL)
	e.Bool(r.Redirected)
	e.Socket(c, r.Socket)
}

func (d *Decoder) Response(c *Conn) *agentruntime.Response {
	r := &agentruntime.Response{
		Status: int(d.Int()), StatusText: d.String(), Header: d.Header(), URL: d.String(), Redirected: d.Bool(),
	}
	r.Socket = d.Socket(c)
	if r.Status < 100 || r.Status > 999 {
		d.fail("a response with status %d", r.Status)
	}
	return r
}

func (e *Encoder) Target(t agentruntime.Target) {
	e.Byte(byte(t.Kind))
	e.String(t.Binding)
	e.String(t.Actor)
	e.String(t.Name)
	e.Entry(t.Entry)
}

func (d *Decoder) Target() agentruntime.Target {
	return agentruntime.Target{Kind: agentruntime.TargetKind(d.Byte()), Binding: d.String(), Actor: d.String(), Name: d.String(), Entry: d.Entry()}
}

func (e *Encoder) Report(r agentruntime.Report) {
	e.String(string(r.Outcome))
	e.Duration(r.CPU)
	e.Duration(r.Wall)
	e.Uint(uint64(r.LogsDropped))
	e.Uint(uint64(r.Subrequests))
	e.Uint(uint64(r.Storage.Reads))
	e.Uint(uint64(r.Storage.Writes))
	e.Uint(uint64(r.Storage.SQL))
}

func (d *Decoder) Report() agentruntime.Report {
	r := agentruntime.Report{
		Outcome: agentruntime.Outcome(d.String()), CPU: d.Duration(), Wall: d.Duration(),
		LogsDropped: int(d.Uint()), Subrequests: int(d.Uint()),
		Storage: agentruntime.StorageCounts{Reads: int(d.Uint()), Writes: int(d.Uint()), SQL: int(d.Uint())},
	}
	switch r.Outcome {
	case "", agentruntime.OutcomeOK, agentruntime.OutcomeException, agentruntime.OutcomeExceededCPU, agentruntime.OutcomeExceededWallTime,
		agentruntime.OutcomeExceededMemory, agentruntime.OutcomeCanceled:
	default:
		d.fail("an outcome that is not known")
	}
	if r.CPU < 0 || r.Wall < 0 || r.LogsDropped < 0 || r.Subrequests < 0 || r.Storage.Reads < 0 || r.Storage.Writes < 0 || r.Storage.SQL < 0 {
		d.fail("a report with negative numbers")
	}
	return r
}

func (e *Encoder) KVOp(op agentruntime.KVOp) {
	e.String(op.Binding)
	e.Byte(byte(op.Verb))
	e.String(op.Key)
	e.Bytes(op.Value)
	e.Bytes(op.Metadata)
	e.Time(op.Expiration)
	e.Bool(op.If)
	e.String(op.IfVersion)
	e.String(op.Prefix)
	e.String(op.Cursor)
	e.Int(int64(op.Limit))
}

func (d *Decoder) KVOp() agentruntime.KVOp {
	return agentruntime.KVOp{
		Binding: d.String(), Verb: agentruntime.KVVerb(d.Byte()), Key: d.String(), Value: d.Bytes(), Metadata: d.Bytes(),
		Expiration: d.Time(), If: d.Bool(), IfVersion: d.String(), Prefix: d.String(), Cursor: d.String(), Limit: int(d.Int()),
	}
}

func (e *Encoder) KVResult(r agentruntime.KVResult) {
	e.Bool(r.Found)
	e.Bytes(r.Value)
	e.Bytes(r.Metadata)
	e.String(r.Version)
	e.Uint(uint64(len(r.Keys)))
	for _, k := range r.Keys {
		e.String(k.Name)
		e.Time(k.Expiration)
		e.Bytes(k.Metadata)
	}
	e.Bool(r.Complete)
	e.String(r.Cursor)
}

func (d *Decoder) KVResult() agentruntime.KVResult {
	r := agentruntime.KVResult{Found: d.Bool(), Value: d.Bytes(), Metadata: d.Bytes(), Version: d.String()}
	for range d.count(maxList) {
		r.Keys = append(r.Keys, agentruntime.KVKey{Name: d.String(), Expiration: d.Time(), Metadata: d.Bytes()})
	}
	r.Complete, r.Cursor = d.Bool(), d.String()
	return r
}

// Kinds of events.
const (
	eventLog byte = iota
	eventException
	eventPoint
	eventTool
	eventStep
)

func (e *Encoder) Event(ev agentruntime.Event) {
	switch {
	case ev.Log != nil:
		e.Byte(eventLog)
		e.Int(ev.Log.Time.UnixNano())
		e.String(ev.Log.Level)
		e.String(ev.Log.Message)
	case ev.Exception != nil:
		e.Byte(eventException)
		e.Int(ev.Exception.Time.UnixNano())
		e.String(ev.Exception.Name)
		e.String(ev.Exception.Message)
		e.String(ev.Exception.Stack)
	case ev.Tool != nil:
		e.Byte(eventTool)
		e.Int(ev.Tool.Time.UnixNano())
		e.Duration(ev.Tool.Duration)
		e.String(ev.Tool.Name)
		e.String(ev.Tool.Input)
		e.String(ev.Tool.Output)
		e.String(ev.Tool.Error)
	case ev.Step != nil:
		e.Byte(eventStep)
		e.Int(ev.Step.Time.UnixNano())
		e.Duration(ev.Step.Duration)
		e.String(ev.Step.Name)
		e.Int(int64(ev.Step.Attempt))
		e.String(ev.Step.Error)
	default:
		e.Byte(eventPoint)
		e.String(ev.Point.Binding)
		e.Strings(ev.Point.Indexes)
		e.Strings(ev.Point.Blobs)
		e.Uint(uint64(len(ev.Point.Doubles)))
		for _, v := range ev.Point.Doubles {
			e.Float(v)
		}
	}
}

func (d *Decoder) Event() (ev agentruntime.Event) {
	switch k := d.Byte(); k {
	case eventLog:
		ev.Log = &agentruntime.Log{Time: unixNano(d.Int()), Level: d.String(), Message: d.String()}
	case eventException:
		ev.Exception = &agentruntime.Exception{Time: unixNano(d.Int()), Name: d.String(), Message: d.String(), Stack: d.String()}
	case eventPoint:
		p := &agentruntime.DataPoint{Binding: d.String(), Indexes: d.Strings(), Blobs: d.Strings()}
		for range d.count(maxList) {
			p.Doubles = append(p.Doubles, d.Float())
		}
		// Analytics Engine's limits on a point.
		if len(p.Indexes) > 1 || len(p.Blobs) > 20 || len(p.Doubles) > 20 {
			d.fail("a data point with %d indexes, %d blobs and %d doubles", len(p.Indexes), len(p.Blobs), len(p.Doubles))
		}
		ev.Point = p
	case eventTool:
		ev.Tool = &agentruntime.ToolCall{Time: unixNano(d.Int()), Duration: d.Duration(), Name: d.String(), Input: d.String(), Output: d.String(), Error: d.String()}
	case eventStep:
		ev.Step = &agentruntime.Step{Time: unixNano(d.Int()), Duration: d.Duration(), Name: d.String(), Attempt: int(d.Int()), Error: d.String()}
	default:
		d.fail("an event of kind %d", k)
	}
	return ev
}
