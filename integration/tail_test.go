package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/record"
)

// watched is a server with an agent, whose tail agent keeps what it is told, and a server outside that it calls.
func watched(t *testing.T) (*server, *outside) {
	told := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "told") })
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("told", told)+fmt.Sprintf(`agent watched {
	main ./watched.ts
	var STEP %s
	egress told
	analytics POINTS points
	tail listener
}
agent listener {
	main ./listener.ts
	kv SEEN seen
}
`, told.URL), "bot_score {\n\tblock below 2\n}\nwaf\nhandle_path /listener/* {\n\tagent listener\n}\nhandle {\n\tagent watched\n}"),
		"watched.ts":  agentFile(t, "watched.ts"),
		"listener.ts": agentFile(t, "listener.ts"),
	})
	return s, told
}

// tailing follows caddy gatehouse tail with args, and returns when it watches.
func (s *server) tailing(args ...string) <-chan string {
	s.t.Helper()
	lines := s.follow(append([]string{"gatehouse", "tail", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin)}, args...)...)
	return lines
}

// until reads lines up to the first that holds text, and returns all of them.
func until(t *testing.T, lines <-chan string, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := next(lines)
		if err != nil {
			t.Fatalf("no line with %q: %v; there were:\n%s", text, err, all.String())
		}
		all.WriteString(line + "\n")
		if strings.Contains(line, text) {
			return all.String()
		}
	}
}

func TestTailShowsEachRequest(t *testing.T) {
	t.Parallel()
	s, told := watched(t)
	text, asJSON := s.tailing(), s.tailing("--json")
	s.wait("both tails", func() bool {
		s.get("/listener/knock", 200)
		return len(text) > 0 && len(asJSON) > 0
	})
	s.get("/call", 200)
	s.do("GET", "/attack?q="+url.QueryEscape(scripting), "")
	s.do("GET", "/fail", "")
	s.get("/done", 200)

	shown := until(t, text, " GET 127.0.0.1/done ")
	lines := strings.Split(shown, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, " GET 127.0.0.1/call ") })
	if at < 0 {
		t.Fatalf("the call is not shown:\n%s", shown)
	}
	mustContain(t, "the request's line", lines[at], " 200 ", " ok ", "agent=watched", "score=", "waf=pass(", "cpu=", "wall=")
	call := s.waitFull("the record", ofPath("/call"))
	mustContain(t, "the request's line", lines[at], fmt.Sprintf("score=%d", call.BotScore), fmt.Sprintf("waf=pass(%d)", call.WAF.Score), call.ID)
	mustContain(t, "what is below it", shown, "egress GET "+told.host()+" -> 200", "egress GET refused.example REFUSED by default deny",
		"log: about to call", "warn: called", "once: true", " 403 ", "refused by waf", "waf 941", " 500 ", "exception", "RangeError: out of range", "watched.ts:")

	byPath := map[string]record.Entry{}
	for line := range strings.Lines(until(t, asJSON, `"path":"/done"`)) {
		e := decode[record.Entry](t, line)
		byPath[e.Path] = e
	}
	e := byPath["/call"]
	want(t, "agent", e.Agent, "watched")
	want(t, "outcome", e.Out.Outcome, "ok")
	want(t, "status", e.Out.Status, 200)
	if e.Version == "" || e.Who.BotScore == 0 || e.Decided.WAF == nil || len(e.Did.Calls) != 2 || len(e.Did.Logs) != 2 {
		t.Errorf("the record has gaps: %+v", e)
	}
	want(t, "attack refused by", byPath["/attack"].Decided.RefusedBy, "waf")
	want(t, "attack ran", byPath["/attack"].Did.Ran, false)
	if e := byPath["/fail"]; len(e.Did.Exceptions) != 1 || e.Did.Exceptions[0].Name != "RangeError" || e.Out.Outcome != "exception" {
		t.Errorf("the failure: %+v", e)
	}
}

func TestTailFilters(t *testing.T) {
	t.Parallel()
	s, _ := watched(t)
	filters := map[string][]string{
		"agent":        {"watched"},
		"other agent":  {"listener"},
		"status":       {"--status", "418"},
		"status class": {"--status", "4"},
		"outcome":      {"--outcome", "exception"},
		"refused":      {"--outcome", "refused"},
		"method":       {"--method", "post"},
		"text":         {"--text", "out of range"},
		"another ip":   {"--ip", "203.0.113.9"},
	}
	wanted := map[string][]string{
		"agent": {"/teapot", "/fail", "/posted", "/done"}, "other agent": {}, "status": {"/teapot"}, "status class": {"/attack", "/teapot"},
		"outcome": {"/fail"}, "refused": {"/attack"}, "method": {"/posted"}, "text": {"/fail"}, "another ip": {},
	}
	all := s.tailing("--json")
	lines := map[string]<-chan string{}
	for name, args := range filters {
		lines[name] = s.tailing(append(args, "--json")...)
	}
	// A filter that nothing passes can not be seen to watch, so the admin endpoint is asked: each tail is a request to it.
	s.wait("every tail", func() bool { return strings.Count(s.logged(), `"uri":"/gatehouse/tail`) >= len(filters)+1 })
	s.wait("the first tail", func() bool {
		s.get("/knock", 200)
		return len(all) > 0
	})
	s.do("GET", "/attack?q="+url.QueryEscape(scripting), "")
	s.get("/teapot", 418)
	s.get("/fail", 500)
	s.do("POST", "/posted", "{}", "Content-Type", "application/json")
	s.get("/done", 200)
	until(t, all, `"path":"/done"`)
	// Tails are written to in one go, before the log is: what has not come now comes no more, but for its way through the pipe.
	for name, want := range wanted {
		var got []string
		for len(got) < len(want) {
			line, err := next(lines[name])
			if err != nil {
				t.Fatalf("%s: got %q, want %q: %v", name, got, want, err)
			}
			if e := decode[record.Entry](t, line); e.Path != "/knock" && e.Kind == record.KindFetch {
				got = append(got, e.Path)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		for len(lines[name]) > 0 {
			if e := decode[record.Entry](t, <-lines[name]); e.Kind == record.KindFetch && e.Path != "/knock" {
				t.Errorf("%s: also %s", name, e.Path)
			}
		}
	}
	for _, args := range [][]string{{"--status", "abc"}, {"--status", "1000"}} {
		if _, errs, err := s.command("", append([]string{"gatehouse", "tail", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin)}, args...)...); err == nil || !strings.Contains(errs, "404") {
			t.Errorf("%q: %v %s", args, err, errs)
		}
	}
	if _, errs, err := s.command("", "gatehouse", "tail", "--address", fmt.Sprintf("127.0.0.1:%d", freePort(t))); err == nil || !strings.Contains(errs, "is the server running") {
		t.Errorf("without a server: %v %s", err, errs)
	}
}

func TestTailAgentGetsTraceItems(t *testing.T) {
	t.Parallel()
	s, told := watched(t)
	s.get("/call", 200)
	s.get("/fail", 500)
	type item struct {
		ScriptName     string
		EventTimestamp int64
		Outcome        string
		Event          struct {
			Request  struct{ URL, Method string }
			Response struct{ Status int }
		}
		Logs []struct {
			Level   string
			Message []string
		}
		Exceptions []struct{ Name, Message, Stack string }
		Gatehouse  record.Entry
	}
	var items []item
	s.wait("both items", func() bool {
		items = decode[[]item](t, s.get("/listener/seen", 200))
		return len(items) >= 2
	})
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.Event.Request.URL, b.Event.Request.URL) })
	if len(items) != 2 {
		t.Fatalf("items: %+v", items)
	}
	call, fail := items[0], items[1]
	want(t, "scriptName", call.ScriptName, "watched")
	want(t, "outcome", call.Outcome, "ok")
	want(t, "method", call.Event.Request.Method, "GET")
	want(t, "status", call.Event.Response.Status, 200)
	mustContain(t, "url", call.Event.Request.URL, "/call")
	if call.EventTimestamp < 1e12 || len(call.Logs) != 2 || call.Logs[1].Level != "warn" || !slices.Equal(call.Logs[0].Message, []string{"about to call"}) {
		t.Errorf("the item: %+v", call)
	}
	if len(call.Gatehouse.Did.Calls) != 2 || call.Gatehouse.Did.Calls[0].Host != told.host() {
		t.Errorf("the record in the item: %+v", call.Gatehouse)
	}
	want(t, "outcome of the failure", fail.Outcome, "exception")
	if len(fail.Exceptions) != 1 || fail.Exceptions[0].Name != "RangeError" || fail.Exceptions[0].Message != "out of range" {
		t.Errorf("the failure: %+v", fail)
	}
	r := s.waitFull("the record of the tail handler", func(r fullRecord) bool { return r.Kind == "tail" })
	want(t, "agent", r.Agent, "listener")
	if len(r.Logs) != 1 || r.Logs[0].Message != "told of 1" {
		t.Errorf("logs: %+v", r.Logs)
	}
}

func TestSQLOverDataPoints(t *testing.T) {
	t.Parallel()
	s, _ := watched(t)
	admin := fmt.Sprintf("127.0.0.1:%d", s.admin)
	const query = "SELECT blob1, count(*) AS n, sum(double1) AS total FROM points GROUP BY blob1 ORDER BY blob1"
	for range 3 {
		s.get("/point?q=find", 200)
	}
	mustContain(t, "too many doubles", s.get("/too-many", 200), "20 doubles")
	text := strings.Split(strings.TrimSpace(s.must("", "gatehouse", "sql", "watched", query, "--address", admin)), "\n")
	var table [][]string
	for _, line := range text {
		table = append(table, strings.Fields(line))
	}
	if wanted := "[[blob1 n total] [error 3 7.5] [ok 3 4.5]]"; fmt.Sprint(table) != wanted {
		t.Errorf("the table is %v, want %s", table, wanted)
	}
	type answer struct {
		Columns []string
		Rows    [][]any
	}
	a := decode[answer](t, s.must("", "gatehouse", "sql", "watched", query, "--json", "--address", admin))
	if wanted := "{[blob1 n total] [[error 3 7.5] [ok 3 4.5]]}"; fmt.Sprint(a) != wanted {
		t.Errorf("the JSON is %v, want %s", a, wanted)
	}
	want(t, "points in the record", s.waitFull("the record", ofPath("/point")).Points, 2)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"syntax", []string{"watched", "SELEKT 1"}, "syntax error"},
		{"no such dataset", []string{"watched", "SELECT * FROM absent"}, "datasets of this agent: points"},
		{"no such agent", []string{"nobody", "SELECT 1"}, "agent nobody"},
		{"a change", []string{"watched", "DELETE FROM points"}, "cannot modify points"},
		{"two statements", []string{"watched", "SELECT 1; SELECT 2"}, "more than one statement"},
		{"no query", []string{"watched"}, "arg(s)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, err := s.command("", append(append([]string{"gatehouse", "sql"}, c.args...), "--address", admin)...)
			if err == nil {
				t.Fatalf("accepted: %s", out)
			}
			mustContain(t, "the error", errs, c.want)
		})
	}
}

func TestCommandsExplainThemselves(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, args := range [][]string{
		{"gatehouse"}, {"gatehouse", "tail"}, {"gatehouse", "sql"}, {"gatehouse", "secret"}, {"gatehouse", "dev"}, {"gatehouse", "types"},
		{"gatehouse", "secret", "put"}, {"gatehouse", "secret", "list"}, {"gatehouse", "secret", "delete"}, {"gatehouse", "secret", "rotate"},
		{"gatehouse", "backup"}, {"gatehouse", "actors"}, {"gatehouse", "actors", "list"}, {"gatehouse", "actors", "show"}, {"gatehouse", "actors", "export"}, {"gatehouse", "actors", "import"}, {"gatehouse", "restore"}, {"gatehouse", "fsck"}, {"gatehouse", "service-token"}, {"gatehouse", "proxy-ca"}, {"gatehouse", "approvals"}, {"gatehouse", "approvals", "list"}, {"gatehouse", "approvals", "grant"}, {"gatehouse", "approvals", "deny"},
		{"gatehouse", "kv"}, {"gatehouse", "kv", "get"}, {"gatehouse", "kv", "put"}, {"gatehouse", "kv", "list"}, {"gatehouse", "kv", "delete"}, {"gatehouse", "store-key"}, {"gatehouse", "store-key", "rotate"}, {"gatehouse", "audit"}, {"gatehouse", "audit", "verify"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			mustContain(t, "the help", s.must("", append(args, "--help")...), "Usage:", "Examples:", "caddy "+strings.Join(args, " "))
		})
	}
	if _, errs, err := s.command("", "gatehouse", "tial"); err == nil || !strings.Contains(errs, "tial") {
		t.Errorf("a command that does not exist: %v %s", err, errs)
	}
}
