package throttle

import (
	"strings"
	"testing"
)

// feed gives the meter text in parts of n bytes and returns what had passed when the cost first went over limit.
func feed(m *Meter, text string, n int, limit int64) string {
	var passed strings.Builder
	for p := []byte(text); len(p) > 0; {
		part := p[:min(n, len(p))]
		p = p[len(part):]
		for len(part) > 0 {
			free, cost := m.Scan(part)
			passed.Write(part[:free])
			if free == len(part) {
				break
			}
			if cost > limit {
				return passed.String()
			}
			passed.WriteByte(part[free])
			part = part[free+1:]
		}
	}
	return passed.String()
}

func TestMeter(t *testing.T) {
	const stream, object = "text/event-stream; charset=utf-8", "application/json"
	openai := "data: {\"choices\":[]}\n\ndata: {\"choices\":[],\"usage\":{\"total_tokens\":57}}\n\ndata: [DONE]\n\n"
	anthropic := "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\n" +
		"event: message_delta\ndata: {\"usage\":{\"output_tokens\":5}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":9}}\n\n"
	for _, test := range []struct {
		name, media, text string
		paths             []string
		limit             int64
		passes            string // what passes within limit; empty: all
		cost              int64
		known             bool
	}{
		{name: "events", media: stream, text: "data: a\n\ndata: b\n\n", limit: 9, cost: 2, known: true},
		{name: "events over the limit", media: stream, text: "data: a\n\ndata: b\n\ndata: c\n\n", limit: 1, passes: "data: a\n\ndata: b\n", cost: 2, known: true},
		{name: "lines end in CRLF", media: stream, text: "data: a\r\n\r\ndata: b\r\n\r\n", limit: 1, passes: "data: a\r\n\r\ndata: b\r\n", cost: 2, known: true},
		{name: "lines end in CR", media: stream, text: "data: a\r\rdata: b\r\r", limit: 1, passes: "data: a\r\rdata: b\r", cost: 2, known: true},
		{name: "comments and empty lines are free", media: stream, text: ": ping\n\n\n\nevent: x\n\ndata\n\n", limit: 9, cost: 1, known: true},
		{name: "several lines of data", media: stream, text: "data: {\ndata: \"n\":\ndata: 4}\n\n", paths: []string{"n"}, limit: 9, cost: 4, known: true},
		{name: "an event that does not end", media: stream, text: "data: a\n\ndata: b\n", limit: 9, cost: 1, known: true},
		{name: "a total in the last event", media: stream, text: openai, paths: []string{"usage.total_tokens"}, limit: 57, cost: 57, known: true},
		{name: "a total over the limit", media: stream, text: openai, paths: []string{"usage.total_tokens"}, limit: 56,
			passes: strings.TrimSuffix(openai, "\ndata: [DONE]\n\n"), cost: 57, known: true},
		{name: "parts that add up", media: stream, text: anthropic, paths: []string{"message.usage.input_tokens", "usage.output_tokens"}, limit: 99, cost: 29, known: true},
		{name: "usage that grows", media: stream, text: anthropic, paths: []string{"message.usage.input_tokens", "usage.output_tokens"}, limit: 28,
			passes: strings.TrimSuffix(anthropic, "\n"), cost: 29, known: true},
		{name: "no usage is reported", media: stream, text: "data: a\n\ndata: b\n\n", paths: []string{"usage.total_tokens"}, limit: 9, cost: 2, known: true},
		{name: "usage that is no cost", media: stream, text: "data: {\"n\":-5}\n\ndata: {\"n\":1.5}\n\ndata: {\"n\":\"7\"}\n\ndata: {\"n\":1e99}\n\n", paths: []string{"n"}, limit: 9, cost: 4, known: true},
		{name: "a JSON body", media: object, text: `{"id":"x","usage":{"total_tokens":42}}`, paths: []string{"usage.total_tokens"}, limit: 0, cost: 42, known: true},
		{name: "a JSON body without usage", media: object, text: `{"id":"x"}`, paths: []string{"usage.total_tokens"}, limit: 0},
		{name: "a text", media: "text/plain", text: "data: a\n\n", limit: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 3, 7, 1000} {
				m := NewMeter(test.media, test.paths)
				passed := feed(m, test.text, n, test.limit)
				if want := test.passes; want == "" && passed != test.text || want != "" && passed != want {
					t.Fatalf("in parts of %d: %q passed", n, passed)
				}
				if cost, ok := m.Cost(); cost != test.cost || ok != test.known {
					t.Fatalf("in parts of %d: cost %d, %v, want %d, %v", n, cost, ok, test.cost, test.known)
				}
			}
		})
	}
}

func TestMeterIsBounded(t *testing.T) {
	long := strings.Repeat("x", 3*maxUsageBytes)
	for _, media := range []string{"text/event-stream", "application/json"} {
		m := NewMeter(media, []string{"n"})
		feed(m, "data: "+long+"\n\ndata: {\"n\":3}\n\n", 32<<10, MaxCost)
		if cap(m.data) > 2*maxUsageBytes || cap(m.line) > 2*maxUsageBytes {
			t.Errorf("%s: %d and %d bytes are kept", media, cap(m.data), cap(m.line))
		}
	}
}

func FuzzMeter(f *testing.F) {
	f.Add("data: {\"n\":3}\n\n: c\r\n\r\ndata: b\n", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = min(max(n, 1), 1<<16)
		a, b := NewMeter("text/event-stream", []string{"n"}), NewMeter("text/event-stream", []string{"n"})
		if got := feed(a, text, n, 1<<62); got != text {
			t.Fatalf("%q passed of %q", got, text)
		}
		feed(b, text, len(text)+1, 1<<62)
		x, _ := a.Cost()
		if y, _ := b.Cost(); x != y {
			t.Fatalf("%d in parts of %d, %d as a whole", x, n, y)
		}
	})
}
