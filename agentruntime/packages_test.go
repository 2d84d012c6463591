package agentruntime

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// packagesDir holds packages from npm, unmodified, and the agents of these tests, which use them.
const packagesDir = "testdata/packages"

// networkHost lets code reach what listens on this machine.
func networkHost() *testHost {
	return &testHost{fetch: func(ctx context.Context, _ Target, req *Request) (*Response, error) {
		r, err := http.NewRequestWithContext(ctx, req.Method, req.URL, req.Body)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(r.URL.Host, "127.0.0.1:") {
			return nil, fmt.Errorf("a test must not reach %s", r.URL.Host)
		}
		r.Header, r.ContentLength = req.Header, req.ContentLength
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return &Response{Status: resp.StatusCode, Header: resp.Header, Body: resp.Body, URL: req.URL}, nil
	}}
}

// servePackage builds an agent of packagesDir and serves it over HTTP. base is what the agent finds in env.BASE.
func servePackage(t *testing.T, file, base string) *httptest.Server {
	t.Helper()
	if _, err := os.Stat(filepath.Join(packagesDir, "node_modules")); err != nil {
		t.Fatalf("the npm packages of this test are not installed; run: make deps (%v)", err)
	}
	script, err := Build(t.Context(), BuildOptions{Main: file, Dir: packagesDir})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{
		Name: file, Script: script, Bindings: []Binding{{Name: "BASE", Kind: BindingVar, Value: base}},
		Limits: Limits{CPU: 10 * time.Second, Startup: 30 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("evaluating the module took %v", a.startup)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := networkHost()
		inv := a.Fetch(r.Context(), host, &Request{
			Method: r.Method, URL: "http://" + r.Host + r.URL.RequestURI(), Header: r.Header, Body: r.Body, ContentLength: r.ContentLength,
		})
		resp, err := inv.Response()
		defer func() {
			inv.Wait()
			for _, e := range host.exceptions() {
				t.Errorf("uncaught in %s: %s: %s\n%s", r.URL.Path, e.Name, e.Message, e.Stack)
			}
		}()
		if err != nil || resp == nil {
			http.Error(w, fmt.Sprint("the agent gave no answer: ", err), http.StatusInternalServerError)
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.Status)
		if resp.Body == nil {
			return
		}
		defer resp.Body.Close()
		for buf := make([]byte, 4096); ; {
			n, err := resp.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// ask sends a request and returns the status and the body.
func ask(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func wantAnswer(t *testing.T, s *httptest.Server, method, path, body string, status int, want string, headers ...string) *http.Response {
	t.Helper()
	resp, text := ask(t, method, s.URL+path, body, headers...)
	if resp.StatusCode != status || strings.TrimSpace(text) != want {
		t.Errorf("%s %s: %d %s\nwant %d %s", method, path, resp.StatusCode, text, status, want)
	}
	return resp
}

func TestPackageHono(t *testing.T) {
	s := servePackage(t, "hono.ts", "")
	resp := wantAnswer(t, s, "GET", "/?a=b", "", 200, `{"path":"/","query":{"a":"b"}}`, "Origin", "https://app.example")
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
		t.Errorf("cors allows %q", got)
	}
	wantAnswer(t, s, "POST", "/echo/x%20y", `{"n":[1]}`, 201, `{"name":"x y","body":{"n":[1]}}`)
	if resp, _ := ask(t, "OPTIONS", s.URL+"/echo/x", "", "Origin", "https://app.example", "Access-Control-Request-Method", "POST"); resp.StatusCode != 204 {
		t.Errorf("a preflight is answered with %d", resp.StatusCode)
	}
	_, token := ask(t, "GET", s.URL+"/token", "")
	wantAnswer(t, s, "GET", "/me", "", 200, `{"sub":"me"}`, "Authorization", "Bearer "+token)
	wantAnswer(t, s, "GET", "/me", "", 401, "Unauthorized", "Authorization", "Bearer "+token[:len(token)-4]+"AAAA")
	resp = wantAnswer(t, s, "GET", "/events", "", 200, "event: tick\ndata: n 0\nid: 0\n\nevent: tick\ndata: n 1\nid: 1\n\nevent: tick\ndata: n 2\nid: 2")
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("the stream's type is %q", got)
	}
	wantAnswer(t, s, "GET", "/fails", "", 500, "caught: as it should")
	wantAnswer(t, s, "GET", "/none", "", 404, "nothing here")
}

func TestPackageIttyRouter(t *testing.T) {
	s := servePackage(t, "itty.ts", "")
	wantAnswer(t, s, "GET", "/hello/Ada", "", 200, `"Hello, Ada!"`)
	wantAnswer(t, s, "POST", "/sum", "[1,2,3.5]", 200, `{"sum":6.5}`)
	wantAnswer(t, s, "GET", "/fails", "", 418, `{"status":418,"error":"short and stout"}`)
	wantAnswer(t, s, "GET", "/none", "", 404, `{"status":404,"error":"Not Found"}`)
}

func TestPackageZod(t *testing.T) {
	s := servePackage(t, "zod.ts", "")
	wantAnswer(t, s, "POST", "/", `{"id":"0190b7a4-9c1e-7a6b-8d3f-1c2b3a4d5e6f","email":"a@example.com","lines":[{"sku":"ab","count":2},{"sku":"cd","count":3}],
		"kind":{"type":"mail","to":"x"},"at":"2026-01-02"}`, 200,
		`{"id":"0190b7a4-9c1e-7a6b-8d3f-1c2b3a4d5e6f","email":"a@example.com","lines":[{"sku":"ab","count":2},{"sku":"cd","count":3}],`+
			`"kind":{"type":"mail","to":"x"},"at":"2026-01-02T00:00:00.000Z","note":"none","total":5,"schema":["id","email","lines","kind","at","note"]}`)
	wantAnswer(t, s, "POST", "/", `{"id":"x","email":"@","lines":[],"kind":{"type":"fly"},"at":"never"}`, 200,
		`{"issues":["id: invalid_format","email: invalid_format","lines: too_small","kind.type: invalid_union","at: invalid_type"]}`)
}

func TestPackageJose(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]string{"kty": "EC", "crv": "P-256", "x": b64(public[1:33]), "y": b64(public[33:]), "kid": "remote", "alg": "ES256"}
	base := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := any(map[string]any{"keys": []any{jwk}})
		if r.URL.Path == "/private" {
			whole := map[string]string{"d": b64(private)}
			for name, value := range jwk {
				whole[name] = value
			}
			answer = whole
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer base.Close()
	s := servePackage(t, "jose.ts", base.URL)
	for path, want := range map[string]string{
		"/symmetric":  `"agent"`,
		"/expired":    `"ERR_JWT_EXPIRED"`,
		"/forged":     `"ERR_JWS_SIGNATURE_VERIFICATION_FAILED"`,
		"/asymmetric": `["ES256","ES384","RS256","PS256","EdDSA"]`,
		"/keys":       `[1,1,43]`,
		"/encrypted":  `["dir","A256KW","PBES2-HS256+A128KW"]`,
		"/remote":     `"afar"`,
	} {
		wantAnswer(t, s, "GET", path, "", 200, want)
	}
}

// models is a server that speaks the protocols of OpenAI's chat completions and of Anthropic's messages.
func models(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	write := func(w http.ResponseWriter, lines ...string) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, line := range lines {
			_, _ = io.WriteString(w, line+"\n\n")
			_ = http.NewResponseController(w).Flush()
		}
	}
	chunk := func(delta, finish string) string {
		return `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"local","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}`
	}
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of the test" {
			t.Errorf("the request has the authorization %q", r.Header.Get("Authorization"))
		}
		var asked struct {
			Stream   bool
			Tools    []any
			Messages []struct {
				Role    string
				Content any
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		if asked.Stream {
			write(w, chunk(`{"role":"assistant","content":"Good "}`, "null"), chunk(`{"content":"day, "}`, "null"), chunk(`{"content":"Ada é."}`, "null"),
				chunk(`{}`, `"stop"`), "data: [DONE]")
			return
		}
		message := `{"role":"assistant","content":"Good day."}`
		last := asked.Messages[len(asked.Messages)-1]
		switch {
		case last.Role == "tool":
			text, _ := json.Marshal(fmt.Sprint("It is ", last.Content, "."))
			message = `{"role":"assistant","content":` + string(text) + `}`
		case len(asked.Tools) > 0:
			message = `{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"add","arguments":"{\"a\":19,\"b\":23}"}}]}`
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c1","object":"chat.completion","created":1,"model":"local","choices":[{"index":0,"message":%s,"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}`, message)
	})
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of the test" || r.Header.Get("Anthropic-Version") == "" {
			t.Errorf("the request has the headers %v", r.Header)
		}
		body, _ := io.ReadAll(r.Body)
		switch {
		case bytes.Contains(body, []byte("overloaded")):
			w.WriteHeader(529)
			_, _ = io.WriteString(w, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)
		case bytes.Contains(body, []byte(`"stream":true`)):
			write(w,
				"event: message_start\n"+`data: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","content":[],"model":"local","stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}`,
				"event: content_block_start\n"+`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				"event: ping\n"+`data: {"type":"ping"}`,
				"event: content_block_delta\n"+`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Good "}}`,
				"event: content_block_delta\n"+`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"day."}}`,
				"event: content_block_stop\n"+`data: {"type":"content_block_stop","index":0}`,
				"event: message_delta\n"+`data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}}`,
				"event: message_stop\n"+`data: {"type":"message_stop"}`)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"id":"m1","type":"message","role":"assistant","model":"local","content":[{"type":"text","text":"Good day."}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":4}}`)
		}
	})
	mux.HandleFunc("GET /v1/models/missing", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"error":{"message":"no such model","type":"invalid_request_error"}}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestPackageOpenAI(t *testing.T) {
	s := servePackage(t, "openai.ts", models(t).URL)
	wantAnswer(t, s, "GET", "/whole", "", 200, `{"text":"Good day.","used":7}`)
	wantAnswer(t, s, "GET", "/stream", "", 200, "Good day, Ada é.")
	wantAnswer(t, s, "GET", "/tool", "", 200, "It is 42.")
	wantAnswer(t, s, "GET", "/error", "", 200, `{"known":true,"status":404}`)
}

func TestPackageAnthropic(t *testing.T) {
	s := servePackage(t, "anthropic.ts", models(t).URL)
	wantAnswer(t, s, "GET", "/whole", "", 200, `{"text":"Good day.","used":4}`)
	wantAnswer(t, s, "GET", "/stream", "", 200, `{"parts":["Good ","day."],"stop":"end_turn"}`)
	wantAnswer(t, s, "GET", "/error", "", 200, `{"known":true,"status":529}`)
}

func TestPackageAI(t *testing.T) {
	s := servePackage(t, "ai.ts", models(t).URL)
	wantAnswer(t, s, "GET", "/whole", "", 200, "Good day.")
	wantAnswer(t, s, "GET", "/stream", "", 200, "Good day, Ada é.")
	wantAnswer(t, s, "GET", "/tools", "", 200, `{"text":"It is 42.","steps":2}`)
	resp, text := ask(t, "GET", s.URL+"/ui", "")
	var kinds []string
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		var part struct{ Type string }
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && json.Unmarshal([]byte(data), &part) == nil {
			kinds = append(kinds, part.Type)
		}
	}
	if want := "start start-step text-start text-delta text-delta text-delta text-end finish-step finish"; strings.Join(kinds, " ") != want || resp.StatusCode != 200 {
		t.Errorf("the parts of the stream are %v, want %s", kinds, want)
	}
}

// TestPackageMCP drives a server of the Model Context Protocol in an agent with the official client in Node.js.
func TestPackageMCP(t *testing.T) {
	s := servePackage(t, "mcp.ts", "")
	cmd := exec.CommandContext(t.Context(), "node", "mcp-client.mjs", s.URL+"/mcp")
	cmd.Dir = packagesDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the client: %v\n%s", err, stderr.String())
	}
	const want = `{"server":"gatehouse-test","tools":["add","count","fail"],"add":{"content":[{"type":"text","text":"42"}],"structuredContent":{"sum":42}},"bad":true,` +
		`"fail":"as it should","count":"counted to 3","progress":["1/3","2/3","3/3"],"resources":["about://gatehouse"],"resource":"A gatehouse guards a gate.",` +
		`"template":"page one","prompts":["greet"],"prompt":"Greet Ada."}`
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
