package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const outboundAgent = `export default { async fetch(request) {
	const q = new URL(request.url).searchParams;
	const init = q.has("body") ? { method: "POST", body: q.get("body") } : { headers: { "Signature-Agent": '"https://somebody.example"', "X-Note": q.get("note") ?? "" } };
	try { return await fetch(q.get("to"), init); }
	catch (e) { return new Response(e.code + " " + e.rule + ": " + e.message, { status: 599 }); }
} }`

// TestOutboundRules holds what code sends to rules of the policy's own.
func TestOutboundRules(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	o := newOutside(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("Authorization") + " " + string(b)
	})
	rules := `SecRule REQUEST_HEADERS:X-Note "@contains forbidden" "id:100,phase:1,deny,msg:'a forbidden note'"
SecRule REQUEST_BODY "@contains confidential" "id:101,phase:2,deny,msg:'confidential text'"
SecRule REQUEST_HEADERS:Authorization "@rx ." "id:102,phase:1,deny,msg:'rules see credentials'"
`
	s := newServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`egress out {
	allow %s {
		inject bearer {secret.api}
		inject_over_http
	}
	allow_ip 127.0.0.1
	waf ./outbound.conf
}
agent caller {
	main ./caller.ts
	egress out
}`, o.host()), "log\nagent caller"),
		"caller.ts": outboundAgent, "outbound.conf": rules,
	})
	s.must("outbound-credential-0123456789", "gatehouse", "secret", "put", "api")
	s.start()
	to := "/?to=" + o.URL
	s.get(to+"/a%3Fb%3Dc&note=fine", 200)
	want(t, "what arrived", <-got, "Bearer outbound-credential-0123456789 ")
	s.get(to+"&body=public", 200)
	want(t, "what arrived", <-got, "Bearer outbound-credential-0123456789 public")
	mustContain(t, "a header", s.get(to+"&note=forbidden", 599), "EGRESS_DENIED waf", "100, a forbidden note")
	mustContain(t, "a body", s.get(to+"&body=this+is+confidential", 599), "EGRESS_DENIED waf", "101, confidential text")
	if n := len(got); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	r := s.waitFull("the record", func(r fullRecord) bool { return len(r.Calls) == 1 && r.Calls[0].Rule == "waf" })
	want(t, "the decision", r.Calls[0].Decision, "refuse")

	// A reload picks up changed rules, and refuses what is none.
	at := fmt.Sprintf("127.0.0.1:%d", s.admin)
	s.write("outbound.conf", "SecRule REQUEST_METHOD \"@streq GET\" \"id:103,phase:1,deny,msg:'no more'\"\n")
	s.must("", "reload", "--force", "--config", "Caddyfile", "--address", at)
	mustContain(t, "after the reload", s.get(to, 599), "103, no more")
	s.write("outbound.conf", "SecRule NOTHING\n")
	if _, errs, err := s.command("", "reload", "--force", "--config", "Caddyfile", "--address", at); err == nil || !strings.Contains(errs, "outbound.conf") {
		t.Errorf("what is no rule: %v %s", err, errs)
	}
	mustContain(t, "the rules before", s.get(to, 599), "103, no more")
}

// TestSignedRequests has what code sends signed, and a site of the same server verify it by the directory that another one serves.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t, map[string]string{"caller.ts": outboundAgent})
	directory, verifier := freePort(t), freePort(t)
	s.write("Caddyfile", site(fmt.Sprintf(`egress out {
	allow 127.0.0.1:%d
	allow_ip 127.0.0.1
	sign http://127.0.0.1:%d
}
agent caller {
	main ./caller.ts
	egress out
}`, verifier, directory), "log\nagent caller")+fmt.Sprintf(`
http://127.0.0.1:%[1]d {
	key_directory http://127.0.0.1:%[1]d
	respond "elsewhere"
}
http://127.0.0.1:%[2]d {
	identity {
		web_bot_auth {
			allow_ip 127.0.0.1
		}
	}
	respond "it is {http.gatehouse.identity.agent}"
}
`, directory, verifier))
	s.start()
	to := fmt.Sprintf("/?to=http://127.0.0.1:%d/a%%3Fb", verifier)
	for range 3 {
		want(t, "who it is", s.get(to, 200), fmt.Sprintf("it is http://127.0.0.1:%d", directory))
	}
	s.stop()
	s.start()
	// What was signed in the second in which the server started is not believed: it may have been used before.
	s.wait("the same key after a restart", func() bool { return strings.HasPrefix(s.get(to, 200), "it is http") })
	if b, err := os.ReadFile(filepath.Join(s.dir, "data", "secrets.json")); err != nil || strings.Contains(string(b), "BEGIN") {
		t.Errorf("the secrets: %v", err)
	}
	dir, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/.well-known/http-message-signatures-directory", directory))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Body.Close()
	keys, _ := io.ReadAll(dir.Body)
	if dir.Header.Get("Content-Type") != "application/http-message-signatures-directory+json" || dir.Header.Get("Signature") == "" || !strings.Contains(string(keys), `"crv":"Ed25519"`) || strings.Contains(string(keys), `"d":`) {
		t.Errorf("the directory: %v %s", dir.Header, keys)
	}
}
