package bot

import (
	"crypto/tls"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	chromeWindows  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	chromeMac      = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	chromeAndroid  = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"
	edgeWindows    = chromeWindows + " Edg/131.0.0.0"
	firefoxLinux   = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
	firefoxAndroid = "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0"
	safariMac      = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"
	safariPhone    = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
	chromePhone    = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1"
	webViewAndroid = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240105.004; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.81 Mobile Safari/537.36"
	htmlAccept     = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
)

// base has the headers that every browser sends when it navigates.
func base(userAgent string) Signals {
	return Signals{Method: "GET", ProtoMajor: 2, TLS: true, UserAgent: userAgent, Accept: htmlAccept,
		AcceptLanguage: "en-GB,en;q=0.9", AcceptEncoding: "gzip, deflate, br, zstd"}
}

func navigation(userAgent string) Signals {
	s := base(userAgent)
	s.SecFetchSite, s.SecFetchMode, s.SecFetchDest = "none", "navigate", "document"
	return s
}

func chrome(userAgent, platform string) Signals {
	s := navigation(userAgent)
	s.SecCHUA = `"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"`
	s.SecCHUAMobile, s.SecCHUAPlatform = "?0", `"`+platform+`"`
	if strings.Contains(userAgent, "Mobile") {
		s.SecCHUAMobile = "?1"
	}
	return s
}

func with(s Signals, change func(*Signals)) Signals { change(&s); return s }

func plain(s Signals) Signals {
	s.TLS, s.ProtoMajor, s.ProtoMinor = false, 1, 1
	s.SecCHUA, s.SecCHUAMobile, s.SecCHUAPlatform = "", "", ""
	s.SecFetchSite, s.SecFetchMode, s.SecFetchDest = "", "", ""
	s.AcceptEncoding = "gzip, deflate"
	return s
}

func api(s Signals) Signals {
	s.Accept, s.SecFetchSite, s.SecFetchMode, s.SecFetchDest = "*/*", "same-origin", "cors", "empty"
	return s
}

func TestScoreOfRealBrowsersIsHigh(t *testing.T) {
	tests := map[string]Signals{
		"Chrome on Windows":           chrome(chromeWindows, "Windows"),
		"Chrome on macOS":             chrome(chromeMac, "macOS"),
		"Chrome on Linux":             chrome(strings.Replace(chromeMac, "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", 1), "Linux"),
		"Chrome on ChromeOS":          chrome(strings.Replace(chromeMac, "Macintosh; Intel Mac OS X 10_15_7", "X11; CrOS x86_64 14541.0.0", 1), "Chrome OS"),
		"Chrome on Android":           chrome(chromeAndroid, "Android"),
		"Chrome on Android, desktop":  chrome(strings.Replace(chromeMac, "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", 1), "Android"),
		"Chrome fetch":                api(chrome(chromeWindows, "Windows")),
		"Chrome over plain HTTP":      plain(chrome(chromeWindows, "Windows")),
		"Chrome post":                 with(chrome(chromeMac, "macOS"), func(s *Signals) { s.Method = "POST" }),
		"Chrome preflight":            with(api(base(chromeMac)), func(s *Signals) { s.Method = "OPTIONS" }),
		"Chrome WebSocket":            with(base(chromeMac), func(s *Signals) { s.WebSocket, s.Accept, s.ProtoMajor, s.ProtoMinor = true, "", 1, 1 }),
		"Edge on Windows":             chrome(edgeWindows, "Windows"),
		"Opera":                       chrome(chromeWindows+" OPR/116.0.0.0", "Windows"),
		"Samsung Internet":            chrome(strings.Replace(chromeAndroid, "Chrome/131", "SamsungBrowser/27.0 Chrome/131", 1), "Android"),
		"Android WebView":             navigation(webViewAndroid),
		"Cubot telephone":             chrome(strings.Replace(chromeAndroid, "; K)", "; CUBOT_X18_Plus)", 1), "Android"),
		"Firefox on Linux":            navigation(firefoxLinux),
		"Firefox on Windows":          navigation("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"),
		"Firefox on Android":          navigation(firefoxAndroid),
		"Firefox fetch":               api(navigation(firefoxLinux)),
		"Firefox over plain HTTP":     plain(navigation(firefoxLinux)),
		"Safari on macOS":             navigation(safariMac),
		"Safari 15, no metadata":      base(strings.Replace(safariMac, "Version/18.1", "Version/15.6", 1)),
		"Safari on iPhone":            navigation(safariPhone),
		"Safari over plain HTTP":      plain(navigation(safariPhone)),
		"Chrome on iPhone":            navigation(chromePhone),
		"Firefox on iPad":             navigation("Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/133.0 Mobile/15E148 Safari/605.1.15"),
		"web view of an app, iPhone":  base("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"),
		"Chrome behind a 1.0 proxy":   with(plain(chrome(chromeMac, "macOS")), func(s *Signals) { s.ProtoMinor = 0 }),
		"Internet Explorer":           plain(base("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko")),
		"Brave, hints without Google": with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecCHUA = `"Brave";v="131", "Chromium";v="131", "Not_A Brand";v="24"` }),
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			r := Score(s)
			floor := 80
			if name == "Chrome behind a 1.0 proxy" || name == "Internet Explorer" {
				floor = 30
			}
			if r.Score < floor || r.Verified {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestScoreOfAgents(t *testing.T) {
	tests := []struct {
		userAgent string
		low, high int
		reason    string
	}{
		{"sqlmap/1.8.2#stable (https://sqlmap.org)", 1, 1, ReasonAttackTool},
		{"SQLMAP/1.0", 1, 1, ReasonAttackTool},
		{"Mozilla/5.00 (Nikto/2.1.6) (Evasions:None) (Test:map_codes)", 1, 1, ReasonAttackTool},
		{"Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)", 1, 1, ReasonAttackTool},
		{"masscan/1.3 (https://github.com/robertdavidgraham/masscan)", 1, 1, ReasonAttackTool},
		{"Nuclei - Open-source project (github.com/projectdiscovery/nuclei)", 1, 1, ReasonAttackTool},
		{"WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)", 1, 1, ReasonAttackTool},
		{"DirBuster-1.0-RC1 (http://www.owasp.org/index.php/Category:OWASP_DirBuster_Project)", 1, 1, ReasonAttackTool},
		{"gobuster/3.6", 1, 1, ReasonAttackTool},
		{"feroxbuster/2.10.1", 1, 1, ReasonAttackTool},
		{"Fuzz Faster U Fool v2.1.0-dev", 1, 1, ReasonAttackTool},
		{"Mozilla/5.0 zgrab/0.x", 1, 1, ReasonAttackTool},
		{"Mozilla/4.0 (Hydra)", 1, 1, ReasonAttackTool},
		{"Mozilla/5.0 (compatible; Acunetix; WVS)", 1, 1, ReasonAttackTool},
		{"Nessus SOAP v0.0.1 (Nessus.org)", 1, 1, ReasonAttackTool},
		{chromeMac + " sqlmap", 1, 1, ReasonAttackTool},
		{"", 2, 9, ReasonUAMissing},
		{"   ", 2, 9, ReasonUAMissing},
		{"curl/8.5.0", 2, 29, ReasonHTTPLibrary},
		{"Wget/1.21.4", 2, 29, ReasonHTTPLibrary},
		{"python-requests/2.32.3", 2, 29, ReasonHTTPLibrary},
		{"Python/3.12 aiohttp/3.11.9", 2, 29, ReasonHTTPLibrary},
		{"python-httpx/0.28.0", 2, 29, ReasonHTTPLibrary},
		{"OpenAI/Python 1.55.0", 2, 29, ReasonHTTPLibrary},
		{"Go-http-client/1.1", 2, 29, ReasonHTTPLibrary},
		{"okhttp/4.12.0", 2, 29, ReasonHTTPLibrary},
		{"axios/1.7.9", 2, 29, ReasonHTTPLibrary},
		{"node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", 2, 29, ReasonHTTPLibrary},
		{"node", 2, 29, ReasonHTTPLibrary},
		{"undici", 2, 29, ReasonHTTPLibrary},
		{"Deno/2.1.2", 2, 29, ReasonHTTPLibrary},
		{"Bun/1.1.38", 2, 29, ReasonHTTPLibrary},
		{"Java/17.0.13", 2, 29, ReasonHTTPLibrary},
		{"Java-http-client/21.0.5", 2, 29, ReasonHTTPLibrary},
		{"Apache-HttpClient/4.5.14 (Java/17.0.13)", 2, 29, ReasonHTTPLibrary},
		{"libwww-perl/6.77", 2, 29, ReasonHTTPLibrary},
		{"Ruby", 2, 29, ReasonHTTPLibrary},
		{"GuzzleHttp/7", 2, 29, ReasonHTTPLibrary},
		{"reqwest/0.12", 2, 29, ReasonHTTPLibrary},
		{"PostmanRuntime/7.43.0", 2, 29, ReasonHTTPLibrary},
		{"Mozilla/5.0 (Windows NT; Windows NT 10.0; en-GB) WindowsPowerShell/5.1.19041", 2, 29, ReasonHTTPLibrary},
		{"Scrapy/2.12.0 (+https://scrapy.org)", 2, 29, ReasonHTTPLibrary},
		{"k6/0.55.0 (https://k6.io/)", 2, 29, ReasonHTTPLibrary},
		{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 2, 29, ReasonClaimedCrawler},
		{chromeAndroid + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 (compatible; Bytespider; spider-feedback@bytedance.com)", 2, 29, ReasonClaimedCrawler},
		{"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 2, 29, ReasonClaimedCrawler},
		{"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", 2, 29, ReasonClaimedCrawler},
		{strings.Replace(chromeMac, "Chrome/", "HeadlessChrome/", 1), 2, 29, ReasonHeadless},
		{"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1", 2, 29, ReasonHeadless},
		{"Mozilla/5.0", 2, 29, ReasonUAIncomplete},
		{"Mozilla/5.0 (compatible)", 2, 29, ReasonUAIncomplete},
		{"SomethingNew/1.0", 2, 29, ReasonUAUnknown},
		{"MyApp/12 CFNetwork/1568.200.51 Darwin/24.1.0", 30, 79, ReasonNativeApp},
		{"Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A)", 30, 79, ReasonNativeApp},
	}
	for _, test := range tests {
		t.Run(test.userAgent, func(t *testing.T) {
			// Whatever else the headers say, the name decides.
			for _, s := range []Signals{navigation(test.userAgent), {UserAgent: test.userAgent, ProtoMajor: 1, ProtoMinor: 1, Accept: "*/*"}} {
				r := Score(s)
				if r.Score < test.low || r.Score > test.high || !slices.Equal(r.Reasons, []string{test.reason}) || r.Verified {
					t.Errorf("got %+v, want %d..%d for %s", r, test.low, test.high, test.reason)
				}
			}
		})
	}
}

func TestScoreOfContradictions(t *testing.T) {
	tests := []struct {
		name   string
		s      Signals
		max    int
		reason string
	}{
		{"no Accept-Language", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.AcceptLanguage = "" }), 29, ReasonNoAcceptLanguage},
		{"no Accept", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.Accept = "" }), 79, ReasonNoAccept},
		{"no Accept-Encoding", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.AcceptEncoding = "" }), 79, ReasonNoAcceptEncoding},
		{"no hints", navigation(chromeMac), 79, ReasonNoClientHints},
		{"no Sec-Fetch, Chrome", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecFetchMode = "" }), 79, ReasonNoFetchMetadata},
		{"no Sec-Fetch, Firefox", base(firefoxLinux), 79, ReasonNoFetchMetadata},
		{"no Sec-Fetch, Safari", base(safariMac), 79, ReasonNoFetchMetadata},
		{"navigation with Accept */*", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.Accept = "*/*" }), 79, ReasonNavigationAccept},
		{"navigation to nothing", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecFetchDest = "empty" }), 79, ReasonFetchMismatch},
		{"mode without site", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecFetchSite = "" }), 79, ReasonFetchMismatch},
		{"HTTP/1.0", with(plain(chrome(chromeMac, "macOS")), func(s *Signals) { s.ProtoMinor = 0 }), 79, ReasonHTTP10},
		{"Windows with macOS hints", chrome(chromeWindows, "macOS"), 79, ReasonPlatformMismatch},
		{"macOS with Linux hints", chrome(chromeMac, "Linux"), 79, ReasonPlatformMismatch},
		{"Firefox with hints", with(navigation(firefoxLinux), func(s *Signals) { s.SecCHUA = `"Chromium";v="131"` }), 79, ReasonHintsMismatch},
		{"iPhone with hints", with(navigation(chromePhone), func(s *Signals) { s.SecCHUA = `"Chromium";v="131"` }), 79, ReasonHintsMismatch},
		{"another version", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecCHUA = `"Chromium";v="119"` }), 79, ReasonVersionMismatch},
		{"mobile hint from a desktop", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecCHUAMobile = "?1" }), 79, ReasonMobileMismatch},
		{"old Chrome", plain(base(strings.Replace(chromeMac, "Chrome/131", "Chrome/41", 1))), 79, ReasonOutdatedBrowser},
		{"headless by hints", with(chrome(chromeMac, "macOS"), func(s *Signals) { s.SecCHUA = `"HeadlessChrome";v="131", "Chromium";v="131"` }), 29, ReasonHeadless},
		{"long user agent", navigation(firefoxLinux + strings.Repeat(" x", 300)), 29, ReasonUAOversized},
		{"script with a browser's name over TLS", Signals{Method: "GET", ProtoMajor: 1, ProtoMinor: 1, TLS: true, UserAgent: chromeWindows, Accept: "*/*", AcceptEncoding: "gzip, deflate"}, 29, ReasonNoAcceptLanguage},
		{"script with a browser's name", Signals{Method: "GET", ProtoMajor: 1, ProtoMinor: 1, UserAgent: chromeWindows, Accept: "*/*", AcceptEncoding: "gzip, deflate"}, 29, ReasonNoAcceptLanguage},
		{"nothing but a browser's name", Signals{UserAgent: chromeWindows, TLS: true, ProtoMajor: 1}, 2, ReasonNoAccept},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := Score(test.s)
			if r.Score > test.max || r.Score < 2 || !slices.Contains(r.Reasons, test.reason) {
				t.Errorf("got %+v, want at most %d for %s", r, test.max, test.reason)
			}
		})
	}
}

func TestFromRequest(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.ProtoMajor, r.ProtoMinor, r.TLS = 2, 0, &tls.ConnectionState{}
	want := chrome(chromeMac, "macOS")
	for name, value := range map[string]string{
		"user-agent": want.UserAgent, "accept": want.Accept, "accept-language": want.AcceptLanguage,
		"accept-encoding": want.AcceptEncoding, "sec-ch-ua": want.SecCHUA, "sec-ch-ua-mobile": want.SecCHUAMobile,
		"sec-ch-ua-platform": want.SecCHUAPlatform, "sec-fetch-site": want.SecFetchSite,
		"sec-fetch-mode": want.SecFetchMode, "sec-fetch-dest": want.SecFetchDest,
	} {
		r.Header.Set(name, value)
	}
	if got := FromRequest(r); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.Header.Set("Upgrade", "WebSocket")
	if !FromRequest(r).WebSocket {
		t.Error("the WebSocket handshake was not seen")
	}
}

func TestTableIsUsable(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range words {
		if len(w.text) < 3 || w.text != strings.ToLower(w.text) || seen[w.text] || w.kind == 0 {
			t.Errorf("word %q", w.text)
		}
		seen[w.text] = true
		for i := range len(w.text) {
			if w.text[i] >= 0x80 {
				t.Errorf("word %q is not ASCII", w.text)
			}
		}
	}
}

func FuzzScore(f *testing.F) {
	f.Add(chromeMac, htmlAccept, "en", `"Chromium";v="131"`, `"macOS"`, "navigate", uint8(3))
	f.Add("", "", "", "", "", "", uint8(0))
	f.Add("sqlmap", "*/*", "", `"Chromium";v="999999999999"`, "\xff", "cors", uint8(255))
	f.Add(strings.Repeat("Chrome/99999 ", 100), "", "", "", "", "", uint8(9))
	f.Fuzz(func(t *testing.T, userAgent, accept, language, brands, platform, mode string, flags uint8) {
		s := Signals{UserAgent: userAgent, Accept: accept, AcceptLanguage: language, SecCHUA: brands, SecCHUAPlatform: platform,
			SecFetchMode: mode, TLS: flags&1 != 0, WebSocket: flags&2 != 0, ProtoMajor: int(flags >> 6), ProtoMinor: int(flags >> 4 & 3)}
		r := Score(s)
		if r.Score < 1 || r.Score > 99 || r.Verified {
			t.Fatalf("%+v", r)
		}
		if r.Score < 80 && len(r.Reasons) == 0 {
			t.Fatalf("no reason: %+v", r)
		}
		if again := Score(s); !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v, then %+v", r, again)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	for name, s := range map[string]Signals{
		"browser": chrome(chromeWindows, "Windows"), "tool": {UserAgent: "curl/8.5.0"},
		"crawler": navigation(chromeAndroid + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
		"longest": navigation(strings.Repeat("Mozilla/5.0 Chrome/131 ", 25)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Score(s)
			}
		})
	}
}
