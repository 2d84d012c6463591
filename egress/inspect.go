package egress

import "net/http"

// Signer signs requests as they leave, after all else of them is settled. It is safe for concurrent use.
type Signer interface {
	// Sign adds header fields to a request that is the caller's own.
	Sign(r *http.Request) error
}

// Inspector looks at requests before credentials are put into them, with rules that are not about hosts. It is safe for concurrent use.
type Inspector interface {
	// Inspect gives the reason to refuse a request, empty for none. It may read the body, and then replaces it by one that gives all of it.
	// An error says that the request cannot be inspected, which refuses it too.
	Inspect(r *http.Request) (reason string, err error)
}

// inspect asks the policy's inspector.
func (h *hop) inspect(out *http.Request) error {
	p := h.x.policy
	if p.inspector == nil {
		return nil
	}
	seen := *out
	seen.Host, seen.RequestURI = out.URL.Host, out.URL.RequestURI()
	reason, err := p.inspector.Inspect(&seen)
	out.Body = seen.Body
	switch {
	case h.tooLong.Load():
		h.drop(out)
		return h.requestTooLarge()
	case h.leak.Load() != nil:
		h.drop(out)
		return h.refused(h.leak.Load())
	case err != nil:
		h.drop(out)
		return h.refuse(RuleWAF, "the request cannot be inspected")
	case reason == "":
		return nil
	case p.report:
		h.pass(verdict{rule: RuleWAF, reason: reason})
		return nil
	}
	h.drop(out)
	return h.refuse(RuleWAF, reason)
}

// sign signs the request.
func (h *hop) sign(out *http.Request) error {
	if h.x.policy.signer == nil {
		return nil
	}
	if err := h.x.policy.signer.Sign(out); err != nil {
		h.drop(out)
		return h.refuse(RuleSign, "the request cannot be signed")
	}
	return nil
}
