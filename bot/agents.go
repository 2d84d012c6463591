package bot

// kind is a bit for each thing that a word of a user agent can say.
type kind uint32

const (
	attackTool kind = 1 << iota
	headless
	crawler
	address // of a page about it, which browsers do not leave
	library
	nativeApp
	chromium // followed by a version
	firefox  // followed by a version
	safari   // "Version/", followed by a version
	webkit
	explorer
	iosBrowser // a browser that is WebKit by the rules of iOS
	windows
	macintosh
	android
	ios
	linux
	chromeOS
	webView
	mobile
	mozilla
)

const (
	anyBrowser = chromium | firefox | safari | explorer | iosBrowser
	versioned  = chromium | firefox | safari
)

// edge says where a word may lie within a user agent.
type edge uint8

const (
	prefix edge = iota // no letter before it
	whole              // no letter before or after it
	suffix             // no letter after it
	inside             // anywhere
)

// word is a lower-case ASCII text of at least three bytes to look for.
type word struct {
	text string
	kind kind
	edge edge
}

// words is the one table of user agents. Names are those that tools send by
// default.
var words = join(
	list(attackTool, prefix,
		"sqlmap", "nikto", "nmap", "masscan", "nuclei", "wpscan", "dirbuster", "gobuster", "dirsearch",
		"feroxbuster", "ffuf", "fuzz faster u fool", "wfuzz", "zgrab", "zmap", "acunetix", "nessus", "openvas",
		"netsparker", "invicti", "burpsuite", "burp suite", "w3af", "arachni", "skipfish", "whatweb", "wafw00f",
		"whatwaf", "jorgee", "morfeus", "muieblackcat", "zmeu", "havij", "sqlninja", "bsqlbf", "commix", "xsser",
		"xsstrike", "joomscan", "cmsmap", "droopescan", "projectdiscovery", "naabu", "metasploit", "owasp zap",
		"owasp_zap", "zaproxy", "qualys", "webinspect", "appscan", "dotdotpwn", "fimap", "golismero", "uniscan",
		"patator", "jaeles", "gospider", "hakrawler", "l9explore", "l9tcpid", "slowhttptest", "slowloris",
		"paros", "websecurify", "grendel-scan", "n-stealth", "webshag", "nosqlmap", "crackmapexec"),
	list(attackTool, whole, "hydra", "dirb"),

	list(headless, inside, "headless"),
	list(headless, prefix, "phantomjs", "slimerjs", "puppeteer", "playwright", "selenium", "webdriver", "cypress",
		"jsdom", "htmlunit", "zombie.js", "lightpanda"),

	list(crawler, suffix, "bot", "robot", "crawler", "crawlers", "robots", "crawl", "agent", "scan", "scanning", "scraping", "synthetics", "monitor",
		"linkcheck", "linkchecker", "sitecheck", "fetcher", "imageproxy", "optimizer"),
	list(crawler, inside, "spider"),
	list(address, inside, "://", "+http"),
	list(crawler, prefix,
		"slurp", "facebookexternalhit", "facebookcatalog", "meta-externalagent", "meta-externalfetcher", "mediapartners-google",
		"apis-google", "googleother", "google-inspectiontool", "google-read-aloud", "feedfetcher", "bingpreview",
		"whatsapp", "embedly", "chatgpt-user", "claude-user", "claude-web", "anthropic-ai", "perplexity-user",
		"mistralai-user", "cohere-ai", "gemini-deep-research", "ia_archiver", "heritrix", "censysinspect", "expanse",
		"internet-measurement", "pingdom", "statuscake", "site24x7", "chrome-lighthouse", "w3c_validator", "skypeuripreview",
		"google web preview", "google favicon", "google-ads-conversions", "googleagent", "playstore-google", "adbeat", "appinsights", "collapsify",
		"cookiehubverify", "criticalcss", "dareboost", "datanyze", "dlc/", "feeder.co", "foregenix", "ghost inspector", "gtmetrix", "hardenize", "hotjar",
		"linktiger", "manus-user", "marketgoo", "miniature.io", "monitorss", "netcraft", "newsai/", "newsnow", "page-preview", "printfriendly", "ps_daily",
		"ptst/", "pwabuilder", "readable/", "rigor)", "scope3", "securityheaders", "silktide", "sindup", "siteimprove", "splash version", "sqwatcher", "tsm-turingos"),

	list(library, prefix,
		"curl", "libcurl", "pycurl", "wget", "aria2", "python", "aiohttp", "httpx", "urllib", "httplib2", "scrapy",
		"go-http-client", "go-resty", "fasthttp", "colly", "okhttp", "axios", "node-fetch", "undici", "superagent",
		"node-superagent", "apache-httpclient", "apache-httpasyncclient", "jakarta", "jersey", "reactornetty",
		"vert.x", "libwww-perl", "lwp", "faraday", "httparty", "rest-client", "typhoeus", "mechanize", "guzzlehttp",
		"symfony", "wordpress", "reqwest", "ureq", "restsharp", "httpclient", "powershell", "windowspowershell",
		"winhttp", "postmanruntime", "insomnia", "httpie", "apachebench", "vegeta", "locust", "artillery",
		"cpp-httplib", "hackney", "elixir"),
	list(library, whole, "java", "node", "got", "deno", "bun", "perl", "ruby", "php", "hyper", "wrk", "hey", "k6/"),

	list(nativeApp, prefix, "cfnetwork", "applecoremedia", "exoplayer", "dalvik"),
	list(nativeApp, whole, "dart"),

	list(chromium, prefix, "chrome/", "chromium/"),
	list(firefox, prefix, "firefox/"),
	list(safari, prefix, "version/"),
	list(webkit, prefix, "applewebkit/"),
	list(explorer, prefix, "msie ", "trident/"),
	list(iosBrowser, prefix, "crios/", "fxios/", "edgios/", "opios/", "opt/", "gsa/", "duckduckgo/"),
	list(windows, prefix, "windows nt"),
	list(macintosh, prefix, "macintosh"),
	list(android, prefix, "android"),
	list(ios, prefix, "iphone", "ipad", "ipod"),
	list(linux, prefix, "linux"),
	list(chromeOS, prefix, "cros "),
	list(webView, prefix, "wv)"),
	list(mobile, prefix, "mobile"),
	list(mozilla, prefix, "mozilla/"),
)

func list(k kind, e edge, texts ...string) []word {
	out := make([]word, len(texts))
	for i, text := range texts {
		out[i] = word{text, k, e}
	}
	return out
}

func join(lists ...[]word) []word {
	var out []word
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// index finds words by their first three bytes.
var index = func() (buckets [1 << indexBits][]word) {
	for _, w := range words {
		h := hash3(w.text[0], w.text[1], w.text[2])
		buckets[h] = append(buckets[h], w)
	}
	return buckets
}()

const indexBits = 11

func hash3(a, b, c byte) uint32 {
	return (uint32(a) | uint32(b)<<8 | uint32(c)<<16) * 2654435769 >> (32 - indexBits)
}

// agent is what a user agent says about itself.
type agent struct {
	kinds  kind
	major  [3]int // versions of chromium, firefox, safari; 0 when there is none
	length int
}

func (a *agent) is(k kind) bool { return a.kinds&k != 0 }

// maxUserAgent is how much of a user agent is looked at, in bytes.
const maxUserAgent = 512

// parse looks each word of the table up in one pass.
func parse(userAgent string) agent {
	a := agent{length: len(userAgent)}
	var buf [maxUserAgent]byte
	n := copy(buf[:], userAgent)
	ua := buf[:n]
	for i, c := range ua {
		if 'A' <= c && c <= 'Z' {
			ua[i] = c + ('a' - 'A')
		}
	}
	for i := 0; i+3 <= n; i++ {
		bucket := index[hash3(ua[i], ua[i+1], ua[i+2])]
		for j := range bucket {
			w := &bucket[j]
			end := i + len(w.text)
			if end > n || string(ua[i:end]) != w.text || !w.fits(ua, i, end) {
				continue
			}
			a.kinds |= w.kind
			if w.kind&versioned != 0 {
				a.setMajor(w.kind, number(ua[end:]))
			}
		}
	}
	return a
}

func (w *word) fits(ua []byte, start, end int) bool {
	if w.edge == prefix || w.edge == whole {
		if start > 0 && letter(ua[start-1]) {
			return false
		}
	}
	if w.edge == suffix || w.edge == whole {
		if end < len(ua) && letter(ua[end]) && letter(ua[end-1]) {
			return false
		}
	}
	// Cubot makes telephones.
	return w.text != "bot" || start < 2 || string(ua[start-2:start]) != "cu"
}

func (a *agent) setMajor(k kind, major int) {
	switch k {
	case chromium:
		a.major[0] = major
	case firefox:
		a.major[1] = major
	case safari:
		a.major[2] = major
	}
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' }

// number reads the decimal digits that text starts with, at most four.
func number[T string | []byte](text T) int {
	n := 0
	for i := 0; i < len(text) && i < 4 && '0' <= text[i] && text[i] <= '9'; i++ {
		n = n*10 + int(text[i]-'0')
	}
	return n
}
