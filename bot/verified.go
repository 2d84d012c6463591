package bot

import (
	"slices"
	"strings"
)

// AllowedAgent is an agent that is let in by what it proves, never by what it says.
type AllowedAgent struct {
	// Origin is what it proves to be, such as https://agent.example.com.
	Origin string
	// UserAgents are what its user agents have in them, without regard to case. A request that has one of them and does not prove the
	// origin is a spoof.
	UserAgents []string
}

const (
	scoreVerified = 95
	scoreSpoofed  = 1
)

// Judge is the result for a request of which it is known who proved to have sent it: an allowed agent scores like a browser, and whoever
// only claims to be one, by the user agent or the origin that the request names, scores as automated. Empty means nobody for both.
func (r Result) Judge(userAgent, proven, claimed string, allowed []AllowedAgent) Result {
	r.Verified = proven != ""
	for _, a := range allowed {
		if a.Origin == proven {
			return Result{Score: scoreVerified, Reasons: []string{ReasonVerifiedAgent}, Verified: true}
		}
	}
	lower := strings.ToLower(userAgent)
	names := func(part string) bool { return strings.Contains(lower, strings.ToLower(part)) }
	for _, a := range allowed {
		if a.Origin == claimed || slices.ContainsFunc(a.UserAgents, names) {
			r.Score, r.Reasons = scoreSpoofed, append(r.Reasons, ReasonSpoofedAgent)
			break
		}
	}
	return r
}
