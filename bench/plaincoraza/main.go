// Command plaincoraza is the peer of the benchmark's WAF scenarios: Caddy with its standard modules and a directive,
// plain_coraza, that puts Coraza's own net/http middleware with the OWASP Core Rule Set in front of the next handler.
// Without the directive it is plain Caddy, the reference of the other scenarios.
//
// Coraza and the rule set run as they come, with the engine on and without inspection of response bodies, which
// Gatehouse does not do by default either.
package main

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	corazahttp "github.com/corazawaf/coraza/v3/http"
)

const directives = `
Include @coraza.conf-recommended
Include @crs-setup.conf.example
Include @owasp_crs/*.conf
SecRuleEngine On
SecResponseBodyAccess Off
`

func init() {
	caddy.RegisterModule(handler{})
	httpcaddyfile.RegisterHandlerDirective("plain_coraza", parse)
	httpcaddyfile.RegisterDirectiveOrder("plain_coraza", httpcaddyfile.Before, "respond")
}

// handler judges requests with one Coraza engine.
type handler struct {
	engine coraza.WAF
}

// CaddyModule implements caddy.Module.
func (handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.plain_coraza", New: func() caddy.Module { return new(handler) }}
}

// Provision builds the engine.
func (h *handler) Provision(caddy.Context) error {
	var err error
	h.engine, err = coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(directives))
	if err != nil {
		return fmt.Errorf("build the engine: %w", err)
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	var nextErr error
	corazahttp.WrapHandler(h.engine, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nextErr = next.ServeHTTP(w, r)
	})).ServeHTTP(w, r)
	return nextErr
}

// UnmarshalCaddyfile takes the directive without arguments.
func (h *handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if d.NextArg() {
			return d.ArgErr()
		}
	}
	return nil
}

func parse(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(handler)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

func main() {
	caddycmd.Main()
}

var (
	_ caddy.Provisioner           = (*handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*handler)(nil)
	_ caddyfile.Unmarshaler       = (*handler)(nil)
)
