package agentruntime

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestEventSource(t *testing.T) {
	var seen []string
	stream := func(_ context.Context, _ Target, req *Request) (*Response, error) {
		seen = append(seen, req.Header.Get("Accept")+" "+req.Header.Get("Last-Event-Id"))
		body := "\ufeffretry: 10\n: comment\n\nid: 7\ndata: one\r\ndata:two\r\revent: special\ndata\n\nid: 8\n\ndata: lost at the end"
		kind := "text/event-stream;charset=utf-8"
		if len(seen) > 1 {
			body, kind = "no", "text/plain"
		}
		return &Response{Status: 200, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
	a := newAgent(t, `export default { async fetch() {
		const log = [], e = new EventSource("https://events.example/s#frag");
		log.push(e.readyState, EventSource.CONNECTING, e.OPEN, e.url, e.withCredentials);
		e.onopen = () => log.push("open");
		e.onmessage = m => log.push(JSON.stringify([m.data, m.lastEventId, m.origin, m.type]));
		e.addEventListener("special", m => log.push("special:" + m.data));
		await new Promise(done => { e.onerror = ev => { log.push("error" + e.readyState + (ev.message || "")); if (e.readyState === 2) done() } });
		return new Response(log.join("\n"));
	} }`, Config{})
	synctest.Test(t, func(t *testing.T) {
		body, _, err, _ := answer(t, a.Fetch(t.Context(), &testHost{fetch: stream}, get("/")))
		if err != nil {
			t.Fatal(err)
		}
		want := "0\n0\n1\nhttps://events.example/s#frag\nfalse\nopen\n" + `["one\ntwo","7","https://events.example","message"]` +
			"\nspecial:\nerror0\nerror2EventSource got an answer with the status 200 and the content type 'text/plain'."
		if body != want {
			t.Errorf("got  %q\nwant %q", body, want)
		}
	})
	if got := strings.Join(seen, "|"); got != "text/event-stream |text/event-stream 8" {
		t.Errorf("the requests were %q", got)
	}
}

func TestEventSourceOfStream(t *testing.T) {
	runStreamCases(t, []webCase{
		{"chunks that cut lines", `const e = EventSource.from(ReadableStream.from(['da', 'ta: a\r', '\ndata: b\n', '\n', 'data: c\n\n'].map(enc))); const got = []; e.onmessage = m => got.push(m.data); await new Promise(d => e.onerror = d); return JSON.stringify(got) + e.readyState`, `["a\nb","c"]2`},
		{"close in the midst", `let why = 'open'; const e = EventSource.from(new ReadableStream({pull(c){ c.enqueue(enc('data: x\n\n')) }, cancel(){ why = 'cancelled' }})); await new Promise(d => e.onmessage = () => { e.close(); d() }); await tick(); return why + e.readyState`, "cancelled2"},
		{"not an address", `try { new EventSource('nowhere') } catch (e) { return e.name }`, "SyntaxError"},
	})
}
