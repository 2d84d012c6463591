// Package bot scores how likely a request was sent by a person's browser, from
// 1 (automated) to 99, and says why.
//
// It owns the signals, the tables of known user agents and the reasons. It
// must not know Caddy, and never decides: callers block, challenge or tag by
// the score. The bands are Cloudflare's: 1 automated, 2..29 likely automated,
// 30..99 likely human; callers use 0 for "not computed".
//
// Score works from the request line, the headers and the TLS handshake alone. What a client claims is
// never proof: a claimed crawler is not Verified, and a user agent can only
// lower a score, since each header can be forged by a client that knows how.
//
// The base score comes from what the user agent names; the first row that
// applies wins:
//
//	attack tool         1    attack-tool
//	no user agent       5    ua-missing
//	headless browser    8    headless
//	declared crawler   20    claimed-crawler
//	library or CLI     15    http-library
//	browser            95    less the penalties below, but at least 2
//	native app stack   40    native-app
//	"Mozilla/..." only 20    ua-incomplete
//	anything else      25    ua-unknown
//
// A user agent longer than 512 bytes scores at most 20 (ua-oversized).
//
// Penalties of browsers, each with its reason. The headers that browsers send
// to secure origins only (Sec-CH-UA, Sec-Fetch-*) are missed over TLS only;
// WebSocket handshakes, and preflights for client hints, are excused since
// browsers leave headers out there:
//
//	no-accept-language      70  every browser sends Accept-Language
//	handshake-mismatch      70  the TLS handshake is not that browser's
//	platform-mismatch       50  Sec-CH-UA-Platform names another system
//	hints-mismatch          50  Sec-CH-UA from a browser that has none
//	version-mismatch        40  Sec-CH-UA has another Chromium version
//	http-1.0                30  a browser of this century speaks HTTP/1.1
//	navigation-accept       30  a navigation that does not ask for HTML
//	fetch-metadata-mismatch 30  Sec-Fetch-* headers that exclude each other
//	outdated-browser        30  a version that is years out of use
//	no-accept               25  every browser sends Accept
//	no-client-hints         25  Chromium 89 or later without Sec-CH-UA
//	no-fetch-metadata       25  Chromium 80, Firefox 90, Safari 17 or later without Sec-Fetch-Mode
//	mobile-mismatch         20  Sec-CH-UA-Mobile: ?1 from a desktop user agent
//	no-accept-encoding      20  every browser sends Accept-Encoding
//
// Result.Judge then takes in what was proven of the sender: an allowed agent
// that proves who it is scores 95 (verified-agent), and whoever claims to be
// one without proof 1 (spoofed-agent).
//
// Sources: User-Agent Client Hints and Fetch Metadata Request Headers (W3C),
// the Fetch standard (WHATWG), and the tools' own default user agents.
package bot
