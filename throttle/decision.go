package throttle

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Decision is the answer for one request of one key in one zone.
type Decision struct {
	// Allowed tells whether the request may pass.
	Allowed bool
	// Limit and Window are those of the zone's rate.
	Limit  int
	Window time.Duration
	// Remaining is how many more requests would pass at this instant.
	Remaining int
	// RetryAfter is how long until one more would pass; zero when Allowed.
	RetryAfter time.Duration
	// Reset is how long until the whole limit is free again, with no requests
	// in between. Nothing of the key need be kept after it.
	Reset time.Duration
}

const (
	policyField    = "Ratelimit-Policy"
	rateLimitField = "Ratelimit"
)

// SetHeaders tells the client where it stands
// (draft-ietf-httpapi-ratelimit-headers-11, structured fields of RFC 9651):
//
//	RateLimit-Policy: "zone";q=10;w=60     one item for each zone called with
//	RateLimit: "zone";r=3;t=20             the tightest zone only
//	Retry-After: 20                        on refusal (RFC 9110, 10.2.3)
//
// It may be called for several zones of one response: the tightest is the one
// with the fewest requests remaining and then the longest wait, and
// Retry-After is the longest of those that refused. Times are in seconds,
// rounded up. t is the time until one more request would pass when none
// remain, so that it agrees with Retry-After, and else the time until the
// limit is whole.
func (d Decision) SetHeaders(h http.Header, zone string) {
	name := quote(zone)
	policy := name + ";q=" + strconv.Itoa(d.Limit) + ";w=" + strconv.FormatInt(seconds(d.Window), 10)
	if others := h.Get(policyField); others != "" {
		policy = others + ", " + policy
	}
	h.Set(policyField, policy)

	wait := seconds(d.Reset)
	if !d.Allowed {
		wait = seconds(d.RetryAfter)
		if before, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64); err != nil || before < wait {
			h.Set("Retry-After", strconv.FormatInt(wait, 10))
		}
	}
	remaining, otherWait, ok := parseItem(h.Get(rateLimitField))
	if ok && (remaining < int64(d.Remaining) || remaining == int64(d.Remaining) && otherWait >= wait) {
		return
	}
	h.Set(rateLimitField, name+";r="+strconv.Itoa(d.Remaining)+";t="+strconv.FormatInt(wait, 10))
}

// seconds rounds up, so that a client that waits as told is not refused again.
func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Second - 1) / time.Second)
}

// quote makes a structured field String (RFC 9651, 3.3.3); bytes that can't be
// in one become "?".
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20 || c > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// parseItem reads r and t of an item that SetHeaders wrote.
func parseItem(item string) (remaining, wait int64, ok bool) {
	i := strings.LastIndex(item, "\";r=")
	if i < 0 {
		return 0, 0, false
	}
	r, t, found := strings.Cut(item[i+len("\";r="):], ";t=")
	if !found {
		return 0, 0, false
	}
	remaining, err1 := strconv.ParseInt(r, 10, 64)
	wait, err2 := strconv.ParseInt(t, 10, 64)
	return remaining, wait, err1 == nil && err2 == nil
}
