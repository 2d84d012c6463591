package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// newModel answers in the form of OpenAI's Chat Completions: it asks for a tool, and after that says something.
func newModel(t *testing.T) *outside {
	t.Helper()
	return newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []struct {
				Role string `json:"role"`
			} `json:"messages"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Errorf("the model: %v", err)
		}
		message := `{"role":"assistant","content":"There is."}`
		if len(q.Messages) == 1 {
			message = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"stock","arguments":"{\"what\":\"tea\"}"}}]}`
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"x","object":"chat.completion","model":"small-1","choices":[{"index":0,"message":%s}],"usage":{"prompt_tokens":1000,"completion_tokens":500}}`, message)
	})
}

// shop is a server with agents of every kind, and the page for whom a token names an operator.
func shop(t *testing.T, records string) (*server, *provider) {
	t.Helper()
	p, model, mcp := newProvider(t), newModel(t), newMCP(t, false)
	files := map[string]string{
		"Caddyfile": site(fmt.Sprintf("records {\n\tprices ./prices.json\n%s\n}\n", records)+egressTo("tools", mcp)+fmt.Sprintf(storyAgents, mcp.URL)+fmt.Sprintf(`egress models {
	allow %s localhost:%d
	allow_ip 127.0.0.1/32 ::1/128
	hold
}
agent shop {
	main ./shop.ts
	durable BASKETS Basket
	workflow ORDERS Order
	egress models
	var MODEL %s
	var ELSEWHERE http://localhost:%d/
}
`, model.host(), model.port(), model.URL, model.port()), fmt.Sprintf(`	@many path /many
	throttle @many {
		zone none all 1/h
	}
	throttle {
		zone everybody all 100000/m
	}
	identity {
		jwt %s {
			audience api
			allow_ip 127.0.0.1
		}
	}
	bot_score
	waf
	@page path /gatehouse*
	access @page {
		allow jwt role=operator
	}
	agent_dashboard
	handle /ask {
		agent shop
	}
	handle /story {
		agent front
	}
	agent shop`, p.URL)),
		"prices.json": `{"small": {"input": 2, "output": 8}}`,
		"shop.ts":     read(t, "testdata/page/shop.ts"),
	}
	for name, text := range storyFiles {
		files[name] = text
	}
	s := startServer(t, files)
	s.get("/held", 200)     // waits for a decision from now on
	s.do("GET", "/ask", "") // and so did this
	if _, errs, err := s.command("", "gatehouse", "approvals", "grant", "shop", "127.0.0.1", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin)); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	return s, p
}

// useShop has each agent do something of each kind.
func useShop(s *server) {
	s.t.Helper()
	for _, who := range []string{"ada", "bob", "ada"} {
		s.get("/basket?who="+who, 200)
	}
	s.get("/order", 200)
	s.get("/hello", 200)
	s.get("/ask", 200)
	s.do("GET", "/fail", "")
	s.do("GET", "/?q="+strings.ReplaceAll(scripting, " ", "%20"), "")
	s.do("POST", "/story", `{"question":"what is a gatehouse?"}`, "Content-Type", "application/json")
}

// operator has a tab's requests carry a token that the page lets in.
func operator(t *testing.T, tab context.Context, p *provider) {
	t.Helper()
	if _, err := chromedp.Call(tab, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	headers := network.Headers{"Authorization": "Bearer " + p.token(map[string]any{"role": "operator"})}
	if _, err := chromedp.Call(tab, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: headers}); err != nil {
		t.Fatal(err)
	}
}

// screenshots are kept where GATEHOUSE_SCREENSHOTS says, as "make screenshots" does.
func screenshot(t *testing.T, tab context.Context, name string) {
	t.Helper()
	dir := os.Getenv("GATEHOUSE_SCREENSHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), see(t, tab, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDashboard drives the page through every view in a real Chromium, in light and dark and by the keyboard.
func TestDashboard(t *testing.T) {
	s, p := shop(t, "")
	useShop(s)

	// Nobody sees it without access, and nothing of it is of another place.
	if resp, _ := s.do("GET", "/gatehouse/", ""); resp.StatusCode != 401 {
		t.Errorf("without a token: status %d", resp.StatusCode)
	}
	if resp, _ := s.do("GET", "/gatehouse/api/records", "", "Authorization", "Bearer "+p.token(map[string]any{"role": "visitor"})); resp.StatusCode != 403 {
		t.Errorf("a visitor: status %d", resp.StatusCode)
	}
	token := "Bearer " + p.token(map[string]any{"role": "operator"})
	resp, _ := s.do("GET", "/gatehouse/", "", "Authorization", token)
	mustContain(t, "the policy", resp.Header.Get("Content-Security-Policy"), "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
	resp, body := s.do("POST", "/gatehouse/api/approvals", `{"agent":"shop","host":"localhost","decision":"grant"}`, "Authorization", token, "Content-Type", "application/json")
	if resp.StatusCode != 403 {
		t.Errorf("a decision of another page: status %d: %s", resp.StatusCode, body)
	}

	tab := startChromium(t)
	var mu sync.Mutex
	var complaints []string
	err := chromedp.Listen(tab, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, s.url("/gatehouse")) && !strings.HasPrefix(e.Request.URL, "data:") {
				complaints = append(complaints, "a request for "+e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	operator(t, tab, p)
	shown := func(view string) {
		t.Helper()
		if err := chromedp.Do(tab, untilTrue(fmt.Sprintf(`document.getElementById("main").dataset.shown === %q && !document.querySelector("#notice:not([hidden])")`, view))); err != nil {
			t.Fatalf("%v: notice %q, the page:\n%.500s", err, see(t, tab, chromedp.Evaluate[string](`document.getElementById("notice").textContent`)), see(t, tab, chromedp.Evaluate[string]("document.body.innerText")))
		}
	}
	text := func() string {
		return see(t, tab, chromedp.Evaluate[string](`document.getElementById("main").innerText`))
	}
	sized := emulation.SetDeviceMetricsOverrideParams{Width: 1280, Height: 800, DeviceScaleFactor: 1}
	if _, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, sized); err != nil {
		t.Fatal(err)
	}
	drive(t, tab, chromedp.Navigate(s.url("/gatehouse/#/live")))

	order := s.waitFull("the record of the order", ofPath("/order")).ID
	story := s.waitFull("the record of the story", ofPath("/story")).ID
	ask := s.waitFull("the record of the model", func(r fullRecord) bool { return r.Path == "/ask" && r.Status == 200 }).ID
	s.waitFull("the step", func(r fullRecord) bool { return r.Kind == "step" && r.Path == "find the price" })
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, media); err != nil {
			t.Fatal(err)
		}
		for _, v := range []struct {
			name, hash string
			parts      []string
		}{
			{"live", "#/live", []string{"refused: waf", "exception", "GET 127.0.0.1/basket", "shop", "step"}},
			{"live-filtered", "#/live?outcome=exception", []string{"/fail"}},
			{"record", "#/record/" + story, []string{"back: egress POST", "back: tool search", "refused: default deny", "bot_score", "waf", "Came out", "The same trace"}},
			{"record-model", "#/record/" + ask, []string{"small-1", "stock", "1000", "$0.012", "openai"}},
			{"record-order", "#/record/" + order, []string{"actor", "ORDERS"}},
			{"graph", "#/graph", []string{"clients", "shop", "back", "search", "stock"}},
			{"refusals", "#/refusals", []string{"941100", "hold", "localhost", "What this server lost"}},
			{"actors", "#/actors?namespace=shop/Basket", []string{"shop/Basket", "ada", "bob"}},
			{"workflows", "#/workflows", []string{"shop/workflow:Order"}},
			{"budgets", "#/budgets", []string{"everybody", "small-1", "$0.0120"[:5]}},
			{"approvals", "#/approvals", []string{"shop", "localhost", "held", "Grant"}},
			{"versions", "#/versions", []string{"front", "back", "process", "shop.ts", "Basket"}},
		} {
			drive(t, tab, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q; 0", v.hash)))
			shown(v.hash)
			mustContain(t, v.name+" in "+scheme, text(), v.parts...)
			want(t, "what is wrong with "+v.name+" in "+scheme, faults(t, tab), "")
			if scheme == "light" || v.name == "record" || v.name == "live" {
				screenshot(t, tab, "page-"+v.name+map[string]string{"light": "", "dark": "-dark"}[scheme])
			}
		}
	}

	// A workflow with its steps.
	drive(t, tab, chromedp.Evaluate[chromedp.Void](`location.hash = "#/workflows"; 0`))
	shown("#/workflows")
	drive(t, tab, chromedp.Click(`#main a[href*="&id="]`), untilTrue(`document.getElementById("main").innerText.includes("Status:")`))
	mustContain(t, "the workflow", text(), "find the price", "done", "somebody's yes", "waitForEvent", "waiting")
	screenshot(t, tab, "page-workflow")

	// Live: what comes is there at once, and markup in it is text.
	drive(t, tab, chromedp.Evaluate[chromedp.Void](`location.hash = "#/live"; 0`))
	shown("#/live")
	s.get("/basket?who=eve", 200)
	s.do("GET", "/%3Cimg%20src=x%20onerror=alert(1)%3E", "")
	drive(t, tab, untilTrue(`document.querySelector("#main tbody").innerText.includes("<img src=x onerror=alert(1)>")`))

	// The keyboard: help, a view by g and its letter, a search, the first row, back.
	drive(t, tab, chromedp.KeyEvent("?"), chromedp.WaitVisible("#help"))
	want(t, "what is wrong with the help", faults(t, tab), "")
	drive(t, tab, chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("gr"))
	shown("#/refusals")
	drive(t, tab, chromedp.KeyEvent("/"))
	want(t, "where / leads", see(t, tab, chromedp.Evaluate[string]("document.activeElement.id")), "find")
	// A real key that is taken by its keydown types nothing; the protocol's does.
	drive(t, tab, chromedp.Evaluate[chromedp.Void](`document.getElementById("find").value = ""; 0`), chromedp.KeyEvent("/story"+kb.Enter))
	shown("#/live?text=%2Fstory")
	drive(t, tab, untilTrue(`document.querySelectorAll("#main tbody tr").length === 1`))
	drive(t, tab, chromedp.Evaluate[chromedp.Void]("document.activeElement.blur(); 0"), chromedp.KeyEvent("j"+kb.Enter))
	shown("#/record/" + story)
	drive(t, tab, chromedp.KeyEvent(kb.Escape))
	shown("#/live?text=%2Fstory")

	// A decision on the page.
	drive(t, tab, chromedp.KeyEvent("gp"))
	shown("#/approvals")
	drive(t, tab, chromedp.Click(`main td button:last-of-type`))
	drive(t, tab, untilTrue(`document.getElementById("notice").textContent.includes("denied")`))
	s.wait("the log's word on the decision", func() bool {
		return strings.Contains(s.logged(), `"a host was decided about on the page","agent":"shop","host":"localhost","decision":"deny","by":"ada"`)
	})
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 {
		t.Errorf("the browser complains: %s", strings.Join(complaints, "\n"))
	}
}

// TestDashboardWithManyRecords looks at 100,000 records, and says how long the first paint and a search take.
func TestDashboardWithManyRecords(t *testing.T) {
	const many = 100_000
	s, p := shop(t, fmt.Sprintf("\tkeep %d\n\tmemory 1GiB", many))
	useShop(s)
	var users sync.WaitGroup
	for range 16 {
		users.Go(func() {
			for range many/16 + 1 {
				resp, err := client.Get(s.url("/many"))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	users.Wait()
	token := "Bearer " + p.token(map[string]any{"role": "operator"})
	type list struct {
		Kept int `json:"kept"`
	}
	s.wait("the records", func() bool {
		_, text := s.do("GET", "/gatehouse/api/records", "", "Authorization", token)
		return decode[list](t, text).Kept == many
	})
	tab := startChromium(t)
	operator(t, tab, p)
	drive(t, tab, chromedp.Navigate(s.url("/gatehouse/#/live")), untilTrue(`document.querySelectorAll("#main tbody tr").length >= 100`))
	paint := see(t, tab, chromedp.Evaluate[float64](`performance.getEntriesByName("first-contentful-paint")[0].startTime`))
	rows := see(t, tab, chromedp.Evaluate[float64](`performance.now()`))
	t.Logf("with %d records: first paint after %.0f ms, the rows are there after %.0f ms at most; the server has %d MiB of its own", many, paint, rows, s.memory("RssAnon")>>20)
	for _, view := range []string{"graph", "refusals", "budgets", "versions", "live?text=nothing-has-this"} {
		begun := time.Now()
		drive(t, tab, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.hash = %q; 0", "#/"+view)),
			untilTrue(fmt.Sprintf(`document.getElementById("main").dataset.shown === %q`, "#/"+view)))
		t.Logf("%s: %d ms", view, time.Since(begun).Milliseconds())
	}
}

// untilTrue waits until an expression is true. chromedp.Poll makes a function of a text, which the page's policy forbids.
func untilTrue(expression string) chromedp.Action[chromedp.Void] {
	is := chromedp.Evaluate[bool](expression)
	return func(ctx context.Context, t *chromedp.Target) (none chromedp.Void, err error) {
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if yes, err := is(ctx, t); err != nil || yes {
				return none, err
			}
		}
		return none, fmt.Errorf("after 20 s it is not true that %s", expression)
	}
}
