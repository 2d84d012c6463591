package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// oauthServer is npm's oidc-provider, behind a proxy that counts token requests and can meddle with their answers.
type oauthServer struct {
	*outside
	t       *testing.T
	logins  func() string
	asked   atomic.Int64
	answers func(body map[string]any) // changes an answer before the client has it; nil for none
	seed    string
	mu      sync.Mutex
	tokens  []string // access and refresh tokens that it gave
}

const oauthSecret = "the-client-secret-0123456789"

func newOAuthServer(t *testing.T) *oauthServer {
	t.Helper()
	cmd := exec.Command("node", "server.js", "3600")
	cmd.Dir = filepath.Join("testdata", "oauth")
	cmd.Env = append(os.Environ(), "CLIENT_SECRET="+oauthSecret)
	cmd.Stderr = io.Discard // warnings about what tests may do
	in, lines := converse(t, cmd)
	line := func() string {
		for lines.Scan() {
			if !strings.HasPrefix(lines.Text(), "oidc-provider") {
				return lines.Text()
			}
		}
		t.Fatal("the OAuth server has ended")
		return ""
	}
	s := &oauthServer{t: t}
	port, seed, _ := strings.Cut(line(), " ")
	s.seed = seed
	s.logins = func() string {
		fmt.Fprintln(in)
		return line()
	}
	to, err := url.Parse("http://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(resp *http.Response) error {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		var body map[string]any
		if err := json.Unmarshal(b, &body); err != nil {
			return err
		}
		s.mu.Lock()
		for _, name := range []string{"access_token", "refresh_token"} {
			if token, ok := body[name].(string); ok {
				s.tokens = append(s.tokens, token)
			}
		}
		change := s.answers
		s.mu.Unlock()
		if change != nil {
			change(body)
		}
		if b, err = json.Marshal(body); err != nil {
			return err
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		resp.Header.Del("Content-Length")
		return nil
	}
	s.outside = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		proxy.ServeHTTP(w, r)
	})
	return s
}

// client defines a client of the server, whose secret is put as crm.
func (s *oauthServer) client(name string) string {
	return fmt.Sprintf(`oauth %s {
	token_url http://%s/token
	client_id abc
	client_secret {secret.crm}
	grant refresh_token
	scope offline_access read
	allow_ip 127.0.0.1
}
`, name, s.host())
}

func (s *oauthServer) meddle(f func(body map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = f
}

const oauthAgent = `export default { async fetch(request, env) {
	const { pathname, searchParams } = new URL(request.url);
	try {
		if (pathname === "/call") return await fetch(searchParams.get("to"));
		if (pathname === "/say") console.log("the token is", await env.CRM.get());
		return new Response(await env.CRM.get());
	} catch (e) { return new Response(e.name + ": " + e.message, { status: 599 }); }
} }`

// newOAuthAgent is a server whose agent has a client of the OAuth server. Its first refresh token is put.
func newOAuthAgent(t *testing.T, o *oauthServer, api *outside) *server {
	t.Helper()
	s := newServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`%segress out {
	allow %s {
		inject bearer {oauth.crm-login}
		inject_over_http
	}
	allow_ip 127.0.0.1
	dlp secrets
}
agent caller {
	main ./caller.ts
	oauth CRM crm-login
	egress out
	limits {
		wall 60s
	}
}`, o.client("crm-login"), api.host()), "log\nagent caller"),
		"caller.ts": oauthAgent,
	})
	if _, errs, err := s.command("", "validate", "--config", "Caddyfile"); err == nil || !strings.Contains(errs, "caddy gatehouse secret put crm") {
		t.Errorf("without its secrets: %v\n%s", err, errs)
	}
	s.must(oauthSecret, "gatehouse", "secret", "put", "crm")
	s.must(o.seed, "gatehouse", "secret", "put", "crm-login")
	return s
}

func TestOAuth(t *testing.T) {
	t.Parallel()
	o := newOAuthServer(t)
	api := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "came with ", r.Header.Get("Authorization"))
	})
	s := newOAuthAgent(t, o, api)
	s.start()
	if n := o.asked.Load(); n != 0 {
		t.Errorf("%d tokens were asked for before one was needed", n)
	}
	token := s.get("/", 200)
	want(t, "the same token", s.get("/", 200), token)
	want(t, "what the API echoes", s.get("/call?to=http://"+api.host(), 200), "came with Bearer [redacted:oauth/crm-login/access]")
	s.get("/say", 200)
	r := s.waitFull("the record of what was logged", ofPath("/say"))
	if len(r.Logs) != 1 || !strings.Contains(r.Logs[0].Message, "the token is [redacted:oauth/crm-login]") {
		t.Errorf("logs: %+v", r.Logs)
	}
	want(t, "token requests", o.asked.Load(), 1)
	if list := s.must("", "gatehouse", "secret", "list"); strings.Contains(list, "oauth/") {
		t.Errorf("the list shows what nobody put: %s", list)
	}
	s.must("", "gatehouse", "secret", "rotate", "--prune")
	s.stop()
	s.start()
	want(t, "the token after a restart", s.get("/", 200), token)
	want(t, "token requests", o.asked.Load(), 1)
	for _, value := range append(o.tokens, oauthSecret, o.seed) {
		s.nowhere(value)
	}
}

// A thousand calls meet a token that has expired.
func TestOAuthRefreshIsOne(t *testing.T) {
	t.Parallel()
	o := newOAuthServer(t)
	s := newOAuthAgent(t, o, o.outside)
	s.start()
	o.meddle(func(body map[string]any) { body["expires_in"] = 1 })
	old := s.get("/", 200)
	o.meddle(func(map[string]any) { time.Sleep(500 * time.Millisecond) })
	time.Sleep(1100 * time.Millisecond)
	var all sync.WaitGroup
	var others sync.Map
	for range 1000 {
		all.Go(func() {
			resp, body, err := s.try("GET", "/", "")
			if err != nil || resp.StatusCode != 200 || body == old {
				t.Error(err, body)
				return
			}
			others.Store(body, true)
		})
	}
	all.Wait()
	n := 0
	others.Range(func(any, any) bool { n++; return true })
	want(t, "tokens that were given", n, 1)
	want(t, "token requests", o.asked.Load(), 2)
}

// The server is killed between the token server's answer, which has used up the refresh token, and the vault.
func TestOAuthKilled(t *testing.T) {
	t.Parallel()
	o := newOAuthServer(t)
	s := newOAuthAgent(t, o, o.outside)
	s.start()
	var once sync.Once
	killed := make(chan struct{})
	o.meddle(func(map[string]any) {
		once.Do(func() {
			s.kill()
			close(killed)
		})
	})
	if _, body, err := s.try("GET", "/", ""); err == nil {
		t.Fatalf("an answer: %s", body)
	}
	<-killed
	s.start()
	for range 20 {
		resp, body := s.do("GET", "/", "")
		if resp.StatusCode != 599 {
			t.Fatal(resp.StatusCode, body)
		}
		mustContain(t, "the error", body, "Error: oauth crm-login", "invalid_grant", "an earlier refresh broke off")
	}
	want(t, "token requests", o.asked.Load(), 2)
	want(t, "reports", strings.Count(s.logged(), "an OAuth client needs somebody's help"), 1)
	mustContain(t, "the report", s.logged(), "caddy gatehouse secret put crm-login", "invalid_grant")
	s.stop()
	s.start()
	if resp, body := s.do("GET", "/", ""); resp.StatusCode != 599 {
		t.Fatal(resp.StatusCode, body)
	}
	want(t, "token requests after a restart", o.asked.Load(), 2)
	s.must(o.logins(), "gatehouse", "secret", "put", "crm-login")
	s.get("/", 200)
}
