package toolcall

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-edge/gatehouse/record"
)

// The kinds of tools.
const (
	KindMCP       = "mcp"
	KindOpenAI    = "openai"
	KindAnthropic = "anthropic"
	KindCode      = "code"
)

// rpc is a message of JSON-RPC 2.0, as MCP has them.
type rpc struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"params"`
	Result *struct {
		IsError bool            `json:"isError"`
		Content json.RawMessage `json:"content"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// rpcs reads one message, or a batch of them.
func rpcs(data []byte) []rpc {
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		var list []rpc
		_ = json.Unmarshal(data, &list)
		return list[:min(len(list), maxFound)]
	}
	var one rpc
	if json.Unmarshal(data, &one) != nil {
		return nil
	}
	return []rpc{one}
}

// readRequest reads the request's body, once.
func (x *Exchange) readRequest() {
	data := x.request.buf.Bytes()
	if x.calls != nil || len(data) == 0 {
		return
	}
	x.calls = map[string]*record.Tool{}
	switch {
	case bytes.Contains(data, []byte(`tools/call`)):
		for _, m := range rpcs(data) {
			if m.Method != "tools/call" || m.Params.Name == "" || len(x.order) >= maxFound {
				continue
			}
			id := string(m.ID)
			if x.calls[id] == nil {
				x.order = append(x.order, id)
			}
			x.calls[id] = &record.Tool{Name: x.name(m.Params.Name), Kind: KindMCP, ID: x.name(strings.Trim(id, `"`)), Arguments: x.text(m.Params.Arguments)}
		}
	case bytes.Contains(data, []byte(`tool_call_id`)), bytes.Contains(data, []byte(`tool_result`)), bytes.Contains(data, []byte(`function_call_output`)):
		x.readResults(data)
	}
}

// name is a tool's or a model's.
func (x *Exchange) name(s string) string { return x.clean(s[:min(len(s), 256)]) }

func (x *Exchange) clean(s string) string {
	if x.Redact == nil {
		return s
	}
	return x.Redact(s)
}

func (x *Exchange) text(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return x.Text(string(raw))
}

// turn is a message or an item of a request to a model.
type turn struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCallID string          `json:"tool_call_id"`
	ToolCalls  []struct {
		ID       string   `json:"id"`
		Function function `json:"function"`
	} `json:"tool_calls"`

	Type   string          `json:"type"`
	CallID string          `json:"call_id"`
	Name   string          `json:"name"`
	Output json.RawMessage `json:"output"`
}

type function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// block is a part of Anthropic's content.
type block struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

// readResults reads what tools gave since the model's last answer: what is before it was seen before.
func (x *Exchange) readResults(data []byte) {
	var req struct {
		Messages []turn          `json:"messages"`
		Input    json.RawMessage `json:"input"`
	}
	if json.Unmarshal(data, &req) != nil {
		return
	}
	turns := req.Messages
	if len(turns) == 0 && json.Unmarshal(req.Input, &turns) != nil {
		return
	}
	names := map[string]string{}
	last := -1
	for i, t := range turns {
		switch {
		case t.Type == "function_call":
			names[t.CallID], last = t.Name, i
		case t.Role == "assistant":
			last = i
			for _, c := range t.ToolCalls {
				names[c.ID] = c.Function.Name
			}
			for _, b := range blocks(t.Content) {
				if b.Type == "tool_use" {
					names[b.ID] = b.Name
				}
			}
		}
	}
	add := func(kind, id string, content json.RawMessage, failed bool) {
		if id == "" || len(x.found.Results) >= maxFound {
			return
		}
		t := record.Tool{Name: x.name(names[id]), Kind: kind, ID: id, Result: x.text(content)}
		if failed {
			t.Error = "the agent says that it failed"
		}
		x.found.Results = append(x.found.Results, t)
	}
	for _, t := range turns[last+1:] {
		switch {
		case t.Type == "function_call_output":
			add(KindOpenAI, t.CallID, t.Output, false)
		case t.Role == "tool":
			add(KindOpenAI, t.ToolCallID, t.Content, false)
		default:
			for _, b := range blocks(t.Content) {
				if b.Type == "tool_result" {
					add(KindAnthropic, b.ToolUseID, b.Content, b.IsError)
				}
			}
		}
	}
}

func blocks(content json.RawMessage) (list []block) {
	if len(content) > 0 && content[0] == '[' {
		_ = json.Unmarshal(content, &list)
	}
	return list
}

// usage has the counts of all three forms.
type usage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	PromptMore struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`

	Input     int64 `json:"input_tokens"`
	Output    int64 `json:"output_tokens"`
	InputMore struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
}

// model is the counts as the record has them: Anthropic's input leaves out what came from the cache, OpenAI's has it in it.
func (u usage) model(provider, name string) record.Model {
	return record.Model{
		Provider: provider, Model: name,
		InputTokens:  u.Prompt + u.Input + u.CacheRead + u.CacheWrite,
		OutputTokens: u.Completion + u.Output,
		CachedTokens: u.PromptMore.Cached + u.InputMore.Cached + u.CacheRead,
	}
}

// reply is a model's answer in any of the forms.
type reply struct {
	Object string `json:"object"`
	Type   string `json:"type"`
	Model  string `json:"model"`
	Usage  *usage `json:"usage"`

	Choices []struct {
		Message struct {
			ToolCalls []struct {
				ID       string   `json:"id"`
				Function function `json:"function"`
			} `json:"tool_calls"`
		} `json:"message"`
	} `json:"choices"`

	Output []struct {
		Type      string `json:"type"`
		CallID    string `json:"call_id"`
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"output"`

	Content []block `json:"content"`
}

// answer reads a whole answer, or one event of MCP.
func (x *Exchange) answer(data []byte) {
	x.readRequest()
	if len(x.calls) > 0 {
		for _, m := range rpcs(data) {
			t := x.calls[string(m.ID)]
			switch {
			case t == nil || m.Method != "":
			case m.Error != nil:
				t.Error = x.short(m.Error.Message)
			case m.Result != nil:
				t.Result = x.text(m.Result.Content)
				if m.Result.IsError {
					t.Error = "the tool says that it failed"
				}
			}
		}
		return
	}
	if !bytes.Contains(data, []byte(`"usage"`)) && !bytes.Contains(data, []byte(`"tool_calls"`)) {
		return
	}
	var r reply
	if json.Unmarshal(data, &r) == nil {
		x.reply(&r)
	}
}

// short is an error's message, which the record holds as it is.
func (x *Exchange) short(message string) string {
	return x.clean(message[:min(len(message), 1024)])
}

func (x *Exchange) reply(r *reply) {
	provider := ""
	switch {
	case r.Type == "message" && r.Model != "":
		provider = KindAnthropic
		for _, b := range r.Content {
			if b.Type == "tool_use" {
				x.addTool(record.Tool{Name: x.name(b.Name), Kind: KindAnthropic, ID: b.ID, Arguments: x.text(b.Input)})
			}
		}
	case r.Object == "response", len(r.Choices) > 0 && r.Model != "":
		provider = KindOpenAI
		for _, c := range r.Choices {
			for _, t := range c.Message.ToolCalls {
				x.addTool(record.Tool{Name: x.name(t.Function.Name), Kind: KindOpenAI, ID: t.ID, Arguments: x.text(json.RawMessage(t.Function.Arguments))})
			}
		}
		for _, o := range r.Output {
			if o.Type == "function_call" {
				x.addTool(record.Tool{Name: x.name(o.Name), Kind: KindOpenAI, ID: o.CallID, Arguments: x.text(json.RawMessage(o.Arguments))})
			}
		}
	default:
		return
	}
	if r.Usage != nil {
		x.found.Models = append(x.found.Models, r.Usage.model(provider, x.name(r.Model)))
	}
}

// Merge puts results where the tool of the same id is among list, and returns the rest.
func Merge(list []record.Tool, results []record.Tool, now float64) (rest []record.Tool) {
	for _, r := range results {
		at := slices.IndexFunc(list, func(t record.Tool) bool { return t.ID == r.ID && t.Kind == r.Kind && t.Result == "" && t.Error == "" })
		if at < 0 {
			rest = append(rest, r)
			continue
		}
		list[at].Result, list[at].Error = r.Result, r.Error
		list[at].Millis = max(0, now-list[at].Start)
	}
	return rest
}
