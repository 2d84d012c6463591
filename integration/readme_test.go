//go:build unix

package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The README's tour is its "console" blocks, in order. A line that begins with "$ " is a command, lines that begin with
// "> " continue it, and what follows until the next command is what it prints. In it, "…" stands for anything within a
// line, and a line that is "…" alone for any number of lines. Times, ids and durations are compared by their form only;
// see volatile. The block of "make run" starts the example; a block after watchingMark runs beside all others and is
// compared at the end.
const watchingMark = "<!-- watches the others -->"

// TestREADMETour runs the tour as a reader would.
func TestREADMETour(t *testing.T) {
	blocks := consoleBlocks(t, "../README.md")
	if len(blocks) < 10 {
		t.Fatalf("the README has %d console blocks", len(blocks))
	}
	tour := newTour(t)
	var watching []step
	for _, b := range blocks {
		steps := stepsOf(t, b)
		switch {
		case b.mark == watchingMark:
			if len(steps) != 1 {
				t.Fatalf("line %d: %d commands watch; one can", b.line, len(steps))
			}
			watching = append(watching, steps[0])
			tour.watch(steps[0])
		case steps[0].command == "make run":
			tour.start(steps[0])
		default:
			for _, s := range steps {
				tour.run(s)
			}
		}
	}
	if len(watching) == 0 || tour.example == nil {
		t.Error("the tour starts no server or watches none")
	}
	for i, s := range watching {
		tour.seen(i, s)
	}
}

func consoleBlocks(t *testing.T, path string) []block {
	var console []block
	for _, b := range blocksOf(t, path) {
		if b.lang == "console" {
			console = append(console, b)
		}
	}
	return console
}

// step is one command with what it prints.
type step struct {
	line    int
	command string
	prints  []string
}

func stepsOf(t *testing.T, b block) []step {
	t.Helper()
	var steps []step
	for i, line := range b.lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, step{line: b.line + i, command: command})
			continue
		}
		if len(steps) == 0 {
			t.Fatalf("%s:%d: the block does not begin with a command", b.file, b.line)
		}
		last := &steps[len(steps)-1]
		if more, ok := strings.CutPrefix(line, "> "); ok && len(last.prints) == 0 {
			last.command += "\n" + more
			continue
		}
		last.prints = append(last.prints, line)
	}
	return steps
}

// tour is a reader's machine: a folder that looks like the repository's, free ports, and a shell.
type tour struct {
	t       *testing.T
	dir     string
	forward *strings.Replacer // from the README's ports to those of this run
	back    *strings.Replacer
	env     []string
	example *exec.Cmd
	printed *lineBuffer
	watches []*lineBuffer
	shell   *shell
}

func newTour(t *testing.T) *tour {
	t.Helper()
	dir := t.TempDir()
	site, search, admin, own := freePort(t), freePort(t), freePort(t), freePort(t)
	pairs := func(forward bool) (list []string) {
		for _, p := range []struct {
			text string
			port int
		}{{"localhost:8080", site}, {"127.0.0.1:8081", search}, {"localhost:8090", own}} {
			here := fmt.Sprintf("%s:%d", strings.Split(p.text, ":")[0], p.port)
			if forward {
				list = append(list, p.text, here)
			} else {
				list = append(list, here, p.text)
			}
		}
		return list
	}
	tr := &tour{
		t: t, dir: dir, forward: strings.NewReplacer(pairs(true)...), back: strings.NewReplacer(pairs(false)...),
		env: append(os.Environ(),
			fmt.Sprintf("PORT=%d", site), fmt.Sprintf("SEARCH_PORT=%d", search), fmt.Sprintf("ADMIN_PORT=%d", admin),
			"DATA="+filepath.Join(dir, "data"), "XDG_DATA_HOME="+filepath.Join(dir, "xdg"), "XDG_CONFIG_HOME="+filepath.Join(dir, "xdg"),
			"LC_ALL=C.UTF-8"),
	}
	// The built binary stands where make puts it. Commands that ask the admin endpoint find it at this run's port.
	wrapper := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = gatehouse ]; then exec %s \"$@\" --address localhost:%d; fi\nexec %s \"$@\"\n", binary, admin, binary)
	if err := os.MkdirAll(filepath.Join(dir, ".build"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".build", "caddy"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	tr.shell = startShell(t, dir, tr.env)
	return tr
}

// start starts the example as make run does once it has built the binary, and waits for what it says.
func (tr *tour) start(s step) {
	tr.t.Helper()
	tr.printed = new(lineBuffer)
	tr.example = exec.Command("bash", "../examples/run.sh", binary)
	tr.example.Env = tr.env
	tr.example.Stdout, tr.example.Stderr = tr.printed, tr.printed
	if err := tr.example.Start(); err != nil {
		tr.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = tr.example.Wait()
		close(ended)
	}()
	tr.t.Cleanup(func() {
		_ = tr.example.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			tr.t.Error("the example does not end when asked to")
			_ = tr.example.Process.Kill()
			<-ended
		}
		if tr.t.Failed() {
			tr.t.Logf("the example printed:\n%s", tr.printed.text())
		}
	})
	tr.until(s, tr.printed, 90*time.Second, ended)
}

// watch starts a command that runs beside the tour.
func (tr *tour) watch(s step) {
	tr.t.Helper()
	out := new(lineBuffer)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+tr.forward.Replace(s.command))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = tr.dir, tr.env, out, out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	tr.watches = append(tr.watches, out)
	// It watches once it shows a request; the origin answers this one.
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out.text(), "/ready"); {
		if time.Now().After(deadline) {
			tr.t.Fatalf("README.md:%d: %q shows no request: %s", s.line, s.command, out.text())
		}
		tr.shell.run(tr.t, tr.forward.Replace("curl -s -o /dev/null http://localhost:8080/ready; sleep 0.1"))
	}
}

// seen compares what a watching command has shown.
func (tr *tour) seen(i int, s step) {
	tr.t.Helper()
	tr.until(s, tr.watches[i], 20*time.Second, nil)
}

// until waits until what was printed is what the README says.
func (tr *tour) until(s step, out *lineBuffer, patience time.Duration, ended <-chan struct{}) {
	tr.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		got := tr.back.Replace(out.text())
		if prints(s.prints, lines(got)) {
			return
		}
		select {
		case <-ended:
			tr.t.Fatalf("README.md:%d: %q ended:\n%s", s.line, s.command, got)
		default:
		}
		if time.Now().After(deadline) {
			tr.t.Fatalf("README.md:%d: %q printed\n%s\nand the README says\n%s", s.line, s.command, got, strings.Join(s.prints, "\n"))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// run runs one command of the tour to its end.
func (tr *tour) run(s step) {
	tr.t.Helper()
	out := tr.back.Replace(tr.shell.run(tr.t, tr.forward.Replace(s.command)))
	out = withoutProgress(out)
	if !prints(s.prints, lines(out)) {
		tr.t.Errorf("README.md:%d: %q printed\n%s\nand the README says\n%s", s.line, s.command, out, strings.Join(s.prints, "\n"))
	}
}

// withoutProgress leaves out what curl says of its progress where its output is not a terminal.
func withoutProgress(out string) string {
	var kept []string
	for _, line := range strings.SplitAfter(out, "\n") {
		if strings.Contains(line, "% Total    % Received") || strings.Contains(line, "Dload  Upload") || progress.MatchString(line) {
			// The last of its lines has no end of its own when the answer follows.
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}

var progress = regexp.MustCompile(`^\r? *\d+ +\d+.*--:--:--`)

func lines(s string) []string {
	list := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for len(list) > 0 && strings.TrimSpace(list[len(list)-1]) == "" {
		list = list[:len(list)-1]
	}
	for i := range list {
		list[i] = strings.TrimRight(list[i], " ")
	}
	return list
}

// volatile are the parts that are compared by their form: clock times, milliseconds, ids of records and of actors, and
// times in milliseconds since 1970.
var volatile = []struct {
	form *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\.\d{3}\b`), "TIME"},
	{regexp.MustCompile(`\b\d+\.\dms`), "MS"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`\b(AGENT_COORDINATOR) [0-9a-f]{12}\b`), "$1 ACTOR"},
	{regexp.MustCompile(`"at": \d{13}\b`), `"at": TIME`},
}

func plain(line string) string {
	for _, v := range volatile {
		line = v.form.ReplaceAllString(line, v.as)
	}
	return line
}

// prints tells whether the lines are those that the README says.
func prints(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "…" {
		for n := 0; n <= len(got); n++ {
			if prints(want[1:], got[n:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && sameLine(want[0], got[0]) && prints(want[1:], got[1:])
}

func sameLine(want, got string) bool {
	parts := strings.Split(plain(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(plain(got))
}

func TestPrints(t *testing.T) {
	for _, test := range []struct {
		name      string
		want, got string
		same      bool
	}{
		{"same", "a\nb", "a\nb", true},
		{"different", "a\nb", "a\nc", false},
		{"more", "a", "a\nb", false},
		{"less", "a\nb", "a", false},
		{"lines left out", "a\n…\nd", "a\nb\nc\nd", true},
		{"no lines left out", "a\n…\nd", "a\nd", true},
		{"the end left out", "a\n…", "a\nb", true},
		{"left out, and another end", "a\n…\nd", "a\nb\nc", false},
		{"part of a line", "t=…;x", "t=60;x", true},
		{"part of another line", "t=…;x", "t=60;y", false},
		{"times", "12:00:01.000 ok cpu=1.0ms", "23:59:59.999 ok cpu=12.3ms", true},
		{"a status is no time", "12:00:01.000 200", "12:00:01.000 403", false},
	} {
		if prints(lines(test.want), lines(test.got)) != test.same {
			t.Errorf("%s: %v", test.name, !test.same)
		}
	}
}

// shell is a bash that runs one command after the other, so that folders and background jobs stay.
type shell struct {
	in  io.WriteCloser
	out *bufio.Reader
	n   int
}

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		in.Close()
		// What the shell left in the background is of its group.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		r.Close()
	})
	if err := r.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		t.Fatal(err)
	}
	return &shell{in: in, out: bufio.NewReader(r)}
}

// run runs a command and returns what it printed on both outputs. It has a minute.
func (sh *shell) run(t *testing.T, command string) string {
	t.Helper()
	sh.n++
	mark := fmt.Sprintf("\x01 end of command %d", sh.n)
	if _, err := fmt.Fprintf(sh.in, "%s\nprintf '\\001 end of command %%d\\n' %d\n", command, sh.n); err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var b strings.Builder
		for {
			line, err := sh.out.ReadString('\n')
			if text, found := strings.CutSuffix(strings.TrimSuffix(line, "\n"), mark); found {
				b.WriteString(text)
				done <- result{b.String(), nil}
				return
			}
			b.WriteString(line)
			if err != nil {
				done <- result{b.String(), err}
				return
			}
		}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatalf("%q: the shell ended (%v):\n%s", command, r.err, r.text)
		}
		return r.text
	case <-time.After(time.Minute):
		t.Fatalf("%q does not end", command)
		return ""
	}
}

// lineBuffer keeps what a program prints.
type lineBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lineBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lineBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
