package egress

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Actions of DLP.
const (
	DLPBlock  = "block"  // refuse the request
	DLPMask   = "mask"   // strike out what was found; where that cannot be, in a URL and of a private key, refuse
	DLPReport = "report" // send it, and report
)

// DLP is what must not leave (data loss prevention).
type DLP struct {
	// Secrets looks for the values of all secrets but those bound to the host: as they are, and in base64, hex and URL-encoded, once or twice.
	Secrets bool
	// Patterns are looked for besides: PatternEmail, PatternCard and PatternKey.
	Patterns []string
	// Action is DLPBlock by default.
	Action string
}

// guard is a DLP made ready.
type guard struct {
	secrets  Secrets // nil where they are not looked for
	patterns []sought
	action   string
}

// wholeBody is how long a body may be that is looked at before the request begins, in bytes.
const wholeBody = 64 << 10

func newGuard(config *DLP, secrets Secrets) (*guard, error) {
	if config == nil {
		return nil, nil
	}
	g := &guard{action: config.Action}
	switch g.action {
	case "":
		g.action = DLPBlock
	case DLPBlock, DLPMask, DLPReport:
	default:
		return nil, fmt.Errorf("dlp: action %q is none of %s, %s and %s", g.action, DLPBlock, DLPMask, DLPReport)
	}
	if config.Secrets {
		g.secrets = secrets
	}
	for _, name := range config.Patterns {
		finder, err := newPattern(name)
		if err != nil {
			return nil, err
		}
		g.patterns = append(g.patterns, sought{finder, false})
	}
	return g, nil
}

func (g *guard) masks() bool { return g != nil && g.action == DLPMask }

// dlpSearch is what is looked for in one request.
type dlpSearch struct {
	secrets Search // nil for none
	finders []sought
	err     error // the secrets cannot be had
}

// sought is one thing that is looked for.
type sought struct {
	Finder
	secret bool // it finds secrets, by their names
}

// search is what the policy looks for in requests that the hop's rule allows.
func (h *hop) search() *dlpSearch { return h.x.policy.dlp.search(h.match) }

func (g *guard) search(match *rule) *dlpSearch {
	if g == nil {
		return nil
	}
	s := &dlpSearch{finders: g.patterns}
	if g.secrets == nil {
		return s
	}
	var bound []string
	if match != nil {
		bound = match.bound
	}
	if s.secrets, s.err = g.secrets.Search(bound, true); s.err == nil {
		s.finders = append([]sought{{s.secrets, true}}, g.patterns...)
	}
	return s
}

// thing says what an occurrence is.
func (f sought) thing(name string) string {
	if f.secret {
		return "the secret " + strings.TrimPrefix(name, "secret.")
	}
	switch name {
	case PatternEmail:
		return "an address of mail"
	case PatternCard:
		return "the number of a card"
	case PatternKey:
		return "a key"
	}
	return "a " + name
}

// maxFound is how many different findings a call tells.
const maxFound = 16

// note writes down what was found.
func (h *hop) note(found string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.found, found) && len(h.found) < maxFound {
		h.found = append(h.found, found)
	}
}

// leaks decides on what was found in a part of the request: an error refuses it.
func (h *hop) leaks(thing, part string) *Refusal {
	h.note(thing + " in the " + part)
	g := h.x.policy.dlp
	reason := "the " + part + " holds " + thing + ", which may not leave to this host"
	if g.action == DLPReport {
		return nil
	}
	if h.x.policy.report {
		h.pass(verdict{rule: RuleDLP, reason: reason})
		return nil
	}
	return h.refusal(RuleDLP, reason)
}

// guardHost looks at the name of the host, before anything is said about it: a refusal that names the host would tell the secret.
func (h *hop) guardHost() error {
	s := h.search()
	if s == nil || s.secrets == nil {
		return h.unsearched(s)
	}
	for _, host := range []string{h.x.url.Host, h.target.host} {
		name := s.secrets.InName(host)
		if name == "" {
			name = holds(host, s.secrets)
		}
		if name == "" {
			continue
		}
		shown := h.target
		h.target = target{scheme: shown.scheme, host: "[redacted:" + name + "]", port: shown.port}
		if r := h.leaks(sought{secret: true}.thing(name), "host"); r != nil {
			return h.refused(r)
		}
		h.target = shown
		break
	}
	return nil
}

// unsearched refuses where the secrets cannot be had that must not leave.
func (h *hop) unsearched(s *dlpSearch) error {
	if s == nil || s.err == nil {
		return nil
	}
	return h.refuse(RuleDLP, "the secrets that may not leave cannot be read")
}

// guardHead looks at the URL and at the header, which a mask changes.
func (h *hop) guardHead(header http.Header) error {
	s := h.search()
	if s == nil {
		return nil
	}
	if s.err != nil {
		return h.unsearched(s)
	}
	for _, part := range []struct{ name, text string }{{"path", h.target.path}, {"query", h.target.query}} {
		texts := []string{part.text}
		if plain, err := url.QueryUnescape(part.text); err == nil && plain != part.text {
			texts = append(texts, plain)
		}
		if plain, err := url.PathUnescape(part.text); err == nil && plain != part.text {
			texts = append(texts, plain)
		}
		for _, finder := range s.finders {
			for _, text := range texts {
				if name := holds(text, finder); name != "" {
					if r := h.leaks(finder.thing(name), part.name); r != nil {
						return h.refused(r)
					}
					break
				}
			}
		}
	}
	if s.secrets != nil {
		if name := s.secrets.InName(strings.Join(slices.Collect(maps.Keys(header)), "\n")); name != "" {
			if r := h.leaks(sought{secret: true}.thing(name), "header"); r != nil {
				return h.refused(r)
			}
		}
	}
	for _, finder := range s.finders {
		for _, values := range header {
			for i, value := range values {
				masked, err := replaceAll(value, finder, h.finding(finder, "header"))
				if err != nil {
					return h.refused(h.leak.Load())
				}
				values[i] = masked
			}
		}
	}
	return nil
}

// finding decides on what a finder finds in a part that can be masked.
func (h *hop) finding(finder sought, part string) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		thing := finder.thing(name)
		if h.x.policy.dlp.action == DLPMask && name != foundPrivateKey && !h.x.policy.report {
			h.note(thing + " in the " + part)
			return []byte("[redacted:" + name + "]"), nil
		}
		if r := h.leaks(thing, part); r != nil {
			h.leak.Store(r)
			return nil, errScanned
		}
		return nil, nil
	}
}

// guardBody looks at a body as it is sent.
func (h *hop) guardBody(body io.ReadCloser, s *dlpSearch) io.ReadCloser {
	if s == nil {
		return body
	}
	for _, finder := range s.finders {
		body = newScan(body, finder, h.finding(finder, "body"))
	}
	return body
}

// wantsWhole tells whether the body is read before the request begins: a short one that is looked at, so that the request is refused before
// it leaves, and one that is signed.
func (h *hop) wantsWhole(s *dlpSearch) bool {
	return h.match.signs() || s != nil && len(s.finders) > 0 && h.x.length >= 0 && h.x.length <= wholeBody
}

// watch looks at what is written to a connection, which cannot be held back: an occurrence that is split over writes is stopped before its
// last part is sent. It is for one goroutine at a time.
type watch struct {
	search *dlpSearch
	tail   []byte // the end of what was written before
}

// find is the first thing that is whole with these bytes; empty for none.
func (w *watch) find(p []byte) string {
	longest := 0
	for _, finder := range w.search.finders {
		longest = max(longest, finder.Longest())
	}
	b := append(w.tail, p...)
	for _, finder := range w.search.finders {
		for from := 0; ; {
			at, n, name := finder.Next(b, from, len(b))
			if n == 0 {
				break
			}
			if at+n > len(w.tail) {
				return finder.thing(name)
			}
			from = at + 1
		}
	}
	w.tail = append(w.tail[:0:0], b[max(0, len(b)-longest+1):]...)
	return ""
}

// checker looks at the messages of a WebSocket.
func (h *hop) checker() func([]byte) error {
	s := h.search()
	if s == nil || !h.x.opt.WebSocket {
		return nil
	}
	w := &watch{search: s}
	return func(message []byte) error {
		thing := w.find(message)
		if s.err != nil {
			return h.refusal(RuleDLP, "the secrets that may not leave cannot be read")
		}
		if thing == "" {
			return nil
		}
		if r := h.leaks(thing, "message"); r != nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.cut = r
			return r
		}
		return nil
	}
}
