package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-edge/gatehouse/access"
)

// newSecureOutside is an outside server for https://localhost, whose certificate the file of that path verifies.
func newSecureOutside(t *testing.T, handler http.HandlerFunc) (o *outside, roots string) {
	t.Helper()
	authority := newCertificate(t, "the test's authority", nil)
	cert := newCertificate(t, "localhost", authority)
	roots = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	o = &outside{Server: httptest.NewUnstartedServer(handler)}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	o.Config.ErrorLog = nil
	o.StartTLS()
	t.Cleanup(o.Close)
	return o, roots
}

// proxied is a server with a forward proxy, and the programs that use it.
type proxied struct {
	*server
	plain, secure *outside
	roots         string            // of secure
	secrets       map[string]string // of the clients
	proxyPort     int               // for open
	seenPort      int               // for seen
}

const proxyCredential = "proxy-credential-0123456789"

// newProxied is a proxy for the clients open, whose TLS passes, and seen, whose TLS is intercepted.
func newProxied(t *testing.T) *proxied {
	p := &proxied{secrets: map[string]string{}}
	echo := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s%s auth=%s proxy-auth=%s body=%s", r.Method, r.Host, r.URL, r.Header.Get("Authorization"), r.Header.Get("Proxy-Authorization"), b)
	}
	p.plain = newOutside(t, echo)
	p.secure, p.roots = newSecureOutside(t, echo)
	digests := map[string]string{}
	for _, name := range []string{"open", "seen"} {
		p.secrets[name], digests[name] = access.NewServiceToken()
	}
	global := fmt.Sprintf(`egress tunnels {
	allow %[1]s localhost:%[2]d
	allow_ip 127.0.0.1 ::1
}
egress looks {
	allow localhost:%[2]d {
		methods GET POST
		paths /v1/*
		inject Authorization "Bearer {secret.api}"
		budget 4/h
	}
	allow_ip 127.0.0.1 ::1
	dlp secrets
}`, p.plain.host(), p.secure.port())
	p.proxyPort, p.seenPort = freePort(t), freePort(t)
	p.server = newServer(t, map[string]string{"Caddyfile": site(global, `respond "not a proxy request"`) + fmt.Sprintf(`
http://:%d {
	log
	route {
		egress_proxy tunnels {
			client open %s
		}
		respond "not for a proxy"
	}
}
http://:%d {
	log
	egress_proxy looks {
		client seen %s
		intercept
	}
}
`, p.proxyPort, digests["open"], p.seenPort, digests["seen"])})
	p.environ = []string{"SSL_CERT_FILE=" + p.roots}
	p.must(proxyCredential, "gatehouse", "secret", "put", "api")
	p.start()
	return p
}

// address of the proxy for a client.
func (p *proxied) via(client, secret string) string {
	port := p.proxyPort
	if client == "seen" {
		port = p.seenPort
	}
	return fmt.Sprintf("http://%s:%s@127.0.0.1:%d", client, secret, port)
}

// curl runs curl through the proxy and gives the status of the answer, that of the CONNECT, and the body.
func (p *proxied) curl(client string, args ...string) (status, connect, body string) {
	p.t.Helper()
	args = append([]string{"--silent", "--proxy", p.via(client, p.secrets[client]), "--noproxy", "", "--max-time", "20", "--write-out", "\n%{http_code} %{http_connect}"}, args...)
	out, _ := exec.Command("curl", args...).Output() // a status that curl ends with an error for is in what it writes
	body, codes, _ := strings.Cut(string(out), "\n")
	if i := bytes.LastIndexByte(out, '\n'); i >= 0 {
		body, codes = string(out[:i]), string(out[i+1:])
	}
	status, connect, _ = strings.Cut(codes, " ")
	return status, connect, body
}

func TestForwardProxy(t *testing.T) {
	t.Parallel()
	p := newProxied(t)
	secure := fmt.Sprintf("https://localhost:%d", p.secure.port())

	status, _, body := p.curl("open", p.plain.URL+"/a?b=c", "--data", "text")
	if want := fmt.Sprintf("POST %s/a?b=c auth= proxy-auth= body=text", p.plain.host()); status != "200" || body != want {
		t.Errorf("absolute-form: %s %q, want %q", status, body, want)
	}
	r := p.waitFull("the record of a request", func(r fullRecord) bool { return r.Path == "/a" })
	if r.Subject != "open" || len(r.Calls) != 1 || r.Calls[0].Status != 200 || r.Calls[0].Decision != "allow" {
		t.Errorf("the record: %+v", r)
	}
	status, _, body = p.curl("open", "http://127.0.0.2:1/")
	if status != "403" || !strings.Contains(body, `"code":"EGRESS_DENIED"`) || !strings.Contains(body, "no allow rule names the host") {
		t.Errorf("a refusal: %s %s", status, body)
	}
	status, connect, body := p.curl("open", "--cacert", p.roots, secure+"/x")
	if status != "200" || connect != "200" || !strings.HasPrefix(body, "GET localhost") {
		t.Errorf("a tunnel: %s %s %q", status, connect, body)
	}
	if status, connect, _ := p.curl("open", "https://other.example/"); connect != "403" {
		t.Errorf("a tunnel that is refused: %s %s", status, connect)
	}
	p.waitFull("the record of a tunnel", func(r fullRecord) bool {
		return r.Method == "CONNECT" && len(r.Calls) == 1 && r.Calls[0].Decision == "allow" && r.Calls[0].BytesIn > 0
	})
	p.waitFull("the record of its refusal", func(r fullRecord) bool {
		return r.Method == "CONNECT" && len(r.Calls) == 1 && r.Calls[0].Decision == "refuse" && r.Calls[0].Rule == "default deny"
	})

	// Who is not a client.
	right := p.secrets["open"]
	for _, secret := range []string{"", "wrong", right[1:]} {
		p.secrets["open"] = secret
		if status, _, _ := p.curl("open", p.plain.URL); status != "407" {
			t.Errorf("secret %q: %s", secret, status)
		}
		if _, connect, _ := p.curl("open", secure); connect != "407" {
			t.Errorf("secret %q: %s", secret, connect)
		}
	}
	p.secrets["open"] = right
	if out, err := exec.Command("curl", "--silent", "--noproxy", "*", fmt.Sprintf("http://127.0.0.1:%d/", p.proxyPort)).Output(); err != nil || string(out) != "not for a proxy" {
		t.Errorf("a request that is for no proxy: %s, %v", out, err)
	}

	// The client that is intercepted.
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(p.must("", "gatehouse", "proxy-ca", "seen")), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, body = p.curl("seen", "--cacert", ca, secure+"/v1/x?y=z", "--data", "text")
	if want := fmt.Sprintf("POST localhost:%d/v1/x?y=z auth=Bearer [redacted:api] proxy-auth= body=text", p.secure.port()); status != "200" || body != want {
		t.Errorf("intercepted: %s %q, want %q", status, body, want)
	}
	for what, args := range map[string][]string{
		"another path": {secure + "/v2"}, "another method": {"-X", "DELETE", secure + "/v1/x"}, "another host": {"https://other.example/"},
	} {
		if status, _, body := p.curl("seen", append(args, "--cacert", ca)...); status != "403" || !strings.Contains(body, "EGRESS_DENIED") {
			t.Errorf("%s: %s %s", what, status, body)
		}
	}
	if _, connect, _ := p.curl("seen", "--cacert", p.roots, secure+"/v1/x"); connect != "200" {
		t.Errorf("without trust in the proxy: %s", connect)
	}
	r = p.waitFull("the record of an intercepted tunnel", func(r fullRecord) bool { return r.Method == "CONNECT" && r.Subject == "seen" && len(r.Calls) > 0 })
	if c := r.Calls[0]; c.Method != "POST" || c.Status != 200 {
		t.Errorf("the call: %+v", c)
	}
	p.nowhere(proxyCredential)
}

// TestForwardProxyPython drives the proxy with Python's requests.
func TestForwardProxyPython(t *testing.T) {
	t.Parallel()
	p := newProxied(t)
	secure := fmt.Sprintf("https://localhost:%d", p.secure.port())
	python := func(client, bundle, code string) string {
		t.Helper()
		cmd := exec.Command("python3", "-c", "import requests\n"+code)
		via := p.via(client, p.secrets[client])
		cmd.Env = append(os.Environ(), "HTTPS_PROXY="+via, "HTTP_PROXY="+via, "https_proxy="+via, "http_proxy="+via, "no_proxy=", "NO_PROXY=", "REQUESTS_CA_BUNDLE="+bundle)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	want(t, "a tunnel", python("open", p.roots, fmt.Sprintf("print(requests.get('%s/x').status_code)", secure)), "200")
	want(t, "absolute-form", python("open", p.roots, fmt.Sprintf("print(requests.post('%s/x', data='a').text)", p.plain.URL)), fmt.Sprintf("POST %s/x auth= proxy-auth= body=a", p.plain.host()))
	mustContain(t, "a refusal", python("open", p.roots, `
try: requests.get('https://other.example/')
except requests.exceptions.ProxyError as e: print(e)`), "403 Forbidden")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(p.must("", "gatehouse", "proxy-ca", "seen")), 0o600); err != nil {
		t.Fatal(err)
	}
	// The budget is of four calls; the refusals by path cost nothing.
	mustContain(t, "intercepted, until the budget is spent", python("seen", ca, fmt.Sprintf(`
with requests.Session() as s:
	print(s.get('%[1]s/v2').status_code, [s.get('%[1]s/v1/x').status_code for _ in range(6)], s.get('%[1]s/v1/x').json()['code'])`, secure)),
		"403 [200, 200, 200, 200, 429, 429] EGRESS_BUDGET")
	r := p.waitFull("the record of the session", func(r fullRecord) bool { return r.Subject == "seen" && len(r.Calls) == 8 })
	var decisions []string
	for _, c := range r.Calls {
		decisions = append(decisions, c.Decision+" "+c.Rule)
	}
	rule := fmt.Sprintf("allow localhost:%d", p.secure.port())
	want(t, "decisions", strings.Join(decisions, ", "), strings.Join([]string{
		"refuse " + rule, "allow " + rule, "allow " + rule, "allow " + rule, "allow " + rule, "refuse budget", "refuse budget", "refuse budget",
	}, ", "))
	if c := r.Calls[1]; len(c.Injected) != 1 || c.Injected[0] != "secret.api" {
		t.Errorf("the call: %+v", c)
	}
	p.nowhere(proxyCredential)
}
