package wire

import (
	"context"
	"errors"
	"io"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// sentinels are the errors that keep their identity across the wire. Both ends are the same binary, so their places in
// the list are enough.
var sentinels = [...]error{
	context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF,
	agentruntime.ErrExceededCPU, agentruntime.ErrExceededWall, agentruntime.ErrExceededMemory, agentruntime.ErrCanceled, agentruntime.ErrClosed,
	durable.ErrFenced, durable.ErrReset, durable.ErrTooLarge, durable.ErrCorrupt, durable.ErrFailed, durable.ErrClosed,
	durable.ErrTransaction, durable.ErrRange, durable.ErrNoClass, durable.ErrOverloaded, durable.ErrIdle, durable.ErrRetired,
}

// carried is an error that has crossed the wire: its text, and what errors.Is and errors.As find in it.
type carried struct {
	text string
	in   []error
}

func (e *carried) Error() string   { return e.text }
func (e *carried) Unwrap() []error { return e.in }

// Error writes an error that is not nil.
func (e *Encoder) Error(err error) {
	var (
		is      uint64
		remote  *agentruntime.RemoteError
		refused *agentruntime.RefusedError
		hosted  *agentruntime.HostError
		limit   *durable.LimitError
		closed  *agentruntime.CloseError
	)
	for i, s := range sentinels {
		if errors.Is(err, s) {
			is |= 1 << i
		}
	}
	e.String(err.Error())
	e.Uint(is)
	if e.Bool(errors.As(err, &remote)); remote != nil {
		e.String(remote.Name)
		e.String(remote.Message)
		e.String(remote.Stack)
		e.Bool(remote.Retryable)
		e.Bool(remote.Overloaded)
		e.Bool(remote.Reset)
	}
	if e.Bool(errors.As(err, &refused)); refused != nil {
		e.String(refused.Code)
		e.String(refused.Rule)
		e.String(refused.Message)
	}
	if e.Bool(errors.As(err, &hosted)); hosted != nil {
		e.String(hosted.Name)
		e.String(hosted.Message)
	}
	if e.Bool(errors.As(err, &limit)); limit != nil {
		e.String(limit.What)
		e.Int(int64(limit.Size))
		e.Int(int64(limit.Limit))
	}
	if e.Bool(errors.As(err, &closed)); closed != nil {
		e.Int(int64(closed.Code))
		e.String(closed.Reason)
	}
}

// Error reads what Encoder.Error wrote.
func (d *Decoder) Error() error {
	c := &carried{text: d.String()}
	is := d.Uint()
	if is >= 1<<len(sentinels) {
		d.fail("an unknown error")
	}
	if d.Bool() {
		c.in = append(c.in, &agentruntime.RemoteError{
			Name: d.String(), Message: d.String(), Stack: d.String(), Retryable: d.Bool(), Overloaded: d.Bool(), Reset: d.Bool(),
		})
	}
	if d.Bool() {
		c.in = append(c.in, &agentruntime.RefusedError{Code: d.String(), Rule: d.String(), Message: d.String()})
	}
	if d.Bool() {
		c.in = append(c.in, &agentruntime.HostError{Name: d.String(), Message: d.String()})
	}
	if d.Bool() {
		c.in = append(c.in, &durable.LimitError{What: d.String(), Size: int(d.Int()), Limit: int(d.Int())})
	}
	if d.Bool() {
		c.in = append(c.in, &agentruntime.CloseError{Code: int(d.Int()), Reason: d.String()})
	}
	for i, s := range sentinels {
		if is&(1<<i) != 0 {
			c.in = append(c.in, s)
		}
	}
	if len(c.in) == 1 && c.in[0].Error() == c.text {
		return c.in[0]
	}
	return c
}
