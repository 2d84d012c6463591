package caddymodule

import (
	"context"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
)

// This file is the one place where errors become HTTP.

// statusClientGone is what Caddy and others log for a client that went away.
const statusClientGone = 499

// httpError is the error for an invocation that gave no answer. The code's own message is in the record and stays out
// of the answer: handle_errors decides what the client sees.
func (v *visit) httpError(rel *release, err error) error {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, agentruntime.ErrExceededCPU), errors.Is(err, agentruntime.ErrExceededMemory), errors.Is(err, cell.ErrEnded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, agentruntime.ErrExceededWall):
		status = http.StatusGatewayTimeout
	case errors.Is(err, durable.ErrOverloaded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, agentruntime.ErrCanceled), errors.Is(err, context.Canceled):
		status = statusClientGone
	}
	return v.refusal("agent", status, errors.New("agent "+rel.name+": "+rel.redact(err.Error())))
}

// refusal is the error that ends a request in a stage. A handle_errors of the site sees it; without one, the client gets a
// problem document (problem.go). Its id is the record's, which the client gets as X-Request-Id.
func (v *visit) refusal(stage string, status int, err error) error {
	v.writer.Header().Set("X-Request-Id", v.rec.ID())
	return caddyhttp.HandlerError{Err: stageError{stage, err}, StatusCode: status, ID: v.rec.ID()}
}

// remoteError is a failure of an actor as the caller's code sees it.
func remoteError(err error) error {
	var remote *agentruntime.RemoteError
	switch {
	case errors.As(err, &remote), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, durable.ErrOverloaded):
		return &agentruntime.RemoteError{Name: "Error", Message: "the durable actor is overloaded", Overloaded: true, Retryable: true}
	case errors.Is(err, durable.ErrNoClass):
		return &agentruntime.RemoteError{Name: "Error", Message: "no agent of this server has the class of this durable actor"}
	case errors.Is(err, durable.ErrRetired):
		return &agentruntime.RemoteError{Name: "Error", Message: "the durable actor was reset because its code was updated", Reset: true, Retryable: true}
	case errors.Is(err, durable.ErrReset), errors.Is(err, durable.ErrFenced), errors.Is(err, durable.ErrClosed):
		return &agentruntime.RemoteError{Name: "Error", Message: "the durable actor was reset", Reset: true, Retryable: true}
	}
	return &agentruntime.RemoteError{Name: "Error", Message: err.Error()}
}

// fetchError is a failed fetch as code sees it: a refusal of the policy with its code and rule, or, where the policy
// allowed it, the TypeError that fetch rejects with.
func fetchError(err error) error {
	var refused *egress.Refusal
	if errors.As(err, &refused) {
		return &agentruntime.RefusedError{Code: refused.Code(), Rule: refused.Rule, Message: refused.Error()}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &agentruntime.HostError{Name: "TypeError", Message: "fetch failed: " + err.Error()}
}

// crossing strikes this agent's secrets out of an error that leaves for another's code.
func (r *release) crossing(err error) error {
	var remote *agentruntime.RemoteError
	if !errors.As(err, &remote) {
		return err
	}
	clean := *remote
	clean.Message, clean.Stack = r.redact(remote.Message), r.redact(remote.Stack)
	return &clean
}
