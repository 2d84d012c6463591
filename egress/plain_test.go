package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scripted dials a server that reads one request of a connection and sends reply, then closes.
func scripted(reply []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
				return
			}
			_, _ = server.Write(reply)
		}()
		return client, nil
	}
}

// outcome is what a caller sees of an answer.
type outcome struct {
	Failed  bool
	Status  int
	Header  http.Header
	Body    string
	Cut     bool // the body failed
	Length  int64
	Trailer http.Header
}

func outcomeOf(t http.RoundTripper, method string) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, method, "http://origin.example/", nil)
	resp, err := t.RoundTrip(req)
	if err != nil {
		return outcome{Failed: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return outcome{Status: resp.StatusCode, Header: resp.Header, Body: string(body), Cut: err != nil, Length: resp.ContentLength, Trailer: resp.Trailer}
}

// compareReply holds the plain transport to net/http's, which reads the same bytes.
func compareReply(t *testing.T, method string, reply []byte) {
	t.Helper()
	dial := scripted(reply)
	std := &http.Transport{DialContext: dial, MaxResponseHeaderBytes: maxHeaderBytes}
	defer std.CloseIdleConnections()
	plain := &plainTransport{dial: dial}
	defer plain.idle.close()
	a, b := outcomeOf(std, method), outcomeOf(plain, method)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s, answered by %q:\nnet/http gives %+v\nplain gives    %+v", method, reply, a, b)
	}
}

var replies = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
	"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX\x00: a\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 5) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 6) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 1000 Much\r\n\r\n",
	"HTTP/1.1 99 Little\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n",
	"ICY 200 OK\r\n\r\n",
	"SSH-2.0-OpenSSH\r\n",
	"",
	"HTTP/1.1 200 OK\r\nBig: " + strings.Repeat("x", maxHeaderBytes) + "\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 27\r\n\r\n" + zipped("hello"),
	"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip",
	"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok",
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestPlainReadsAsNetHTTP(t *testing.T) {
	for _, reply := range replies {
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			compareReply(t, method, []byte(reply))
		}
	}
}

func FuzzPlainResponse(f *testing.F) {
	for i, reply := range replies {
		f.Add(i%3 == 0, []byte(reply))
	}
	f.Fuzz(func(t *testing.T, head bool, reply []byte) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		compareReply(t, method, reply)
	})
}

// plainServer is a server on the loopback that counts its connections, and a transport to it.
func plainServer(t *testing.T, handler http.HandlerFunc) (*plainTransport, string, *atomic.Int64) {
	t.Helper()
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(handler)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	transport := &plainTransport{dial: (&net.Dialer{}).DialContext}
	t.Cleanup(transport.idle.close)
	return transport, s.URL, &conns
}

func ask(t *testing.T, via http.RoundTripper, method, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp, string(text)
}

func TestPlainKeepsConnections(t *testing.T) {
	via, url, conns := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/close":
			w.Header().Set("Connection", "close")
		case "/long":
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, r.Method)
	})
	for range 3 {
		if _, body := ask(t, via, "GET", url, nil); body != "GET" {
			t.Fatalf("got %q", body)
		}
		if _, body := ask(t, via, "POST", url, strings.NewReader("body, ")); body != "body, POST" {
			t.Fatalf("got %q", body)
		}
		if _, body := ask(t, via, "POST", url, io.MultiReader(strings.NewReader("stream, "))); body != "stream, POST" {
			t.Fatalf("got %q", body)
		}
		ask(t, via, "HEAD", url, nil)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("12 requests one after the other took %d connections, want 1", n)
	}
	ask(t, via, "GET", url+"/close", nil)
	ask(t, via, "GET", url, nil)
	if n := conns.Load(); n != 2 {
		t.Errorf("after an answer with Connection: close there were %d connections, want 2", n)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/long", nil)
	resp, err := via.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ask(t, via, "GET", url, nil)
	if n := conns.Load(); n != 3 {
		t.Errorf("after an answer that was given up there were %d connections, want 3", n)
	}
}

// TestPlainAfterServerCloses has the server end each connection after its answer, without having said so.
func TestPlainAfterServerCloses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	closed := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
			conn.Close()
			closed <- struct{}{}
		}
	}()
	via := &plainTransport{dial: (&net.Dialer{}).DialContext}
	defer via.idle.close()
	for _, method := range []string{"GET", "POST", "GET", "POST"} {
		if _, body := ask(t, via, method, "http://"+listener.Addr().String(), nil); body != "ok" {
			t.Fatalf("%s: got %q", method, body)
		}
		<-closed
	}
}

// TestPlainRetries hands over a connection that ends under the request: one that may be repeated is.
func TestPlainRetries(t *testing.T) {
	stale := func() *plainTransport {
		via := &plainTransport{dial: scripted([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))}
		client, server := net.Pipe()
		c := &plainConn{Conn: client, origin: "origin.example", used: true, out: bufio.NewWriter(client)}
		c.in = bufio.NewReader(c)
		via.idle.put(c)
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(server))
			server.Close()
		}()
		return via
	}
	for _, c := range []struct {
		method string
		body   io.Reader
		key    string
		again  bool
	}{
		{"GET", nil, "", true},
		{"PUT", nil, "", false},
		{"POST", strings.NewReader("x"), "", false},
		{"POST", strings.NewReader("x"), "1", true},
		{"POST", io.MultiReader(strings.NewReader("x")), "1", false},
	} {
		via := stale()
		req, _ := http.NewRequestWithContext(t.Context(), c.method, "http://origin.example/", c.body)
		if c.key != "" {
			req.Header.Set("Idempotency-Key", c.key)
		}
		resp, err := via.RoundTrip(req)
		if (err == nil) != c.again {
			t.Errorf("%s with body %T and key %q: %v, sent again: %v, want %v", c.method, c.body, c.key, err, err == nil, c.again)
		}
		if err == nil {
			resp.Body.Close()
		}
		via.idle.close()
	}
}

func TestPlainBodies(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	via, url, _ := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			_ = http.NewResponseController(w).EnableFullDuplex() // or it waits for the body
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(413)
			w.(http.Flusher).Flush()
		case "/part":
			_, _ = io.WriteString(w, "part")
			w.(http.Flusher).Flush()
			<-release
		case "/silent":
			<-release
		default:
			_, _ = io.Copy(io.Discard, r.Body)
		}
	})
	// The answer comes before the body's end.
	body, feed := io.Pipe()
	resp, _ := ask(t, via, "POST", url+"/early", body)
	if resp.StatusCode != 413 {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
	if _, err := feed.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the body of a request that was answered: %v, want it closed", err)
	}
	// The body fails: that is the reason the caller gets.
	broken := errors.New("the sensor fell off")
	body, feed = io.Pipe()
	go func() {
		_, _ = feed.Write([]byte("some"))
		feed.CloseWithError(broken)
	}()
	req, _ := http.NewRequestWithContext(t.Context(), "POST", url, body)
	if _, err := via.RoundTrip(req); !errors.Is(err, broken) {
		t.Errorf("a body that breaks: %v, want %v", err, broken)
	}
	// The caller goes away: before the answer, and in the middle of it.
	for _, path := range []string{"/silent", "/part"} {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ = http.NewRequestWithContext(ctx, "GET", url+path, nil)
		time.AfterFunc(20*time.Millisecond, cancel)
		resp, err := via.RoundTrip(req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the call ended well although it was cancelled", path)
		}
		cancel()
	}
	// Close ends a read that waits.
	req, _ = http.NewRequestWithContext(t.Context(), "GET", url+"/part", nil)
	resp, err := via.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { resp.Body.Close() })
	if text, err := io.ReadAll(resp.Body); string(text) != "part" || err == nil {
		t.Errorf("a body that was closed while it was read: %q, %v", text, err)
	}
}

func TestIdleConnsAreBounded(t *testing.T) {
	var l idleConns
	open := 0
	for i := range 2 * maxIdle {
		client, server := net.Pipe()
		defer server.Close()
		l.put(&plainConn{Conn: client, origin: fmt.Sprint(i % 8)})
	}
	for i := range 8 {
		for c := l.take(fmt.Sprint(i)); c != nil; c = l.take(fmt.Sprint(i)) {
			open++
			c.Close()
		}
	}
	if open != maxIdle {
		t.Errorf("%d connections were kept, want %d", open, maxIdle)
	}
	l.close()
	client, server := net.Pipe()
	defer server.Close()
	l.put(&plainConn{Conn: client})
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("a connection that was put after the close is open")
	}
}
