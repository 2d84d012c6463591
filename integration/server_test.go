package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-edge/gatehouse/record"
)

// binary is the built server, made once for all tests of the package.
var binary string

// shownLines is how much of a server's log a failed test shows: its end, so that what failed is not lost before it.
const shownLines = 100

// helper is what a copy of this test program does when a test started it with GATEHOUSE_HELPER; nil where no test does.
var helper func(task string) int

func TestMain(m *testing.M) {
	if task := os.Getenv("GATEHOUSE_HELPER"); task != "" && helper != nil {
		os.Exit(helper(task))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "gatehouse-integration-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "caddy")
		build := exec.Command("go", "build", "-tags", "nobadger,nomysql,nopgx", "-o", binary, "../cmd/caddy")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the server:", err)
			return 1
		}
		return m.Run()
	}())
}

// server is a running gateway, in a folder of its own.
type server struct {
	t     *testing.T
	dir   string
	port  int // of the site
	admin int // of the admin endpoint
	cmd   *exec.Cmd
	ended chan struct{}
	// program is what is run: binary, but for tests with a build of their own.
	program string
	environ []string // what its environment has besides the test's

	mu  sync.Mutex
	log bytes.Buffer
}

// newServer makes the folder with files in it. In the Caddyfile and in files, {{site}}, {{admin}} and {{dir}} stand for
// the ports and the folder; the key "Caddyfile" is the configuration.
func newServer(t *testing.T, files map[string]string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: freePort(t), admin: freePort(t), program: binary}
	for name, content := range files {
		s.write(name, content)
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			lines := slices.Collect(strings.Lines(s.logged()))
			cut := max(0, len(lines)-shownLines)
			t.Logf("log of the server, its first %d lines left out:\n%s", cut, strings.Join(lines[cut:], ""))
		}
	})
	return s
}

// startServer makes a server and starts it.
func startServer(t *testing.T, files map[string]string) *server {
	t.Helper()
	s := newServer(t, files)
	s.start()
	return s
}

// write writes a file into the server's folder, as one change.
func (s *server) write(name, content string) {
	s.t.Helper()
	content = strings.NewReplacer("{{site}}", fmt.Sprint(s.port), "{{admin}}", fmt.Sprint(s.admin), "{{dir}}", s.dir).Replace(content)
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// command runs caddy with args in the server's folder and returns what it printed.
func (s *server) command(stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Dir, cmd.Env = s.dir, s.env()
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (s *server) env() []string {
	return append(append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(s.dir, "xdg"), "XDG_CONFIG_HOME="+filepath.Join(s.dir, "xdg")), s.environ...)
}

// start runs the server and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.program, "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	s.cmd.Dir, s.cmd.Env = s.dir, s.env()
	s.cmd.Stdout, s.cmd.Stderr = (*logWriter)(s), (*logWriter)(s)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(s.cmd, s.ended)
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", s.address(), time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("the server ended at its start:\n%s", s.logged())
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.t.Fatalf("the server does not serve after 30 s:\n%s", s.logged())
}

// stop ends the server in good order. It would wait 5 s for connections on which nothing was ever sent.
func (s *server) stop() {
	client.CloseIdleConnections()
	s.end(os.Interrupt)
}

// kill ends the server as kill -9 does.
func (s *server) kill() { s.end(os.Kill) }

func (s *server) end(sig os.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
		s.t.Error("the server did not end within 30 s of being asked to")
	}
	s.cmd = nil
}

// logged is everything the server has written.
func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

type logWriter server

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// records are the records logged so far.
func (s *server) records() []loggedRecord {
	var all []loggedRecord
	for line := range strings.Lines(s.logged()) {
		var r loggedRecord
		if json.Unmarshal([]byte(line), &r) == nil && r.ID != "" && r.Outcome != "" {
			all = append(all, r)
		}
	}
	return all
}

// loggedRecord is the part of a record's log event that tests look at.
type loggedRecord struct {
	ID         string             `json:"id"`
	Kind       string             `json:"msg"`
	Agent      string             `json:"agent"`
	Path       string             `json:"path"`
	Status     int                `json:"status"`
	Outcome    string             `json:"outcome"`
	Ran        bool               `json:"ran"`
	RefusedBy  string             `json:"refused_by"`
	BotScore   int                `json:"bot_score"`
	Bytes      int64              `json:"bytes"`
	CPUMillis  float64            `json:"cpu_ms"`
	WAF        record.WAFDecision `json:"waf"`
	Calls      []record.Call      `json:"calls"`
	Logs       []record.Log       `json:"logs"`
	Exceptions []record.Exception `json:"exceptions"`
	Points     int                `json:"points"`

	Subrequests int `json:"subrequests"`
	LogsDropped int `json:"logs_dropped"`
}

// waitRecord waits for a record that fits.
func (s *server) waitRecord(what string, fits func(loggedRecord) bool) loggedRecord {
	s.t.Helper()
	var found loggedRecord
	s.wait(what, func() bool {
		for _, r := range s.records() {
			if fits(r) {
				found = r
				return true
			}
		}
		return false
	})
	return found
}

// wait waits up to 20 s until cond holds.
func (s *server) wait(what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("after 20 s not yet: %s", what)
		}
	}
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) url(path string) string { return "http://" + s.address() + path }

// client sends what a browser would, so that the bot score lets it pass.
var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: browser{&http.Transport{MaxIdleConnsPerHost: 128}},
}

type browser struct{ *http.Transport }

func (b browser) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range map[string]string{
		"User-Agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Accept":          "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language": "en-US,en;q=0.5",
	} {
		if r.Header.Get(name) == "" {
			r.Header.Set(name, value)
		}
	}
	return b.Transport.RoundTrip(r)
}

// do sends a request and returns the answer with its whole body. headers are pairs of name and value.
func (s *server) do(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	resp, text, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, text
}

func (s *server) try(method, path, body string, headers ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, s.url(path), strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// get sends a GET and wants its status.
func (s *server) get(path string, want int) string {
	s.t.Helper()
	resp, body := s.do("GET", path, "")
	if resp.StatusCode != want {
		s.t.Fatalf("GET %s: status %d, want %d: %s", path, resp.StatusCode, want, body)
	}
	return body
}

// reload loads the Caddyfile as it is now and returns what was printed, once only the new configuration listens: Caddy
// gives each configuration a socket of its own, and what still waits in the old one's queue is reset when that closes.
func (s *server) reload() (string, error) {
	out, errs, err := s.command("", "reload", "--config", "Caddyfile", "--adapter", "caddyfile", "--address", fmt.Sprintf("127.0.0.1:%d", s.admin))
	if err == nil {
		s.wait("the old configuration to stop listening", func() bool { return s.listeners() <= 1 })
	}
	return out + errs, err
}

// listeners counts the sockets that listen on the site's port; 0 where the system has no /proc.
func (s *server) listeners() (n int) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		lines, _ := os.ReadFile(table)
		for line := range strings.Lines(string(lines)) {
			// The columns are the number, the local address in hex, the remote one, and the state, 0A for listening.
			if f := strings.Fields(line); len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", s.port)) {
				n++
			}
		}
	}
	return n
}

// follow runs a command of the server's binary and gives its lines as they come. It ends with the test.
func (s *server) follow(args ...string) <-chan string {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Env = s.dir, s.env()
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := make(chan string, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			select {
			case lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait()
	})
	return lines
}

// The ports that tests give to servers lie below those that the system gives to whoever asks for any (Linux: from 32768 on): one
// of those could be taken, by a client even, before its server starts.
const firstPort, lastPort = 12_000, 32_000

var portsGiven atomic.Int64

// freePort is a port that nothing else of this run is given.
func freePort(t *testing.T) int {
	t.Helper()
	portsGiven.CompareAndSwap(0, rand.Int64N(lastPort-firstPort)+1) // tests of other checkouts may run beside these
	for range lastPort - firstPort {
		port := firstPort + int(portsGiven.Add(1)%(lastPort-firstPort))
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// site is a Caddyfile with a site block and the global block's content.
func site(global, block string) string {
	return fmt.Sprintf("{\n\tadmin 127.0.0.1:{{admin}}\n\tauto_https off\n\tlog {\n\t\tformat json\n\t}\n\tgatehouse {\n\t\tstore badger ./data\n%s\n\t}\n}\nhttp://127.0.0.1:{{site}} {\n%s\n}\n", global, block)
}

var errTimeout = errors.New("timed out")

// next gives the next value of a channel, within 20 s.
func next[T any](c <-chan T) (T, error) {
	select {
	case v, ok := <-c:
		if !ok {
			return v, io.EOF
		}
		return v, nil
	case <-time.After(20 * time.Second):
		var zero T
		return zero, errTimeout
	}
}
