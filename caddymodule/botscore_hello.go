package caddymodule

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/gatehouse-edge/gatehouse/bot"
)

func init() {
	caddy.RegisterModule(new(helloMatcher))
}

// helloMatcher is a matcher of TLS handshakes that fits each, and keeps what bot_score is to know of it. bot_score puts it into the
// connection policies of its server: nobody writes it into a configuration.
type helloMatcher struct{}

const helloMatcherName = "gatehouse_hello"

// CaddyModule returns the module's registration.
func (*helloMatcher) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.handshake_match." + helloMatcherName, New: func() caddy.Module { return new(helloMatcher) }}
}

// hellos are the connections that wait for their handshake: connEnds to *helloOf. The server puts a connection in when it is accepted,
// and takes it out when its handshake comes or it ends.
var hellos sync.Map

// connEnds are the addresses of both ends, which no two open connections have in common.
type connEnds struct{ local, remote string }

func endsOf(c net.Conn) (connEnds, bool) {
	if _, ok := c.RemoteAddr().(*net.TCPAddr); !ok {
		return connEnds{}, false // Unix sockets have no names of their own
	}
	return connEnds{c.LocalAddr().String(), c.RemoteAddr().String()}, true
}

// helloOf is what is known of one connection's handshake, nil before it.
type helloOf struct{ atomic.Pointer[bot.Handshake] }

type helloKey struct{}

// Match notes the handshake, and fits.
func (*helloMatcher) Match(hello *tls.ClientHelloInfo) bool {
	if ends, ok := endsOf(hello.Conn); ok {
		if of, ok := hellos.LoadAndDelete(ends); ok {
			of.(*helloOf).Store(bot.NewHandshake(hello))
		}
	}
	return true
}

// watchHellos makes a server keep the handshakes of its connections. The server's connection policies are provisioned after its handlers.
func watchHellos(ctx caddy.Context) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.TLSConnPolicies) == 0 {
		return
	}
	first := true
	for _, policy := range server.TLSConnPolicies {
		if policy.MatchersRaw == nil {
			policy.MatchersRaw = caddy.ModuleMap{}
		}
		if policy.MatchersRaw[helloMatcherName] != nil {
			first = false // another bot_score of this server was here
		}
		policy.MatchersRaw[helloMatcherName] = json.RawMessage("{}")
	}
	if !first {
		return
	}
	server.RegisterConnContext(func(ctx context.Context, c net.Conn) context.Context {
		ends, ok := endsOf(c)
		if !ok {
			return ctx
		}
		of := new(helloOf)
		hellos.Store(ends, of)
		return context.WithValue(ctx, helloKey{}, of)
	})
	server.RegisterConnState(func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			if ends, ok := endsOf(c); ok {
				hellos.Delete(ends)
			}
		}
	})
}

// handshake is the TLS handshake of the connection that a request came over; nil where it is not known.
func handshake(r *http.Request) *bot.Handshake {
	if of, ok := r.Context().Value(helloKey{}).(*helloOf); ok {
		return of.Load()
	}
	return nil
}

var _ caddytls.ConnectionMatcher = (*helloMatcher)(nil)
