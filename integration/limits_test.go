package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestLimitsInTheRecord passes each limit of an invocation and looks at what the client and the record are told. That CPU and
// wall time end an invocation is for TestEndlessLoopStopsWhileOthersGoOn and TestWallLimit to show.
func TestLimitsInTheRecord(t *testing.T) {
	t.Parallel()
	out := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) })
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("out", out)+"agent limited {\n main ./agent.ts\n egress out\n var OUT "+out.URL+`
			limits {
				cpu 10s
				subrequests 3
				connections 1
				request_body 1KiB
				response_body 1KiB
				logs 100
			}
		}`, "agent limited"),
		"agent.ts": `
export default {
	async fetch(request: Request, env: any): Promise<Response> {
		switch (new URL(request.url).pathname) {
		case "/subrequests":
			for (let i = 0; i < 4; i++) await fetch(env.OUT);
			break;
		case "/connections":
			return new Response(String((await Promise.all([fetch(env.OUT), fetch(env.OUT), fetch(env.OUT)])).length));
		case "/request":
			await request.text();
			break;
		case "/response":
			return new Response("x".repeat(1025));
		case "/stream":
			return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(100)); } }));
		case "/logs":
			for (let i = 0; i < 100; i++) console.log("0123456789");
		}
		return new Response("ok");
	},
};
`,
	})
	for _, c := range []struct {
		path, body string
		status     int
		outcome    string
		exception  string
		check      func(r loggedRecord)
	}{
		{path: "/connections", status: 200, outcome: "ok", check: func(r loggedRecord) { want(t, "subrequests", r.Subrequests, 3) }},
		{path: "/subrequests", status: 500, outcome: "exception", exception: "too many subrequests", check: func(r loggedRecord) {
			want(t, "subrequests", r.Subrequests, 3)
			want(t, "calls", len(r.Calls), 3)
		}},
		{path: "/request", body: strings.Repeat("x", 1025), status: 413, outcome: "refused"},
		{path: "/response", status: 500, outcome: "exception", exception: "larger than the limit of 1024 bytes"},
		{path: "/stream", status: 200, outcome: "exception", exception: "larger than the limit of 1024 bytes", check: func(r loggedRecord) { want(t, "bytes", r.Bytes, 1024) }},
		{path: "/logs", status: 200, outcome: "ok", check: func(r loggedRecord) {
			want(t, "logs", len(r.Logs), 10)
			want(t, "logs dropped", r.LogsDropped, 90)
		}},
	} {
		t.Run(c.path[1:], func(t *testing.T) {
			resp, _, err := s.try("POST", c.path, c.body)
			if c.path == "/stream" {
				if err == nil {
					t.Error("the client did not see that the answer broke off")
				}
			} else if err != nil {
				t.Fatal(err)
			} else {
				want(t, "status", resp.StatusCode, c.status)
			}
			r := s.waitRecord("the record of "+c.path, func(r loggedRecord) bool { return r.Path == c.path })
			want(t, "status in the record", r.Status, c.status)
			want(t, "outcome", r.Outcome, c.outcome)
			if c.exception != "" && (len(r.Exceptions) != 1 || !strings.Contains(r.Exceptions[0].Message, c.exception)) {
				t.Errorf("exceptions %+v, want one with %q", r.Exceptions, c.exception)
			}
			if c.check != nil {
				c.check(r)
			}
		})
	}
}
