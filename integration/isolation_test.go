package integration

import (
	"strings"
	"sync/atomic"
	"testing"
)

// TestInvocationsLeaveNoTrace makes 10,000 requests to code that looks for what an earlier one left: globals, prototypes,
// classes of the Web APIs, state of the module, the registry of symbols, bindings, memory, timers. Each then leaves all
// that behind.
func TestInvocationsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile":      site("agent isolated {\n wrangler ./wrangler.jsonc\n limits {\n cpu 5s\n }\n}\n", "agent isolated"),
		"wrangler.jsonc": `{"name": "isolated", "main": "isolate.ts", "vars": {"SETTINGS": {"deep": 1}}}`,
		"isolate.ts":     agentFile(t, "isolate.ts"),
	})
	if found := s.get("/own", 200); strings.Count(found, ",") < 20 {
		t.Errorf("of its own traces the code found only %s", found)
	}
	const invocations, users = 10_000, 16
	var next atomic.Int64
	together(users, func(int) {
		for next.Add(1) <= invocations && !t.Failed() {
			resp, body, err := s.try("GET", "/", "")
			switch {
			case err != nil:
				t.Error(err)
			case resp.StatusCode != 200:
				t.Errorf("status %d: %s", resp.StatusCode, body)
			case body != "":
				t.Errorf("an earlier invocation left its trace in: %s", body)
			}
		}
	})
	if strings.Contains(s.logged(), "of an invocation that has ended") {
		t.Error("a timer ran after its invocation had ended")
	}
}
