package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// chained chooses the records of an agent's work for another one.
func (s *server) chained(agent, kind, method string) fullRecord {
	s.t.Helper()
	return s.waitFull("the record of "+agent, func(r fullRecord) bool {
		return r.Agent == agent && r.Kind == kind && r.Method == method && len(r.Chain) > 0
	})
}

func TestServices(t *testing.T) {
	t.Parallel()
	out := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "from outside") })
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("out", out)+fmt.Sprintf(`agent first {
	main ./services.ts
	var NAME first
	var STEP %[1]s
	durable OWN Counter
	durable COUNTER Counter second
	service NEXT second
	service NAMED second Named
	egress out
}
agent second {
	main ./services.ts
	var NAME second
	var STEP %[1]s
	durable COUNTER Counter
	service NEXT first
	service NAMED closed
	limits {
		cpu 1s
		memory 64MiB
	}
}
agent closed {
	main ./services.ts
	callers second
	durable COUNTER Counter
}
`, out.URL), "handle_path /second/* {\n\tagent second\n}\nhandle {\n\tagent first\n}"),
		"services.ts": agentFile(t, "services.ts"),
	})
	for _, c := range []struct{ path, want string }{
		{"/fetch", `[202,"second","second /path body"]`},
		{"/call", `3`},
		{"/who", `"second"`},
		{"/session", `["second: one","second: two"]`},
		{"/pipelined", `["second: hello"]`},
		{"/named", `{}`},
		{"/namedfetch", `"second named first"`},
		{"/later", `"now"`},
		{"/boom", `"RangeError: no further"`},
		{"/exports", `{"by":"first"}`},
		{"/actor", `[2,["actor: hi"],21]`},
		{"/foreign", `1`},
		{"/second/who", `"first"`},
	} {
		want(t, c.path, strings.TrimSpace(s.get(c.path, 200)), c.want)
	}

	t.Run("the callee's record", func(t *testing.T) {
		r := s.chained("second", "fetch", "POST")
		want(t, "path", r.Path, "/path")
		want(t, "status", r.Status, 202)
		want(t, "outcome", r.Outcome, "ok")
		want(t, "chain", fmt.Sprint(r.Chain), "[{first   POST }]")
		caller := s.waitFull("the caller's record", ofPath("/fetch"))
		want(t, "the trace", r.TraceID, caller.ID)
		want(t, "the client", r.ClientIP, "127.0.0.1")
		if len(caller.Calls) != 1 || caller.Calls[0].Kind != "service" || caller.Calls[0].Host != "second" || caller.Calls[0].Status != 202 {
			t.Errorf("the caller's calls: %+v", caller.Calls)
		}
		boom := s.chained("second", "call", "boom")
		want(t, "outcome of what threw", boom.Outcome, "exception")
		if len(boom.Exceptions) != 1 || !strings.Contains(boom.Exceptions[0].Stack, "services.ts:") {
			t.Errorf("its exception: %+v", boom.Exceptions)
		}
		later := s.chained("second", "call", "later")
		if len(later.Logs) != 1 || later.Logs[0].Message != "after the answer" {
			t.Errorf("what it did after its answer: %+v", later.Logs)
		}
	})
	t.Run("its own egress policy", func(t *testing.T) {
		mustContain(t, "the answer", s.get("/outward", 200), "EgressError")
		r := s.chained("second", "call", "outward")
		if len(r.Calls) != 1 || r.Calls[0].Kind != "egress" || r.Calls[0].Decision != "refuse" {
			t.Errorf("its calls: %+v", r.Calls)
		}
	})
	t.Run("its own limits", func(t *testing.T) {
		mustContain(t, "the answer", s.get("/spin", 200), "more CPU time")
		want(t, "its outcome", s.chained("second", "call", "spin").Outcome, "exceededCpu")
		want(t, "the caller's", s.waitFull("the caller's record", ofPath("/spin")).Outcome, "ok")
	})
	t.Run("what is given lasts as long as who was given it", func(t *testing.T) {
		want(t, "kept", strings.TrimSpace(s.get("/keep", 200)), `"kept"`)
		want(t, "used in another event", strings.TrimSpace(s.get("/use", 200)), `["second: later"]`)
		want(t, "used again", strings.TrimSpace(s.get("/use", 200)), `["second: later","second: later"]`)
		want(t, "a function", strings.TrimSpace(s.get("/remember", 200)), `"remembered"`)
		s.wait("its caller has ended", func() bool { return strings.Contains(s.get("/recall", 200), "has ended") })
		// The session that a request was given ended with it, or its record would be open still.
		want(t, "outcome of a session", s.chained("second", "call", "session").Outcome, "ok")
	})
	t.Run("its own memory", func(t *testing.T) {
		mustContain(t, "the answer", s.get("/eat", 200), "Error: ", "memory")
		want(t, "its outcome", s.chained("second", "call", "eat").Outcome, "exceededMemory")
		want(t, "the next call", strings.TrimSpace(s.get("/call", 200)), "3")
	})
	t.Run("an answer that is handed on", func(t *testing.T) {
		want(t, "a stream", s.get("/proxy", 200), "part 0\npart 1\npart 2\npart 3\npart 4\n")
		want(t, "the callee's outcome", s.waitFull("its record", func(r fullRecord) bool { return r.Agent == "second" && r.Path == "/stream" }).Outcome, "ok")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, _, err := websocket.Dial(ctx, s.url("/socket"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		for i := range 3 {
			if err := conn.Write(ctx, websocket.MessageText, []byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			_, data, err := conn.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "a socket", string(data), fmt.Sprintf("second heard %d", i))
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		want(t, "the outcome of the socket's agent", s.waitFull("its record", func(r fullRecord) bool { return r.Agent == "second" && r.Path == "/end" }).Outcome, "ok")
	})
	t.Run("answers that nobody reads", func(t *testing.T) {
		want(t, "statuses", strings.TrimSpace(s.get("/ignored", 200)), "[101,200]")
		s.waitFull("the record of the socket", func(r fullRecord) bool { return r.Agent == "second" && r.Path == "/unheard" })
	})
	t.Run("a circle", func(t *testing.T) {
		mustContain(t, "the answer", s.get("/circle", 200), "in a circle: first -> second -> first")
		r := s.waitFull("the deepest record", func(r fullRecord) bool { return r.Agent == "second" && len(r.Calls) == 1 && r.Calls[0].Rule == "chain" })
		if len(r.Chain) != 1 || !strings.Contains(r.Calls[0].Error, "in a circle") {
			t.Errorf("it: %+v", r)
		}
	})
}

// TestCallers wants a configuration to be refused in which an agent is bound that does not admit it.
func TestCallers(t *testing.T) {
	t.Parallel()
	const config = `agent caller {
	main ./caller.ts
	service CLOSED closed
	durable ACTORS Counter closed
}
agent other {
	main ./caller.ts
	service CLOSED open
	durable ACTORS Counter open
}
agent open {
	main ./services.ts
	durable COUNTER Counter
}
agent closed {
	main ./services.ts
	durable COUNTER Counter
	%s
}
`
	s := newServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(config, "callers other"), "agent caller"),
		"caller.ts": `export default { async fetch(request: Request, env: any) {
	const caught = async (p: Promise<unknown>) => { try { return await p } catch (e: any) { return e.message } };
	return Response.json([await caught(env.CLOSED.add(1, 2)), await caught(env.ACTORS.getByName("a").add(1))]);
} };`,
		"services.ts": agentFile(t, "services.ts"),
	})
	_, errs, err := s.command("", "validate", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Fatal("the configuration is accepted")
	}
	mustContain(t, "the refusal", lastError(t, errs), "durable ACTORS", "agent closed takes no calls of it", "callers")

	s.write("Caddyfile", site(fmt.Sprintf(config, "callers caller"), "agent caller"))
	s.start()
	want(t, "admitted", strings.TrimSpace(s.get("/", 200)), `[3,1]`)
}
