package integration

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// secureSite is a configuration whose one site is https://localhost, with a certificate of the server's own authority.
func secureSite(global, block string) string {
	text := strings.Replace(site(global, block), "auto_https off", "auto_https disable_redirects\n\tskip_install_trust", 1)
	return strings.Replace(text, "http://127.0.0.1:{{site}} {\n", "https://localhost:{{site}} {\ntls internal\n", 1)
}

func (s *server) secureURL(path string) string {
	return fmt.Sprintf("https://localhost:%d%s", s.port, path)
}

// newSecureClient is a Go program that speaks TLS to the server. It gives up on no certificate, and its connections are its own.
func newSecureClient(t *testing.T) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// waitSecure waits until the server has its certificate.
func (s *server) waitSecure() {
	s.t.Helper()
	c := newSecureClient(s.t)
	s.wait("the certificate", func() bool {
		resp, err := c.Get(s.secureURL("/ready"))
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// TestHandshake has a real Chromium pass, and a Go program that sends all that it sends scored as automated.
func TestHandshake(t *testing.T) {
	caddyfile := secureSite("agent bots {\n main ./bots.ts\n}", "bot_score\nbot_score {\n block below 2\n}\nheader >X-JA4 {http.gatehouse.bot.ja4}\nagent bots")
	s := startServer(t, map[string]string{
		"Caddyfile": caddyfile,
		"bots.ts":   `export default { fetch: (request) => new Response(JSON.stringify({ ...request.cf.botManagement, headers: Object.fromEntries(request.headers) })) }`,
	})
	s.waitSecure()
	tab := startChromium(t)
	asWithWindow(t, tab)
	var page string
	open := func(path string) fullRecord {
		t.Helper()
		drive(t, tab, chromedp.Navigate(s.secureURL(path)))
		page = see(t, tab, chromedp.Text("body"))
		return s.waitFull("the browser's record of "+path, ofPath(path))
	}
	r := open("/browser")
	if r.BotScore < 30 || !strings.HasPrefix(r.JA4, "t13d") || !strings.Contains(r.JA4, "h2_") {
		t.Errorf("Chromium scores %d for %v, with the handshake %s", r.BotScore, r.Reasons, r.JA4)
	}
	mustContain(t, "what the code sees", page, fmt.Sprintf(`"score":%d`, r.BotScore), `"ja4":"`+r.JA4+`"`)

	// The headers are the browser's, the handshake is Go's.
	headers := decode[struct{ Headers map[string]string }](t, page).Headers
	c := newSecureClient(t)
	ask := func(path string) (string, fullRecord) {
		t.Helper()
		req, err := http.NewRequest("GET", s.secureURL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range headers {
			req.Header.Set(name, value)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.Header.Get("X-JA4"), s.waitFull("the record of "+path, ofPath(path))
	}
	ja4, r := ask("/program")
	if r.BotScore >= 30 || strings.Join(r.Reasons, " ") != "handshake-mismatch" {
		t.Errorf("a Go program scores %d for %v", r.BotScore, r.Reasons)
	}
	want(t, "its placeholder", ja4, r.JA4)
	if !strings.HasPrefix(r.JA4, "t13d") {
		t.Errorf("its handshake is %q", r.JA4)
	}

	// A connection keeps its handshake, and a new configuration sees those of new ones.
	_, again := ask("/again")
	want(t, "the second request of a connection", again.JA4, r.JA4)
	s.write("Caddyfile", strings.Replace(caddyfile, "header >X-JA4", "header >X-New 1\nheader >X-JA4", 1))
	if out, err := s.reload(); err != nil {
		t.Fatal(out, err)
	}
	c.CloseIdleConnections()
	_, after := ask("/after")
	want(t, "after a reload", after.JA4, r.JA4)
	if r := open("/browser/again"); r.BotScore < 30 || r.JA4 == "" {
		t.Errorf("after a reload Chromium scores %d for %v, with the handshake %q", r.BotScore, r.Reasons, r.JA4)
	}
}
