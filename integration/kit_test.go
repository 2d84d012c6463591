package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-edge/gatehouse/record"
)

// fullRecord is a record's log event with the parts that few tests look at.
type fullRecord struct {
	loggedRecord
	ClientIP      string                  `json:"client_ip"`
	Reasons       []string                `json:"bot_reasons"`
	Throttle      []record.ZoneDecision   `json:"throttle"`
	Wall          float64                 `json:"wall_ms"`
	Method        string                  `json:"method"`
	TraceID       string                  `json:"trace_id"`
	Identity      string                  `json:"identity"`
	Access        string                  `json:"access"`
	Subject       string                  `json:"subject"`
	Challenge     string                  `json:"challenge"`
	Bot           string                  `json:"bot"`
	BotTag        string                  `json:"bot_tag"`
	JA4           string                  `json:"ja4"`
	VerifiedBot   string                  `json:"verified_bot"`
	VerifiedAgent string                  `json:"verified_agent"`
	Chain         []record.Hop            `json:"chain"`
	Budgets       []record.BudgetDecision `json:"budgets"`
	Shadow        []record.Refusal        `json:"shadow"`
}

// waitFull waits for a record that fits.
func (s *server) waitFull(what string, fits func(fullRecord) bool) fullRecord {
	s.t.Helper()
	var found fullRecord
	s.wait(what, func() bool {
		for line := range strings.Lines(s.logged()) {
			var r fullRecord
			if json.Unmarshal([]byte(line), &r) == nil && r.ID != "" && r.Outcome != "" && fits(r) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// ofPath chooses the records of requests for one path.
func ofPath(path string) func(fullRecord) bool {
	return func(r fullRecord) bool { return r.Kind == "fetch" && r.Path == path }
}

// agentFile is an agent of testdata/agents.
func agentFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "agents", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lineOf is the number of the line of source that holds text.
func lineOf(t *testing.T, source, text string) int {
	t.Helper()
	before, _, ok := strings.Cut(source, text)
	if !ok {
		t.Fatalf("the source does not hold %q", text)
	}
	return strings.Count(before, "\n") + 1
}

// outside is an HTTP server of the test's own that counts the connections it gets.
type outside struct {
	*httptest.Server
	accepted atomic.Int64
}

func newOutside(t *testing.T, handler http.HandlerFunc) *outside {
	t.Helper()
	o := new(outside)
	o.Server = httptest.NewUnstartedServer(handler)
	o.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			o.accepted.Add(1)
		}
	}
	o.Start()
	t.Cleanup(o.Close)
	return o
}

func (o *outside) host() string { return o.Listener.Addr().String() }

func (o *outside) port() int { return o.Listener.Addr().(*net.TCPAddr).Port }

// egressTo is an egress policy that lets code reach the servers.
func egressTo(name string, servers ...*outside) string {
	hosts := make([]string, len(servers))
	for i, o := range servers {
		hosts[i] = o.host()
	}
	return fmt.Sprintf("egress %s {\n\tallow %s\n\tallow_ip 127.0.0.1/32\n}\n", name, strings.Join(hosts, " "))
}

// converse starts a program that reads lines and writes them, and ends with its input.
func converse(t *testing.T, cmd *exec.Cmd) (in io.Writer, lines *bufio.Scanner) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	return stdin, bufio.NewScanner(stdout)
}

// steps is a server that code asks before each step it takes. The test sees that it asked and says when it goes on.
type steps struct {
	*outside
	asked chan string // method, path and body of each request
	next  chan string // the answer to it
}

func newSteps(t *testing.T) *steps {
	s := &steps{asked: make(chan string, 64), next: make(chan string)}
	s.outside = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked := r.Method + " " + r.URL.Path
		if len(b) > 0 {
			asked += " " + string(b)
		}
		s.asked <- asked
		select {
		case text := <-s.next:
			fmt.Fprint(w, text)
		case <-r.Context().Done():
		}
	})
	return s
}

// options are global options of Caddy's own, outside the gatehouse block.
func siteWith(options, global, block string) string {
	return strings.Replace(site(global, block), "\tgatehouse {\n", options+"\n\tgatehouse {\n", 1)
}

// want fails the test when what was got is not what was wanted.
func want[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

// mustContain fails the test for each part that text does not hold.
func mustContain(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s does not hold %q: %s", what, p, text)
		}
	}
}

// decode reads JSON.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}
