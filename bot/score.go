package bot

import (
	"net/http"
	"strings"
)

// Result is a score with its reasons.
type Result struct {
	// Score is 1..99; see the package comment for the bands.
	Score int
	// Reasons are the detection ids that lowered the score, in a fixed order;
	// nil when nothing did.
	Reasons []string
	// Verified tells whether the sender's identity was proven. Headers prove
	// nothing, so Score leaves it false; Judge sets it.
	Verified bool
}

// Base scores and bounds; the package comment has the table.
const (
	scoreAttackTool = 1
	scoreUAMissing  = 5
	scoreHeadless   = 8
	scoreLibrary    = 15
	scoreCrawler    = 20
	scoreIncomplete = 20
	scoreUnknown    = 25
	scoreNativeApp  = 40
	scoreBrowser    = 95
	minBrowser      = 2
	maxOversized    = 20
)

// Versions from which browsers send a header, and below which one is outdated.
const (
	hintsSinceChromium = 89
	fetchSinceChromium = 80
	fetchSinceFirefox  = 90
	fetchSinceSafari   = 17
	outdatedChromium   = 60
	outdatedFirefox    = 60
)

// Score judges a request. It is a pure function: equal signals give equal
// results. It does not fail, and takes about a microsecond.
func Score(s Signals) Result {
	if strings.TrimSpace(s.UserAgent) == "" {
		return Result{Score: scoreUAMissing, Reasons: []string{ReasonUAMissing}}
	}
	a := parse(s.UserAgent)
	var r Result
	switch {
	case a.is(attackTool):
		return Result{Score: scoreAttackTool, Reasons: []string{ReasonAttackTool}}
	case a.is(headless) || strings.Contains(s.SecCHUA, "HeadlessChrome"):
		r = Result{Score: scoreHeadless, Reasons: []string{ReasonHeadless}}
	case a.is(crawler):
		r = Result{Score: scoreCrawler, Reasons: []string{ReasonClaimedCrawler}}
	case a.is(library):
		r = Result{Score: scoreLibrary, Reasons: []string{ReasonHTTPLibrary}}
	case a.is(address):
		r = Result{Score: scoreCrawler, Reasons: []string{ReasonClaimedCrawler}}
	case a.is(mozilla) && (a.is(anyBrowser) || a.is(webkit) && a.is(ios)):
		r = scoreOfBrowser(&s, &a)
	case a.is(nativeApp):
		r = Result{Score: scoreNativeApp, Reasons: []string{ReasonNativeApp}}
	case a.is(mozilla):
		r = Result{Score: scoreIncomplete, Reasons: []string{ReasonUAIncomplete}}
	default:
		r = Result{Score: scoreUnknown, Reasons: []string{ReasonUAUnknown}}
	}
	if a.length > maxUserAgent {
		r.Score = min(r.Score, maxOversized)
		r.Reasons = append(r.Reasons, ReasonUAOversized)
	}
	return r
}

// scoreOfBrowser checks that the other headers are those of the browser that
// the user agent names.
func scoreOfBrowser(s *Signals, a *agent) Result {
	r := Result{Score: scoreBrowser}
	lower := func(by int, reason string) {
		r.Score = max(r.Score-by, minBrowser)
		r.Reasons = append(r.Reasons, reason)
	}
	if s.AcceptLanguage == "" {
		lower(70, ReasonNoAcceptLanguage)
	}
	if s.Accept == "" && !s.WebSocket {
		lower(25, ReasonNoAccept)
	}
	if s.AcceptEncoding == "" {
		lower(20, ReasonNoAcceptEncoding)
	}
	if s.ProtoMajor == 1 && s.ProtoMinor == 0 {
		lower(30, ReasonHTTP10)
	}
	if a.is(explorer) || a.is(chromium) && a.major[0] < outdatedChromium || a.is(firefox) && a.major[1] < outdatedFirefox {
		lower(30, ReasonOutdatedBrowser)
	}
	if s.Handshake != nil && !s.Handshake.fits(a, s.WebSocket) {
		lower(70, ReasonHandshakeMismatch)
	}
	checkHints(s, a, lower)
	checkFetchMetadata(s, a, lower)
	return r
}

// checkHints compares User-Agent Client Hints, which only Chromium sends, with
// the user agent. A browser on iOS is WebKit whatever its name.
func checkHints(s *Signals, a *agent, lower func(int, string)) {
	isChromium := a.is(chromium) && !a.is(ios)
	if s.SecCHUA == "" {
		excused := s.WebSocket || s.Method == http.MethodOptions || a.is(webView)
		if s.TLS && isChromium && a.major[0] >= hintsSinceChromium && !excused {
			lower(25, ReasonNoClientHints)
		}
		return
	}
	if !isChromium {
		lower(50, ReasonHintsMismatch)
		return
	}
	if version := hintedVersion(s.SecCHUA); version != 0 && version != a.major[0] {
		lower(40, ReasonVersionMismatch)
	}
	if s.SecCHUAPlatform != "" && !platformFits(s.SecCHUAPlatform, a) {
		lower(50, ReasonPlatformMismatch)
	}
	if s.SecCHUAMobile == "?1" && !a.is(mobile) {
		lower(20, ReasonMobileMismatch)
	}
}

// hintedVersion reads the major version of the "Chromium" brand, 0 if absent.
func hintedVersion(brands string) int {
	const brand = `"Chromium";v="`
	i := strings.Index(brands, brand)
	if i < 0 {
		return 0
	}
	return number(brands[i+len(brand):])
}

// platformFits compares Sec-CH-UA-Platform with the user agent's system. Names
// that are not in the table fit anything.
func platformFits(platform string, a *agent) bool {
	switch strings.Trim(platform, `"`) {
	case "Windows":
		return a.is(windows)
	case "macOS":
		return a.is(macintosh)
	case "Android":
		// A telephone that asks for the desktop page says Linux.
		return a.is(android | linux)
	case "Linux":
		return a.is(linux)
	case "Chrome OS", "Chromium OS":
		return a.is(chromeOS)
	case "iOS":
		return a.is(ios)
	}
	return true
}

// checkFetchMetadata looks at Sec-Fetch-* and at Accept, whose value depends
// on what the fetch is for.
func checkFetchMetadata(s *Signals, a *agent, lower func(int, string)) {
	if s.SecFetchMode == "" {
		if s.TLS && !s.WebSocket && sendsFetchMetadata(a) {
			lower(25, ReasonNoFetchMetadata)
		}
		return
	}
	navigation := s.SecFetchMode == "navigate"
	if s.SecFetchSite == "" || navigation && (s.SecFetchDest == "" || s.SecFetchDest == "empty") {
		lower(30, ReasonFetchMismatch)
	}
	if navigation && s.Accept != "" && !strings.Contains(s.Accept, "text/html") {
		lower(30, ReasonNavigationAccept)
	}
}

func sendsFetchMetadata(a *agent) bool {
	switch {
	case a.is(webView | iosBrowser):
		return false // the version named is not the engine's
	case a.is(chromium):
		return a.major[0] >= fetchSinceChromium
	case a.is(firefox):
		return a.major[1] >= fetchSinceFirefox
	case a.is(safari):
		return a.major[2] >= fetchSinceSafari && !a.is(android)
	}
	return false
}
