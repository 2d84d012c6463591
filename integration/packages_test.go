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
	s := packageAgent(t, "party.ts", " durable Room Room")
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
	first, _ := s.dial("/parties/room/chat")
	want(t, "the welcome", read(first), "welcome to chat")
	second, _ := s.dial("/parties/room/chat")
	want(t, "the second's welcome", read(second), "welcome to chat")
	want(t, "what was said", say(t, first, "hello"), "2 here: hello")
	want(t, "the other hears it", read(second), "2 here: hello")
}

// TestAgentsSDK runs Cloudflare's Agents SDK as far as it goes: its state is kept in SQL, which an actor's storage lacks.
func TestAgentsSDK(t *testing.T) {
	t.Parallel()
	s := packageAgent(t, "agents.ts", " durable Counter Counter\n limits {\n startup 10s\n }")
	want(t, "what is no agent", s.get("/other", 404), "no agent")
	for _, path := range []string{"/named", "/agents/counter/one"} {
		if text := s.get(path, 501); !strings.Contains(text, "sql") {
			t.Errorf("%s: %s", path, text)
		}
	}
}
