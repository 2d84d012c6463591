package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// tried is what the code tells of one fetch.
type tried struct {
	Status     int
	Text       string
	URL        string
	Redirected bool
	Name       string
	Code       string
	Rule       string
	Message    string
}

// egressKit is a server with three agents of the same code under different policies, one server outside that they may
// call and one that they may not.
type egressKit struct {
	*server
	allowed, forbidden *outside
	step               chan string
	posted             atomic.Int64 // POST requests that came to the allowed server
}

func newEgressKit(t *testing.T) *egressKit {
	k := &egressKit{step: make(chan string)}
	k.forbidden = newOutside(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the forbidden answer") })
	k.allowed = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			k.posted.Add(1)
		}
		switch r.URL.Path {
		case "/to":
			http.Redirect(w, r, r.URL.Query().Get("url"), http.StatusFound)
		case "/slow":
			for text := range k.step {
				fmt.Fprintln(w, text)
				_ = http.NewResponseController(w).Flush()
			}
		default:
			fmt.Fprintf(w, "%s %s host=%s own=%s", r.Method, r.URL.Path, r.Host, r.Header.Get("X-Own"))
		}
	})
	code := func(name string) string {
		return fmt.Sprintf("\tmain ./egress.ts\n\tdurable CALLER Caller\n\tkv RESULTS %s\n", name)
	}
	k.server = startServer(t, map[string]string{
		"Caddyfile": site(fmt.Sprintf(`egress narrow {
	allow %[1]s
	allow_ip 127.0.0.1/32
	deny denied.example
	redirects 3
}
egress byname {
	allow localhost:%[2]d 127.0.0.1:%[2]d 169.254.169.254 [::1]:%[2]d denied.example
	deny denied.example
}
agent narrow {
%[3]s	egress narrow
}
agent byname {
%[4]s	egress byname
}
agent nothing {
%[5]s}
`, k.allowed.host(), k.forbidden.port(), code("narrow"), code("byname"), code("nothing")),
			"handle_path /narrow/* {\n\tagent narrow\n}\nhandle_path /byname/* {\n\tagent byname\n}\nhandle_path /nothing/* {\n\tagent nothing\n}"),
		"egress.ts": agentFile(t, "egress.ts"),
	})
	return k
}

func (k *egressKit) ask(path, target string) tried {
	k.t.Helper()
	return decode[tried](k.t, k.get(path+"?url="+url.QueryEscape(target), 200))
}

func TestEgressRefuses(t *testing.T) {
	t.Parallel()
	k := newEgressKit(t)
	// The rule that names the host is the one that refuses another port of it.
	port, rule := k.forbidden.port(), "allow "+k.allowed.host()
	for i, c := range []struct {
		name, agent, url string
		rule             string
		calls            int // records of hops: the redirect itself is one
	}{
		{"a host that is not allowed", "narrow", "http://example.com/", "default deny", 1},
		{"a port that is not allowed", "narrow", fmt.Sprintf("http://127.0.0.1:%d/", port), rule, 1},
		{"the admin endpoint", "narrow", fmt.Sprintf("http://127.0.0.1:%d/config/", k.admin), rule, 1},
		{"loopback", "narrow", "http://127.0.0.1/", rule, 1},
		{"metadata", "narrow", "http://169.254.169.254/latest/meta-data/", "default deny", 1},
		{"loopback in IPv6", "narrow", fmt.Sprintf("http://[::1]:%d/", port), "default deny", 1},
		{"loopback in decimal", "narrow", fmt.Sprintf("http://2130706433:%d/", port), rule, 1},
		{"loopback in octal", "narrow", fmt.Sprintf("http://0177.0.0.1:%d/", port), rule, 1},
		{"loopback in short", "narrow", fmt.Sprintf("http://127.1:%d/", port), rule, 1},
		{"loopback mapped into IPv6", "narrow", fmt.Sprintf("http://[::ffff:127.0.0.1]:%d/", port), "default deny", 1},
		{"an allowed name that resolves to loopback", "byname", fmt.Sprintf("http://localhost:%d/", port), "address", 1},
		{"an allowed name in other letters and with a dot", "byname", fmt.Sprintf("http://LOCALHOST.:%d/", port), "address", 1},
		{"an allowed address that is loopback", "byname", fmt.Sprintf("http://127.0.0.1:%d/", port), "address", 1},
		{"the same in decimal", "byname", fmt.Sprintf("http://2130706433:%d/", port), "address", 1},
		{"an allowed address that is IPv6 loopback", "byname", fmt.Sprintf("http://[::1]:%d/", port), "address", 1},
		{"an allowed address that is link-local", "byname", "http://169.254.169.254/", "address", 1},
		{"a name that is allowed and denied", "byname", "http://denied.example/", "deny denied.example", 1},
		{"a redirect to metadata", "narrow", k.allowed.URL + "/to?url=http%3A%2F%2F169.254.169.254%2F", "default deny", 2},
		{"a redirect to a port that is not allowed", "narrow", k.allowed.URL + "/to?url=" + url.QueryEscape(k.forbidden.URL), rule, 2},
		{"a redirect to a redirect", "narrow", k.allowed.URL + "/to?url=" + url.QueryEscape("/to?url="+url.QueryEscape(k.forbidden.URL)), rule, 3},
		{"a redirect to a file", "narrow", k.allowed.URL + "/to?url=file%3A%2F%2F%2Fetc%2Fpasswd", "", 2},
		{"credentials in the URL", "narrow", "http://user:pass@" + k.allowed.host() + "/", "", -1},
		{"another scheme", "narrow", "ftp://" + k.allowed.host() + "/", "", -1},
		{"an agent without a policy", "nothing", "http://example.com/", "no egress policy", 1},
		{"an agent without a policy, to loopback", "nothing", k.forbidden.URL, "no egress policy", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := fmt.Sprintf("/case/%d", i)
			got := k.ask("/"+c.agent+path, c.url)
			if got.Status != 0 || got.Name == "" || got.Message == "" {
				t.Fatalf("not refused: %+v", got)
			}
			r := k.waitFull("the record", func(r fullRecord) bool { return r.Agent == c.agent && strings.HasSuffix(r.Path, path) })
			want(t, "outcome", r.Outcome, "ok")
			if c.calls < 0 {
				return // refused before it was a request
			}
			if len(r.Calls) != c.calls {
				t.Fatalf("calls in the record: %+v, want %d", r.Calls, c.calls)
			}
			last := r.Calls[len(r.Calls)-1]
			want(t, "name", got.Name, "EgressError")
			want(t, "code", got.Code, "EGRESS_DENIED")
			want(t, "decision in the record", last.Decision, "refuse")
			want(t, "kind in the record", last.Kind, "egress")
			want(t, "rule in the record", last.Rule, got.Rule)
			if c.rule != "" {
				want(t, "rule", got.Rule, c.rule)
			}
			mustContain(t, "message", got.Message, "(rule: "+got.Rule+")")
		})
	}
	want(t, "connections that reached the forbidden server", k.forbidden.accepted.Load(), 0)
}

func TestEgressAllows(t *testing.T) {
	t.Parallel()
	k := newEgressKit(t)
	got := k.ask("/narrow/plain", k.allowed.URL+"/page")
	want(t, "status", got.Status, 200)
	want(t, "answer", got.Text, "GET /page host="+k.allowed.host()+" own=")
	want(t, "url", got.URL, k.allowed.URL+"/page")
	got = k.ask("/narrow/redirected", k.allowed.URL+"/to?url=%2Fpage")
	want(t, "answer after a redirect", got.Text, "GET /page host="+k.allowed.host()+" own=")
	want(t, "redirected", got.Redirected, true)
	want(t, "url after a redirect", got.URL, k.allowed.URL+"/page")
	got = k.ask("/narrow/manual", k.allowed.URL+"/to?url="+url.QueryEscape(k.forbidden.URL))
	want(t, "status of a redirect that is not followed", got.Status, 302)
	if got = k.ask("/narrow/host-header", k.allowed.URL+"/page"); strings.Contains(got.Text, "forbidden.example") {
		t.Errorf("code chose the Host header: %+v", got)
	}
	r := k.waitFull("the record", func(r fullRecord) bool { return strings.HasSuffix(r.Path, "/plain") })
	if len(r.Calls) != 1 || r.Calls[0].Decision != "allow" || r.Calls[0].Status != 200 || r.Calls[0].Host != k.allowed.host() ||
		r.Calls[0].Rule != "allow "+k.allowed.host() || r.Calls[0].BytesIn == 0 {
		t.Errorf("the call in the record: %+v", r.Calls)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", k.url("/narrow/stream?url="+url.QueryEscape(k.allowed.URL+"/slow")), nil)
	type answer struct {
		*http.Response
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		resp, err := longClient.Do(req)
		answers <- answer{resp, err}
	}()
	k.step <- "line 0"
	a, err := next(answers)
	if err != nil || a.err != nil {
		t.Fatal(err, a.err)
	}
	defer a.Body.Close()
	lines := bufio.NewReader(a.Body)
	for i := range 4 {
		if i > 0 {
			k.step <- fmt.Sprintf("line %d", i)
		}
		if text, err := lines.ReadString('\n'); text != fmt.Sprintf("line %d\n", i) {
			t.Fatalf("line %d: %q, %v", i, text, err)
		}
	}
	close(k.step)
	if rest, err := io.ReadAll(lines); len(rest) != 0 || err != nil {
		t.Errorf("the end: %q, %v", rest, err)
	}
	want(t, "connections that reached the forbidden server", k.forbidden.accepted.Load(), 0)
}

// TestWhatCodeSendsIsRecorded has code send without waiting for the answer, or without looking at it.
func TestWhatCodeSendsIsRecorded(t *testing.T) {
	t.Parallel()
	k := newEgressKit(t)
	page := "?url=" + url.QueryEscape(k.allowed.URL+"/page")
	k.get("/narrow/unread"+page, 200)
	r := k.waitFull("the record", ofPath("/unread"))
	if len(r.Calls) != 1 || r.Calls[0].Decision != "allow" || r.Calls[0].Host != k.allowed.host() || r.Calls[0].Status != 200 {
		t.Errorf("the calls in the record: %+v", r.Calls)
	}
	const tries = 40
	for i := range tries {
		k.get(fmt.Sprintf("/narrow/forgotten%s&ms=%d", page, i%4), 200)
	}
	recorded, ended := 0, 0
	k.wait("the records", func() bool {
		recorded, ended = 0, 0
		for _, r := range k.records() {
			if r.Path == "/forgotten" {
				ended++
				recorded += len(r.Calls)
			}
		}
		return ended == tries
	})
	if got := int(k.posted.Load()); got > recorded || recorded == 0 {
		t.Errorf("%d requests came out, %d are in the records", got, recorded)
	}
}

// TestEgressHoldsEverywhere tries the same from every place that code runs in.
func TestEgressHoldsEverywhere(t *testing.T) {
	t.Parallel()
	k := newEgressKit(t)
	result := func(agent, name string) tried {
		var text string
		k.wait("the result of "+name, func() bool {
			text = k.get("/"+agent+"/result?url="+name, 200)
			return text != ""
		})
		return decode[tried](t, text)
	}
	for _, c := range []struct{ agent, rule string }{{"narrow", "allow " + k.allowed.host()}, {"byname", "address"}, {"nothing", "no egress policy"}} {
		t.Run(c.agent, func(t *testing.T) {
			want(t, "in an actor's method", k.ask("/"+c.agent+"/actor", k.forbidden.URL).Rule, c.rule)
			want(t, "in an actor's fetch", k.ask("/"+c.agent+"/actor-fetch", k.forbidden.URL).Rule, c.rule)
			k.get("/"+c.agent+"/alarm?url="+url.QueryEscape(k.forbidden.URL), 200)
			want(t, "in an alarm", result(c.agent, "alarm").Rule, c.rule)
			k.get("/"+c.agent+"/background?url="+url.QueryEscape(k.forbidden.URL), 200)
			want(t, "in waitUntil", result(c.agent, "background").Rule, c.rule)
			r := k.waitFull("the alarm's record", func(r fullRecord) bool { return r.Agent == c.agent && r.Kind == "alarm" })
			if len(r.Calls) != 1 || r.Calls[0].Decision != "refuse" || r.Calls[0].Rule != c.rule {
				t.Errorf("calls in the alarm's record: %+v", r.Calls)
			}
		})
	}
	if got := k.ask("/narrow/actor", k.allowed.URL+"/page"); got.Status != 200 {
		t.Errorf("an actor can not reach what its agent may: %+v", got)
	}
	want(t, "connections that reached the forbidden server", k.forbidden.accepted.Load(), 0)
}

func TestNoOtherWayOut(t *testing.T) {
	t.Parallel()
	k := newEgressKit(t)
	for name, kind := range decode[map[string]string](t, k.get("/nothing/globals", 200)) {
		if kind != "undefined" {
			t.Errorf("%s is a %s", name, kind)
		}
	}
	for _, agent := range []string{"narrow", "nothing"} {
		for way, code := range decode[map[string]string](t, k.get("/"+agent+"/ways?url="+url.QueryEscape(k.forbidden.URL), 200)) {
			if code != "EGRESS_DENIED" {
				t.Errorf("%s: %s comes to %s, want EGRESS_DENIED", agent, way, code)
			}
		}
	}
	want(t, "connections that reached the forbidden server", k.forbidden.accepted.Load(), 0)
}
