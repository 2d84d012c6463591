package integration

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// longClient is client without a time limit, for streams.
var longClient = &http.Client{Transport: client.Transport}

// stepping is an agent that asks steps before each thing it does, behind the whole gate.
func stepping(t *testing.T, gate string) (*server, *steps) {
	st := newSteps(t)
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("steps", st.outside)+
			fmt.Sprintf("agent steps {\n\tmain ./steps.ts\n\tvar STEP %s\n\tegress steps\n\tlimits {\n\t\trequest_body 64MiB\n\t}\n}\n", st.URL),
			gate+"\nagent steps"),
		"steps.ts": agentFile(t, "steps.ts"),
	})
	return s, st
}

// TestEventsArriveOneByOne lets the code send an event only when the one before it has arrived: were anything between
// the code and the client to hold events back, the test would come to a stop.
func TestEventsArriveOneByOne(t *testing.T) {
	t.Parallel()
	s, st := stepping(t, "throttle {\n\tzone all {client_ip} 600/m\n}\nbot_score {\n\tblock below 2\n}\nwaf {\n\tcrs\n\tresponses text/html application/json\n}")
	for _, path := range []string{"/events", "/writer"} {
		t.Run(path[1:], func(t *testing.T) {
			req, _ := http.NewRequest("GET", s.url(path), nil)
			req.Header.Set("Accept", "text/event-stream")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			resp, err := longClient.Do(req.WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			want(t, "status", resp.StatusCode, 200)
			want(t, "type", resp.Header.Get("Content-Type"), "text/event-stream")
			lines := bufio.NewScanner(resp.Body)
			for i := range 5 {
				if _, err := next(st.asked); err != nil {
					t.Fatalf("event %d: the code did not ask: %v", i, err)
				}
				st.next <- fmt.Sprintf("number %d", i)
				if !lines.Scan() || lines.Text() != fmt.Sprintf("data: number %d", i) || !lines.Scan() || lines.Text() != "" {
					t.Fatalf("event %d: got %q, %v", i, lines.Text(), lines.Err())
				}
			}
			if _, err := next(st.asked); err != nil {
				t.Fatal(err)
			}
			st.next <- "end"
			if lines.Scan() || lines.Err() != nil {
				t.Errorf("after the end: %q, %v", lines.Text(), lines.Err())
			}
		})
	}
}

func TestClientThatLeavesAStream(t *testing.T) {
	t.Parallel()
	s, st := stepping(t, "waf")
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	req, _ := http.NewRequestWithContext(ctx, "GET", s.url("/events"), nil)
	resp, err := longClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := next(st.asked); err != nil {
		t.Fatal(err)
	}
	st.next <- "first"
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "data: first\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := next(st.asked); err != nil {
		t.Fatal(err)
	}
	leave()
	r := s.waitFull("the record", ofPath("/events"))
	want(t, "outcome", r.Outcome, "canceled")
	want(t, "status", r.Status, 200)
	want(t, "calls", len(r.Calls), 2)
}

// TestStreamThatBreaks wants a client to be able to tell a stream that failed from one that ended.
func TestStreamThatBreaks(t *testing.T) {
	t.Parallel()
	s, _ := stepping(t, "waf")
	resp, err := longClient.Get(s.url("/breaks"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if string(b) != "a part" || err == nil {
		t.Errorf("got %q, %v; want an error after the part", b, err)
	}
	r := s.waitFull("the record", ofPath("/breaks"))
	if r.Outcome != "exception" || len(r.Exceptions) != 1 || r.Exceptions[0].Message != "the stream broke" {
		t.Errorf("the record: %s %+v", r.Outcome, r.Exceptions)
	}
}

func TestRequestBodyLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "agent ./steps.ts {\n\tlimits {\n\t\trequest_body 1KiB\n\t}\n}"),
		"steps.ts":  agentFile(t, "steps.ts"),
	})
	for _, c := range []struct {
		name   string
		size   int
		body   func(io.Reader) io.Reader
		status int
	}{
		{"within", 1024, func(r io.Reader) io.Reader { return r }, 200},
		{"over, by its declared length", 1025, func(r io.Reader) io.Reader { return r }, 413},
		{"within, of unknown length", 1024, func(r io.Reader) io.Reader { return io.MultiReader(r) }, 200},
		{"over, of unknown length", 64 << 10, func(r io.Reader) io.Reader { return io.MultiReader(r) }, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := client.Post(s.url("/length"), "text/plain", c.body(strings.NewReader(strings.Repeat("a", c.size))))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || c.status == 200 && string(b) != fmt.Sprint(c.size) {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, c.status, b)
			}
		})
	}
}

// TestUploadReachesCodeAsItIsSent sends each part of a body only when the code has told of the part before.
func TestUploadReachesCodeAsItIsSent(t *testing.T) {
	t.Parallel()
	for name, gate := range map[string]string{"plain": "", "inspected in part": "waf {\n\tcrs\n\tbody 1KiB partial\n}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, st := stepping(t, gate)
			body, write := io.Pipe()
			req, _ := http.NewRequest("POST", s.url("/upload"), body)
			req.Header.Set("Content-Type", "application/json")
			done := make(chan string, 1)
			go func() {
				resp, err := longClient.Do(req)
				if err != nil {
					done <- err.Error()
					return
				}
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				done <- fmt.Sprint(resp.StatusCode, " ", string(b))
			}()
			sent := 0
			for i := range 4 {
				part := fmt.Sprintf("part %d%s", i, strings.Repeat(" and so on", 300))
				if i == 0 {
					part = `{"text": "` + part
				}
				sent += len(part)
				if _, err := io.WriteString(write, part); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < len(part); {
					asked, err := next(st.asked)
					if err != nil {
						t.Fatalf("part %d: the code has %d of %d bytes: %v", i, got, len(part), err)
					}
					got += len(strings.TrimPrefix(asked, "POST /chunk "))
					st.next <- ""
				}
			}
			write.Close()
			answer, err := next(done)
			if err != nil || answer != fmt.Sprintf("200 seen %d", sent) {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

const large = 20 << 20

// pattern gives bytes that differ everywhere, so that a part that is lost or twice there shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// TestLargeBodiesStreamThroughOrigin holds the second half of each body back until the first has come out at the far end.
func TestLargeBodiesStreamThroughOrigin(t *testing.T) {
	t.Parallel()
	data := pattern(large)
	sum := sha256.Sum256(data)
	half := make(chan struct{})
	answered := make(chan struct{})
	origin := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			_, _ = w.Write(data[:large/2])
			_ = http.NewResponseController(w).Flush()
			<-answered
			_, _ = w.Write(data[large/2:])
			return
		}
		h := sha256.New()
		if _, err := io.CopyN(h, r.Body, large/4); err != nil {
			return
		}
		close(half)
		if _, err := io.Copy(h, r.Body); err != nil {
			return
		}
		fmt.Fprint(w, hex.EncodeToString(h.Sum(nil)))
	})
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "agent ./origin.ts {\n\tlimits {\n\t\trequest_body 64MiB\n\t}\n}\nreverse_proxy "+origin.host()),
		"origin.ts": agentFile(t, "origin.ts"),
	})
	body, write := io.Pipe()
	go func() {
		_, _ = write.Write(data[:large/2])
		select {
		case <-half:
			_, _ = write.Write(data[large/2:])
			write.Close()
		case <-time.After(30 * time.Second):
			write.CloseWithError(fmt.Errorf("the origin has not seen the first quarter"))
		}
	}()
	req, _ := http.NewRequest("POST", s.url("/through"), body)
	resp, err := longClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(got) != hex.EncodeToString(sum[:]) {
		t.Errorf("the origin's sum: %d %s, %v", resp.StatusCode, got, err)
	}
	resp, err = longClient.Get(s.url("/through"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, resp.Body, large/2); err != nil {
		t.Fatalf("the first half of the answer: %v", err)
	}
	close(answered)
	if n, err := io.Copy(h, resp.Body); err != nil || n != large/2 || [32]byte(h.Sum(nil)) != sum {
		t.Errorf("the second half of the answer: %d bytes, %v", n, err)
	}
}

func TestOriginBehindTheAgent(t *testing.T) {
	t.Parallel()
	origin := newOutside(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Origin", "true")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s private=%q agent=%q %x", r.Method, r.URL.RequestURI(), r.Header.Get("X-Private"), r.Header.Get("X-From-Agent"), sha256.Sum256(b))
	})
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "waf\nhandle /static/* {\n\tagent ./origin.ts\n\trespond \"static {http.request.uri.path}\" 203\n}\nhandle {\n\tagent ./proxied.ts\n\treverse_proxy "+origin.host()+"\n}"),
		"origin.ts": agentFile(t, "origin.ts"), "proxied.ts": agentFile(t, "origin.ts"),
	})
	body := `{"text": "` + strings.Repeat("a line of the body, ", 5000) + `"}`
	sum := sha256.Sum256([]byte(body))
	for _, c := range []struct{ name, path, want string }{
		{"nothing returned", "/untouched/a?b=c", fmt.Sprintf("POST /untouched/a?b=c private=\"kept\" agent=\"\" %x", sum)},
		{"passed on", "/as-it-is?b=c", fmt.Sprintf("POST /as-it-is?b=c private=\"kept\" agent=\"\" %x", sum)},
		{"changed", "/changed?b=c", fmt.Sprintf("POST /elsewhere?b=c private=\"\" agent=\"yes\" %x", sum)},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, got := s.do("POST", c.path, body, "X-Private", "kept", "Content-Type", "application/json")
			want(t, "status", resp.StatusCode, 202)
			want(t, "answer", got, c.want)
			want(t, "origin's header", resp.Header.Get("X-Origin"), "true")
			if c.name == "changed" {
				want(t, "agent's header", resp.Header.Get("X-Seen"), "202")
			}
		})
	}
	r := s.waitFull("the record", ofPath("/as-it-is"))
	if len(r.Calls) != 1 || r.Calls[0].Kind != "origin" || r.Calls[0].Status != 202 {
		t.Errorf("the record's calls: %+v", r.Calls)
	}
	resp, got := s.do("GET", "/static/page", "")
	want(t, "respond's status", resp.StatusCode, 203)
	want(t, "respond's body", got, "static /static/page")
}

// failing is an agent whose code fails in the way that the path names.
func failing(t *testing.T) (*server, *steps) {
	st := newSteps(t)
	return startServer(t, map[string]string{
		"Caddyfile": site(egressTo("steps", st.outside)+fmt.Sprintf(`agent failing {
	main ./failing.ts
	var STEP %[1]s
	egress steps
	limits {
		cpu 1s
		wall 20s
		subrequests 3
	}
}
agent hasty {
	main ./failing.ts
	limits {
		cpu 50ms
		wall 300ms
	}
}
`, st.URL), "handle_path /hasty/* {\n\tagent hasty\n}\nhandle {\n\tagent failing\n}"),
		"failing.ts": agentFile(t, "failing.ts"),
	}), st
}

func TestThrownErrorNamesTheAuthorsLine(t *testing.T) {
	t.Parallel()
	s, _ := failing(t)
	resp, body := s.do("GET", "/throw", "")
	want(t, "status", resp.StatusCode, 500)
	if strings.Contains(body, "lever") {
		t.Errorf("the answer tells what the code threw: %s", body)
	}
	r := s.waitFull("the record", ofPath("/throw"))
	want(t, "outcome", r.Outcome, "exception")
	if len(r.Exceptions) != 1 {
		t.Fatalf("exceptions: %+v", r.Exceptions)
	}
	x := r.Exceptions[0]
	want(t, "name", x.Name, "TypeError")
	want(t, "message", x.Message, "the lever is broken")
	source := agentFile(t, "failing.ts")
	thrown, called := lineOf(t, source, "// here it is thrown"), lineOf(t, source, `read({ part: "lever" })`)
	mustContain(t, "stack", x.Stack, fmt.Sprintf("failing.ts:%d:", thrown), fmt.Sprintf("failing.ts:%d:", called))
	s.get("/fine", 200)
	r = s.waitFull("the record", ofPath("/fine"))
	want(t, "outcome of the next", r.Outcome, "ok")
	if len(r.Logs) != 1 || !strings.Contains(r.Logs[0].Message, "fine") || !strings.Contains(r.Logs[0].Message, "42") {
		t.Errorf("logs: %+v", r.Logs)
	}
}

// TestEndlessLoopStopsWhileOthersGoOn answers other requests while the loop runs: had they waited for it, they would
// end after it.
func TestEndlessLoopStopsWhileOthersGoOn(t *testing.T) {
	t.Parallel()
	s, _ := failing(t)
	spun := make(chan time.Time, 1)
	var status int
	go func() {
		resp, _, err := s.try("GET", "/spin", "")
		if err == nil {
			status = resp.StatusCode
		}
		spun <- time.Now()
	}()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 5 {
				if resp, body, err := s.try("GET", "/fine", ""); err != nil || resp.StatusCode != 200 {
					t.Errorf("another request: %v %v %s", err, resp, body)
				}
			}
		})
	}
	group.Wait()
	others := time.Now()
	ended, err := next(spun)
	if err != nil {
		t.Fatalf("the loop was not stopped: %v", err)
	}
	if !others.Before(ended) {
		t.Errorf("other requests ended %v after the loop", others.Sub(ended))
	}
	want(t, "status", status, 503)
	r := s.waitFull("the record", ofPath("/spin"))
	want(t, "outcome", r.Outcome, "exceededCpu")
	if r.CPUMillis < 900 || r.CPUMillis > 5000 {
		t.Errorf("stopped after %v ms, the limit is 1000", r.CPUMillis)
	}
	resp, _ := s.do("GET", "/hasty/spin", "")
	want(t, "status at 50 ms", resp.StatusCode, 503)
}

func TestWallLimit(t *testing.T) {
	t.Parallel()
	s, _ := failing(t)
	resp, _ := s.do("GET", "/hasty/wait", "")
	want(t, "status", resp.StatusCode, 504)
	r := s.waitFull("the record", func(r fullRecord) bool { return r.Agent == "hasty" })
	want(t, "outcome", r.Outcome, "exceededWallTime")
	if r.Wall < 290 || r.Wall > 5000 {
		t.Errorf("ended after %v ms, the limit is 300", r.Wall)
	}
}

func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	s, st := failing(t)
	ctx, leave := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "GET", s.url("/step"), nil)
	done := make(chan error, 1)
	go func() {
		resp, err := longClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	if _, err := next(st.asked); err != nil {
		t.Fatal(err)
	}
	leave()
	if err, _ := next(done); err == nil {
		t.Fatal("the request got an answer")
	}
	want(t, "outcome", s.waitFull("the record", ofPath("/step")).Outcome, "canceled")
}

func TestSubrequestLimit(t *testing.T) {
	t.Parallel()
	s, st := failing(t)
	go func() {
		for range 3 {
			st.next <- "here"
		}
	}()
	mustContain(t, "answer", s.get("/many", 200), "3 sent, then Error: ", "subrequest")
	if n := len(s.waitFull("the record", ofPath("/many")).Calls); n != 3 {
		t.Errorf("%d calls went out, the limit is 3", n)
	}
}

func TestWaitUntilGoesOnAfterTheAnswer(t *testing.T) {
	t.Parallel()
	s, st := failing(t)
	want(t, "answer", s.get("/background", 200), "answered")
	asked, err := next(st.asked)
	if err != nil || asked != "GET /background" {
		t.Fatalf("the background asked %q, %v", asked, err)
	}
	st.next <- "go on"
	r := s.waitFull("the record", ofPath("/background"))
	if len(r.Logs) != 1 || r.Logs[0].Message != "done in the background" {
		t.Errorf("logs: %+v", r.Logs)
	}
	s.get("/late", 200)
	r = s.waitFull("the record", ofPath("/late"))
	if len(r.Exceptions) != 1 || r.Exceptions[0].Message != "late failure" {
		t.Errorf("exceptions: %+v", r.Exceptions)
	}
}

func TestPackagesAndModules(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile":             site("", "agent ./package.ts"),
		"package.ts":            agentFile(t, "package.ts"),
		"package/mood.ts":       "export enum Mood { Sad = 1, Glad }\nexport interface Options { mood: Mood }\n",
		"package/settings.json": `{"name": "Ada", "numbers": [1, 2, 3]}`,
		"node_modules/tiny-greeter/package.json": `{"name": "tiny-greeter", "version": "1.0.0", "main": "main.cjs",
			"exports": {".": {"workerd": "./worker.mjs", "default": "./main.cjs"}}}`,
		"node_modules/tiny-greeter/worker.mjs": "import { shout } from './shout.cjs';\nexport const volume = 11;\nexport default (name) => shout('hello ' + name);\n",
		"node_modules/tiny-greeter/shout.cjs":  "exports.shout = (s) => s.toUpperCase();\n",
		"node_modules/tiny-greeter/main.cjs":   "throw new Error('the entry for other platforms was taken');\n",
	})
	want(t, "answer", s.get("/", 200), "HELLO ADA Glad 11 3")
}

func TestWranglerFileAndCron(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("agent bindings {\n\twrangler ./wrangler.jsonc\n\tvar FROM_CADDY added\n\tvar GREETING \"hello from Caddy\"\n}\n", "agent bindings"),
		"wrangler.jsonc": `{
	// Comments and trailing commas are allowed.
	"name": "bindings",
	"main": "src/bindings.ts",
	"compatibility_date": "2026-01-01",
	"vars": { "GREETING": "hello from the file", "SETTINGS": { "deep": [1, 7] }, },
	"durable_objects": { "bindings": [{ "name": "COUNTER", "class_name": "Counter" }] },
	"migrations": [{ "tag": "v1", "new_sqlite_classes": ["Counter"] }],
	"kv_namespaces": [{ "binding": "NOTES", "id": "notes" }],
	"triggers": { "crons": ["* * * * *"] },
}`,
		"src/bindings.ts": agentFile(t, "bindings.ts"),
	})
	type answer struct {
		Count    int
		Greeting string
		Deep     int
		Caddy    string
		Crons    []string
	}
	for i := range 2 {
		a := decode[answer](t, s.get("/", 200))
		want(t, "count", a.Count, 2*(i+1))
		want(t, "a var that the Caddyfile changes", a.Greeting, "hello from Caddy")
		want(t, "a var of the file", a.Deep, 7)
		want(t, "a var of the Caddyfile", a.Caddy, "added")
	}
	// The minute begins at most 60 s from now.
	deadline := time.After(75 * time.Second)
	poll := time.NewTicker(500 * time.Millisecond)
	defer poll.Stop()
	for {
		a := decode[answer](t, s.get("/", 200))
		if len(a.Crons) > 0 {
			var minute int64
			if _, err := fmt.Sscanf(strings.TrimPrefix(a.Crons[0], "cron/* * * * */"), "%d", &minute); err != nil || minute%60_000 != 0 {
				t.Errorf("the scheduled handler was given %q", a.Crons[0])
			}
			break
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatal("the scheduled handler has not run within a minute")
		}
	}
	r := s.waitFull("the record", func(r fullRecord) bool { return r.Kind == "scheduled" })
	want(t, "path", r.Path, "* * * * *")
	want(t, "outcome", r.Outcome, "ok")
	// Nor does a schedule get past the egress filter.
	if len(r.Calls) != 1 || r.Calls[0].Decision != "refuse" || len(r.Logs) != 1 || r.Logs[0].Message != "EGRESS_DENIED" {
		t.Errorf("the fetch of the scheduled handler: %+v, %+v", r.Calls, r.Logs)
	}
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	hanging := newOutside(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := startServer(t, map[string]string{
		"Caddyfile": site(egressTo("steps", hanging)+fmt.Sprintf("agent platform {\n\tmain ./platform.ts\n\tkv NOTES notes\n\tvar STEP %s\n\tegress steps\n}\n", hanging.URL),
			"agent platform"),
		"platform.ts": agentFile(t, "platform.ts"),
	})
	for name, wanted := range map[string]string{
		"kv": `{"names":["a/1","a/2"],"kind":"first","expires":true,"second":[false,["b/1"],true],"value":"one","found":{"kind":"first"},` +
			`"json":{"n":3},"gone":null,"missing":null,"short":"Invalid expiration_ttl of 10. Expiration TTL must be at least 60."}`,
		"digest": fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256([]byte("gatehouse")))),
		"clone":  `[0,[1,2],[1,2,3],true,true]`,
		"timers": `[["microtask","early","late"],true]`,
		"abort":  `["AbortError","TimeoutError"]`,
		"random": `[true,true,true]`,
		"text":   `["Z2F0ZQ==","house","høne ☂","https://x.example/a/b?c=1#d"]`,
	} {
		t.Run(name, func(t *testing.T) { want(t, "answer", s.get("/"+name, 200), wanted) })
	}
	for range 3 {
		want(t, "what a runtime kept of the request before", s.get("/fresh", 200), "1")
	}
}
