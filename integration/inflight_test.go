package integration

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// holding is an origin that answers when it is let.
func holding(t *testing.T) (address string, arrived <-chan string, release func()) {
	t.Helper()
	came, gate := make(chan string, 100), make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			came <- r.URL.Path
			<-gate
		}
		fmt.Fprint(w, "done")
	}))
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(origin.Close)
	t.Cleanup(release)
	return strings.TrimPrefix(origin.URL, "http://"), came, release
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"connections", "in_flight"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			address, arrived, release := holding(t)
			s := startServer(t, map[string]string{
				"Caddyfile": site("", "throttle {\n\t"+option+" 2\n}\nreverse_proxy "+address),
			})
			var held sync.WaitGroup
			for range 2 {
				held.Go(func() {
					if resp, body, err := s.try("GET", "/hold", ""); err != nil || resp.StatusCode != 200 || body != "done" {
						t.Errorf("a request that was let in: %v, %v, %q", resp, err, body)
					}
				})
				if _, err := next(arrived); err != nil {
					t.Fatal(err)
				}
			}
			resp, body := s.do("GET", "/over", "")
			want(t, "status over the bound", resp.StatusCode, 503)
			want(t, "Retry-After", resp.Header.Get("Retry-After"), "1")
			mustContain(t, "the answer", body, `"status":503`, "#throttle")
			r := s.waitFull("the record", ofPath("/over"))
			want(t, "refused_by", r.RefusedBy, "throttle")
			want(t, "outcome", r.Outcome, "loadShed")
			release()
			held.Wait()
			// The client may open a connection before it has those of the requests that were held back.
			s.wait("an answer afterwards", func() bool {
				resp, body, err := s.try("GET", "/after", "")
				return err == nil && resp.StatusCode == 200 && body == "done"
			})
		})
	}
}

func TestInFlightInShadow(t *testing.T) {
	t.Parallel()
	address, arrived, release := holding(t)
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "throttle {\n\tzone all {client_ip} 1/h\n\tconnections 1\n\tmode shadow\n}\nreverse_proxy "+address),
	})
	held := make(chan string, 1)
	go func() { held <- s.get("/hold", 200) }()
	if _, err := next(arrived); err != nil {
		t.Fatal(err)
	}
	resp, body := s.do("GET", "/over", "")
	want(t, "status", resp.StatusCode, 200)
	want(t, "the answer", body, "done")
	for _, name := range []string{"Retry-After", "RateLimit", "RateLimit-Policy"} {
		want(t, name+" in shadow", resp.Header.Get(name), "")
	}
	statuses := fmt.Sprint()
	for _, refusal := range s.shadowOf("/over") {
		statuses += fmt.Sprint(refusal.Stage, " ", refusal.Status, "; ")
	}
	want(t, "refused in shadow", statuses, "throttle 503; throttle 429; ")
	release()
	<-held
}

// TestSlowBody sends a body a byte at a time, which is cut, beside one that pauses and then comes at once.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{
		"Caddyfile": site("", "throttle {\n\tbody_rate 1KiB\n}\nwaf\nrespond hello"),
	})
	send := func(body string, pause time.Duration, until time.Duration) (int, time.Duration) {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Error(err)
			return 0, 0
		}
		defer conn.Close()
		began := time.Now()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nUser-Agent: test\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", s.address(), len(body))
		go func() {
			for i := 0; i < len(body) && time.Since(began) < until; i++ {
				if _, err := conn.Write([]byte(body[i : i+1])); err != nil {
					return
				}
				time.Sleep(pause)
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Error(err)
			return 0, 0
		}
		defer resp.Body.Close()
		return resp.StatusCode, time.Since(began)
	}
	var both sync.WaitGroup
	both.Go(func() {
		status, took := send(`"`+strings.Repeat("a", 100_000)+`"`, 50*time.Millisecond, 25*time.Second)
		want(t, "status of a slow body", status, 408)
		t.Logf("it was cut after %v", took)
	})
	both.Go(func() {
		status, _ := send(`{"a":1}`, time.Second, 25*time.Second)
		want(t, "status of a short body that takes its time", status, 200)
	})
	both.Wait()
}
