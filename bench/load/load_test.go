package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func get(path string) func([]byte, int, int) []byte {
	return func(buf []byte, conn, seq int) []byte {
		return fmt.Appendf(buf, "GET %s?n=%d-%d HTTP/1.1\r\nHost: test\r\n\r\n", path, conn, seq)
	}
}

func TestRunSeesEveryAnswer(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		io.WriteString(w, r.URL.Query().Get("n"))
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
			io.WriteString(w, strings.Repeat("x", 40_000))
		}
	}))
	defer server.Close()
	for _, path := range []string{"/", "/chunked"} {
		t.Run(path, func(t *testing.T) {
			served.Store(0)
			result, err := Run(t.Context(), Config{
				Addr: server.Listener.Addr().String(), Connections: 4, Duration: 50 * time.Millisecond, Request: get(path),
				Check: func(conn, seq, status int, body []byte) error {
					want := strconv.Itoa(conn) + "-" + strconv.Itoa(seq)
					if path == "/chunked" {
						want += strings.Repeat("x", 40_000)
					}
					if status != 200 || string(body) != want {
						return fmt.Errorf("status %d, %d bytes, want %d", status, len(body), len(want))
					}
					return nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if int64(result.Requests) != served.Load() || result.Requests == 0 {
				t.Errorf("counted %d answers, the server gave %d", result.Requests, served.Load())
			}
			if result.Elapsed < 50*time.Millisecond || result.PerSecond() <= 0 {
				t.Errorf("ran %v at %.0f/s", result.Elapsed, result.PerSecond())
			}
			if p50, p99 := result.Percentile(50), result.Percentile(99); p50 <= 0 || p99 < p50 {
				t.Errorf("p50 %v, p99 %v", p50, p99)
			}
		})
	}
}

func TestRunEndsAtTheFirstWrongAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer server.Close()
	wrong := errors.New("wrong")
	_, err := Run(t.Context(), Config{
		Addr: server.Listener.Addr().String(), Connections: 8, Duration: time.Minute, Request: get("/"),
		Check: func(_, _, status int, _ []byte) error {
			if status != 200 {
				return wrong
			}
			return nil
		},
	})
	if !errors.Is(err, wrong) {
		t.Fatalf("got %v, want the check's error", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := listener.Accept(); err == nil { // takes the request and never answers
			defer conn.Close()
			bufio.NewReader(conn).ReadString('\n')
			cancel()
			<-t.Context().Done()
		}
	}()
	_, err = Run(ctx, Config{Addr: listener.Addr().String(), Duration: time.Minute, Request: get("/"),
		Check: func(int, int, int, []byte) error { return nil }})
	if !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v, want the error of a closed connection", err)
	}
}

func TestReadAnswer(t *testing.T) {
	tests := []struct {
		name, in string
		status   int
		body     string
		last     bool
		err      error
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, nil},
		{"no phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", false, nil},
		{"chunks, extension, trailer", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n", 200, "hello!", false, nil},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, nil},
		{"close", "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503, "", true, nil},
		{"no framing", "HTTP/1.1 200 OK\r\n\r\n", 200, "", false, errLength},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 200, "", false, errLength},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", 0, "", false, errStatusLine},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "", false, errChunk},
		{"chunk too long for its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 200, "a", false, errChunk},
		{"too long", "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 200, "", false, errTooLong},
		{"cut short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 200, "hel\x00\x00", false, io.ErrUnexpectedEOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readAnswer(bufio.NewReader(strings.NewReader(test.in)), nil)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if got.status != test.status || string(got.body) != test.body || got.last != test.last {
				t.Errorf("got %d %q %v, want %d %q %v", got.status, got.body, got.last, test.status, test.body, test.last)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var r Result
	if r.Percentile(50) != 0 {
		t.Error("a run without answers has a latency")
	}
	for i := range 200 {
		r.latencies = append(r.latencies, time.Duration(i+1))
	}
	for p, want := range map[float64]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := r.Percentile(p); got != want {
			t.Errorf("percentile %v: got %d, want %d", p, got, want)
		}
	}
}
