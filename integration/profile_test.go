package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/internal/testkit"
)

// modelAPI answers the clients of language models' APIs, and of the Model Context Protocol, as far as they need it.
func modelAPI(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/v1/chat/completions":
		io.WriteString(w, `{"id":"1","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"yes"}}]}`)
	case "/v1/responses":
		io.WriteString(w, `{"id":"1","object":"response","status":"completed","output":[]}`)
	case "/v1/messages":
		io.WriteString(w, `{"id":"1","type":"message","role":"assistant","content":[],"model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`)
	case "/mcp":
		var call struct {
			ID     json.RawMessage
			Method string
			Params struct{ ProtocolVersion string }
		}
		if r.Method != "POST" || json.Unmarshal(body, &call) != nil || call.ID == nil {
			w.WriteHeader(map[bool]int{true: 202, false: 405}[r.Method == "POST"])
			return
		}
		result := `{"content":[{"type":"text","text":"noted"}]}`
		switch call.Method {
		case "initialize":
			result = fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{"tools":{}},"serverInfo":{"name":"notes","version":"1"}}`, call.Params.ProtocolVersion)
		case "tools/list":
			result = `{"tools":[]}`
		}
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, call.ID, result)
	default:
		w.WriteHeader(404)
	}
}

// TestProseOfClients sends 2,000 texts of ordinary prose with the clients of OpenAI, Anthropic and the Model Context Protocol through a
// site with the profile for them, and counts those that are refused.
func TestProseOfClients(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(modelAPI))
	defer origin.Close()
	s := startServer(t, map[string]string{"Caddyfile": strings.Replace(
		site("", fmt.Sprintf("waf {\n crs\n profile llm_json\n}\nreverse_proxy %s", strings.TrimPrefix(origin.URL, "http://"))),
		"\nhttp://127.0.0.1:{{site}} {", "\nhttp://127.0.0.1:{{site}}, http://localhost:{{site}} {", 1)})
	texts := testkit.Prose(t)[:2000]
	input, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "prose-clients.mjs", fmt.Sprintf("http://localhost:%d", s.port))
	cmd.Dir, cmd.Stdin = "../agentruntime/testdata/packages", strings.NewReader(string(input))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the clients: %v\n%s", err, complaint.String())
	}
	var result struct {
		Sent    map[string]int
		Refused []struct{ Name, Text string }
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatal(err)
	}
	share := float64(len(result.Refused)) / float64(len(texts)) * 100
	t.Logf("of %d requests of clients (%v) %d were refused, %.2f %%", len(texts), result.Sent, len(result.Refused), share)
	if share > 0.3 {
		t.Errorf("more than 0.3 %% were refused: %q", result.Refused)
	}
	for _, name := range []string{"chat", "responses", "messages", "tool"} {
		if result.Sent[name] < 400 {
			t.Errorf("%d requests by %s", result.Sent[name], name)
		}
	}
}
