package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// shedRetry is Retry-After, in seconds, for what was refused for load: it may be over at once.
const shedRetry = "1"

// load is what is open now, of one configuration.
type load struct {
	except   []netip.Prefix
	crowd    throttle.Crowd[netip.Addr]
	inFlight throttle.InFlight
	// readTimeout is the server's own for a whole request; 0 for none.
	readTimeout time.Duration
}

// overKey marks the context of a connection that is over a directive's cap.
type overKey struct{ *Throttle }

func (t *Throttle) provisionLoad(ctx caddy.Context) error {
	t.load = new(load)
	if t.Connections < 0 || t.InFlight < 0 || t.Queue < 0 {
		return errors.New("throttle: connections, in_flight and queue take a number above 0")
	}
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok {
		t.load.readTimeout = time.Duration(server.ReadTimeout)
	}
	if t.BodyRate < 0 || t.BodyGrace < 0 {
		return fmt.Errorf("throttle: body_rate %d: the rate and the grace are above 0", t.BodyRate)
	}
	if t.BodyGrace == 0 {
		t.BodyGrace = defaultGrace
	}
	t.load.inFlight.Total, t.load.inFlight.PerClient, t.load.inFlight.IPv6Prefix = t.InFlight, t.Connections, t.IPv6Prefix
	if t.Connections == 0 {
		return nil
	}
	for _, text := range t.Except {
		p, err := parsePrefix(text)
		if err != nil {
			return fmt.Errorf("throttle: connections: %w", err)
		}
		t.load.except = append(t.load.except, p)
	}
	if !ok {
		return errors.New("throttle: connections can be counted in the routes of an HTTP server only")
	}
	server.RegisterConnContext(t.opened)
	server.RegisterConnState(t.changed)
	return nil
}

// client is what a connection is counted under; ok is false for one that is not counted.
func (t *Throttle) client(c net.Conn) (key netip.Addr, ok bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return key, false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	for _, p := range t.load.except {
		if p.Contains(addr) {
			return key, false
		}
	}
	return throttle.Client(addr, t.IPv6Prefix), true
}

// opened counts a connection that was accepted. It must not wait: the next one is accepted after it.
func (t *Throttle) opened(ctx context.Context, c net.Conn) context.Context {
	key, ok := t.client(c)
	if !ok {
		return ctx
	}
	n := t.load.crowd.Enter(key)
	if n <= t.Connections {
		return ctx
	}
	if n > 2*t.Connections && !t.shadow() {
		_ = c.Close() // the server finds it closed, and leaves it
	}
	return context.WithValue(ctx, overKey{t}, true)
}

// changed counts a connection that is no longer the server's.
func (t *Throttle) changed(c net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	if key, ok := t.client(c); ok {
		t.load.crowd.Leave(key)
	}
}

// fullReasons say which bound a request would pass.
var fullReasons = map[throttle.Full]string{
	throttle.FullTotal:  "too many requests are under way",
	throttle.FullClient: "too many requests of this client are under way",
}

// shed refuses a request when there is too much of it all. leave is to be called when the request is over, in any case.
func (t *Throttle) shed(v *visit, w http.ResponseWriter, r *http.Request) (leave func(), err error) {
	leave = func() {}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	over, _ := r.Context().Value(overKey{t}).(bool)
	reason := ""
	if over && !trusted {
		reason = "too many connections of this address are open"
		if !t.shadow() {
			w.Header().Set("Connection", "close")
			return leave, t.overloaded(v, w, "%s", reason)
		}
	}
	if t.InFlight > 0 || t.Connections > 0 {
		client, _ := netip.ParseAddr(v.clientIP)
		full := t.load.inFlight.Enter(client, t.shadow())
		if full == throttle.NotFull || t.shadow() {
			leave = func() { t.load.inFlight.Leave(client) }
		}
		if full != throttle.NotFull {
			reason = fullReasons[full]
		}
	}
	if reason != "" {
		if err := t.overloaded(v, w, "%s", reason); err != nil {
			return leave, err
		}
	}
	if t.Queue > 0 && (v.queue.most == 0 || t.Queue < v.queue.most) {
		v.queue = queueCap{t.Queue, t}
	}
	return leave, nil
}

func (t *Throttle) overloaded(v *visit, w http.ResponseWriter, format string, args ...any) error {
	if !t.shadow() {
		w.Header().Set("Retry-After", shedRetry)
		v.rec.Write(func(e *record.Entry) { e.Out.Outcome = outcomeShed })
	}
	return v.deny(t.shadow(), "throttle", http.StatusServiceUnavailable, format, args...)
}

// queueCap is how many requests of all clients may wait for the agent of this one; the zero queueCap lets all wait.
type queueCap struct {
	most int
	by   *Throttle
}

// join counts a request of the agent's until begun is called, and refuses it when too many wait.
func (q queueCap) join(v *visit, g *agent) (begun func(), err error) {
	n := g.waiting.Add(1)
	begun = sync.OnceFunc(func() { g.waiting.Add(-1) })
	if q.most > 0 && n > int64(q.most) {
		err = q.by.overloaded(v, v.writer, "more than %d requests wait for agent %s", q.most, g.name)
	}
	return begun, err
}

// waitingFor is the count of the requests that wait for an agent. It outlives configurations, as requests do.
func (e *edge) waitingFor(name string) *atomic.Int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting == nil {
		e.waiting = map[string]*atomic.Int64{}
	}
	if e.waiting[name] == nil {
		e.waiting[name] = new(atomic.Int64)
	}
	return e.waiting[name]
}
