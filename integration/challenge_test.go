package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const challengeBlock = `@hard path /hard
bot_score @hard {
	block below 2
	challenge below 30 {
		difficulty 24
	}
}
@script path /script
bot_score @script {
	challenge below 30 {
		question off
	}
}
@easy path / /easy* /form
bot_score @easy {
	challenge below 30
	tag below 50 doubtful
}
@shadow path /shadow
bot_score @shadow {
	challenge below 30
	mode shadow
}
uri replace /easy /rewritten
header >X-Tag "{http.gatehouse.bot.tag}"
agent hello`

const challengeAgent = `export default { fetch: (request) => new Response("reached " + request.method + " " + new URL(request.url).pathname + new URL(request.url).search + " at " + request.cf.botManagement.score) }`

var (
	questionNumbers = strings.Fields("zero one two three four five six seven eight nine")
	questionText    = regexp.MustCompile(`What is (\w+) plus (\w+)\?`)
)

// answerTo is what the question of a page wants.
func answerTo(t *testing.T, page string) string {
	t.Helper()
	m := questionText.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("there is no question in %s", page)
	}
	return fmt.Sprint(slices.Index(questionNumbers, m[1]) + slices.Index(questionNumbers, m[2]))
}

func forget(t *testing.T, tab context.Context) {
	t.Helper()
	if _, err := chromedp.Call(tab, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
}

// bodyBecomes waits until the page's text has a part.
func bodyBecomes(t *testing.T, tab context.Context, part string) string {
	t.Helper()
	text := ""
	for deadline := time.Now().Add(time.Minute); !strings.Contains(text, part); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute the page has %q, not yet %q", text, part)
		}
		if got, err := chromedp.Run(tab, chromedp.Text("body")); err == nil { // it may be on its way to the next page
			text = got
		}
	}
	return text
}

// faults are what axe-core finds serious in the page.
func faults(t *testing.T, tab context.Context) string {
	t.Helper()
	script, err := os.ReadFile("testdata/axe/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("axe-core is not installed; run: make deps (%v)", err)
	}
	drive(t, tab, chromedp.Evaluate[chromedp.Void](string(script)+";0"))
	return see(t, tab, chromedp.Evaluate[string](`axe.run().then((r) => r.violations.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" ")).join("\n"))`, chromedp.EvalAwaitPromise))
}

// TestChallenge has a real Chromium, without a window and so of a low score, pass the challenge in each of its ways.
func TestChallenge(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name, make, url := "http", site, (*server).url
		if secure {
			name, make, url = "https", secureSite, (*server).secureURL
		}
		t.Run(name, func(t *testing.T) {
			s := startServer(t, map[string]string{"Caddyfile": make("agent hello {\n main ./hello.ts\n}", challengeBlock), "hello.ts": challengeAgent})
			if secure {
				s.waitSecure()
			}
			tab := startChromium(t)

			// The puzzle solves itself.
			drive(t, tab, chromedp.Navigate(url(s, "/easy?q=1")))
			want(t, "the agent's answer", bodyBecomes(t, tab, "reached"), "reached GET /rewritten?q=1 at 30")
			r := s.waitFull("the record of the page", func(r fullRecord) bool { return r.Challenge == "asked" })
			want(t, "its bot", r.Bot+" "+r.RefusedBy, "challenge challenge")
			s.waitFull("the record of the solution", func(r fullRecord) bool { return r.Challenge == "solved" })
			r = s.waitFull("the record of the request", func(r fullRecord) bool { return r.Challenge == "passed" })
			want(t, "its reasons", strings.Join(r.Reasons, " "), "headless challenge-passed")
			want(t, "its tag", r.BotTag, "doubtful")
			got, err := chromedp.Call(tab, network.GetCookies, network.GetCookiesParams{})
			if err != nil {
				t.Fatal(err)
			}
			cookies := got.Cookies
			if len(cookies) != 1 || !cookies[0].HTTPOnly || cookies[0].Secure != secure || strings.HasPrefix(cookies[0].Name, "__Host-") != secure {
				t.Errorf("the cookies are %+v", cookies)
			}
			// It is not asked again.
			drive(t, tab, chromedp.Navigate(url(s, "/easy/again")))
			want(t, "the second time", bodyBecomes(t, tab, "reached"), "reached GET /rewritten/again at 30")

			// By the keyboard: to the button, to the question, to the answer.
			forget(t, tab)
			drive(t, tab, chromedp.Navigate(url(s, "/hard")), chromedp.WaitVisible("#other"))
			want(t, "what is wrong with the page that works", faults(t, tab), "")
			want(t, "what a screen reader is told", see(t, tab, chromedp.Evaluate[string](`document.querySelector("[role=status]").textContent.slice(0, 34)`)), "Your browser is solving a small pu")
			drive(t, tab, chromedp.KeyEvent(kb.Tab))
			want(t, "what the first tab reaches", see(t, tab, chromedp.Evaluate[string]("document.activeElement.id")), "other")
			drive(t, tab, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#answer"))
			want(t, "where the focus is", see(t, tab, chromedp.Evaluate[string]("document.activeElement.id")), "answer")
			want(t, "what is wrong with the page that asks", faults(t, tab), "")
			answer := answerTo(t, see(t, tab, chromedp.Text("body")))
			time.Sleep(3 * time.Second) // nobody reads faster
			drive(t, tab, chromedp.KeyEvent(answer+kb.Enter))
			want(t, "by the keyboard", bodyBecomes(t, tab, "reached"), "reached GET /hard at 30")

			// Without scripts there is the question, and a wrong answer another one.
			forget(t, tab)
			if _, err := chromedp.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
				t.Fatal(err)
			}
			for _, right := range []bool{false, true} {
				if !right {
					drive(t, tab, chromedp.Navigate(url(s, "/easy/plain")))
				}
				page := bodyBecomes(t, tab, "plus")
				if strings.Contains(page, "solving") {
					t.Errorf("without scripts the page says: %s", page)
				}
				answer := answerTo(t, page)
				if !right {
					answer = "99"
				}
				time.Sleep(3 * time.Second)
				drive(t, tab, chromedp.SendKeys("#answer", answer+kb.Enter))
				if !right {
					s.waitFull("the record of the wrong answer", func(r fullRecord) bool { return r.Challenge == "solution: not solved" })
				}
			}
			want(t, "without scripts", bodyBecomes(t, tab, "reached"), "reached GET /rewritten/plain at 30")
		})
	}
}

// TestChallengeOfPrograms has what is no browser: it gets a problem document, or what others can do with a browser's solution.
func TestChallengeOfPrograms(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"Caddyfile": site("agent hello {\n main ./hello.ts\n}", challengeBlock), "hello.ts": challengeAgent})
	out, err := exec.Command("curl", "-s", "-w", "%{http_code} %{content_type}", s.url("/easy")).Output()
	if err != nil {
		t.Fatal(err)
	}
	mustContain(t, "what curl gets", string(out), "#challenge", `"status":403`, "403 application/problem+json")
	tool := []string{"User-Agent", "curl/8.9.0"}
	for _, c := range []struct {
		name, method, path string
		header             []string
		status             int
		part               string
	}{
		{"a program", "GET", "/easy", nil, 403, "#challenge"},
		{"one that asks for a page", "GET", "/easy", []string{"Accept", "text/html"}, 403, "Checking that this is a browser"},
		{"a POST", "POST", "/easy", []string{"Accept", "text/html"}, 403, "#challenge"},
		{"without the question", "GET", "/script", []string{"Accept", "text/html"}, 403, "This page needs JavaScript"},
		{"in shadow", "GET", "/shadow", nil, 200, "reached"},
		{"a forged cookie", "GET", "/easy", []string{"Cookie", "gatehouse-challenge=e30.AAAA"}, 403, "#challenge"},
		{"a solution that is none", "POST", "/easy?gatehouse-challenge", []string{"Content-Type", "application/x-www-form-urlencoded"}, 403, "Checking"},
		{"a solution that is no form", "POST", "/easy?gatehouse-challenge", []string{"Content-Type", "application/json"}, 403, "#challenge"},
		{"an attack tool", "GET", "/hard", []string{"User-Agent", "sqlmap/1.8", "Accept", "text/html"}, 403, "#bot_score"},
	} {
		header := append(slices.Clone(tool), "Accept", "*/*")
		resp, body := s.do(c.method, c.path, "", append(header, c.header...)...)
		if resp.StatusCode != c.status || !strings.Contains(body, c.part) {
			t.Errorf("%s: status %d, want %d with %q: %s", c.name, resp.StatusCode, c.status, c.part, body)
		}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			mustContain(t, c.name+": the policy", resp.Header.Get("Content-Security-Policy"), "default-src 'none'", "frame-ancestors 'none'")
			want(t, c.name+": kept by caches", resp.Header.Get("Cache-Control"), "no-store")
		}
	}
	r := s.waitFull("the record in shadow", ofPath("/shadow"))
	if len(r.Shadow) != 1 || r.Shadow[0].Stage != "challenge" {
		t.Errorf("the record in shadow has %+v", r.Shadow)
	}

	// A solution of the question by hand: the cookie is good for who solved it, after a restart too, and the solution once.
	page := func() (puzzle, answer string) {
		_, body := s.do("GET", "/form", "", append(slices.Clone(tool), "Accept", "text/html")...)
		return regexp.MustCompile(`name="puzzle" value="([^"]+)"`).FindStringSubmatch(body)[1], answerTo(t, body)
	}
	puzzle, answer := page()
	form := "puzzle=" + puzzle + "&answer=" + answer
	post := func() *http.Response {
		req, _ := http.NewRequest("POST", s.url("/form?gatehouse-challenge"), strings.NewReader(form))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("User-Agent", "curl/8.9.0")
		resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	want(t, "sooner than one reads", post().StatusCode, 403)
	time.Sleep(3 * time.Second)
	resp := post()
	want(t, "the solution", resp.StatusCode, 303)
	want(t, "where it leads", resp.Header.Get("Location"), "/form")
	cookie := strings.SplitN(resp.Header.Get("Set-Cookie"), ";", 2)[0]
	want(t, "the solution again", post().StatusCode, 403)
	passes := func(userAgent string) int {
		resp, _ := s.do("GET", "/form", "", "User-Agent", userAgent, "Accept", "*/*", "Cookie", cookie)
		return resp.StatusCode
	}
	want(t, "with the cookie", passes("curl/8.9.0"), 200)
	want(t, "with another's cookie", passes("curl/8.8.0"), 403)
	s.stop()
	s.start()
	want(t, "after a restart", passes("curl/8.9.0"), 200)
	text, err := os.ReadFile(s.dir + "/data/challenge.key")
	if err != nil || json.Valid(text) {
		t.Errorf("the key's file: %q, %v", text, err)
	}
}
