package bot

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readList reads a list of an npm package, which "make deps" installs.
func readList(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "agents", "node_modules", name))
	if err != nil {
		t.Fatalf("the lists of user agents are not installed; run: make deps (%v)", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// TestCrawlersAreRecognised sends every user agent of the list of crawlers with all the headers of a browser, so that its name alone
// tells.
func TestCrawlersAreRecognised(t *testing.T) {
	var list []struct{ Instances []string }
	readList(t, "crawler-user-agents/crawler-user-agents.json", &list)
	all, missed := 0, []string{}
	for _, crawler := range list {
		for _, ua := range crawler.Instances {
			all++
			if r := Score(headersOf(ua)); r.Score >= 30 {
				missed = append(missed, fmt.Sprint(r.Score, " ", r.Reasons, " ", ua))
			}
		}
	}
	share := 100 - float64(len(missed))/float64(all)*100
	t.Logf("%d of %d user agents of crawlers are recognised, %.2f %%", all-len(missed), all, share)
	if share < 99 {
		t.Errorf("less than 99 %%; missed are:\n%s", strings.Join(missed, "\n"))
	}
	if all < 2000 {
		t.Errorf("only %d user agents", all)
	}
}

// TestBrowsersPass sends the user agents of browsers that were seen in use, with the headers that they send.
func TestBrowsersPass(t *testing.T) {
	var list []struct{ UserAgent string }
	readList(t, "user-agents/dist/user-agents.json", &list)
	low, reasons := []string{}, map[string]int{}
	for _, browser := range list {
		if r := Score(headersOf(browser.UserAgent)); r.Score < 30 {
			low = append(low, fmt.Sprint(r.Score, " ", r.Reasons, " ", browser.UserAgent))
			for _, reason := range r.Reasons {
				reasons[reason]++
			}
		}
	}
	share := float64(len(low)) / float64(len(list)) * 100
	t.Logf("%d of %d user agents of browsers score under 30, %.2f %% (%v)", len(low), len(list), share, reasons)
	if share > 0.5 {
		t.Errorf("more than 0.5 %%:\n%s", strings.Join(low[:min(len(low), 40)], "\n"))
	}
	if len(list) < 1000 {
		t.Errorf("only %d user agents", len(list))
	}
}

var (
	chromeVersion = regexp.MustCompile(`(?:Chrome|CriOS)/(\d+)`)
	brands        = []struct{ word, brand string }{{"Edg/", "Microsoft Edge"}, {"EdgA/", "Microsoft Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}}
)

// headersOf are the headers of a navigation by the browser that a user agent names, over TLS.
func headersOf(ua string) Signals {
	s := Signals{
		Method: "GET", ProtoMajor: 2, TLS: true, UserAgent: ua, AcceptLanguage: "en-US,en;q=0.9", AcceptEncoding: "gzip, deflate, br",
		Accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
	}
	webKit := strings.Contains(ua, "iPhone") || strings.Contains(ua, "iPad") || !strings.Contains(ua, "Chrome/") && strings.Contains(ua, "Safari/")
	m := chromeVersion.FindStringSubmatch(ua)
	if m != nil && !webKit {
		brand := "Google Chrome"
		for _, b := range brands {
			if strings.Contains(ua, b.word) {
				brand = b.brand
			}
		}
		s.SecCHUA = fmt.Sprintf(`"Chromium";v="%s", "%s";v="%s", "Not_A Brand";v="24"`, m[1], brand, m[1])
		s.SecCHUAMobile = map[bool]string{true: "?1", false: "?0"}[strings.Contains(ua, "Mobile")]
		systems := []struct{ word, name string }{{"Windows", `"Windows"`}, {"Android", `"Android"`}, {"CrOS", `"Chrome OS"`}, {"Macintosh", `"macOS"`}, {"Linux", `"Linux"`}}
		if at := slices.IndexFunc(systems, func(o struct{ word, name string }) bool { return strings.Contains(ua, o.word) }); at >= 0 {
			s.SecCHUAPlatform = systems[at].name
		}
	}
	s.SecFetchSite, s.SecFetchMode, s.SecFetchDest = "none", "navigate", "document"
	return s
}
