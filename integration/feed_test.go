package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestBlocklist has code call what a feed blocks, by name and by address, and a feed that changes while the server runs.
func TestBlocklist(t *testing.T) {
	t.Parallel()
	out := newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	_, port, _ := strings.Cut(out.host(), ":")
	s := startServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`egress fed {
	allow localhost:%[1]s 127.0.0.1:%[1]s
	allow_ip 127.0.0.0/8 ::1
	blocklist ./feed.txt
}
agent caller {
	main ./caller.ts
	egress fed
}`, port), "agent caller"),
		"feed.txt": "# nothing yet\nevil.example\n",
		"caller.ts": `export default { async fetch(request) {
			const url = new URL(request.url).searchParams.get("url");
			try { return new Response(await (await fetch(url)).text()) } catch (e) { return new Response(e.message) }
		} }`,
	})
	call := func(host string) string { return s.get("/?url=http://"+host+":"+port+"/", 200) }
	want(t, "by name", call("localhost"), "reached")
	want(t, "by address", call("127.0.0.1"), "reached")
	s.write("feed.txt", "localhost\n")
	s.wait("the feed to be read anew", func() bool { return strings.Contains(call("LOCALHOST."), "blocklist") })
	mustContain(t, "the refusal", call("localhost"), "the host is in a blocklist", "(rule: blocklist)")
	want(t, "the address that is not in it", call("127.0.0.1"), "reached")
	s.write("feed.txt", "127.0.0.0/8\n::1\n")
	s.wait("the feed to be read anew", func() bool { return strings.Contains(call("127.0.0.1"), "blocklist") })
	for _, host := range []string{"localhost", "127.0.0.1", "127.1", "0x7f000001"} {
		text := call(host)
		if !strings.Contains(text, "egress") || strings.Contains(text, "127.0.0.1 ") {
			t.Errorf("%s: %s", host, text)
		}
	}
	// What cannot be read is logged, and changes nothing; a server would not start with it.
	s.write("feed.txt", "localhost\nnot a feed\n")
	s.wait("the error in the log", func() bool { return strings.Contains(s.logged(), "feed.txt:2") })
	mustContain(t, "after that", call("127.0.0.1"), "blocklist")
	stdout, stderr, err := s.command("", "validate", "--config", "Caddyfile", "--adapter", "caddyfile")
	if err == nil {
		t.Error("a configuration with a feed that cannot be read is valid")
	}
	mustContain(t, "the error", stdout+stderr, "feed.txt:2:", "Caddyfile:")
}
