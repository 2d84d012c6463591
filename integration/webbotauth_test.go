package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// signingAgent is an agent in Node.js whose requests the reference package of Web Bot Auth signs. It serves its key directory.
type signingAgent struct {
	origin string
	lines  *bufio.Scanner
}

func startSigningAgent(t *testing.T, port, count int, urls ...string) *signingAgent {
	t.Helper()
	cmd := exec.Command("node", append([]string{"../bot/botauth/testdata/agent/agent.mjs", fmt.Sprint(port), fmt.Sprint(count)}, urls...)...)
	_, lines := converse(t, cmd)
	return &signingAgent{fmt.Sprintf("http://127.0.0.1:%d", port), lines}
}

// fields are the header fields of the next signed request, as pairs.
func (a *signingAgent) fields(t *testing.T) (pairs []string) {
	t.Helper()
	if !a.lines.Scan() {
		t.Fatal("the agent has ended: ", a.lines.Err())
	}
	var fields map[string]string
	if err := json.Unmarshal(a.lines.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		pairs = append(pairs, name, value)
	}
	return pairs
}

// TestWebBotAuth has requests that the reference package signed: an allowed agent passes by what it proves, once for each signature, and
// nobody else by what they say.
func TestWebBotAuth(t *testing.T) {
	port := freePort(t)
	caddyfile := site("agent who {\n main ./who.ts\n}", fmt.Sprintf(`identity {
	web_bot_auth {
		allow_ip 127.0.0.1
	}
}
bot_score {
	allow_agent http://127.0.0.1:%d NodeAgent/
	block below 5
}
access {
	allow verified_agent http://127.0.0.1:%[1]d
}
header >X-Agent "{http.gatehouse.identity.agent} {http.gatehouse.bot.verified} {http.gatehouse.bot.score}"
uri strip_prefix /signed
agent who`, port))
	s := startServer(t, map[string]string{
		"Caddyfile": caddyfile,
		"who.ts":    `export default { fetch: (request) => Response.json(request.cf.botManagement) }`,
	})
	agent := startSigningAgent(t, port, 3, s.url("/signed/a"), "http://site.example/signed/a")
	tool := []string{"User-Agent", "curl/8.9.0"}
	var signed, kept, later, other []string
	for _, fields := range []*[]string{&signed, &kept, &later, &other} {
		*fields = append(agent.fields(t), tool...)
	}

	resp, body := s.do("GET", "/signed/a", "", signed...)
	want(t, "a signed request", resp.StatusCode, 200)
	want(t, "what the code sees", body, `{"score":95,"verifiedBot":true}`)
	want(t, "the placeholders", resp.Header.Get("X-Agent"), agent.origin+" true 95")
	r := s.waitFull("its record", func(r fullRecord) bool { return r.VerifiedAgent != "" })
	want(t, "the record's agent", r.VerifiedAgent, agent.origin)
	want(t, "the record's identity", r.Identity, "web_bot_auth")
	want(t, "the record's access", r.Access, "allow verified_agent "+agent.origin)
	want(t, "the record's reasons", strings.Join(r.Reasons, " "), "verified-agent")

	for _, c := range []struct {
		name     string
		header   []string
		status   int
		identity string
		reasons  string
	}{
		{"the same again", signed, 403, "web_bot_auth: the nonce was used already", "http-library spoofed-agent"},
		{"for another authority", other, 403, "web_bot_auth: the signature does not fit the request", "http-library spoofed-agent"},
		{"without its signature", append(tool, "Signature-Agent", `"`+agent.origin+`"`), 403, "", "http-library spoofed-agent"},
		{"its user agent", []string{"User-Agent", "Mozilla/5.0 (compatible; NodeAgent/1.0)"}, 403, "", "claimed-crawler spoofed-agent"},
		{"a browser", nil, 401, "", ""},
	} {
		path := "/signed/" + fmt.Sprintf("%x", c.name)
		resp, body := s.do("GET", path, "", c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, resp.StatusCode, c.status, body)
		}
		r := s.waitFull("the record of "+c.name, ofPath(path))
		want(t, c.name+": identity", r.Identity, c.identity)
		want(t, c.name+": reasons", strings.Join(r.Reasons, " "), c.reasons)
		want(t, c.name+": ran", r.Ran, false)
	}

	// The nonces are remembered over a reload.
	if resp, body := s.do("GET", "/signed/a", "", kept...); resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode, body)
	}
	s.write("Caddyfile", strings.Replace(caddyfile, "header >X-Agent", "header >X-New 1\nheader >X-Agent", 1))
	if out, err := s.reload(); err != nil {
		t.Fatal(out, err)
	}
	resp, _ = s.do("GET", "/signed/a", "", kept...)
	want(t, "used before the reload", resp.StatusCode, 403)
	resp, _ = s.do("GET", "/signed/a", "", later...)
	want(t, "after the reload", resp.StatusCode, 200)
}
