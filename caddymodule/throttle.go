package caddymodule

import (
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

func init() {
	caddy.RegisterModule(new(Throttle))
}

// zonePool holds the local zones across reloads: zones of one name and rate are one zone, so a reload forgets no count.
var zonePool = caddy.NewUsagePool()

// Throttle limits the rate of requests by zones. A request must pass every zone; a zone that can't be counted refuses.
type Throttle struct {
	Zones []ThrottleZone `json:"zones,omitempty"`

	app   *App
	zones []counter
	held  []string // keys held in zonePool
}

// ThrottleZone limits each value of a key.
type ThrottleZone struct {
	Name string `json:"name"`
	// Key is a placeholder such as {http.vars.client_ip}; each value is counted by itself.
	Key string `json:"key"`
	// Rate is admissions a window, such as 600/m or 10/30s.
	Rate string `json:"rate"`
	// Strict counts exactly, in a durable actor that survives a restart; otherwise this node counts, by GCRA.
	Strict bool   `json:"strict,omitempty"`
	Place  string `json:"place,omitempty"`
}

type counter struct {
	ThrottleZone
	rate  throttle.Rate
	local *pooledZone
}

type pooledZone struct{ *throttle.Zone }

func (z *pooledZone) Destruct() error {
	z.Close()
	return nil
}

// CaddyModule returns the module's registration.
func (*Throttle) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_throttle", New: func() caddy.Module { return new(Throttle) }}
}

// Provision makes the zones.
func (t *Throttle) Provision(ctx caddy.Context) error {
	var err error
	if t.app, err = appOf(ctx); err != nil {
		return err
	}
	for _, z := range t.Zones {
		rate, err := throttle.ParseRate(z.Rate)
		if err != nil {
			return at(z.Place, "throttle: zone %s: %w", z.Name, err)
		}
		c := counter{ThrottleZone: z, rate: rate}
		if !z.Strict {
			key := z.Name + " " + rate.String()
			v, _, err := zonePool.LoadOrNew(key, func() (caddy.Destructor, error) {
				zone, err := throttle.NewZone(throttle.ZoneConfig{Rate: rate})
				return &pooledZone{zone}, err
			})
			if err != nil {
				return at(z.Place, "throttle: zone %s: %w", z.Name, err)
			}
			t.held = append(t.held, key)
			c.local = v.(*pooledZone)
		}
		t.zones = append(t.zones, c)
	}
	return nil
}

// Cleanup gives the zones back.
func (t *Throttle) Cleanup() error {
	for _, key := range t.held {
		if _, err := zonePool.Delete(key); err != nil {
			return err
		}
	}
	t.held = nil
	return nil
}

// ServeHTTP counts the request in every zone, and refuses it with 429 when one is full.
func (t *Throttle) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := t.app.enter(w, r)
	return v.through(func() error { return t.serve(v, w, r, next) })
}

func (t *Throttle) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, z := range t.zones {
		d, err := t.take(r, z, repl.ReplaceAll(z.Key, ""))
		if err != nil {
			return v.refuse("throttle", http.StatusServiceUnavailable, "zone %s can't be counted: %w", z.Name, err)
		}
		d.SetHeaders(w.Header(), z.Name)
		v.rec.Write(func(e *record.Entry) {
			e.Decided.Throttle = append(e.Decided.Throttle, record.ZoneDecision{Zone: z.Name, Allowed: d.Allowed, Limit: d.Limit, Remaining: d.Remaining})
		})
		if !d.Allowed {
			return v.refuse("throttle", http.StatusTooManyRequests, "zone %s is full; retry after %s", z.Name, d.RetryAfter.Round(time.Second))
		}
	}
	return next.ServeHTTP(w, r)
}

func (t *Throttle) take(r *http.Request, z counter, key string) (throttle.Decision, error) {
	if z.local != nil {
		return z.local.Take(key), nil
	}
	if err := t.app.edge.open(); err != nil {
		return throttle.Decision{}, err
	}
	return strictCounter{t.app.edge.directory}.Take(r.Context(), z.Name, key, z.rate)
}

// parseThrottle reads the directive.
//
//	throttle {
//		zone <name> <key> <rate> [strict]
//	}
func parseThrottle(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next()
	d := h.Dispenser
	if err := noArgs(d); err != nil {
		return nil, err
	}
	t := new(Throttle)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "zone":
			z := ThrottleZone{Place: place(d)}
			args := d.RemainingArgs()
			if len(args) == 4 && args[3] == "strict" {
				z.Strict = true
			} else if len(args) != 3 {
				return nil, d.Err("zone takes NAME KEY RATE [strict], for example: zone per_ip {client_ip} 600/m")
			}
			z.Name, z.Key, z.Rate = args[0], args[1], args[2]
			if _, err := throttle.ParseRate(z.Rate); err != nil {
				return nil, d.WrapErr(err)
			}
			for _, other := range t.Zones {
				if other.Name == z.Name {
					return nil, d.Errf("the zone %s is there already", z.Name)
				}
			}
			t.Zones = append(t.Zones, z)
		case "connections", "in_flight", "budget":
			return nil, refuseOption(d, d.Val()+" of throttle")
		default:
			return nil, unknownOption(d, "throttle", "zone")
		}
	}
	if len(t.Zones) == 0 {
		return nil, d.Err("throttle has no zone; add one, for example: zone per_ip {client_ip} 600/m")
	}
	return t, nil
}

var (
	_ caddy.Provisioner           = (*Throttle)(nil)
	_ caddy.CleanerUpper          = (*Throttle)(nil)
	_ caddyhttp.MiddlewareHandler = (*Throttle)(nil)
)
