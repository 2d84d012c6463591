package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/agentruntime/cell"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(AgentHandler))
}

// AgentHandler runs an agent's code for each request. Where the code returns nothing, the next handler answers.
type AgentHandler struct {
	// Agent names an agent of the gatehouse app.
	Agent string `json:"agent,omitempty"`
	// Inline is an agent defined on the spot, named after its file.
	Inline *AgentConfig `json:"inline,omitempty"`
	Place  string       `json:"place,omitempty"`
	// Develop shows errors of the code to the client, with the lines of the author's files, and lets requests to
	// /cdn-cgi/handler/scheduled run the scheduled handler. Never for a server that strangers reach.
	Develop bool `json:"develop,omitempty"`

	app   *App
	agent *agent
}

// CaddyModule returns the module's registration.
func (*AgentHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_agent", New: func() caddy.Module { return new(AgentHandler) }}
}

// Provision finds the agent, or adds the one defined on the spot.
func (h *AgentHandler) Provision(ctx caddy.Context) error {
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.app = app
	name := h.Agent
	if h.Inline != nil {
		name = nameFromMain(h.Inline.Main + h.Inline.Wrangler)
		if err := app.checkReferences(name, h.Inline); err != nil {
			return err
		}
		if err := app.addAgent(name, h.Inline); err != nil {
			return err
		}
	}
	if h.agent = app.agents[name]; h.agent == nil {
		return at(h.Place, "agent %s: no such agent; define it in the global gatehouse block (there are: %s), or give a file: agent ./agent.ts", name, names(app.agents))
	}
	if h.Inline != nil {
		if err := app.checkHandlers(name, h.Inline); err != nil {
			return err
		}
	}
	if !h.Develop && !h.agent.release.Load().handles("fetch") {
		return at(h.Place, "agent %s: the code has no fetch handler, so it can answer no requests; add one to its default export: fetch(request, env, ctx)", name)
	}
	return nil
}

// ServeHTTP runs the code and sends what it answers.
func (h *AgentHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := h.app.enter(w, r, "agent")
	return v.through(func() error { return h.serve(v, w, r, next) })
}

func (h *AgentHandler) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	rel := h.agent.release.Load()
	if h.Develop && r.URL.Path == scheduledPath {
		return h.runSchedule(v, w, r, rel)
	}
	if limit := rel.bodyLimit(); r.ContentLength > limit {
		return v.refuse("agent", http.StatusRequestEntityTooLarge, "the request body of %d bytes is over the limit of %d", r.ContentLength, limit)
	}
	if rel.serveAsset(w, r) {
		v.rec.Write(func(e *record.Entry) { e.Agent, e.Version = rel.name, rel.version() })
		return nil
	}
	if err := h.app.await(r.Context()); err != nil {
		return v.refuse("agent", http.StatusServiceUnavailable, "%w", err)
	}
	begun, err := v.queue.join(v, h.agent)
	defer begun()
	if err != nil {
		return err
	}
	hops, err := h.app.chains.incoming(r)
	if err != nil {
		return v.refuse("chain", http.StatusForbidden, "%w", err)
	}
	if why := h.app.chains.objection(hops, record.Hop{Agent: rel.name}); why != "" {
		return v.refuse("chain", http.StatusLoopDetected, "%s", why)
	}
	if a := h.app.out.audit; a != nil && h.app.Audit.FailClosed {
		if err := a.log.Err(); err != nil {
			return v.auditFails(err)
		}
	}
	v.rec.Write(func(e *record.Entry) { e.Agent, e.Version, e.Chain, e.Did.Ran = rel.name, rel.version(), hops, true })
	// The invocation may outlive the request, for waitUntil; until the answer is out it ends with the client.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	gone := context.AfterFunc(r.Context(), cancel)
	host := &host{rel: rel, rec: v.rec, chain: hops, origin: &origin{next: next, request: r}, leases: new(leases)}
	v.rec.Hold()
	in, entry := h.incoming(v, r), agentruntime.Entry{Access: v.access()}
	body := &measuredBody{ReadCloser: in.Body, left: rel.bodyLimit()}
	if in.Body != nil {
		in.Body = body
	}
	seen := host.watch(in, "in", "", v.rec.Begun())
	inv := rel.agent.FetchAt(ctx, host, entry, in)
	if repeatable(r, in) {
		// Its process ended for another's fault. Nothing was answered, and asking again is what a client would do (RFC 9110,
		// section 9.2.2).
		if _, err := inv.Response(); errors.Is(err, cell.ErrEnded) || inAftermath(err) {
			finish(v.rec, inv.Wait(), false)
			inv = rel.agent.FetchAt(ctx, host, entry, in)
		}
	}
	whole := false
	defer func() {
		gone()
		left := !whole && r.Context().Err() != nil
		h.app.edge.whenEnded(inv, func(rep agentruntime.Report) {
			if left && rep.Outcome == agentruntime.OutcomeOK {
				rep.Outcome = agentruntime.OutcomeCanceled
			}
			finish(v.rec, rep, true)
			host.leases.close()
			cancel()
			v.rec.Release(time.Now())
		})
	}()
	resp, err := inv.Response()
	begun()
	if err != nil && body.over.Load() {
		return v.refusal("agent", http.StatusRequestEntityTooLarge, fmt.Errorf("agent %s: the request body is over the limit of %d bytes", rel.name, rel.bodyLimit()))
	}
	if err != nil {
		if h.Develop {
			return v.showError(w, rel, err)
		}
		return v.httpError(rel, err)
	}
	if resp == nil {
		whole = true
		return next.ServeHTTP(w, r)
	}
	if resp.Socket != nil {
		whole = true // how a socket ends is not for the answer to say
		return v.serveSocket(w, r, resp)
	}
	seen(resp)
	err = send(w, resp)
	whole = err == nil
	return err
}

// inAftermath says whether the process may have ended for what code before has left behind.
func inAftermath(err error) bool {
	died, ok := errors.AsType[*cell.Died](err)
	return ok && died.Aftermath
}

// repeatable says whether a request may be begun again by itself: its method is safe, and it has no body.
func repeatable(r *http.Request, in *agentruntime.Request) bool {
	return in.Body == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// measuredBody notes that a request's body is longer than it may be. The runtime stops reading there.
type measuredBody struct {
	io.ReadCloser
	left int64
	over atomic.Bool
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.over.Store(true)
	}
	return n, err
}

// incoming is the request as code sees it, with the headers that Workers are used to.
func (h *AgentHandler) incoming(v *visit, r *http.Request) *agentruntime.Request {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	header.Set("CF-Connecting-IP", v.clientIP)
	header.Set("CF-Ray", v.rec.ID())
	req := &agentruntime.Request{
		Method: r.Method, URL: scheme + "://" + r.Host + r.URL.RequestURI(), Header: header,
		ContentLength: r.ContentLength, CF: v.cf(),
	}
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		req.Body = r.Body
	}
	return req
}

// headAlone is how long an answer's head waits for the first part of its body.
const headAlone = 10 * time.Millisecond

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// send writes the code's answer as it comes: what the code has written by itself is flushed by itself.
func send(w http.ResponseWriter, resp *agentruntime.Response) error {
	header := w.Header()
	for name, values := range resp.Header {
		header[name] = append([]string(nil), values...)
	}
	if resp.Body == nil {
		if resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified && header.Get("Content-Length") == "" {
			header.Set("Content-Length", "0")
		}
		w.WriteHeader(resp.Status)
		return nil
	}
	defer resp.Body.Close()
	if known, ok := resp.Body.(interface{ Len() int }); ok {
		header.Set("Content-Length", strconv.Itoa(known.Len()))
		w.WriteHeader(resp.Status)
		_, err := io.Copy(w, resp.Body)
		return err
	}
	w.WriteHeader(resp.Status)
	control := http.NewResponseController(w)
	// The head goes out with what follows at once, and by itself if nothing does: who waits for events must know that
	// the stream is open.
	var mu sync.Mutex
	flushed := false
	flush := func() {
		flushed = true
		_ = control.Flush()
	}
	alone := time.AfterFunc(headAlone, func() {
		mu.Lock()
		defer mu.Unlock()
		if !flushed {
			flush()
		}
	})
	defer func() {
		alone.Stop()
		mu.Lock()
		flushed = true
		mu.Unlock()
	}()
	// The server sends the last part when the handler returns, and knows the length of an answer that has one part.
	write := func(b []byte, last bool) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := w.Write(b)
		if err == nil && !last {
			flush()
		}
		return err
	}
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if err := write(buf[:n], err == io.EOF); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			// The head is out; only a broken connection tells the client that this is not the end.
			panic(http.ErrAbortHandler)
		}
	}
}

// finish writes an invocation's end into its record. Only the outermost invocation says the outcome.
func finish(rec *record.Record, rep agentruntime.Report, outermost bool) {
	rec.Write(func(e *record.Entry) {
		e.Out.CPUMillis += record.Millis(rep.CPU)
		e.Out.Subrequests += rep.Subrequests
		e.Out.LogsDropped += rep.LogsDropped
		e.Did.Storage.Reads += rep.Storage.Reads
		e.Did.Storage.Writes += rep.Storage.Writes
		e.Did.Storage.SQL += rep.Storage.SQL
		if outermost {
			e.Out.Outcome = string(rep.Outcome)
		}
	})
}

func (v *visit) cf() []byte {
	type management struct {
		Score       int    `json:"score"`
		VerifiedBot bool   `json:"verifiedBot"`
		JA4         string `json:"ja4,omitempty"`
	}
	var m management
	v.rec.Read(func(e *record.Entry) {
		m = management{e.Who.BotScore, e.Who.VerifiedAgent != "" || e.Who.VerifiedBot != "", e.Who.JA4}
	})
	if m.Score == 0 {
		return []byte(`{}`)
	}
	b, err := json.Marshal(map[string]management{"botManagement": m})
	if err != nil {
		return []byte(`{}`)
	}
	return b
}

// parseAgent reads the directive.
//
//	agent <name>
//	agent <file> {
//		...the options of an agent
//	}
//
// A first argument that is the path of a file defines the agent on the spot.
func parseAgent(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	m := &AgentHandler{Place: place(h.Dispenser)}
	arg, err := oneArg(h.Dispenser)
	if err != nil {
		return nil, h.Err("agent takes the name of an agent or the path of its code, for example: agent ./agent.ts")
	}
	inline := &AgentConfig{Place: place(h.Dispenser)}
	if !isPath(arg) {
		m.Agent = arg
		if h.NextBlock(h.Nesting()) {
			return nil, h.Errf("agent %s: options belong where the agent is defined: in the global gatehouse block, or beside the path of its code", arg)
		}
		return m, nil
	}
	inline.Main = arg
	if isWrangler(arg) {
		inline.Main, inline.Wrangler = "", arg
	}
	if err := parseAgentBlock(h.Dispenser, inline); err != nil {
		return nil, err
	}
	m.Inline = inline
	return m, nil
}

// isPath tells a path from a name: it holds a slash, or ends as code does.
func isPath(s string) bool {
	if isWrangler(s) {
		return true
	}
	for _, c := range s {
		if c == '/' || c == os.PathSeparator {
			return true
		}
	}
	switch ext(s) {
	case ".ts", ".tsx", ".js", ".jsx", ".mjs", ".mts":
		return true
	}
	return false
}

var (
	_ caddy.Provisioner           = (*AgentHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*AgentHandler)(nil)
)
