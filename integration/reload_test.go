package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// traffic sends requests without a pause, until it is ended, and keeps what came back.
type traffic struct {
	stop    atomic.Bool
	running sync.WaitGroup

	mu      sync.Mutex
	answers int
	failed  []string
}

// startTraffic runs send on n connections. What send returns as an error fails the test when the traffic ends.
func startTraffic(n int, send func(connection, i int) error) *traffic {
	f := new(traffic)
	for c := range n {
		f.running.Go(func() {
			for i := 0; !f.stop.Load(); i++ {
				err := send(c, i)
				f.mu.Lock()
				f.answers++
				if err != nil {
					f.failed = append(f.failed, err.Error())
				}
				f.mu.Unlock()
			}
		})
	}
	return f
}

// sent is the number of requests that were answered so far.
func (f *traffic) sent() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers
}

// more waits until n more requests have been answered than now.
func (f *traffic) more(s *server, n int) {
	s.t.Helper()
	until := f.sent() + n
	s.wait("more requests", func() bool { return f.sent() >= until })
}

// end stops the traffic and fails the test for each request that failed.
func (f *traffic) end(t *testing.T) {
	t.Helper()
	f.stop.Store(true)
	f.running.Wait()
	for i, failure := range f.failed {
		if i == 5 {
			t.Errorf("... and %d more", len(f.failed)-i)
			break
		}
		t.Errorf("a request failed: %s", failure)
	}
	t.Logf("%d requests, %d failed", f.answers, len(f.failed))
}

// reloaded is the Caddyfile of TestReloadUnderLoad: it serves two agents, of which only varied changes with n.
func reloaded(n int) string {
	waf := ""
	if n%2 == 1 {
		waf = "\twaf\n"
	}
	agent := func(name, more string) string {
		return "\t\tagent " + name + " {\n\t\t\tmain ./cell.ts\n\t\t\tdurable CELL Cell\n\t\t\tdurable OTHER Other\n" + more + "\t\t}\n"
	}
	return site(
		agent("kept", "")+agent("varied", fmt.Sprintf("\t\t\tvar LABEL version-%d\n", n)),
		waf+"\thandle_path /kept/* {\n\t\tagent kept\n\t}\n\thandle_path /varied/* {\n\t\tagent varied\n\t}\n\trespond \"config "+strconv.Itoa(n)+"\"")
}

// TestReloadUnderLoad reloads the configuration ten times while 32 connections count in actors of two agents. Of one
// nothing changes: its actors stay in memory. The other gets another variable: its actors are made anew, and count on.
func TestReloadUnderLoad(t *testing.T) {
	const connections, reloads = 32, 10
	s := startServer(t, map[string]string{"Caddyfile": reloaded(0), "cell.ts": agentFile(t, "cell.ts")})

	type memory struct {
		Instance string
		Label    string
		Calls    int
	}
	look := func(agent string) memory {
		t.Helper()
		_, body := s.do("POST", "/"+agent+"/cell/watched/memory", "[]", "Content-Type", "application/json")
		var m memory
		if err := json.Unmarshal([]byte(body), &m); err != nil || m.Instance == "" {
			t.Fatalf("memory of an actor of %s: %v: %s", agent, err, body)
		}
		return m
	}
	kept, varied := look("kept"), look("varied")

	var mu sync.Mutex
	returned := map[string]map[int]int{"kept": {}, "varied": {}}
	load := startTraffic(connections, func(connection, i int) error {
		agent := [...]string{"kept", "varied"}[i%2]
		// All connections of an agent meet in three actors.
		cell := connection % 3
		resp, body, err := s.try("POST", fmt.Sprintf("/%s/cell/shared-%d/increment", agent, cell), "[]", "Content-Type", "application/json", "Idempotency-Key", "once")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(body)
		if resp.StatusCode != http.StatusOK || err != nil {
			return fmt.Errorf("%s: status %d: %s", agent, resp.StatusCode, body)
		}
		mu.Lock()
		defer mu.Unlock()
		returned[agent][n*3+cell]++
		return nil
	})
	for n := 1; n <= reloads; n++ {
		load.more(s, connections)
		s.write("Caddyfile", reloaded(n))
		if out, err := s.reload(); err != nil {
			t.Fatalf("reload %d: %v\n%s", n, err, out)
		}
		load.more(s, connections)
		if body := s.get("/", 200); body != fmt.Sprintf("config %d", n) {
			t.Errorf("after reload %d the server answers %q", n, body)
		}
		if m := look("varied"); m.Label != fmt.Sprintf("version-%d", n) || m.Instance == varied.Instance {
			t.Errorf("after reload %d the agent that changed has %+v in memory, before %+v", n, m, varied)
		} else {
			varied = m
		}
		// Asked in each round, for an actor is dropped from memory when nothing was asked of it for 10 s.
		if m := look("kept"); m.Instance != kept.Instance || m.Calls != kept.Calls+n {
			t.Errorf("after reload %d the agent that did not change has %+v in memory, at first it had %+v", n, m, kept)
		}
		// Every second configuration has a WAF.
		want := http.StatusOK
		if n%2 == 1 {
			want = http.StatusForbidden
		}
		s.get("/?q=%27%20OR%201%3D1--%20UNION%20SELECT%20password%20FROM%20users", want)

		if n == reloads/2 {
			if out, errs, err := s.command("", "validate", "--config", "Caddyfile", "--adapter", "caddyfile"); err != nil {
				t.Errorf("caddy validate beside the server: %v\n%s%s", err, out, errs)
			}
			load.more(s, connections)
		}
	}
	load.end(t)

	for agent, numbers := range returned {
		acknowledged := 0
		for n, times := range numbers {
			acknowledged += times
			if times != 1 {
				t.Errorf("%s: counter %d returned %d %d times", agent, n%3, n/3, times)
			}
		}
		stored := 0
		for cell := range 3 {
			_, body := s.do("POST", fmt.Sprintf("/%s/cell/shared-%d/value", agent, cell), "[]", "Content-Type", "application/json")
			n, err := strconv.Atoi(body)
			if err != nil {
				t.Fatalf("value of %s: %s", agent, body)
			}
			stored += n
		}
		if stored != acknowledged {
			t.Errorf("%s: the counters hold %d after %d acknowledged increments", agent, stored, acknowledged)
		}
	}
}

func TestSecondServerOnTheSameStore(t *testing.T) {
	s := startCells(t)
	ask[int](s, "a", "increment")
	second := strings.NewReplacer("{{site}}", fmt.Sprint(freePort(t)), "{{admin}}", fmt.Sprint(freePort(t))).Replace(
		site(cellGlobal(""), "\tagent cells"))
	s.write("Second", second)
	out, errs, err := s.command("", "run", "--config", "Second", "--adapter", "caddyfile")
	if _, ended := err.(*exec.ExitError); !ended {
		t.Fatalf("a second server on the same store: %v, want it to end with an error", err)
	}
	mustContain(t, "the second server's error", out+errs, filepath.Join(s.dir, "data"), fmt.Sprintf("process %d", s.cmd.Process.Pid))
	if n := ask[int](s, "a", "increment"); n != 2 {
		t.Errorf("the first server counts %d after that, want 2", n)
	}
	// Once the first has ended, even badly, the store is free.
	s.kill()
	s.start()
	if n := ask[int](s, "a", "increment"); n != 3 {
		t.Errorf("the store counts %d after a restart, want 3", n)
	}
}

// says is an agent that answers text.
func says(text string) string {
	return "import { suffix } from \"./suffix.ts\";\n\nexport default {\n\tfetch(): Response {\n\t\treturn new Response(\"" + text + "\" + suffix);\n\t},\n};\n"
}

// TestSourceReload edits an agent's code while requests come in: each is answered by one version or another, in order.
func TestSourceReload(t *testing.T) {
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "\tagent ./agent.ts"),
		"agent.ts":  says("one"),
		"suffix.ts": "export const suffix: string = \"\";\n",
	})
	var mu sync.Mutex
	allowed := map[string]bool{"one": true}
	load := startTraffic(8, func(_, _ int) error {
		mu.Lock()
		before := maps.Clone(allowed) // a request that is under way is answered by the version that it began with
		mu.Unlock()
		resp, body, err := s.try("GET", "/", "")
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if resp.StatusCode != http.StatusOK || !allowed[body] && !before[body] {
			return fmt.Errorf("status %d: %q", resp.StatusCode, body)
		}
		return nil
	})
	allow := func(bodies ...string) {
		mu.Lock()
		defer mu.Unlock()
		clear(allowed)
		for _, b := range bodies {
			allowed[b] = true
		}
	}
	becomes := func(body string) {
		t.Helper()
		s.wait("the answer "+body, func() bool { return s.get("/", 200) == body })
	}
	load.more(s, 8)

	allow("one", "two")
	s.write("agent.ts", says("two"))
	becomes("two")

	// A module that the agent imports is watched like the agent.
	allow("two", "two!")
	s.write("suffix.ts", "export const suffix: string = \"!\";\n")
	becomes("two!")

	// What does not build is refused with its place, and the version before goes on.
	load.more(s, 16)
	allow("two!")
	s.write("agent.ts", "export default {\n\tfetch() {\n\t\treturn new Response(\"broken;\n\t},\n};\n")
	refused := func() string {
		for line := range strings.Lines(s.logged()) {
			if strings.Contains(line, "new code refused") {
				return line
			}
		}
		return ""
	}
	s.wait("the refusal in the log", func() bool { return refused() != "" })
	mustContain(t, "the refusal", refused(), "agent.ts:3:", "Unterminated string")
	load.more(s, 16)

	// So is a configuration that holds it; the configuration before goes on.
	s.write("Caddyfile", site("", "\theader X-Config new\n\tagent ./agent.ts"))
	out, err := s.reload()
	if err == nil {
		t.Error("a configuration whose agent does not build was accepted")
	}
	mustContain(t, "the error of the reload", out, "agent.ts:3:")
	if resp, body := s.do("GET", "/", ""); body != "two!" || resp.Header.Get("X-Config") != "" {
		t.Errorf("after the refused reload the answer is %q, X-Config %q", body, resp.Header.Get("X-Config"))
	}
	load.more(s, 16)

	// Code that builds and throws while it is loaded is refused in the same way, and mended code serves again.
	s.write("agent.ts", "throw new Error(\"not today\");\nexport default { fetch() { return new Response(\"thrown\"); } };\n")
	s.wait("the second refusal in the log", func() bool { return strings.Contains(s.logged(), "not today") })
	load.more(s, 16)
	allow("two!", "three!")
	s.write("agent.ts", says("three"))
	becomes("three!")
	load.more(s, 16)
	load.end(t)

	if out, err := s.reload(); err != nil {
		t.Fatalf("reload with the mended agent: %v\n%s", err, out)
	}
	if resp, body := s.do("GET", "/", ""); body != "three!" || resp.Header.Get("X-Config") != "new" {
		t.Errorf("after the reload the answer is %q, X-Config %q", body, resp.Header.Get("X-Config"))
	}
}

// TestSourceReloadOfActors edits the code of a class: an actor in memory is made anew once, and keeps its storage.
func TestSourceReloadOfActors(t *testing.T) {
	source := agentFile(t, "cell.ts")
	s := startServer(t, map[string]string{"Caddyfile": site(cellGlobal(""), "\tagent cells"), "cell.ts": source})
	load := startTraffic(8, func(connection, _ int) error {
		return s.call(nil, fmt.Sprintf("load-%d", connection%2), "increment")
	})
	for range 3 {
		ask[int](s, "a", "increment")
	}
	const before = "await this.ctx.storage.put(\"value\", value);\n\t\tthis.calls++;\n\t\treturn value;"
	if !strings.Contains(source, before) {
		t.Fatal("cell.ts is not what this test edits")
	}
	s.write("cell.ts", strings.Replace(source, before, strings.Replace(before, "return value;", "return value + 1000;", 1), 1))
	last := 3
	s.wait("the edited method", func() bool {
		n := ask[int](s, "a", "increment")
		defer func() { last = n % 1000 }()
		if n%1000 != last+1 {
			t.Errorf("the counter went from %d to %d", last, n%1000)
		}
		return n > 1000
	})
	load.more(s, 16)
	load.end(t)
	if n := ask[int](s, "a", "get", "starts"); n != 2 {
		t.Errorf("the actor was made %d times, want once for each version", n)
	}
}
