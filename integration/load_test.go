package integration

import (
	"bufio"
	"errors"

	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// dialFrom opens a connection to the server from one of the loopback's addresses. It leaves no trace when it is closed: thousands of
// ports in TIME_WAIT are thousands that the server of another test can't listen on.
func (s *server) dialFrom(ip string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 20 * time.Second}
	c, err := d.Dial("tcp", s.address())
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetLinger(0)
}

// mustDial is dialFrom for a connection that ends with the test.
func (s *server) mustDial(ip string) net.Conn {
	s.t.Helper()
	c, err := s.dialFrom(ip)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request over the connection and reads the answer.
func (s *server) ask(c net.Conn, path string) (*http.Response, string, error) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path); err != nil {
		return nil, "", err
	}
	return answerOn(c)
}

func answerOn(c net.Conn) (*http.Response, string, error) {
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// wantShed wants the answer to be a refusal for load.
func wantShed(t *testing.T, what string, resp *http.Response, body string) {
	t.Helper()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%s: status %d, Retry-After %q, want 503 and 1: %s", what, resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	mustContain(t, what, body, "#throttle", `"status":503`)
}

// closed waits until the other side has closed the connection.
func closed(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err := io.Copy(io.Discard, c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return errors.New("the connection is open after 20 s")
	}
	return nil
}

func TestConnectionsOfAnAddress(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"Caddyfile": site("", "throttle {\n\tconnections 3 except 127.0.0.9 127.0.1.0/24\n}\nrespond ok")})
	const flooding, other = "127.0.0.2", "127.0.0.3"
	idle := []net.Conn{s.mustDial(flooding), s.mustDial(flooding), s.mustDial(flooding)}
	for _, c := range idle { // each was counted when it is answered
		if resp, body, err := s.ask(c, "/"); err != nil || resp.StatusCode != 200 {
			t.Fatalf("within the cap: %v, %v, %s", err, resp, body)
		}
	}
	for range 5 {
		c := s.mustDial(flooding)
		resp, body, err := s.ask(c, "/")
		if err != nil {
			t.Fatal(err)
		}
		wantShed(t, "over the cap", resp, body)
		if !resp.Close {
			t.Error("the connection over the cap stays open")
		}
		if err := closed(c); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	// Those that send nothing can't be told anything. Beyond twice the cap they are not even kept.
	silent := 0
	for range 20 {
		c := s.mustDial(flooding)
		idle = append(idle, c)
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				silent++
			}
		}
	}
	if silent > 3 {
		t.Errorf("%d silent connections over the cap of 3 are kept, want 3 at most", silent)
	}
	for _, ip := range []string{other, "127.0.0.9", "127.0.1.7"} {
		for range 3 {
			if resp, body, err := s.ask(s.mustDial(ip), "/"); err != nil || resp.StatusCode != 200 {
				t.Errorf("from %s: %v, %v, %s", ip, err, resp, body)
			}
		}
	}
	for _, ip := range []string{"127.0.0.9", "127.0.1.7"} {
		if resp, _, err := s.ask(s.mustDial(ip), "/"); err != nil || resp.StatusCode != 200 {
			t.Errorf("a fourth connection from %s, which is excepted: %v, %v", ip, err, resp)
		}
	}
	for _, c := range idle[:3] {
		if resp, _, err := s.ask(c, "/"); err != nil || resp.StatusCode != 200 {
			t.Errorf("a connection within the cap, later: %v, %v", err, resp)
		}
	}
	// A connection that has closed makes place, once the server has seen it.
	for _, c := range idle {
		c.Close()
	}
	s.wait("place for another connection", func() bool {
		c, err := s.dialFrom(flooding)
		if err != nil {
			return false
		}
		defer c.Close()
		resp, _, err := s.ask(c, "/")
		return err == nil && resp.StatusCode == 200
	})
}

// held is a server that answers when it is told to.
type held struct {
	*outside
	came    chan struct{}
	release chan struct{}
}

func newHeld(t *testing.T) *held {
	h := &held{came: make(chan struct{}, 64), release: make(chan struct{})}
	h.outside = newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		h.came <- struct{}{}
		select {
		case <-h.release:
			fmt.Fprint(w, "answered")
		case <-r.Context().Done():
		}
	})
	return h
}

// TestCapsOnRequests holds the first requests at the origin and wants those over the cap refused at once, and served when there is
// place again.
func TestCapsOnRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, option, who string }{
		{"in flight", "in_flight 2", "requests in flight"},
		{"queue", "queue 2", "requests wait for agent costs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			origin := newHeld(t)
			s := startCosts(t, fmt.Sprintf("handle /free {\n\trespond free\n}\nhandle {\n\tthrottle {\n\t\t%s\n\t}\n\tagent costs\n\treverse_proxy %s\n}", c.option, origin.host()))
			type answer struct {
				status int
				body   string
				err    error
			}
			answers := make(chan answer, 8)
			send := func() {
				resp, body, err := s.try("GET", "/held", "")
				if err != nil {
					answers <- answer{err: err}
					return
				}
				answers <- answer{resp.StatusCode, body, nil}
			}
			for range 2 {
				go send()
			}
			for range 2 {
				if _, err := next(origin.came); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				resp, body := s.do("GET", "/held", "")
				wantShed(t, "over the cap", resp, body)
			}
			s.get("/free", 200)
			for range 2 {
				origin.release <- struct{}{}
				if a, err := next(answers); err != nil || a.err != nil || a.status != 200 || a.body != "answered" {
					t.Errorf("a request within the cap: %v, %+v", err, a)
				}
			}
			go send()
			if _, err := next(origin.came); err != nil {
				t.Fatalf("no place after the first were answered: %v", err)
			}
			origin.release <- struct{}{}
			if a, err := next(answers); err != nil || a.status != 200 {
				t.Errorf("after the first were answered: %v, %+v", err, a)
			}
			r := s.waitFull("the record of a refusal", func(r fullRecord) bool { return r.Status == 503 })
			want(t, "refused_by", r.RefusedBy, "throttle")
			want(t, "ran", r.Ran, false)
		})
	}
}

const slowOptions = "\tservers {\n\t\ttimeouts {\n\t\t\tread_header 1s\n\t\t}\n\t}"

func TestSlowClientsAreCut(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": siteWith(slowOptions, costsGlobal, "throttle {\n\tbody_rate 1KiB 500ms\n}\nagent costs\nrespond \"the body was not read\""),
		"costs.ts":  agentFile(t, "costs.ts"),
	})
	post := func(path string, length int, sent string) net.Conn {
		c := s.mustDial("127.0.0.1")
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s", path, length, sent)
		return c
	}
	t.Run("a body that stops", func(t *testing.T) {
		c := post("/read", 1000, "the beginning")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, body, err := answerOn(c)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "status", resp.StatusCode, 408)
		mustContain(t, "the answer", body, "#throttle", "too slowly")
		if err := closed(c); err != nil {
			t.Error(err)
		}
		r := s.waitFull("the record", func(r fullRecord) bool { return r.Status == 408 })
		want(t, "refused_by", r.RefusedBy, "throttle")
	})
	t.Run("a body that drips", func(t *testing.T) {
		c := post("/read", 1_000_000, "")
		go func() {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond) // 50 bytes a second
			}
		}()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, _, err := answerOn(c)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "status", resp.StatusCode, 408)
	})
	t.Run("a body that nobody reads", func(t *testing.T) {
		c := post("/ignored", 1000, "the beginning")
		if err := closed(c); err != nil {
			t.Error(err)
		}
	})
	t.Run("a header that stops", func(t *testing.T) {
		c := s.mustDial("127.0.0.1")
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
		if err := closed(c); err != nil {
			t.Error(err)
		}
	})
	t.Run("bodies that come", func(t *testing.T) {
		// The connection is used again: no deadline of the first request may be left on it.
		c := s.mustDial("127.0.0.1")
		for range 3 {
			body := strings.Repeat("x", 200_000)
			fmt.Fprintf(c, "POST /read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			resp, text, err := answerOn(c)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "the answer", resp.Status+" "+text, "200 OK read 200000")
			time.Sleep(600 * time.Millisecond) // longer than the grace
		}
	})
}

func TestKeysOfZones(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"Caddyfile": siteWith("\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}", "", `handle /ip {
	throttle {
		zone ip {client_ip} 1/h
	}
	respond ok
}
handle /wide {
	throttle {
		zone wide "{client_ip} {method}" 1/h strict
		ipv6_prefix 48
	}
	respond ok
}
handle /header {
	throttle {
		zone header {header.X-Team} 1/h
	}
	respond ok
}
handle /cookie {
	throttle {
		zone cookie {cookie.session} 1/h
	}
	respond ok
}
handle {
	throttle {
		zone path {path} 1/h
		zone both {query.a} 100/h
	}
	respond {http.gatehouse.throttle.remaining}
}`)})
	for i, c := range []struct {
		path, header, value string
		status              int
	}{
		{"/ip", "X-Forwarded-For", "2001:db8:1:2::1", 200},
		{"/ip", "X-Forwarded-For", "2001:db8:1:2:ffff::9", 429},
		{"/ip", "X-Forwarded-For", "2001:db8:1:3::1", 200},
		{"/ip", "X-Forwarded-For", "203.0.113.9", 200},
		{"/ip", "X-Forwarded-For", "::ffff:203.0.113.9", 429},
		{"/ip", "X-Forwarded-For", "203.0.113.10", 200},
		{"/wide", "X-Forwarded-For", "2001:db8:1:2::1", 200},
		{"/wide", "X-Forwarded-For", "2001:db8:1:3::1", 429},
		{"/wide", "X-Forwarded-For", "2001:db8:2:3::1", 200},
		{"/header", "X-Team", "a", 200},
		{"/header", "X-Team", "a", 429},
		{"/header", "X-Team", "b", 200},
		{"/cookie", "Cookie", "session=a", 200},
		{"/cookie", "Cookie", "other=1; session=a", 429},
		{"/cookie", "Cookie", "session=b", 200},
		{"/one", "X-Any", "a", 200},
		{"/one", "X-Any", "b", 429},
		{"/two", "X-Any", "a", 200},
	} {
		if resp, body := s.do("GET", c.path, "", c.header, c.value); resp.StatusCode != c.status {
			t.Errorf("%d: %s with %s: %s: status %d, want %d: %s", i, c.path, c.header, c.value, resp.StatusCode, c.status, body)
		}
	}
	want(t, "the tightest zone's remaining", s.get("/three", 200), "0")
}

// TestClaimsAreKeys counts by what verified tokens say. What is not believed has no claims.
func TestClaimsAreKeys(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s := startServer(t, map[string]string{"Caddyfile": site("", "route {\n"+p.identity()+"throttle {\n\tzone team {http.gatehouse.identity.claim.team} 1/h\n}\nrespond \"of {http.gatehouse.identity.claim.team}\"\n}")})
	for i, c := range []struct {
		claims map[string]any
		status int
	}{
		{map[string]any{"team": "red", "sub": "ada"}, 200},
		{map[string]any{"team": "red", "sub": "bob"}, 429},
		{map[string]any{"team": "blue", "sub": "ada"}, 200},
		{map[string]any{"team": 7}, 200},
		{map[string]any{"team": 7}, 429},
		{map[string]any{"team": "green", "exp": time.Now().Add(-time.Hour).Unix()}, 200}, // nobody's, like all that are not believed
		{map[string]any{"team": "black", "exp": time.Now().Add(-time.Hour).Unix()}, 429},
	} {
		if resp, body := s.do("GET", "/", "", "Authorization", "Bearer "+p.token(c.claims)); resp.StatusCode != c.status {
			t.Errorf("%d: %v: status %d, want %d: %s", i, c.claims, resp.StatusCode, c.status, body)
		}
	}
}

// TestBudgetsSurviveReloads wants what was spent to stay spent.
func TestBudgetsSurviveReloads(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"Caddyfile": site("", "throttle {\n\tbudget calls {client_ip} 3/h\n}\nrespond one")})
	ask := func(status int) {
		t.Helper()
		c, err := s.dialFrom("127.0.0.5")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if resp, body, err := s.ask(c, "/"); err != nil || resp.StatusCode != status {
			t.Errorf("%v, %v, want status %d: %s", err, resp, status, body)
		}
	}
	ask(200)
	ask(200)
	s.write("Caddyfile", site("", "throttle {\n\tbudget calls {client_ip} 3/h\n}\nrespond two"))
	if out, err := s.reload(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ask(200) // the last of the budget, which a reload does not renew
	ask(429)
}

// TestSlowBodiesOverHTTP2 wants a slow stream to be cut, and the connection's other streams to go on.
func TestSlowBodiesOverHTTP2(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": siteWith("\tservers {\n\t\tprotocols h1 h2c\n\t}", costsGlobal, "throttle {\n\tbody_rate 1KiB 500ms\n}\nagent costs"),
		"costs.ts":  agentFile(t, "costs.ts"),
	})
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: only}
	defer transport.CloseIdleConnections()
	h2 := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	opened := 0
	post := func(body io.Reader, length int64) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequest("POST", s.url("/read"), body)
		if err != nil {
			t.Fatal(err)
		}
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
			if !c.Reused {
				opened++
			}
		}}))
		req.ContentLength = length
		resp, err := h2.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	for _, length := range []int64{100_000, -1} { // known, and not
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "the beginning") }()
		resp, body := post(r, length)
		w.Close()
		want(t, "protocol", resp.Proto, "HTTP/2.0")
		want(t, "status of a body that stops", resp.StatusCode, 408)
		mustContain(t, "the answer", body, "#throttle")
		resp, body = post(strings.NewReader(strings.Repeat("x", 200_000)), 200_000)
		want(t, "the answer to a whole body", resp.Status+" "+body, "200 OK read 200000")
	}
	want(t, "connections that were opened", opened, 1)
}
