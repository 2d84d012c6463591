package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/record/baseline"
)

// TestUnusual has an agent do what it has never done: the log says so, and a webhook is told through egress. What is usual is known after a
// restart too.
func TestUnusual(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := map[string]baseline.Event{}
	failures := 1
	hook := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if failures > 0 {
			failures--
			w.WriteHeader(500) // it is tried again
			return
		}
		var ev baseline.Event
		if err := json.Unmarshal(b, &ev); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the webhook got %s: %v", b, err)
		}
		told[ev.Kind+" "+ev.Name] = ev
	})
	tool := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	s := startServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf("unusual {\n\tlearn 1ms\n\trefusals 5\n\twebhook %s/alert\n\tegress hooks\n}\n", hook.URL)+egressTo("hooks", hook)+egressTo("tools", tool)+
			fmt.Sprintf("agent busy {\n\tmain ./busy.ts\n\tegress tools\n\tvar TOOL %s\n}\n", tool.URL), "\tagent busy"),
		"busy.ts": `export default { async fetch(req: Request, env: any, ctx: any) {
	const url = new URL(req.url);
	if (url.pathname === "/tool") return new Response(await ctx.tool(url.searchParams.get("name"), () => "done"));
	if (url.pathname === "/refused") { try { await fetch("http://nowhere.example/") } catch {} return new Response("refused") }
	if (url.pathname === "/host") return fetch(env.TOOL);
	return new Response("ok");
} };`,
	})
	s.get("/", 200)
	time.Sleep(10 * time.Millisecond) // learnt
	s.get("/host", 200)
	s.get("/tool?name=search", 200)
	for range 6 {
		s.get("/refused", 200)
	}
	for range 80 {
		s.get("/", 200)
	}
	has := func(keys ...string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, k := range keys {
				if _, ok := told[k]; !ok {
					return false
				}
			}
			return true
		}
	}
	s.wait("the events", has("first_host "+tool.host(), "first_tool search", "refusals ", "rate "))
	mu.Lock()
	ev := told["refusals "]
	mu.Unlock()
	want(t, "an event", fmt.Sprint(ev.Agent, " ", ev.Value, " ", ev.What), "busy 5 busy: 5 requests and calls were refused in this minute")
	if len(ev.Record) != 32 || ev.Time.IsZero() {
		t.Errorf("the event: %+v", ev)
	}
	s.wait("the log's word", func() bool { return strings.Contains(s.logged(), `"msg":"unusual","kind":"first_tool","agent":"busy"`) })
	metrics := s.metrics()
	mustContain(t, "the metrics", metrics, `caddy_gatehouse_unusual_total{agent="busy",kind="first_tool"} 1`, `caddy_gatehouse_tool_calls_total{agent="busy",kind="code",result="ok"} 1`,
		`caddy_gatehouse_calls_total{agent="busy",kind="egress",result="refused"} 6`)

	s.stop()
	mu.Lock()
	clear(told)
	mu.Unlock()
	s.start()
	s.get("/", 200)
	time.Sleep(10 * time.Millisecond)
	s.get("/tool?name=search", 200) // it has been called before
	s.get("/tool?name=delete", 200)
	s.wait("the event of another tool", has("first_tool delete"))
	if has("first_tool search")() {
		t.Error("after a restart a known tool is new")
	}
}

// metrics is what the admin endpoint says of them.
func (s *server) metrics() string {
	s.t.Helper()
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.admin))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// metric is a number of the metrics.
func (s *server) metric(name string) int {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.metrics())
	if m == nil {
		s.t.Fatalf("there is no metric %s", name)
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(f)
}
