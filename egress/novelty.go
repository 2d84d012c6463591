package egress

import (
	"context"
	"errors"
)

// Hosts remembers which hosts have been called. It is safe for concurrent use.
type Hosts interface {
	// Meet tells whether the host, which a rule allows, is called for the first time. An error refuses the call: an ErrHeld, whose text
	// may be shown to agent code, or another, which says that it cannot be told.
	Meet(ctx context.Context, host string) (first bool, err error)
}

// ErrHeld is a call of a host that somebody has to decide about first.
type ErrHeld string

func (e ErrHeld) Error() string { return string(e) }

// held says why a host is held.
func held(err error) string {
	if held, ok := errors.AsType[ErrHeld](err); ok {
		return held.Error()
	}
	return "it cannot be told whether the host has been called before"
}

// meet asks whether the hop is the first call of its host.
func (h *hop) meet() error {
	p := h.x.policy
	if p.hosts == nil {
		return nil
	}
	first, err := p.hosts.Meet(h.x.ctx, h.target.host)
	h.first = first
	switch {
	case err == nil:
		return nil
	case p.report:
		h.pass(verdict{rule: RuleHold, reason: held(err)})
		return nil
	}
	r := h.refusal(RuleHold, held(err))
	r.code = CodeHeld
	return h.refused(r)
}
