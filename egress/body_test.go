package egress

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestResponseLimit(t *testing.T) {
	tests := []struct {
		name  string
		limit int64
		size  int
		mode  string
		want  int // bytes read; -1: all
	}{
		{"at the limit", 100, 100, "length", -1},
		{"announced past the limit", 100, 101, "length", 0},
		{"chunked at the limit", 100, 100, "chunked", -1},
		{"chunked past the limit", 100, 101, "chunked", 100},
		{"compressed past the limit", 100, 5000, "gzip", 100},
		{"unlimited", Unlimited, 5000, "chunked", -1},
		{"default", 0, 5000, "chunked", -1},
		{"head announces more", 100, 5000, "head", -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				text := strings.Repeat("x", test.size)
				switch test.mode {
				case "length", "head":
					w.Header().Set("Content-Length", fmt.Sprint(test.size))
				case "chunked":
					w.(http.Flusher).Flush()
				case "gzip":
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					io.WriteString(z, text)
					z.Close()
					return
				}
				io.WriteString(w, text)
			})
			p := redirectPolicy(t, port(server), func(c *Config) { c.MaxResponse = test.limit })
			req := get(t, fmt.Sprintf("http://one.example:%d/", port(server)))
			size := test.size
			if test.mode == "head" {
				req.Method, size = "HEAD", 0
			}
			var calls []Call
			result, err := p.Do(t.Context(), req, Options{Observe: func(c Call) { calls = append(calls, c) }})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(result.Response.Body)
			result.Response.Body.Close()
			want := test.want
			if want < 0 {
				want = size
			}
			if len(body) != want {
				t.Errorf("%d bytes, want %d", len(body), want)
			}
			refusal, refused := errors.AsType[*Refusal](err)
			if refused != (test.want >= 0) {
				t.Fatalf("error %v", err)
			}
			if refused && (refusal.Rule != RuleResponse || refusal.Code() != CodeResponseTooLarge) {
				t.Errorf("refusal %+v", refusal)
			}
			if len(calls) != 1 || calls[0].BytesIn != int64(want) || (calls[0].Decision == Refused) != refused {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

func TestRequestLimit(t *testing.T) {
	tests := []struct {
		name   string
		size   int
		stream bool
		want   bool // refused
	}{
		{"at the limit", 100, false, false},
		{"announced past the limit", 101, false, true},
		{"stream at the limit", 100, true, false},
		{"stream past the limit", 101, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := atomic.Int64{}
			server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				got.Store(n)
			})
			p := redirectPolicy(t, port(server), func(c *Config) { c.MaxRequest = 100 })
			var body io.Reader = strings.NewReader(strings.Repeat("x", test.size))
			if test.stream {
				body = io.MultiReader(body)
			}
			req, err := http.NewRequest("POST", fmt.Sprintf("http://one.example:%d/", port(server)), body)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = fetch(t, p, req, Options{})
			refusal, refused := errors.AsType[*Refusal](err)
			if refused != test.want || !refused && err != nil {
				t.Fatalf("error %v", err)
			}
			if refused && (refusal.Rule != RuleRequest || refusal.Code() != CodeRequestTooLarge) {
				t.Errorf("refusal %+v", refusal)
			}
			if !refused && got.Load() != int64(test.size) {
				t.Errorf("the server read %d bytes", got.Load())
			}
		})
	}
}

// closing counts how often a request body was closed.
type closing struct {
	io.Reader
	closed atomic.Int64
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

func TestRequestBodyIsAlwaysClosed(t *testing.T) {
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	p := redirectPolicy(t, port(server), func(c *Config) { c.MaxRequest = 10 })
	for name, test := range map[string]struct {
		policy *Policy
		url    string
		length int64
	}{
		"sent":          {p, fmt.Sprintf("http://one.example:%d/", port(server)), -1},
		"refused":       {p, "http://evil.example/", -1},
		"too large":     {p, fmt.Sprintf("http://one.example:%d/", port(server)), 11},
		"no policy":     {None, "http://evil.example/", -1},
		"url not valid": {p, "http://a..b/", -1},
	} {
		t.Run(name, func(t *testing.T) {
			body := &closing{Reader: strings.NewReader("x")}
			req := get(t, test.url)
			req.Method, req.Body, req.ContentLength = "POST", body, test.length
			_, _, _ = fetch(t, test.policy, req, Options{})
			if body.closed.Load() == 0 {
				t.Error("the body was not closed")
			}
		})
	}
}

// stuck is a resolver that answers only when its context ends.
type stuck struct{}

func (stuck) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeoutCoversTheLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, Config{Allow: []Rule{{Host: "slow.example"}}, Resolver: stuck{}, Timeout: 3 * time.Second})
		start := time.Now()
		var calls []Call
		_, _, err := fetch(t, p, get(t, "http://slow.example/"), Options{Observe: func(c Call) { calls = append(calls, c) }})
		if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Rule != RuleTimeout || refusal.Code() != CodeTimeout {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		if len(calls) != 1 || calls[0].Decision != Refused || calls[0].Duration != 3*time.Second {
			t.Errorf("calls %+v", calls)
		}
	})
}

// pipeServer speaks HTTP/1.1 over pipes, so that it lives in a synctest bubble.
// The group waits for its goroutines.
func pipeServer(running *sync.WaitGroup, reply func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		running.Go(func() {
			defer server.Close()
			buf := make([]byte, 4096)
			if _, err := server.Read(buf); err == nil {
				reply(server)
			}
		})
		return client, nil
	}
}

func TestTimeoutCoversTheHeadersAndNotTheBody(t *testing.T) {
	tests := []struct {
		name           string
		header, body   time.Duration
		want           bool
		callerDeadline time.Duration
		cancelled      bool
	}{
		{name: "slow headers", header: 6 * time.Second, want: true},
		{name: "slow body", header: time.Second, body: time.Minute},
		{name: "caller gives up on the headers", header: 4 * time.Second, callerDeadline: time.Second, cancelled: true},
		{name: "caller gives up on the body", header: time.Second, body: time.Minute, callerDeadline: 10 * time.Second, cancelled: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running sync.WaitGroup
				p := newPolicy(t, Config{
					Allow: []Rule{{Host: "slow.example"}}, Timeout: 5 * time.Second,
					Resolver: &names{answers: map[string][][]netip.Addr{"slow.example": answer(public)}},
					Dial: pipeServer(&running, func(c net.Conn) {
						<-time.After(test.header) // the bubble's clock
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
						<-time.After(test.body)
						io.WriteString(c, "ok")
					}),
				})
				ctx := t.Context()
				if test.callerDeadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.callerDeadline)
					defer cancel()
				}
				result, err := p.Do(ctx, get(t, "http://slow.example/"), Options{})
				body := ""
				if err == nil {
					var data []byte
					data, err = io.ReadAll(result.Response.Body)
					body = string(data)
					result.Response.Body.Close()
				}
				refusal, refused := errors.AsType[*Refusal](err)
				switch {
				case refused != test.want || refused && refusal.Rule != RuleTimeout:
					t.Errorf("error %v", err)
				case test.cancelled != errors.Is(err, context.DeadlineExceeded):
					t.Errorf("error %v, want the caller's deadline: %v", err, test.cancelled)
				case err == nil && body != "ok":
					t.Errorf("body %q", body)
				}
				p.Close()
				running.Wait()
			})
		})
	}
}

// TestBrokenBodyTellsNoAddress cuts the connection in the middle of the body.
func TestBrokenBodyTellsNoAddress(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	p := redirectPolicy(t, port(server), nil)
	var calls []Call
	_, body, err := fetch(t, p, get(t, fmt.Sprintf("http://one.example:%d/", port(server))),
		Options{Observe: func(c Call) { calls = append(calls, c) }})
	failure, ok := errors.AsType[*Failure](err)
	if !ok || failure.Kind != KindExchange || strings.Contains(err.Error(), "127.0.0.1") || body != "half" {
		t.Errorf("body %q, error %v", body, err)
	}
	if len(calls) != 1 || calls[0].Reason != KindExchange || calls[0].BytesIn != 4 || calls[0].Status != 200 {
		t.Errorf("calls %+v", calls)
	}
}

func TestCloseBeforeTheEndIsObservedOnce(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	p := redirectPolicy(t, port(server), nil)
	calls := 0
	result, err := p.Do(t.Context(), get(t, fmt.Sprintf("http://one.example:%d/", port(server))), Options{Observe: func(Call) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if calls != 0 {
		t.Error("observed before the body ended")
	}
	result.Response.Body.Close()
	result.Response.Body.Close()
	if calls != 1 {
		t.Errorf("observed %d times", calls)
	}
}

func TestUnaskedUpgradeFails(t *testing.T) {
	var running sync.WaitGroup
	defer running.Wait()
	p := newPolicy(t, Config{
		Allow:    []Rule{{Host: "up.example"}},
		Resolver: &names{answers: map[string][][]netip.Addr{"up.example": answer(public)}},
		Dial: pipeServer(&running, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		}),
	})
	_, _, err := fetch(t, p, get(t, "http://up.example/"), Options{})
	if failure, ok := errors.AsType[*Failure](err); !ok || failure.Kind != KindUpgrade {
		t.Errorf("error %v", err)
	}
}

// foreignContext is not one of the context package's own types, so a context
// derived from it holds a goroutine until it is cancelled, and the leak check
// at the end sees one that Do forgets.
type foreignContext struct {
	context.Context
	done chan struct{}
}

func (c foreignContext) Done() <-chan struct{} { return c.done }

func TestContextEndsWithTheBody(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/redirect":
			http.Redirect(w, r, "/empty", http.StatusFound)
		default:
			io.WriteString(w, "hello")
		}
	})
	p := redirectPolicy(t, port(server), nil)
	for _, path := range []string{"/empty", "/redirect", "/full"} {
		t.Run(path, func(t *testing.T) {
			ctx := foreignContext{context.Background(), make(chan struct{})}
			before := goleak.IgnoreCurrent()
			result, err := p.Do(ctx, get(t, fmt.Sprintf("http://one.example:%d%s", port(server), path)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if path != "/full" { // there is nothing to read or close
				p.Close()
				goleak.VerifyNone(t, before)
				return
			}
			if _, err := io.ReadAll(result.Response.Body); err != nil {
				t.Fatal(err)
			}
			p.Close()
			goleak.VerifyNone(t, before)
		})
	}
}
