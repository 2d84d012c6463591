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

// meet asks whether a call is the first of its host, and why the host is held; empty where it is not.
func (p *Policy) meet(ctx context.Context, host string) (first bool, held string) {
	if p.hosts == nil {
		return false, ""
	}
	first, err := p.hosts.Meet(ctx, host)
	if err == nil {
		return first, ""
	}
	if held, ok := errors.AsType[ErrHeld](err); ok {
		return first, held.Error()
	}
	return first, "it cannot be told whether the host has been called before"
}

// meet decides by what is remembered of the hop's host.
func (h *hop) meet() error {
	p, held := h.x.policy, ""
	switch h.first, held = p.meet(h.x.ctx, h.target.host); {
	case held == "":
		return nil
	case p.report:
		h.pass(verdict{rule: RuleHold, reason: held})
		return nil
	}
	r := h.refusal(RuleHold, held)
	r.code = CodeHeld
	return h.refused(r)
}
