package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell/wire"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/toolcall"
)

// ServiceBinding binds an entrypoint of another agent.
type ServiceBinding struct {
	Binding string `json:"binding"`
	// Agent is the agent that is called.
	Agent string `json:"agent"`
	// Entrypoint is the export that answers; default the default export.
	Entrypoint string `json:"entrypoint,omitempty"`
	// Props is what the entrypoint finds as ctx.props, an object.
	Props map[string]any `json:"props,omitempty"`
}

// hop is this invocation in the chain of those that it begins.
func (h *host) hop(method string) record.Hop {
	return record.Hop{Agent: h.rel.name, Entry: h.entry, Actor: h.actor, Method: method}
}

// descend is the chain of an invocation of next that this one begins. It is refused where next is in the chain already, for agents that
// call each other in a circle would never end, and where it would be too long. The error is a loopError.
func (h *host) descend(method string, next record.Hop) ([]record.Hop, error) {
	hops := append(slices.Clip(h.chain), h.hop(method))
	if why := h.rel.edge.serving.Load().chains.objection(hops, next); why != "" {
		return nil, loopError{&agentruntime.RemoteError{Name: "Error", Message: why}}
	}
	return hops, nil
}

// looped is the answer that a request gets whose call would go in a circle or too deep; nil for other errors.
func (h *host) looped(err error) *agentruntime.Response {
	failed, ok := errors.AsType[loopError](err)
	if !ok {
		return nil
	}
	p := newProblem("chain", http.StatusLoopDetected, h.rec.ID())
	p.Detail = failed.Message
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // the circle has arrows
	_ = enc.Encode(p)        // strings and a number: it cannot fail
	whole := new(wire.Whole)
	whole.Reset(body.Bytes())
	return &agentruntime.Response{
		Status: http.StatusLoopDetected, StatusText: http.StatusText(http.StatusLoopDetected),
		Header: http.Header{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}, Body: whole,
	}
}

// admits says whether the agent takes calls of another one.
func (r *release) admits(caller string) bool {
	return caller == r.name || len(r.config.Callers) == 0 || slices.Contains(r.config.Callers, caller)
}

// errNotAdmitted is the refusal of a call by the callee's list of callers.
func errNotAdmitted(callee, caller string) error {
	return &agentruntime.RemoteError{Name: "Error", Message: fmt.Sprintf(
		"agent %s takes no calls of agent %s: it is not among its callers", callee, caller)}
}

// serviceCall is one call of another agent: the callee runs as itself, with a record of its own.
type serviceCall struct {
	from   *host
	to     *host
	entry  agentruntime.Entry
	note   record.Call
	begun  time.Time
	cancel context.CancelFunc
	detach func() bool // lets the callee go on after its caller
}

// reach decides about a call and begins it. What comes of it is to be noted, also of a refusal.
func (h *host) reach(ctx context.Context, target agentruntime.Target, kind record.Kind, method, path string) (context.Context, *serviceCall, error) {
	if err := h.hold(); err != nil { // code may not wait for its call; it is in the record all the same
		return nil, nil, err
	}
	c := &serviceCall{from: h, begun: time.Now(), note: record.Call{Kind: "service", Host: target.Binding, Method: method, Span: record.NewSpan()}}
	rel, entry, err := h.service(target, &c.note)
	if err == nil && !rel.admits(h.rel.name) {
		c.note.Decision, c.note.Rule = "refuse", "callers"
		err = errNotAdmitted(rel.name, h.rel.name)
	}
	var hops []record.Hop
	if err == nil {
		hops, err = h.descend(method, record.Hop{Agent: rel.name, Entry: entry.Name})
		if err != nil {
			c.note.Decision, c.note.Rule = "refuse", "chain"
		}
	}
	if err != nil {
		c.noted(0, err)
		return nil, nil, err
	}
	rec := h.rel.edge.openRecord(kind, rel)
	var trace string
	var who record.Who
	var unsampled bool
	h.rec.Read(func(mine *record.Entry) {
		trace, who = mine.Trace(), mine.Who
		unsampled = mine.Unsampled
	})
	rec.Write(func(e *record.Entry) {
		e.TraceID, e.ParentID, e.Unsampled = trace, c.note.Span, unsampled
		e.Who, e.Chain, e.Method, e.Path, e.Did.Ran = who, hops, method, path, true
	})
	c.entry = entry
	c.to = &host{rel: rel, rec: rec, chain: hops, entry: entry.Name, leases: new(leases)}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel, c.detach = cancel, context.AfterFunc(ctx, cancel)
	return own, c, nil
}

// service finds what a target names: of a binding in the agent's release, and else an entrypoint of the agent itself.
func (h *host) service(target agentruntime.Target, note *record.Call) (*release, agentruntime.Entry, error) {
	if target.Binding == "" {
		note.Host = h.rel.name + entryName(target.Entry.Name)
		return h.rel, target.Entry, nil
	}
	s, ok := h.rel.services[target.Binding]
	if !ok {
		return nil, agentruntime.Entry{}, fmt.Errorf("service %s: %w", target.Binding, agentruntime.ErrNoBinding)
	}
	note.Host = s.agent + entryName(s.entry.Name)
	rel := h.rel.edge.current(s.agent)
	if s.agent == h.rel.name {
		rel = h.rel
	}
	if rel == nil {
		return nil, agentruntime.Entry{}, &agentruntime.RemoteError{Name: "Error", Message: fmt.Sprintf("service %s: there is no agent %s any more", target.Binding, s.agent)}
	}
	return rel, s.entry, nil
}

func entryName(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}

// noted writes what came of the call into the caller's record, once.
func (c *serviceCall) noted(status int, err error) {
	c.note.Status, c.note.Millis, c.note.Start = status, record.Millis(time.Since(c.begun)), record.Millis(c.begun.Sub(c.from.rec.Begun()))
	if err != nil {
		c.note.Error = c.from.rel.redact(err.Error())
	}
	var callee record.Entry
	if c.to != nil {
		c.to.rec.Read(func(e *record.Entry) {
			callee = record.Entry{Time: e.Time, Agent: e.Agent, Did: record.Did{Calls: slices.Clone(e.Did.Calls), Tools: slices.Clone(e.Did.Tools)}}
		})
	}
	c.from.rec.Write(func(e *record.Entry) {
		e.AddCall(c.note)
		e.Take(&callee)
	})
	c.from.rec.Release(time.Now())
}

// finish waits in the background until the callee has done everything.
func (c *serviceCall) finish(inv invocation, status int) {
	c.from.rel.edge.work.Go(func() {
		rep := inv.Wait()
		c.to.rec.Write(func(e *record.Entry) { e.Out.Status = status })
		finish(c.to.rec, rep, true)
		c.to.leases.close()
		c.cancel()
		c.to.rec.Release(time.Now())
	})
}

// failed is an error of the callee as the caller's code sees it.
func (c *serviceCall) failed(err error) error { return c.to.rel.crossing(remoteError(err)) }

// serviceFetch has another agent, or another entrypoint of this one, answer a request.
func (h *host) serviceFetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	own, c, err := h.reach(ctx, target, record.KindFetch, req.Method, pathOf(req.URL))
	if answer := h.looped(err); answer != nil {
		return answer, nil
	}
	if err != nil {
		return nil, err
	}
	seen := c.seen(req)
	inv := c.to.rel.agent.FetchAt(own, c.to, c.entry, req)
	resp, err := inv.Response()
	status := 0
	switch {
	case err != nil:
		err = c.failed(err)
	case resp == nil:
		err = &agentruntime.RemoteError{Name: "Error", Message: fmt.Sprintf("agent %s answered with no Response", c.to.rel.name)}
	default:
		status = resp.Status
		seen(resp)
	}
	c.noted(status, err)
	c.finish(inv, status)
	if err != nil {
		c.detach()
		return nil, err
	}
	if _, whole := resp.Body.(interface{ Len() int }); whole || resp.Body == nil {
		c.detach()
	} else {
		resp.Body = &answerBody{ReadCloser: resp.Body, ended: c.detach}
	}
	return resp, nil
}

// seen watches the request of a call, and gives what watches the answer: what the callee is called as is seen where it answers.
func (c *serviceCall) seen(req *agentruntime.Request) func(*agentruntime.Response) {
	return c.to.watch(req, "in", "", c.begun)
}

// watch looks for tools and models in a request's body and, by the function it gives, in the answer's.
func (h *host) watch(req *agentruntime.Request, direction, to string, begun time.Time) func(*agentruntime.Response) {
	if req.Body == nil || !toolcall.Asks(req.Header.Get("Content-Type")) {
		return func(*agentruntime.Response) {}
	}
	out := h.rel.edge.out()
	x := out.watch(h.rel.redact)
	req.Body = x.Request(req.Body)
	note := out.note(h.rec, direction, to, begun)
	return func(resp *agentruntime.Response) {
		if resp.Body != nil {
			resp.Body = x.Response(resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"), resp.Body, note)
		}
	}
}

// serviceCallMember uses a member of another agent's entrypoint.
func (h *host) serviceCallMember(ctx context.Context, target agentruntime.Target, call agentruntime.Call) (agentruntime.Value, error) {
	own, c, err := h.reach(ctx, target, record.KindCall, strings.Join(call.Path, "."), "")
	if err != nil {
		call.Args.Close()
		return agentruntime.Value{}, err
	}
	inv := c.to.rel.agent.Call(own, c.to, c.entry, call)
	result, err := inv.Result()
	c.detach()
	if err != nil {
		err = c.failed(err)
	}
	c.noted(0, err)
	c.finish(inv, 0)
	return h.leases.keep(result), err
}

// answerBody is the body of another agent's answer: until its end the callee ends with its caller.
type answerBody struct {
	io.ReadCloser
	ended func() bool
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended()
	}
	return n, err
}

func (b *answerBody) Close() error {
	b.ended()
	return b.ReadCloser.Close()
}

// pathOf is a URL's path, for the record, which holds no query.
func pathOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "?")
	return "/" + path
}

// leases are the references that one invocation's code, or one actor's, was given. They end with it, whatever the code
// does about them: what they refer to is kept from ending by each of them.
type leases struct {
	mu    sync.Mutex
	open  map[*lease]struct{}
	ended bool
}

type lease struct {
	agentruntime.Remote
	of *leases
}

// keep makes the references of a value leases.
func (l *leases) keep(v agentruntime.Value) agentruntime.Value {
	if len(v.Remotes) == 0 {
		return v
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range v.Remotes {
		if l.ended {
			_ = m.Close()
			continue
		}
		held := &lease{m, l}
		if l.open == nil {
			l.open = map[*lease]struct{}{}
		}
		l.open[held] = struct{}{}
		v.Remotes[i] = held
	}
	return v
}

// Call keeps what the call gives as well.
func (l *lease) Call(ctx context.Context, call agentruntime.Call) (agentruntime.Value, error) {
	v, err := l.Remote.Call(ctx, call)
	return l.of.keep(v), err
}

func (l *lease) Close() error {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.of.mu.Unlock()
	return l.Remote.Close()
}

// close ends them all.
func (l *leases) close() {
	l.mu.Lock()
	open := l.open
	l.open, l.ended = nil, true
	l.mu.Unlock()
	for held := range open {
		_ = held.Remote.Close()
	}
}

// checkServices refuses services and callers that are not there.
func (a *App) checkServices(name string, c *AgentConfig) error {
	rel := a.agents[name].release.Load()
	for _, s := range rel.config.Services {
		to := a.agents[s.Agent]
		if to == nil {
			return at(c.Place, "agent %s: service %s: no such agent as %s; define it in the global gatehouse block (there are: %s)", name, s.Binding, s.Agent, names(a.Agents))
		}
		callee := to.release.Load()
		if !callee.admits(name) {
			return at(c.Place, "agent %s: service %s: agent %s takes no calls of it; add it there: callers %s", name, s.Binding, s.Agent, strings.Join(append(slices.Clone(callee.config.Callers), name), " "))
		}
		entry := s.Entrypoint
		if entry == "" {
			entry = "default"
		}
		if all := callee.agent.Entrypoints(); !slices.Contains(all, entry) {
			there := "none"
			if len(all) > 0 {
				there = strings.Join(all, ", ")
			}
			return at(c.Place, "agent %s: service %s: the code of %s has no entrypoint %s (there are: %s); export an object with handlers, or a class that extends WorkerEntrypoint", name, s.Binding, s.Agent, entry, there)
		}
	}
	for _, caller := range rel.config.Callers {
		if a.agents[caller] == nil {
			return at(c.Place, "agent %s: callers %s: no such agent; define it in the global gatehouse block (there are: %s)", name, caller, names(a.Agents))
		}
	}
	return nil
}
