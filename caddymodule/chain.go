package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-edge/gatehouse/agentruntime"
	"github.com/gatehouse-edge/gatehouse/egress"
	"github.com/gatehouse-edge/gatehouse/record"
	"github.com/gatehouse-edge/gatehouse/record/chain"
)

// ChainConfig says how far calls of agents by agents may go, and which other servers' chains are believed.
type ChainConfig struct {
	// Depth is how many agents and actors deep calls may go; default 16.
	Depth int `json:"depth,omitempty"`
	// Key is the name of the secret that the servers share, of at least 32 bytes. With it a chain that comes with a request is believed, or
	// the request refused; without it the header counts for nothing.
	Key string `json:"key,omitempty"`
	// Name is this server's in the chain; default the machine's.
	Name string `json:"name,omitempty"`
	// Peers are the hosts, as an egress rule writes them, that the chain is sent to. Nobody else gets to know it.
	Peers []string `json:"peers,omitempty"`
	Place string   `json:"place,omitempty"`
}

// maxChain bounds the option depth.
const maxChain = 100

// parseChain reads the option chain.
//
//	chain {
//		depth <number>
//		key <secret>
//		name <server>
//		peers <host>...
//	}
func parseChain(d *caddyfile.Dispenser) (*ChainConfig, error) {
	c := &ChainConfig{Place: place(d)}
	if err := noArgs(d); err != nil {
		return nil, err
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch d.Val() {
		case "depth":
			c.Depth, err = intArg(d, 1, maxChain)
		case "key":
			c.Key, err = oneArg(d)
		case "name":
			c.Name, err = oneArg(d)
		case "peers":
			args := d.RemainingArgs()
			if len(args) == 0 {
				return nil, d.ArgErr()
			}
			c.Peers = append(c.Peers, args...)
		default:
			return nil, unknownOption(d, "chain", "depth, key, name and peers")
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// chains is a configuration's word on chains.
type chains struct {
	depth  int
	signer *chain.Signer // nil: no other servers
	peers  *egress.Matcher
}

func (a *App) newChains() (*chains, error) {
	c := cmp.Or(a.Chain, &ChainConfig{})
	n := &chains{depth: cmp.Or(c.Depth, chain.DefaultDepth)}
	if n.depth < 0 || n.depth > maxChain {
		return nil, at(c.Place, "chain: depth: %d is not from 1 to %d", c.Depth, maxChain)
	}
	if c.Key == "" {
		if len(c.Peers) > 0 || c.Name != "" {
			return nil, at(c.Place, "chain: servers know each other's chains by a key that they share; put it with: caddy gatehouse secret put chain, and name it: key chain")
		}
		return n, nil
	}
	var rules []egress.Rule
	for _, p := range c.Peers {
		rule, err := egress.ParseRule(p)
		if err != nil {
			return nil, at(c.Place, "chain: peers: %w; write a host like agents.example.com, *.example.com or 127.0.0.1:8081", err)
		}
		rules = append(rules, rule)
	}
	var err error
	if n.peers, err = egress.NewMatcher(rules...); err != nil {
		return nil, at(c.Place, "chain: peers: %w", err)
	}
	vault, err := a.openVault()
	if err != nil {
		return nil, err
	}
	key, err := vault.Open(c.Key)
	if err != nil {
		return nil, at(c.Place, "chain: %w", err)
	}
	name := c.Name
	if name == "" {
		if name, err = os.Hostname(); err != nil || name == "" {
			return nil, at(c.Place, "chain: this machine has no name; give the server one: name NAME")
		}
	}
	if n.signer, err = chain.NewSigner(name, []byte(key.Reveal())); err != nil {
		return nil, at(c.Place, "chain: key %s: %w", c.Key, err)
	}
	return n, nil
}

// incoming is the chain that a request came with. One that is not believed is an error.
func (c *chains) incoming(r *http.Request) ([]record.Hop, error) {
	values := r.Header.Values(chain.Header)
	if len(values) == 0 || c.signer == nil {
		return nil, nil
	}
	r.Header.Del(chain.Header)
	return c.signer.Verify(values[0], r.Host, time.Now())
}

// outgoing puts the chain into a request for a peer. What code has put there itself goes.
func (c *chains) outgoing(r *http.Request, hops []record.Hop) error {
	r.Header.Del(chain.Header)
	if c.signer == nil || !c.peers.Match(r.URL) {
		return nil
	}
	token, err := c.signer.Sign(hops, r.URL.Host, time.Now())
	if err != nil {
		return err
	}
	r.Header.Set(chain.Header, token)
	return nil
}

// objection is why next may not come after hops, empty if it may: it is among them already, and agents that call each other in a circle
// would never end, or there are too many.
func (c *chains) objection(hops []record.Hop, next record.Hop) string {
	if cycle := chain.Cycle(hops, next); cycle != "" {
		return "the call would go in a circle: " + cycle
	}
	if len(hops) > c.depth {
		return fmt.Sprintf("the call would be more than %d deep: %s", c.depth, chain.Path(append(slices.Clip(hops), next)))
	}
	return ""
}

// loopError is the refusal of a call that would go in a circle, or too deep: 508 (RFC 5842, section 7.2).
type loopError struct{ *agentruntime.RemoteError }

func (e loopError) Unwrap() error { return e.RemoteError }
