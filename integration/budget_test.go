package integration

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/gatehouse-edge/gatehouse/record"
)

const costsGlobal = "agent costs {\n\tmain ./costs.ts\n}\n"

func startCosts(t *testing.T, block string) *server {
	t.Helper()
	return startServer(t, map[string]string{"Caddyfile": site(costsGlobal, block), "costs.ts": agentFile(t, "costs.ts")})
}

// budgetsOf is what the one record of the path says of budgets, and of what shadows would have refused.
func (s *server) budgetsOf(path string) (found []record.BudgetDecision, shadow []record.Refusal) {
	s.t.Helper()
	r := s.waitFull("the record of "+path, ofPath(path))
	return r.Budgets, r.Shadow
}

// left is what the answer's RateLimit says remains of the budget.
func left(t *testing.T, resp *http.Response, name string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(resp.Header.Get("RateLimit"), `"`+name+`";r=%d;`, &n); err != nil {
		t.Fatalf("RateLimit %q: %v", resp.Header.Get("RateLimit"), err)
	}
	return n
}

func TestBudgetIsReservedAndSettled(t *testing.T) {
	t.Parallel()
	s := startCosts(t, `throttle {
	budget money {header.X-Team} 100/h {
		reserve {header.X-Most} 60
		settle header
	}
}
waf
agent costs`)
	for _, c := range []struct {
		name, path, most string
		status, left     int // left after the reservation
	}{
		{"the default is reserved", "/cost?n=25", "", 200, 40},
		{"the cost was settled", "/cost?n=5", "75", 200, 0},
		{"a number that the client gives", "/cost?n=0", "1", 200, 69},
		{"an answer that does not say", "/json?n=1", "10", 200, 60},
		{"a cost that is no number", "/cost?n=free", "10", 200, 50},
		{"code that throws", "/throws", "10", 500, 40},
		{"refused before code ran", "/cost?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E", "40", 403, 0},
		{"and that was free", "/cost?n=140", "40", 200, 0},
		{"the cost that was told too late is owed", "/cost?n=1", "1", 429, 0},
		{"more than the whole budget", "/cost?n=1", "101", 400, -1},
		{"no number", "/cost?n=1", "-5", 400, -1},
		{"nothing", "/cost?n=1", "0", 400, -1},
	} {
		headers := []string{"X-Team", "a"}
		if c.most != "" {
			headers = append(headers, "X-Most", c.most)
		}
		resp, body := s.do("GET", c.path, "", headers...)
		if resp.StatusCode != c.status {
			t.Fatalf("%s: status %d, want %d: %s", c.name, resp.StatusCode, c.status, body)
		}
		if c.left >= 0 {
			want(t, c.name+": left", left(t, resp, "money"), c.left)
		}
		if cost := resp.Header.Get("Gatehouse-Cost"); cost != "" {
			t.Errorf("%s: the client sees what it cost: %s", c.name, cost)
		}
		switch retry := resp.Header.Get("Retry-After"); {
		case c.status == 429:
			mustContain(t, "the answer", body, `"status":429`, "#throttle")
			if retry == "" {
				t.Errorf("%s: no Retry-After", c.name)
			}
		case retry != "":
			t.Errorf("%s: Retry-After %s", c.name, retry)
		}
	}
	if resp, _ := s.do("GET", "/cost?n=1", "", "X-Team", "b"); resp.StatusCode != 200 {
		t.Errorf("another team got status %d", resp.StatusCode)
	}
	throws, _ := s.budgetsOf("/throws")
	if len(throws) != 1 || throws[0] != (record.BudgetDecision{Budget: "money", Allowed: true, Limit: 100, Reserved: 10, Cost: 10, Remaining: 40}) {
		t.Errorf("the record says %+v", throws)
	}
}

// cut reads an answer that ends in its middle.
func (s *server) cut(path string) string {
	s.t.Helper()
	resp, err := client.Get(s.url(path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		s.t.Fatalf("%s: status %d", path, resp.StatusCode)
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		s.t.Fatalf("%s: the answer came to an end of its own, after %d bytes", path, len(b))
	}
	return string(b)
}

// wholeEvents counts the events that a client of the stream would have been given.
func wholeEvents(stream string) int { return strings.Count(stream, "\n\n") }

func TestBudgetCutsAStream(t *testing.T) {
	t.Parallel()
	s := startCosts(t, `throttle /events {
	budget events {query.case} 20/h {
		reserve 3
		settle events
	}
}
throttle /tokens/* {
	budget tokens {query.case} 50/h {
		reserve 10
		settle usage usage.total_tokens
	}
}
throttle /bytes {
	budget traffic {query.case} 10500/h {
		reserve 100
		settle bytes
	}
}
uri strip_prefix /tokens
agent costs`)
	t.Run("events", func(t *testing.T) {
		if n := wholeEvents(s.get("/events?n=4&case=short", 200)); n != 4 {
			t.Errorf("%d events of a stream within its budget", n)
		}
		want(t, "events of the stream that was cut", wholeEvents(s.cut("/events?n=100000&case=short")), 16)
		s.get("/events?n=1&case=short", 429)
		want(t, "events under another key", wholeEvents(s.cut("/events?n=100000&case=other")), 20)
	})
	t.Run("bytes", func(t *testing.T) {
		want(t, "bytes within the budget", len(s.get("/bytes?n=3000&case=a", 200)), 3000)
		want(t, "bytes of the answer that was cut", len(s.cut("/bytes?n=9000&case=a")), 7500)
		s.get("/bytes?n=1000&case=a", 429)
	})
	t.Run("usage", func(t *testing.T) {
		s.get("/tokens/json?n=33&case=a", 200) // 17 are left
		want(t, "events before the usage that is too much", wholeEvents(s.cut("/tokens/events?n=2&usage=18&case=a")), 2)
		s.get("/tokens/json?n=1&case=a", 429)
		// What no event reports is counted by events.
		want(t, "events that report nothing", wholeEvents(s.cut("/tokens/events?n=100000&case=b")), 50)
	})
	r := s.waitFull("the record of the answer that was cut", func(r fullRecord) bool { return r.Path == "/bytes" && r.Bytes == 7500 })
	want(t, "status", r.Status, 200)
}

// TestBudgetReadsWhatOriginsStream wants a budget to be held to where the answer is an origin's, and nobody can hide it by
// asking for it compressed.
func TestBudgetReadsWhatOriginsStream(t *testing.T) {
	t.Parallel()
	origin := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out, flush := io.Writer(w), func() {}
		switch {
		case r.URL.Path == "/compressed":
			w.Header().Set("Content-Encoding", "br") // whatever it was asked
		case strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			out, flush = z, func() { _ = z.Flush() }
		}
		for i := 0; r.Context().Err() == nil && i < 100_000; i++ {
			if _, err := fmt.Fprintf(out, "id: %d\r\ndata: x\r\n\r\n", i); err != nil {
				return
			}
			flush()
			_ = http.NewResponseController(w).Flush()
		}
	})
	s := startServer(t, map[string]string{"Caddyfile": site("", `throttle {
	budget events {path} 7/h {
		settle events
	}
}
reverse_proxy `+origin.host())})
	req, err := http.NewRequest("GET", s.url("/stream"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n := 0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if lines.Text() == "" {
			n++
		}
	}
	if lines.Err() == nil {
		t.Error("the stream came to an end of its own")
	}
	want(t, "events", n, 7)
	want(t, "Content-Encoding", resp.Header.Get("Content-Encoding"), "")
	s.get("/stream", 429)
	mustContain(t, "the answer to a stream that can't be read", s.get("/compressed", 502), "#throttle", `"status":502`)
}

// TestStrictBudget spends one budget by many at once, and looks at it again after the server was killed.
func TestStrictBudget(t *testing.T) {
	t.Parallel()
	s := startCosts(t, `throttle {
	budget money {query.team} 100/h strict {
		reserve 5
		settle header
	}
}
agent costs`)
	var passed, refused atomic.Int64
	together(64, func(int) {
		for range 4 {
			resp, body, err := s.try("POST", "/cost?n=4&team=a", "")
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode == 200:
				passed.Add(1)
			case resp.StatusCode == 429:
				refused.Add(1)
			default:
				t.Errorf("status %d: %s", resp.StatusCode, body)
			}
		}
	})
	// Each costs 4 in the end: 24 leave 4, too little to reserve. How many were under way when it ran short decides how many
	// of the last were refused.
	if n := passed.Load(); n > 24 || n < 20 || n+refused.Load() != 256 {
		t.Fatalf("%d passed, %d were refused", n, refused.Load())
	}
	for _, again := range []func(){s.stop, s.kill} {
		before := passed.Load()
		again()
		s.start()
		resp, body := s.do("POST", "/cost?n=0&team=a", "")
		if spent := int(before) * 4; spent > 95 {
			want(t, "status", resp.StatusCode, 429)
		} else {
			want(t, "status "+body, resp.StatusCode, 200)
			want(t, "left", left(t, resp, "money"), 100-spent-5)
		}
	}
}

func TestShadowTellsNothing(t *testing.T) {
	t.Parallel()
	s := startCosts(t, `throttle {
	zone calls {client_ip} 1/h
	budget events {client_ip} 5/h {
		reserve 2
		settle events
	}
	budget money {client_ip} 10/h {
		settle header
	}
	mode shadow
}
agent costs`)
	for _, path := range []string{"/cost?n=3", "/events?n=30", "/cost?n=99", "/cost?n=99"} {
		resp, body := s.do("GET", path, "")
		if resp.StatusCode != 200 {
			t.Fatalf("%s: status %d: %s", path, resp.StatusCode, body)
		}
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After", "Gatehouse-Cost", "X-Request-Id"} {
			if value := resp.Header.Get(name); value != "" {
				t.Errorf("%s: %s: %s", path, name, value)
			}
		}
		if strings.HasPrefix(path, "/events") {
			want(t, "events", wholeEvents(body), 30)
		}
	}
	budgets, shadow := s.budgetsOf("/events")
	if len(budgets) != 2 || !budgets[0].Cut || budgets[0].Cost != 30 {
		t.Errorf("the record of the stream says %+v", budgets)
	}
	reasons, _ := json.Marshal(shadow)
	if len(shadow) != 2 {
		t.Errorf("%d refusals in shadow, want 2: %s", len(shadow), reasons)
	}
	mustContain(t, "what the shadow says", string(reasons), "zone calls is full", "budget events", "costs more")
}

// TestSocketsCostWhatWasReserved opens WebSockets behind every option: they must work, and their bytes are not counted.
func TestSocketsCostWhatWasReserved(t *testing.T) {
	t.Parallel()
	s := startCosts(t, `throttle {
	budget traffic {path} 1000/h {
		reserve 500
		settle bytes
	}
	budget events {path} 1000/h {
		reserve 500
		settle events
	}
	connections 20
	in_flight 20
	queue 20
	body_rate 1KiB
}
agent costs`)
	for range 2 {
		conn, _ := s.dial("/echo")
		want(t, "the echo", say(t, conn, strings.Repeat("x", 4000)), strings.Repeat("x", 4000))
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	}
	s.wait("both sockets to be settled", func() bool { return len(s.recordsOf("/echo")) == 2 })
	mustContain(t, "the answer to a third", s.get("/echo", 429), "#throttle")
	budgets, _ := s.budgetsOf("/echo")
	if len(budgets) != 2 || budgets[0].Cost != 500 || budgets[1].Cost != 500 {
		t.Errorf("the record of a socket says %+v", budgets)
	}
}
