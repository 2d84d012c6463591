package integration

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startSearch builds and starts the example's search API on a free port, and gives its address.
func startSearch(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "search")
	if out, err := exec.Command("go", "build", "-o", program, "../examples/coordinator/search").CombinedOutput(); err != nil {
		t.Fatalf("build the search API: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-listen", "127.0.0.1:0", "-tokens")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, ok := strings.Cut(strings.TrimSpace(line), "http://")
	if !ok {
		t.Fatalf("the search API says %q", line)
	}
	return address
}

// coordinator is the example with the repository's own Caddyfile.example, its ports and paths moved.
func coordinator(t *testing.T) *server {
	t.Helper()
	search := startSearch(t)
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	config := string(example)
	for _, r := range [][2]string{
		{"admin localhost:{$GATEHOUSE_ADMIN_PORT:2019}", "admin 127.0.0.1:{{admin}}\n\tlog {\n\t\tformat json\n\t}"},
		{"http://localhost:{$GATEHOUSE_PORT:8080}", "http://127.0.0.1:{{site}}"},
		{"127.0.0.1:{$GATEHOUSE_SEARCH_PORT:8081}", search},
		// The search API of this test wants tokens, so that the tool's way through KV is walked as well.
		{"methods GET\n\t\t\t\tpaths /search", "methods GET POST\n\t\t\t\tpaths /search /token"},
	} {
		if !strings.Contains(config, r[0]) {
			t.Fatalf("Caddyfile.example does not hold %q:\n%s", r[0], config)
		}
		config = strings.ReplaceAll(config, r[0], r[1])
	}
	files := map[string]string{"Caddyfile": config}
	for _, name := range []string{"agent.ts", "tool.ts", "watcher.ts", "watchers.ts", "wrangler.jsonc"} {
		b, err := os.ReadFile(filepath.Join("../examples/coordinator", name))
		if err != nil {
			t.Fatal(err)
		}
		files["examples/coordinator/"+name] = string(b)
	}
	return startServer(t, files)
}

// turn is the coordinator's answer to a question.
type turn struct {
	Agent   string
	Turn    int
	Step    string
	Answer  string
	Error   string
	Sources []struct{ Title, URL string }
	Context struct {
		Messages int
		Last     []struct{ Role, Content string }
	}
	Remaining int
}

func (s *server) say(agent, message string) (*http.Response, turn) {
	s.t.Helper()
	resp, body := s.do("POST", "/?agent_id="+agent, fmt.Sprintf(`{"message": %q}`, message), "Content-Type", "application/json")
	return resp, decode[turn](s.t, body)
}

func TestCoordinator(t *testing.T) {
	t.Parallel()
	s := coordinator(t)
	const first, second, other = "What is a gatehouse?", "And a portcullis?", "What is a barbican?"
	resp, a := s.say("a", first)
	if resp.StatusCode != 200 || a.Step != "answered" || a.Turn != 1 || a.Answer == "" || len(a.Sources) == 0 {
		t.Fatalf("the first answer: %d %+v", resp.StatusCode, a)
	}
	mustContain(t, "the answer", a.Answer, a.Sources[0].Title)
	want(t, "messages after the first", a.Context.Messages, 2)
	resp, b := s.say("a", second)
	want(t, "status of the second", resp.StatusCode, 200)
	want(t, "turn of the second", b.Turn, 2)
	want(t, "messages after the second", b.Context.Messages, 4)
	want(t, "remaining", b.Remaining, 8)
	if len(b.Context.Last) != 4 || b.Context.Last[0].Content != first || b.Context.Last[1].Content != a.Answer || b.Context.Last[2].Content != second {
		t.Errorf("the second answer's context does not show the first: %+v", b.Context)
	}
	_, c := s.say("b", other)
	want(t, "agent", c.Agent, "b")
	want(t, "turn of another agent", c.Turn, 1)
	want(t, "remaining of another agent", c.Remaining, 9)
	if len(c.Context.Last) != 2 || c.Context.Last[0].Content != other {
		t.Errorf("another agent's context: %+v", c.Context)
	}
	if text := fmt.Sprint(c.Context); strings.Contains(text, first) || strings.Contains(text, second) {
		t.Errorf("agent b sees what agent a was asked: %s", text)
	}

	var statuses []int
	for range 9 {
		resp, _ = s.say("a", "And a drawbridge?")
		statuses = append(statuses, resp.StatusCode)
	}
	if wanted := "[200 200 200 200 200 200 200 200 429]"; fmt.Sprint(statuses) != wanted {
		t.Errorf("the third to the eleventh request within the minute: %v, want %s", statuses, wanted)
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 || n > 60 {
		t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
	}
	if resp, _ := s.say("b", other); resp.StatusCode != 200 {
		t.Errorf("the limit of a holds b back: %d", resp.StatusCode)
	}
	mustContain(t, "what names no agent", s.get("/page", 200), "The origin answers /page.")
	if resp, _ := s.do("GET", "/?agent_id=a&q=%3Cscript%3Ealert(1)%3C/script%3E", ""); resp.StatusCode != 403 {
		t.Errorf("an attack on the agent: %d", resp.StatusCode)
	}

	admin := fmt.Sprintf("127.0.0.1:%d", s.admin)
	const query = "SELECT index1, blob1, blob2, count(*) AS n FROM tool_calls GROUP BY 1, 2, 3 ORDER BY 1"
	type table struct{ Rows [][]any }
	points := decode[table](t, s.must("", "gatehouse", "sql", "coordinator", query, "--json", "--address", admin))
	if wanted := "[[a search ok 10] [b search ok 2]]"; fmt.Sprint(points.Rows) != wanted {
		t.Errorf("the data points are %v, want %s", points.Rows, wanted)
	}
	r := s.waitFull("a record of the tail agent", func(r fullRecord) bool { return r.Kind == "tail" && len(r.Logs) > 0 })
	want(t, "tail agent", r.Agent, "watcher")
	mustContain(t, "what it logs", r.Logs[0].Message, "1 from coordinator", "POST / 200", "ok")
	r = s.waitFull("the record of the first question", func(r fullRecord) bool { return r.Agent == "coordinator" && r.Status == 200 })
	kinds := map[string]int{}
	for _, call := range r.Calls {
		kinds[call.Kind]++
	}
	// A search, a token, and the search with it.
	if kinds["actor"] != 1 || kinds["egress"] != 3 {
		t.Errorf("the calls of the first question: %+v", r.Calls)
	}

	// The conversation is there after a restart, and the limit too.
	s.kill()
	s.start()
	type state struct{ Context struct{ Messages int } }
	want(t, "messages after kill -9", decode[state](t, s.get("/?agent_id=a", 200)).Context.Messages, 20)
	resp, _ = s.say("a", first)
	want(t, "status of one more after kill -9", resp.StatusCode, 429)
}
