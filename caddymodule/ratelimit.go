package caddymodule

import (
	"context"
	"fmt"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/throttle"
)

// RateLimitBinding binds a rate limit that code asks by itself.
type RateLimitBinding struct {
	Binding string `json:"binding"`
	// Rate is what one key may do, such as 100/m.
	Rate string `json:"rate"`
	// Namespace is shared by the bindings that count together; default the binding's own.
	Namespace string `json:"namespace,omitempty"`
}

// zoneOf is the counter of a rate limit. It outlives the releases of the agents that share it.
func (e *edge) zoneOf(namespace string, rate throttle.Rate) (*throttle.Zone, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := fmt.Sprintf("%s %d/%s", namespace, rate.Limit, rate.Window)
	if z := e.zones[key]; z != nil {
		return z, nil
	}
	z, err := throttle.NewZone(throttle.ZoneConfig{Rate: rate})
	if err != nil {
		return nil, err
	}
	if e.zones == nil {
		e.zones = map[string]*throttle.Zone{}
	}
	e.zones[key] = z
	return z, nil
}

// rateLimits makes the release's counters and their bindings.
func (r *release) rateLimits(list []RateLimitBinding) ([]agentruntime.Binding, error) {
	var bindings []agentruntime.Binding
	for _, b := range list {
		rate, err := throttle.ParseRate(b.Rate)
		if err != nil {
			return nil, fmt.Errorf("ratelimit %s: %w", b.Binding, err)
		}
		namespace := "namespace " + b.Namespace
		if b.Namespace == "" {
			namespace = "binding " + r.name + "/" + b.Binding
		}
		if r.limits[b.Binding], err = r.edge.zoneOf(namespace, rate); err != nil {
			return nil, fmt.Errorf("ratelimit %s: %w", b.Binding, err)
		}
		bindings = append(bindings, agentruntime.Binding{Name: b.Binding, Kind: agentruntime.BindingRateLimit})
	}
	return bindings, nil
}

// Limit implements agentruntime.Host.
func (h *host) Limit(_ context.Context, binding, key string) (bool, error) {
	z := h.rel.limits[binding]
	if z == nil {
		return false, fmt.Errorf("ratelimit %s: %w", binding, agentruntime.ErrNoBinding)
	}
	return z.Take(key).Allowed, nil
}
