package wire

import (
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
)

// What an invocation, or a request of code's, came to.
const (
	resultNothing byte = iota
	resultResponse
	resultValue
	resultError
)

// Result is what an invocation came to. Not more than one field is set; none says that the code returned nothing.
type Result struct {
	Response *agentruntime.Response
	Value    agentruntime.Value
	Err      error
}

// Result writes a result. A response's body may be to come as a stream of x: then it returns the stream, for the body to
// be copied to after the answer was sent.
func (e *Encoder) Result(x *Exchange, r Result) (*Outbound, io.ReadCloser) {
	switch {
	case r.Err != nil:
		e.Byte(resultError)
		e.Error(r.Err)
	case r.Response != nil:
		e.Byte(resultResponse)
		e.Response(x.conn, r.Response)
		if e.Body(r.Response.Body) {
			return x.Send(Window), r.Response.Body
		}
	case r.Value.Data != nil:
		e.Byte(resultValue)
		e.Value(x.conn, r.Value)
	default:
		e.Byte(resultNothing)
	}
	return nil, nil
}

// Result reads a result; a stream of x is attached.
func (d *Decoder) Result(x *Exchange) (r Result) {
	switch k := d.Byte(); k {
	case resultNothing:
	case resultResponse:
		r.Response = d.Response(x.conn)
		r.Response.Body = d.Body(x, Window)
	case resultValue:
		r.Value = d.Value(x.conn)
	case resultError:
		r.Err = d.Error()
	default:
		d.fail("a result of kind %d", k)
	}
	return r
}

// Ended writes an invocation's end, if there is one yet; busy says that its actor has something under way.
func (e *Encoder) Ended(ended bool, r agentruntime.Report, busy bool) {
	if e.Bool(ended); ended {
		e.Report(r)
		e.Bool(busy)
	}
}

// Ended reads what Encoder.Ended wrote.
func (d *Decoder) Ended() (ended bool, r agentruntime.Report, busy bool) {
	if d.Bool() {
		return true, d.Report(), d.Bool()
	}
	return false, r, false
}
