package waf

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// served is an httptest server whose handler runs behind an engine as a caller of this package runs it.
type served struct {
	*httptest.Server
	verdicts chan Verdict
}

// serve starts a server. Requests whose verdict is Block get its status; h answers the others.
func serve(t *testing.T, e *Engine, h http.HandlerFunc) *served {
	t.Helper()
	s := &served{verdicts: make(chan Verdict, 16)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "edge")
		tx, err := e.Inspect(r, caller, "test")
		if err != nil {
			http.Error(w, "refused", http.StatusInternalServerError)
			return
		}
		defer func() {
			tx.Close()
			s.verdicts <- tx.Verdict()
		}()
		if v := tx.Verdict(); v.Action == Block {
			w.WriteHeader(v.Status)
			return
		}
		h(tx.ResponseWriter(w, r, nil), r)
		if _, err := tx.Finish(); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// get fetches the server's root and returns the response with its body read.
func (s *served) get(t *testing.T) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "curl/8.15.0")
	req.Header.Set("Accept", "*/*")
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// leak is what a broken application prints: rule 951230 of the CRS and its neighbours know it.
const leak = "<b>Warning</b>: You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"

func inspecting(types ...string) Config { return Config{CRS: true, Responses: types} }

func TestLeakIsRefused(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/html")), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "Text/HTML; charset=utf-8")
		w.Header().Set("X-Secret", "internal")
		w.Header().Set("Content-Length", fmt.Sprint(len(leak)))
		io.WriteString(w, leak)
	})
	res, body := s.get(t)
	v := <-s.verdicts
	if res.StatusCode != 403 || body != "" {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
	if res.Header.Get("X-Secret") != "" || res.Header.Get("Server") != "edge" {
		t.Errorf("headers %v", res.Header)
	}
	if v.Action != Block || v.OutboundScore < 4 || !hasTag(v, "attack-disclosure") {
		t.Errorf("verdict %+v", v)
	}
}

func TestLeakPasses(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		set    func(w http.ResponseWriter)
		action Action
	}{
		{"in detect mode", Config{CRS: true, Mode: ModeDetect, Responses: []string{"text/html"}}, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") }, Detect},
		{"where nothing is configured", Config{CRS: true}, func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") }, Pass},
		{"in another type", inspecting("text/plain"), func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") }, Pass},
		{"in an encoded body", inspecting("text/html"), func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", "br")
		}, Pass},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, newEngine(t, tc.config), func(w http.ResponseWriter, r *http.Request) {
				tc.set(w)
				w.WriteHeader(http.StatusAccepted)
				io.WriteString(w, leak)
			})
			res, body := s.get(t)
			if v := <-s.verdicts; v.Action != tc.action {
				t.Errorf("%s, want %s", v.Action, tc.action)
			}
			if res.StatusCode != http.StatusAccepted || body != leak {
				t.Errorf("status %d, body %q", res.StatusCode, body)
			}
		})
	}
}

func TestSniffedTypeIsInspected(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/html")), func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html><body>"+leak)
	})
	if res, _ := s.get(t); res.StatusCode != 403 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestSniffedTypeAfterWriteHeader(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/html")), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "<html><body>"+leak)
	})
	if res, _ := s.get(t); res.StatusCode != 403 {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestBenignBodyArrivesWhole(t *testing.T) {
	const limit = 1000
	for _, size := range []int{0, 1, limit, limit + 1, 100 * limit} {
		for _, readFrom := range []bool{false, true} {
			c := inspecting("text/plain")
			c.ResponseLimit = limit
			want := strings.Repeat("lorem ipsum ", size/12+1)[:size]
			s := serve(t, newEngine(t, c), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Length", fmt.Sprint(size))
				w.WriteHeader(http.StatusCreated)
				if readFrom {
					w.(io.ReaderFrom).ReadFrom(strings.NewReader(want))
					return
				}
				for part := range slices.Chunk([]byte(want), 300) {
					w.Write(part)
				}
			})
			res, body := s.get(t)
			if res.StatusCode != http.StatusCreated || body != want || res.ContentLength != int64(size) {
				t.Errorf("size %d, ReadFrom %v: status %d, %d bytes, length %d", size, readFrom, res.StatusCode, len(body), res.ContentLength)
			}
		}
	}
}

func TestLeakAfterTheLimitIsNotHeldBack(t *testing.T) {
	c := inspecting("text/plain")
	c.ResponseLimit = 100
	s := serve(t, newEngine(t, c), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, strings.Repeat("a", 200))
		io.WriteString(w, leak)
	})
	if res, body := s.get(t); res.StatusCode != 200 || !strings.HasSuffix(body, leak) {
		t.Errorf("status %d, %d bytes", res.StatusCode, len(body))
	}
}

// TestEventsArriveOneByOne lets the handler send an event only after the client has read the one before.
func TestEventsArriveOneByOne(t *testing.T) {
	for _, contentType := range []string{"text/event-stream", "text/plain"} {
		t.Run(contentType, func(t *testing.T) {
			seen := make(chan struct{})
			s := serve(t, newEngine(t, inspecting("text/plain", "text/html")), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", contentType)
				for i := range 3 {
					fmt.Fprintf(w, "data: %d\n\n", i)
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Error(err)
					}
					select {
					case <-seen:
					case <-r.Context().Done():
						t.Errorf("event %d did not arrive", i)
						return
					}
				}
			})
			req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
			req.Header.Set("User-Agent", "curl/8.15.0")
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for i := range 3 {
				line, err := lines.ReadString('\n')
				if err != nil || line != fmt.Sprintf("data: %d\n", i) {
					t.Fatalf("event %d: %q, %v", i, line, err)
				}
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				seen <- struct{}{}
			}
			if _, err := lines.ReadByte(); err != io.EOF {
				t.Errorf("after the last event: %v", err)
			}
		})
	}
}

func TestFlushInspectsWhatWasHeld(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, leak)
		w.(http.Flusher).Flush()
		io.WriteString(w, "and more")
	})
	if res, body := s.get(t); res.StatusCode != 403 || body != "" {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
}

func TestHeadersAreInspected(t *testing.T) {
	c := Config{Directives: `SecRule RESPONSE_HEADERS:X-Debug "@rx ." "id:1,phase:3,deny,status:502,msg:'debug header'"`}
	s := serve(t, newEngine(t, c), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Debug", "stack trace")
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
	})
	res, body := s.get(t)
	if res.StatusCode != 502 || body != "" || res.Header.Get("X-Debug") != "" {
		t.Errorf("status %d, body %q, headers %v", res.StatusCode, body, res.Header)
	}
	if v := <-s.verdicts; v.Action != Block || v.Status != 502 || len(v.Rules) != 1 || v.Rules[0].Phase != 3 {
		t.Errorf("verdict %+v", v)
	}
}

func TestDenyWritesTheRefusal(t *testing.T) {
	e := newEngine(t, inspecting("text/plain"))
	tx, err := e.Inspect(browser("GET", "/", "", ""), caller, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	rec := httptest.NewRecorder()
	calls := 0
	w := tx.ResponseWriter(rec, browser("GET", "/", "", ""), func(w http.ResponseWriter, v Verdict) {
		calls++
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(v.Status)
		fmt.Fprintf(w, `{"status":%d}`, v.Status)
	})
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, leak)
	v, err := tx.Finish()
	if err != nil || v.Action != Block {
		t.Errorf("%s, %v", v.Action, err)
	}
	w.Header().Set("X-Late", "1")
	io.WriteString(w, "late")
	if _, err := tx.Finish(); err != nil {
		t.Error(err)
	}
	if calls != 1 || rec.Code != 403 || rec.Body.String() != `{"status":403}` || rec.Header().Get("X-Late") != "" {
		t.Errorf("%d calls, %d %q %v", calls, rec.Code, rec.Body, rec.Header())
	}
}

func TestInformationalResponsesPass(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})
	if res, body := s.get(t); res.StatusCode != http.StatusTeapot || body != "short and stout" {
		t.Errorf("status %d, body %q", res.StatusCode, body)
	}
}

func TestStatusWithoutABody(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNoContent, http.StatusNotModified, http.StatusNotFound} {
		s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(status)
		})
		if res, body := s.get(t); res.StatusCode != status || body != "" {
			t.Errorf("status %d became %d, body %q", status, res.StatusCode, body)
		}
	}
}

func TestUpgradeAndHijack(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		line, err := buf.ReadString('\n')
		if err != nil {
			t.Error(err)
			return
		}
		buf.WriteString("echo " + line)
		buf.Flush()
	})
	conn, err := net.DialTimeout("tcp", s.Listener.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: curl/8.15.0\r\nAccept: */*\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	buf := bufio.NewReader(conn)
	res, err := http.ReadResponse(buf, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := buf.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestHijackOfPlainResponse(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buf.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		buf.Flush()
	})
	if res, body := s.get(t); res.StatusCode != 200 || body != "hi" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestResponseControllerReachesTheServer(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if err := rc.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		if err := w.(http.Pusher).Push("/a.css", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Error(err)
		}
		io.WriteString(w, "ok")
	})
	if _, body := s.get(t); body != "ok" {
		t.Errorf("%q", body)
	}
}

func TestCompressedResponseIsUntouched(t *testing.T) {
	s := serve(t, newEngine(t, inspecting("text/plain")), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, leak)
		z.Close()
	})
	res, body := s.get(t)
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || string(plain) != leak || res.StatusCode != 200 {
		t.Errorf("%d %q %v", res.StatusCode, plain, err)
	}
}

func TestVerdictAndWritesAfterClose(t *testing.T) {
	e := newEngine(t, inspecting("text/plain"))
	r := browser("GET", "/", "", "")
	tx, err := e.Inspect(r, caller, "test")
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w := tx.ResponseWriter(rec, r, nil)
	tx.Close()
	tx.Close()
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, "late")
	w.(http.Flusher).Flush()
	if _, err := tx.Finish(); err != nil {
		t.Error(err)
	}
	if rec.Code != http.StatusAccepted || rec.Body.String() != "late" || tx.Verdict().Action != Pass {
		t.Errorf("%d %q %+v", rec.Code, rec.Body, tx.Verdict())
	}
}

// TestFailedHandlerLeavesTheAnswerToTheCaller closes without Finish, as after a handler's error or panic.
func TestFailedHandlerLeavesTheAnswerToTheCaller(t *testing.T) {
	e := newEngine(t, inspecting("text/plain"))
	for _, typed := range []bool{true, false} {
		r := browser("GET", "/", "", "")
		tx, err := e.Inspect(r, caller, "test")
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		rec.Header().Set("Server", "edge")
		w := tx.ResponseWriter(rec, r, nil)
		w.Header().Set("Content-Length", "100")
		if typed {
			w.Header().Set("Content-Type", "text/plain")
		}
		w.WriteHeader(http.StatusCreated)
		if typed {
			io.WriteString(w, "half of an")
		}
		tx.Close()
		rec.WriteHeader(http.StatusBadGateway)
		if rec.Code != http.StatusBadGateway || rec.Body.Len() != 0 || len(rec.Header()) != 1 {
			t.Errorf("typed %v: %d %q %v", typed, rec.Code, rec.Body, rec.Header())
		}
	}
}

// TestHeadersOfAnErrorStay is a handler that sets a header and answers with an error of its own.
func TestHeadersOfAnErrorStay(t *testing.T) {
	e := newEngine(t, inspecting("text/plain"))
	r := browser("GET", "/", "", "")
	tx, err := e.Inspect(r, caller, "test")
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	tx.ResponseWriter(rec, r, nil).Header().Set("Www-Authenticate", "Bearer")
	tx.Close()
	if rec.Header().Get("Www-Authenticate") != "Bearer" {
		t.Error("the header is gone")
	}
}
