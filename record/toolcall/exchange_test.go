package toolcall

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/record"
)

// exchange passes a request and an answer through, in pieces of n bytes, and gives what was found.
func exchange(t *testing.T, request, contentType, answer string, n int) (found Found) {
	t.Helper()
	x := &Exchange{Text: func(s string) string { return s }}
	pass := func(body io.ReadCloser, want string) {
		var got strings.Builder
		buf := make([]byte, n)
		for {
			k, err := body.Read(buf)
			got.Write(buf[:k])
			if err != nil {
				break
			}
		}
		_ = body.Close()
		if got.String() != want {
			t.Errorf("the body was changed: %q, was %q", got.String(), want)
		}
	}
	pass(x.Request(io.NopCloser(strings.NewReader(request))), request)
	calls := 0
	pass(x.Response(contentType, "", io.NopCloser(strings.NewReader(answer)), func(f Found) {
		calls++
		found = f
	}), answer)
	if calls > 1 {
		t.Errorf("told %d times", calls)
	}
	return found
}

// sse writes server-sent events.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "event: e\r\ndata: %s\r\n\r\n", e)
	}
	return b.String()
}

const (
	inJSON   = "application/json; charset=utf-8"
	inEvents = "text/event-stream"
)

func TestExchange(t *testing.T) {
	mcpCall := `{"jsonrpc":"2.0","id":"a1","method":"tools/call","params":{"name":"search","arguments":{"q":"tea"}}}`
	mcpTool := record.Tool{Name: "search", Kind: KindMCP, ID: "a1", Arguments: `{"q":"tea"}`}
	with := func(t record.Tool, change func(*record.Tool)) record.Tool {
		change(&t)
		return t
	}
	ask := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	for _, c := range []struct {
		name, request, kind, answer string
		want                        Found
	}{
		{"MCP", mcpCall, inJSON, `{"jsonrpc":"2.0","id":"a1","result":{"content":[{"type":"text","text":"x"}]}}`,
			Found{Tools: []record.Tool{with(mcpTool, func(t *record.Tool) { t.Result = `[{"type":"text","text":"x"}]` })}}},
		{"MCP as events, after another message", mcpCall, inEvents, sse(`{"jsonrpc":"2.0","method":"notifications/progress","params":{}}`, `{"jsonrpc":"2.0","id":"a1","result":{"content":[],"isError":true}}`),
			Found{Tools: []record.Tool{with(mcpTool, func(t *record.Tool) { t.Result, t.Error = "[]", "the tool says that it failed" })}}},
		{"MCP fails", mcpCall, inJSON, `{"jsonrpc":"2.0","id":"a1","error":{"code":-32602,"message":"Unknown tool"}}`,
			Found{Tools: []record.Tool{with(mcpTool, func(t *record.Tool) { t.Error = "Unknown tool" })}}},
		{"MCP in a batch", `[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a"}},{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"b"}}]`, inJSON,
			`[{"jsonrpc":"2.0","id":3,"result":{"content":3}},{"jsonrpc":"2.0","id":2,"result":{"content":2}}]`,
			Found{Tools: []record.Tool{{Name: "a", Kind: KindMCP, ID: "2", Result: "2"}, {Name: "b", Kind: KindMCP, ID: "3", Result: "3"}}}},
		{"MCP, no answer that fits", mcpCall, inJSON, `oops`, Found{Tools: []record.Tool{mcpTool}}},
		{"MCP lists tools", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, inJSON, `{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}`, Found{}},

		{"Chat Completions", ask, inJSON, `{"object":"chat.completion","model":"gpt-x","choices":[{"message":{"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]}}],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}`,
			Found{Tools: []record.Tool{{Name: "add", Kind: KindOpenAI, ID: "c1", Arguments: `{"a":1}`}},
				Models: []record.Model{{Provider: "openai", Model: "gpt-x", InputTokens: 10, CachedTokens: 4, OutputTokens: 5}}}},
		{"Chat Completions as events", ask, inEvents, sse(
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"role":"assistant","content":"Let"}}]}`,
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":""}}]}}]}`,
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}]}`,
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"tool_calls":[{"index":1,"id":"c2","function":{"name":"sub","arguments":"{}"}}]}}]}`,
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}`,
			`{"object":"chat.completion.chunk","model":"gpt-x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}`, `[DONE]`),
			Found{Tools: []record.Tool{{Name: "add", Kind: KindOpenAI, ID: "c1", Arguments: `{"a":1}`}, {Name: "sub", Kind: KindOpenAI, ID: "c2", Arguments: `{}`}},
				Models: []record.Model{{Provider: "openai", Model: "gpt-x", InputTokens: 7, OutputTokens: 3}}}},
		{"results of Chat Completions", `{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"c0","function":{"name":"old"}}]},{"role":"tool","tool_call_id":"c0","content":"before"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","function":{"name":"add"}}]},{"role":"tool","tool_call_id":"c1","content":"3"}]}`, inJSON,
			`{"object":"chat.completion","model":"gpt-x","choices":[{"message":{"content":"three"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
			Found{Results: []record.Tool{{Name: "add", Kind: KindOpenAI, ID: "c1", Result: `"3"`}}, Models: []record.Model{{Provider: "openai", Model: "gpt-x", InputTokens: 1, OutputTokens: 1}}}},
		{"Responses", `{"model":"m","input":[{"type":"function_call","call_id":"f1","name":"add"},{"type":"function_call_output","call_id":"f1","output":"3"}]}`, inJSON,
			`{"object":"response","model":"gpt-x","output":[{"type":"message"},{"type":"function_call","call_id":"f2","name":"sub","arguments":"{}"}],"usage":{"input_tokens":9,"output_tokens":2,"input_tokens_details":{"cached_tokens":8}}}`,
			Found{Results: []record.Tool{{Name: "add", Kind: KindOpenAI, ID: "f1", Result: `"3"`}}, Tools: []record.Tool{{Name: "sub", Kind: KindOpenAI, ID: "f2", Arguments: "{}"}},
				Models: []record.Model{{Provider: "openai", Model: "gpt-x", InputTokens: 9, CachedTokens: 8, OutputTokens: 2}}}},
		{"Responses as events", ask, inEvents, sse(`{"type":"response.created","response":{"model":"gpt-x"}}`, `{"type":"response.output_text.delta","delta":"usage"}`,
			`{"type":"response.output_item.done","item":{"type":"function_call","call_id":"f2","name":"sub","arguments":"{}"}}`,
			`{"type":"response.completed","response":{"object":"response","model":"gpt-x","output":[{"type":"function_call","call_id":"f2","name":"sub","arguments":"{}"}],"usage":{"input_tokens":9,"output_tokens":2}}}`),
			Found{Tools: []record.Tool{{Name: "sub", Kind: KindOpenAI, ID: "f2", Arguments: "{}"}}, Models: []record.Model{{Provider: "openai", Model: "gpt-x", InputTokens: 9, OutputTokens: 2}}}},
		{"Responses as events, cut", ask, inEvents, sse(`{"type":"response.output_item.done","item":{"type":"function_call","call_id":"f2","name":"sub","arguments":"{}"}}`),
			Found{Tools: []record.Tool{{Name: "sub", Kind: KindOpenAI, ID: "f2", Arguments: "{}"}}}},
		{"Messages", ask, inJSON, `{"type":"message","model":"claude-x","content":[{"type":"text","text":"Let me"},{"type":"tool_use","id":"t1","name":"add","input":{"a":1}}],"usage":{"input_tokens":10,"cache_read_input_tokens":100,"cache_creation_input_tokens":20,"output_tokens":5}}`,
			Found{Tools: []record.Tool{{Name: "add", Kind: KindAnthropic, ID: "t1", Arguments: `{"a":1}`}}, Models: []record.Model{{Provider: "anthropic", Model: "claude-x", InputTokens: 130, CachedTokens: 100, OutputTokens: 5}}}},
		{"Messages as events", ask, inEvents, sse(`{"type":"message_start","message":{"type":"message","model":"claude-x","usage":{"input_tokens":10,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"tool_use"}}`,
			`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"add","input":{}}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`, `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}`,
			`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":42}}`, `{"type":"message_stop"}`),
			Found{Tools: []record.Tool{{Name: "add", Kind: KindAnthropic, ID: "t1", Arguments: `{"a":1}`}}, Models: []record.Model{{Provider: "anthropic", Model: "claude-x", InputTokens: 10, OutputTokens: 42}}}},
		{"results of Messages", `{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"add","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"no","is_error":true}]}]}`, inJSON, `{}`,
			Found{Results: []record.Tool{{Name: "add", Kind: KindAnthropic, ID: "t1", Result: `"no"`, Error: "the agent says that it failed"}}}},

		{"another JSON", `{"name":"usage"}`, inJSON, `{"usage":{"input_tokens":5}}`, Found{}},
		{"no JSON", `tools/call`, inJSON, `"usage"`, Found{}},
		{"text", mcpCall, "text/plain", `{}`, Found{Tools: []record.Tool{mcpTool}}},
		{"a body past the limit", `{"method":"tools/call","params":{"name":"x","arguments":"` + strings.Repeat("x", maxBody) + `"}}`, inJSON, `{}`, Found{}},
		{"an event past the limit", ask, inEvents, sse(`{"type":"message_start","x":"`+strings.Repeat("x", maxEvent)+`"}`, `{"type":"response.completed","response":{"model":"m","usage":{"input_tokens":1}}}`),
			Found{Models: []record.Model{{Provider: "openai", Model: "m", InputTokens: 1}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 7, 4096} {
				if len(c.answer)+len(c.request) > 100_000 && n < 4096 {
					continue
				}
				if got := exchange(t, c.request, c.kind, c.answer, n); !reflect.DeepEqual(got, c.want) {
					t.Errorf("in pieces of %d:\ngot  %+v\nwant %+v", n, got, c.want)
				}
			}
		})
	}
}

func TestMerge(t *testing.T) {
	list := []record.Tool{{ID: "a", Kind: KindOpenAI, Start: 10}, {ID: "b", Kind: KindOpenAI, Start: 10}}
	rest := Merge(list, []record.Tool{{ID: "b", Kind: KindOpenAI, Result: "r"}, {ID: "z", Kind: KindOpenAI, Name: "z"}}, 25)
	if list[1].Result != "r" || list[1].Millis != 15 || list[0].Result != "" || len(rest) != 1 || rest[0].ID != "z" {
		t.Errorf("%+v, rest %+v", list, rest)
	}
}

func TestCost(t *testing.T) {
	cached := 1.0
	p := Prices{"gpt": {Input: 2, Output: 8}, "gpt-x": {Input: 4, CachedInput: &cached, Output: 16}}
	for _, c := range []struct {
		m    record.Model
		want float64
	}{
		{record.Model{Model: "gpt-x-2026", InputTokens: 1_000_000, CachedTokens: 500_000, OutputTokens: 1_000_000}, 2 + 0.5 + 16},
		{record.Model{Model: "gpt-y", InputTokens: 1_000_000, CachedTokens: 500_000}, 2},
		{record.Model{Model: "other", InputTokens: 1_000_000}, 0},
	} {
		if got := p.Cost(c.m); got != c.want {
			t.Errorf("%+v: %v, want %v", c.m, got, c.want)
		}
	}
}

func FuzzExchange(f *testing.F) {
	f.Add(`{"method":"tools/call","id":1,"params":{"name":"x"}}`, sse(`{"type":"message_start","message":{"model":"m","usage":{}}}`), true)
	f.Add(`{"messages":[{"role":"tool","tool_call_id":"x"}]}`, `{"choices":[{}],"model":"m","usage":{"prompt_tokens":1}}`, false)
	f.Fuzz(func(t *testing.T, request, answer string, events bool) {
		kind := inJSON
		if events {
			kind = inEvents
		}
		whole := exchange(t, request, kind, answer, 4096)
		if pieces := exchange(t, request, kind, answer, 3); !reflect.DeepEqual(whole, pieces) {
			t.Errorf("whole %+v, in pieces %+v", whole, pieces)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	event := sse(`{"object":"chat.completion.chunk","model":"gpt-x","choices":[{"delta":{"content":"word "}}]}`)
	answer := strings.Repeat(event, 10_000)
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		x := &Exchange{Text: func(s string) string { return s }}
		body := x.Response(inEvents, "", io.NopCloser(strings.NewReader(answer)), func(Found) {})
		if _, err := io.Copy(io.Discard, body); err != nil {
			b.Fatal(err)
		}
	}
}
