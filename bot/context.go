package bot

// Context is what is known of a request beside what it says: where it comes from, and what its client did before.
type Context struct {
	// Trapped tells that the client asked for a honeypot.
	Trapped bool
	// Datacenter tells that the address is a data centre's, where no browsers of people are.
	Datacenter bool
	// Crawler is what is known of the crawler that the request claims to be.
	Crawler Origin
	Habits  Habits
}

const scoreTrapped = 2

// In is the result for a request that is seen in its context.
func (r Result) In(c Context) Result {
	browser := r.Score > scoreNativeApp
	lower := func(by int, reason string) {
		r.Score, r.Reasons = max(r.Score-by, minBrowser), append(r.Reasons, reason)
	}
	if browser && c.Datacenter {
		lower(40, ReasonDatacenter)
	}
	if browser && c.Habits.Rate {
		lower(40, ReasonPageRate)
	}
	if browser && c.Habits.Spread {
		lower(30, ReasonPageSpread)
	}
	if browser && c.Habits.NoCookies {
		lower(30, ReasonNoCookies)
	}
	switch c.Crawler {
	case OriginTrue:
		r.Verified, r.Reasons = true, append(r.Reasons, ReasonVerifiedCrawler)
	case OriginFalse:
		r.Score, r.Reasons = scoreSpoofed, append(r.Reasons, ReasonSpoofedCrawler)
	}
	if c.Trapped && !r.Verified {
		r.Score, r.Reasons = min(r.Score, scoreTrapped), append(r.Reasons, ReasonHoneypot)
	}
	return r
}
