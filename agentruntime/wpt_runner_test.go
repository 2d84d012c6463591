package agentruntime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"
)

// wptSuite is one copy of web-platform-tests, whose scripts are compiled once and run in many realms.
type wptSuite struct {
	roots    []string // where its files are looked for, in order; the tests are those of the first
	mu       sync.Mutex
	programs map[string]func() (*goja.Program, error)
}

// wptOrigin is where the test files seem to come from.
const wptOrigin = "http://web-platform.test:8000"

// wptWall is how long one file may take; what has not ended by then has timed out.
const wptWall = 2 * time.Minute

// wptResult is what one file came to.
type wptResult struct {
	File    string
	Harness string // why the file as a whole failed, empty if it did not
	Tests   []wptSubtest
	Took    time.Duration
}

type wptSubtest struct {
	Name    string
	Status  int // as in testharness.js: 0 is a pass
	Message string
}

const (
	wptPass  = 0
	wptBroke = -1 // the file as a whole
)

// wptWhole is the name under which a file's own failure is listed beside those of its subtests.
const wptWhole = "(the file)"

// script returns the compiled script at name, a path in the suite or, beginning with "./", in testdata/wpt.
func (s *wptSuite) script(name string) (*goja.Program, error) {
	s.mu.Lock()
	compiled, ok := s.programs[name]
	if !ok {
		compiled = sync.OnceValues(func() (*goja.Program, error) { return s.compile(name) })
		if s.programs == nil {
			s.programs = map[string]func() (*goja.Program, error){}
		}
		s.programs[name] = compiled
	}
	s.mu.Unlock()
	return compiled()
}

// compile has esbuild lower what the engine lacks, as it does for agents.
func (s *wptSuite) compile(name string) (*goja.Program, error) {
	var data []byte
	var err error
	if own, ok := strings.CutPrefix(name, "./"); ok {
		data, err = os.ReadFile(filepath.Join("testdata", "wpt", own))
	} else {
		data, err = s.read(name)
	}
	if err != nil {
		return nil, err
	}
	res := api.Transform(string(data), api.TransformOptions{
		Loader: api.LoaderJS, Target: api.ES2024, Supported: supported(false), LogLevel: api.LogLevelSilent, Sourcefile: name,
	})
	if len(res.Errors) > 0 {
		return nil, fmt.Errorf("%s: %s", name, res.Errors[0].Text)
	}
	tree, err := parseBundle(string(res.Code), &sourceMap{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return goja.CompileAST(tree, false) // scripts, not modules
}

// wptSubstitutions is what the suite's server replaces in files whose names contain ".sub.".
var wptSubstitutions = regexp.MustCompile(`\{\{[^{}]+\}\}`)

// read returns a file of the suite as its server would serve it.
func (s *wptSuite) read(name string) ([]byte, error) {
	if name == "resources/WebIDLParser.js" {
		name = "resources/webidl2/lib/webidl2.js" // an address that the suite's server rewrites
	}
	var data []byte
	err := fs.ErrNotExist
	for _, root := range s.roots {
		if data, err = os.ReadFile(filepath.Join(root, filepath.FromSlash(path.Clean("/"+name)))); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil || !strings.Contains(name, ".sub.") {
		return data, err
	}
	return wptSubstitutions.ReplaceAllFunc(data, func(what []byte) []byte {
		switch string(what) {
		case "{{host}}", "{{domains[]}}", "{{hosts[][]}}":
			return []byte("web-platform.test")
		case "{{ports[http][0]}}":
			return []byte("8000")
		default:
			return []byte("0")
		}
	}), nil
}

// wptMeta is a line of a test file's head, such as "// META: script=/resources/x.js".
var wptMeta = regexp.MustCompile(`(?m)^// META: (\w+)=(.*)$`)

// wptImport is a worker's way to load scripts.
var wptImport = regexp.MustCompile(`(?m)^importScripts\((.*)\);?`)

// includes returns the scripts that a test file asks for.
func (s *wptSuite) includes(file string) ([]string, error) {
	data, err := s.read(file)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, m := range wptMeta.FindAllStringSubmatch(string(data), -1) {
		if m[1] != "script" {
			continue
		}
		name := strings.TrimSpace(m[2])
		if !strings.HasPrefix(name, "/") {
			name = path.Join(path.Dir(file), name)
		}
		list = append(list, strings.TrimPrefix(name, "/"))
	}
	return list, nil
}

// wptServed is what only the suite's own server has: handlers written in Python, other hosts and ports, HTTP/2.
var wptServed = regexp.MustCompile(`\.py\b|get-host-info|\{\{(?:hosts|ports)\[`)

// served reports whether a test file talks to the suite's server: whether it names anything that only that has. Plain files
// of the suite the runner serves by itself.
func (s *wptSuite) served(t *testing.T, file string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.roots[0], filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(file, ".h2.") || wptServed.Match(data)
}

// run runs one file in a realm of its own.
func (s *wptSuite) run(file string) (result wptResult) {
	result.File = file
	defer func(begun time.Time) { result.Took = time.Since(begun) }(time.Now())
	broke := func(err error) wptResult {
		result.Harness = err.Error()
		return result
	}
	names := []string{"./environment.js", "resources/testharness.js", "./report.js"}
	included, err := s.includes(file)
	if err != nil {
		return broke(err)
	}
	names = append(append(names, included...), file)
	programs := make([]*goja.Program, len(names))
	for i, name := range names {
		if programs[i], err = s.script(name); err != nil {
			return broke(err)
		}
	}

	ctx, cancel := context.WithTimeout(context.Background(), wptWall)
	defer cancel()
	script := &Script{stacks: &sourceMap{}, supplies: supplies}
	for i := range guards {
		script.guards |= 1 << i
	}
	a := &Agent{name: "wpt", script: script, now: time.Now, rand: wptRandom{},
		limits: Limits{CPU: wptWall, Wall: wptWall, Subrequests: 1 << 30}.WithDefaults()}
	r := a.newRealm()
	host := &wptHost{suite: s, loop: r.loop}
	inv := r.newInvocation(ctx, host, &a.limits, wptWall)
	r.home = &inv.home
	var outcome string
	finish := func() {
		if !inv.answered {
			answerNothing(inv, nil)
		}
	}
	r.loop.idle = func() {
		if outcome != "" || r.over || r.pending > 0 || inv.holds > 0 {
			r.idle()
			return
		}
		// Nothing can come any more: what is pending never ends.
		r.loop.run(task{scope: &inv.home, run: func() {
			if timeout, ok := goja.AssertFunction(r.rt.GlobalObject().Get("timeout")); ok && outcome == "" {
				_, _ = timeout(goja.Undefined())
			}
			finish()
		}})
	}
	r.loop.run(task{scope: &inv.home, run: func() {
		own := r.rt.NewObject()
		_ = own.Set("address", wptOrigin+"/"+file)
		_ = own.Set("done", func(call goja.FunctionCall) goja.Value {
			outcome = call.Argument(0).String()
			finish()
			return goja.Undefined()
		})
		_ = r.rt.GlobalObject().Set("__wpt", own)
		host.uncaught = func(ex *Exception) {
			if fn, ok := goja.AssertFunction(own.Get("uncaught")); ok {
				_, _ = fn(goja.Undefined(), r.rt.ToValue(ex.Name), r.rt.ToValue(ex.Message))
			}
		}
		// In a shell testharness.js takes the first promise job for the end of loading, so that none may run between the
		// scripts: they run inside of a call.
		load := r.function("load", 0, func(*realm, goja.FunctionCall) goja.Value {
			for i, p := range programs {
				if _, err := r.rt.RunProgram(p); err != nil {
					r.failed(err, func(err error) { result.Harness = fmt.Sprintf("%s: %v", names[i], err) })
					finish()
					break
				}
			}
			return goja.Undefined()
		})
		_ = own.Set("load", load)
		if _, err := r.rt.RunString("__wpt.load()"); err != nil {
			r.failed(err, func(err error) { result.Harness = err.Error() })
			finish()
		}
	}})
	_, err = inv.Response()
	report := inv.Wait()
	if result.Harness != "" {
		return result
	}
	if outcome == "" {
		return broke(errors.Join(fmt.Errorf("the tests did not end: %s", report.Outcome), err, host.failure()))
	}
	var done struct {
		Status  int
		Message string
		Tests   []wptSubtest
	}
	if err := json.Unmarshal([]byte(outcome), &done); err != nil {
		return broke(err)
	}
	result.Tests = done.Tests
	if done.Status != wptPass && done.Status != 2 { // 2: some subtest timed out, which that subtest says
		result.Harness = done.Message
	}
	return result
}

// wptRandom is a source of bytes that are as good as random for a test, and cheap.
type wptRandom struct{}

func (wptRandom) Read(p []byte) (int, error) {
	x := uint32(time.Now().UnixNano()) | 1
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return len(p), nil
}

// wptHost serves the files of a suite, and nothing else.
type wptHost struct {
	testHost
	suite    *wptSuite
	loop     *loop
	uncaught func(*Exception) // on the loop
}

func (h *wptHost) Emit(e Event) {
	h.testHost.Emit(e)
	if e.Exception != nil && h.uncaught != nil {
		h.loop.post(func() { h.uncaught(e.Exception) })
	}
}

// failure returns the last exception that nobody caught.
func (h *wptHost) failure() error {
	list := h.exceptions()
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1]
	return fmt.Errorf("%s: %s", last.Name, last.Message)
}

func (h *wptHost) Fetch(_ context.Context, _ Target, req *Request) (*Response, error) {
	var sent []byte
	if req.Body != nil {
		var err error
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		_ = req.Body.Close()
	}
	u, err := url.Parse(req.URL)
	if err != nil || u.Scheme+"://"+u.Host != wptOrigin {
		return nil, fmt.Errorf("%s is not a file of the test suite", req.URL)
	}
	if u.Path == "/fetch/api/resources/echo-content.py" {
		return &Response{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}, URL: req.URL, Body: io.NopCloser(bytes.NewReader(sent))}, nil
	}
	data, err := h.suite.read(u.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Response{Status: 404, Header: http.Header{}, URL: req.URL}, nil
	}
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(u.Path, ".asis") {
		return wptAnswer(req.URL, data)
	}
	return &Response{Status: 200, StatusText: "OK", Header: http.Header{}, URL: req.URL, Body: io.NopCloser(bytes.NewReader(data))}, nil
}

// wptAnswer reads an answer that a file holds head and all. Unlike net/http it takes values as they are.
func wptAnswer(address string, file []byte) (*Response, error) {
	head, content, _ := strings.Cut(strings.ReplaceAll(string(file), "\r\n", "\n"), "\n\n")
	first, fields, _ := strings.Cut(head, "\n")
	version, status, _ := strings.Cut(first, " ")
	code, text, _ := strings.Cut(status, " ")
	n, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(version, "HTTP/") {
		return nil, fmt.Errorf("%s does not begin with a status line", address)
	}
	res := &Response{Status: n, StatusText: text, Header: http.Header{}, URL: address, Body: io.NopCloser(strings.NewReader(content))}
	for line := range strings.Lines(fields) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			res.Header.Add(name, strings.Trim(value, " \t\n"))
		}
	}
	return res, nil
}

// TestWebPlatformRunner sees that the runner can tell a pass from a failure.
func TestWebPlatformRunner(t *testing.T) {
	if testing.Short() {
		t.Skip("web-platform-tests are not part of the short run")
	}
	suite := wptFetched(t, "node24", "")
	if suite == nil {
		t.Skip("WPT_WITHOUT leaves these tests out")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(suite.roots[0], "resources"))); err != nil {
		t.Fatal(err)
	}
	own := &wptSuite{roots: []string{dir}}
	if err := os.MkdirAll(filepath.Join(dir, "resources"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "testharness.js"), filepath.Join(dir, "resources", "testharness.js")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, source string
		statuses     []int // of the subtests, in order
		broke        bool
	}{
		{"a pass", `test(() => assert_true(true), "a")`, []int{0}, false},
		{"a failure", `test(() => assert_true(false), "a")`, []int{1}, false},
		{"a failure after a wait", `promise_test(async () => { await new Promise(r => setTimeout(r, 1)); assert_equals(1, 2) }, "a")`, []int{1}, false},
		{"what never ends", `promise_test(() => new Promise(() => {}), "a"); promise_test(async () => {}, "b")`, []int{2, 3}, false},
		{"a syntax error", `test(`, nil, true},
		{"an error outside of tests", `test(() => {}, "a"); throw new Error("x")`, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := strings.ReplaceAll(c.name, " ", "-") + ".any.js"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(c.source), 0o600); err != nil {
				t.Fatal(err)
			}
			got := own.run(name)
			if (got.Harness != "") != c.broke || len(got.Tests) != len(c.statuses) {
				t.Fatalf("%+v", got)
			}
			for i, want := range c.statuses {
				if got.Tests[i].Status != want {
					t.Fatalf("%+v", got)
				}
			}
		})
	}
}
