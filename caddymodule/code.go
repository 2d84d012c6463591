package caddymodule

import (
	"context"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell"
	"github.com/gatehouse-edge/gatehouse/durable"
)

// code is an agent's code, in a process of its own or in this one. Its methods mean what those of agentruntime.Agent do.
type code interface {
	Limits() agentruntime.Limits
	Handlers() []string
	Classes() []string
	DurableClasses() []string
	WorkflowClasses() []string
	Entrypoints() []string
	Handles(entry, handler string) bool
	SlowStart() string
	FetchAt(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, req *agentruntime.Request) invocation
	Call(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, call agentruntime.Call) invocation
	Scheduled(ctx context.Context, host agentruntime.Host, cron string, at time.Time) invocation
	Tail(ctx context.Context, host agentruntime.Host, events []byte) invocation
	Activate(ctx context.Context, class string, from durable.Activation, host agentruntime.Host, sockets agentruntime.Sockets) (actorCode, error)
	// Close says that no more than what is under way is to come.
	Close()
}

// invocation is one event that code handles.
type invocation interface {
	Response() (*agentruntime.Response, error)
	Result() (agentruntime.Value, error)
	Wait() agentruntime.Report
	Ended() (agentruntime.Report, bool)
}

// actorCode is the code of one actor in memory.
type actorCode interface {
	Fetch(ctx context.Context, host agentruntime.Host, req *agentruntime.Request) invocation
	Call(ctx context.Context, host agentruntime.Host, call agentruntime.Call) invocation
	Socket(ctx context.Context, host agentruntime.Host, ev agentruntime.SocketEvent) invocation
	Alarm(ctx context.Context, host agentruntime.Host) (agentruntime.Report, error)
	Broken() error
	Busy() bool
	Close(reason error)
}

// inProcess is code in this process.
type inProcess struct{ *agentruntime.Agent }

func (c inProcess) FetchAt(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, req *agentruntime.Request) invocation {
	return c.Agent.FetchAt(ctx, host, entry, req)
}

func (c inProcess) Call(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, call agentruntime.Call) invocation {
	return c.Agent.Call(ctx, host, entry, call)
}

func (c inProcess) Scheduled(ctx context.Context, host agentruntime.Host, cron string, at time.Time) invocation {
	return c.Agent.Scheduled(ctx, host, cron, at)
}

func (c inProcess) Tail(ctx context.Context, host agentruntime.Host, events []byte) invocation {
	return c.Agent.Tail(ctx, host, events)
}

func (c inProcess) Activate(ctx context.Context, class string, from durable.Activation, host agentruntime.Host, sockets agentruntime.Sockets) (actorCode, error) {
	x, err := c.Agent.Activate(ctx, agentruntime.ActorConfig{
		Class: class, ID: from.Key.ID, Name: from.Name, Storage: durable.NewStorage(from.StorageConfig()), Host: host, Sockets: sockets,
	})
	if err != nil {
		return nil, err
	}
	return inProcessActor{x}, nil
}

func (inProcess) Close() {}

type inProcessActor struct{ *agentruntime.Actor }

func (x inProcessActor) Fetch(ctx context.Context, host agentruntime.Host, req *agentruntime.Request) invocation {
	return x.Actor.Fetch(ctx, host, req)
}

func (x inProcessActor) Socket(ctx context.Context, host agentruntime.Host, ev agentruntime.SocketEvent) invocation {
	return x.Actor.Socket(ctx, host, ev)
}

func (x inProcessActor) Call(ctx context.Context, host agentruntime.Host, call agentruntime.Call) invocation {
	return x.Actor.Call(ctx, host, call)
}

// inCell is code in a process of its own.
type inCell struct{ *cell.Agent }

func (c inCell) FetchAt(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, req *agentruntime.Request) invocation {
	return c.Agent.FetchAt(ctx, host, entry, req)
}

func (c inCell) Call(ctx context.Context, host agentruntime.Host, entry agentruntime.Entry, call agentruntime.Call) invocation {
	return c.Agent.Call(ctx, host, entry, call)
}

func (c inCell) Scheduled(ctx context.Context, host agentruntime.Host, cron string, at time.Time) invocation {
	return c.Agent.Scheduled(ctx, host, cron, at)
}

func (c inCell) Tail(ctx context.Context, host agentruntime.Host, events []byte) invocation {
	return c.Agent.Tail(ctx, host, events)
}

func (c inCell) Activate(ctx context.Context, class string, from durable.Activation, host agentruntime.Host, sockets agentruntime.Sockets) (actorCode, error) {
	x, err := c.Agent.Activate(ctx, class, from, host, sockets)
	if err != nil {
		return nil, err
	}
	return inCellActor{x}, nil
}

type inCellActor struct{ *cell.Actor }

func (x inCellActor) Fetch(ctx context.Context, host agentruntime.Host, req *agentruntime.Request) invocation {
	return x.Actor.Fetch(ctx, host, req)
}

func (x inCellActor) Socket(ctx context.Context, host agentruntime.Host, ev agentruntime.SocketEvent) invocation {
	return x.Actor.Socket(ctx, host, ev)
}

func (x inCellActor) Call(ctx context.Context, host agentruntime.Host, call agentruntime.Call) invocation {
	return x.Actor.Call(ctx, host, call)
}
