package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// packageAgent is a server with one agent of agentruntime/testdata/packages, whose packages come from npm.
func packageAgent(t *testing.T, file, options string) *server {
	t.Helper()
	dir, err := filepath.Abs("../agentruntime/testdata/packages")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("the npm packages of this test are not installed; run: make deps (%v)", err)
	}
	return startServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf("agent packed {\n main %s\n%s\n}", filepath.Join(dir, file), options), "agent packed"),
	})
}

// TestMCPServer drives a server of the Model Context Protocol with the official client, under the limits that an agent has
// by default.
func TestMCPServer(t *testing.T) {
	t.Parallel()
	s := packageAgent(t, "mcp.ts", "")
	cmd := exec.CommandContext(t.Context(), "node", "mcp-client.mjs", s.url("/mcp"))
	cmd.Dir = "../agentruntime/testdata/packages"
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the client: %v", err)
	}
	mustContain(t, "what the client got", string(out), `"tools":["add","count","fail"]`, `"structuredContent":{"sum":42}`, `"progress":["1/3","2/3","3/3"]`,
		`"resource":"A gatehouse guards a gate."`, `"prompt":"Greet Ada."`)
}

// TestPartyServer runs Cloudflare's rooms, each of which is a durable actor with WebSockets.
func TestPartyServer(t *testing.T) {
	t.Parallel()
	s := packageAgent(t, "party.ts", " durable Room Room\n durable Sleeper Sleeper")
	want(t, "a room", s.get("/parties/room/lobby", 200), `{"room":"lobby","path":"/parties/room/lobby","starts":1}`)
	want(t, "the room again", s.get("/parties/room/lobby/more", 200), `{"room":"lobby","path":"/parties/room/lobby/more","starts":1}`)
	want(t, "a method", s.get("/greet", 200), "hall greets Ada")
	want(t, "no room", s.get("/other", 404), "no party")

	read := func(conn *websocket.Conn) string {
		t.Helper()
		_, data, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, party := range []string{"room", "sleeper"} {
		first, _ := s.dial("/parties/" + party + "/chat")
		want(t, "the welcome", read(first), "welcome to chat")
		second, _ := s.dial("/parties/" + party + "/chat")
		want(t, "the second's welcome", read(second), "welcome to chat")
		want(t, "what was said", say(t, first, "hello"), "2 here: hello")
		want(t, "the other hears it", read(second), "2 here: hello")
	}
}

// TestAgentsSDK runs Cloudflare's Agents SDK: state that is kept and pushed to those connected, SQL, schedules, and methods
// that are called over a WebSocket.
func TestAgentsSDK(t *testing.T) {
	t.Parallel()
	s := packageAgent(t, "agents.ts", " durable Counter Counter\n limits {\n startup 10s\n cpu 5s\n }")
	want(t, "what is no agent", s.get("/other", 404), "no agent")
	want(t, "an agent's state", s.get("/named", 200), `{"count":1,"by":"a request"}`)
	want(t, "the same agent by its path", s.get("/agents/counter/one", 200), `{"count":2,"by":"a request"}`)
	want(t, "another", s.get("/agents/counter/two", 200), `{"count":1,"by":"a request"}`)
	want(t, "a schedule", s.get("/agents/counter/one/remind?in=1", 200), `{"type":"delayed","callback":"remind","pending":1}`)

	conn, _ := s.dial("/agents/counter/one")
	read := func(part string) string {
		t.Helper()
		for {
			_, data, err := conn.Read(t.Context())
			if err != nil {
				t.Fatalf("waiting for %s: %v", part, err)
			}
			if strings.Contains(string(data), part) {
				return string(data)
			}
		}
	}
	call := func(id, method, args string) {
		t.Helper()
		message := fmt.Sprintf(`{"type":"rpc","id":%q,"method":%q,"args":%s}`, id, method, args)
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	mustContain(t, "the state that a client is greeted with", read("cf_agent_state"), `"count":2`)
	call("1", "add", "[40]")
	mustContain(t, "the answer to a call", read(`"id":"1"`), `"result":42`, `"success":true`)
	call("2", "hidden", "[]")
	mustContain(t, "a method that is not callable", read(`"id":"2"`), `"success":false`)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"cf_agent_state","state":{"count":7,"by":"a client"}}`)); err != nil {
		t.Fatal(err)
	}
	s.wait("the schedule has run", func() bool { return strings.Contains(s.get("/agents/counter/one/reminders", 200), "shut the gate") })
	want(t, "what the schedule did", s.get("/agents/counter/one/reminders", 200), `{"reminders":["shut the gate"],"pending":0}`)
	want(t, "the state that the client set", s.get("/agents/counter/one", 200), `{"count":8,"by":"a request"}`)
}

// TestDrizzle runs drizzle-orm with its migrator over an actor's SQL, before and after a restart.
func TestDrizzle(t *testing.T) {
	t.Parallel()
	s := packageAgent(t, "drizzle.ts", " durable VILLAGE Village")
	want(t, "the migrations", s.get("/migrated", 200), `[1760000000000,1760000100000]`)
	want(t, "a row returned", s.get("/fill", 200), `{"id":1,"name":"gate","open":true,"towers":2}`)
	asked := `{"whole":[{"id":2,"name":"barn","open":false,"towers":1,"guests":[]},{"id":1,"name":"gate","open":true,"towers":2,"guests":[` +
		`{"id":2,"house":1,"about":{"name":"Bob","tags":[]},"at":"1970-01-01T00:00:02.000Z"},{"id":1,"house":1,"about":{"name":"Ada","tags":["early"]},"at":"1970-01-01T00:00:01.000Z"}]}],` +
		`"counted":[{"name":"gate","n":2},{"name":"barn","n":0}],"barn":{"id":2,"name":"barn","open":false,"towers":1}}`
	want(t, "queries", s.get("/ask", 200), asked)
	want(t, "transactions that roll back", s.get("/fail", 200), `{"errors":["Error: UNIQUE constraint failed: houses.name: SQLITE_CONSTRAINT","DrizzleError"],"guests":2,"towers":{"n":2}}`)
	s.kill()
	s.start()
	want(t, "the migrations after a restart", s.get("/migrated", 200), `[1760000000000,1760000100000]`)
	want(t, "queries after a restart", s.get("/ask", 200), asked)
	want(t, "a deletion that cascades", s.get("/clear", 200), `0`)
}
