package caddymodule

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-edge/gatehouse/durable"
	"github.com/gatehouse-edge/gatehouse/egress"
)

// hostsNamespace is the namespace of the actors that remember which hosts have been called: one for each agent.
const hostsNamespace = "gatehouse/egress"

var hostsActors = durable.NewNamespace(hostsNamespace)

// maxHosts is how many hosts are remembered of an agent. Of those past it nothing is said, and with hold they are refused.
const maxHosts = 10_000

// States of a host.
const (
	hostKnown   = "known"   // it has been called
	hostHeld    = "held"    // a call waits for somebody's decision
	hostGranted = "granted" // somebody has allowed it, and it has not been called since
	hostDenied  = "denied"  // somebody has refused it
)

// hostEntry is what is remembered of a host.
type hostEntry struct {
	State string    `json:"state"`
	Since time.Time `json:"since"`
}

// hostBook remembers the hosts that an agent, or a client of a proxy, has called. The same one serves all its policies, across reloads.
type hostBook struct {
	edge  *edge
	owner string

	mu      sync.Mutex
	known   map[string]bool
	changed chan struct{} // closed when somebody decides
}

// book is the owner's.
func (e *edge) book(owner string) *hostBook {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.books[owner]
	if b == nil {
		b = &hostBook{edge: e, owner: owner, known: map[string]bool{}, changed: make(chan struct{})}
		if e.books == nil {
			e.books = map[string]*hostBook{}
		}
		e.books[owner] = b
	}
	return b
}

// policyHosts is a book as a policy uses it.
type policyHosts struct {
	*hostBook
	hold bool
	wait time.Duration // how long a call waits for a decision
}

// Meet implements egress.Hosts. Without hold it refuses only what somebody has denied.
func (p policyHosts) Meet(ctx context.Context, host string) (bool, error) {
	deadline := time.Now().Add(p.wait)
	for {
		p.mu.Lock()
		known, changed := p.known[host], p.changed
		p.mu.Unlock()
		if known {
			return false, nil
		}
		state, first, err := p.visit(ctx, host, p.hold)
		switch {
		case err != nil && p.hold:
			return false, err
		case err != nil:
			return false, nil
		case state == hostKnown:
			p.mu.Lock()
			if changed == p.changed {
				p.known[host] = true
			}
			p.mu.Unlock()
			return first, nil
		case state == hostDenied:
			return false, egress.ErrHeld("somebody has denied this host")
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, egress.ErrHeld("the host has never been called, and waits for approval")
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
		timer.Stop()
	}
}

// do runs f as an event of the owner's actor.
func (b *hostBook) do(ctx context.Context, f func(s *durable.Storage) error) error {
	if err := b.edge.open(); err != nil {
		return err
	}
	return doStrict(ctx, b.edge.directory, hostsActors, b.owner, "", f)
}

const (
	hostPrefix = "host/"
	hostCount  = "count"
)

// visit is a call of a host: what is remembered of it then, and whether it is the first.
func (b *hostBook) visit(ctx context.Context, host string, hold bool) (state string, first bool, err error) {
	err = b.do(ctx, func(s *durable.Storage) error {
		e, found, err := readHost(ctx, s, host)
		if err != nil {
			return err
		}
		switch {
		case e.State == hostKnown || e.State == hostDenied:
			state = e.State
			return nil
		case e.State == hostHeld && hold:
			state = hostHeld
			return nil
		}
		state, first = hostKnown, true
		if !found {
			b, _, err := s.Get(ctx, hostCount)
			if err != nil {
				return err
			}
			n := uint64(0)
			if len(b) == 8 {
				n = binary.BigEndian.Uint64(b)
			}
			if n >= maxHosts {
				first = false
				if hold {
					return fmt.Errorf("egress: %d hosts are remembered, and no more are", n)
				}
				return nil
			}
			if err := s.Put(hostCount, binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
				return err
			}
			if hold {
				state, first = hostHeld, false
			}
		}
		return writeHost(s, host, hostEntry{state, time.Now().UTC()})
	})
	return state, first, err
}

func readHost(ctx context.Context, s *durable.Storage, host string) (e hostEntry, found bool, err error) {
	b, found, err := s.Get(ctx, hostPrefix+host)
	if err != nil || !found {
		return e, false, err
	}
	return e, true, json.Unmarshal(b, &e)
}

func writeHost(s *durable.Storage, host string, e hostEntry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.Put(hostPrefix+host, b)
}

// decide grants or denies a host that has been called, or was to be. It is false for one that is not remembered.
func (b *hostBook) decide(ctx context.Context, host, state string) (found bool, err error) {
	err = b.do(ctx, func(s *durable.Storage) error {
		var e hostEntry
		if e, found, err = readHost(ctx, s, host); err != nil || !found {
			return err
		}
		if state == hostGranted && e.State == hostKnown {
			return nil
		}
		return writeHost(s, host, hostEntry{state, time.Now().UTC()})
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, host)
	close(b.changed)
	b.changed = make(chan struct{})
	return found, err
}

// approval is a host of an agent, as the admin endpoint tells of it.
type approval struct {
	Agent string `json:"agent"`
	Host  string `json:"host"`
	hostEntry
}

// list gives what is remembered, or only what waits.
func (b *hostBook) list(ctx context.Context, all bool) (list []approval, err error) {
	err = b.do(ctx, func(s *durable.Storage) error {
		entries, err := s.List(ctx, durable.Range{Prefix: hostPrefix})
		if err != nil {
			return err
		}
		for _, x := range entries {
			a := approval{Agent: b.owner, Host: strings.TrimPrefix(x.Key, hostPrefix)}
			if err := json.Unmarshal(x.Value, &a.hostEntry); err != nil {
				return err
			}
			if all || a.State == hostHeld {
				list = append(list, a)
			}
		}
		return nil
	})
	return list, err
}
