package caddymodule

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/dashboard"
	"github.com/gatehouse-edge/gatehouse/record"
)

func init() {
	caddy.RegisterModule(new(Dashboard))
}

// defaultDashboard is where the page is, if the directive names no path.
const defaultDashboard = "/gatehouse"

// Dashboard serves the page with the records of this server, and what its agents keep. It shows only who access has let in.
type Dashboard struct {
	// Path is where the page is; default /gatehouse.
	Path string `json:"path,omitempty"`
	// Local lets everybody in who asks from this machine, at a name of this machine, without access: for development.
	Local bool   `json:"local,omitempty"`
	Place string `json:"place,omitempty"`

	app  *App
	page *dashboard.Handler
}

// CaddyModule returns the module's registration.
func (*Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_dashboard", New: func() caddy.Module { return new(Dashboard) }}
}

// Provision has the records kept that the page looks back at, from the first page on for as long as the store is open.
func (d *Dashboard) Provision(ctx caddy.Context) (err error) {
	if d.app, err = appOf(ctx); err != nil {
		return err
	}
	if d.Path == "" {
		d.Path = defaultDashboard
	}
	if !strings.HasPrefix(d.Path, "/") || strings.HasSuffix(d.Path, "/") || strings.ContainsAny(d.Path, "?#*") {
		return at(d.Place, "agent_dashboard %s: write the path as /gatehouse, with no slash at its end", d.Path)
	}
	keep, memory := 0, int64(0)
	if c := d.app.Records; c != nil {
		keep, memory = c.Keep, c.Memory
	}
	if !d.app.edge.recent.CompareAndSwap(nil, record.NewRecent(keep, memory)) && !d.app.edge.recent.Load().Holds(keep, memory) {
		d.app.logger.Warn("records: another keep or memory takes effect when the server starts anew")
	}
	d.page = dashboard.New(dashboard.Config{
		Recent: d.app.edge.recent.Load(), Tail: &tail, Source: pageSource{d.app.edge},
		Filter: func(r *http.Request) (record.Filter, error) {
			q := r.URL.Query()
			q.Del("before")
			return filterOf(q)
		},
		Who: func(r *http.Request) string {
			if v, ok := r.Context().Value(visitKey{}).(*visit); ok {
				return v.subject()
			}
			return ""
		},
	})
	return nil
}

// ServeHTTP answers what is below the page's path.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	rest, ok := strings.CutPrefix(r.URL.Path, d.Path)
	if !ok || rest != "" && rest[0] != '/' {
		return next.ServeHTTP(w, r)
	}
	v, w, r := d.app.enter(w, r, "agent_dashboard")
	return v.through(func() error {
		if !v.admitted && !(d.Local && atHome(v.clientIP, r)) {
			return v.refuse("agent_dashboard", http.StatusForbidden, "the page shows itself only to whom access lets in; put access before it, or for development on this machine: agent_dashboard { local }")
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			v.rec.Discard() // who looks at records must not fill them
		}
		if rest == "" { // the page's addresses are relative to its folder
			w.Header().Set("Location", d.Path[strings.LastIndexByte(d.Path, '/')+1:]+"/")
			w.WriteHeader(http.StatusPermanentRedirect)
			return nil
		}
		below := r.Clone(r.Context())
		below.URL = &url.URL{Path: rest, RawQuery: r.URL.RawQuery}
		d.page.ServeHTTP(w, below)
		return nil
	})
}

// atHome says whether a request comes from this machine and names it: a page of another site that has a name of its own resolve to this
// machine does not.
func atHome(clientIP string, r *http.Request) bool {
	client, err := netip.ParseAddr(clientIP)
	if err != nil || !client.Unmap().IsLoopback() {
		return false
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if addr, err := netip.ParseAddr(peer); err != nil || !addr.Unmap().IsLoopback() {
		return false
	}
	// A proxy on this machine says for whom it asks.
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host := hostname(r.Host)
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// parseDashboard reads the directive.
//
//	agent_dashboard {
//		path <path>
//		local
//	}
func parseDashboard(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	page, d := &Dashboard{Place: place(h.Dispenser)}, h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		switch h.Val() {
		case "path":
			path, err := oneArg(d)
			if err != nil {
				return nil, err
			}
			page.Path = path
		case "local":
			if err := noArgs(d); err != nil {
				return nil, err
			}
			page.Local = true
		default:
			return nil, unknownOption(d, "agent_dashboard", "path and local")
		}
	}
	return page, nil
}

var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)
