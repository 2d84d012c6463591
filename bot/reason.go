package bot

// Reasons are stable detection ids: they appear in records, placeholders and
// users' filters, so a meaning never changes under its id. The package comment
// says what each costs.
const (
	ReasonAttackTool        = "attack-tool"
	ReasonUAMissing         = "ua-missing"
	ReasonUAIncomplete      = "ua-incomplete"
	ReasonUAUnknown         = "ua-unknown"
	ReasonUAOversized       = "ua-oversized"
	ReasonHeadless          = "headless"
	ReasonClaimedCrawler    = "claimed-crawler"
	ReasonHTTPLibrary       = "http-library"
	ReasonNativeApp         = "native-app"
	ReasonNoAcceptLanguage  = "no-accept-language"
	ReasonNoAccept          = "no-accept"
	ReasonNoAcceptEncoding  = "no-accept-encoding"
	ReasonNoClientHints     = "no-client-hints"
	ReasonNoFetchMetadata   = "no-fetch-metadata"
	ReasonPlatformMismatch  = "platform-mismatch"
	ReasonMobileMismatch    = "mobile-mismatch"
	ReasonHintsMismatch     = "hints-mismatch"
	ReasonVersionMismatch   = "version-mismatch"
	ReasonFetchMismatch     = "fetch-metadata-mismatch"
	ReasonNavigationAccept  = "navigation-accept"
	ReasonHTTP10            = "http-1.0"
	ReasonOutdatedBrowser   = "outdated-browser"
	ReasonChallengePassed   = "challenge-passed"
	ReasonHandshakeMismatch = "handshake-mismatch"
	ReasonVerifiedAgent     = "verified-agent"
	ReasonSpoofedAgent      = "spoofed-agent"
)
