package caddymodule

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

func init() {
	caddy.RegisterModule(new(Throttle))
}

// zonePool holds the local zones across reloads: zones of one name and rate are one zone, so a reload forgets no count.
var zonePool = caddy.NewUsagePool()

// Throttle sheds load, and limits the rate of requests by zones and their cost by budgets. A request must pass all of them;
// what can't be counted refuses.
type Throttle struct {
	Zones   []ThrottleZone   `json:"zones,omitempty"`
	Budgets []ThrottleBudget `json:"budgets,omitempty"`
	// IPv6Prefix is how many leading bits of an IPv6 address are counted as one client, 1 to 128; default 64.
	IPv6Prefix int `json:"ipv6_prefix,omitempty"`
	// Connections is how many connections an address may have open, and how many requests a client may have under way; 0, the
	// default, bounds nothing.
	Connections int `json:"connections,omitempty"`
	// Except are addresses and prefixes whose open connections are not counted, such as proxies before this server.
	Except []string `json:"connections_except,omitempty"`
	// InFlight is how many requests of all clients together may be under way; 0, the default, bounds nothing.
	InFlight int `json:"in_flight,omitempty"`
	// Queue caps the requests that wait for an agent's answer to begin, for each agent; 0 for no cap.
	Queue int `json:"queue,omitempty"`
	// BodyRate is how many bytes a second of a request's body must come, on average over the time that the server waits for them;
	// 0, the default, asks for nothing.
	BodyRate int64 `json:"body_rate,omitempty"`
	// BodyGrace is how long a client may be silent beyond that; default 10s.
	BodyGrace caddy.Duration `json:"body_grace,omitempty"`
	// Mode is enforce, the default, or shadow: count and record what would be refused, and let it pass.
	Mode string `json:"mode,omitempty"`

	app     *App
	zones   []counter
	budgets []purse
	// costHeaders are the headers by which answers tell their cost; no client sees them.
	costHeaders []string
	load        *load
	held        []string // keys held in zonePool
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

// Provision makes the zones and budgets, and begins to watch the server's connections.
func (t *Throttle) Provision(ctx caddy.Context) error {
	var err error
	if t.app, err = appOf(ctx); err != nil {
		return err
	}
	return t.provision(ctx)
}

func (t *Throttle) provision(ctx caddy.Context) error {
	if err := checkMode(t.Mode); err != nil {
		return fmt.Errorf("throttle: %w", err)
	}
	if t.IPv6Prefix == 0 {
		t.IPv6Prefix = throttle.DefaultIPv6Prefix
	}
	if t.IPv6Prefix < 1 || t.IPv6Prefix > 128 {
		return fmt.Errorf("throttle: ipv6_prefix %d is not from 1 to 128", t.IPv6Prefix)
	}
	for _, z := range t.Zones {
		rate, err := throttle.ParseRate(z.Rate)
		if err != nil {
			return at(z.Place, "throttle: zone %s: %w", z.Name, err)
		}
		c := counter{ThrottleZone: z, rate: rate}
		if !z.Strict {
			v, err := t.pooled("zone "+z.Name+" "+rate.String(), func() (caddy.Destructor, error) {
				zone, err := throttle.NewZone(throttle.ZoneConfig{Rate: rate})
				return &pooledZone{zone}, err
			})
			if err != nil {
				return at(z.Place, "throttle: zone %s: %w", z.Name, err)
			}
			c.local = v.(*pooledZone)
		}
		t.zones = append(t.zones, c)
	}
	for _, b := range t.Budgets {
		p, err := t.newPurse(b)
		if err != nil {
			return at(b.Place, "throttle: budget %s: %w", b.Name, err)
		}
		t.budgets = append(t.budgets, p)
		if p.Settle == settleHeader {
			t.costHeaders = append(t.costHeaders, p.Header)
		}
	}
	return t.provisionLoad(ctx)
}

// pooled gives what the configurations share under a key, until Cleanup.
func (t *Throttle) pooled(key string, construct func() (caddy.Destructor, error)) (any, error) {
	v, _, err := zonePool.LoadOrNew(key, construct)
	if err != nil {
		return nil, err
	}
	t.held = append(t.held, key)
	return v, nil
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

// ServeHTTP sheds the request with 503 when there are too many, and refuses it with 429 when a zone or a budget has no
// place for it.
func (t *Throttle) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	v, w, r := t.app.enter(w, r, "throttle")
	return v.through(func() error { return t.serve(v, w, r, next) })
}

func (t *Throttle) serve(v *visit, w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	leave, err := t.shed(v, w, r)
	defer leave()
	if err != nil {
		return err
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, z := range t.zones {
		d, err := t.take(r, z, t.key(repl, z.Key))
		if err != nil {
			if err := v.deny(t.shadow(), "throttle", http.StatusServiceUnavailable, "zone %s can't be counted: %w", z.Name, err); err != nil {
				return err
			}
			continue
		}
		t.tell(w, d, z.Name)
		v.rec.Write(func(e *record.Entry) {
			e.Decided.Throttle = append(e.Decided.Throttle, record.ZoneDecision{Zone: z.Name, Allowed: d.Allowed, Limit: d.Limit, Remaining: d.Remaining})
		})
		if !d.Allowed {
			if err := v.deny(t.shadow(), "throttle", http.StatusTooManyRequests, "zone %s is full; retry after %s", z.Name, d.RetryAfter.Round(time.Second)); err != nil {
				return err
			}
		}
	}
	return t.spend(v, w, r, repl, func(w http.ResponseWriter, r *http.Request) error { return t.paced(v, w, r, next) })
}

func (t *Throttle) shadow() bool { return t.Mode == modeShadow }

// tell says in the answer's header where the client stands. In shadow nothing is told: the client of a stage that only
// watches must not see it, nor be asked to wait.
func (t *Throttle) tell(w http.ResponseWriter, d throttle.Decision, name string) {
	if !t.shadow() {
		d.SetHeaders(w.Header(), name)
	}
}

// key is what a request is counted under: the text with its placeholders replaced, addresses by their prefix.
func (t *Throttle) key(repl *caddy.Replacer, text string) string {
	key, err := repl.ReplaceFunc(text, func(_ string, value any) (any, error) {
		if s, ok := value.(string); ok {
			return throttle.AddressKey(s, t.IPv6Prefix), nil
		}
		return value, nil
	})
	if err != nil {
		return text // the function above fails never; all would be counted together
	}
	return key
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

var (
	_ caddy.Provisioner           = (*Throttle)(nil)
	_ caddy.CleanerUpper          = (*Throttle)(nil)
	_ caddyhttp.MiddlewareHandler = (*Throttle)(nil)
)
