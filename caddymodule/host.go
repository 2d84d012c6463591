package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/kv"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/analytics"
	"github.com/gatehouse-edge/gatehouse/record/toolcall"
)

// host is one invocation's way to the world: it decides what the invocation's agent may do and writes it down. It
// trusts nothing that it is asked: every binding is looked up in the release.
type host struct {
	rel *release
	rec *record.Record
	// origin is the next handler, nil where there is none: in actors, alarms and schedules.
	origin *origin
	// chain are the invocations that led to this one; actor is the id of the actor that it is an event of.
	chain []record.Hop
	actor string
	// entry is the entrypoint of the agent; empty for the default one.
	entry string
	// leases are the references that the code was given.
	leases *leases
	steps  atomic.Int32 // that a workflow's run has told of
}

// Fetch implements agentruntime.Host.
func (h *host) Fetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	switch target.Kind {
	case agentruntime.TargetEgress:
		if isUpgrade(req.Header) {
			return h.dialSocket(ctx, req)
		}
		return h.egress(ctx, req)
	case agentruntime.TargetOrigin:
		if h.origin == nil {
			return nil, errors.New("env.ORIGIN: there is no origin behind this invocation; only the handler of a request has one")
		}
		if isUpgrade(req.Header) {
			return nil, errors.New("env.ORIGIN: a WebSocket of the origin can't pass through code; return nothing, and the origin answers the client itself")
		}
		return h.origin.fetch(ctx, h.rec, req)
	case agentruntime.TargetActor:
		return h.actorFetch(ctx, target, req)
	case agentruntime.TargetService:
		return h.serviceFetch(ctx, target, req)
	case agentruntime.TargetAssets:
		return h.assetsFetch(ctx, target, req)
	case agentruntime.TargetCache:
		return h.cacheFetch(ctx, target, req)
	}
	return nil, fmt.Errorf("fetch: unknown target %d", target.Kind)
}

// hold keeps the record open for what is about to go out, until it is released. An invocation that has ended sends nothing any more, for
// nobody would know of it; what an actor's event began may go on after the event.
func (h *host) hold() error {
	if h.rec.Hold() || h.actor != "" {
		return nil
	}
	h.rec.Release(time.Now())
	return agentruntime.ErrCanceled
}

// egress sends req through the agent's policy.
func (h *host) egress(ctx context.Context, req *agentruntime.Request) (*agentruntime.Response, error) {
	out, err := http.NewRequestWithContext(ctx, req.Method, req.URL, req.Body)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	out.Header = req.Header
	out.ContentLength = req.ContentLength
	// Code may not wait for its request, nor read the answer's body to the end: the call is in the record all the same.
	if err := h.hold(); err != nil {
		return nil, err
	}
	defer func() { h.rec.Release(time.Now()) }()
	begun, span := time.Now(), record.NewSpan()
	if out.Header.Get("Traceparent") == "" {
		h.rec.Read(func(e *record.Entry) { out.Header.Set("Traceparent", traceparent(e, span)) })
	}
	if err := h.rel.edge.serving.Load().chains.outgoing(out, append(slices.Clip(h.chain), h.hop(req.Method))); err != nil {
		return nil, err
	}
	seen := h.watch(req, "out", out.URL.Host, begun)
	out.Body = req.Body
	hops := map[int]int{}
	opt := egress.Options{Observe: func(c egress.Call) { h.observe(hops, c, true, span) }}
	switch req.Redirect {
	case "manual":
		opt.Redirect = egress.RedirectManual
	case "error":
		opt.Redirect = egress.RedirectError
	}
	res, err := h.rel.policy.Do(ctx, out, opt)
	if err != nil {
		return nil, fetchError(err)
	}
	h.observe(hops, res.Call, false, span)
	answer := &agentruntime.Response{
		Status: res.Response.StatusCode, StatusText: http.StatusText(res.Response.StatusCode), Header: res.Response.Header,
		Body: refusingBody{res.Response.Body}, URL: res.URL.String(), Redirected: res.Redirected,
	}
	seen(answer)
	return answer, nil
}

// traceparent is the header that has the receiver go on with the record's trace (https://www.w3.org/TR/trace-context/).
func traceparent(e *record.Entry, span string) string {
	flags := "-01"
	if e.Unsampled {
		flags = "-00"
	}
	return "00-" + e.Trace() + "-" + span + flags
}

// observe writes one hop of an outgoing request down; ended says that what was written of it before is out of date. hops
// has the place in the record of each hop.
func (h *host) observe(hops map[int]int, c egress.Call, ended bool, span string) {
	noteCall(h.rec, h.rel.redact, hops, c, ended, span)
}

// noteCall writes a hop down. span is that of the first.
func noteCall(rec *record.Record, redact func(string) string, hops map[int]int, c egress.Call, ended bool, span string) {
	to := c.Host
	if c.Port != 0 && !(c.Port == 443 && c.Scheme == "https") && !(c.Port == 80 && c.Scheme == "http") {
		to = fmt.Sprintf("%s:%d", c.Host, c.Port)
	}
	call := record.Call{
		Kind: "egress", Host: redact(to), Method: c.Method, Status: c.Status, BytesOut: c.BytesOut, BytesIn: c.BytesIn,
		Millis: record.Millis(c.Duration), Decision: c.Decision, Rule: c.Rule, Error: c.Reason,
		First: c.First, Injected: c.Injected, Found: c.Found,
		Start: max(0, record.Millis(time.Since(rec.Begun())-c.Duration)),
	}
	if c.Hop == 0 {
		call.Span = span
	}
	rec.Write(func(e *record.Entry) {
		at, written := hops[c.Hop]
		switch {
		case !written:
			hops[c.Hop] = len(e.Did.Calls)
			e.AddCall(call)
		case ended && at < len(e.Did.Calls):
			call.Start = e.Did.Calls[at].Start
			e.Did.Calls[at] = call
		}
	})
}

// refusingBody gives a body's refusal, such as of too long an answer, the form that code understands.
type refusingBody struct{ io.ReadCloser }

func (b refusingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = fetchError(err)
	}
	return n, err
}

// namespace finds the namespace of a binding, if the agent may reach it.
func (h *host) namespace(binding string) (durable.Namespace, error) {
	ns, ok := h.rel.actors[binding]
	if !ok {
		return ns, fmt.Errorf("durable %s: %w", binding, agentruntime.ErrNoBinding)
	}
	if owner, _, _ := strings.Cut(ns.Name(), "/"); owner != h.rel.name {
		if rel := h.rel.edge.current(owner); rel != nil && !rel.admits(h.rel.name) {
			return ns, errNotAdmitted(owner, h.rel.name)
		}
	}
	return ns, nil
}

// acquire holds the target's actor in memory. Whether the agent may reach it follows from the binding; whether the id
// is one of that namespace is checked here, whatever the code's side has checked.
func (h *host) acquire(ctx context.Context, target agentruntime.Target) (*durable.Handle, *actor, error) {
	ns, err := h.namespace(target.Binding)
	if err != nil {
		return nil, nil, err
	}
	id, err := ns.IDFromString(target.Actor)
	if err != nil {
		return nil, nil, fmt.Errorf("durable %s: %w", target.Binding, err)
	}
	handle, err := h.rel.edge.directory.Acquire(ctx, ns.Key(id), target.Name)
	if err != nil {
		return nil, nil, remoteError(err)
	}
	act, ok := handle.Instance().(*actor)
	if !ok {
		handle.Release()
		return nil, nil, fmt.Errorf("durable %s: the actor holds no code", target.Binding)
	}
	return handle, act, nil
}

func (h *host) actorFetch(ctx context.Context, target agentruntime.Target, req *agentruntime.Request) (*agentruntime.Response, error) {
	begun := time.Now()
	handle, act, err := h.acquire(ctx, target)
	if err != nil {
		h.noteActor(target, req.Method, 0, begun, err)
		return nil, err
	}
	to, err := h.enter(act, req.Method)
	if err != nil {
		handle.Release()
		h.noteActor(target, req.Method, 0, begun, err)
		if answer := h.looped(err); answer != nil {
			return answer, nil
		}
		return nil, err
	}
	inv := act.code.Fetch(ctx, to, req)
	h.rec.Hold()
	resp, err := inv.Response()
	if err == nil {
		err = act.connected(resp)
	}
	status := 0
	if err != nil {
		resp = nil
	}
	if resp != nil {
		status = resp.Status
	}
	if err != nil {
		err = act.rel.crossing(remoteError(err))
	}
	h.noteActor(target, req.Method, status, begun, err)
	h.rel.edge.whenEnded(inv, func(rep agentruntime.Report) {
		finish(h.rec, rep, false)
		handle.Release()
		h.rec.Release(time.Now())
	})
	return resp, err
}

// Call implements agentruntime.Host.
func (h *host) Call(ctx context.Context, target agentruntime.Target, call agentruntime.Call) (agentruntime.Value, error) {
	switch target.Kind {
	case agentruntime.TargetActor:
	case agentruntime.TargetService:
		return h.serviceCallMember(ctx, target, call)
	default:
		call.Args.Close()
		return agentruntime.Value{}, fmt.Errorf("call: unknown target %d", target.Kind)
	}
	begun := time.Now()
	method := strings.Join(call.Path, ".")
	handle, act, err := h.acquire(ctx, target)
	if err != nil {
		call.Args.Close()
		h.noteActor(target, method, 0, begun, err)
		return agentruntime.Value{}, err
	}
	to, err := h.enter(act, method)
	if err != nil {
		handle.Release()
		call.Args.Close()
		h.noteActor(target, method, 0, begun, err)
		return agentruntime.Value{}, err
	}
	inv := act.code.Call(ctx, to, call)
	result, err := inv.Result()
	done := func() {
		finish(h.rec, inv.Wait(), false)
		handle.Release()
	}
	if len(result.Remotes)+len(result.Streams) == 0 {
		done()
	} else {
		// It goes on for as long as the caller holds what it gave out.
		h.rec.Hold()
		h.rel.edge.work.Go(func() {
			done()
			h.rec.Release(time.Now())
		})
	}
	if err != nil {
		err = act.rel.crossing(remoteError(err))
	}
	h.noteActor(target, method, 0, begun, err)
	return h.leases.keep(result), err
}

// enter is the host of an event that this invocation begins in an actor.
func (h *host) enter(act *actor, method string) (*host, error) {
	chain, err := h.descend(method, record.Hop{Agent: act.rel.name, Actor: act.key.ID.String()})
	if err != nil {
		return nil, err
	}
	return &host{rel: act.rel, rec: h.rec, chain: chain, actor: act.key.ID.String(), leases: act.leases}, nil
}

func (h *host) noteActor(target agentruntime.Target, method string, status int, begun time.Time, err error) {
	c := record.Call{Kind: "actor", Actor: target.Actor, Host: target.Binding, Method: method, Status: status, Millis: record.Millis(time.Since(begun)), Start: record.Millis(begun.Sub(h.rec.Begun()))}
	if err != nil {
		c.Error = h.rel.redact(err.Error())
		if _, looped := errors.AsType[loopError](err); looped {
			c.Decision, c.Rule = "refuse", "chain"
		}
	}
	h.rec.Write(func(e *record.Entry) { e.AddCall(c) })
}

// KV implements agentruntime.Host.
func (h *host) KV(ctx context.Context, op agentruntime.KVOp) (agentruntime.KVResult, error) {
	res, err := h.kv(ctx, op)
	var refused *kv.Error
	if errors.As(err, &refused) {
		class := "Error"
		if refused.TypeError() {
			class = "TypeError"
		}
		err = &agentruntime.HostError{Name: class, Message: refused.Error()}
	}
	return res, err
}

func (h *host) kv(ctx context.Context, op agentruntime.KVOp) (agentruntime.KVResult, error) {
	name, ok := h.rel.config.KV[op.Binding]
	if !ok {
		return agentruntime.KVResult{}, fmt.Errorf("kv %s: %w", op.Binding, agentruntime.ErrNoBinding)
	}
	h.rec.Write(func(e *record.Entry) { e.Did.Storage.KV++ })
	space, err := h.rel.edge.spaces.Open(ctx, name)
	if err != nil {
		return agentruntime.KVResult{}, err
	}
	var condition *kv.Condition
	if op.If {
		condition = &kv.Condition{Version: op.IfVersion}
	}
	switch op.Verb {
	case agentruntime.KVGet:
		v, ok, err := space.Get(ctx, op.Key)
		return agentruntime.KVResult{Found: ok, Value: v.Value, Metadata: v.Metadata, Version: v.Version}, err
	case agentruntime.KVPut:
		version, err := space.Put(ctx, op.Key, op.Value, kv.PutOptions{Expiration: op.Expiration, Metadata: op.Metadata, If: condition})
		return agentruntime.KVResult{Version: version}, err
	case agentruntime.KVDelete:
		return agentruntime.KVResult{}, space.Delete(ctx, op.Key, condition)
	case agentruntime.KVList:
		page, err := space.List(ctx, kv.ListOptions{Prefix: op.Prefix, Limit: op.Limit, Cursor: op.Cursor})
		res := agentruntime.KVResult{Complete: page.Complete, Cursor: page.Cursor}
		for _, k := range page.Keys {
			res.Keys = append(res.Keys, agentruntime.KVKey{Name: k.Name, Expiration: k.Expiration, Metadata: k.Metadata})
		}
		return res, err
	}
	return agentruntime.KVResult{}, fmt.Errorf("kv %s: unknown operation %d", op.Binding, op.Verb)
}

// Actors implements agentruntime.Host.
func (h *host) Actors(ctx context.Context, binding, after string, limit int) ([]string, error) {
	begun := time.Now()
	ids, err := h.listActors(ctx, binding, after, limit)
	h.noteActor(agentruntime.Target{Binding: binding}, "list", 0, begun, err)
	return ids, err
}

func (h *host) listActors(ctx context.Context, binding, after string, limit int) ([]string, error) {
	ns, err := h.namespace(binding)
	if err != nil {
		return nil, err
	}
	var from *durable.ID
	if after != "" {
		id, err := ns.IDFromString(after)
		if err != nil {
			return nil, fmt.Errorf("durable %s: %w", binding, err)
		}
		from = &id
	}
	found, err := h.rel.edge.store.List(ctx, ns.Name(), from, min(max(limit, 1), 1+maxActorList))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, id := range found {
		ids[i] = id.String()
	}
	return ids, nil
}

// maxActorList is how many ids one page may have.
const maxActorList = 1000

// Secret implements agentruntime.Host.
func (h *host) Secret(ctx context.Context, binding string) (string, error) {
	return h.rel.reveal(ctx, binding)
}

// Emit implements agentruntime.Host.
func (h *host) Emit(ev agentruntime.Event) {
	switch {
	case ev.Log != nil:
		l := record.Log{Time: ev.Log.Time, Level: ev.Log.Level, Message: h.rel.redact(ev.Log.Message)}
		h.rec.Write(func(e *record.Entry) { e.Did.Logs = append(e.Did.Logs, l) })
	case ev.Exception != nil:
		x := record.Exception{
			Time: ev.Exception.Time, Name: h.rel.redact(ev.Exception.Name),
			Message: h.rel.redact(ev.Exception.Message), Stack: h.rel.redact(ev.Exception.Stack),
		}
		h.rec.Write(func(e *record.Entry) { e.AddException(x) })
	case ev.Tool != nil:
		h.noteTool(ev.Tool)
	case ev.Step != nil:
		h.noteStep(ev.Step)
	case ev.Point != nil:
		h.point(ev.Point)
	}
}

// noteTool writes down what ctx.tool has run.
func (h *host) noteTool(t *agentruntime.ToolCall) {
	text := h.rel.edge.out().text(h.rel.redact)
	tool := record.Tool{
		Name: h.rel.redact(t.Name), Kind: toolcall.KindCode, Direction: "out", Start: record.Millis(t.Time.Sub(h.rec.Begun())),
		Millis: record.Millis(t.Duration), Error: h.rel.redact(t.Error),
	}
	if t.Input != "" {
		tool.Arguments = text(t.Input)
	}
	if t.Output != "" {
		tool.Result = text(t.Output)
	}
	h.rec.Write(func(e *record.Entry) { e.AddTool(tool) })
}

// noteStep makes a record of a try of a workflow's step. A run has 1,024 steps at most; a process that tells of more is not believed.
func (h *host) noteStep(s *agentruntime.Step) {
	if h.steps.Add(1) > 4096 {
		return
	}
	rec := h.rel.edge.openRecord(record.KindStep, h.rel)
	outcome := string(agentruntime.OutcomeOK)
	rec.Write(func(e *record.Entry) {
		e.Actor, e.Path, e.Did.Ran, e.Time = h.actor, h.rel.redact(s.Name), true, s.Time.UTC()
		h.rec.Read(func(run *record.Entry) { e.TraceID, e.ParentID = run.Trace(), run.Span() })
		if s.Error != "" {
			outcome = string(agentruntime.OutcomeException)
			e.Did.Exceptions = []record.Exception{{Time: s.Time.Add(s.Duration).UTC(), Name: "Error", Message: h.rel.redact(s.Error)}}
		}
		e.Out.Outcome, e.Attempt = outcome, s.Attempt
	})
	rec.ReleaseAfter(s.Duration)
}

// point writes a data point. What can't be written is an exception in the record: the code has gone on.
func (h *host) point(p *agentruntime.DataPoint) {
	blobs := make([]string, len(p.Blobs))
	for i, b := range p.Blobs {
		blobs[i] = h.rel.redact(b)
	}
	indexes := make([]string, len(p.Indexes))
	for i, x := range p.Indexes {
		indexes[i] = h.rel.redact(x)
	}
	db, err := h.rel.points.open()
	if err == nil {
		err = db.Write(analytics.Point{Agent: h.rel.name, Dataset: h.rel.datasets[p.Binding], Time: time.Now(), Indexes: indexes, Blobs: blobs, Doubles: p.Doubles})
	}
	h.rec.Write(func(e *record.Entry) {
		if err != nil {
			e.AddException(record.Exception{Time: time.Now().UTC(), Name: "Error", Message: fmt.Sprintf("%s.writeDataPoint: %v", p.Binding, err)})
			return
		}
		e.Did.Points++
	})
}

// origin is the next handler of a request, as env.ORIGIN.
type origin struct {
	next    handlerFunc
	request *http.Request
}

type handlerFunc interface {
	ServeHTTP(http.ResponseWriter, *http.Request) error
}

// fetch runs the next handler and gives its answer as it comes.
func (o *origin) fetch(ctx context.Context, rec *record.Record, req *agentruntime.Request) (*agentruntime.Response, error) {
	begun := time.Now()
	to, err := url.Parse(req.URL)
	if err != nil {
		return nil, fmt.Errorf("env.ORIGIN: %w", err)
	}
	r := o.request.Clone(ctx)
	r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = req.Method, to.Path, to.RawPath, to.RawQuery
	r.RequestURI = to.RequestURI()
	r.Host = to.Host
	r.Header = req.Header.Clone()
	r.Header.Del("Host")
	r.ContentLength = req.ContentLength
	r.Body = http.NoBody
	if req.Body != nil {
		r.Body = req.Body
	} else {
		r.ContentLength = 0
	}
	p := newPipe()
	rec.Hold()
	go func() {
		defer rec.Release(time.Now())
		defer func() {
			// Reverse proxies abort so when the origin breaks off in mid-body.
			if v := recover(); v != nil {
				if v != http.ErrAbortHandler {
					panic(v)
				}
				p.end(io.ErrUnexpectedEOF)
			}
		}()
		p.end(o.next.ServeHTTP(p, r))
	}()
	resp, err := p.response(ctx)
	call := record.Call{Kind: "origin", Host: to.Host, Method: req.Method, Millis: record.Millis(time.Since(begun)), Start: record.Millis(begun.Sub(rec.Begun()))}
	if resp != nil {
		call.Status = resp.Status
	}
	if err != nil {
		call.Error = err.Error()
	}
	rec.Write(func(e *record.Entry) { e.AddCall(call) })
	return resp, err
}
