package egress

import (
	"net/http"
	"net/url"
	"strings"
)

// next decides what follows a response, as "HTTP-redirect fetch" of the Fetch
// standard: it returns the next URL and prepares the exchange for it, or says
// that the response is final.
func (x *exchange) next(h *hop, resp *http.Response) (location *url.URL, follow bool, err error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, false, nil
	}
	values := resp.Header.Values("Location")
	switch {
	case x.opt.Redirect == RedirectError:
		return nil, false, ErrRedirect
	case x.opt.Redirect == RedirectManual, len(values) == 0:
		return nil, false, nil
	case len(values) > 1:
		return nil, false, h.newFailure(KindLocation)
	}
	location, err = h.url.Parse(strings.Trim(values[0], " \t"))
	if err != nil {
		return nil, false, h.newFailure(KindLocation)
	}
	if err := x.rewrite(h, resp.StatusCode, location); err != nil {
		return nil, false, err
	}
	return location, true, nil
}

// tooMany refuses and reports the hop that would be one too many.
func (x *exchange) tooMany() error {
	h := x.newHop()
	h.target, _, _ = parseTarget(x.url)
	r := h.refusal(RuleRedirects, "the response redirects more often than the policy follows")
	r.code = CodeRedirects
	x.closeBody()
	return h.refused(r)
}

// rewrite changes the method, the body and the header for the next hop.
func (x *exchange) rewrite(h *hop, status int, location *url.URL) error {
	post := x.method == http.MethodPost && (status == http.StatusMovedPermanently || status == http.StatusFound)
	other := status == http.StatusSeeOther && x.method != http.MethodGet && x.method != http.MethodHead
	// As in fetch, a stream fails here even where the next hop has no body; only
	// a 303 lets it pass.
	if x.hadBody && x.getBody == nil && !other {
		return ErrReplay
	}
	x.header = x.header.Clone()
	switch {
	case post || other:
		x.method, x.getBody, x.length, x.hadBody = http.MethodGet, nil, 0, false
		drop(x.header, bodyFields)
	case x.hadBody:
		body, err := x.getBody()
		if err != nil {
			return ErrReplay
		}
		x.body = body
	}
	if next, _, err := parseTarget(location); err != nil || next.origin() != h.target.origin() {
		drop(x.header, credentials)
	}
	return nil
}
