package chain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-edge/gatehouse/record"
)

// Header carries a signed chain from server to server: a JSON Web Token (RFC 7519) under HS256.
const Header = "Gatehouse-Chain"

// DefaultDepth is how many agents and actors deep calls may go.
const DefaultDepth = 16

const (
	lifetime  = time.Minute      // of a signed chain
	skew      = 30 * time.Second // between two servers' clocks
	maxHeader = 16 << 10
	maxHops   = 256
	minKey    = 32
)

// ErrKey is the error for a key that is too short to sign with.
var ErrKey = fmt.Errorf("chain: the key has fewer than %d bytes", minKey)

// same says whether two hops are the same agent, entrypoint and actor of the same server.
func same(a, b record.Hop) bool {
	return a.Site == b.Site && a.Agent == b.Agent && a.Entry == b.Entry && a.Actor == b.Actor
}

// Cycle is the part of the chain from where next was before, in the words of Path, and empty where it was not.
func Cycle(hops []record.Hop, next record.Hop) string {
	at := slices.IndexFunc(hops, func(h record.Hop) bool { return same(h, next) })
	if at < 0 {
		return ""
	}
	return Path(append(slices.Clone(hops[at:]), next))
}

// Path writes a chain for people: "a -> b/Entry -> c actor 3e7c8eb5bbc0".
func Path(hops []record.Hop) string {
	var b strings.Builder
	for i, h := range hops {
		if i > 0 {
			b.WriteString(" -> ")
		}
		b.WriteString(h.Agent)
		if h.Entry != "" {
			b.WriteString("/" + h.Entry)
		}
		if h.Actor != "" {
			b.WriteString(" actor " + h.Actor[:min(12, len(h.Actor))])
		}
		if h.Site != "" {
			b.WriteString(" at " + h.Site)
		}
	}
	return b.String()
}

// claims are a token's content. The hops are one claim, so none can be taken out.
type claims struct {
	jwt.Claims
	Hops []record.Hop `json:"hops"`
}

// Signer signs chains with a key that servers share, and checks theirs. Safe for concurrent use.
type Signer struct {
	site   string
	key    []byte
	signer jose.Signer
}

// NewSigner makes a signer for the server called site, with a key of at least 32 bytes.
func NewSigner(site string, key []byte) (*Signer, error) {
	if len(key) < minKey {
		return nil, ErrKey
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	return &Signer{site, key, s}, nil
}

// Site is the server's name.
func (s *Signer) Site() string { return s.site }

// Sign makes the header's value for a request to host. Hops of this server get its name.
func (s *Signer) Sign(hops []record.Hop, host string, now time.Time) (string, error) {
	named := slices.Clone(hops)
	for i := range named {
		if named[i].Site == "" {
			named[i].Site = s.site
		}
	}
	return jwt.Signed(s.signer).Claims(claims{
		jwt.Claims{Issuer: s.site, Audience: jwt.Audience{strings.ToLower(host)}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime))},
		named,
	}).Serialize()
}

// Verify reads the header's value that came with a request for host. Hops of this server lose its name again. It fails closed: whatever
// is wrong with the value is an error.
func (s *Signer) Verify(value, host string, now time.Time) ([]record.Hop, error) {
	if len(value) > maxHeader {
		return nil, errors.New("the chain is too long")
	}
	token, err := jwt.ParseSigned(value, []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		return nil, errors.New("the chain is no token that is signed with HS256")
	}
	var c claims
	if err := token.Claims(s.key, &c); err != nil {
		return nil, errors.New("the chain is not signed with the key that is shared here")
	}
	if c.IssuedAt == nil || c.Expiry == nil {
		return nil, errors.New("the chain does not say for how long it is good")
	}
	if err := c.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{strings.ToLower(host)}, Time: now}, skew); err != nil {
		return nil, fmt.Errorf("the chain is not good here and now: %w", err)
	}
	if len(c.Hops) == 0 || len(c.Hops) > maxHops {
		return nil, fmt.Errorf("the chain has %d hops", len(c.Hops))
	}
	for i := range c.Hops {
		h := &c.Hops[i]
		if h.Agent == "" || h.Site == "" {
			return nil, errors.New("the chain has a hop without a name")
		}
		if h.Site == s.site {
			h.Site = ""
		}
	}
	return c.Hops, nil
}
