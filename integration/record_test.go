package integration

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-edge/gatehouse/record"
)

// collector is a receiver of OTLP over HTTP with protobuf (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
type collector struct {
	*outside
	mu    sync.Mutex
	spans []*trace.Span
	lines []*logs.LogRecord
	raw   []byte // all that came
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := new(collector)
	c.outside = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("the collector: %v", err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Errorf("the collector: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw = append(c.raw, b...)
		w.Header().Set("Content-Type", "application/x-protobuf")
		switch r.URL.Path {
		case "/v1/traces":
			var m coltrace.ExportTraceServiceRequest
			if err := proto.Unmarshal(b, &m); err != nil {
				t.Errorf("the collector: %v", err)
			}
			for _, rs := range m.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					c.spans = append(c.spans, ss.Spans...)
				}
			}
		case "/v1/logs":
			var m collogs.ExportLogsServiceRequest
			if err := proto.Unmarshal(b, &m); err != nil {
				t.Errorf("the collector: %v", err)
			}
			for _, rl := range m.ResourceLogs {
				for _, sl := range rl.ScopeLogs {
					c.lines = append(c.lines, sl.LogRecords...)
				}
			}
		default:
			w.WriteHeader(404)
		}
	})
	return c
}

// environ has a server send what it exports to the collector.
func (c *collector) environ() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=200"}
}

// ofTrace are the spans of a trace by name.
func (c *collector) ofTrace(id string) map[string]*trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*trace.Span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == id {
			found[s.Name] = s
		}
	}
	return found
}

func attributesOf(s *trace.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		switch v := a.Value.GetValue(); {
		case a.Value.GetStringValue() != "":
			all[a.Key] = a.Value.GetStringValue()
		default:
			_ = v
			all[a.Key] = fmt.Sprint(a.Value.GetIntValue())
		}
	}
	return all
}

// newMCP is a server with one tool, search, over MCP's streamable HTTP.
func newMCP(t *testing.T, stream bool) *outside {
	t.Helper()
	return newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			w.WriteHeader(400)
			return
		}
		if r.Header.Get("Traceparent") == "" {
			t.Error("a call carries no traceparent")
		}
		answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"found it"}],"isError":false}}`, m.ID)
		if stream {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", answer)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	})
}

const storySite = `
	tracing {
		span edge
	}
	throttle {
		zone everybody all 100/m strict
	}
	identity {
		jwt %s {
			audience api
			allow_ip 127.0.0.1
		}
	}
	bot_score
	waf
	access {
		allow jwt
	}
	agent_dashboard
	agent front`

const storyAgents = `agent front {
	main ./front.ts
	service BACK back
}
agent back {
	main ./back.ts
	egress tools
	callers front
	var MCP %s
	var FORBIDDEN http://forbidden.example/secret
}
`

var storyFiles = map[string]string{
	"front.ts": `export default {
	async fetch(req: Request, env: any) {
		console.log("the question came");
		return env.BACK.fetch("http://back/search", { method: "POST", body: await req.text() });
	},
};`,
	"back.ts": `export default {
	async fetch(req: Request, env: any) {
		const call = { jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "search", arguments: await req.json() } };
		const found = await fetch(env.MCP, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(call) });
		const text = found.headers.get("Content-Type")!.includes("json") ? (await found.json() as any).result.content[0].text : await found.text();
		let refused = "";
		try { await fetch(env.FORBIDDEN) } catch (e: any) { refused = e.code }
		return new Response(text.includes("found it") + " " + refused);
	},
};`,
}

// TestOneRecord has one request pass every stage and two agents, the second of which calls a tool and is refused a call. One record tells
// all of it, and a collector gets the same as spans of one trace.
func TestOneRecord(t *testing.T) {
	p, c := newProvider(t), newCollector(t)
	for _, stream := range []bool{false, true} {
		mcp := newMCP(t, stream)
		files := maps.Clone(storyFiles)
		files["Caddyfile"] = site("telemetry\n"+egressTo("tools", mcp)+fmt.Sprintf(storyAgents, mcp.URL), fmt.Sprintf(storySite, p.URL))
		s := newServer(t, files)
		s.environ = c.environ()
		s.start()
		resp, body := s.do("POST", "/ask?private=1", `{"question":"what is a gatehouse?"}`, "Authorization", "Bearer "+p.token(nil), "Content-Type", "application/json", "User-Agent", chromeUserAgent)
		if resp.StatusCode != 200 || strings.TrimSpace(body) != "true EGRESS_DENIED" {
			t.Fatalf("status %d: %s", resp.StatusCode, body)
		}
		id := s.waitFull("the record", ofPath("/ask")).ID

		// The page gives the whole record.
		_, text := s.do("GET", "/gatehouse/api/records/"+id, "", "Authorization", "Bearer "+p.token(nil))
		got := decode[struct {
			Record record.Entry   `json:"record"`
			Trace  []record.Entry `json:"trace"`
		}](t, text)
		r := got.Record
		var stages []string
		for _, st := range r.Decided.Stages {
			stages = append(stages, st.Name)
		}
		want(t, "stages", strings.Join(stages, " "), "throttle identity bot_score waf access agent")
		if len(r.Decided.Throttle) != 1 || !r.Decided.Throttle[0].Allowed || r.Decided.Throttle[0].Remaining != 99 {
			t.Errorf("throttle: %+v", r.Decided.Throttle)
		}
		want(t, "subject", r.Who.Subject, "ada")
		want(t, "WAF", r.Decided.WAF.Action, "pass")
		want(t, "bot", r.Decided.Bot, "pass")
		mustContain(t, "access", r.Decided.Access, "allow jwt")
		if r.Who.BotScore == 0 || len(r.Did.Logs) != 1 {
			t.Errorf("score %d, logs %v", r.Who.BotScore, r.Did.Logs)
		}
		var calls []string
		for _, x := range r.Did.Calls {
			calls = append(calls, strings.TrimSpace(fmt.Sprintln(x.Agent, x.Kind, x.Method, x.Host, x.Status, x.Decision, x.Rule)))
		}
		slices.Sort(calls)
		want(t, "calls", strings.Join(calls, "; "), strings.Join([]string{
			"back egress GET forbidden.example 0 refuse default deny", fmt.Sprintf("back egress POST %s 200 allow allow %s", mcp.host(), mcp.host()), "service POST back 200",
		}, "; "))
		if len(r.Did.Tools) != 1 {
			t.Fatalf("tools: %+v", r.Did.Tools)
		}
		tool := r.Did.Tools[0]
		want(t, "tool", fmt.Sprint(tool.Agent, " ", tool.Kind, " ", tool.Name, " ", tool.ID, " ", tool.Direction, " ", tool.Host, " ", tool.Error), "back mcp search 7 out "+mcp.host()+" ")
		if !strings.HasPrefix(tool.Arguments, "sha256:") || !strings.HasPrefix(tool.Result, "sha256:") {
			t.Errorf("the tool's texts: %q %q", tool.Arguments, tool.Result)
		}
		if strings.Contains(text, "private") || strings.Contains(text, "gatehouse?") {
			t.Errorf("the record has the query or a body: %s", text)
		}
		if len(got.Trace) != 2 || got.Trace[1].Agent != "back" || len(got.Trace[1].Chain) != 1 || got.Trace[1].Chain[0].Agent != "front" {
			t.Errorf("the trace: %+v", got.Trace)
		}

		// The collector has the same, below the span of Caddy's own tracing.
		names := []string{"edge", "invoke_agent front", "throttle", "identity", "bot_score", "waf", "access", "agent", "call back POST", "invoke_agent back",
			"POST " + mcp.host(), "execute_tool search", "GET forbidden.example"}
		var spans map[string]*trace.Span
		s.wait("the spans", func() bool {
			spans = c.ofTrace(r.Trace())
			return len(spans) >= len(names)
		})
		slices.Sort(names)
		want(t, "spans", strings.Join(slices.Sorted(maps.Keys(spans)), ", "), strings.Join(names, ", "))
		for child, parent := range map[string]string{
			"invoke_agent front": "edge", "waf": "invoke_agent front", "call back POST": "invoke_agent front", "invoke_agent back": "call back POST", "execute_tool search": "invoke_agent back",
			"POST " + mcp.host(): "invoke_agent back",
		} {
			if string(spans[child].ParentSpanId) != string(spans[parent].SpanId) {
				t.Errorf("%s is not below %s", child, parent)
			}
		}
		want(t, "the operation", attributesOf(spans["execute_tool search"])["gen_ai.operation.name"], "execute_tool")
		want(t, "the tool", attributesOf(spans["execute_tool search"])["gen_ai.tool.name"], "search")
		want(t, "the agent", attributesOf(spans["invoke_agent back"])["gen_ai.agent.name"], "back")
		want(t, "the refused call's status", spans["GET forbidden.example"].Status.Code, trace.Status_STATUS_CODE_ERROR)
		s.wait("the log line", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.ContainsFunc(c.lines, func(l *logs.LogRecord) bool {
				return l.Body.GetStringValue() == "the question came" && string(l.TraceId) == string(spans["edge"].TraceId) && string(l.SpanId) == string(spans["invoke_agent front"].SpanId)
			})
		})
		s.stop()
	}
}
