package toolcall

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-edge/gatehouse/record"
)

// stream reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) as they pass. Only data
// counts: the forms of models repeat their events' names in it.
type stream struct {
	x    *Exchange
	line bytes.Buffer
	data bytes.Buffer
	over bool // the event is longer than is read

	provider, model string
	usage           usage
	used            bool
	parts           map[int]*part
	whole           bool // response.completed has told all
}

// part is a tool call whose arguments come bit by bit.
type part struct {
	id, name  string
	arguments strings.Builder
}

func newStream(x *Exchange) *stream { return &stream{x: x, parts: map[int]*part{}} }

func (s *stream) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.keep(&s.line, p)
			return
		}
		s.keep(&s.line, p[:i])
		s.endLine(bytes.TrimSuffix(s.line.Bytes(), []byte("\r")))
		s.line.Reset()
		p = p[i+1:]
	}
}

func (s *stream) keep(b *bytes.Buffer, p []byte) {
	if b.Len()+len(p) > maxEvent {
		s.over = true
		return
	}
	b.Write(p)
}

func (s *stream) endLine(line []byte) {
	if len(line) == 0 {
		if s.data.Len() > 0 && !s.over {
			s.event(s.data.Bytes())
		}
		s.data.Reset()
		s.over = false
		return
	}
	if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
		if s.data.Len() > 0 {
			s.data.WriteByte('\n')
		}
		s.keep(&s.data, bytes.TrimPrefix(data, []byte(" ")))
	}
}

// event is one event of any of the forms.
type event struct {
	Type     string `json:"type"`
	Model    string `json:"model"`
	Usage    *usage `json:"usage"`
	Response *reply `json:"response"`
	Message  *reply `json:"message"`
	Index    int    `json:"index"`

	Choices []struct {
		Delta struct {
			ToolCalls []struct {
				Index    int      `json:"index"`
				ID       string   `json:"id"`
				Function function `json:"function"`
			} `json:"tool_calls"`
		} `json:"delta"`
	} `json:"choices"`

	ContentBlock *block `json:"content_block"`
	Delta        struct {
		PartialJSON string `json:"partial_json"`
	} `json:"delta"`
	Item *struct {
		Type      string `json:"type"`
		CallID    string `json:"call_id"`
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"item"`
}

func (s *stream) event(data []byte) {
	x := s.x
	x.readRequest()
	if len(x.calls) > 0 {
		x.answer(data)
		return
	}
	// Most events are a few letters of text, and are not read.
	if !bytes.Contains(data, []byte(`tool_`)) && !bytes.Contains(data, []byte(`"usage":{`)) && !bytes.Contains(data, []byte(`"usage": {`)) &&
		!bytes.Contains(data, []byte(`function_call`)) && !bytes.Contains(data, []byte(`partial_json`)) {
		return
	}
	var e event
	// Anthropic's delta is an object, and OpenAI's Responses have texts of that name: a part that does not fit leaves the rest.
	_ = json.Unmarshal(data, &e)
	switch e.Type {
	case "message_start":
		if e.Message != nil {
			s.provider, s.model = KindAnthropic, e.Message.Model
			if u := e.Message.Usage; u != nil {
				s.usage, s.used = *u, true
			}
		}
	case "content_block_start":
		if b := e.ContentBlock; b != nil && b.Type == "tool_use" {
			s.part(e.Index, b.ID, b.Name, "")
		}
	case "content_block_delta":
		s.part(e.Index, "", "", e.Delta.PartialJSON)
	case "message_delta":
		if e.Usage != nil {
			s.usage.Output, s.used = e.Usage.Output, true
		}
	case "response.completed", "response.incomplete", "response.failed":
		if e.Response != nil {
			s.whole = true
			e.Response.Object = "response"
			x.reply(e.Response)
		}
	case "response.output_item.done":
		if i := e.Item; i != nil && i.Type == "function_call" {
			s.provider = KindOpenAI
			s.part(e.Index+len(s.parts), i.CallID, i.Name, i.Arguments)
		}
	case "":
		if e.Model != "" {
			s.provider, s.model = KindOpenAI, e.Model
		}
		if e.Usage != nil {
			s.usage, s.used = *e.Usage, true
		}
		for _, c := range e.Choices {
			for _, t := range c.Delta.ToolCalls {
				s.part(t.Index, t.ID, t.Function.Name, t.Function.Arguments)
			}
		}
	}
}

// part adds to the tool call of that number.
func (s *stream) part(index int, id, called, arguments string) {
	p := s.parts[index]
	if p == nil {
		if called == "" || len(s.parts) >= maxFound {
			return
		}
		p = &part{}
		s.parts[index] = p
	}
	if id != "" {
		p.id = id
	}
	if called != "" {
		p.name = s.x.name(called)
	}
	if p.arguments.Len()+len(arguments) <= maxEvent {
		p.arguments.WriteString(arguments)
	}
}

// end tells what came in parts.
func (s *stream) end() {
	if s.data.Len() > 0 && !s.over {
		s.event(s.data.Bytes())
	}
	if s.whole || s.provider == "" && len(s.parts) == 0 {
		return
	}
	for _, i := range slices.Sorted(maps.Keys(s.parts)) {
		p := s.parts[i]
		s.x.addTool(record.Tool{Name: p.name, Kind: s.provider, ID: p.id, Arguments: s.x.text(json.RawMessage(p.arguments.String()))})
	}
	if s.used {
		s.x.found.Models = append(s.x.found.Models, s.usage.model(s.provider, s.x.name(s.model)))
	}
}
