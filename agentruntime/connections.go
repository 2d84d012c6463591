package agentruntime

import "context"

// connections are the places of those that wait for the head of an answer. It is made at first use, on the loop.
type connections chan struct{}

// connections returns the invocation's.
func (inv *Invocation) connections() connections {
	if inv.waiting == nil {
		inv.waiting = make(connections, inv.limits.Connections)
	}
	return inv.waiting
}

// during runs work when a place is free, and gives the place back when work returns.
func (c connections) during(ctx context.Context, work func() error) error {
	select {
	case c <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c }()
	return work()
}

// connected is send for what counts as a connection while it waits for its answer.
func (inv *Invocation) connected(work func(ctx context.Context) (any, error)) func(ctx context.Context) (any, error) {
	places := inv.connections()
	return func(ctx context.Context) (res any, err error) {
		err = places.during(ctx, func() error {
			res, err = work(ctx)
			return err
		})
		return res, err
	}
}
