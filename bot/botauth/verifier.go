package botauth

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

const (
	requestTag = "web-bot-auth"

	// DefaultLeeway is how far the clocks of an agent and this server may be apart.
	DefaultLeeway = 30 * time.Second
	// DefaultMaxLifetime is how long a signature may be good for.
	DefaultMaxLifetime = 24 * time.Hour
)

// Config says which agents are believed. Fetch and Nonces are needed.
type Config struct {
	// Fetch gets what lies at an address. It does not follow redirects, and its context has a deadline.
	Fetch func(ctx context.Context, address string) (*Answer, error)
	// Nonces are the used nonces, which outlive this configuration.
	Nonces *Nonces
	// Agents, if there are any, are the origins whose directories are asked; by default any is.
	Agents []string
	// Leeway is how far clocks may be apart; default DefaultLeeway, negative for none.
	Leeway time.Duration
	// MaxLifetime is the longest time from a signature's created to its expires; default DefaultMaxLifetime.
	MaxLifetime time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Agent is who signed a request.
type Agent struct {
	// Origin is where its keys are, such as https://agent.example.com.
	Origin string
	// KeyID is the thumbprint of the key.
	KeyID string
	// Expires is when the signature ends.
	Expires time.Time
}

// Verifier verifies requests. It is safe for concurrent use.
type Verifier struct {
	config      Config
	directories directories
}

// New makes a verifier; an agent that is no origin is an error.
func New(c Config) (*Verifier, error) {
	for i, text := range c.Agents {
		u, err := ParseOrigin(text)
		if err != nil {
			return nil, err
		}
		c.Agents[i] = u.Scheme + "://" + u.Host
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = DefaultLeeway
	case c.Leeway < 0:
		c.Leeway = 0
	}
	if c.MaxLifetime == 0 {
		c.MaxLifetime = DefaultMaxLifetime
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{config: c, directories: directories{
		fetch: c.Fetch, now: c.Now, leeway: c.Leeway, fetching: make(chan struct{}, maxFetches), byOrigin: map[string]*directory{},
	}}, nil
}

// ParseOrigin reads an agent's origin: https, or http on this machine, and nothing after the authority.
func ParseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || len(text) > 512 {
		return nil, fmt.Errorf("%.512q is no origin like https://agent.example.com", text)
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && !(u.Scheme == "http" && ip.IsLoopback()) {
		return nil, fmt.Errorf("%.512q: an agent's keys are taken over https only", text)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

// Verify tells who signed a request, whose target and authority are as the client sent them. The nonce of a signature that is good is
// used up. A request without a signature of this protocol is ErrUnsigned.
func (v *Verifier) Verify(ctx context.Context, r *http.Request) (*Agent, error) {
	found, err := signatures(r.Header, requestTag)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, ErrUnsigned
	case 1:
	default:
		return nil, fmt.Errorf("%w: %d signatures have the tag %s", ErrMalformed, len(found), requestTag)
	}
	s, now := &found[0], v.config.Now()
	if err := s.inTime(now, v.config.Leeway); err != nil {
		return nil, err
	}
	switch {
	case s.expires.Sub(s.created) > v.config.MaxLifetime:
		return nil, ErrTimes
	case s.created.Before(v.config.Nonces.started.Truncate(time.Second)):
		return nil, ErrBeforeStart
	case s.nonce == "" || len(s.nonce) > maxNonce:
		return nil, ErrNonce
	case !s.covers(`"@authority"`):
		return nil, fmt.Errorf("%w: @authority", ErrComponents)
	}
	origin, err := s.agent(r.Header)
	if err != nil {
		return nil, err
	}
	if len(v.config.Agents) > 0 && !slices.Contains(v.config.Agents, origin.Scheme+"://"+origin.Host) {
		return nil, ErrNotAsked
	}
	of := v.directories.directory(origin)
	key, err := v.directories.key(ctx, of, s.keyID)
	if err != nil {
		return nil, err
	}
	if err := s.verify(requestMessage(r), key); err != nil {
		return nil, err
	}
	// Only now, so that nobody else can use up an agent's nonces.
	if err := v.config.Nonces.use(of.origin, s.keyID, s.nonce, now, s.expires.Add(v.config.Leeway)); err != nil {
		return nil, err
	}
	return &Agent{Origin: of.origin, KeyID: s.keyID, Expires: s.expires}, nil
}

// Claimed is the origin that a request's Signature-Agent names, whether or not that is true; empty for none.
func Claimed(h http.Header) string {
	if len(h["Signature-Agent"]) == 0 {
		return ""
	}
	if d, err := dictionary(h, "Signature-Agent"); err == nil && d != nil {
		for _, name := range d.Names() {
			member, _ := d.Get(name)
			if u, err := originOf(member); err == nil {
				return u.Scheme + "://" + u.Host
			}
		}
		return ""
	}
	if item, err := httpsfv.UnmarshalItem(h.Values("Signature-Agent")); err == nil {
		if u, err := originOf(item); err == nil {
			return u.Scheme + "://" + u.Host
		}
	}
	return ""
}

// agent is the origin that Signature-Agent names for this signature, which must cover it: a member of a dictionary by the component's
// key, its only member, or the text that earlier drafts have.
func (s *signature) agent(h http.Header) (*url.URL, error) {
	lines := h.Values("Signature-Agent")
	if len(lines) == 0 {
		return nil, ErrAgent
	}
	i := slices.IndexFunc(s.input.Items, func(item httpsfv.Item) bool { return item.Value == "signature-agent" })
	if i < 0 {
		return nil, fmt.Errorf("%w: signature-agent", ErrComponents)
	}
	key, keyed := s.input.Items[i].Params.Get("key")
	d, err := dictionary(h, "Signature-Agent")
	if err != nil {
		if keyed {
			return nil, err
		}
		item, err := httpsfv.UnmarshalItem(lines)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAgent, err)
		}
		return originOf(item)
	}
	if !keyed {
		if names := d.Names(); len(names) == 1 {
			key = names[0]
		}
	}
	name, _ := key.(string)
	member, ok := d.Get(name)
	if !ok {
		return nil, fmt.Errorf("%w: Signature-Agent has no member of its own for this signature", ErrAgent)
	}
	return originOf(member)
}

// originOf reads a member of Signature-Agent. Of its types only directory is taken, which is what there is without one.
func originOf(member httpsfv.Member) (*url.URL, error) {
	item, _ := member.(httpsfv.Item)
	text, ok := item.Value.(string)
	if !ok {
		return nil, fmt.Errorf("%w: it is no text", ErrAgent)
	}
	if kind, given := item.Params.Get("type"); given && kind != httpsfv.Token("directory") && kind != "directory" {
		return nil, fmt.Errorf("%w: its type %v is not taken, only directory", ErrAgent, kind)
	}
	u, err := ParseOrigin(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAgent, err)
	}
	return u, nil
}
