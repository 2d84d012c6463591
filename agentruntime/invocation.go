package agentruntime

import (
	"context"
	"errors"
)

// invocation is one event that an agent handles: a request, a scheduled time, a call. What its code starts, logs and
// sends is counted and written down for it.
type invocation struct {
	parent context.Context
	hosted Host
	sent   int
	limit  int
	holds  int
}

// ctx ends with the invocation: when the caller has gone, a limit was passed, or everything is done.
func (inv *invocation) ctx() context.Context { return inv.parent }

// host is the invocation's way to the world.
func (inv *invocation) host() Host { return inv.hosted }

// hold keeps the invocation from ending, while a body is pumped for instance. The function returned lets go; calling
// it again does nothing. Both are on the loop only.
func (inv *invocation) hold() (release func()) {
	inv.holds++
	done := false
	return func() {
		if !done {
			done = true
			inv.holds--
		}
	}
}

var errSubrequests = errors.New("too many subrequests")

// subrequest counts one request of the current invocation to the world outside, and refuses it past the limit.
func (r *realm) subrequest() error {
	inv := r.current()
	if inv.sent >= inv.limit {
		return errSubrequests
	}
	inv.sent++
	return nil
}

// gateOutput runs fn once what the actor has written so far is durable, or with the error that kept it from being so;
// elsewhere at once. fn may run on any goroutine and must not touch the realm. Whatever leaves an actor passes here.
func (r *realm) gateOutput(fn func(error)) { fn(nil) }
