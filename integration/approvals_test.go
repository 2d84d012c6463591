package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestApprovals(t *testing.T) {
	t.Parallel()
	o := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	agent := `export default { async fetch(request) {
	try { return await fetch(new URL(request.url).searchParams.get("to")); }
	catch (e) { return new Response(e.code + " " + e.rule + ": " + e.message, { status: 599 }); }
} }`
	global := func(hold string) string {
		return fmt.Sprintf("egress out {\n\tallow 127.0.0.1:%[1]d localhost:%[1]d\n\tallow_ip 127.0.0.1 ::1\n\t%[2]s\n}\nagent caller {\n\tmain ./caller.ts\n\tegress out\n}", o.port(), hold)
	}
	s := newServer(t, map[string]string{"Caddyfile": site(global(""), "log\nagent caller"), "caller.ts": agent})
	s.start()
	at := fmt.Sprintf("127.0.0.1:%d", s.admin)
	to := func(host string) string { return fmt.Sprintf("/?to=http://%s:%d/", host, o.port()) }
	approvals := func(args ...string) string {
		return s.must("", append([]string{"gatehouse", "approvals", args[0], "--address", at}, args[1:]...)...)
	}

	mustContain(t, "nothing waits", approvals("list"), "Nothing waits")
	s.get(to("127.0.0.1"), 200)
	s.get(to("127.0.0.1"), 200)
	var first []bool
	s.wait("two records", func() bool {
		first = nil
		for _, r := range s.recordsOf("/") {
			for _, c := range r.Calls {
				first = append(first, c.First)
			}
		}
		return len(first) == 2
	})
	if !first[0] || first[1] {
		t.Errorf("first calls: %v", first)
	}
	mustContain(t, "what was called", approvals("list", "--all"), "caller", "127.0.0.1", "known")

	s.write("Caddyfile", site(global("hold"), "log\nagent caller"))
	s.must("", "reload", "--config", "Caddyfile", "--address", at)
	s.get(to("127.0.0.1"), 200) // it was called before
	before := o.accepted.Load()
	mustContain(t, "a host that is held", s.get(to("localhost"), 599), "EGRESS_HELD hold", "waits for approval")
	type entry struct{ Agent, Host, State string }
	if list := decode[[]entry](t, approvals("list", "--json")); len(list) != 1 || list[0] != (entry{"caller", "localhost", "held"}) {
		t.Errorf("the list: %+v", list)
	}
	want(t, "connections of the call that is held", o.accepted.Load()-before, 0)
	s.stop()
	s.start()
	mustContain(t, "after a restart", approvals("list"), "localhost", "held")
	mustContain(t, "the grant", approvals("grant", "caller", "localhost"), "may call localhost")
	s.get(to("localhost"), 200)
	mustContain(t, "nothing waits", approvals("list"), "Nothing waits")
	mustContain(t, "the denial", approvals("deny", "caller", "localhost"), "kept from calling localhost")
	mustContain(t, "a host that is denied", s.get(to("localhost"), 599), "EGRESS_HELD hold", "somebody has denied this host")
	for _, args := range [][]string{{"grant", "caller", "other.example"}, {"grant", "nobody", "localhost"}} {
		if out, errs, err := s.command("", append([]string{"gatehouse", "approvals", args[0], "--address", at}, args[1:]...)...); err == nil {
			t.Errorf("%v is accepted: %s%s", args, out, errs)
		}
	}

	// A call that waits goes on once it is granted.
	s.write("Caddyfile", site(strings.Replace(global("hold 20s"), "localhost:", "[::1]:", 1), "log\nagent caller"))
	s.must("", "reload", "--config", "Caddyfile", "--address", at)
	answer := make(chan string)
	go func() {
		_, body, err := s.try("GET", to("[::1]"), "")
		answer <- fmt.Sprint(body, err)
	}()
	s.wait("the call to wait", func() bool { return strings.Contains(approvals("list"), "::1") })
	approvals("deny", "caller", "::1")
	select {
	case got := <-answer:
		mustContain(t, "the call", got, "somebody has denied")
	case <-time.After(10 * time.Second):
		t.Error("the call still waits")
	}
}

func TestKVCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t, map[string]string{
		"Caddyfile": site("agent reader {\n\tmain ./reader.ts\n\tkv TOKENS tokens\n}", "agent reader"),
		"reader.ts": `export default { async fetch(request, env) { return new Response(await env.TOKENS.get(new URL(request.url).pathname.slice(1))) } }`,
	})
	s.start()
	kv := func(stdin string, args ...string) string {
		return s.must(stdin, append([]string{"gatehouse", "kv", args[0], "--address", fmt.Sprintf("127.0.0.1:%d", s.admin)}, args[1:]...)...)
	}
	mustContain(t, "put", kv("from a file", "put", "tokens", "a"), "a is put, 11 bytes")
	mustContain(t, "put", kv("", "put", "tokens", "b", "on", "--ttl", "1h", "--metadata", `{"by":"ops"}`), "b is put")
	want(t, "what the code reads", s.get("/a", 200), "from a file")
	want(t, "get", kv("", "get", "tokens", "b"), "on")
	mustContain(t, "get as JSON", kv("", "get", "tokens", "b", "--json"), `"metadata": {`, `"version": "`, `"value": "b24="`)
	list := kv("", "list", "tokens")
	mustContain(t, "list", list, "KEY", "a ", "b ", "ops")
	type page struct{ Keys []struct{ Key string } }
	if got := decode[page](t, kv("", "list", "tokens", "--prefix", "b", "--json")); len(got.Keys) != 1 || got.Keys[0].Key != "b" {
		t.Errorf("the page: %+v", got)
	}
	mustContain(t, "delete", kv("", "delete", "tokens", "a"), "a is deleted")
	for want, args := range map[string][]string{
		`has no key "a"`: {"get", "tokens", "a"}, `no agent of this server is bound to the namespace "other" (there are: tokens)`: {"list", "other"},
		"--metadata is not JSON": {"put", "tokens", "x", "y", "--metadata", "{"}, "at least 60": {"put", "tokens", "x", "y", "--ttl", "5s"},
	} {
		_, errs, err := s.command("", append([]string{"gatehouse", "kv", args[0], "--address", fmt.Sprintf("127.0.0.1:%d", s.admin)}, args[1:]...)...)
		if err == nil || !strings.Contains(errs, want) {
			t.Errorf("%v: %v %s, want %q", args, err, errs, want)
		}
	}
}
